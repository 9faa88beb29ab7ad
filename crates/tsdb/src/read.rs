//! Reading: the series of all blocks and of the head, merged by labels.
//!
//! A read sees the state of one moment: of the head it takes what may still change along, and
//! what is sealed it shares.

use crate::block::{self, Block, BlockError, Page, Scratch};
use crate::codec::CodecError;
use crate::head::Head;
use crate::head::chunk::{Chunk, read_open};
use crate::store::{State, Store, Stored, lock};
use crate::tombstones::Hidden;
use model::{Columns, Labels, Matcher, ReadError, Sample, Selection, SeriesSet, Value};
use roaring::RoaringBitmap;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The series that match, sorted by labels.
pub(crate) fn select(store: &Store, selection: &Selection<'_>) -> Result<Set, ReadError> {
    let mut set = Set { start_ms: selection.start_ms, end_ms: selection.end_ms, ..Set::default() };
    let state = store.read();
    for stored in overlapping(&state, selection.start_ms, selection.end_ms) {
        match shown(&state, stored, |b| b.select(selection.matchers)) {
            Ok((found, hidden)) => set.blocks.push(BlockSeries::new(stored, found, hidden)),
            Err(e) => set.warnings.push(note_damage(stored, &e.to_string())),
        }
    }
    let found = state.head.index.select(selection.matchers);
    set.head = HeadSeries::of(&state.head, &found, selection).into_iter();
    drop(state);
    set.next_head = set.head.next();
    for block in 0..set.blocks.len() {
        set.advance(block);
    }
    Ok(set)
}

/// The names of the labels of the series that match any of the sets, sorted.
pub(crate) fn label_names(
    store: &Store,
    sets: &[Vec<Matcher>],
    start_ms: i64,
    end_ms: i64,
) -> Result<Vec<String>, ReadError> {
    let mut names = BTreeSet::new();
    let state = store.read();
    for stored in overlapping(&state, start_ms, end_ms) {
        let (found, _) =
            shown(&state, stored, |b| any_of(sets, |s| b.select(s))).map_err(store_error)?;
        let of_block = stored.block.label_names(&found).map_err(store_error)?;
        names.extend(of_block.into_iter().map(str::to_owned));
    }
    let index = &state.head.index;
    for series in head_series(&state.head, sets, start_ms, end_ms) {
        for (name, _) in index.labels(series).iter() {
            if !names.contains(name) {
                names.insert(name.to_owned());
            }
        }
    }
    Ok(names.into_iter().collect())
}

/// The values of a label of the series that match any of the sets, sorted.
pub(crate) fn label_values(
    store: &Store,
    name: &str,
    sets: &[Vec<Matcher>],
    start_ms: i64,
    end_ms: i64,
) -> Result<Vec<String>, ReadError> {
    let mut values = BTreeSet::new();
    let state = store.read();
    for stored in overlapping(&state, start_ms, end_ms) {
        let (found, _) =
            shown(&state, stored, |b| any_of(sets, |s| b.select(s))).map_err(store_error)?;
        values.extend(stored.block.label_values(name, &found).map_err(store_error)?);
    }
    for series in head_series(&state.head, sets, start_ms, end_ms) {
        if let Some(value) = state.head.index.labels(series).get(name)
            && !values.contains(value)
        {
            values.insert(value.to_owned());
        }
    }
    Ok(values.into_iter().collect())
}

fn store_error(e: impl std::fmt::Display) -> ReadError {
    ReadError::Store(e.to_string())
}

/// Series of a block without those that were deleted whole, and what was deleted of others.
fn shown(
    state: &State,
    stored: &Stored,
    select: impl FnOnce(&Block) -> Result<RoaringBitmap, BlockError>,
) -> Result<(RoaringBitmap, Hidden), BlockError> {
    let mut found = select(&stored.block)?;
    let hidden = Hidden::of(stored, &state.tombstones)?;
    hidden.take_whole(stored, &mut found);
    Ok((found, hidden))
}

