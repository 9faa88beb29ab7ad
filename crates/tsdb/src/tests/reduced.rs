//! Reads that leave labels out, and matchers whose answers are remembered, give what whole reads give.

use super::naive::write_round;
use super::{open, rounds};
use crate::{Db, Group};
use disk::faulty::Faulty;
use disk::seed::Seed;
use model::{Columns, Hints, Labels, MatchOp, Matcher, Sample, Selection, Storage, labels};
use std::collections::HashMap;

type Bits = (Vec<i64>, Vec<u64>, usize);

fn read(db: &Db, selection: &Selection<'_>) -> Vec<(Labels, Bits, u64)> {
    let mut set = db.select(selection).expect("selects");
    let (mut all, mut columns) = (Vec::new(), Columns::default());
    while let Some(labels) = set.next().expect("moves on") {
        set.read(&mut columns).expect("reads");
        let floats = columns.floats.iter().map(|f| f.to_bits()).collect();
        let bits = (columns.times_ms.clone(), floats, columns.histograms.len());
        all.push((labels, bits, columns.nameless_id));
    }
    assert_eq!(set.warnings(), Vec::<String>::new());
    all
}

/// Compares a read that leaves labels out with one that does not; gives how many series both have.
fn compare(db: &Db, matchers: &[Matcher], start_ms: i64, end_ms: i64) -> usize {
    let whole = Selection { matchers, start_ms, end_ms, hints: Hints::default() };
    let wanted = ["parity".to_owned(), "unknown".to_owned()];
    let hints = Hints { labels: Some(&wanted), nameless: true, ..Hints::default() };
    let reduced = read(db, &Selection { hints, ..whole });
    let whole = read(db, &whole);
    assert_eq!(reduced.len(), whole.len());
    let mut numbers: HashMap<Labels, u64> = HashMap::new();
    let mut nameless: HashMap<u64, Labels> = HashMap::new();
    for ((labels, bits, number), (all, expected, _)) in reduced.iter().zip(&whole) {
        assert_eq!(bits, expected, "{all}");
        assert_eq!(*labels, all.without(|n| n != "parity"));
        let without = all.without(labels::is_metadata);
        assert_ne!(*number, 0);
        assert_eq!(*numbers.entry(without.clone()).or_insert(*number), *number, "{all}");
        assert_eq!(*nameless.entry(*number).or_insert(without.clone()), without);
    }
    whole.len()
}

/// As [`rounds::round`], under one of two names.
fn renamed(rows: Vec<(Labels, Sample)>, random: &mut Seed) -> Vec<(Labels, Sample)> {
    let mut out: Vec<(Labels, Sample)> = Vec::new();
    for (labels, sample) in rows {
        let name = if random.percent(50) { "m" } else { "other" };
        let mut labels = labels.builder();
        out.push((labels.set(labels::METRIC_NAME, name).build(), sample));
    }
    out
}

fn run(seed: u64) -> usize {
    let mut random = Seed::new(seed);
    let mut files = Faulty::new(seed);
    let mut db = open(&files, &rounds::options());
    let mut groups: Vec<Group> = (0..4).map(|_| db.group(&Labels::empty())).collect();
    let (mut clock, mut compared) = (1_000_000, 0);
    let matcher = |op, name, value| Matcher::new(op, name, value).expect("a matcher");
    let sets = [
        vec![matcher(MatchOp::Regex, "__name__", "m|other")],
        vec![matcher(MatchOp::Regex, "n", "1.*")],
        vec![matcher(MatchOp::NotRegex, "n", ".*[05]|1."), matcher(MatchOp::Equal, "parity", "1")],
        vec![matcher(MatchOp::Regex, "n", "(1|2).?|"), matcher(MatchOp::NotEqual, "n", "12")],
        vec![matcher(MatchOp::Regex, "absent", ".*")],
    ];
    for _ in 0..250 {
        match random.below(100) {
            0..70 => {
                let (writer, time, rows) = rounds::round(&mut random, &mut clock, i64::MIN);
                let rows = renamed(rows, &mut random);
                write_round(&mut groups[writer], time, &rows).expect("commits");
            }
            70..75 => {
                db.append(&rounds::loose(&mut random, clock)).expect("appends");
            }
            75..79 => db.flush().expect("flushes"),
            79..83 => db.tick(clock).expect("ticks"),
            83..85 => {
                let writer = random.below(4) as usize;
                groups[writer] = db.group(&Labels::empty());
            }
            85 => {
                groups.clear();
                drop(db);
                files = files.kill();
                db = open(&files, &rounds::options());
                groups = (0..4).map(|_| db.group(&Labels::empty())).collect();
            }
            _ => {
                let start = clock - random.below(6000) as i64;
                let all = Selection {
                    matchers: &[],
                    start_ms: start,
                    end_ms: clock,
                    hints: Hints::default(),
                };
                let all = read(&db, &all);
                for matchers in &sets {
                    let found = compare(&db, matchers, start, clock);
                    let matches = |l: &&(Labels, Bits, u64)| {
                        matchers.iter().all(|m| m.matches(l.0.get(&m.name).unwrap_or("")))
                    };
                    assert_eq!(found, all.iter().filter(matches).count(), "{matchers:?}");
                    compared += found;
                }
            }
        }
    }
    compared
}

#[test]
fn reduced_reads_and_remembered_matchers_give_what_whole_reads_give() {
    let compared: usize = (0..60).map(run).sum();
    assert!(compared > 20_000, "only {compared} series were compared");
}
