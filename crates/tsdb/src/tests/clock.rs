//! Clocks that are set, machines that sleep, targets whose samples carry times of their own.

use super::naive::{self, write_round};
use super::open;
use crate::Options;
use disk::faulty::Faulty;
use model::{Labels, Sample, Sink, Value};

const HOUR: i64 = 3_600_000;

fn rows(time_ms: i64, value: f64) -> Vec<(Labels, Sample)> {
    let one =
        |n| (super::rounds::labels(n), Sample { time_ms, start_ms: 0, value: Value::Float(value) });
    (0..3).map(one).collect()
}

fn times(db: &crate::Db) -> Vec<i64> {
    let (content, warnings) = naive::read(db, i64::MIN, i64::MAX);
    assert_eq!(warnings, Vec::<String>::new());
    content.get(&super::rounds::labels(1)).expect("is there").keys().copied().collect()
}

#[test]
fn a_clock_set_back_an_hour_goes_on_from_there_and_one_set_forward_leaves_a_gap() {
    let files = Faulty::new(1);
    let db = open(&files, &Options::default());
    let mut group = db.group(&Labels::empty());
    let start = 100 * HOUR;
    // Forward by an hour, then back again; the machine's sleep looks like the first.
    let clock = [0, 1000, HOUR, HOUR + 1000, 2000, 3000, HOUR + 1000, HOUR + 2000];
    for (i, time) in clock.iter().enumerate() {
        let done = write_round(&mut group, start + time, &rows(start + time, i as f64));
        let done = done.expect("commits");
        // The second sample at a time that is there already is the one refused.
        assert_eq!((done.too_old, done.out_of_order), (0, 0), "round {i}: {done:?}");
    }
    let expected = [0, 1000, 2000, 3000, HOUR, HOUR + 1000, HOUR + 2000].map(|t| start + t);
    assert_eq!(times(&db), expected);
    let (content, _) = naive::read(&db, start + HOUR + 1000, start + HOUR + 1000);
    let first = content[&super::rounds::labels(1)][&(start + HOUR + 1000)].1;
    assert_eq!(f64::from_bits(first), 3.0, "of two samples at one time the first counts");
    db.flush().expect("flushes");
    assert_eq!(times(&db), expected);
    drop(group);
    drop(db);
    assert_eq!(times(&open(&files.kill(), &Options::default())), expected);
}

#[test]
fn a_clock_set_back_a_little_fills_in_what_is_free() {
    let db = open(&Faulty::new(2), &Options::default());
    let mut group = db.group(&Labels::empty());
    for time in [10_000, 20_000, 15_000, 20_000, 25_000] {
        write_round(&mut group, time, &rows(time, 1.0)).expect("commits");
    }
    assert_eq!(times(&db), [10_000, 15_000, 20_000, 25_000]);
    assert_eq!(db.stats().out_of_order, 3);
    let late = [(super::rounds::labels(1), rows(25_000 - 11 * 60_000, 1.0)[1].1.clone())];
    assert_eq!(db.append(&late).expect("is looked at").too_old, 1);
}

#[test]
fn samples_with_times_of_their_own_keep_them_and_repeat_for_nothing() {
    let db = open(&Faulty::new(3), &Options::default());
    let mut group = db.group(&Labels::from_pairs([("job", "cadvisor")]));
    let round = |group: &mut crate::Group, now: i64, a: i64, b: Option<i64>| {
        let mut batch = group.begin(now);
        batch.sample("cpu", &[("id", "a")], a as f64, Some(a));
        if let Some(b) = b {
            batch.sample("cpu", &[("id", "b")], 7.0, Some(b));
        }
        batch.sample("up", &[], 1.0, None);
        batch.commit().expect("commits")
    };
    assert_eq!(round(&mut group, 10_000, 9_100, Some(9_100)).samples, 3);
    // b was not read anew; then the two part ways; then b is gone, and not marked stale.
    assert_eq!(round(&mut group, 20_000, 19_100, Some(9_100)).samples, 2);
    assert_eq!(round(&mut group, 30_000, 29_100, Some(29_300)).samples, 3);
    assert_eq!(round(&mut group, 40_000, 39_100, Some(39_300)).samples, 3);
    assert_eq!(round(&mut group, 50_000, 49_100, None).samples, 2);
    let (content, _) = naive::read(&db, 0, 100_000);
    let of = |name: &str, id: &str| -> Vec<i64> {
        let pairs = [("__name__", name), ("id", id), ("job", "cadvisor")];
        content[&Labels::from_pairs(pairs)].keys().copied().collect()
    };
    assert_eq!(of("cpu", "a"), [9_100, 19_100, 29_100, 39_100, 49_100]);
    assert_eq!(of("cpu", "b"), [9_100, 29_300, 39_300]);
    assert_eq!(of("up", ""), [10_000, 20_000, 30_000, 40_000, 50_000]);
    assert_eq!(db.stats().duplicates, 0);
}

#[test]
fn retention_deletes_what_is_old_but_not_because_the_clock_jumped() {
    let files = Faulty::new(4);
    let options = Options { retention_ms: 10 * HOUR, ..Options::default() };
    let db = open(&files, &options);
    let mut group = db.group(&Labels::empty());
    write_round(&mut group, 100 * HOUR, &rows(100 * HOUR, 1.0)).expect("commits");
    db.flush().expect("flushes");
    db.tick(100 * HOUR).expect("ticks");
    db.tick(9000 * HOUR).expect("ticks");
    assert_eq!(db.stats().blocks, 1, "a clock that jumped deletes nothing at once");
    db.tick(101 * HOUR).expect("ticks");
    for hour in 0..12 {
        db.tick((101 + hour) * HOUR).expect("ticks");
    }
    db.tick(9000 * HOUR).expect("ticks");
    db.tick(9000 * HOUR + HOUR / 2).expect("ticks");
    assert_eq!(db.stats().blocks, 1);
    db.tick(9001 * HOUR).expect("ticks");
    assert_eq!(db.stats().blocks, 0, "an hour later it is believed");
}

#[test]
fn series_that_ended_are_forgotten_after_their_block() {
    let db = open(&Faulty::new(5), &Options::default());
    let mut group = db.group(&Labels::empty());
    for round in 0..4u64 {
        let time = 1_000_000 + round as i64 * 1000;
        let labels = super::rounds::labels(round);
        let sample = Sample { time_ms: time, start_ms: 0, value: Value::Float(1.0) };
        write_round(&mut group, time, &[(labels, sample)]).expect("commits");
        db.flush().expect("flushes");
    }
    assert!(db.stats().series <= 2, "{} series are still in memory", db.stats().series);
    assert_eq!(naive::read(&db, 0, i64::MAX).0.len(), 4, "all are still read");
}
