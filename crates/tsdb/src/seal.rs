//! Samples that come sorted by series go straight to blocks, whatever their times: what imports use.
//!
//! Neither the head nor the log sees them. Of two samples of a series at one time the one written first
//! counts, as everywhere: what the store has already is left out, and handing the same over twice adds
//! nothing. A block takes a log epoch of its own, reserved after everything before it was put into blocks.

use crate::Error;
use crate::block::{BlockError, GroupId, Points, Writer};
use crate::compact::{self, write_block};
use crate::open::block_name;
use crate::pace::Pace;
use crate::read;
use crate::store::Store;
use model::{Columns, Histogram, Labels, ReadError, Selection, SeriesSet};
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// What became of samples that were handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Series of which something was written.
    pub series: u64,
    /// Samples written.
    pub samples: u64,
    /// Samples left out because the store has the very same.
    pub present: u64,
    /// Samples left out because the store has another value for their series at their time.
    pub conflicts: u64,
    /// Blocks written.
    pub blocks: u64,
    /// Bytes of those.
    pub bytes: u64,
}

impl Sealed {
    /// Adds what became of others.
    pub fn add(&mut self, other: &Sealed) {
        self.series += other.series;
        self.samples += other.samples;
        self.present += other.present;
        self.conflicts += other.conflicts;
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }
}

/// A block is ended at so many samples, series, or ticks of groups, whichever comes first: the last two
/// stay in memory until it is finished.
const SAMPLES_MAX: u64 = 1 << 30;
const SERIES_MAX: u64 = 1 << 21;
const TICKS_MAX: usize = 4 << 20;

/// Writes what the source gives.
pub(crate) fn seal(
    store: &Store,
    source: &mut dyn SeriesSet,
    start_ms: i64,
    end_ms: i64,
) -> Result<Sealed, Error> {
    let selection = Selection { matchers: &[], start_ms, end_ms, ..Selection::default() };
    let mut input = Input {
        source,
        known: Known::new(read::select(store, &selection)?)?,
        range: (start_ms, end_ms),
        last: None,
        ended: false,
        done: Sealed::default(),
    };
    while !input.ended {
        let epoch = store.reserve()?;
        compact::flush(store, epoch - 1, &Pace::none())?;
        let _one = crate::store::lock(&store.maintenance);
        let mut failed = None;
        let before = input.done.samples;
        let name = block_name(epoch, epoch, 0);
        let written = write_block(store, &name, &Pace::none(), |writer| {
            input.fill(writer).map_err(|e| {
                let text = std::io::Error::other(e.to_string());
                match e {
                    Failure::Block(e) => e,
                    Failure::Read(e) => {
                        failed = Some(e);
                        BlockError::Write(text)
                    }
                }
            })?;
            Ok((0, Vec::new()))
        });
        if let Some(e) = failed {
            return Err(e.into());
        }
        let block = written?;
        if input.done.samples == before {
            // Everything was there already.
            compact::remove(store, &block.path);
            continue;
        }
        input.done.blocks += 1;
        input.done.bytes += block.block.size_bytes();
        let mut state = store.write();
        state.head.touched.note(block.block.meta().min_ms);
        let at = state.blocks.partition_point(|b| b.first < epoch);
        state.blocks.insert(at, Arc::new(block));
    }
    Ok(input.done)
}

enum Failure {
    Read(ReadError),
    Block(BlockError),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Read(e) => e.fmt(f),
            Failure::Block(e) => e.fmt(f),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(e: ReadError) -> Failure {
        Failure::Read(e)
    }
}

impl From<BlockError> for Failure {
    fn from(e: BlockError) -> Failure {
        Failure::Block(e)
    }
}

/// What the store has, walked beside the source.
struct Known {
    set: read::Set,
    next: Option<Labels>,
}

impl Known {
    fn new(mut set: read::Set) -> Result<Known, ReadError> {
        let next = set.next()?;
        Ok(Known { set, next })
    }

    /// The samples of a series; none where it has none. Labels are asked for in order.
    fn read(&mut self, labels: &Labels, columns: &mut Columns) -> Result<(), ReadError> {
        columns.clear();
        while self.next.as_ref().is_some_and(|next| next < labels) {
            self.next = self.set.next()?;
        }
        if self.next.as_ref() == Some(labels) {
            self.set.read(columns)?;
        }
        Ok(())
    }
}

struct Input<'a> {
    source: &'a mut dyn SeriesSet,
    known: Known,
    range: (i64, i64),
    last: Option<Labels>,
    ended: bool,
    done: Sealed,
}

