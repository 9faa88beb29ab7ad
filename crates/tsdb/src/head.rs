//! The head: what was written lately, in memory. Changed by records of the log alone.
//!
//! Samples lie in groups (ticks and slots), or loose: samples behind their series' newest, and
//! those that came outside any group. Of two samples of a series at one time, the first counts.

mod changes;
pub(crate) mod chunk;
pub(crate) mod group;
mod matched;
pub(crate) mod run;
mod runs;
pub(crate) mod series;
pub(crate) mod symbols;
pub(crate) mod unused;

use crate::Metadata;
use crate::change::Step;
use crate::codec::CodecError;
use crate::exemplars::Exemplars;
use crate::record::{self, Item};
use crate::touched::Touched;
use group::Group;
use roaring::RoaringBitmap;
use runs::Runs;
use series::SeriesIndex;
use std::collections::BTreeMap;
use unused::Unused;

/// Series, groups and loose samples in memory.
#[derive(Default)]
pub(crate) struct Head {
    pub index: SeriesIndex,
    groups: Vec<Option<Group>>,
    unused: Unused,
    /// Loose samples by log epoch and series.
    pub loose: BTreeMap<u32, Runs>,
    /// Memory that is used again.
    scratch: Vec<u8>,
    pub metadata: BTreeMap<String, Metadata>,
    /// From which times on readers may see something else than before: of the head and of all blocks.
    pub touched: Touched,
    /// What each log epoch brought.
    pub epochs: BTreeMap<u32, Extent>,
    /// The newest exemplars.
    pub exemplars: Exemplars,
}

/// How much there is, and of what time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub samples: u64,
    pub min_ms: i64,
    pub max_ms: i64,
}

impl Extent {
    fn add(&mut self, samples: u64, time_ms: i64) {
        self.samples += samples;
        if samples > 0 {
            self.min_ms = self.min_ms.min(time_ms);
            self.max_ms = self.max_ms.max(time_ms);
        }
    }
}

impl Default for Extent {
    fn default() -> Extent {
        Extent { samples: 0, min_ms: i64::MAX, max_ms: i64::MIN }
    }
}

impl Head {
    /// Changes the head as a record of the log says.
    pub fn apply(&mut self, record: &[u8], epoch: u32) -> Result<(), CodecError> {
        record::read(record, |item| self.apply_item(item, epoch))
    }

    /// Changes the head as the items of a record say.
    pub fn apply_items(&mut self, items: &[u8], epoch: u32) -> Result<(), CodecError> {
        record::read_items(items, |item| self.apply_item(item, epoch))
    }

    fn apply_item(&mut self, item: Item<'_>, epoch: u32) -> Result<(), CodecError> {
        match item {
            Item::Series { number, labels } => {
                let other = self.index.compare_with(number, &labels).is_ne();
                if other && self.index.get(number).is_some() {
                    self.leave_owner(number);
                }
                self.index.define(number, &labels, epoch);
            }
            Item::Slot { group, slot, series } => self.take_slot(group, slot, series),
            Item::Tick(tick) => {
                let Some(group) = self.groups.get_mut(tick.group as usize).and_then(Option::as_mut)
                else {
                    return Ok(());
                };
                self.touched.note(tick.time_ms);
                let samples = group.tick(&tick, epoch, &mut self.index)?;
                self.epochs.entry(epoch).or_default().add(samples, tick.time_ms);
            }
            Item::Leave { group, slot } => {
                if let Some(group) = self.groups.get_mut(group as usize).and_then(Option::as_mut) {
                    group.leave(slot, &mut self.index);
                }
            }
            Item::Loose { series, time_ms, start_ms, value } => {
                self.add_loose(series, (time_ms, start_ms, value), epoch)?;
            }
            Item::Metadata(family) => {
                self.metadata.insert(family.name.clone(), family);
            }
            Item::Exemplar { series, entry } => {
                // Where the record is lost that said which series it is, it may be any.
                if self.index.get(series).is_some_and(|s| s.epoch == epoch) {
                    let labels = self.index.labels(series);
                    self.exemplars.add(&labels, entry);
                }
            }
            Item::KeptExemplar { series, entry } => self.exemplars.add(&series, entry),
        }
        Ok(())
    }

    /// A group by its number.
    pub fn group(&self, number: u32) -> Option<&Group> {
        self.groups.get(number as usize)?.as_ref()
    }

    /// A group by its number, to be changed.
    pub fn group_mut(&mut self, number: u32) -> Option<&mut Group> {
        self.groups.get_mut(number as usize)?.as_mut()
    }

    /// Group numbers are below this.
    pub fn group_count(&self) -> u32 {
        self.groups.len() as u32
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().flatten()
    }

