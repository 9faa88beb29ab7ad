//! Opening a data folder: lock, version, blocks, then the log is replayed into the head.
//!
//! Whatever is damaged is set aside; opening fails only where the folder is another's, newer, or
//! cannot be read or written at all.

use crate::block::{Block, BlockError};
use crate::companion::files::Companions;
use crate::numbers::Numbers;
use crate::options::Progress;
use crate::store::{State, Store, Stored, quarantine};
use crate::{Error, Options, compact, companion, tombstones};
use disk::publish::{self, join};
use disk::{Files, Log, LogOptions, Replay};
use std::sync::{Arc, Mutex};

/// The folder of the log's segments.
pub(crate) const LOG: &str = "log";
/// The folder of the blocks.
pub(crate) const BLOCKS: &str = "blocks";
/// The folder of segments whose samples are in blocks, kept for [`crate::Tail`]s.
pub(crate) const KEPT: &str = "kept";
/// What the format file says.
pub(crate) const FORMAT: &str = "kubevigil-data";
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Where it is said.
pub(crate) const FORMAT_FILE: &str = "FORMAT";

/// Opens the folder of `files`.
pub(crate) fn open(
    files: Arc<dyn Files>,
    options: Options,
    log_options: LogOptions,
) -> Result<Store, Error> {
    let io = |path: &str| {
        let place = files.place(path);
        move |source| disk::Error::Io { place, source }
    };
    for dir in ["", LOG, BLOCKS, publish::QUARANTINE] {
        files.create_dir(dir).map_err(io(dir))?;
    }
    let folder_lock = publish::lock(&*files)?;
    publish::remove_unfinished(&*files, "")?;
    publish::check_version(&*files, FORMAT, FORMAT_VERSION)?;
    publish::remove_unfinished(&*files, BLOCKS)?;
    files.sync_dir("").map_err(io(""))?;
    remove_former(&*files);
    let mut state = State::default();
    state.head.exemplars.set_capacity(options.exemplars);
    for (file, why) in publish::quarantined(&*files) {
        state.quarantined.push(crate::Quarantined { file, why });
    }
    open_blocks(&*files, &mut state)?;
    companion::files::attach(&*files, &options.companions_ms, &mut state)?;
    tombstones::load(&*files, &mut state)?;
    let written = state.blocks.iter().map(|b| b.last).max();
    let (replayed, newest) = read_log(&*files, &options, written, &mut state)?;
    // No epoch comes twice, so that a place in the log is told from every other.
    let newest = newest.max(written.unwrap_or(0)).max(disk::tail::newest_kept(&*files, KEPT)?);
    let log = Log::open(Arc::clone(&files), LOG, log_options, &replayed, newest + 1);
    if options.keep_log {
        log.keep_in(Some(KEPT))?;
    }
    let store = Store::new(files, options, log, state, newest + 1, folder_lock);
    settle(&store, &replayed, written, newest);
    Ok(store)
}

