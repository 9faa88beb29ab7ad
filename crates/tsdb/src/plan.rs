//! Turns a round of a target, or loose samples ([`loose`]), into a record for the log, against the head as it
//! is. Changes nothing itself.
//!
//! A sample goes to its series' slot where its time is that of its group's tick. Otherwise it is
//! placed: newer than all of its series, it joins the group that ticks at its time; older, but
//! within the window, it is kept loose; beyond the window it is refused.

pub(crate) mod loose;

use crate::batch::{self, Committed, FLOAT, Pending, Place, Row};
use crate::change::{Kind, State, Step};
use crate::exemplars::{Entry, ExemplarRefusal, Judge};
use crate::head::Head;
use crate::head::group::{self, Group};
use crate::record::{self, Builder};
use crate::{Metadata, change};
use model::value::STALE_BITS;
use model::{Histogram, Labels, Sample, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a batch of a group brings.
pub(crate) struct Round<'a> {
    pub time_ms: i64,
    pub main: Option<u32>,
    pub others: &'a [u32],
    pub stale_timed: bool,
    pub layout: &'a [batch::Entry],
    /// The generation of the index of series as of which the numbers of the layout hold.
    pub generation: u32,
    pub pending: &'a [Pending],
    pub rows: &'a [Row],
    pub histograms: &'a [Arc<Histogram>],
    pub families: &'a [Metadata],
    /// Each with the place of its row; those of a row in order.
    pub exemplars: &'a [(u32, Entry)],
}

impl Round<'_> {
    /// Whether the series of every row is known: series may have been forgotten since it began.
    pub fn is_sound(&self, head: &Head) -> bool {
        self.generation == head.index.generation()
            || self.rows.iter().all(|row| {
                let entry = self.layout.get(row.entry as usize);
                entry.is_none_or(|e| e.place.is_in(head, self.generation))
            })
    }
}

/// Where the samples of a round went.
#[derive(Default)]
pub(crate) struct Placed {
    pub main: Option<u32>,
    pub others: Vec<u32>,
    /// The place of each row; `None` where all are as in the layout.
    pub rows: Option<Vec<Place>>,
    /// The generation of the index of series as of which these numbers hold.
    pub generation: u32,
}

impl Committed {
    /// Counts what became of an exemplar; whether it is to be written.
    pub(super) fn judged(&mut self, judged: Result<bool, ExemplarRefusal>) -> bool {
        match judged {
            Ok(new) => self.exemplars += u64::from(new),
            Err(ExemplarRefusal::Length) => self.exemplars_too_long += 1,
            Err(_) => self.exemplars_out_of_order += 1,
        }
        judged == Ok(true)
    }
}

/// What the head is asked while planning.
pub(crate) struct Context<'a> {
    pub head: &'a Head,
    pub epoch: u32,
    pub window_ms: i64,
}

/// A tick that a group is to get.
struct Tick {
    group: u32,
    time_ms: i64,
    main: bool,
    /// Slots and rows.
    rows: Vec<(u32, u32)>,
    /// Slots that get a series: slot, series.
    taken: Vec<(u32, u32)>,
    free: Option<Vec<u32>>,
    next_slot: u32,
}

/// Plans a round: the record, what becomes of the samples, where they went.
pub(crate) fn round(context: &Context<'_>, round: &Round<'_>) -> (Builder, Committed, Placed) {
    let mut plan = Plan::new(context, round);
    let mut slow = Vec::new();
    for (i, row) in round.rows.iter().enumerate() {
        if !plan.as_before(i, row) {
            slow.push(i);
        }
    }
    if !slow.is_empty() {
        plan.remember_series();
        for i in slow {
            plan.place(i);
        }
    }
    plan.finish()
}

fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Histogram(a), Value::Histogram(b)) => Arc::ptr_eq(a, b) || a.same_value(b),
        _ => false,
    }
}

/// Series by labels, and which of them the log epoch knows.
struct Names<'a> {
    context: &'a Context<'a>,
    new: HashMap<Labels, u32>,
    numbers: Box<dyn Iterator<Item = u32> + 'a>,
    defined: HashSet<u32>,
}

