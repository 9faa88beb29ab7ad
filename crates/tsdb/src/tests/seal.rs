//! Samples that are handed over sorted are there afterwards, whatever the store had before and wherever
//! a crash comes; and handing them over again adds nothing.

use super::naive::{self, Content, difference, write_round};
use super::rounds::{labels, options, sample};
use super::{open, try_open};
use crate::{Db, Error, Sealed};
use disk::faulty::{Faults, Faulty};
use disk::seed::Seed;
use model::{Columns, Labels, ReadError, Sample, SeriesSet, Value};
use std::collections::BTreeMap;

type Rows = BTreeMap<Labels, BTreeMap<i64, Sample>>;

/// A source of series, out of memory.
struct Source<'a> {
    rows: std::collections::btree_map::Iter<'a, Labels, BTreeMap<i64, Sample>>,
    current: Option<&'a BTreeMap<i64, Sample>>,
}

impl SeriesSet for Source<'_> {
    fn next(&mut self) -> Result<Option<Labels>, ReadError> {
        let next = self.rows.next();
        self.current = next.map(|n| n.1);
        Ok(next.map(|n| n.0.clone()))
    }

    fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError> {
        columns.clear();
        for (time, sample) in self.current.into_iter().flatten() {
            columns.times_ms.push(*time);
            columns.starts_ms.push(sample.start_ms);
            match &sample.value {
                Value::Float(v) => columns.floats.push(*v),
                Value::Histogram(h) => {
                    columns.histograms.push((columns.floats.len() as u32, h.clone()));
                    columns.floats.push(0.0);
                }
            }
        }
        Ok(())
    }
}

fn seal(db: &Db, rows: &Rows) -> Result<Sealed, Error> {
    db.seal(&mut Source { rows: rows.iter(), current: None }, i64::MIN, i64::MAX)
}

/// Some series of some targets: most share their times, some lack a few, some have their own.
fn rows(random: &mut Seed, series: u64) -> Rows {
    let begin = 950_000 + random.below(80) as i64 * 1000;
    (0..series)
        .map(|n| {
            let own = if random.percent(10) { random.below(900) as i64 } else { 0 };
            let (from, to) = (random.below(20) as i64, 30 + random.below(20) as i64);
            let times = (from..to).map(|i| begin + own + i * 1000);
            let kept: Vec<i64> = times.filter(|_| random.percent(95)).collect();
            let samples = kept.into_iter().map(|t| (t, sample(random, t)));
            (labels(n), samples.collect())
        })
        .collect()
}

/// Seals some series, beginning at a time.
pub fn seal_some(db: &Db, random: &mut Seed, begin: i64) {
    let one = |n: u64, random: &mut Seed| {
        let samples = (0..20).map(|i| (begin + i * 1000, sample(random, begin + i * 1000)));
        (labels(n), samples.collect())
    };
    let rows: Rows = (3..8).map(|n| one(n, random)).collect();
    seal(db, &rows).expect("seals");
}

fn merged(before: &Content, rows: &Rows) -> Content {
    let mut all = before.clone();
    for (labels, samples) in rows {
        let series = all.entry(labels.clone()).or_default();
        for (time, sample) in samples {
            series.entry(*time).or_insert_with(|| naive::bits(sample));
        }
    }
    all.retain(|_, s| !s.is_empty());
    all
}

fn content(db: &Db) -> Content {
    let (content, warnings) = naive::read(db, i64::MIN, i64::MAX);
    assert_eq!(warnings, Vec::<String>::new());
    content
}

/// A store with some samples in its head and in blocks.
fn filled(files: &Faulty, random: &mut Seed) -> Db {
    let db = open(files, &options());
    let mut group = db.group(&Labels::empty());
    for i in 0..40 {
        let time = 1_000_000 + i * 1000;
        let round: Vec<_> = (0..6).map(|n| (labels(n), sample(random, time))).collect();
        write_round(&mut group, time, &round).expect("commits");
        if i == 20 {
            db.flush().expect("flushes");
        }
    }
    drop(group);
    db
}

