//! Whether a data folder is whole, and what can be done about it.
//!
//! [`check`] only reads: every checksum of every block and segment, and that what they say fits together.
//! [`repair`] works on an open store: what is damaged is set aside, and written anew without what cannot be
//! read.

use crate::block::BlockError;
use crate::head::Head;
use crate::open::{BLOCKS, FORMAT, FORMAT_FILE, FORMAT_VERSION, LOG, epochs_of, open_block};
use crate::options::Progress;
use crate::pace::Pace;
use crate::store::{Store, lock};
use crate::{Error, companion, merge, tombstones};
use disk::publish::{self, join};
use disk::{Entry, Files};
use std::io;
use std::sync::Arc;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, within the data folder.
    pub file: String,
    /// Where in the file, in bytes, as far as that is known.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.file)?;
        if let Some(offset) = self.offset {
            write!(f, "byte {offset}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// What is wrong, file by file; at most [`FINDINGS_MAX`] a file.
    pub findings: Vec<Finding>,
    /// What is worth knowing and no damage.
    pub notes: Vec<String>,
    /// Blocks that could be opened.
    pub blocks: u64,
    /// Series of all blocks, one for each group of a block in which a label set appears.
    pub series: u64,
    /// Samples in blocks.
    pub samples: u64,
    /// Whole frames of the log.
    pub frames: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

/// So many findings of one file are listed; that there are more is said.
pub const FINDINGS_MAX: usize = 20;

/// Reads a data folder and says what is wrong. Changes nothing. No program may have the folder open.
///
/// Fails only where the folder cannot be read, or a newer release wrote it.
pub fn check(files: &dyn Files, progress: &mut dyn FnMut(Progress)) -> Result<Checked, Error> {
    let mut found = Checked::default();
    check_format(files, &mut found)?;
    let entries = list(files, BLOCKS, &mut found)?;
    let segments = list(files, LOG, &mut found)?;
    let total: u64 = entries.iter().chain(&segments).map(|e| e.len).sum();
    let mut done = 0;
    let mut known: Vec<(u32, u32, u32, &str)> = Vec::new();
    for entry in &entries {
        progress(Progress { what: "checking blocks", done, total });
        let path = join(BLOCKS, &entry.name);
        match epochs_of(&entry.name) {
            Some((first, last, edition)) => {
                known.push((first, last, edition, &entry.name));
                check_block(files, &path, &mut found)?;
            }
            None if companion::files::block_of(&entry.name).is_some() => {
                check_companion(files, &entry.name, &mut found)?;
            }
            None if entry.name.ends_with(publish::UNFINISHED) => {
                found.notes.push(format!("{path} was being written when the program ended"));
            }
            None => found.notes.push(format!("{path} is none of ours")),
        }
        done += entry.len;
    }
    check_epochs(&known, &mut found);
    check_log(files, known.iter().map(|k| k.1).max(), &mut found, &mut |bytes, _| {
        progress(Progress { what: "checking the log", done: done + bytes, total });
    })?;
    check_tombstones(files, &mut found)?;
    for (file, why) in publish::quarantined(files) {
        found.notes.push(format!("{file} was set aside before ({why})"));
    }
    found.bytes = total;
    Ok(found)
}

fn io(files: &dyn Files, path: &str) -> impl FnOnce(io::Error) -> Error + use<> {
    let place = files.place(path);
    move |source| disk::Error::Io { place, source }.into()
}

impl Checked {
    fn add(&mut self, file: &str, offset: Option<u64>, what: String) {
        let of_file = self.findings.iter().filter(|f| f.file == file).count();
        let what = match of_file {
            n if n > FINDINGS_MAX => return,
            FINDINGS_MAX => "and more".to_owned(),
            _ => what,
        };
        let offset = offset.filter(|_| of_file < FINDINGS_MAX);
        self.findings.push(Finding { file: file.to_owned(), offset, what });
    }

    fn add_block(&mut self, file: &str, error: &BlockError) {
        match error {
            BlockError::Damaged { at, what } => self.add(file, Some(*at), (*what).to_owned()),
            other => self.add(file, None, other.to_string()),
        }
    }
}

fn check_format(files: &dyn Files, found: &mut Checked) -> Result<(), Error> {
    let text = match files.read(FORMAT_FILE) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let what = "is missing: no data folder, or a snapshot that was cut short";
            found.add(FORMAT_FILE, None, what.into());
            return Ok(());
        }
        Err(e) => return Err(io(files, FORMAT_FILE)(e)),
    };
    let text = String::from_utf8_lossy(&text);
    let version = text.trim().strip_prefix(FORMAT).map(|v| v.trim().parse::<u32>());
    match version {
        Some(Ok(version)) if version > FORMAT_VERSION => Err(disk::Error::Newer {
            place: files.place(FORMAT_FILE),
            found: version,
            known: FORMAT_VERSION,
        }
        .into()),
        Some(Ok(v @ 1..)) if text == format!("{FORMAT} {v}\n") => Ok(()),
        _ => {
            let shown: String = text.chars().take(40).collect();
            let what = format!("expected `{FORMAT} {FORMAT_VERSION}`, found {shown:?}");
            found.add(FORMAT_FILE, Some(0), what);
            Ok(())
        }
    }
}

