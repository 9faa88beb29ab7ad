//! Everything that the store takes in, in the order in which it was taken in, read from the log
//! behind the writers' back: they do nothing for it and never wait for it.
//!
//! The log tells changes; a [`Tail`] keeps what each slot of each group has, as the head does, and
//! makes whole samples of them. An epoch of the log explains itself, so a tail forgets everything
//! where one begins, and can begin with any. Meaning of the records: `docs/formats/log.md`.

use crate::change::{self, Kind, State, Step};
use crate::codec::CodecError;
use crate::cursor::Cursor;
use crate::db::Db;
use crate::exemplars::Exemplar;
use crate::head::group::NONE;
use crate::open::{KEPT, LOG};
use crate::record::{self, Item, Tick};
use crate::{Error, Metadata};
use disk::tail::{Place, Read};
use model::value::STALE;
use model::{Labels, Sample, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// A place between two samples of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The log's epoch.
    pub epoch: u32,
    /// The number of the record in the log.
    pub record: u64,
    /// How many samples and exemplars of the record lie before it.
    pub sample: u32,
}

/// Takes what a [`Tail`] reads.
pub trait Follow {
    /// An epoch of the log begins: numbers of series mean nothing any more.
    fn epoch(&mut self, epoch: u32);
    /// What a number means from `position` on.
    fn series(&mut self, position: Position, number: u32, labels: Labels);
    /// A family was described.
    fn family(&mut self, family: Metadata);
    /// A sample; `position` is the place before it.
    fn sample(&mut self, position: Position, series: u32, sample: Sample);
    /// An exemplar of a series that came; `position` is the place before it, `sample` one of its series
    /// that was told before: the one it came with, where that was taken in. Those that the store kept from
    /// earlier epochs of the log, and those that were imported, are not told.
    fn exemplar(
        &mut self,
        position: Position,
        series: u32,
        exemplar: Exemplar,
        sample: Option<Sample>,
    );
    /// A part of the log cannot be read: samples are missing.
    fn lost(&mut self);
}

/// Reads the log of a store from a position on, as far as it is written.
pub struct Tail {
    db: Db,
    log: disk::Tail,
    decoder: Decoder,
}

impl Db {
    /// The place behind everything that was taken in so far.
    pub fn position(&self) -> Position {
        behind(&self.store().log.state())
    }

    /// Reads what was taken in from `from` on; where the log does not go back so far, from where it
    /// begins. For what is to be read later the log must be kept ([`crate::Options::keep_log`]).
    pub fn tail(&self, from: Position) -> Tail {
        // The folder may be younger than the position: all its log was deleted once.
        let from = if from > self.position() { Position::default() } else { from };
        let files = Arc::clone(&self.store().files);
        let log = disk::Tail::open(files, LOG, KEPT, from.epoch);
        Tail { db: self.clone(), log, decoder: Decoder { from, ..Decoder::default() } }
    }

    /// Whether the log stays when its samples are in a block, for a [`Tail`], until
    /// [`Db::forget_log`].
    pub fn keep_log(&self, keep: bool) -> Result<(), Error> {
        Ok(self.store().log.keep_in(keep.then_some(KEPT))?)
    }

    /// How many bytes each epoch of the log takes, what is kept for tails included; oldest first.
    pub fn log_sizes(&self) -> Result<Vec<(u32, u64)>, Error> {
        Ok(disk::tail::sizes(&*self.store().files, LOG, KEPT)?)
    }

    /// Deletes what is kept of the log for tails, up to the epoch before `epoch`; gives the bytes
    /// that are kept still.
    pub fn forget_log(&self, epoch: u32) -> Result<u64, Error> {
        Ok(disk::tail::forget_kept(&*self.store().files, KEPT, epoch)?)
    }
}

impl Tail {
    /// Reads a piece of what was taken in so far; whether there may be more.
    pub fn read(&mut self, follow: &mut dyn Follow) -> Result<bool, Error> {
        let log = self.db.store().log.state();
        let upto = Place { epoch: log.epoch, seq: log.written };
        let decoder = &mut self.decoder;
        let more = self.log.read(upto, &mut |read| match read {
            Read::Frame(frame) => {
                decoder.frame(frame.epoch, frame.seq, frame.payload, follow);
            }
            Read::Gap => decoder.gap(follow),
        })?;
        if !more {
            decoder.position = decoder.position.max(behind(&log));
        }
        Ok(more)
    }

    /// The place behind the newest sample read.
    pub fn position(&self) -> Position {
        self.decoder.position.max(self.decoder.from)
    }