fn overlapping(state: &State, start_ms: i64, end_ms: i64) -> impl Iterator<Item = &Arc<Stored>> {
    state.blocks.iter().filter(move |b| {
        let meta = b.block.meta();
        meta.series > 0 && meta.min_ms <= end_ms && meta.max_ms >= start_ms
    })
}

/// The union over the matcher sets; everything where there is none.
fn any_of<E>(
    sets: &[Vec<Matcher>],
    select: impl Fn(&[Matcher]) -> Result<RoaringBitmap, E>,
) -> Result<RoaringBitmap, E> {
    if sets.is_empty() {
        return select(&[]);
    }
    let mut found = RoaringBitmap::new();
    for set in sets {
        found |= select(set)?;
    }
    Ok(found)
}

fn head_series(head: &Head, sets: &[Vec<Matcher>], start_ms: i64, end_ms: i64) -> Vec<u32> {
    let found = any_of(sets, |s| Ok::<_, ()>(head.index.select(s))).unwrap_or_default();
    let mut groups = Groups::new(head, start_ms, end_ms);
    found.into_iter().filter(|n| !groups.pieces(*n, true).is_empty()).collect()
}

/// Remembers that a block is damaged, for it to be written anew; gives the warning for readers.
fn note_damage(stored: &Stored, why: &str) -> String {
    lock(&stored.damage).get_or_insert_with(|| why.into());
    format!("{}: {why}; what could not be read was left out", stored.path)
}

/// The series found by a read.
#[derive(Default)]
pub(crate) struct Set {
    start_ms: i64,
    end_ms: i64,
    blocks: Vec<BlockSeries>,
    head: std::vec::IntoIter<HeadSeries>,
    next_head: Option<HeadSeries>,
    current_head: Option<HeadSeries>,
    times: Times,
    page: Page,
    warnings: Vec<String>,
}

/// The series of one block.
struct BlockSeries {
    stored: Arc<Stored>,
    found: roaring::bitmap::IntoIter,
    hidden: Hidden,
    scratch: Scratch,
    next: Option<(Labels, u32)>,
    /// The entries of the series at which the set stands.
    current: Vec<u32>,
}

impl BlockSeries {
    fn new(stored: &Arc<Stored>, found: RoaringBitmap, hidden: Hidden) -> BlockSeries {
        BlockSeries {
            stored: Arc::clone(stored),
            found: found.into_iter(),
            hidden,
            scratch: Scratch::default(),
            next: None,
            current: Vec::new(),
        }
    }
}

/// A series of the head with its samples, in pieces, those that count first before the others.
struct HeadSeries {
    labels: Labels,
    pieces: Vec<Piece>,
}

enum Piece {
    Chunk { chunk: Arc<Chunk>, slot: u32 },
    Open { ticks: Arc<Ticks>, changes: Box<[u8]> },
    Loose(Vec<Sample>),
}

/// Times of an open chunk, as of the moment of the read.
struct Ticks {
    id: u64,
    times_ms: Vec<i64>,
}

/// The times of the sealed chunk read last.
#[derive(Default)]
struct Times {
    id: u64,
    times_ms: Vec<i64>,
}

impl HeadSeries {
    fn of(head: &Head, found: &RoaringBitmap, selection: &Selection<'_>) -> Vec<HeadSeries> {
        let mut groups = Groups::new(head, selection.start_ms, selection.end_ms);
        let mut list = Vec::with_capacity(found.len() as usize);
        for number in head.index.sort(found) {
            let pieces = groups.pieces(number, selection.hints.labels_only);
            if !pieces.is_empty() {
                list.push(HeadSeries { labels: head.index.labels(number), pieces });
            }
        }
        list
    }
}

/// Takes pieces out of the head; the times of a group are taken once.
struct Groups<'a> {
    head: &'a Head,
    start_ms: i64,
    end_ms: i64,
    open: HashMap<u32, Arc<Ticks>>,
}

