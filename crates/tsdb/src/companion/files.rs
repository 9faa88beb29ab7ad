//! The files of companions: made for blocks that span enough, found again when a folder is opened, gone with
//! their block. Whatever becomes of one, reads go on without it.

use super::{Companion, Writer};
use crate::Error;
use crate::block::{BlockError, Scratch};
use crate::compact::remove;
use crate::open::{BLOCKS, Mapped};
use crate::pace::{Pace, Paced};
use crate::store::{State, Store, Stored, lock, quarantine};
use disk::Files;
use disk::publish::{Publisher, join};
use model::Columns;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// The companions of one block.
#[derive(Default)]
pub(crate) struct Companions(Mutex<Known>);

#[derive(Default)]
struct Known {
    open: Vec<Arc<Companion>>,
    /// They could not be written: not again before the next start.
    failed: bool,
}

impl Companions {
    /// Those that can be read.
    pub fn open(&self) -> Vec<Arc<Companion>> {
        lock(&self.0).open.clone()
    }

    /// The one for stretches of this width.
    pub fn of_width(&self, width_ms: i64) -> Option<Arc<Companion>> {
        let known = lock(&self.0);
        let fits = |c: &&Arc<Companion>| {
            c.meta().width_ms == width_ms && !c.damaged.load(Ordering::Relaxed)
        };
        known.open.iter().find(fits).cloned()
    }

    /// Bytes of their files.
    pub fn bytes(&self) -> u64 {
        lock(&self.0).open.iter().map(|c| c.size_bytes()).sum()
    }
}

/// The path of the companion of a block.
pub(crate) fn path_of(block: &str, width_ms: i64) -> String {
    format!("{}.{width_ms}{ENDING}", block.strip_suffix(BLOCK).unwrap_or(block))
}

const ENDING: &str = ".companion";
const BLOCK: &str = ".block";

/// Whether a path is that of a companion.
pub(crate) fn is_companion(path: &str) -> bool {
    path.ends_with(ENDING)
}

/// The name of the block, and the width, that the name of a companion tells.
pub(crate) fn block_of(name: &str) -> Option<(String, i64)> {
    let (block, width) = name.strip_suffix(ENDING)?.rsplit_once('.')?;
    Some((format!("{block}{BLOCK}"), width.parse().ok().filter(|w| *w > 0)?))
}

/// Opens a companion, which must be of this block.
pub(crate) fn open_file(
    files: &dyn Files,
    path: &str,
    stored: &Stored,
) -> Result<Companion, Error> {
    let failed = |source| disk::Error::Io { place: files.place(path), source };
    let map = files.read(path).map_err(failed)?;
    let damaged = |source| Error::Block { file: files.place(path), source };
    let companion = Companion::open(Mapped(map)).map_err(damaged)?;
    let meta = companion.meta();
    let series = stored.block.meta().series;
    if meta.block != stored.block.identity() || meta.entries != series {
        return Err(damaged(BlockError::Damaged { at: 0, what: "it is of another block" }));
    }
    Ok(companion)
}

/// Finds the companions of the blocks when a folder is opened; those of no block, and of widths that are not
/// wanted any more, are deleted, and damaged ones set aside.
pub(crate) fn attach(files: &dyn Files, widths_ms: &[i64], state: &mut State) -> Result<(), Error> {
    let listed = files.list(BLOCKS);
    let place = || files.place(BLOCKS);
    for entry in listed.map_err(|source| disk::Error::Io { place: place(), source })? {
        let Some((block, width_ms)) = block_of(&entry.name) else { continue };
        let (path, block) = (join(BLOCKS, &entry.name), join(BLOCKS, &block));
        let stored = state.blocks.iter().find(|b| b.path == block);
        let Some(stored) = stored.filter(|_| widths_ms.contains(&width_ms)) else {
            // What cannot be deleted now is deleted at the next opening.
            let _ = files.remove(&path);
            continue;
        };
        match open_file(files, &path, stored) {
            Ok(companion) if companion.meta().width_ms == width_ms => {
                lock(&stored.companions.0).open.push(Arc::new(companion));
            }
            Ok(_) => drop(files.remove(&path)),
            // A newer release wrote it, and another is made.
            Err(Error::Block { source: BlockError::Newer { .. }, .. }) => {
                let _ = files.remove(&path);
            }
            Err(e) => state.quarantined.push(quarantine(files, &path, &e.to_string())),
        }
    }
    Ok(())
}