    /// The epoch of the log that is being read: what is before it is of no use to this tail.
    pub fn epoch(&self) -> u32 {
        self.log.epoch()
    }

    /// How many bytes of the log were read.
    pub fn read_bytes(&self) -> u64 {
        self.log.read_bytes()
    }

    /// How many bytes of the log are not read yet.
    pub fn behind(&self) -> Result<u64, Error> {
        Ok(self.log.behind()?)
    }
}

/// The place behind all records of a log.
fn behind(log: &disk::LogState) -> Position {
    // An epoch without a record may be begun anew after a restart, with other numbers.
    let record = if log.written < log.first { 0 } else { log.written + 1 };
    Position { epoch: log.epoch, record, sample: 0 }
}

/// Makes samples of records.
#[derive(Default)]
pub(crate) struct Decoder {
    /// Samples before it are not told.
    from: Position,
    position: Position,
    epoch: Option<u32>,
    groups: Vec<Option<Group>>,
    /// The group and slot that take each series' samples.
    owners: Vec<Option<(u32, u32)>>,
}

#[derive(Default)]
struct Group {
    slots: Vec<Slot>,
    /// The time of the newest tick since the last key tick.
    last_ms: Option<i64>,
    /// Nothing but a key tick can follow.
    broken: bool,
}

struct Slot {
    /// [`NONE`] before the first.
    series: u32,
    open: bool,
    /// Whether this tick carries the stale mark.
    stale: bool,
    state: State,
}

impl Slot {
    fn new(series: u32) -> Slot {
        Slot { series, open: false, stale: false, state: State::default() }
    }
}

/// Tells samples with their place in a record.
struct Out<'a> {
    from: Position,
    at: Position,
    follow: &'a mut dyn Follow,
}

impl Out<'_> {
    fn tell(&mut self, series: u32, sample: impl FnOnce() -> Sample) {
        if self.at >= self.from {
            self.follow.sample(self.at, series, sample());
        }
        self.at.sample += 1;
    }
}

/// The newest sample of each series that a record has beside any group.
fn loose_of(payload: &[u8]) -> HashMap<u32, Sample> {
    let mut all: HashMap<u32, Sample> = HashMap::new();
    // What cannot be read is told where the record itself is.
    let _ = record::read(payload, |item| {
        if let Item::Loose { series, time_ms, start_ms, value } = item
            && all.get(&series).is_none_or(|s| s.time_ms < time_ms)
        {
            all.insert(series, Sample { time_ms, start_ms, value: loose_value(value)? });
        }
        Ok(())
    });
    all
}

fn loose_value(step: Step<'_>) -> Result<Value, CodecError> {
    match step {
        Step::Float(bits) => Ok(Value::Float(f64::from_bits(bits))),
        Step::Histogram(bytes) => Ok(Value::Histogram(change::read_histogram(bytes)?)),
        _ => Err(CodecError::Invalid("value")),
    }
}

impl Decoder {
    /// Takes a record.
    pub fn frame(&mut self, epoch: u32, seq: u64, payload: &[u8], follow: &mut dyn Follow) {
        if self.epoch != Some(epoch) {
            self.epoch = Some(epoch);
            self.groups.clear();
            self.owners.clear();
            follow.epoch(epoch);
        }
        let at = Position { epoch, record: seq, sample: 0 };
        let mut out = Out { from: self.from, at, follow };
        let mut loose = None;
        let read = record::read(payload, |item| match item {
            Item::Exemplar { series, entry } => {
                if out.at >= out.from {
                    let loose = loose.get_or_insert_with(|| loose_of(payload));
                    let sample = loose.get(&series).cloned().or_else(|| self.newest(series));
                    out.follow.exemplar(out.at, series, entry.exemplar, sample);
                }
                out.at.sample += 1;
                Ok(())
            }
            item => self.item(item, &mut out),
        });
        self.position = Position { epoch, record: seq + 1, sample: 0 };
        if read.is_err() {
            self.gap(follow);
        }
    }

    /// Records are missing: what follows is not known until it is told anew.
    pub fn gap(&mut self, follow: &mut dyn Follow) {
        self.groups.iter_mut().flatten().for_each(|g| g.broken = true);
        follow.lost();
    }

