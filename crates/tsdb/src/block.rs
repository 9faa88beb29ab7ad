//! Immutable blocks: a stretch of time, its groups' ticks, its series' samples in pages, and an index.
//!
//! A block is one file, written once by [`Writer`] and then only read, usually through a memory map.
//! Every part carries a checksum: the index is checked when a block is opened, a page when it is read.
//! This module opens, deletes and renames nothing: it gets bytes and writes to an output.
//! `docs/formats/block.md` has the layout.

mod layout;
mod page;
mod postings;
mod select;
mod strings;
mod verify;
mod writer;

pub(crate) use layout::Frame;
pub use layout::{Meta, VERSION};
pub use page::{PAGE_TICKS, Points};
pub(crate) use page::{Page, read as read_page, write as write_page};
pub(crate) use select::literals;
pub use writer::{GroupId, Writer};

use crate::codec::CodecError;
use crate::cursor::Cursor;
use crate::times::Times;
use layout::Section;
use model::{Columns, Labels};
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Why a block cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The bytes are not what was written.
    #[error("block is damaged at byte {at}: {what}")]
    Damaged {
        /// Offset in the file.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A newer program wrote it.
    #[error("block has format {version}, newer than {VERSION}, the newest that this program reads")]
    Newer {
        /// Its version.
        version: u32,
    },
    /// What was to be written is not in order; an error of the caller.
    #[error("{0} are not in order")]
    Order(&'static str),
    /// Writing failed.
    #[error("cannot write block: {0}")]
    Write(#[from] std::io::Error),
}

impl BlockError {
    pub(crate) fn decode(at: usize, error: CodecError) -> BlockError {
        let what = match error {
            CodecError::Short => "ends early",
            CodecError::Invalid(what) => what,
        };
        BlockError::Damaged { at: at as u64, what }
    }
}

/// A block that is open for reading.
pub struct Block {
    bytes: Box<dyn AsRef<[u8]> + Send + Sync>,
    /// Distinguishes the blocks of this process, for caches.
    id: u64,
    sections: [(usize, usize); layout::SECTIONS.len()],
    names: Vec<Name>,
    shapes: Vec<Vec<u32>>,
    groups: Vec<Group>,
    meta: Meta,
    /// The series of each matcher that was asked for; what is immutable is found once.
    selected: Mutex<HashMap<select::Key, Arc<RoaringBitmap>>>,
}

struct Name {
    text: String,
    strings: Range<usize>,
    postings: Range<usize>,
}

struct Group {
    ticks: usize,
    pages: Vec<GroupPage>,
}

impl Group {
    /// How many ticks a page has.
    fn ticks_of(&self, page: usize) -> usize {
        self.ticks.min((page + 1) * PAGE_TICKS) - page * PAGE_TICKS
    }
}

struct GroupPage {
    min_ms: i64,
    max_ms: i64,
    offset: u64,
    length: u32,
}

/// What reading a block keeps between series, so that the ticks of a group are decoded once.
#[derive(Default)]
pub struct Scratch {
    /// By block, group and page.
    times: Times<(u64, u32, usize)>,
    page: Page,
    text: Vec<u8>,
    /// Block of `known`.
    known_of: u64,
    /// By name, texts of values by ordinal, as far as they were asked for.
    known: Vec<Vec<Option<Box<str>>>>,
    labels: String,
    ends: Vec<usize>,
}

/// So many texts of a name are remembered by one reader.
const KNOWN_MAX: usize = 1 << 14;

/// Where the samples of a series lie.
struct Place {
    group: u32,
    offset: u64,
    /// Lengths of its pages follow here.
    lengths_at: usize,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Block {
    /// Opens the bytes of a block and checks its index.
    pub fn open(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Block, BlockError> {
        let all = bytes.as_ref();
        let sections = layout::FRAME.read(all)?;
        let part = |section: Section| {
            let (at, length) = sections[section as usize];
            (at, &all[at..at + length])
        };
        let damaged = |section| move |e| BlockError::decode(part(section).0, e);
        let names =
            read_names(part(Section::Names).1, &sections).map_err(damaged(Section::Names))?;
        let shapes =
            read_shapes(part(Section::Shapes).1, names.len()).map_err(damaged(Section::Shapes))?;
        let groups = read_groups(part(Section::Groups).1).map_err(damaged(Section::Groups))?;
        let meta = Meta::read(part(Section::Meta).1).map_err(damaged(Section::Meta))?;
        let offsets = sections[Section::SeriesOffsets as usize];
        if offsets.1 as u64 != meta.series * 4 {
            return Err(BlockError::Damaged { at: offsets.0 as u64, what: "number of series" });
        }
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let selected = Mutex::default();
        Ok(Block { bytes: Box::new(bytes), id, sections, names, shapes, groups, meta, selected })
    }

    /// What the block holds, in a few numbers.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// How many bytes its file has.
    pub fn size_bytes(&self) -> u64 {
        (*self.bytes).as_ref().len() as u64
    }

    /// Its size and the checksum of its table, by which a file made from it knows it.
    pub(crate) fn identity(&self) -> (u64, u32) {
        let bytes = (*self.bytes).as_ref();
        // The checksum lies before the end magic.
        let checksum = bytes.len().checked_sub(12).and_then(|at| bytes.get(at..at + 4));
        let checksum = checksum.and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        (bytes.len() as u64, checksum)
    }

    /// How many of them are the index.
    pub fn index_bytes(&self) -> u64 {
        self.sections.iter().map(|s| s.1 as u64).sum()
    }

    /// The labels of a series by its ordinal; ordinals follow the order of labels.
    pub fn labels(&self, series: u32, scratch: &mut Scratch) -> Result<Labels, BlockError> {
        let (at, mut cursor) = self.entry(series)?;
        let damaged = |e| BlockError::decode(at, e);
        let shape = self.shape(&mut cursor).map_err(damaged)?;
        let Scratch { text: buffer, known_of, known, labels: text, ends, .. } = scratch;
        if *known_of != self.id {
            *known_of = self.id;
            known.clear();
            known.resize_with(self.names.len(), Vec::new);
        }
        text.clear();
        ends.clear();
        for &name in shape {
            let value = cursor.size(u32::MAX as usize, "value").map_err(damaged)?;
            let texts = &mut known[name as usize];
            match texts.get(value) {
                Some(Some(known)) => text.push_str(known),
                _ => {
                    let strings = self.strings(name as usize)?;
                    let found = strings.get(value, buffer).map_err(damaged)?;
                    text.push_str(found);
                    if value < KNOWN_MAX {
                        if texts.len() <= value {
                            texts.resize(strings.len().min(KNOWN_MAX), None);
                        }
                        texts[value] = Some(found.into());
                    }
                }
            }
            ends.push(text.len());
        }
        let begin = |i: usize| if i == 0 { 0 } else { ends[i - 1] };
        let pair = |i: usize| {
            let name = self.names[shape[i] as usize].text.as_str();
            (name, &text[begin(i)..ends[i]])
        };
        Ok(Labels::from_sorted((0..shape.len()).map(pair)))
    }

    /// Appends the samples of a series between two times, both included, to `columns`.
    ///
    /// Gives a number that is the same for all series of which the same ticks were appended; `None` where
    /// the series lacks some of its group's ticks.
    pub fn read(
        &self,
        series: u32,
        start_ms: i64,
        end_ms: i64,
        scratch: &mut Scratch,
        columns: &mut Columns,
    ) -> Result<Option<u64>, BlockError> {
        let place = self.place(series)?;
        let group = self.group(&place)?;
        let mut lengths = Cursor(&self.section(Section::Series).1[place.lengths_at..]);
        let mut at = place.offset;
        let mut id = Some(mix(self.id, u64::from(place.group)));
        for (i, page) in group.pages.iter().enumerate() {
            let length = lengths.size(u32::MAX as usize, "length of a page");
            let length = length.map_err(|e| BlockError::decode(place.lengths_at, e))?;
            let wanted = page.min_ms <= end_ms && page.max_ms >= start_ms;
            if length > 0 && wanted {
                let ticks = group.ticks_of(i);
                let times = scratch
                    .times
                    .get((self.id, place.group, i), |times| self.read_times(page, ticks, times))?;
                let bytes = self.checked(at, length)?;
                page::read(bytes, ticks, &mut scratch.page)
                    .map_err(|e| BlockError::decode(at as usize, e))?;
                let (first, whole) = append(&scratch.page, times, start_ms, end_ms, columns);
                id = id.filter(|_| whole).map(|id| mix(mix(id, i as u64), first as u64));
            } else if wanted {
                id = None;
            }
            at += if length > 0 { length as u64 + 4 } else { 0 };
        }
        Ok(id.map(|id| mix(id, columns.times_ms.len() as u64)))
    }

    /// The first and last time between which a series may have samples, by its pages alone.
    pub fn extent(&self, series: u32) -> Result<Option<(i64, i64)>, BlockError> {
        let place = self.place(series)?;
        let group = self.group(&place)?;
        let mut lengths = Cursor(&self.section(Section::Series).1[place.lengths_at..]);
        let mut extent: Option<(i64, i64)> = None;
        for page in &group.pages {
            let length = lengths.size(u32::MAX as usize, "length of a page");
            if length.map_err(|e| BlockError::decode(place.lengths_at, e))? > 0 {
                extent = Some((extent.map_or(page.min_ms, |e| e.0), page.max_ms));
            }
        }
        Ok(extent)
    }

    /// The group of a series.
    pub fn group_of(&self, series: u32) -> Result<u32, BlockError> {
        let place = self.place(series)?;
        self.group(&place).map(|_| place.group)
    }

    /// How many groups there are.
    pub fn group_count(&self) -> u32 {
        self.groups.len() as u32
    }

    /// The times of all ticks of a group.
    pub fn group_times(&self, group: u32) -> Result<Vec<i64>, BlockError> {
        let mut times = Vec::new();
        let Some(group) = self.groups.get(group as usize) else { return Ok(times) };
        for (i, page) in group.pages.iter().enumerate() {
            self.read_times(page, group.ticks_of(i), &mut times)?;
        }
        Ok(times)
    }

    fn section(&self, section: Section) -> (usize, &[u8]) {
        let (at, length) = self.sections[section as usize];
        (at, &(*self.bytes).as_ref()[at..at + length])
    }

    fn strings(&self, name: usize) -> Result<strings::Strings<'_>, BlockError> {
        let (at, section) = self.section(Section::Strings);
        let range = self.names[name].strings.clone();
        strings::Strings::open(&section[range]).map_err(|e| BlockError::decode(at, e))
    }

    /// The entry of a series in the index, and where it lies in the file.
    fn entry(&self, series: u32) -> Result<(usize, Cursor<'_>), BlockError> {
        let (at, offsets) = self.section(Section::SeriesOffsets);
        let damaged = |e| BlockError::decode(at, e);
        let offset = Cursor::at(offsets, series as usize * 4).and_then(|mut c| c.u32());
        let offset = offset.map_err(damaged)? as usize;
        let (at, entries) = self.section(Section::Series);
        Ok((at + offset, Cursor::at(entries, offset).map_err(damaged)?))
    }

    fn shape(&self, cursor: &mut Cursor<'_>) -> Result<&[u32], CodecError> {
        let shape = cursor.size(u32::MAX as usize, "shape")?;
        self.shapes.get(shape).map(Vec::as_slice).ok_or(CodecError::Invalid("shape"))
    }

    fn place(&self, series: u32) -> Result<Place, BlockError> {
        let (at, mut cursor) = self.entry(series)?;
        let mut read = || {
            for _ in 0..self.shape(&mut cursor)?.len() {
                cursor.varint()?;
            }
            let group = cursor.size(u32::MAX as usize, "group")? as u32;
            let offset = cursor.varint()?;
            Ok(Place {
                group,
                offset,
                lengths_at: self.section(Section::Series).1.len() - cursor.0.len(),
            })
        };
        read().map_err(|e| BlockError::decode(at, e))
    }

    fn group(&self, place: &Place) -> Result<&Group, BlockError> {
        let wrong = BlockError::Damaged { at: place.offset, what: "group of a series" };
        self.groups.get(place.group as usize).ok_or(wrong)
    }

    /// A page whose checksum is right.
    fn checked(&self, offset: u64, length: usize) -> Result<&[u8], BlockError> {
        page_at((*self.bytes).as_ref(), offset, length)
    }

    /// Appends the times of a page of a group.
    fn read_times(
        &self,
        page: &GroupPage,
        ticks: usize,
        times: &mut Vec<i64>,
    ) -> Result<(), BlockError> {
        let bytes = self.checked(page.offset, page.length as usize)?;
        crate::codec::decode_ints(bytes, ticks, times)
            .map_err(|e| BlockError::decode(page.offset as usize, e))?;
        Ok(())
    }
}

/// A page of a file, whose checksum behind it is right.
pub(crate) fn page_at(file: &[u8], offset: u64, length: usize) -> Result<&[u8], BlockError> {
    let damaged = |what| BlockError::Damaged { at: offset, what };
    let bytes = usize::try_from(offset).ok().and_then(|at| file.get(at..));
    let mut cursor = Cursor(bytes.ok_or(damaged("page lies outside"))?);
    let page = cursor.take(length).map_err(|_| damaged("page ends early"))?;
    let checksum = cursor.u32().map_err(|_| damaged("page ends early"))?;
    if !disk::canary::checksum_holds(page, checksum) {
        return Err(damaged("checksum of a page is wrong"));
    }
    Ok(page)
}

/// One number of two, so that other pairs give other numbers.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let x = (a.rotate_left(23) ^ b).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ x >> 29).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// Appends what lies between the times of the decoded page; gives the first tick appended, and whether all
/// of its ticks have samples.
pub(crate) fn append(
    page: &Page,
    times: &[i64],
    start_ms: i64,
    end_ms: i64,
    columns: &mut Columns,
) -> (usize, bool) {
    let before = times.partition_point(|&t| t < start_ms);
    let until = times.partition_point(|&t| t <= end_ms).max(before);
    // The same range in the page's columns.
    let (from, to) = if page.all {
        (before, until)
    } else {
        let place = |tick: usize| page.ticks.partition_point(|&t| (t as usize) < tick);
        (place(before), place(until))
    };
    let base = columns.times_ms.len();
    if page.all {
        columns.times_ms.extend_from_slice(&times[from..to]);
    } else {
        columns.times_ms.extend(page.ticks[from..to].iter().map(|&t| times[t as usize]));
    }
    columns.floats.extend_from_slice(&page.floats[from..to]);
    let within = |h: &&(u32, _)| (from..to).contains(&(h.0 as usize));
    let moved =
        |h: &(u32, Arc<model::Histogram>)| ((h.0 as usize - from + base) as u32, h.1.clone());
    columns.histograms.extend(page.histograms.iter().filter(within).map(moved));
    if !page.starts_ms.is_empty() {
        columns.starts_ms.resize(base, 0);
        columns.starts_ms.extend_from_slice(&page.starts_ms[from..to]);
    } else if !columns.starts_ms.is_empty() {
        columns.starts_ms.resize(base + to - from, 0);
    }
    (before, to - from == until - before)
}

fn read_names(
    bytes: &[u8],
    sections: &[(usize, usize); layout::SECTIONS.len()],
) -> Result<Vec<Name>, CodecError> {
    let mut cursor = Cursor(bytes);
    let count = cursor.size(bytes.len(), "number of names")?;
    let mut names = Vec::with_capacity(count);
    for _ in 0..count {
        let length = cursor.size(bytes.len(), "length of a name")?;
        let text = std::str::from_utf8(cursor.take(length)?);
        let text = text.map_err(|_| CodecError::Invalid("name"))?.to_owned();
        let mut range = |section: Section| {
            let size = sections[section as usize].1;
            let begin = cursor.size(size, "place of a name's values")?;
            let length = cursor.size(size - begin, "length of a name's values")?;
            Ok(begin..begin + length)
        };
        names.push(Name {
            text,
            strings: range(Section::Strings)?,
            postings: range(Section::Postings)?,
        });
    }
    Ok(names)
}

fn read_shapes(bytes: &[u8], names: usize) -> Result<Vec<Vec<u32>>, CodecError> {
    let mut cursor = Cursor(bytes);
    let count = cursor.size(bytes.len(), "number of shapes")?;
    let mut shapes = Vec::with_capacity(count);
    for _ in 0..count {
        let length = cursor.size(names, "length of a shape")?;
        let mut shape = Vec::with_capacity(length);
        for _ in 0..length {
            let name = cursor.size(names.saturating_sub(1), "name of a shape")? as u32;
            if shape.last().is_some_and(|&last| last >= name) {
                return Err(CodecError::Invalid("order of a shape"));
            }
            shape.push(name);
        }
        shapes.push(shape);
    }
    Ok(shapes)
}

fn read_groups(bytes: &[u8]) -> Result<Vec<Group>, CodecError> {
    let mut cursor = Cursor(bytes);
    let count = cursor.size(bytes.len(), "number of groups")?;
    let mut groups = Vec::with_capacity(count);
    for _ in 0..count {
        let ticks = cursor.size(u32::MAX as usize, "number of ticks")?;
        let mut pages = Vec::new();
        for _ in 0..ticks.div_ceil(PAGE_TICKS) {
            let min_ms = cursor.signed()?;
            let max_ms = min_ms.saturating_add_unsigned(cursor.varint()?);
            let offset = cursor.varint()?;
            let length = cursor.size(u32::MAX as usize, "length of a page")? as u32;
            pages.push(GroupPage { min_ms, max_ms, offset, length });
        }
        groups.push(Group { ticks, pages });
    }
    Ok(groups)
}

#[cfg(test)]
mod tests;