fn list(files: &dyn Files, dir: &str, found: &mut Checked) -> Result<Vec<Entry>, Error> {
    match files.list(dir) {
        Ok(entries) => Ok(entries),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            found.add(dir, None, "is missing".into());
            Ok(Vec::new())
        }
        Err(e) => Err(io(files, dir)(e)),
    }
}

fn check_block(files: &dyn Files, path: &str, found: &mut Checked) -> Result<(), Error> {
    let stored = match open_block(files, path) {
        Ok(stored) => stored,
        Err(Error::Block { source: source @ BlockError::Damaged { .. }, .. }) => {
            found.add_block(path, &source);
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    found.blocks += 1;
    found.series += stored.block.meta().series;
    found.samples += stored.block.meta().samples;
    stored.block.verify_with(&mut |e| found.add_block(path, &e));
    Ok(())
}

fn check_companion(files: &dyn Files, name: &str, found: &mut Checked) -> Result<(), Error> {
    let path = join(BLOCKS, name);
    let Some((block, _)) = companion::files::block_of(name) else { return Ok(()) };
    let Ok(stored) = open_block(files, &join(BLOCKS, &block)) else {
        found.notes.push(format!("{path} is of no block that can be read"));
        return Ok(());
    };
    let wrong = match companion::files::open_file(files, &path, &stored) {
        Ok(companion) => companion.verify().err(),
        Err(Error::Block { source: source @ BlockError::Damaged { .. }, .. }) => Some(source),
        Err(Error::Block { source: BlockError::Newer { .. }, .. }) => {
            found.notes.push(format!("{path} is of a newer release, and is made anew"));
            None
        }
        Err(e) => return Err(e),
    };
    if let Some(e) = wrong {
        found.add_block(&path, &e);
    }
    Ok(())
}

/// No two blocks may have samples of one log epoch, except a merged one and its sources.
fn check_epochs(known: &[(u32, u32, u32, &str)], found: &mut Checked) {
    for (i, a) in known.iter().enumerate() {
        for b in &known[i + 1..] {
            let apart = a.1 < b.0 || b.1 < a.0;
            let nested = (a.0 <= b.0 && b.1 <= a.1) || (b.0 <= a.0 && a.1 <= b.1);
            if !apart && nested {
                found.notes.push(format!(
                    "{} and {} have samples of the same time in the log: what a merge left behind",
                    a.3, b.3
                ));
            } else if !apart {
                found.add(&join(BLOCKS, a.3), None, format!("has log epochs that {} has too", b.3));
            }
        }
    }
}

fn check_log(
    files: &dyn Files,
    written: Option<u32>,
    found: &mut Checked,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Error> {
    if files.list(LOG).is_err() {
        // Told already.
        return Ok(());
    }
    let mut head = Head::default();
    let (mut unread, mut expected) = (Vec::new(), None);
    let replayed = disk::replay(files, LOG, written, progress, &mut |frame| {
        if expected.is_some_and(|e| e != frame.seq) {
            head.break_chains();
        }
        expected = Some(frame.seq + 1);
        if let Err(e) = head.apply(frame.payload, frame.epoch) {
            head.break_chains();
            if unread.len() <= FINDINGS_MAX {
                unread.push(format!("record {} cannot be read: {e}", frame.seq));
            }
        }
    })?;
    found.frames = replayed.frames;
    for damage in &replayed.damage {
        found.add(&damage.file, Some(damage.offset), damage.why.clone());
    }
    for what in unread {
        found.add(LOG, None, what);
    }
    if replayed.lost_frames > 0 {
        let what = format!("{} records between others are missing", replayed.lost_frames);
        found.add(LOG, None, what);
    }
    if replayed.torn_bytes > 0 && replayed.damage.is_empty() {
        found.notes.push(format!(
            "{} bytes at the end of the log were cut short, as a crash leaves them",
            replayed.torn_bytes
        ));
    }
    Ok(())
}

fn check_tombstones(files: &dyn Files, found: &mut Checked) -> Result<(), Error> {
    match files.read(tombstones::FILE) {
        Ok(bytes) => {
            if let Err(e) = tombstones::decode(&bytes) {
                found.add(tombstones::FILE, None, e.to_string());
            }
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(io(files, tombstones::FILE)(e)),
    }
}

/// Writes damaged blocks anew without what cannot be read; what opening set aside is set aside already.
pub(crate) fn repair(store: &Store) -> Result<Vec<Finding>, Error> {
    let mut found = Checked::default();
    let blocks = store.read().blocks.clone();
    for stored in blocks {
        companion::files::verify(store, &stored, &mut |path, e| found.add_block(path, e));
        let before = found.findings.len();
        stored.block.verify_with(&mut |e| found.add_block(&stored.path, &e));
        let Some(first) = found.findings.get(before) else { continue };
        lock(&stored.damage).get_or_insert_with(|| first.to_string());
        match merge::merge(store, &[Arc::clone(&stored)], &Pace::none()) {
            Err(Error::Block { .. }) => {
                // Not even its labels can be read.
                let mut state = store.write();
                state.blocks.retain(|b| !Arc::ptr_eq(b, &stored));
                state.head.touched.note(i64::MIN);
                drop(state);
                let why = lock(&stored.damage).clone().unwrap_or_default();
                store.quarantine(&stored.path, &why);
            }
            merged => merged?,
        }
    }
    Ok(found.findings)
}
