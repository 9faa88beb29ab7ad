//! A group in the head: ticks, and for each of its series a slot.

use super::changes::Changes;
use super::chunk::{self, CHUNK_TICKS, Chunk};
use super::series::SeriesIndex;
use crate::change::{self, Kind, State, Step};
use crate::codec::{CodecError, put_varint};
use crate::cursor::Cursor;
use crate::record::Tick;
use std::sync::Arc;

/// No series.
pub(crate) const NONE: u32 = u32::MAX;

/// A group of the head.
#[derive(Default)]
pub(crate) struct Group {
    /// The log epoch of the open chunk.
    pub epoch: u32,
    /// A number of the open chunk, for readers' caches.
    pub open_id: u64,
    /// Times of the open chunk's ticks.
    pub times_ms: Vec<i64>,
    pub slots: Vec<Slot>,
    /// Sealed chunks with their log epoch, oldest first.
    pub chunks: Vec<(u32, Arc<Chunk>)>,
    /// The time of the newest tick.
    pub last_ms: i64,
    /// Slots that have a value at the newest tick.
    pub present: usize,
    /// Whether a writer holds it.
    pub attached: bool,
    /// Whether nothing but a key tick can follow, since what was before is not known.
    pub broken: bool,
}

/// The place of one series in a group.
pub(crate) struct Slot {
    /// [`NONE`] where the slot is free.
    pub series: u32,
    /// Whether ticks may still give it values.
    pub open: bool,
    /// The tick of the newest change in `changes`.
    last_change: u16,
    /// What it has at the newest tick.
    pub state: State,
    /// (ticks since the change before, steps), from the open chunk's first tick on; before it there
    /// is nothing.
    pub changes: Changes,
}

/// An open chunk has no more ticks than this, whatever a log says.
const TICKS_MAX: usize = u16::MAX as usize;

impl Slot {
    /// An empty slot for a series.
    pub fn new(series: u32) -> Slot {
        Slot {
            series,
            open: series != NONE,
            last_change: 0,
            state: State::default(),
            changes: Changes::new(),
        }
    }

    /// Whether there is a value at the newest tick.
    pub fn present(&self) -> bool {
        self.state.kind != Kind::Absent
    }

    /// Whether it has samples in the open chunk.
    pub fn used(&self) -> bool {
        !self.changes.is_empty()
    }

    fn record(&mut self, tick: u16, steps: &[u8]) {
        let since = tick - self.last_change;
        if since < 0x80 {
            self.changes.extend(&[since as u8]);
        } else {
            let mut bytes = Vec::new();
            put_varint(u64::from(since), &mut bytes);
            self.changes.extend(&bytes);
        }
        self.last_change = tick;
        self.changes.extend(steps);
    }
}

impl Group {
    /// A group without ticks.
    pub fn new() -> Group {
        Group { last_ms: i64::MIN, broken: true, ..Group::default() }
    }

    /// Whether the next tick must be a key tick.
    pub fn wants_key(&self, epoch: u32) -> bool {
        self.broken || self.epoch != epoch || self.times_ms.len() >= CHUNK_TICKS
    }

    /// Takes a tick. Slots whose value ends are told to the index of series.
    pub fn tick(
        &mut self,
        tick: &Tick<'_>,
        epoch: u32,
        index: &mut SeriesIndex,
    ) -> Result<u64, CodecError> {
        if tick.key {
            self.begin_chunk(epoch, tick, index)?;
        } else if self.broken || self.times_ms.last().is_none_or(|l| *l >= tick.time_ms) {
            return Ok(0);
        }
        if self.times_ms.len() >= TICKS_MAX {
            return Err(CodecError::Invalid("number of ticks without a key"));
        }
        let (before, at) = (self.last_ms, self.times_ms.len() as u16);
        self.times_ms.push(tick.time_ms);
        self.last_ms = tick.time_ms;
        let mut stale_marks = 0;
        for change in tick.changes() {
            let (number, steps) = change?;
            // A slot whose definition was lost with a damaged record.
            let Some(slot) = self.slots.get_mut(number as usize).filter(|s| s.open) else {
                continue;
            };
            let was = slot.present();
            let (mut cursor, mut stale) = (Cursor(steps), false);
            while !cursor.0.is_empty() {
                stale |= slot.state.step(change::take(&mut cursor)?)?;
            }
            slot.record(at, steps);
            stale_marks += u64::from(stale);
            self.present = self.present + usize::from(slot.present()) - usize::from(was);
            if !slot.present() {
                let last = if stale { tick.time_ms } else { before };
                if let Some(series) = index.get_mut(slot.series).filter(|_| was || stale) {
                    series.last_ms = series.last_ms.max(last);
                }
            }
        }
        Ok(self.present as u64 + stale_marks)
    }