/// Sets damaged companions aside, then makes those that are missing.
pub(crate) fn tick(store: &Store, pace: &Pace<'_>) {
    let blocks = store.read().blocks.clone();
    for stored in &blocks {
        set_damaged_aside(store, stored);
    }
    for stored in blocks {
        if store.closed.load(Ordering::Relaxed) {
            return;
        }
        if missing(store, &stored).is_empty() {
            continue;
        }
        let _one = lock(&store.maintenance);
        let is_there = store.read().blocks.iter().any(|b| Arc::ptr_eq(b, &stored));
        let widths = if is_there { missing(store, &stored) } else { Vec::new() };
        if widths.is_empty() {
            continue;
        }
        match make(store, &stored, &widths, pace) {
            Ok(made) => lock(&stored.companions.0).open.extend(made),
            Err(e) => {
                tracing::warn!("{} has no companion: {e}", stored.path);
                lock(&stored.companions.0).failed = true;
            }
        }
    }
}

/// Reads every companion of a block; those that are damaged are set aside. Gives what is wrong.
pub(crate) fn verify(store: &Store, stored: &Stored, wrong: &mut dyn FnMut(&str, &BlockError)) {
    for companion in stored.companions.open() {
        if let Err(e) = companion.verify() {
            wrong(&path_of(&stored.path, companion.meta().width_ms), &e);
            companion.damaged.store(true, Ordering::Relaxed);
        }
    }
    set_damaged_aside(store, stored);
}

/// Deletes the companions of a block that goes.
pub(crate) fn remove_all(store: &Store, stored: &Stored) {
    for companion in std::mem::take(&mut lock(&stored.companions.0).open) {
        remove(store, &path_of(&stored.path, companion.meta().width_ms));
    }
}

fn set_damaged_aside(store: &Store, stored: &Stored) {
    let damaged: Vec<Arc<Companion>> = {
        let known = &mut *lock(&stored.companions.0);
        let is_damaged = |c: &Arc<Companion>| c.damaged.load(Ordering::Relaxed);
        let (damaged, open) = std::mem::take(&mut known.open).into_iter().partition(is_damaged);
        known.open = open;
        damaged
    };
    for companion in damaged {
        let path = path_of(&stored.path, companion.meta().width_ms);
        store.quarantine(&path, "it cannot be read; the block answers in its place");
    }
}

/// The widths of which a block is to have a companion, and has none.
fn missing(store: &Store, stored: &Stored) -> Vec<i64> {
    let meta = stored.block.meta();
    let options = &store.options;
    let known = lock(&stored.companions.0);
    let spans = meta.max_ms.saturating_sub(meta.min_ms) >= options.companion_span_ms;
    if !spans || meta.series == 0 || known.failed || lock(&stored.damage).is_some() {
        return Vec::new();
    }
    let has = |w: &i64| known.open.iter().any(|c| c.meta().width_ms == *w);
    options.companions_ms.iter().copied().filter(|w| *w > 0 && !has(w)).collect()
}

/// Writes companions of a block, all in one walk over its samples.
fn make(
    store: &Store,
    stored: &Stored,
    widths_ms: &[i64],
    pace: &Pace<'_>,
) -> Result<Vec<Arc<Companion>>, Error> {
    let files = &*store.files;
    let failed = |source| Error::Block { file: files.place(&stored.path), source };
    let paths: Vec<String> = widths_ms.iter().map(|w| path_of(&stored.path, *w)).collect();
    let mut writers = Vec::with_capacity(paths.len());
    for (path, width_ms) in paths.iter().zip(widths_ms) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let publisher = Publisher::begin(files, BLOCKS, name)?;
        let identity = stored.block.identity();
        writers.push(
            Writer::new(Paced { inner: publisher, pace }, *width_ms, identity).map_err(failed)?,
        );
    }
    let (mut columns, mut scratch) = (Columns::default(), Scratch::default());
    for entry in 0..stored.block.meta().series as u32 {
        columns.clear();
        let read = stored.block.read(entry, i64::MIN, i64::MAX, &mut scratch, &mut columns);
        if let Err(e) = read {
            // The block is written anew, and then has another companion.
            lock(&stored.damage).get_or_insert(e.to_string());
            return Err(failed(e));
        }
        for writer in &mut writers {
            writer.entry(&columns).map_err(failed)?;
        }
    }
    let mut made = Vec::with_capacity(paths.len());
    for (writer, path) in writers.into_iter().zip(&paths) {
        writer.finish().map_err(failed)?.inner.finish()?;
        made.push(Arc::new(open_file(files, path, stored)?));
    }
    Ok(made)
}