#[test]
fn what_is_handed_over_is_there_once() {
    let mut present = 0;
    for seed in 0..60 {
        let mut random = Seed::new(seed);
        let files = Faulty::new(seed);
        let db = filled(&files, &mut random);
        let mut expected = content(&db);
        for _ in 0..3 {
            let rows = rows(&mut random, 12);
            let handed: usize = rows.values().map(BTreeMap::len).sum();
            let done = seal(&db, &rows).expect("seals");
            let left_out = done.present + done.conflicts;
            assert_eq!(done.samples + left_out, handed as u64, "seed {seed}: {done:?}");
            present += left_out;
            expected = merged(&expected, &rows);
            assert_eq!(difference(&content(&db), &expected), None, "seed {seed}");

            let blocks = db.stats().blocks;
            let again = seal(&db, &rows).expect("seals");
            assert_eq!((again.samples, again.blocks), (0, 0), "seed {seed}: {again:?}");
            assert_eq!(db.stats().blocks, blocks);
        }
        drop(db);
        let db = open(&files.power_cut(), &options());
        assert_eq!(difference(&content(&db), &expected), None, "seed {seed}, after a power cut");
        db.compact().expect("compacts");
        assert_eq!(difference(&content(&db), &expected), None, "seed {seed}, compacted");
        db.stats();
    }
    assert!(present > 100, "only {present} samples were there before");
}

#[test]
fn a_crash_at_any_operation_loses_nothing_that_was_there() {
    for step in 0..60 {
        let mut random = Seed::new(7);
        let files = Faulty::new(step);
        let db = filled(&files, &mut random);
        db.sync().expect("fsyncs");
        let before = content(&db);
        let rows = rows(&mut random, 12);
        let all = merged(&before, &rows);
        files.set(Faults { crash_after: Some(step), ..Faults::default() });
        let sealed = seal(&db, &rows);
        files.set(Faults::default());
        for after in [files.kill(), files.power_cut()] {
            let db = open(&after, &options());
            let found = content(&db);
            let expected = if found == before { &before } else { &all };
            assert_eq!(difference(&found, expected), None, "step {step}");
            assert!(sealed.is_err() || found == all, "step {step}: was said to be safe");
            seal(&db, &rows).expect("seals");
            assert_eq!(difference(&content(&db), &all), None, "step {step}, once more");
        }
    }
}

#[test]
fn where_room_is_short_what_is_old_goes_first_though_it_came_last() {
    let files = Faulty::new(11);
    let db = filled(&files, &mut Seed::new(11));
    db.flush().expect("flushes");
    let before = content(&db);
    let mut random = Seed::new(12);
    let old = |i: i64, random: &mut Seed| (i * 1000, sample(random, i * 1000));
    let old: Rows =
        (50..60).map(|n| (labels(n), (0..90).map(|i| old(i, &mut random)).collect())).collect();
    seal(&db, &old).expect("seals");
    let stats = db.stats();
    drop(db);
    let short = crate::Options { retention_bytes: stats.block_bytes - 1, ..options() };
    let db = open(&files.kill(), &short);
    db.tick(2_000_000).expect("ticks");
    assert_eq!(difference(&content(&db), &before), None);
}

#[test]
fn what_is_out_of_order_is_refused() {
    struct Wrong(u8);
    impl SeriesSet for Wrong {
        fn next(&mut self) -> Result<Option<Labels>, ReadError> {
            self.0 += 1;
            match self.0 {
                1 => Ok(Some(labels(2))),
                2 => Ok(Some(labels(1))),
                _ => Err(ReadError::Store("index: byte 7: what it says".into())),
            }
        }

        fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError> {
            columns.clear();
            columns.times_ms.push(1);
            columns.floats.push(1.0);
            Ok(())
        }
    }
    let db = try_open(&Faulty::new(1), &options()).expect("opens");
    let refused = db.seal(&mut Wrong(0), 0, 9).expect_err("is not sorted").to_string();
    assert!(refused.contains("labels of series are not in order"), "{refused}");
    let refused = db.seal(&mut Wrong(0), 5, 9).expect_err("lies outside").to_string();
    assert!(refused.contains("times of a series are not in order"), "{refused}");
    let refused = db.seal(&mut Wrong(2), 0, 9).expect_err("cannot be read").to_string();
    assert_eq!(refused, "index: byte 7: what it says");
    assert_eq!(db.stats().blocks, 0);
}
