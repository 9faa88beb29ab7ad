//! What is deleted is gone for every reader from then on, over restarts, merges and crashes at any moment;
//! what was not deleted stays, and what comes later is kept.

use super::naive::{self, Content, difference, write_round};
use super::rounds::{options, round};
use super::{open, try_open};
use crate::{Db, Error};
use disk::Files;
use disk::faulty::{Faults, Faulty};
use disk::seed::Seed;
use model::{Labels, MatchOp, Matcher};
use std::collections::BTreeMap;

/// What one deletion is to take away.
struct Deletion {
    matchers: Vec<Matcher>,
    start_ms: i64,
    end_ms: i64,
}

impl Deletion {
    fn random(random: &mut Seed, clock: i64) -> Deletion {
        let parity = Matcher::equal("parity", if random.percent(50) { "0" } else { "1" });
        let few = Matcher::new(MatchOp::Regex, "n", "1|2|3|1.").expect("parses");
        let matchers = match random.below(3) {
            0 => vec![parity],
            1 => vec![few],
            _ => vec![parity, Matcher::equal("__name__", "m")],
        };
        let start_ms = match random.below(3) {
            0 => i64::MIN,
            _ => clock - random.below(4000) as i64,
        };
        let end_ms = match random.below(3) {
            0 => i64::MAX,
            _ => start_ms.max(0) + random.below(4000) as i64,
        };
        Deletion { matchers, start_ms, end_ms }
    }

    fn apply(&self, db: &Db) -> Result<(), Error> {
        db.delete(&self.matchers, self.start_ms, self.end_ms)
    }

    fn takes(&self, labels: &Labels, time: i64) -> bool {
        let all = |m: &Matcher| m.matches(labels.get(&m.name).unwrap_or(""));
        (self.start_ms..=self.end_ms).contains(&time) && self.matchers.iter().all(all)
    }

    fn from(&self, content: &Content) -> Content {
        let left = content.iter().map(|(labels, series)| {
            let left = series.iter().filter(|(t, _)| !self.takes(labels, **t));
            (labels.clone(), left.map(|(t, b)| (*t, b.clone())).collect::<BTreeMap<_, _>>())
        });
        left.filter(|s| !s.1.is_empty()).collect()
    }
}

fn content(db: &Db) -> Content {
    let (content, warnings) = naive::read(db, i64::MIN, i64::MAX);
    assert_eq!(warnings, Vec::<String>::new());
    content
}

fn write(db: &Db, random: &mut Seed, clock: &mut i64, rounds: usize) {
    let target = Labels::empty();
    let mut groups: Vec<_> = (0..4).map(|_| db.group(&target)).collect();
    let floor = *clock + 21;
    for _ in 0..rounds {
        let (writer, time, rows) = round(random, clock, floor);
        write_round(&mut groups[writer], time, &rows).expect("commits");
    }
    *clock += 21;
}

#[test]
fn deleted_samples_are_gone_and_stay_gone() {
    let mut deleted = 0;
    for seed in 0..40 {
        let mut random = Seed::new(seed);
        let mut files = Faulty::new(seed);
        let mut db = open(&files, &options());
        let (mut clock, mut expected) = (1_000_000, Content::new());
        for step in 0..12 {
            match random.below(6) {
                0 => db.flush().expect("flushes"),
                1 => db.tick(clock).expect("ticks"),
                2 => db.clean_tombstones().expect("cleans"),
                3 => {
                    drop(db);
                    files = files.kill();
                    db = open(&files, &options());
                }
                4 => {
                    let deletion = Deletion::random(&mut random, clock);
                    deletion.apply(&db).expect("deletes");
                    let left = deletion.from(&expected);
                    let count = |c: &Content| c.values().map(BTreeMap::len).sum::<usize>();
                    deleted += count(&expected) - count(&left);
                    expected = left;
                }
                _ => {
                    let before = content(&db);
                    assert_eq!(difference(&before, &expected), None, "seed {seed}, step {step}");
                    write(&db, &mut random, &mut clock, 60);
                    expected = content(&db);
                    // Nothing that was deleted came back with what was written.
                    for (labels, series) in &before {
                        assert!(series.keys().all(|t| expected[labels].contains_key(t)));
                    }
                }
            }
            assert_eq!(difference(&content(&db), &expected), None, "seed {seed}, step {step}");
        }
    }
    assert!(deleted > 2000, "only {deleted} samples were deleted");
}

