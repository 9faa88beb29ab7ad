//! A copy of the store at one moment, beside it: `snapshots/NAME` holds a data folder of its own.
//!
//! Blocks and tombstones are never changed once they have their names, so a second name is a copy. What
//! the head holds is written to a block first. The format file comes last: a folder without it is one that
//! a crash cut short.

use crate::companion::files::{is_companion, path_of};
use crate::open::{BLOCKS, FORMAT_FILE};
use crate::pace::Pace;
use crate::store::{Store, lock};
use crate::tombstones;
use crate::{Error, compact};
use disk::publish::join;
use std::io;

/// The folder of the snapshots.
pub(crate) const SNAPSHOTS: &str = "snapshots";
/// A name has at most so many bytes.
const NAME_MAX: usize = 128;

/// Makes one, and gives its path.
pub(crate) fn snapshot(store: &Store, name: &str, with_head: bool) -> Result<String, Error> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let refused = |why| Error::Snapshot { name: name.to_owned(), why };
    if name.is_empty() || name.len() > NAME_MAX || name.starts_with('.') || !name.bytes().all(plain)
    {
        return Err(refused("letters, digits, - _ . and at most 128 of them make a name"));
    }
    let files = &*store.files;
    let dir = join(SNAPSHOTS, name);
    if !files.list(&dir).unwrap_or_default().is_empty() {
        return Err(refused("there is one of that name already"));
    }
    if with_head {
        let epoch = store.rotate()?;
        compact::flush(store, epoch - 1, &Pace::none())?;
    }
    // Blocks are neither made nor deleted meanwhile.
    let _one = lock(&store.maintenance);
    let mut blocks = Vec::new();
    for stored in &store.read().blocks {
        blocks.push(stored.path.clone());
        let widths = stored.companions.open().into_iter().map(|c| c.meta().width_ms);
        blocks.extend(widths.map(|w| path_of(&stored.path, w)));
    }
    let mut linked = Vec::new();
    let made = copy(store, &dir, &blocks, &mut linked);
    made.map_err(|source| {
        for path in linked {
            // The first failure is what counts.
            let _ = files.remove(&path);
        }
        disk::Error::Io { place: files.place(&dir), source }
    })?;
    Ok(files.place(&dir))
}

fn copy(store: &Store, dir: &str, blocks: &[String], linked: &mut Vec<String>) -> io::Result<()> {
    let files = &*store.files;
    let blocks_dir = join(dir, BLOCKS);
    for made in [&*blocks_dir, &join(dir, crate::open::LOG)] {
        files.create_dir(made)?;
    }
    let mut link = |from: &str| -> io::Result<()> {
        let to = join(dir, from);
        files.link(from, &to)?;
        linked.push(to);
        Ok(())
    };
    for block in blocks {
        match link(block) {
            // A companion may be set aside at any time, and is made anew.
            Err(e) if e.kind() == io::ErrorKind::NotFound && is_companion(block) => {}
            linked => linked?,
        }
    }
    match link(tombstones::FILE) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    for made in [&*blocks_dir, dir] {
        files.sync_dir(made)?;
    }
    link(FORMAT_FILE)?;
    for made in [dir, SNAPSHOTS, ""] {
        files.sync_dir(made)?;
    }
    Ok(())
}