    fn item(&mut self, item: Item<'_>, out: &mut Out<'_>) -> Result<(), CodecError> {
        match item {
            Item::Series { number, labels } => {
                self.leave_owner(number);
                out.follow.series(out.at, number, labels);
            }
            Item::Slot { group, slot, series } => self.take(group, slot, series),
            Item::Tick(tick) => {
                let group = self.groups.get_mut(tick.group as usize).and_then(Option::as_mut);
                if let Some(group) = group {
                    group.tick(&tick, out)?;
                }
            }
            Item::Leave { group, slot } => self.leave(group, slot),
            Item::Loose { series, time_ms, start_ms, value } => {
                let value = loose_value(value)?;
                out.tell(series, || Sample { time_ms, start_ms, value });
            }
            Item::Metadata(family) => out.follow.family(family),
            Item::Exemplar { .. } | Item::KeptExemplar { .. } => {}
        }
        Ok(())
    }

    fn take(&mut self, group: u32, slot: u32, series: u32) {
        if self.owner(series) != Some((group, slot)) {
            self.leave_owner(series);
        }
        let number = group as usize;
        if self.groups.len() <= number {
            self.groups.resize_with(number + 1, || None);
        }
        let new = || Group { broken: true, ..Group::default() };
        let place = self.groups[number].get_or_insert_with(new);
        let at = slot as usize;
        if place.slots.len() <= at {
            place.slots.resize_with(at + 1, || Slot::new(NONE));
        }
        let taken = &mut place.slots[at];
        if taken.series != series {
            let before = std::mem::replace(taken, Slot::new(series));
            if before.open
                && let Some(owner) = self.owners.get_mut(before.series as usize)
            {
                *owner = None;
            }
        }
        taken.open = true;
        if self.owners.len() <= series as usize {
            self.owners.resize(series as usize + 1, None);
        }
        self.owners[series as usize] = Some((group, slot));
    }

    /// What a series has at its group's newest tick.
    fn newest(&self, series: u32) -> Option<Sample> {
        let (group, slot) = self.owner(series)?;
        let group = self.groups.get(group as usize)?.as_ref().filter(|g| !g.broken)?;
        let state = &group.slots.get(slot as usize)?.state;
        let value = match state.kind {
            Kind::Float => Value::Float(f64::from_bits(state.bits)),
            Kind::Histogram => Value::Histogram(Arc::clone(state.histogram()?)),
            Kind::Absent => return None,
        };
        Some(Sample { time_ms: group.last_ms?, start_ms: state.start_ms(), value })
    }

    fn owner(&self, series: u32) -> Option<(u32, u32)> {
        self.owners.get(series as usize).copied().flatten()
    }

    fn leave_owner(&mut self, series: u32) {
        if let Some((group, slot)) = self.owner(series) {
            self.leave(group, slot);
        }
    }

    fn leave(&mut self, group: u32, slot: u32) {
        let group = self.groups.get_mut(group as usize).and_then(Option::as_mut);
        let Some(slot) = group.and_then(|g| g.slots.get_mut(slot as usize)) else { return };
        if !slot.open {
            return;
        }
        slot.open = false;
        // The newest float stays: should the series come back, the next one is told by it.
        slot.state.step(Step::Absent).ok();
        if let Some(owner) = self.owners.get_mut(slot.series as usize) {
            *owner = None;
        }
    }
}

impl Group {
    fn tick(&mut self, tick: &Tick<'_>, out: &mut Out<'_>) -> Result<(), CodecError> {
        if tick.key {
            self.slots.iter_mut().for_each(|s| s.state = State::default());
            self.broken = false;
        } else if self.broken || self.last_ms.is_none_or(|l| l >= tick.time_ms) {
            return Ok(());
        }
        self.last_ms = Some(tick.time_ms);
        for change in tick.changes() {
            let (number, steps) = change?;
            let Some(slot) = self.slots.get_mut(number as usize).filter(|s| s.open) else {
                continue;
            };
            let mut cursor = Cursor(steps);
            while !cursor.0.is_empty() {
                slot.stale |= slot.state.step(change::take(&mut cursor)?)?;
            }
        }
        let time_ms = tick.time_ms;
        for slot in &mut self.slots {
            let start_ms = slot.state.start_ms();
            let value = match slot.state.kind {
                Kind::Float => Value::Float(f64::from_bits(slot.state.bits)),
                Kind::Histogram => match slot.state.histogram() {
                    Some(histogram) => Value::Histogram(Arc::clone(histogram)),
                    None => continue,
                },
                Kind::Absent if std::mem::take(&mut slot.stale) => Value::Float(STALE),
                Kind::Absent => continue,
            };
            slot.stale = false;
            out.tell(slot.series, || Sample { time_ms, start_ms, value });
        }
        Ok(())
    }
}