#[test]
fn a_crash_leaves_a_deletion_done_or_not_begun() {
    let (mut done, mut undone) = (0, 0);
    for operations in 0..60 {
        let mut random = Seed::new(operations);
        let files = Faulty::new(operations);
        let db = open(&files, &options());
        let mut clock = 1_000_000;
        write(&db, &mut random, &mut clock, 100);
        db.flush().expect("flushes");
        write(&db, &mut random, &mut clock, 100);
        db.sync().expect("syncs");
        let before = content(&db);
        let deletion = Deletion { end_ms: i64::MAX, ..Deletion::random(&mut random, clock) };
        let after = deletion.from(&before);
        assert_ne!(before, after, "nothing would be deleted");
        files.set(Faults { crash_after: Some(operations), ..Faults::default() });
        let finished = deletion.apply(&db).and_then(|()| db.clean_tombstones());
        let told = finished.is_ok();
        drop(db);
        for files in [files.kill(), files.power_cut()] {
            let db = try_open(&files, &options()).expect("opens");
            let found = content(&db);
            let is_after = difference(&found, &after).is_none();
            let is_before = difference(&found, &before).is_none();
            assert!(is_after || (is_before && !told), "{operations} operations, told {told}");
            done += usize::from(is_after);
            undone += usize::from(is_before);
            db.clean_tombstones().expect("cleans");
            let cleaned = content(&db);
            assert_eq!(difference(&cleaned, &found), None, "{operations} operations, cleaned");
        }
    }
    assert!(done > 10 && undone > 10, "{done} were done, {undone} were not");
}

#[test]
fn cleaning_gives_the_room_back() {
    let files = Faulty::new(1);
    let db = open(&files, &options());
    let (mut random, mut clock) = (Seed::new(1), 1_000_000);
    write(&db, &mut random, &mut clock, 400);
    db.flush().expect("flushes");
    let before = db.stats();
    db.delete(&[Matcher::equal("parity", "0")], i64::MIN, i64::MAX).expect("deletes");
    assert_eq!(db.stats().samples, before.samples, "the samples are hidden, not gone");
    db.clean_tombstones().expect("cleans");
    let after = db.stats();
    assert!(after.samples < before.samples * 2 / 3, "{} of {}", after.samples, before.samples);
    assert!(after.block_bytes < before.block_bytes);
    // The tombstone is gone as well: what comes again is kept.
    let label = Labels::from_pairs([("__name__", "m"), ("parity", "0")]);
    let sample = model::Sample { time_ms: clock + 1, start_ms: 0, value: model::Value::Float(1.0) };
    db.append(&[(label.clone(), sample)]).expect("appends");
    db.flush().expect("flushes");
    assert_eq!(content(&db)[&label].len(), 1);
}

#[test]
fn damaged_tombstones_are_set_aside() {
    let files = Faulty::new(2);
    let db = open(&files, &options());
    let (mut random, mut clock) = (Seed::new(2), 1_000_000);
    write(&db, &mut random, &mut clock, 50);
    db.delete(&[Matcher::equal("parity", "0")], i64::MIN, i64::MAX).expect("deletes");
    drop(db);
    let files = files.kill();
    assert!(files.read("tombstones").is_ok());
    files.flip("tombstones", 30, 1);
    let db = open(&files, &options());
    let quarantined = db.stats().quarantined;
    assert_eq!(quarantined.len(), 1);
    assert!(quarantined[0].why.contains("what was deleted is shown again"), "{quarantined:?}");
}