impl Input<'_> {
    /// Fills one block, as far as it may grow.
    fn fill<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), Failure> {
        let (mut columns, mut known) = (Columns::default(), Columns::default());
        let mut groups = Groups::default();
        let begun = self.done;
        loop {
            let full = self.done.samples - begun.samples >= SAMPLES_MAX
                || self.done.series - begun.series >= SERIES_MAX
                || groups.ticks >= TICKS_MAX;
            if full {
                return Ok(());
            }
            let Some(labels) = self.source.next()? else {
                self.ended = true;
                return Ok(());
            };
            if self.last.as_ref().is_some_and(|last| *last >= labels) {
                return Err(BlockError::Order("labels of series").into());
            }
            self.source.read(&mut columns)?;
            let times = &columns.times_ms;
            let outside = |t: &&i64| !(self.range.0..=self.range.1).contains(*t);
            if times.windows(2).any(|w| w[0] >= w[1]) || times.iter().any(|t| outside(&t)) {
                return Err(BlockError::Order("times of a series").into());
            }
            self.known.read(&labels, &mut known)?;
            if !known.times_ms.is_empty() {
                self.leave_out(&mut columns, &known);
            }
            if !columns.times_ms.is_empty() {
                let (group, ticks) = groups.find(&labels, &columns.times_ms, writer)?;
                let points = Points {
                    ticks: ticks.as_deref(),
                    floats: &columns.floats,
                    histograms: &columns.histograms,
                    starts_ms: &columns.starts_ms,
                };
                writer.series(&labels, group, points)?;
                self.done.series += 1;
                self.done.samples += columns.times_ms.len() as u64;
            }
            self.last = Some(labels);
        }
    }

    /// Takes away the samples at whose times the store has one.
    fn leave_out(&mut self, columns: &mut Columns, known: &Columns) {
        let (mut kept, mut at) = (Columns::default(), 0);
        let mut histograms = columns.histograms.iter().peekable();
        let mut known_histograms = known.histograms.iter().peekable();
        for (i, &time) in columns.times_ms.iter().enumerate() {
            let histogram = take(&mut histograms, i);
            while known.times_ms.get(at).is_some_and(|t| *t < time) {
                at += 1;
            }
            let float = columns.floats[i];
            if known.times_ms.get(at) == Some(&time) {
                let same = match (histogram, take(&mut known_histograms, at)) {
                    (None, None) => known.floats[at].to_bits() == float.to_bits(),
                    (Some(a), Some(b)) => a.same_value(b),
                    _ => false,
                };
                self.done.present += u64::from(same);
                self.done.conflicts += u64::from(!same);
                continue;
            }
            if let Some(histogram) = histogram {
                kept.histograms.push((kept.times_ms.len() as u32, Arc::clone(histogram)));
            }
            kept.times_ms.push(time);
            kept.floats.push(float);
            if !columns.starts_ms.is_empty() {
                kept.starts_ms.push(columns.starts_ms[i]);
            }
        }
        *columns = kept;
    }
}

/// The histogram at a place, from a walk in order of places.
fn take<'a>(
    histograms: &mut std::iter::Peekable<std::slice::Iter<'a, (u32, Arc<Histogram>)>>,
    place: usize,
) -> Option<&'a Arc<Histogram>> {
    while histograms.next_if(|h| (h.0 as usize) < place).is_some() {}
    histograms.next_if(|h| h.0 as usize == place).map(|h| &h.1)
}

/// So many groups of one target are tried for a series that has not all of their ticks.
const TRIED_MAX: usize = 4;

/// A group with its times.
type Tried = (GroupId, Arc<[i64]>);

/// Finds series that share their times: those of one target, as a rule.
#[derive(Default)]
struct Groups {
    /// By the digest of the times.
    exact: HashMap<u128, GroupId>,
    /// The largest groups of a target, by the digest of what names it.
    of_target: HashMap<u128, Vec<Tried>>,
    /// Ticks of all groups.
    ticks: usize,
}

impl Groups {
    /// The group of a series, and its ticks there where it has not all of them.
    fn find<W: Write>(
        &mut self,
        labels: &Labels,
        times: &[i64],
        writer: &mut Writer<W>,
    ) -> Result<(GroupId, Option<Vec<u32>>), BlockError> {
        let bytes: Vec<u8> = times.iter().flat_map(|t| t.to_le_bytes()).collect();
        let digest = xxh3_128(&bytes);
        if let Some(group) = self.exact.get(&digest) {
            return Ok((*group, None));
        }
        let named = ["job", "instance"].map(|n| labels.get(n).unwrap_or("")).join("\n");
        let target = self.of_target.entry(xxh3_128(named.as_bytes())).or_default();
        for (group, all) in target.iter() {
            if let Some(ticks) = within(times, all) {
                return Ok((*group, Some(ticks)));
            }
        }
        let group = writer.group(times)?;
        self.ticks += times.len();
        self.exact.insert(digest, group);
        if target.len() < TRIED_MAX {
            target.push((group, times.into()));
        } else if let Some(least) = target.iter_mut().min_by_key(|g| g.1.len())
            && least.1.len() < times.len()
        {
            *least = (group, times.into());
        }
        Ok((group, None))
    }
}

/// The places of the times among all, where each is there and the presence takes few runs to say.
fn within(times: &[i64], all: &[i64]) -> Option<Vec<u32>> {
    if times.len() > all.len() {
        return None;
    }
    let mut ticks = Vec::with_capacity(times.len());
    let mut at = all.partition_point(|t| *t < times[0]);
    for time in times {
        while all.get(at).is_some_and(|t| t < time) {
            at += 1;
        }
        if all.get(at) != Some(time) {
            return None;
        }
        ticks.push(at as u32);
    }
    let runs = ticks.chunk_by(|a, b| a + 1 == *b).count();
    (runs <= 1 + times.len() / 4).then_some(ticks)
}
