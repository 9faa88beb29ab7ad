//! Companions of blocks: of every stretch of some minutes what functions over time need of it, so that a query
//! over weeks reads a few numbers a stretch instead of all samples.
//!
//! A companion has nothing that its block does not have: it is made from the block, may be deleted at any time
//! and is then made anew. A stretch of width w is (n·w - w, n·w]. What is kept of a series is such that any
//! window made of whole stretches answers as the samples do; a series of which that cannot be said is left out
//! and read from the block. This module opens, deletes and renames nothing. `docs/formats/companion.md` has
//! the layout.

pub(crate) mod files;
mod summary;
mod write;

pub(crate) use write::Writer;

use crate::block::{BlockError, Frame, mix, page_at};
use crate::codec::CodecError;
use crate::cursor::Cursor;
use crate::times::Times;
use model::{Columns, Keep};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How the file begins and ends.
pub(crate) const FRAME: Frame<4> = Frame {
    magic: b"KVCOMPAN",
    end_magic: b"KVCMPEND",
    version: 1,
    sections: ["groups", "entry offsets", "entries", "meta"],
};
const GROUPS: usize = 0;
const OFFSETS: usize = 1;
const ENTRIES: usize = 2;
const META: usize = 3;

/// A series of which more is kept has no place in a companion.
const TICKS_MAX: usize = 1 << 18;

/// Set for every entry of which something is kept.
const KEPT: u8 = 1;
/// Pairs of samples that fall are kept besides first and last ones.
const FALLS: u8 = 2;
const STARTS: u8 = 4;
const SUMS: u8 = 8;
const EXTREMES: u8 = 16;

/// A companion that is open for reading.
pub(crate) struct Companion {
    bytes: Box<dyn AsRef<[u8]> + Send + Sync>,
    /// Distinguishes the companions of this process, for caches.
    id: u64,
    sections: [(usize, usize); 4],
    groups: Vec<Group>,
    meta: Meta,
    /// Set once reading found it damaged.
    pub damaged: AtomicBool,
}

/// What a companion says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The width of its stretches in milliseconds.
    pub width_ms: i64,
    /// Size and checksum of the block from which it was made.
    pub block: (u64, u32),
    /// Entries of that block.
    pub entries: u64,
}

/// Times of samples that were kept, and for how many samples each stands.
struct Group {
    ticks: usize,
    /// Stretches that have samples: ticks that stand for any.
    stretches: usize,
    offset: u64,
    length: usize,
}

/// What is kept of one entry of the block: where its columns lie.
struct Entry {
    flags: u8,
    group: usize,
    /// Offset and length of samples, starts, sums, least and greatest values.
    pages: [(u64, usize); 5],
}

const SAMPLES: usize = 0;
const STARTS_PAGE: usize = 1;
const SUMS_PAGE: usize = 2;
const LEAST: usize = 3;
const GREATEST: usize = 4;

/// What reading keeps between series.
#[derive(Default)]
pub(crate) struct Scratch {
    /// By companion and group: times, then weights.
    kept: Times<(u64, usize)>,
    floats: Vec<f64>,
    starts: Vec<i64>,
}

/// What was read of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The first and last sample that the block has between the times asked for.
    pub extent: Option<(i64, i64)>,
    /// The same for all entries of which the same times were read.
    pub times_id: u64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1 << 62);

