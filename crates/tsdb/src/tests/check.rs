//! A check names every byte that was changed, and after a repair nothing is left to name.

use super::naive::{self, Content, write_round};
use super::rounds::{labels, options, sample};
use super::{open, try_open};
use crate::{Checked, Error, check};
use disk::Files;
use disk::faulty::Faulty;
use disk::seed::Seed;
use model::{Labels, Matcher};

fn checked(files: &Faulty) -> Checked {
    check(files, &mut |_| {}).expect("can be read")
}

/// A folder with a block that was merged, a tombstone and a log.
fn written(seed: u64) -> (Faulty, Content) {
    let files = Faulty::new(seed);
    let db = open(&files, &options());
    let mut random = Seed::new(seed);
    let mut group = db.group(&Labels::empty());
    for i in 0..24 {
        let time = 1_000_000 + i * 1000;
        let rows: Vec<_> = (0..4).map(|n| (labels(n), sample(&mut random, time))).collect();
        write_round(&mut group, time, &rows).expect("commits");
        if i == 8 || i == 14 {
            db.flush().expect("flushes");
        }
        if i == 15 {
            db.compact().expect("compacts");
            db.delete(&[Matcher::equal("n", "1")], 0, 1_003_000).expect("deletes");
        }
    }
    db.sync().expect("fsyncs");
    let content = naive::read(&db, i64::MIN, i64::MAX).0;
    drop(group);
    drop(db);
    (files, content)
}

#[test]
fn a_whole_folder_has_no_findings_and_is_not_changed() {
    let (files, _) = written(1);
    let before: Vec<_> = files.paths();
    let found = checked(&files);
    assert_eq!(found.findings, []);
    assert!(found.samples > 50 && found.frames > 5 && found.blocks > 0, "{found:?}");
    assert_eq!(files.paths(), before);
}

#[test]
fn every_flipped_byte_is_named_and_repaired() {
    let (files, whole) = written(2);
    let mut flips = 0;
    for path in files.paths() {
        if path == "LOCK" {
            continue;
        }
        let len = files.read(&path).expect("is there").len();
        for byte in 0..len {
            let damaged = files.kill();
            damaged.flip(&path, byte, (byte % 8) as u8);
            flips += 1;
            let found = match check(&damaged, &mut |_| {}) {
                Ok(found) => found,
                // Another version is refused by name.
                Err(Error::Disk(disk::Error::Newer { .. })) if path == "FORMAT" => continue,
                Err(e) => panic!("{path}, byte {byte}: {e}"),
            };
            let named = found.findings.iter().any(|f| f.file == path);
            assert!(named, "{path}, byte {byte}: {:?}", found.findings);
            if path == "FORMAT" {
                // Whether it is a folder of ours is not for a repair to say.
                assert!(byte == len - 1 || try_open(&damaged, &options()).is_err());
                continue;
            }
            let db = open(&damaged, &options());
            let _ = db.repair().expect("repairs");
            assert!(!db.stats().quarantined.is_empty(), "{path}, byte {byte}: was not set aside");
            let (content, warnings) = naive::read(&db, i64::MIN, i64::MAX);
            assert_eq!(warnings, Vec::<String>::new(), "{path}, byte {byte}");
            if path != "tombstones" {
                for (labels, series) in &content {
                    for (time, value) in series {
                        let was = whole.get(labels).and_then(|s| s.get(time));
                        assert_eq!(was, Some(value), "{path}, byte {byte}: {labels} at {time}");
                    }
                }
            }
            drop(db);
            let after = checked(&damaged.kill());
            assert_eq!(after.findings, [], "{path}, byte {byte}, after the repair");
        }
    }
    println!("{flips} bytes were flipped");
    assert!(flips > 1500, "only {flips} bytes were flipped");
}

#[test]
fn what_is_missing_is_said() {
    let files = Faulty::new(3);
    let found = checked(&files);
    assert!(found.findings.iter().any(|f| f.file == "FORMAT"), "{found:?}");
    let (files, _) = written(4);
    let segment = files.paths().into_iter().find(|p| p.starts_with("log/")).expect("a segment");
    files.remove(&segment).expect("removes");
    // Blocks of the same epochs that do not contain each other were never written by us.
    let block = files.paths().into_iter().find(|p| p.starts_with("blocks/")).expect("a block");
    files.link(&block, "blocks/0000000010-0000000013-0.block").expect("links");
    files.link(&block, "blocks/0000000012-0000000019-0.block").expect("links");
    files.link(&block, "blocks/readme").expect("links");
    let found = checked(&files);
    let text: Vec<String> = found.findings.iter().map(ToString::to_string).collect();
    assert!(text.iter().any(|t| t.contains("has log epochs that")), "{text:?}");
    assert!(found.notes.iter().any(|n| n == "blocks/readme is none of ours"), "{found:?}");
}