impl<'a> Groups<'a> {
    fn new(head: &'a Head, start_ms: i64, end_ms: i64) -> Groups<'a> {
        Groups { head, start_ms, end_ms, open: HashMap::new() }
    }

    fn wants(&self, min_ms: i64, max_ms: i64) -> bool {
        min_ms <= self.end_ms && max_ms >= self.start_ms
    }

    /// The pieces of a series; with `one` set, one is enough.
    fn pieces(&mut self, number: u32, one: bool) -> Vec<Piece> {
        let mut pieces: Vec<((u32, bool, i64), Piece)> = Vec::new();
        let places = self.head.index.get(number).map_or(&[][..], |s| &s.places);
        for (number, slot) in places {
            let Some(group) = self.head.group(*number) else { continue };
            for (epoch, chunk) in &group.chunks {
                if self.wants(chunk.min_ms, chunk.max_ms) && chunk.has(*slot) {
                    let piece = Piece::Chunk { chunk: Arc::clone(chunk), slot: *slot };
                    pieces.push(((*epoch, false, chunk.min_ms), piece));
                    if one {
                        return pieces.into_iter().map(|p| p.1).collect();
                    }
                }
            }
            let times = (group.times_ms.first(), group.times_ms.last());
            let (Some(min), Some(max)) = times else { continue };
            let Some(entry) = group.slots.get(*slot as usize) else { continue };
            if entry.used() && self.wants(*min, *max) {
                let taken = || {
                    let times_ms = group.times_ms.clone();
                    Arc::new(Ticks {
                        id: block::mix(group.open_id, times_ms.len() as u64),
                        times_ms,
                    })
                };
                let piece = Piece::Open {
                    ticks: Arc::clone(self.open.entry(*number).or_insert_with(taken)),
                    changes: entry.changes.as_slice().into(),
                };
                pieces.push(((group.epoch, false, *min), piece));
            }
        }
        for (epoch, loose) in &self.head.loose {
            let Some(samples) = loose.get(&number) else { continue };
            let from = samples.partition_point(|s| s.time_ms < self.start_ms);
            let to = samples.partition_point(|s| s.time_ms <= self.end_ms).max(from);
            if from < to {
                pieces.push(((*epoch, true, 0), Piece::Loose(samples[from..to].to_vec())));
            }
        }
        pieces.sort_by_key(|p| p.0);
        pieces.into_iter().map(|p| p.1).collect()
    }
}

impl Set {
    /// Loads the labels of a block's next entry.
    fn advance(&mut self, block: usize) {
        let b = &mut self.blocks[block];
        b.next = None;
        for series in b.found.by_ref() {
            match b.stored.block.labels(series, &mut b.scratch) {
                Ok(labels) => {
                    b.next = Some((labels, series));
                    return;
                }
                Err(e) => self.warnings.push(note_damage(&b.stored, &e.to_string())),
            }
        }
    }

