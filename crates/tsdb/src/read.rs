//! Reading: the series of all blocks and of the head, merged by labels.
//!
//! A read sees the state of one moment: of the head it takes what may still change along, and
//! what is sealed it shares.

mod gather;
mod pieces;

use crate::block::{self, Block, BlockError, Page, Scratch};
use crate::codec::CodecError;
use crate::head::Head;
use crate::head::chunk::read_open;
use crate::head::run;
use crate::store::{State, Store, Stored, lock};
use crate::times::Times;
use crate::tombstones::Hidden;
use gather::{Entry, Gather};
use model::{Columns, Labels, Matcher, ReadError, Sample, Selection, SeriesSet, Value};
use pieces::{Groups, Piece, Pieces};
use roaring::RoaringBitmap;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// The series that match, sorted by labels.
pub(crate) fn select(store: &Store, selection: &Selection<'_>) -> Result<Set, ReadError> {
    let mut set = Set { start_ms: selection.start_ms, end_ms: selection.end_ms, ..Set::default() };
    let state = store.read();
    let mut gather = Gather::new(&state.head, &state.head.index.select(selection.matchers));
    for stored in overlapping(&state, selection.start_ms, selection.end_ms) {
        match shown(&state, stored, |b| b.select(selection.matchers)) {
            Ok((found, hidden)) => {
                if let Err(e) = gather.add(stored, &found) {
                    set.warnings.push(note_damage(stored, &e.to_string()));
                }
                set.blocks.push(BlockSeries::new(stored, hidden));
            }
            Err(e) => set.warnings.push(note_damage(stored, &e.to_string())),
        }
    }
    let gathered = gather.finish(selection);
    (set.entries, set.pieces) = (gathered.entries, gathered.pieces);
    for (block, entries) in set.blocks.iter_mut().zip(gathered.blocks) {
        block.entries = entries;
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
    let (mut groups, mut pieces) = (Groups::new(head, start_ms, end_ms), Pieces::default());
    let has = |n: &u32| {
        let any = groups.take(*n, true, &mut pieces);
        pieces.list.clear();
        pieces.changes.clear();
        any
    };
    found.into_iter().filter(has).collect()
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
    entries: Vec<Entry>,
    pieces: Pieces,
    /// The place behind the series at which the set stands.
    next: usize,
    blocks: Vec<BlockSeries>,
    /// Of sealed chunks, by their numbers.
    times: Times<u64>,
    page: Page,
    warnings: Vec<String>,
}

/// The entries of one block, by the places of their series.
struct BlockSeries {
    stored: Arc<Stored>,
    hidden: Hidden,
    scratch: Scratch,
    entries: Vec<(u32, u32)>,
    /// Those of the series at which the set stands.
    current: Range<usize>,
}

impl BlockSeries {
    fn new(stored: &Arc<Stored>, hidden: Hidden) -> BlockSeries {
        let (stored, scratch) = (Arc::clone(stored), Scratch::default());
        BlockSeries { stored, hidden, scratch, entries: Vec::new(), current: 0..0 }
    }
}

impl Set {
    fn read_head(&mut self, own: Range<usize>, columns: &mut Columns) -> Result<u64, CodecError> {
        let mut id = 1;
        let mut whole = true;
        for piece in &self.pieces.list[own] {
            let mut note = |piece: u64, appended: (usize, bool)| {
                whole &= appended.1;
                id = block::mix(block::mix(id, piece), appended.0 as u64);
            };
            let (start, end) = (self.start_ms, self.end_ms);
            match piece {
                Piece::Chunk { chunk, slot } => {
                    chunk.read(*slot, &mut self.page)?;
                    let times = self.times.get(chunk.id, |times| chunk.read_times(times))?;
                    note(chunk.id, block::append(&self.page, times, start, end, columns));
                }
                Piece::Open { ticks, changes } => {
                    let changes = &self.pieces.changes[changes.clone()];
                    read_open(changes, ticks.times_ms.len(), &mut self.page)?;
                    let times = &ticks.times_ms;
                    note(ticks.id, block::append(&self.page, times, start, end, columns));
                }
                Piece::Run(bytes) => {
                    whole = false;
                    run::each(&self.pieces.changes[bytes.clone()], |sample| {
                        if (start..=end).contains(&sample.time_ms) {
                            push(columns, sample);
                        }
                    })?;
                }
                Piece::Late(samples) => {
                    whole = false;
                    samples.iter().for_each(|s| push(columns, s.clone()));
                }
            }
        }
        Ok(if whole { block::mix(id, columns.times_ms.len() as u64).max(1) } else { 0 })
    }
}

fn push(columns: &mut Columns, sample: Sample) {
    let at = columns.times_ms.len();
    columns.times_ms.push(sample.time_ms);
    match sample.value {
        Value::Float(v) => columns.floats.push(v),
        Value::Histogram(h) => {
            columns.histograms.push((at as u32, h));
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
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        for block in &mut self.blocks {
            let begin = block.current.end;
            let own = block.entries[begin..].iter().take_while(|e| e.0 as usize == self.next);
            block.current = begin..begin + own.count();
        }
        self.next += 1;
        Ok(Some(entry.labels.clone()))
    }

    fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError> {
        columns.clear();
        let (mut id, mut whole) = (0u64, true);
        for b in &mut self.blocks {
            for (_, series) in &b.entries[b.current.clone()] {
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
        let Some(here) = self.next.checked_sub(1) else { return Ok(()) };
        let begin = here.checked_sub(1).map_or(0, |before| self.entries[before].pieces_end);
        let pieces = begin as usize..self.entries[here].pieces_end as usize;
        if !pieces.is_empty() {
            match self.read_head(pieces, columns) {
                Ok(0) => whole = false,
                Ok(of_head) => id = block::mix(id, of_head),
                Err(e) => {
                    let labels = &self.entries[here].labels;
                    return Err(store_error(format!("head of {labels}: {e}")));
                }
            }
        }
        if columns.starts_ms.len() < columns.times_ms.len() && !columns.starts_ms.is_empty() {
            columns.starts_ms.resize(columns.times_ms.len(), 0);
        }
        whole &= !put_in_order(columns);
        columns.times_id = if whole { id.max(1) } else { 0 };
        columns.nameless_id = u64::from(self.entries[here].nameless);
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}
