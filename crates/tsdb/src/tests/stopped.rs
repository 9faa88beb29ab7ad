//! Reads that nobody wants any more end soon, and leave nothing behind that is only half done.

use super::open;
use crate::{Db, Options};
use disk::faulty::Faulty;
use model::{Hints, Labels, MatchOp, Matcher, ReadError, Sample, Selection, Stop, Storage, Value};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

const SERIES: u32 = 60_000;

fn fill(db: &Db) {
    let labels = |n: u32| {
        let n = n.wrapping_mul(2_654_435_761).to_string();
        Labels::from_pairs([("__name__", "many"), ("n", n.as_str())])
    };
    let sample = || Sample { time_ms: 1000, start_ms: 0, value: Value::Float(1.0) };
    let rows: Vec<_> = (0..SERIES).map(|n| (labels(n), sample())).collect();
    db.append(&rows).expect("commits");
}

/// How many series are found, and whether they are in order.
fn count(db: &Db, pattern: &str, stop: Stop<'_>) -> Result<u32, ReadError> {
    let matcher = Matcher::new(MatchOp::Regex, "n", pattern).expect("a pattern");
    let (matchers, hints) = ([matcher], Hints { stop, ..Hints::default() });
    let selection = Selection { matchers: &matchers, start_ms: 0, end_ms: 2000, hints };
    let mut set = db.select(&selection)?;
    let (mut count, mut before) = (0, Labels::empty());
    while let Some(labels) = set.next()? {
        assert!(before < labels, "{before} before {labels}");
        (count, before) = (count + 1, labels);
    }
    Ok(count)
}

/// Stops reads at many moments; how many of them had not ended before.
fn stop_at_many_moments(db: &Db) -> u32 {
    let mut stopped = 0;
    for after_us in [0, 100, 300, 1000, 2000, 4000, 8000, 16_000, 32_000] {
        // A pattern that was not asked for before.
        let pattern = format!(".*|x{after_us}");
        let flag = AtomicU8::new(0);
        let (outcome, ended_after) = std::thread::scope(|scope| {
            let reader =
                scope.spawn(|| (count(db, &pattern, Stop::when_set(&flag)), Instant::now()));
            std::thread::sleep(Duration::from_micros(after_us));
            let stopped_at = Instant::now();
            flag.store(1, Ordering::Relaxed);
            let (outcome, ended_at) = reader.join().expect("reads");
            (outcome, ended_at.saturating_duration_since(stopped_at))
        });
        match outcome {
            Ok(all) => assert_eq!(all, SERIES),
            Err(ReadError::Cancelled) => {
                stopped += 1;
                // What a machine with other work needs for the least of all; reads take longer.
                assert!(ended_after < Duration::from_secs(2), "ended {ended_after:?} later");
            }
            Err(other) => panic!("{other}"),
        }
        // What was done so far is done right.
        assert_eq!(count(db, &pattern, Stop::default()).expect("reads"), SERIES, "{pattern}");
    }
    stopped
}

#[test]
fn reads_end_when_they_are_stopped() {
    let files = Faulty::new(1);
    let options = Options { retention_ms: 0, ..Options::default() };
    let db = open(&files, &options);
    fill(&db);
    let flag = AtomicU8::new(1);
    let asked = || count(&db, ".+", Stop::when_set(&flag));
    assert!(matches!(asked(), Err(ReadError::Cancelled)));
    let in_head = stop_at_many_moments(&db);
    db.flush().expect("writes a block");
    assert!(matches!(asked(), Err(ReadError::Cancelled)));
    let in_block = stop_at_many_moments(&db);
    assert!(in_head > 0 && in_block > 0, "{in_head} and {in_block} were stopped");
}