    /// Seals what is open and begins anew. Who had a value and is not told again has none;
    /// where the log epoch is another, such a slot is closed.
    fn begin_chunk(
        &mut self,
        epoch: u32,
        tick: &Tick<'_>,
        index: &mut SeriesIndex,
    ) -> Result<(), CodecError> {
        self.seal();
        let mut told = vec![false; self.slots.len()];
        for change in tick.changes() {
            if let Some(t) = told.get_mut(change?.0 as usize) {
                *t = true;
            }
        }
        for (slot, told) in self.slots.iter_mut().zip(told) {
            let was = slot.present();
            slot.state = State::default();
            if told || slot.series == NONE {
                continue;
            }
            if let Some(series) = index.get_mut(slot.series) {
                if was {
                    series.last_ms = series.last_ms.max(self.last_ms);
                }
                if epoch != self.epoch && slot.open {
                    slot.open = false;
                    series.owner = None;
                }
            }
        }
        self.present = 0;
        self.epoch = epoch;
        self.broken = false;
        self.open_id = chunk::next_id();
        Ok(())
    }

    /// Seals the open chunk; the next tick must be a key tick.
    pub fn seal(&mut self) {
        self.broken = true;
        if self.times_ms.is_empty() {
            return;
        }
        let columns = self.slots.iter().map(|s| s.changes.as_slice());
        let chunk = Chunk::seal(self.open_id, &self.times_ms, columns);
        self.chunks.push((self.epoch, Arc::new(chunk)));
        self.times_ms.clear();
        for slot in &mut self.slots {
            slot.changes = Changes::new();
            slot.last_change = 0;
        }
    }

    /// A series takes a slot.
    pub fn take(&mut self, number: u32, series: u32) {
        while self.slots.len() <= number as usize {
            self.slots.push(Slot::new(NONE));
        }
        let slot = &mut self.slots[number as usize];
        if slot.series == series {
            slot.open = true;
        } else {
            *slot = Slot::new(series);
        }
    }

    /// A series leaves its slot: it has no value from the next tick on.
    pub fn leave(&mut self, number: u32, index: &mut SeriesIndex) {
        let next = self.times_ms.len() as u16;
        let Some(slot) = self.slots.get_mut(number as usize).filter(|s| s.open) else { return };
        slot.open = false;
        if slot.present() {
            self.present -= 1;
            slot.state.step(Step::Absent).ok();
            if next > 0 {
                let mut steps = Vec::new();
                change::put(Step::Absent, &mut steps);
                slot.record(next, &steps);
            }
            if let Some(series) = index.get_mut(slot.series) {
                series.last_ms = series.last_ms.max(self.last_ms);
            }
        }
        if let Some(series) = index.get_mut(slot.series) {
            series.owner = None;
        }
    }

    /// Whether a slot holds samples.
    pub fn holds(&self, number: u32) -> bool {
        self.slots.get(number as usize).is_some_and(Slot::used)
            || self.chunks.iter().any(|(_, c)| c.has(number))
    }

    /// Bytes of memory, about.
    pub fn memory(&self) -> usize {
        let slots: usize = self.slots.iter().map(|s| size_of::<Slot>() + s.changes.memory()).sum();
        let chunks: usize = self.chunks.iter().map(|c| c.1.memory()).sum();
        size_of::<Group>() + slots + chunks + self.times_ms.capacity() * 8
    }
}
