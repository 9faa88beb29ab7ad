//! Data folders that earlier releases wrote still open, and any bytes do no harm.
//!
//! `KUBEVIGIL_WRITE_GOLDEN=NAME cargo test -p kubevigil-tsdb golden` writes the folder of that name with the
//! present format; one of a released format is never written again.

use super::naive::{self, write_round};
use super::rounds::{labels, options, sample};
use crate::{Db, Options, fuzz};
use disk::seed::Seed;
use model::{Labels, Matcher, Sample};
use proptest::prelude::*;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// What a folder holds, as text.
pub fn text(db: &Db) -> String {
    let (content, warnings) = naive::read(db, i64::MIN, i64::MAX);
    assert_eq!(warnings, Vec::<String>::new());
    let mut text = String::new();
    for (labels, series) in content {
        for (time, (start, bits, histogram)) in series {
            writeln!(text, "{labels} {time} {start} {bits:016x} {histogram}").expect("writes");
        }
    }
    let everything = [vec![Matcher::equal("__name__", "m")]];
    for (labels, exemplars) in db.exemplars(&everything, i64::MIN, i64::MAX) {
        for crate::Exemplar { labels: own, value, time_ms } in exemplars {
            writeln!(text, "{labels} # {own} {time_ms} {:016x}", value.to_bits()).expect("writes");
        }
    }
    text
}

fn write(dir: &Path) {
    let options = Options { background: false, ..options() };
    let db = Db::open(dir, options).expect("opens");
    let mut group = db.group(&Labels::empty());
    let mut random = Seed::new(1);
    for i in 0..60 {
        let time = 1_700_000_000_000 + i * 1000;
        let rows: Vec<(Labels, Sample)> =
            (0..5).map(|n| (labels(n), sample(&mut random, time))).collect();
        write_round(&mut group, time, &rows).expect("commits");
        if i % 10 == 0 {
            db.append(&[(labels(9), sample(&mut random, time - 5))]).expect("appends");
        }
        if i == 40 {
            db.flush().expect("flushes");
        }
    }
    db.close().expect("closes");
    std::fs::write(dir.join("content.txt"), text(&db)).expect("writes");
}

/// A folder with merged blocks, deletions, and samples that were sealed.
fn write_merged(dir: &Path) {
    let db = Db::open(dir, Options { background: false, ..options() }).expect("opens");
    let mut group = db.group(&Labels::empty());
    let mut random = Seed::new(2);
    for i in 0..50 {
        let time = 1_700_000_000_000 + i * 1000;
        let rows: Vec<(Labels, Sample)> =
            (0..5).map(|n| (labels(n), sample(&mut random, time))).collect();
        write_round(&mut group, time, &rows).expect("commits");
        match i {
            10 | 20 => db.flush().expect("flushes"),
            25 => db.compact().expect("compacts"),
            30 => {
                let second = [Matcher::equal("n", "2")];
                db.delete(&second, time - 15_000, time - 5000).expect("deletes");
            }
            _ => {}
        }
    }
    super::seal::seal_some(&db, &mut random, 1_600_000_000_000);
    db.close().expect("closes");
    std::fs::write(dir.join("content.txt"), text(&db)).expect("writes");
}

/// A folder with exemplars of samples in the log, and of some that are in a block.
fn write_exemplars(dir: &Path) {
    let db =
        Db::open(dir, Options { background: false, exemplars: 40, ..options() }).expect("opens");
    let mut group = db.group(&Labels::empty());
    let mut random = Seed::new(3);
    for i in 0..60 {
        let time = 1_700_000_000_000 + i * 1000;
        let rows: Vec<(Labels, Sample)> =
            (0..5).map(|n| (labels(n), sample(&mut random, time))).collect();
        let some = super::exemplars::some(&mut random, rows.len(), time);
        super::exemplars::write(&mut group, time, &rows, &some).expect("commits");
        if i == 30 {
            db.flush().expect("flushes");
        }
    }
    db.close().expect("closes");
    std::fs::write(dir.join("content.txt"), text(&db)).expect("writes");
}