impl Companion {
    /// Opens the bytes of a companion and checks its index.
    pub fn open(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Companion, BlockError> {
        let all = bytes.as_ref();
        let sections = FRAME.read(all)?;
        let part = |section: usize| {
            let (at, length) = sections[section];
            (at, &all[at..at + length])
        };
        let damaged = |section| move |e| BlockError::decode(part(section).0, e);
        let groups = read_groups(part(GROUPS).1).map_err(damaged(GROUPS))?;
        let meta = Meta::read(part(META).1).map_err(damaged(META))?;
        if sections[OFFSETS].1 as u64 != meta.entries.saturating_mul(4) {
            let at = sections[OFFSETS].0 as u64;
            return Err(BlockError::Damaged { at, what: "number of entries" });
        }
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let (bytes, damaged) = (Box::new(bytes), AtomicBool::new(false));
        Ok(Companion { bytes, id, sections, groups, meta, damaged })
    }

    /// What it says of itself.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// How many bytes its file has.
    pub fn size_bytes(&self) -> u64 {
        self.all().len() as u64
    }

    fn all(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// Appends what is kept of an entry of the block in each of the spans of time (both ends included, ascending,
    /// apart), whole stretches each. `None` where that cannot be said of the entry: its samples have to be read.
    pub fn read(
        &self,
        entry: u32,
        keep: Keep,
        spans: &[(i64, i64)],
        scratch: &mut Scratch,
        columns: &mut Columns,
    ) -> Result<Option<Part>, BlockError> {
        let Some(entry) = self.entry(entry)? else { return Ok(None) };
        let Some((page, of_stretch)) = entry.column(keep) else { return Ok(None) };
        let group = &self.groups[entry.group];
        let Scratch { kept, floats, starts } = scratch;
        let kept = kept.get((self.id, entry.group), |out| self.read_group(group, out))?;
        let (times, weights) = kept.split_at(group.ticks);
        floats.clear();
        starts.clear();
        let count = if of_stretch { group.stretches } else { group.ticks };
        self.page(entry.pages[page], |c| c.floats(count, floats))?;
        if !of_stretch && entry.flags & STARTS != 0 {
            self.page(entry.pages[STARTS_PAGE], |c| c.ints(count, starts))?;
        }
        let base = columns.times_ms.len();
        columns.weights.resize(base, 1);
        let mut part = Part { extent: None, times_id: mix(self.id, entry.group as u64) };
        // Of how many stretches the ticks before were, as far as they were counted.
        let (mut counted, mut stretches) = (0, 0);
        let has_samples = |weights: &[i64]| weights.iter().filter(|w| **w > 0).count();
        for (start, end) in spans {
            let from = times.partition_point(|t| t < start);
            let to = times.partition_point(|t| t <= end).max(from);
            if from == to {
                continue;
            }
            let first = part.extent.map_or(times[from], |e| e.0);
            part.extent = Some((first, times[to - 1]));
            part.times_id = mix(mix(part.times_id, from as u64), to as u64);
            if !of_stretch {
                columns.times_ms.extend_from_slice(&times[from..to]);
                columns.floats.extend_from_slice(&floats[from..to]);
                columns.weights.extend(weights[from..to].iter().map(|w| *w as u32));
                if !starts.is_empty() || !columns.starts_ms.is_empty() {
                    columns.starts_ms.resize(columns.times_ms.len() - (to - from), 0);
                    columns.starts_ms.extend(starts.get(from..to).unwrap_or_default());
                    columns.starts_ms.resize(columns.times_ms.len(), 0);
                }
                continue;
            }
            stretches += has_samples(&weights[counted..from]);
            let own = times[from..to].iter().zip(&weights[from..to]).filter(|t| *t.1 > 0);
            let before = columns.times_ms.len();
            for (time, weight) in own {
                columns.times_ms.push(*time);
                columns.weights.push(*weight as u32);
            }
            let own = columns.times_ms.len() - before;
            columns.floats.extend_from_slice(&floats[stretches..stretches + own]);
            (counted, stretches) = (to, stretches + own);
        }
        part.times_id = mix(part.times_id, u64::from(of_stretch));
        if !columns.starts_ms.is_empty() {
            columns.starts_ms.resize(columns.times_ms.len(), 0);
        }
        Ok(Some(part))
    }

    /// Reads everything; fails with the first that is wrong.
    pub fn verify(&self) -> Result<(), BlockError> {
        FRAME.read(self.all())?;
        let mut floats = Vec::new();
        for group in &self.groups {
            self.read_group(group, &mut Vec::new())?;
        }
        for number in 0..self.meta.entries as u32 {
            let Some(entry) = self.entry(number)? else { continue };
            let group = &self.groups[entry.group];
            for (page, place) in entry.pages.iter().enumerate().filter(|(_, p)| p.1 > 0) {
                floats.clear();
                self.page(*place, |c| match page {
                    SAMPLES => c.floats(group.ticks, &mut floats),
                    STARTS_PAGE => c.ints(group.ticks, &mut Vec::new()),
                    _ => c.floats(group.stretches, &mut floats),
                })?;
            }
        }
        Ok(())
    }

    fn section(&self, section: usize) -> (usize, &[u8]) {
        let (at, length) = self.sections[section];
        (at, &self.all()[at..at + length])
    }

    /// What is kept of an entry; `None` where nothing is.
    fn entry(&self, number: u32) -> Result<Option<Entry>, BlockError> {
        let (at, offsets) = self.section(OFFSETS);
        let offset = Cursor::at(offsets, number as usize * 4).and_then(|mut c| c.u32());
        let offset = offset.map_err(|e| BlockError::decode(at, e))? as usize;
        let (at, entries) = self.section(ENTRIES);
        let read = || {
            let mut cursor = Cursor::at(entries, offset)?;
            let flags = cursor.byte()?;
            if flags & KEPT == 0 {
                return Ok(None);
            }
            let last = self.groups.len().checked_sub(1).ok_or(CodecError::Invalid("group"))?;
            let group = cursor.size(last, "group")?;
            let mut at = cursor.varint()?;
            let mut pages = [(0, 0); 5];
            for (page, place) in pages.iter_mut().enumerate() {
                let has = match page {
                    SAMPLES => true,
                    STARTS_PAGE => flags & STARTS != 0,
                    SUMS_PAGE => flags & SUMS != 0,
                    _ => flags & EXTREMES != 0,
                };
                if has {
                    *place = (at, cursor.size(u32::MAX as usize, "length of a page")?);
                    at = at.saturating_add(place.1 as u64 + 4);
                }
            }
            Ok(Some(Entry { flags, group, pages }))
        };
        read().map_err(|e| BlockError::decode(at + offset, e))
    }

    /// Appends times and weights of a group.
    fn read_group(&self, group: &Group, out: &mut Vec<i64>) -> Result<(), BlockError> {
        self.page((group.offset, group.length), |c| {
            let begin = out.len();
            c.ints(group.ticks, out)?;
            c.ints(group.ticks, out)?;
            let (times, weights) = out[begin..].split_at(group.ticks);
            let stretches = weights.iter().filter(|w| **w > 0).count();
            let sound = times.is_sorted_by(|a, b| a < b)
                && stretches == group.stretches
                && weights.iter().all(|w| u32::try_from(*w).is_ok());
            if sound { Ok(()) } else { Err(CodecError::Invalid("times of a group")) }
        })
    }

    /// Reads a page whose checksum is right.
    fn page(
        &self,
        (offset, length): (u64, usize),
        read: impl FnOnce(&mut Cursor<'_>) -> Result<(), CodecError>,
    ) -> Result<(), BlockError> {
        let mut cursor = Cursor(page_at(self.all(), offset, length)?);
        read(&mut cursor).map_err(|e| BlockError::decode(offset as usize, e))
    }
}

impl Entry {
    /// The page that has what is asked for, and whether it has a number a stretch instead of one a sample.
    fn column(&self, keep: Keep) -> Option<(usize, bool)> {
        let has = |flag| self.flags & flag != 0;
        match keep {
            Keep::Ends => Some((SAMPLES, false)),
            Keep::Sum => has(SUMS).then_some((SUMS_PAGE, true)),
            Keep::Min if has(EXTREMES) => Some((LEAST, true)),
            Keep::Max if has(EXTREMES) => Some((GREATEST, true)),
            // Between two falls values only rise: extremes lie where that begins and ends.
            Keep::Falls | Keep::Min | Keep::Max => has(FALLS).then_some((SAMPLES, false)),
        }
    }
}

impl Meta {
    fn read(bytes: &[u8]) -> Result<Meta, CodecError> {
        let mut cursor = Cursor(bytes);
        let width_ms = cursor.u64()? as i64;
        if width_ms <= 0 {
            return Err(CodecError::Invalid("width"));
        }
        let block = (cursor.u64()?, cursor.u32()?);
        Ok(Meta { width_ms, block, entries: cursor.u64()? })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.width_ms.to_le_bytes());
        out.extend_from_slice(&self.block.0.to_le_bytes());
        out.extend_from_slice(&self.block.1.to_le_bytes());
        out.extend_from_slice(&self.entries.to_le_bytes());
    }
}

fn read_groups(bytes: &[u8]) -> Result<Vec<Group>, CodecError> {
    let mut cursor = Cursor(bytes);
    let count = cursor.size(bytes.len(), "number of groups")?;
    let mut groups = Vec::with_capacity(count);
    for _ in 0..count {
        let ticks = cursor.size(TICKS_MAX, "number of ticks")?;
        let stretches = cursor.size(ticks, "number of stretches")?;
        let offset = cursor.varint()?;
        let length = cursor.size(u32::MAX as usize, "length of a page")?;
        groups.push(Group { ticks, stretches, offset, length });
    }
    Ok(groups)
}
