//! Any interleaving of rounds, loose samples, flushes, merges and restarts equals a naive map.

use super::naive::{self, Naive, write_round};
use super::open;
use crate::{Group, Options};
use disk::faulty::Faulty;
use disk::seed::Seed;
use model::histogram::Span;
use model::{Histogram, Labels, Sample, Value};
use std::sync::Arc;

/// A random sample, often like others.
pub fn sample(random: &mut Seed, time_ms: i64) -> Sample {
    let start_ms = if random.percent(5) { random.below(3) as i64 } else { 0 };
    let value = match random.below(20) {
        0 => Value::Float(f64::from_bits(random.bits())),
        1 => Value::Float(model::value::STALE),
        2 => Value::Histogram(Arc::new(Histogram {
            count: random.below(3) as f64,
            sum: random.below(100) as f64 / 10.0,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive_buckets: vec![random.below(5) as f64, 1.5],
            ..Histogram::default()
        })),
        3..=8 => Value::Float(random.below(1000) as f64 / 8.0),
        _ => Value::Float(random.below(2) as f64),
    };
    Sample { time_ms, start_ms, value }
}

pub fn labels(n: u64) -> Labels {
    let (n, parity) = (n.to_string(), (n % 2).to_string());
    Labels::from_pairs([("__name__", "m"), ("n", n.as_str()), ("parity", parity.as_str())])
}

/// A round of one of four writers, whose series overlap; the time mostly goes on, and never goes
/// back behind `floor`.
pub fn round(
    random: &mut Seed,
    clock: &mut i64,
    floor: i64,
) -> (usize, i64, Vec<(Labels, Sample)>) {
    let writer = if random.percent(50) { 0 } else { random.below(4) as usize };
    *clock += random.below(30) as i64;
    let back = if random.percent(10) { random.below(100) as i64 } else { 0 };
    let time = (*clock - back).max(floor);
    let mut rows = Vec::new();
    for n in 0..6 {
        if random.percent(90) {
            let n = if random.percent(3) { random.below(20) } else { writer as u64 * 5 + n };
            // A series has one sample in a round.
            if rows.iter().all(|(l, _)| *l != labels(n)) {
                let mut sample = sample(random, time);
                if n % 3 == 0 {
                    // A value that stays for long, as most do.
                    sample.value = Value::Float((time / 700) as f64);
                }
                rows.push((labels(n), sample));
            }
        }
    }
    if random.percent(3) {
        rows.reverse();
    }
    if random.percent(2) {
        rows.clear();
    }
    (writer, time, rows)
}

pub fn loose(random: &mut Seed, clock: i64) -> Vec<(Labels, Sample)> {
    let one = |random: &mut Seed| {
        let time = clock - random.below(200) as i64 + random.below(20) as i64;
        (labels(random.below(25)), sample(random, time))
    };
    (0..random.below(6)).map(|_| one(random)).collect()
}

/// A window without end, so that nothing is refused; blocks after little time.
pub fn options() -> Options {
    Options {
        out_of_order_ms: i64::MAX / 2,
        head_ms: 2000,
        retention_ms: 0,
        companions_ms: vec![200, 1000],
        companion_span_ms: 1000,
        ..Options::default()
    }
}

fn run(seed: u64, steps: usize) {
    let mut random = Seed::new(seed);
    let mut files = Faulty::new(seed);
    let mut db = open(&files, &options());
    let mut naive = Naive::default();
    let target = Labels::empty();
    let mut groups: Vec<Group> = (0..4).map(|_| db.group(&target)).collect();
    // What only blocks have is not late to the head: behind this the two would judge differently.
    let (mut clock, mut floor) = (1_000_000, i64::MIN);
    for step in 0..steps {
        match random.below(100) {
            0..80 => {
                let (writer, time, rows) = round(&mut random, &mut clock, floor);
                write_round(&mut groups[writer], time, &rows).expect("commits");
                naive.round(writer, time, &rows);
            }
            80..92 => {
                let samples = loose(&mut random, clock);
                db.append(&samples).expect("appends");
                naive.append(&samples);
            }
            92..94 => {
                db.flush().expect("flushes");
                floor = clock + 21;
            }
            94..97 => {
                db.tick(clock).expect("ticks");
                floor = clock + 21;
            }
            97 => {
                groups.clear();
                drop(db);
                files = files.kill();
                db = open(&files, &options());
                groups = (0..4).map(|_| db.group(&target)).collect();
                let (content, _) = naive::read(&db, i64::MIN, i64::MAX);
                let wrong = naive::difference(&content, &naive.content);
                assert!(wrong.is_none(), "seed {seed}, step {step}, opened: {wrong:?}");
                naive.restart(content);
                floor = clock + 21;
            }
            _ => {
                let start = clock - random.below(3000) as i64;
                let end = start + random.below(3000) as i64;
                let (content, warnings) = naive::read(&db, start, end);
                assert_eq!(warnings, Vec::<String>::new(), "seed {seed}");
                let wrong = naive::difference(&content, &naive::within(&naive.content, start, end));
                assert!(wrong.is_none(), "seed {seed}, step {step}, {start}..{end}: {wrong:?}");
            }
        }
    }
    let (content, _) = naive::read(&db, i64::MIN, i64::MAX);
    let wrong = naive::difference(&content, &naive.content);
    assert!(wrong.is_none(), "seed {seed}: {wrong:?}");
    let samples: usize = content.values().map(|s| s.len()).sum();
    assert!(samples > steps, "seed {seed}: only {samples} samples were compared");
}

#[test]
fn any_interleaving_equals_a_naive_map() {
    (0..150).for_each(|seed| run(seed, 400));
}