impl<'a> Names<'a> {
    fn new(context: &'a Context<'a>) -> Names<'a> {
        Names {
            context,
            new: HashMap::new(),
            numbers: Box::new(context.head.index.next_numbers()),
            defined: HashSet::new(),
        }
    }

    /// The number of a series.
    fn resolve(&mut self, labels: &Labels) -> u32 {
        if let Some(series) = self.context.head.index.find(labels) {
            return series;
        }
        let numbers = &mut self.numbers;
        let number = self.new.entry(labels.clone());
        *number.or_insert_with(|| numbers.next().unwrap_or(u32::MAX))
    }

    /// Tells the log a series that this epoch does not know.
    fn define(&mut self, series: u32, labels: &Labels, record: &mut Builder, done: &mut Committed) {
        let known = self.context.head.index.get(series);
        let known_here = known.is_some_and(|s| s.epoch == self.context.epoch);
        if !known_here && self.defined.insert(series) {
            record.series(series, labels);
            done.new_series += u64::from(self.new.contains_key(labels));
        }
    }
}

impl Context<'_> {
    /// The open slot of a series.
    fn slot(&self, series: u32) -> Option<(&Group, &group::Slot)> {
        let (group, slot) = self.head.index.get(series)?.owner?;
        let group = self.head.group(group)?;
        Some((group, group.slots.get(slot as usize)?))
    }

    /// Whether a group may get a tick at that time: beyond its newest; or, in a log epoch in
    /// which it has none yet, far behind, since the clock was set back.
    fn may_tick(&self, group: u32, time_ms: i64) -> bool {
        self.head.group(group).is_none_or(|g| {
            time_ms > g.last_ms
                || (g.epoch < self.epoch && time_ms < g.last_ms.saturating_sub(self.window_ms))
        })
    }
}

struct Plan<'a> {
    context: &'a Context<'a>,
    round: &'a Round<'a>,
    names: Names<'a>,
    record: Builder,
    done: Committed,
    ticks: Vec<Tick>,
    by_group: HashMap<u32, usize>,
    /// The tick to which the last row went.
    latest: usize,
    main: Option<u32>,
    others: Vec<u32>,
    places: Vec<Place>,
    /// Whether a row is not where the layout has it.
    moved: bool,
    seen: HashSet<u32>,
    loose: Vec<(u32, usize)>,
    new_groups: Box<dyn Iterator<Item = u32> + 'a>,
}

