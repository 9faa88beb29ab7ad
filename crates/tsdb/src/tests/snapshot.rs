//! A snapshot is a data folder of its own that says what the store said when it was made.

use super::naive::{self, difference, write_round};
use super::open;
use super::rounds::{labels, options, sample};
use crate::{Db, Options};
use disk::Files;
use disk::faulty::{Faults, Faulty};
use disk::seed::Seed;
use model::{Labels, Matcher};
use std::path::Path;

fn fill(db: &Db, from: i64, rounds: i64) {
    let mut random = Seed::new(from as u64);
    let mut group = db.group(&Labels::empty());
    for i in from..from + rounds {
        let time = 1_000_000 + i * 1000;
        let rows: Vec<_> = (0..6).map(|n| (labels(n), sample(&mut random, time))).collect();
        write_round(&mut group, time, &rows).expect("commits");
    }
}

fn at(dir: &Path) -> Db {
    Db::open(dir, Options { background: false, ..options() }).expect("opens")
}

#[test]
fn a_snapshot_stays_as_it_was_and_opens_by_itself() {
    let dir = tempfile::tempdir().expect("a folder");
    let db = at(dir.path());
    fill(&db, 0, 30);
    db.flush().expect("flushes");
    db.delete(&[Matcher::equal("n", "1")], 0, 1_010_000).expect("deletes");
    let without_head = naive::read(&db, i64::MIN, i64::MAX).0;
    fill(&db, 30, 10);
    let whole = naive::read(&db, i64::MIN, i64::MAX).0;

    let early = db.snapshot("early", false).expect("makes one");
    let path = db.snapshot("20261121T200000Z-0badcafe", true).expect("makes one");
    assert_eq!(Path::new(&path), dir.path().join("snapshots/20261121T200000Z-0badcafe"));
    fill(&db, 40, 10);
    db.compact().expect("compacts");
    db.delete(&[Matcher::equal("__name__", "m")], i64::MIN, i64::MAX).expect("deletes");
    db.clean_tombstones().expect("cleans");

    for (path, expected) in [(&path, &whole), (&early, &without_head)] {
        let copy = at(Path::new(path));
        let (content, warnings) = naive::read(&copy, i64::MIN, i64::MAX);
        assert_eq!((difference(&content, expected), warnings), (None, Vec::new()), "{path}");
        // It is a store like any other.
        fill(&copy, 50, 3);
        copy.compact().expect("compacts");
    }
    assert!(naive::read(&db, i64::MIN, i64::MAX).0.is_empty());
    for name in ["", ".", "..", ".a", "a/b", "a b", "ä", &"a".repeat(129), "early"] {
        let refused = db.snapshot(name, true).expect_err(name).to_string();
        assert!(refused.starts_with(&format!("snapshot {name:?}")), "{refused}");
    }
}

#[test]
fn a_crash_leaves_a_whole_snapshot_or_one_without_its_format() {
    let (mut whole, mut cut_short) = (0, 0);
    for step in 0..80 {
        let files = Faulty::new(step);
        let db = open(&files, &options());
        fill(&db, 0, 20);
        db.delete(&[Matcher::equal("n", "1")], 0, 1_010_000).expect("deletes");
        fill(&db, 20, 5);
        db.sync().expect("fsyncs");
        let before = naive::read(&db, i64::MIN, i64::MAX).0;
        files.set(Faults { crash_after: Some(step / 2), ..Faults::default() });
        let made = db.snapshot("a", true).is_ok();
        files.set(Faults::default());
        for after in [files.kill(), files.power_cut()] {
            let db = open(&after, &options());
            assert_eq!(difference(&naive::read(&db, i64::MIN, i64::MAX).0, &before), None);
            let paths = after.paths();
            if after.read("snapshots/a/FORMAT").is_err() {
                assert!(!made, "step {step}: a snapshot that was made is not whole");
                cut_short += 1;
                continue;
            }
            whole += 1;
            assert!(paths.contains(&"snapshots/a/tombstones".to_owned()), "step {step}: {paths:?}");
            let blocks = |dir: &str| -> Vec<Vec<u8>> {
                let own = paths.iter().filter(|p| p.starts_with(dir));
                own.map(|p| after.read(p).expect("reads").to_vec()).collect()
            };
            assert_eq!(blocks("snapshots/a/blocks/"), blocks("blocks/"), "step {step}");
        }
    }
    assert!(whole > 10 && cut_short > 10, "{whole} whole, {cut_short} cut short");
}