    fn read_head(&mut self, series: &HeadSeries, columns: &mut Columns) -> Result<u64, CodecError> {
        let mut id = 1;
        let mut whole = true;
        for piece in &series.pieces {
            let mut note = |piece: u64, appended: (usize, bool)| {
                whole &= appended.1;
                id = block::mix(block::mix(id, piece), appended.0 as u64);
            };
            let (start, end) = (self.start_ms, self.end_ms);
            match piece {
                Piece::Chunk { chunk, slot } => {
                    if self.times.id != chunk.id {
                        self.times.times_ms.clear();
                        chunk.read_times(&mut self.times.times_ms)?;
                        self.times.id = chunk.id;
                    }
                    chunk.read(*slot, &mut self.page)?;
                    let times = &self.times.times_ms;
                    note(chunk.id, block::append(&self.page, times, start, end, columns));
                }
                Piece::Open { ticks, changes } => {
                    read_open(changes, ticks.times_ms.len(), &mut self.page)?;
                    let times = &ticks.times_ms;
                    note(ticks.id, block::append(&self.page, times, start, end, columns));
                }
                Piece::Loose(samples) => {
                    whole = false;
                    samples.iter().for_each(|s| push(columns, s));
                }
            }
        }
        Ok(if whole { block::mix(id, columns.times_ms.len() as u64).max(1) } else { 0 })
    }
}

fn push(columns: &mut Columns, sample: &Sample) {
    let at = columns.times_ms.len();
    columns.times_ms.push(sample.time_ms);
    match &sample.value {
        Value::Float(v) => columns.floats.push(*v),
        Value::Histogram(h) => {
            columns.histograms.push((at as u32, Arc::clone(h)));
            columns.floats.push(0.0);
        }
    }
    if sample.start_ms != 0 || !columns.starts_ms.is_empty() {
        columns.starts_ms.resize(at, 0);
        columns.starts_ms.push(sample.start_ms);
    }
}

/// Sorts samples by time; of several at one time the first stays. True where something changed.
fn put_in_order(columns: &mut Columns) -> bool {
    if columns.times_ms.is_sorted_by(|a, b| a < b) {
        return false;
    }
    let mut order: Vec<u32> = (0..columns.times_ms.len() as u32).collect();
    order.sort_by_key(|i| columns.times_ms[*i as usize]);
    order.dedup_by_key(|i| columns.times_ms[*i as usize]);
    let old = std::mem::take(columns);
    let histograms: HashMap<u32, _> = old.histograms.into_iter().collect();
    for i in order {
        let at = columns.times_ms.len() as u32;
        columns.times_ms.push(old.times_ms[i as usize]);
        columns.floats.push(old.floats[i as usize]);
        if let Some(start) = old.starts_ms.get(i as usize) {
            columns.starts_ms.push(*start);
        }
        if let Some(histogram) = histograms.get(&i) {
            columns.histograms.push((at, Arc::clone(histogram)));
        }
    }
    true
}

impl SeriesSet for Set {
    fn next(&mut self) -> Result<Option<Labels>, ReadError> {
        let of_blocks = self.blocks.iter().filter_map(|b| b.next.as_ref().map(|n| &n.0));
        let least = of_blocks.chain(self.next_head.as_ref().map(|h| &h.labels)).min();
        let Some(labels) = least.cloned() else { return Ok(None) };
        for block in 0..self.blocks.len() {
            self.blocks[block].current.clear();
            while let Some((_, series)) = self.blocks[block].next.take_if(|n| n.0 == labels) {
                self.blocks[block].current.push(series);
                self.advance(block);
            }
        }
        self.current_head = self.next_head.take_if(|h| h.labels == labels);
        if self.current_head.is_some() {
            self.next_head = self.head.next();
        }
        Ok(Some(labels))
    }

    fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError> {
        columns.clear();
        let (mut id, mut whole) = (0u64, true);
        for b in &mut self.blocks {
            for series in &b.current {
                let from = columns.times_ms.len();
                let read = b.stored.block.read(
                    *series,
                    self.start_ms,
                    self.end_ms,
                    &mut b.scratch,
                    columns,
                );
                whole &= !b.hidden.cut(*series, columns, from);
                match read {
                    Ok(Some(of_block)) => id = block::mix(id, of_block),
                    Ok(None) => whole = false,
                    Err(e) => {
                        whole = false;
                        let warning = note_damage(&b.stored, &e.to_string());
                        if !self.warnings.contains(&warning) {
                            self.warnings.push(warning);
                        }
                    }
                }
            }
        }
        if let Some(series) = self.current_head.take() {
            match self.read_head(&series, columns) {
                Ok(0) => whole = false,
                Ok(of_head) => id = block::mix(id, of_head),
                Err(e) => return Err(store_error(format!("head of {}: {e}", series.labels))),
            }
            self.current_head = Some(series);
        }
        if columns.starts_ms.len() < columns.times_ms.len() && !columns.starts_ms.is_empty() {
            columns.starts_ms.resize(columns.times_ms.len(), 0);
        }
        whole &= !put_in_order(columns);
        columns.times_id = if whole { id.max(1) } else { 0 };
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}
