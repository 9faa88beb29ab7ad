//! Reading: the series of all blocks and of the head, merged by labels.
//!
//! A read sees the state of one moment: of the head it takes what may still change along, and
//! what is sealed it shares.

mod gather;
mod pieces;
mod reduced;

use crate::block::{self, Block, BlockError, Page, Scratch};
use crate::codec::CodecError;
use crate::companion::{self, Companion};
use crate::head::Head;
use crate::head::chunk::read_open;
use crate::head::run;
use crate::store::{State, Store, Stored, lock};
use crate::times::Times;
use crate::tombstones::Hidden;
use gather::{Entry, Gather};
use model::{Columns, Keep, Labels, Matcher, ReadError, Sample, Selection, SeriesSet, Stop, Value};
use pieces::{Groups, Piece, Pieces};
use reduced::Plan;
use roaring::RoaringBitmap;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The series that match, sorted by labels.
pub(crate) fn select(store: &Store, selection: &Selection<'_>) -> Result<Set, ReadError> {
    let mut set = Set {
        start_ms: selection.start_ms,
        end_ms: selection.end_ms,
        keep: selection.hints.keep,
        plans: reduced::plans(selection, &store.options.companions_ms),
        companion_reads: Arc::clone(&store.counts.companion_reads),
        ..Set::default()
    };
    let state = store.read();
    let (matchers, stop) = (selection.matchers, selection.hints.stop);
    let mut gather = Gather::new(&state.head, &state.head.index.select(matchers, stop), stop)?;
    for stored in overlapping(&state, selection.start_ms, selection.end_ms) {
        let selected = shown(&state, stored, |b| b.select(matchers, stop));
        stop.check()?;
        match selected {
            Ok((found, hidden)) => {
                if let Err(e) = gather.add(stored, &found) {
                    set.warnings.push(note_damage(stored, &e.to_string()));
                }
                set.blocks.push(BlockSeries::new(stored, hidden, &set.plans));
            }
            Err(e) => set.warnings.push(note_damage(stored, &e.to_string())),
        }
    }
    let gathered = gather.finish(selection)?;
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
        let (found, _) = shown(&state, stored, |b| any_of(sets, |s| b.select(s, Stop::default())))
            .map_err(store_error)?;
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
        let (found, _) = shown(&state, stored, |b| any_of(sets, |s| b.select(s, Stop::default())))
            .map_err(store_error)?;
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
    let found =
        any_of(sets, |s| Ok::<_, ()>(head.index.select(s, Stop::default()))).unwrap_or_default();
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
    /// What the reader makes of its windows, and how companions may serve for that.
    keep: Option<Keep>,
    plans: Vec<Plan>,
    /// First and last times of the parts of which a series is put together.
    extents: Vec<(i64, i64)>,
    /// Widths of the companions that were read.
    summarized: BTreeSet<i64>,
    companion_reads: Arc<AtomicU64>,
}

/// The entries of one block, by the places of their series.
struct BlockSeries {
    stored: Arc<Stored>,
    hidden: Hidden,
    scratch: Scratch,
    /// The widest companion that serves, with the place of its plan.
    companion: Option<(Arc<Companion>, usize)>,
    kept: companion::Scratch,
    entries: Vec<(u32, u32)>,
    /// Those of the series at which the set stands.
    current: Range<usize>,
}

impl BlockSeries {
    fn new(stored: &Arc<Stored>, hidden: Hidden, plans: &[Plan]) -> BlockSeries {
        let of_width = |p: &Plan| stored.companions.of_width(p.width_ms);
        let mut companions = plans.iter().enumerate().filter_map(|(i, p)| Some((of_width(p)?, i)));
        BlockSeries {
            stored: Arc::clone(stored),
            hidden,
            scratch: Scratch::default(),
            companion: companions.next(),
            kept: companion::Scratch::default(),
            entries: Vec::new(),
            current: 0..0,
        }
    }

