//! What is read from companions answers every window as the samples do, whatever was written, deleted, merged
//! and damaged; and a companion that is missing or damaged costs nothing but time.

use super::naive::write_round;
use super::{open, rounds};
use crate::companion::files::block_of;
use crate::{Db, Options, check};
use disk::Files;
use disk::faulty::{Faults, Faulty};
use disk::seed::Seed;
use model::value::{STALE, is_stale};
use model::{Columns, Hints, Histogram, Keep, Labels, Matcher, Sample, Selection, Storage, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

const KEEPS: [Keep; 5] = [Keep::Ends, Keep::Falls, Keep::Sum, Keep::Min, Keep::Max];

/// A sample as a reader sees it.
#[derive(Clone, Debug)]
struct Seen {
    time_ms: i64,
    value: f64,
    start_ms: i64,
    weight: u32,
    is_histogram: bool,
}

type All = BTreeMap<Labels, Vec<Seen>>;

/// All series, and whether companions were read.
fn read(db: &Db, selection: &Selection<'_>) -> (All, bool) {
    let mut set = db.select(selection).expect("selects");
    let (mut all, mut columns) = (All::new(), Columns::default());
    let mut ids: BTreeMap<u64, (Vec<i64>, Vec<u32>)> = BTreeMap::new();
    while let Some(labels) = set.next().expect("moves on") {
        set.read(&mut columns).expect("reads");
        let n = columns.times_ms.len();
        assert!(columns.times_ms.is_sorted_by(|a, b| a < b), "{labels}: {:?}", columns.times_ms);
        assert_eq!(columns.floats.len(), n);
        assert!(columns.weights.is_empty() || columns.weights.len() == n);
        assert!(columns.starts_ms.is_empty() || columns.starts_ms.len() == n);
        if columns.times_id != 0 {
            let own = (columns.times_ms.clone(), columns.weights.clone());
            let same = ids.entry(columns.times_id).or_insert_with(|| own.clone());
            assert_eq!(*same, own, "{labels}: the same times_id, other times");
        }
        let seen = |i: usize| Seen {
            time_ms: columns.times_ms[i],
            value: columns.floats[i],
            start_ms: columns.starts_ms.get(i).copied().unwrap_or(0),
            weight: columns.weights.get(i).copied().unwrap_or(1),
            is_histogram: columns.histograms.iter().any(|h| h.0 as usize == i),
        };
        let series: Vec<Seen> = (0..n).map(seen).collect();
        if !series.is_empty() {
            all.insert(labels, series);
        }
    }
    assert_eq!(set.warnings(), Vec::<String>::new());
    let used = !set.summarized().is_empty();
    (all, used)
}

/// What a reader makes of a window: text that must be equal, and a sum that may differ in its last digits with
/// the sum of all magnitudes.
fn made(samples: &[Seen], keep: Keep, end_ms: i64, range_ms: i64) -> (String, f64) {
    let until = samples.partition_point(|s| s.time_ms <= end_ms);
    if range_ms == 0 {
        let newest = samples[..until].last();
        return (format!("{:?}", newest.map(|s| (s.time_ms, s.value.to_bits(), s.start_ms))), 0.0);
    }
    let from = samples.partition_point(|s| s.time_ms <= end_ms - range_ms);
    let (histograms, floats): (Vec<_>, Vec<_>) = samples[from..until]
        .iter()
        .filter(|s| s.is_histogram || !is_stale(s.value))
        .partition(|s| s.is_histogram);
    let count: u64 = floats.iter().map(|s| u64::from(s.weight)).sum();
    let bits = |s: Option<&&Seen>| s.map(|s| (s.time_ms, s.value.to_bits(), s.start_ms));
    let ends = format!(
        "{:?} {:?} {count} {}",
        bits(floats.first()),
        bits(floats.last()),
        histograms.len()
    );
    let best = |better: fn(f64, f64) -> bool| {
        let mut values = floats.iter().map(|s| s.value);
        let first = values.next()?;
        let pick =
            |best: f64, now: f64| if better(now, best) || best.is_nan() { now } else { best };
        Some(values.fold(first, pick).to_bits())
    };
    match keep {
        Keep::Ends => (ends, 0.0),
        Keep::Falls => {
            let fall = |w: &&[&Seen]| w[1].value < w[0].value || w[1].start_ms != w[0].start_ms;
            let falls: Vec<_> =
                floats.windows(2).filter(fall).map(|w| (bits(w.first()), bits(w.last()))).collect();
            (format!("{ends} {falls:?}"), 0.0)
        }
        Keep::Sum => {
            let sum: f64 = floats.iter().map(|s| s.value).sum();
            let text = format!("{count} {} {}", histograms.len(), sum.is_finite());
            (text, if sum.is_finite() { sum } else { 0.0 })
        }
        Keep::Min => (format!("{:?} {}", best(|a, b| a < b), histograms.len()), 0.0),
        Keep::Max => (format!("{:?} {}", best(|a, b| a > b), histograms.len()), 0.0),
    }
}

/// Compares what both give for every window of a selection; gives windows compared, and whether companions
/// were read.
fn compare(
    db: &Db,
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
    range_ms: i64,
    keep: Keep,
) -> (usize, bool) {
    let whole = Selection { start_ms, end_ms, ..Selection::default() };
    let hints = Hints { step_ms, range_ms, keep: Some(keep), ..Hints::default() };
    let (reduced, used) = read(db, &Selection { hints, ..whole.clone() });
    if !used {
        return (0, false);
    }
    let (whole, _) = read(db, &whole);
    let mut windows = 0;
    let none = Vec::new();
    for (labels, samples) in &whole {
        let mut end = end_ms;
        while end - range_ms >= start_ms - 1 {
            let found = made(reduced.get(labels).unwrap_or(&none), keep, end, range_ms);
            let expected = made(samples, keep, end, range_ms);
            let what =
                format!("{labels}, {keep:?} of {range_ms} up to {end} in steps of {step_ms}");
            assert_eq!(found.0, expected.0, "{what}");
            let own = samples.iter().filter(|s| s.value.is_finite()).map(|s| s.value.abs());
            let largest: f64 = own.sum();
            assert!(
                (found.1 - expected.1).abs() <= 1e-12 * largest,
                "{what}: {found:?}, {expected:?}"
            );
            windows += 1;
            if step_ms == 0 {
                break;
            }
            end -= step_ms;
        }
    }
    (windows, true)
}

/// Rounds of one target: counters, gauges, what seldom changes, and what companions cannot answer for.
struct Target {
    random: Seed,
    counters: [f64; 3],
    clock: i64,
}

impl Target {
    fn rows(&mut self) -> (i64, Vec<(Labels, Sample)>) {
        let random = &mut self.random;
        self.clock += 5 + random.below(11) as i64;
        if random.percent(1) {
            self.clock += random.below(600) as i64;
        }
        let clock = self.clock;
        for (n, counter) in self.counters.iter_mut().enumerate() {
            *counter += random.below(5) as f64 + if n == 1 { 0.1 } else { 0.0 };
            if random.below(150) == 0 {
                *counter = random.below(3) as f64;
            }
        }
        let mut rows = Vec::new();
        for n in 0..10u64 {
            // Some have gaps, and stale marks before them.
            let gap = matches!(n, 2 | 4 | 7) && (clock / 700) % 5 == 0 && random.percent(80);
            if gap {
                continue;
            }
            let value = match n {
                0..3 => self.counters[n as usize],
                3 | 4 => random.below(1000) as f64 / 8.0 - 40.0,
                5 => (clock / 3000) as f64 % 2.0,
                6 => random.below(1_000_000) as f64 * 1e-7 + (clock as f64).sin(),
                7 => 1.0,
                8 if random.below(400) == 0 => {
                    [f64::NAN, -0.0, f64::INFINITY, 1e300][random.below(4) as usize]
                }
                8 => random.below(9) as f64,
                _ => clock as f64,
            };
            // When a counter began is known of one, and changes as it falls.
            let start_ms = if n == 0 { 1 + (self.counters[0] as i64) / 200 } else { 0 };
            let value = if n == 9 && random.below(100) == 0 {
                Value::Histogram(Arc::new(Histogram { count: 1.0, ..Histogram::default() }))
            } else if random.below(300) == 0 {
                Value::Float(STALE)
            } else {
                Value::Float(value)
            };
            rows.push((rounds::labels(n), Sample { time_ms: clock, start_ms, value }));
        }
        (clock, rows)
    }
}

fn options() -> Options {
    Options { companion_span_ms: 3000, ..rounds::options() }
}

#[derive(Default)]
struct Tally {
    windows: BTreeMap<&'static str, usize>,
    cut: usize,
}

fn run(seed: u64, tally: &mut Tally) {
    let mut random = Seed::new(seed ^ 0xc0);
    let mut files = Faulty::new(seed);
    let mut db = open(&files, &options());
    let mut group = db.group(&Labels::empty());
    let mut target = Target { random: Seed::new(seed), counters: [0.0; 3], clock: 1_000_000 };
    for _ in 0..2500 {
        match random.below(1000) {
            0..980 => {
                let (time, rows) = target.rows();
                write_round(&mut group, time, &rows).expect("commits");
            }
            980..984 => {
                // Late, far back as well: into stretches that blocks have.
                let time_ms = target.clock - random.below(9000) as i64;
                let value = Value::Float(random.below(50) as f64);
                let series = rounds::labels(random.below(10));
                db.append(&[(series, Sample { time_ms, start_ms: 0, value })]).expect("appends");
            }
            984..988 => db.flush().expect("flushes"),
            988..996 => db.tick(target.clock).expect("ticks"),
            996 => db.compact().expect("compacts"),
            997 if random.percent(30) => {
                let series = random.below(10).to_string();
                let start = target.clock - random.below(15_000) as i64;
                let end = start + random.below(4000) as i64;
                db.delete(&[Matcher::equal("n", &series)], start, end).expect("deletes");
            }
            998 => {
                drop(group);
                drop(db);
                files = files.kill();
                db = open(&files, &options());
                group = db.group(&Labels::empty());
            }
            _ => {}
        }
        if !random.percent(2) {
            continue;
        }
        let width = [200, 1000][random.below(2) as usize];
        let aligned = random.percent(70);
        let end = if aligned {
            target.clock / width * width
        } else {
            target.clock - random.below(400) as i64
        };
        let range = match random.below(4) {
            0 if aligned => 0,
            1 => 12_000 + random.below(9000) as i64 / if aligned { width } else { 1 },
            _ => width * (1 + random.below(20) as i64),
        };
        let range = if aligned { range / width * width } else { range.max(1) };
        let step = if random.percent(70) { width * (1 + random.below(9) as i64) } else { 0 };
        let steps = if step > 0 { random.below(60) as i64 } else { 0 };
        let start = end - steps * step - range + 1 - if range == 0 { 300 } else { 0 };
        for keep in if range == 0 { &KEEPS[..1] } else { &KEEPS[..] } {
            let step = if steps == 0 { 0 } else { step };
            let (windows, used) = compare(&db, start, end, step, range, *keep);
            if used {
                let name = match (range, keep) {
                    (0, _) => "newest",
                    (_, Keep::Ends) => "ends",
                    (_, Keep::Falls) => "falls",
                    (_, Keep::Sum) => "sum",
                    (_, Keep::Min) => "least",
                    (_, Keep::Max) => "greatest",
                };
                *tally.windows.entry(name).or_default() += windows;
                tally.cut += usize::from(!aligned);
            }
        }
    }
}

#[test]
fn windows_answer_from_companions_as_from_samples() {
    let mut tally = Tally::default();
    (0..25).for_each(|seed| run(seed, &mut tally));
    println!("windows compared: {:?}, {} reads that cut stretches", tally.windows, tally.cut);
    for what in ["newest", "ends", "falls", "sum", "least", "greatest"] {
        let windows = tally.windows.get(what).copied().unwrap_or(0);
        assert!(windows > 2000, "{what}: only {windows} windows came from companions");
    }
    assert!(tally.cut > 100, "only {} reads had windows within stretches", tally.cut);
}

/// A folder with a block and its companions; its last time.
fn written(files: &Faulty) -> i64 {
    let db = open(files, &options());
    let mut group = db.group(&Labels::empty());
    let mut target = Target { random: Seed::new(3), counters: [0.0; 3], clock: 1_000_000 };
    for _ in 0..600 {
        let (time, rows) = target.rows();
        write_round(&mut group, time, &rows).expect("commits");
    }
    db.flush().expect("flushes");
    db.tick(target.clock).expect("ticks");
    target.clock
}

fn companions(files: &Faulty) -> Vec<String> {
    let is_companion = |p: &String| block_of(p.rsplit('/').next().unwrap_or(p)).is_some();
    let here = files.paths().into_iter().filter(|p| p.starts_with("blocks/"));
    here.filter(is_companion).collect()
}

/// A folder with a block of which there are companions, for [`super::golden`].
pub fn write_golden(dir: &std::path::Path) {
    let options = Options { background: false, ..rounds::options() };
    let db = Db::open(dir, options).expect("opens");
    let mut group = db.group(&Labels::empty());
    let clock = 1_700_000_000_000;
    let mut target = Target { random: Seed::new(4), counters: [0.0; 3], clock };
    for _ in 0..200 {
        let (time, rows) = target.rows();
        write_round(&mut group, time, &rows).expect("commits");
    }
    db.flush().expect("flushes");
    db.tick(target.clock).expect("ticks");
    db.close().expect("closes");
    std::fs::write(dir.join("content.txt"), super::golden::text(&db)).expect("writes");
}

/// Whether companions of 200 ms are read, after everything was compared.
fn compared(db: &Db, clock: i64) -> bool {
    let end = clock / 200 * 200;
    let all = KEEPS.map(|keep| compare(db, end - 5599, end, 400, 400, keep));
    all.iter().all(|c| c.1)
}

#[test]
fn every_flipped_byte_of_a_companion_costs_nothing_but_the_companion() {
    let files = Faulty::new(1);
    let clock = written(&files);
    let paths = companions(&files);
    assert_eq!(paths.len(), 2, "{paths:?}");
    for path in paths {
        let len = files.read(&path).expect("is there").len();
        for byte in 0..len {
            // All of them take long; each part of the file has some.
            if byte > 100 && byte + 300 < len && byte % 7 != 0 {
                continue;
            }
            let damaged = files.kill();
            damaged.flip(&path, byte, (byte % 8) as u8);
            let found = check(&damaged, &mut |_| {}).expect("can be read").findings;
            assert!(found.iter().any(|f| f.file == path), "{path}, byte {byte}: {found:?}");
            let db = open(&damaged, &options());
            compared(&db, clock);
            db.repair().expect("repairs");
            let aside = db.stats().quarantined;
            assert!(aside.iter().any(|q| q.file.ends_with(".companion")), "byte {byte}: {aside:?}");
            if byte % 100 == 0 {
                db.tick(clock).expect("ticks");
                assert_eq!(companions(&damaged).len(), 2, "byte {byte}: is not made anew");
                assert!(compared(&db, clock));
            }
        }
    }
}

#[test]
fn a_companion_goes_with_its_block_and_is_made_anew() {
    let files = Faulty::new(2);
    let clock = written(&files);
    let first = files.read(&companions(&files)[0]).expect("is there").to_vec();
    let db = open(&files, &options());
    assert!(compared(&db, clock));
    assert!(db.stats().companion_bytes > 0 && db.stats().companion_reads == 5, "{:?}", db.stats());
    // What was deleted is hidden at once, and gone once the block is written anew.
    db.delete(&[Matcher::equal("n", "3")], clock - 3000, clock - 1000).expect("deletes");
    assert!(compared(&db, clock));
    db.clean_tombstones().expect("cleans");
    assert_eq!(companions(&files), Vec::<String>::new());
    assert!(!compared(&db, clock));
    db.tick(clock).expect("ticks");
    assert!(compared(&db, clock));
    let copy = db.snapshot("copy", true).expect("copies");
    assert!(
        files
            .paths()
            .iter()
            .filter(|p| p.starts_with("snapshots/copy/"))
            .any(|p| p.ends_with(".companion")),
        "{copy}"
    );
    drop(db);
    // Switched off they go, and nothing else does.
    let off = Options { companions_ms: Vec::new(), ..options() };
    let db = open(&files, &off);
    assert_eq!((companions(&files).len(), db.stats().companion_bytes), (0, 0));
    assert!(!compared(&db, clock));
    db.tick(clock).expect("ticks");
    assert_eq!(companions(&files).len(), 0);
    drop(db);
    let db = open(&files, &options());
    db.tick(clock).expect("ticks");
    drop(db);
    // One of another block is not believed.
    let path = companions(&files).remove(0);
    files.remove(&path).expect("removes");
    files.create(&path).and_then(|f| f.append_all(&first)).expect("writes");
    let db = open(&files, &options());
    let aside = db.stats().quarantined;
    assert!(aside.len() == 1 && aside[0].why.contains("of another block"), "{aside:?}");
    db.tick(clock).expect("ticks");
    assert!(compared(&db, clock));
    drop(db);
    // One of no block goes.
    let block = files.paths().into_iter().find(|p| p.ends_with(".block")).expect("a block");
    files.rename(&block, &block.replace("-1.block", "-2.block")).expect("renames");
    open(&files, &options());
    assert_eq!(companions(&files).len(), 0);
}

#[test]
fn a_disk_that_is_full_leaves_a_block_without_companion() {
    let files = Faulty::new(4);
    let off = Options { companions_ms: Vec::new(), ..options() };
    let clock = written(&files);
    drop(open(&files, &off));
    assert_eq!(companions(&files), Vec::<String>::new());
    let db = open(&files, &options());
    files.set(Faults { capacity: Some(100), ..Faults::default() });
    db.tick(clock).expect("goes on without");
    files.set(Faults::default());
    assert_eq!(companions(&files), Vec::<String>::new());
    assert!(!compared(&db, clock));
    drop(db);
    open(&files, &options()).tick(clock).expect("ticks");
    assert_eq!(companions(&files).len(), 2);
}

#[test]
fn a_crash_at_any_operation_while_companions_are_made_leaves_whole_ones_or_none() {
    let files = Faulty::new(5);
    let clock = written(&files);
    for path in companions(&files) {
        files.remove(&path).expect("removes");
    }
    for after in 0..60 {
        let crashed = files.kill();
        let db = open(&crashed, &options());
        crashed.set(Faults { crash_after: Some(after), ..Faults::default() });
        let _ = db.tick(clock);
        let done = !crashed.crashed();
        drop(db);
        for left in [crashed.kill(), crashed.power_cut()] {
            let db = open(&left, &options());
            assert_eq!(db.stats().quarantined, [], "after {after} operations");
            compared(&db, clock);
            db.tick(clock).expect("ticks");
            assert!(compared(&db, clock), "after {after} operations");
        }
        if done {
            assert!(after > 4, "{after} operations");
            return;
        }
    }
    panic!("60 operations do not suffice");
}