/// Removes what an earlier release kept in the folder, in a form that is no more.
fn remove_former(files: &dyn Files) {
    let former = |name: &str| {
        let number = name.strip_prefix("exemplars-");
        number.is_some_and(|n| n.len() == 10 && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let entries = files.list("").unwrap_or_default();
    for path in entries.into_iter().map(|e| e.name).filter(|n| former(n)) {
        match files.remove(&path) {
            Ok(()) => tracing::info!("{} is removed: exemplars are in the log", files.place(&path)),
            Err(e) => tracing::warn!("{}: {e}", files.place(&path)),
        }
    }
}

fn open_blocks(files: &dyn Files, state: &mut State) -> Result<(), Error> {
    let place = files.place(BLOCKS);
    let entries =
        files.list(BLOCKS).map_err(|source| disk::Error::Io { place: place.clone(), source })?;
    for entry in entries {
        let path = join(BLOCKS, &entry.name);
        if epochs_of(&entry.name).is_none() {
            continue;
        }
        match open_block(files, &path) {
            Ok(block) => state.blocks.push(Arc::new(block)),
            Err(Error::Block { source: source @ BlockError::Newer { .. }, file }) => {
                return Err(Error::Block { file, source });
            }
            Err(e) => state.quarantined.push(quarantine(files, &path, &e.to_string())),
        }
    }
    // A crash after a merge leaves its sources beside the result.
    let whole: Vec<(u32, u32, u32)> =
        state.blocks.iter().map(|b| (b.first, b.last, b.edition)).collect();
    let within = |b: &Stored| {
        whole.iter().any(|(first, last, edition)| {
            let wider = (b.last - b.first) < (last - first);
            *first <= b.first && b.last <= *last && (wider || b.edition < *edition)
        })
    };
    let (sources, blocks) = std::mem::take(&mut state.blocks).into_iter().partition(|b| within(b));
    state.blocks = blocks;
    let sources: Vec<Arc<Stored>> = sources;
    for source in sources {
        // What cannot be removed now is removed at the next opening.
        let _ = files.remove(&source.path);
    }
    state.blocks.sort_by_key(|b| b.first);
    Ok(())
}

/// Opens one block.
pub(crate) fn open_block(files: &dyn Files, path: &str) -> Result<Stored, Error> {
    let map =
        files.read(path).map_err(|source| disk::Error::Io { place: files.place(path), source })?;
    let block = Block::open(Mapped(map))
        .map_err(|source| Error::Block { file: files.place(path), source })?;
    let name = path.rsplit('/').next().unwrap_or(path);
    let (first, last, edition) = epochs_of(name).unwrap_or((0, 0, 0));
    Ok(Stored {
        first,
        last,
        edition,
        path: path.into(),
        block,
        damage: Mutex::new(None),
        numbers: Numbers::default(),
        companions: Companions::default(),
    })
}

pub(crate) struct Mapped(pub disk::Map);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The file name of a block with the samples of these log epochs, written for the `edition`-th
/// time because the one before was damaged.
pub(crate) fn block_name(first: u32, last: u32, edition: u32) -> String {
    format!("{first:010}-{last:010}-{edition}.block")
}

pub(crate) fn epochs_of(name: &str) -> Option<(u32, u32, u32)> {
    let mut parts = name.strip_suffix(".block")?.split('-').map(str::parse);
    let epochs = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    (parts.next().is_none() && epochs.0 <= epochs.1).then_some(epochs)
}

/// Replays what no block has; gives what was found and the newest epoch.
fn read_log(
    files: &dyn Files,
    options: &Options,
    written: Option<u32>,
    state: &mut State,
) -> Result<(Replay, u32), Error> {
    let told = |done, total| {
        if let Some(progress) = &options.progress {
            progress(Progress { what: "reading the log", done, total });
        }
    };
    let (mut expected, mut newest, mut unread) = (None, 0, 0u64);
    let head = &mut state.head;
    let replayed = disk::replay(files, LOG, written, &mut { told }, &mut |frame| {
        if expected.is_some_and(|e| e != frame.seq) {
            head.break_chains();
        }
        expected = Some(frame.seq + 1);
        newest = newest.max(frame.epoch);
        if head.apply(frame.payload, frame.epoch).is_err() {
            unread += 1;
            head.break_chains();
        }
    })?;
    if unread > 0 {
        tracing::warn!("{unread} records of the log could not be read and were left out");
    }
    let newest = replayed.segments.iter().map(|s| s.epoch).chain([newest]).max().unwrap_or(0);
    // Nobody writes these groups yet, and nothing follows what was replayed.
    head.break_chains();
    Ok((replayed, newest))
}

/// Deletes what blocks have already, and sets damaged segments aside once what could be read of
/// them is in a block.
fn settle(store: &Store, replayed: &Replay, written: Option<u32>, newest: u32) {
    if replayed.damage.is_empty() {
        if let Some(written) = written
            && let Err(e) = store.log.remove_through(written)
        {
            tracing::warn!("old log: {e}");
        }
        return;
    }
    for damage in &replayed.damage {
        tracing::warn!("{} is damaged at byte {}: {}", damage.file, damage.offset, damage.why);
    }
    if let Err(e) = compact::flush_damaged(store, newest, &replayed.damage) {
        tracing::warn!("the damaged log stays where it is: {e}");
    }
}
