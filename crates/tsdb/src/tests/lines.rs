//! Lines of text recognised by how they begin give what the same lines give when they are read whole,
//! in whatever order they come, also twice and beside others, over flushes and restarts.

use super::naive::{self, Content};
use super::open;
use super::rounds::options;
use disk::faulty::Faulty;
use disk::seed::Seed;
use model::Labels;
use std::collections::BTreeSet;

/// A line's name: one may begin as another does.
fn name(n: u64) -> String {
    if n.is_multiple_of(5) { format!("m{n}") } else { format!("m{}{{n=\"{n}\"}}", n % 3) }
}

fn labels(n: u64, target: &Labels) -> Labels {
    let mut labels = target.builder();
    match n % 5 {
        0 => labels.set("__name__", &format!("m{n}")),
        _ => labels.set("__name__", &format!("m{}", n % 3)).set("n", &n.to_string()),
    };
    labels.build()
}

fn lines(random: &mut Seed) -> Vec<u64> {
    let mut lines: Vec<u64> = (0..30).filter(|_| random.percent(95)).collect();
    match random.below(6) {
        0 => lines.rotate_left(random.below(20) as usize),
        1 => lines.reverse(),
        2 => lines.extend(30 + random.below(10)..40),
        3 => lines.insert(random.below(20) as usize, random.below(40)),
        _ => {}
    }
    lines
}

#[test]
fn lines_known_by_their_beginning_are_those_that_were_meant() {
    let (mut known, mut told) = (0, 0);
    for seed in 0..60 {
        let mut random = Seed::new(seed);
        let mut files = Faulty::new(seed);
        let mut db = open(&files, &options());
        let target = Labels::from_pairs([("job", "lines")]);
        let mut group = db.group(&target);
        let mut expected = Content::new();
        let mut before = BTreeSet::new();
        for round in 0..60 {
            let time = 1_000_000 + round * 100;
            let mut now = BTreeSet::new();
            let mut batch = group.begin(time);
            for n in lines(&mut random) {
                let (line, value) = (name(n), random.below(1000) as f64 / 4.0);
                let text = format!("{line} {value}\n");
                match batch.expects(text.as_bytes()).filter(|length| *length == line.len()) {
                    Some(_) => {
                        known += 1;
                        batch.push_expected(value, None);
                    }
                    None => {
                        told += 1;
                        let own = labels(n, &Labels::empty());
                        let pairs: Vec<_> = own.iter().filter(|l| l.0 != "__name__").collect();
                        batch.sample_line(line.as_bytes(), own.metric(), &pairs, value, None);
                    }
                }
                // Of two samples of a series in one round the first counts.
                let series = expected.entry(labels(n, &target)).or_default();
                series.entry(time).or_insert((0, value.to_bits(), String::new()));
                now.insert(labels(n, &target));
            }
            batch.commit().expect("commits");
            for absent in before.difference(&now) {
                let stale = (0, model::value::STALE_BITS, String::new());
                expected.entry(absent.clone()).or_default().insert(time, stale);
            }
            before = now;
            match random.below(20) {
                0 => db.flush().expect("flushes"),
                1 => db.tick(time).expect("ticks"),
                2 => {
                    group.end(time + 50).expect("ends");
                    for series in std::mem::take(&mut before) {
                        let stale = (0, model::value::STALE_BITS, String::new());
                        expected.entry(series).or_default().insert(time + 50, stale);
                    }
                    drop(group);
                    drop(db);
                    files = files.kill();
                    db = open(&files, &options());
                    group = db.group(&target);
                }
                _ => {}
            }
        }
        let (content, _) = naive::read(&db, i64::MIN, i64::MAX);
        let wrong = naive::difference(&content, &expected);
        assert!(wrong.is_none(), "seed {seed}: {wrong:?}");
    }
    assert!(known > told, "{known} lines were known, {told} were told");
}
