//! Memory under churn: series that ended are forgotten once their samples are in a block.

use super::naive::{self, write_round};
use super::open;
use crate::{Cardinality, Count, Options};
use disk::faulty::Faulty;
use model::{Labels, Sample, Value};

/// Series of a round that go on for ever, and those that live for one stretch.
const LASTING: u64 = 20;
const PASSING: u64 = 200;

fn labels(kind: &str, n: u64) -> Labels {
    let n = n.to_string();
    Labels::from_pairs([("__name__", "churn"), ("job", "churn"), ("kind", kind), ("n", n.as_str())])
}

#[test]
fn series_that_ended_are_forgotten_once_they_are_in_a_block() {
    let files = Faulty::new(1);
    let options = Options { head_ms: 150_000, retention_ms: 0, ..Options::default() };
    let db = open(&files, &options);
    let mut group = db.group(&Labels::from_pairs([("job", "churn")]));
    let (mut most, mut early, mut late) = (0, 0, 0);
    let (stretches, mut cardinality) = (60, Cardinality::default());
    for stretch in 0..stretches {
        for tick in 0..10 {
            let time_ms = (stretch * 10 + tick) * 15_000;
            let sample = |n: u64| {
                let value = Value::Float((time_ms as u64 + n) as f64);
                Sample { time_ms, start_ms: 0, value }
            };
            let lasting = (0..LASTING).map(|n| (labels("lasting", n), sample(n)));
            let begin = stretch as u64 * PASSING;
            let passing = (begin..begin + PASSING).map(|n| (labels("passing", n), sample(n)));
            let rows: Vec<_> = lasting.chain(passing).collect();
            write_round(&mut group, time_ms, &rows).expect("commits");
            db.tick(time_ms).expect("ticks");
        }
        let stats = db.stats();
        most = most.max(stats.series);
        // Series that ended are there until they are in a block: at some stretches, and at others none is.
        let now = db.cardinality(10);
        if now.ended > cardinality.ended {
            cardinality = now;
        }
        // Stretches and blocks are together every eleventh time.
        if stretch < 25 {
            early = early.max(stats.head_bytes);
        } else {
            late = late.max(stats.head_bytes);
        }
    }
    assert!(most <= LASTING + 4 * PASSING, "{most} series at once");
    assert!(late <= early + early / 4, "{late} bytes after {early}");
    assert!(cardinality.label_pairs <= 4 + LASTING + 4 * PASSING);
    assert!(cardinality.ended > 0);
    assert_eq!(cardinality.series - cardinality.ended, LASTING + PASSING);
    let named = |counts: &[Count]| counts.iter().map(|c| (c.name.clone(), c.count)).collect();
    let target = "job=\"churn\", instance=\"\"".to_owned();
    let by_target: Vec<(String, u64)> = named(&cardinality.series_by_target);
    assert_eq!(by_target, [(target.clone(), cardinality.series)]);
    let ended: Vec<(String, u64)> = named(&cardinality.ended_by_target);
    assert_eq!(ended, [(target, cardinality.ended)]);
    let ended: Vec<(String, u64)> = named(&cardinality.ended_by_metric);
    assert_eq!(ended, [("churn".to_owned(), cardinality.ended)]);
    let blocks = db.blocks();
    assert_eq!(blocks.len() as u64, db.stats().blocks);
    assert!(blocks.windows(2).all(|w| w[0].last < w[1].first), "{blocks:?}");
    let (content, _) = naive::read(&db, i64::MIN, i64::MAX);
    assert_eq!(content.len() as u64, LASTING + stretches as u64 * PASSING);
    // Ten samples and the stale mark; those that go on have one at each tick.
    let lengths: Vec<usize> = content.values().map(|s| s.len()).collect();
    let lasting = lengths.iter().filter(|n| **n == stretches as usize * 10).count();
    assert_eq!(lasting as u64, LASTING);
    let ended = lengths.iter().filter(|n| **n == 11).count() as u64;
    assert_eq!(ended, (stretches as u64 - 1) * PASSING);
}