impl<'a> Plan<'a> {
    fn new(context: &'a Context<'a>, round: &'a Round<'a>) -> Plan<'a> {
        Plan {
            context,
            round,
            names: Names::new(context),
            record: Builder::of_rows(round.rows.len()),
            done: Committed::default(),
            ticks: Vec::new(),
            by_group: HashMap::new(),
            latest: usize::MAX,
            main: round.main,
            others: round.others.to_vec(),
            places: vec![Place::NOWHERE; round.rows.len()],
            moved: round.rows.len() != round.layout.len(),
            seen: HashSet::new(),
            loose: Vec::new(),
            new_groups: Box::new(context.head.next_groups()),
        }
    }

    /// Puts a row where its series had its sample in the last round, if that can be.
    fn as_before(&mut self, i: usize, row: &Row) -> bool {
        let Some(entry) = self.round.layout.get(row.entry as usize) else { return false };
        let place = entry.place;
        self.places[i] = place;
        self.moved |= row.entry as usize != i;
        let Some(group) = self.context.head.group(place.group) else { return false };
        let slot = group.slots.get(place.slot as usize);
        if slot.is_none_or(|s| !s.open || s.series != place.series) {
            return false;
        }
        let main = self.main == Some(place.group);
        if main == row.timed {
            return false;
        }
        let tick = match self.ticks.get(self.latest).filter(|t| t.group == place.group) {
            Some(_) => self.latest,
            None => match self.tick(place.group, row.time_ms, main) {
                Some(tick) => tick,
                None => return false,
            },
        };
        if self.ticks[tick].time_ms != row.time_ms {
            return false;
        }
        self.latest = tick;
        self.ticks[tick].rows.push((place.slot, i as u32));
        true
    }

    /// The tick of a group in this round; a new one at that time where it may have one.
    fn tick(&mut self, group: u32, time_ms: i64, main: bool) -> Option<usize> {
        if let Some(tick) = self.by_group.get(&group) {
            return Some(*tick);
        }
        if !self.context.may_tick(group, time_ms) {
            return None;
        }
        let next_slot = self.context.head.group(group).map_or(0, |g| g.slots.len() as u32);
        // Most rounds are one tick.
        let rows = Vec::with_capacity(if main { self.round.rows.len() } else { 0 });
        let taken = Vec::new();
        self.ticks.push(Tick { group, time_ms, main, rows, taken, free: None, next_slot });
        self.by_group.insert(group, self.ticks.len() - 1);
        Some(self.ticks.len() - 1)
    }

    /// Notes which series have their sample, to find those that come twice.
    fn remember_series(&mut self) {
        for tick in &self.ticks {
            self.seen.extend(tick.rows.iter().map(|(_, i)| self.places[*i as usize].series));
        }
    }

    fn place(&mut self, i: usize) {
        let row = &self.round.rows[i];
        let series = match self.round.layout.get(row.entry as usize) {
            Some(entry) => entry.place.series,
            None => {
                let labels = self.labels(row);
                if labels.is_empty() {
                    return;
                }
                self.names.resolve(&labels)
            }
        };
        // Should it not join a group now, it goes on where it is.
        let owner = self.context.head.index.get(series).and_then(|s| s.owner);
        let (group, slot) = owner.unwrap_or((group::NONE, group::NONE));
        let place = Place { series, group, slot };
        self.moved |= place != self.places[i];
        self.places[i] = place;
        if !self.seen.insert(series) {
            // The next round is not to expect it: a slot has one sample in a round.
            self.places[i] = Place::NOWHERE;
            self.moved = true;
            self.done.duplicates += 1;
            return;
        }
        let last = self.context.head.last_ms(series);
        let (time, window) = (row.time_ms, self.context.window_ms);
        let far_back = time < last.saturating_sub(window);
        // A series that this log epoch does not know may go on at an earlier time, as its group
        // does: what older epochs have comes first when it is read.
        let known = self.context.head.index.get(series);
        let elsewhere = known.is_none_or(|s| s.epoch < self.context.epoch);
        if (time > last || (far_back && elsewhere && !row.timed)) && self.join(i, series) {
            return;
        }
        if far_back {
            self.done.too_old += 1;
        } else if time == last && self.context.slot(series).is_some_and(|(_, s)| s.present()) {
            let same = self.context.slot(series).is_some_and(|(_, s)| self.same(&s.state, row));
            self.done.duplicates += u64::from(!same);
        } else {
            self.done.out_of_order += u64::from(time < last);
            self.done.samples += 1;
            self.loose.push((series, i));
            // What is newer than its group's tick would stand in the way of the next one.
            if let Some((group, slot)) = owner.filter(|_| time > last) {
                self.record.leave(group, slot);
            }
        }
    }

    /// Gives a series a slot in the group that ticks at the row's time.
    fn join(&mut self, i: usize, series: u32) -> bool {
        let row = &self.round.rows[i];
        let owner = self.context.head.index.get(series).and_then(|s| s.owner);
        let Some(tick) = self.tick_for(row, owner) else { return false };
        let group = self.ticks[tick].group;
        let places = self.context.head.index.get(series).map_or(&[][..], |s| &s.places);
        let slot = match places.iter().find(|p| p.0 == group) {
            Some(place) => place.1,
            None => self.free_slot(tick),
        };
        if owner != Some((group, slot)) {
            self.ticks[tick].taken.push((slot, series));
            self.moved = true;
        }
        self.places[i] = Place { series, group, slot };
        self.ticks[tick].rows.push((slot, i as u32));
        true
    }

    /// The tick at the time of a row that is placed anew.
    fn tick_for(&mut self, row: &Row, owner: Option<(u32, u32)>) -> Option<usize> {
        if !row.timed {
            if self.main.is_none() {
                self.main = self.new_groups.next();
            }
            return self.tick(self.main?, row.time_ms, true);
        }
        let same_time = |t: &Tick| !t.main && t.time_ms == row.time_ms;
        if let Some(tick) = self.ticks.iter().position(same_time) {
            return Some(tick);
        }
        // The series' own group, where that is one of this writer's and has no tick yet.
        let free = |g: &u32| self.others.contains(g) && !self.by_group.contains_key(g);
        let may = |g: &u32| self.context.may_tick(*g, row.time_ms);
        let group = owner.map(|o| o.0).filter(free).filter(may);
        let group = group.or_else(|| self.new_groups.next())?;
        if !self.others.contains(&group) {
            self.others.push(group);
        }
        self.tick(group, row.time_ms, false)
    }

    fn free_slot(&mut self, tick: usize) -> u32 {
        let tick = &mut self.ticks[tick];
        let group = self.context.head.group(tick.group);
        let slots = || group.into_iter().flat_map(|g| g.slots.iter().enumerate());
        let free = tick.free.get_or_insert_with(|| {
            slots().filter(|(_, s)| s.series == group::NONE).map(|(n, _)| n as u32).collect()
        });
        free.pop().unwrap_or_else(|| {
            tick.next_slot += 1;
            tick.next_slot - 1
        })
    }

    fn same(&self, state: &State, row: &Row) -> bool {
        match (state.kind, self.round.histograms.get(row.histogram as usize)) {
            (Kind::Float, None) => state.bits == row.bits,
            (Kind::Histogram, Some(h)) => {
                let page = |h| record::histogram_page(h);
                state.histogram().is_some_and(|s| Arc::ptr_eq(s, h) || page(s) == page(h))
            }
            _ => false,
        }
    }

    fn finish(mut self) -> (Builder, Committed, Placed) {
        let round = self.round;
        // Groups of which nothing came: all of their series are absent.
        let stale: &[u32] = if round.stale_timed { round.others } else { &[] };
        for group in round.main.iter().chain(stale) {
            let present = self.context.head.group(*group).is_some_and(|g| g.present > 0);
            if present {
                self.tick(*group, round.time_ms, round.main == Some(*group));
            }
        }
        for family in round.families {
            self.record.metadata(family);
        }
        for tick in std::mem::take(&mut self.ticks) {
            self.emit(&tick);
        }
        for (series, i) in std::mem::take(&mut self.loose) {
            self.define(series, i);
            let row = &round.rows[i];
            let value = match round.histograms.get(row.histogram as usize) {
                Some(h) => Value::Histogram(Arc::clone(h)),
                None => Value::Float(f64::from_bits(row.bits)),
            };
            let sample = Sample { time_ms: row.time_ms, start_ms: row.start_ms, value };
            self.record.loose(series, &sample);
        }
        self.exemplars();
        let rows = self.moved.then_some(self.places);
        let generation = self.context.head.index.generation();
        (self.record, self.done, Placed { main: self.main, others: self.others, rows, generation })
    }

    /// Adds the exemplars that are new.
    fn exemplars(&mut self) {
        let round = self.round;
        let mut judge = Judge::new(&self.context.head.exemplars);
        for (row, entry) in round.exemplars {
            let series = self.places[*row as usize].series;
            if series == group::NONE {
                continue;
            }
            let labels = self.labels(&round.rows[*row as usize]);
            if self.done.judged(judge.judge(&labels, entry)) {
                self.define(series, *row as usize);
                self.record.exemplar(series, entry);
            }
        }
    }

    fn labels(&self, row: &Row) -> Labels {
        match self.round.layout.get(row.entry as usize) {
            Some(entry) => self.context.head.index.labels(entry.place.series),
            None => {
                let pending = row.entry as usize - self.round.layout.len();
                self.round.pending.get(pending).map(|p| p.labels.clone()).unwrap_or_default()
            }
        }
    }

    /// Tells the log the series of a row, where it does not know it.
    fn define(&mut self, series: u32, row: usize) {
        let known = self.context.head.index.get(series);
        if known.is_none_or(|s| s.epoch != self.context.epoch) {
            let labels = self.labels(&self.round.rows[row]);
            self.names.define(series, &labels, &mut self.record, &mut self.done);
        }
    }

    fn emit(&mut self, tick: &Tick) {
        let context = self.context;
        let group = context.head.group(tick.group);
        let key = group.is_none_or(|g| g.wants_key(context.epoch));
        let anew = group.is_none_or(|g| g.epoch != context.epoch);
        for (slot, i) in &tick.rows {
            let series = self.places[*i as usize].series;
            if anew {
                self.define(series, *i as usize);
                self.record.slot(tick.group, *slot, series);
            }
        }
        if !anew {
            for (slot, series) in &tick.taken {
                let row = tick.rows.iter().find(|r| r.0 == *slot).map_or(0, |r| r.1);
                self.define(*series, row as usize);
                self.record.slot(tick.group, *slot, *series);
            }
        }
        let absent = self.absent(tick, group);
        let stale = tick.main || self.round.stale_timed;
        if anew && stale {
            for slot in &absent {
                let series = group.map_or(group::NONE, |g| g.slots[*slot as usize].series);
                let labels = context.head.index.labels(series);
                self.names.define(series, &labels, &mut self.record, &mut self.done);
                self.record.slot(tick.group, *slot, series);
            }
        }
        let blank = State::default();
        for (slot, i) in &tick.rows {
            let series = self.places[*i as usize].series;
            let known = group.and_then(|g| g.slots.get(*slot as usize));
            let known = known.filter(|s| !key && s.series == series);
            self.change(*slot, &self.round.rows[*i as usize], known.map_or(&blank, |s| &s.state));
        }
        for slot in absent {
            match (stale, key) {
                (true, _) => {
                    // The mark is ours, and began nowhere.
                    let began = group.is_some_and(|g| g.slots[slot as usize].state.start_ms() != 0);
                    let steps = [Step::Start(0), Step::Stale];
                    self.record.change(slot, if began && !key { &steps } else { &steps[1..] });
                }
                (false, false) => self.record.change(slot, &[Step::Absent]),
                (false, true) => {}
            }
        }
        self.record.tick(tick.group, key, tick.time_ms);
    }

    /// The slots that have a value so far and get none at this tick.
    fn absent(&self, tick: &Tick, group: Option<&Group>) -> Vec<u32> {
        let Some(group) = group.filter(|g| g.present > 0) else { return Vec::new() };
        let present = |slot: u32| group.slots.get(slot as usize).is_some_and(|s| s.present());
        let told = tick.rows.iter().filter(|(slot, _)| present(*slot)).count();
        if told == group.present {
            return Vec::new();
        }
        let mut told = vec![false; group.slots.len()];
        for (slot, _) in &tick.rows {
            if let Some(t) = told.get_mut(*slot as usize) {
                *t = true;
            }
        }
        (0..told.len() as u32).filter(|s| present(*s) && !told[*s as usize]).collect()
    }

    /// Adds what a row changes, if anything.
    fn change(&mut self, slot: u32, row: &Row, state: &State) {
        let start = row.start_ms != state.start_ms();
        let mut steps = [Step::Start(row.start_ms), Step::Stale];
        let page;
        if row.histogram != FLOAT {
            self.done.samples += 1;
            if !start && self.same(state, row) {
                return;
            }
            page = self.round.histograms.get(row.histogram as usize).map(record::histogram_page);
            steps[1] = Step::Histogram(page.as_deref().unwrap_or_default());
        } else if row.bits != STALE_BITS {
            self.done.samples += 1;
            let xor = row.bits ^ state.bits;
            if xor == 0 && !start && state.kind == Kind::Float {
                return;
            }
            steps[1] = change::float_step(state.bits, row.bits);
        }
        self.record.change(slot, if start { &steps } else { &steps[1..] });
    }
}