    /// All groups, to be changed.
    pub fn groups_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.groups.iter_mut().flatten()
    }

    /// The numbers that the next new groups get.
    pub fn next_groups(&self) -> impl Iterator<Item = u32> {
        self.unused.iter()
    }

    /// The time of a series' newest sample.
    pub fn last_ms(&self, series: u32) -> i64 {
        let Some(entry) = self.index.get(series) else { return i64::MIN };
        let owner = entry.owner.and_then(|(g, s)| {
            let group = self.group(g)?;
            group.slots.get(s as usize).filter(|s| s.present())?;
            Some(group.last_ms)
        });
        owner.unwrap_or(i64::MIN).max(entry.last_ms)
    }

    /// Frames of the log are missing: of every group, what follows is not known until it is told
    /// anew.
    pub fn break_chains(&mut self) {
        self.groups_mut().for_each(Group::seal);
    }

    /// Forgets an epoch whose samples are in a block, and the series and groups that only it had.
    pub fn forget_through(&mut self, epoch: u32) {
        self.epochs.retain(|e, _| *e > epoch);
        self.loose.retain(|e, _| *e > epoch);
        let Head { index, groups, unused, loose, .. } = self;
        for (number, place) in groups.iter_mut().enumerate() {
            let Some(group) = place else { continue };
            group.chunks.retain(|c| c.0 > epoch);
            // Nobody will go on with the series of a group whose writer left.
            let ended = !group.attached && group.times_ms.is_empty();
            for slot in 0..group.slots.len() as u32 {
                let entry = &group.slots[slot as usize];
                let goes_on = entry.open && !ended;
                if entry.series == group::NONE || goes_on || group.holds(slot) {
                    continue;
                }
                if let Some(series) = index.get_mut(entry.series) {
                    series.places.retain(|p| *p != (number as u32, slot));
                    series.owner = series.owner.filter(|o| *o != (number as u32, slot));
                }
                group.slots[slot as usize] = group::Slot::new(group::NONE);
            }
            let idle = group.chunks.is_empty() && group.times_ms.is_empty() && !group.attached;
            if idle && group.slots.iter().all(|s| s.series == group::NONE) {
                *place = None;
                unused.give_back(number as u32);
            }
        }
        let held = |n: u32| loose.values().any(|l| l.get(n).is_some());
        let gone = |n: &u32| index.get(*n).is_some_and(|s| s.places.is_empty()) && !held(*n);
        let gone: RoaringBitmap = index.numbers().iter().filter(gone).collect();
        index.forget(&gone);
    }

    fn take_slot(&mut self, group: u32, slot: u32, series: u32) {
        let Some(entry) = self.index.get(series) else { return };
        if entry.owner != Some((group, slot)) {
            self.leave_owner(series);
        }
        if self.groups.len() <= group as usize {
            self.groups.resize_with(group as usize + 1, || None);
        }
        if self.groups[group as usize].is_none() {
            self.unused.take(group);
        }
        let place = self.groups[group as usize].get_or_insert_with(Group::new);
        // Whose slot it was is told first, should a record be lost that said so.
        let old = place.slots.get(slot as usize).filter(|s| s.open && s.series != series);
        if let Some(old) = old.map(|s| s.series) {
            place.leave(slot, &mut self.index);
            if let Some(old) = self.index.get_mut(old) {
                old.places.retain(|p| *p != (group, slot));
            }
        }
        place.take(slot, series);
        if let Some(entry) = self.index.get_mut(series) {
            entry.owner = Some((group, slot));
            if !entry.places.contains(&(group, slot)) {
                entry.places.push((group, slot));
            }
        }
    }

    fn leave_owner(&mut self, series: u32) {
        let owner = self.index.get(series).and_then(|s| s.owner);
        if let Some((group, slot)) = owner
            && let Some(group) = self.groups.get_mut(group as usize).and_then(Option::as_mut)
        {
            group.leave(slot, &mut self.index);
        }
    }

    fn add_loose(
        &mut self,
        series: u32,
        (time_ms, start_ms, value): (i64, i64, Step<'_>),
        epoch: u32,
    ) -> Result<(), CodecError> {
        let Some(entry) = self.index.get_mut(series) else { return Ok(()) };
        let loose = self.loose.entry(epoch).or_default();
        let run = loose.get_or_new(series);
        self.touched.note(time_ms);
        if run.push(time_ms, start_ms, value, &mut self.scratch)? {
            self.epochs.entry(epoch).or_default().add(1, time_ms);
        }
        entry.last_ms = entry.last_ms.max(time_ms);
        Ok(())
    }

    /// Bytes of memory, about.
    pub fn memory(&self) -> usize {
        let groups: usize = self.groups().map(Group::memory).sum();
        let loose: usize = self.loose.values().map(Runs::memory).sum();
        self.index.memory() + groups + loose
    }
}
