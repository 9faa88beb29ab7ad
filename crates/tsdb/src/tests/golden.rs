//! Data folders that earlier releases wrote still open, and any bytes do no harm.
//!
//! `KUBEVIGIL_WRITE_GOLDEN=1 cargo test -p kubevigil-tsdb golden` writes the folder of the present
//! format anew; one of a released format is never written again.

use super::naive::{self, write_round};
use super::rounds::{labels, options, sample};
use crate::{Db, Options, fuzz};
use disk::seed::Seed;
use model::{Labels, Sample};
use proptest::prelude::*;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1")
}

/// What a folder holds, as text.
fn text(db: &Db) -> String {
    let (content, warnings) = naive::read(db, i64::MIN, i64::MAX);
    assert_eq!(warnings, Vec::<String>::new());
    let mut text = String::new();
    for (labels, series) in content {
        for (time, (start, bits, histogram)) in series {
            writeln!(text, "{labels} {time} {start} {bits:016x} {histogram}").expect("writes");
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

#[test]
fn a_folder_of_format_1_opens_and_says_what_it_always_said() {
    if std::env::var_os("KUBEVIGIL_WRITE_GOLDEN").is_some() {
        let _ = std::fs::remove_dir_all(golden());
        write(&golden());
        std::fs::remove_file(golden().join("LOCK")).expect("removes");
    }
    let copy = tempfile::tempdir().expect("a folder");
    for dir in ["", "log", "blocks"] {
        std::fs::create_dir_all(copy.path().join(dir)).expect("creates");
        for entry in std::fs::read_dir(golden().join(dir)).expect("lists") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_file() {
                let to = copy.path().join(dir).join(entry.file_name());
                std::fs::copy(entry.path(), to).expect("copies");
            }
        }
    }
    let options = Options { background: false, ..options() };
    let db = Db::open(copy.path(), options).expect("opens");
    let expected = std::fs::read_to_string(golden().join("content.txt")).expect("reads");
    assert!(expected.lines().count() > 250);
    assert_eq!(text(&db), expected);
    assert_eq!(db.stats().blocks, 1);
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz::record(&bytes);
        fuzz::tombstones(&bytes);
        fuzz::segment(&bytes);
        fuzz::block(&bytes);
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
        let mut bytes = record.finish();
        let at = at % bytes.len();
        bytes[at] = to;
        bytes[0] = if at == 0 { to } else { bytes[0] ^ form };
        fuzz::record(&bytes);
    }
}