    /// Appends what companions keep of an entry, and its samples where that does not serve; gives the times
    /// from its first to its last sample, and a number as [`Block::read`] does. `None`, and nothing is
    /// appended, where all has to come from the block.
    fn read_companion(
        &mut self,
        entry: u32,
        keep: Keep,
        plans: &[Plan],
        columns: &mut Columns,
    ) -> Option<companion::Part> {
        let (companion, plan) = self.companion.as_ref()?;
        let plan = plans.get(*plan)?;
        if self.hidden.touches(entry) || companion.damaged.load(Ordering::Relaxed) {
            return None;
        }
        let from = columns.times_ms.len();
        match companion.read(entry, keep, &plan.companion, &mut self.kept, columns) {
            Ok(part) => {
                let mut part = part?;
                let block = &self.stored.block;
                for (start, end) in &plan.samples {
                    let before = columns.times_ms.len();
                    if block.read(entry, *start, *end, &mut self.scratch, columns).is_err() {
                        // Told by reading all of it.
                        truncate(columns, from);
                        return None;
                    }
                    let own = &columns.times_ms[before..];
                    for time in [own.first(), own.last()].into_iter().flatten() {
                        let (first, last) = part.extent.unwrap_or((*time, *time));
                        part.extent = Some((first.min(*time), last.max(*time)));
                        part.times_id = 0;
                    }
                    columns.weights.resize(columns.times_ms.len(), 1);
                }
                Some(part)
            }
            Err(_) => {
                // The block has all of it; the companion is set aside by the next tick.
                companion.damaged.store(true, Ordering::Relaxed);
                truncate(columns, from);
                None
            }
        }
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

/// Takes away what was appended from a place on; no histogram was.
fn truncate(columns: &mut Columns, from: usize) {
    columns.times_ms.truncate(from);
    columns.floats.truncate(from);
    columns.starts_ms.truncate(from);
    columns.weights.truncate(from);
    columns.histograms.retain(|h| (h.0 as usize) < from);
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
        if let Some(weight) = old.weights.get(i as usize) {
            columns.weights.push(*weight);
        }
        if let Some(start) = old.starts_ms.get(i as usize) {
            columns.starts_ms.push(*start);
        }
        if let Some(histogram) = histograms.get(&i) {
            columns.histograms.push((at, Arc::clone(histogram)));
        }
    }
    true
}

impl Set {
    /// Reads the series at which the set stands, from companions where they `keep` enough. False where that
    /// cannot be said of its parts together: then nothing but samples will do.
    fn read_parts(&mut self, keep: Option<Keep>, columns: &mut Columns) -> Result<bool, ReadError> {
        columns.clear();
        self.extents.clear();
        let (mut id, mut whole) = (0u64, true);
        // The plans that were used, a bit each.
        let mut used = 0u64;
        for b in &mut self.blocks {
            for i in b.current.clone() {
                let series = b.entries[i].1;
                let from = columns.times_ms.len();
                let part = keep.and_then(|k| b.read_companion(series, k, &self.plans, columns));
                if let Some(part) = part {
                    self.extents.extend(part.extent);
                    whole &= part.times_id != 0;
                    id = block::mix(id, part.times_id);
                    used |= 1 << b.companion.as_ref().map_or(0, |c| c.1.min(63));
                    continue;
                }
                let read = b.stored.block.read(
                    series,
                    self.start_ms,
                    self.end_ms,
                    &mut b.scratch,
                    columns,
                );
                whole &= !b.hidden.cut(series, columns, from);
                let own = &columns.times_ms[from..];
                self.extents.extend(own.first().copied().zip(own.last().copied()));
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
                weigh(columns);
            }
        }
        let Some(here) = self.next.checked_sub(1) else { return Ok(true) };
        let begin = here.checked_sub(1).map_or(0, |before| self.entries[before].pieces_end);
        let pieces = begin as usize..self.entries[here].pieces_end as usize;
        if !pieces.is_empty() {
            let from = columns.times_ms.len();
            match self.read_head(pieces, columns) {
                Ok(0) => whole = false,
                Ok(of_head) => id = block::mix(id, of_head),
                Err(e) => {
                    let labels = &self.entries[here].labels;
                    return Err(store_error(format!("head of {labels}: {e}")));
                }
            }
            weigh(columns);
            let own = || columns.times_ms[from..].iter().copied();
            self.extents.extend(own().min().zip(own().max()));
        }
        if used != 0 {
            // Samples that lie among those of another part may be doubles, and of pairs that fall others.
            self.extents.sort_unstable();
            if self.extents.windows(2).any(|w| w[0].1 >= w[1].0) {
                return Ok(false);
            }
            if self.summarized.is_empty() {
                self.companion_reads.fetch_add(1, Ordering::Relaxed);
            }
            let plans = self.plans.iter().enumerate().filter(|(i, _)| used >> i.min(&63) & 1 == 1);
            self.summarized.extend(plans.map(|(_, p)| p.width_ms));
        }
        if columns.starts_ms.len() < columns.times_ms.len() && !columns.starts_ms.is_empty() {
            columns.starts_ms.resize(columns.times_ms.len(), 0);
        }
        whole &= !put_in_order(columns);
        columns.times_id = if whole { id.max(1) } else { 0 };
        columns.nameless_id = u64::from(self.entries[here].nameless);
        Ok(true)
    }
}

/// Once some samples have weights, those that were appended since stand for themselves.
fn weigh(columns: &mut Columns) {
    if !columns.weights.is_empty() {
        columns.weights.resize(columns.times_ms.len(), 1);
    }
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
        if let Some(keep) = self.keep.filter(|_| self.blocks.iter().any(|b| b.companion.is_some()))
            && self.read_parts(Some(keep), columns)?
        {
            return Ok(());
        }
        self.read_parts(None, columns).map(|_| ())
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn summarized(&self) -> Vec<i64> {
        self.summarized.iter().copied().collect()
    }
}