#[test]
fn folders_of_format_1_open_and_say_what_they_always_said() {
    type Golden = (&'static str, fn(&Path), u64);
    let all: [Golden; 4] = [
        ("v1", write, 1),
        ("v1-merged", write_merged, 4),
        ("v1-companions", super::companions::write_golden, 1),
        ("v1-exemplars", write_exemplars, 1),
    ];
    for (name, write, blocks) in all {
        if std::env::var_os("KUBEVIGIL_WRITE_GOLDEN").is_some_and(|n| n == name) {
            let _ = std::fs::remove_dir_all(golden(name));
            write(&golden(name));
            std::fs::remove_file(golden(name).join("LOCK")).expect("removes");
        }
        let copy = tempfile::tempdir().expect("a folder");
        for dir in ["", "log", "blocks"] {
            std::fs::create_dir_all(copy.path().join(dir)).expect("creates");
            for entry in std::fs::read_dir(golden(name).join(dir)).into_iter().flatten() {
                let entry = entry.expect("an entry");
                if entry.file_type().expect("a type").is_file() {
                    let to = copy.path().join(dir).join(entry.file_name());
                    std::fs::copy(entry.path(), to).expect("copies");
                }
            }
        }
        let checked = crate::check(&disk::Folder::new(copy.path()), &mut |_| {});
        assert_eq!(checked.expect("can be read").findings, [], "{name}");
        let options = Options { background: false, exemplars: 40, ..options() };
        let db = Db::open(copy.path(), options).expect("opens");
        let expected = std::fs::read_to_string(golden(name).join("content.txt")).expect("reads");
        assert!(expected.lines().count() > 250, "{name}");
        assert_eq!(text(&db), expected, "{name}");
        assert_eq!(db.stats().blocks, blocks, "{name}");
        assert_eq!(db.stats().companion_bytes > 0, name == "v1-companions", "{name}");
        assert_eq!(expected.contains(" # "), name == "v1-exemplars", "{name}");
        db.compact().expect("compacts");
        assert_eq!(text(&db), expected, "{name}, compacted");
    }
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::record(&bytes);
        fuzz::tombstones(&bytes);
        fuzz::segment(&bytes);
        fuzz::block(&bytes);
        fuzz::companion(&bytes);
    }

    /// Also beneath the checksums, which somebody may have made to fit.
    #[test]
    fn changed_blocks_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let entry = std::fs::read_dir(golden("v1-merged").join("blocks")).expect("lists").next();
        let mut bytes = std::fs::read(entry.expect("a block").expect("an entry").path()).expect("reads");
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        fuzz::block(&bytes);
    }

    #[test]
    fn changed_companions_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let entries = std::fs::read_dir(golden("v1-companions").join("blocks")).expect("lists");
        let mut paths = entries.map(|e| e.expect("an entry").path());
        let companion = paths.find(|p| p.extension().is_some_and(|e| e == "companion"));
        let mut bytes = std::fs::read(companion.expect("a companion")).expect("reads");
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        fuzz::companion(&bytes);
    }

    #[test]
    fn changed_records_do_no_harm(at in 0usize..4000, to in any::<u8>(), form in 0u8..2) {
        let mut record = crate::record::Builder::default();
        for n in 0..60 {
            record.series(n, &labels(u64::from(n)));
            record.slot(1, n, n);
            record.change(n, &[crate::change::Step::Start(7), crate::change::Step::Float(u64::from(n))]);
        }
        record.tick(1, true, 1000);
        let of = |value| crate::Exemplar { labels: labels(7), value, time_ms: 900 };
        record.exemplar(3, &crate::exemplars::Entry::stated(of(1.0)));
        record.kept_exemplar(&labels(4), &crate::exemplars::Entry::stated(of(2.0)));
        let mut bytes = record.finish();
        let at = at % bytes.len();
        bytes[at] = to;
        bytes[0] = if at == 0 { to } else { bytes[0] ^ form };
        fuzz::record(&bytes);
    }
}
