//! Writers: a [`Group`] for each target, a [`Batch`] for each of its rounds.
//!
//! A group remembers the layout of its last round: for each sample a digest of the bytes that named
//! it, and the slot that took it. A sample that comes in the same place is recognised by its digest
//! (128 bits of XXH3 over a secret of this process), so that a name costs 20 bytes, however long it is.

use crate::db::Db;
use crate::digest::{Digest, digest};
use crate::exemplars::{Entry as ExemplarEntry, Exemplar};
use crate::head::Head;
use crate::plan::Round;
use crate::{Error, Metadata};
use model::labels::METRIC_NAME;
use model::{Family, Histogram, Labels, LabelsBuilder, Sample, Sink, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Writes the rounds of one target.
pub struct Group {
    db: Db,
    target: Labels,
    writer: Writer,
}

/// What a group remembers from round to round.
#[derive(Default)]
pub(crate) struct Writer {
    /// The samples of the last round, in order.
    layout: Vec<Entry>,
    /// The generation of the index of series as of which their numbers hold.
    generation: u32,
    /// The store's group that takes samples without a time of their own.
    main: Option<u32>,
    /// The store's groups that take samples with a time of their own.
    others: Vec<u32>,
    /// Whether series whose samples carry times become stale as the others do.
    stale_timed: bool,
    /// The log epoch in which each family was told to the store.
    families: HashMap<String, u32>,
    /// The samples of the round at hand.
    rows: Vec<Row>,
    histograms: Vec<Arc<Histogram>>,
    pending: Vec<Pending>,
    told: Vec<Metadata>,
    /// Exemplars of the round at hand, each with the place of its row.
    exemplars: Vec<(u32, ExemplarEntry)>,
}

/// A series that the layout does not have in its place.
pub(crate) struct Pending {
    pub labels: Labels,
    name: Digest,
}

/// A sample of the last round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Of the bytes that named it.
    name: Digest,
    pub place: Place,
}

/// Where a sample went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub series: u32,
    pub group: u32,
    pub slot: u32,
}

/// A sample of this round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Its place in the layout, or beyond it in what is pending.
    pub entry: u32,
    /// Whether its time is its own.
    pub timed: bool,
    pub time_ms: i64,
    pub start_ms: i64,
    pub bits: u64,
    /// Its place among the histograms, [`FLOAT`] for a float.
    pub histogram: u32,
}

/// No histogram.
pub(crate) const FLOAT: u32 = u32::MAX;

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Samples kept, those behind their series' newest included; stale marks are not counted.
    pub samples: u64,
    /// Of them, those behind their series' newest.
    pub out_of_order: u64,
    /// Samples left out because they lie further back than the out-of-order window.
    pub too_old: u64,
    /// Samples left out because their series has another value at their time.
    pub duplicates: u64,
    /// Series that were not known before.
    pub new_series: u64,
    /// Exemplars that are new.
    pub exemplars: u64,
    /// Exemplars left out because they are older than their series' newest.
    pub exemplars_out_of_order: u64,
    /// Exemplars left out because their labels are too long.
    pub exemplars_too_long: u64,
}

/// Why a sample was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It lies further back than the out-of-order window.
    TooOld,
    /// Its series has another value at its time.
    Duplicate,
    /// Its series is new, and there are as many as there may be.
    NoRoom,
}

/// A sample that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its place among those that were given.
    pub index: usize,
    /// Why.
    pub why: Refusal,
}

impl Group {
    pub(crate) fn new(db: Db, target: Labels) -> Group {
        Group { db, target, writer: Writer::default() }
    }

    /// Whether series whose samples carry times of their own become stale when they are absent,
    /// as the others do. Prometheus calls it `track_timestamps_staleness`; not so unless said.
    pub fn stale_with_own_times(&mut self, stale: bool) {
        self.writer.stale_timed = stale;
    }

    /// Begins a round at `time_ms`, milliseconds since the Unix epoch.
    ///
    /// Nothing of it is seen before [`Batch::commit`]; dropping the batch discards it.
    pub fn begin(&mut self, time_ms: i64) -> Batch<'_> {
        let writer = &mut self.writer;
        writer.rows = Vec::with_capacity(writer.layout.len());
        writer.histograms.clear();
        writer.pending.clear();
        writer.told.clear();
        writer.exemplars.clear();
        self.db.read_head(|head| writer.settle(head));
        let epoch = self.db.epoch();
        Batch { group: self, time_ms, epoch, at: 0, shuffled: None, text: Vec::new() }
    }

    /// Marks every series of the last round as stale at `time_ms`: the target is gone.
    pub fn end(&mut self, time_ms: i64) -> Result<Committed, Error> {
        self.begin(time_ms).commit()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.db.detach(self.writer.main.into_iter().chain(self.writer.others.iter().copied()));
    }
}

/// One round of a target: visible whole or not at all.
pub struct Batch<'a> {
    group: &'a mut Group,
    time_ms: i64,
    /// The place in the layout at which the next sample is expected.
    at: usize,
    /// Made once a sample was not found near where it was expected.
    shuffled: Option<Shuffled>,
    /// Reused for the bytes of names.
    text: Vec<u8>,
    /// The log epoch in which the round began.
    epoch: u32,
}

/// The layout of a round whose samples come in another order.
struct Shuffled {
    /// Where each sample of the layout is.
    places: HashMap<Digest, u32>,
    /// Which of them came already: a sample that comes twice is told by its labels.
    taken: Vec<bool>,
}

/// Ends a name; no UTF-8 text has it.
const END_NAME: u8 = 0xff;
/// Ends a value, and the metric name.
const END_VALUE: u8 = 0xfe;
/// Begins the key of a sample whose labels are complete.
const COMPLETE: u8 = 1;
/// Begins the key of a sample to whose labels the target's are added.
const TARGET: u8 = 2;

/// Begins the key of a sample that is named by a line of text.
const LINE: u8 = 3;

/// How far ahead an entry is looked for when a sample is not the expected one.
const LOOK_AHEAD: usize = 16;

impl Batch<'_> {
    /// Adds a sample of a series whose labels are complete: the target's are not added.
    ///
    /// A series has one sample in a round; of several the first is kept.
    pub fn push(&mut self, labels: &Labels, sample: Sample) {
        let name = self.name(COMPLETE, "", labels.iter());
        let entry = match self.find(name) {
            Some(entry) => entry,
            None => self.add(labels.clone(), name),
        };
        self.push_sample(entry, sample);
    }

    fn push_sample(&mut self, entry: u32, sample: Sample) {
        let writer = &mut self.group.writer;
        let (bits, histogram) = match sample.value {
            Value::Float(value) => (value.to_bits(), FLOAT),
            Value::Histogram(h) => {
                writer.histograms.push(h);
                (0, writer.histograms.len() as u32 - 1)
            }
        };
        let Sample { time_ms, start_ms, .. } = sample;
        let timed = time_ms != self.time_ms;
        writer.rows.push(Row { entry, timed, time_ms, start_ms, bits, histogram });
    }

    /// How many bytes of `text` name the series that is expected next: those that named it in the
    /// last round. `None` where another one comes.
    pub fn expects(&self, text: &[u8]) -> Option<usize> {
        let name = self.group.writer.layout.get(self.at)?.name;
        let line = text.get(..name.length()).filter(|_| self.is_free(self.at))?;
        (digest(LINE, line) == name).then_some(line.len())
    }

    /// Adds a sample of the series for which [`Batch::expects`] just gave a length.
    pub fn push_expected(&mut self, value: f64, time_ms: Option<i64>) {
        let entry = self.take(self.at);
        self.push_float(entry, value, time_ms);
    }

    /// As [`Sink::sample`], for a sample that is named by a line of text.
    pub fn sample_line(
        &mut self,
        line: &[u8],
        name: &str,
        labels: &[(&str, &str)],
        value: f64,
        time_ms: Option<i64>,
    ) {
        let digest = digest(LINE, line);
        let entry = match self.find(digest) {
            Some(entry) => entry,
            None => {
                let labels = full_labels(&self.group.target, name, labels.iter().copied());
                self.add(labels, digest)
            }
        };
        self.push_float(entry, value, time_ms);
    }

    /// Adds a sample of a series that some bytes name, the same ones round after round: the next one may know
    /// it by [`Batch::expects`]. `labels` makes
    /// all of its labels from the target's, and is asked only where the last round did not have it.
    pub fn sample_named<E>(
        &mut self,
        name: &[u8],
        sample: Sample,
        labels: impl FnOnce(&Labels) -> Result<Labels, E>,
    ) -> Result<(), E> {
        let name = digest(LINE, name);
        let entry = match self.find(name) {
            Some(entry) => entry,
            None => {
                let labels = labels(&self.group.target)?;
                self.add(labels, name)
            }
        };
        self.push_sample(entry, sample);
        Ok(())
    }

    /// Adds an exemplar of the sample that was added last: what tells where it is from, what was
    /// observed, and when, where it says so (milliseconds since the Unix epoch); else its time is the
    /// sample's. One of a native histogram has to say when, or is left out, as Prometheus does it.
    ///
    /// Labels may come in any order. What was refused [`Committed`] says; it is never an error.
    pub fn exemplar(&mut self, labels: &[(&str, &str)], value: f64, time_ms: Option<i64>) {
        let writer = &mut self.group.writer;
        let Some(row) = writer.rows.last() else { return };
        if row.histogram != FLOAT && time_ms.is_none() {
            return;
        }
        let stated = time_ms.is_some();
        let time_ms = time_ms.unwrap_or(row.time_ms);
        let labels = Labels::from_pairs(labels.iter().copied());
        let exemplar = Exemplar { labels, value, time_ms };
        let at = writer.rows.len() as u32 - 1;
        writer.exemplars.push((at, ExemplarEntry { exemplar, stated }));
    }

    /// The time of the round, milliseconds since the Unix epoch.
    pub fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// How many of the samples so far are of series that the last round did not have (one that came
    /// at a wholly different place may be counted, too).
    pub fn added(&self) -> usize {
        self.group.writer.pending.len()
    }

    /// Makes the round visible. Series of the last round that are absent from this one become
    /// stale, except those whose samples carried times of their own.
    ///
    /// Returns once the round was given to the kernel; it is fsynced at most 1 s later.
    pub fn commit(self) -> Result<Committed, Error> {
        let Group { db, writer, .. } = self.group;
        writer.exemplars.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.compare(&b.1)));
        let round = Round {
            time_ms: self.time_ms,
            main: writer.main,
            others: &writer.others,
            stale_timed: writer.stale_timed,
            layout: &writer.layout,
            generation: writer.generation,
            pending: &writer.pending,
            rows: &writer.rows,
            histograms: &writer.histograms,
            families: &writer.told,
            exemplars: &writer.exemplars,
        };
        let (done, placed) = db.commit(&round)?;
        writer.main = placed.main;
        writer.others = placed.others;
        for family in writer.told.drain(..) {
            writer.families.insert(family.name, self.epoch);
        }
        if let Some(places) = placed.rows {
            writer.remember(&places);
        }
        writer.generation = placed.generation;
        // Between rounds only what the next one needs is kept.
        writer.rows = Vec::new();
        writer.pending = Vec::new();
        writer.exemplars = Vec::new();
        Ok(done)
    }

    /// The layout's entry for a sample.
    fn find(&mut self, name: Digest) -> Option<u32> {
        let layout = &self.group.writer.layout;
        let end = layout.len().min(self.at + LOOK_AHEAD);
        if let Some(at) = (self.at..end).find(|at| layout[*at].name == name && self.is_free(*at)) {
            return Some(self.take(at));
        }
        let rows = &self.group.writer.rows;
        let shuffled = self.shuffled.get_or_insert_with(|| Shuffled::of(layout, rows));
        let at = *shuffled.places.get(&name)? as usize;
        self.is_free(at).then(|| self.take(at))
    }

    /// Whether no sample of this round had the entry's place yet.
    fn is_free(&self, at: usize) -> bool {
        self.shuffled.as_ref().is_none_or(|s| !s.taken[at])
    }

    /// Takes the entry for a sample; the one behind it is expected next.
    fn take(&mut self, at: usize) -> u32 {
        if let Some(shuffled) = &mut self.shuffled {
            shuffled.taken[at] = true;
        }
        self.at = at + 1;
        at as u32
    }

    /// Adds a series that the layout does not have.
    fn add(&mut self, labels: Labels, name: Digest) -> u32 {
        let writer = &mut self.group.writer;
        writer.pending.push(Pending { labels, name });
        (writer.layout.len() + writer.pending.len()) as u32 - 1
    }

    /// What stands for a name and labels.
    fn name<'a>(
        &mut self,
        first: u8,
        name: &str,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Digest {
        let text = &mut self.text;
        text.clear();
        text.extend_from_slice(name.as_bytes());
        text.push(END_VALUE);
        for (name, value) in labels {
            text.extend_from_slice(name.as_bytes());
            text.push(END_NAME);
            text.extend_from_slice(value.as_bytes());
            text.push(END_VALUE);
        }
        digest(first, text)
    }

    fn push_float(&mut self, entry: u32, value: f64, time_ms: Option<i64>) {
        self.group.writer.rows.push(Row {
            entry,
            timed: time_ms.is_some_and(|t| t != self.time_ms),
            time_ms: time_ms.unwrap_or(self.time_ms),
            start_ms: 0,
            bits: value.to_bits(),
            histogram: FLOAT,
        });
    }
}

impl Shuffled {
    fn of(layout: &[Entry], rows: &[Row]) -> Shuffled {
        let places = layout.iter().enumerate().map(|(at, e)| (e.name, at as u32)).collect();
        let mut taken = vec![false; layout.len()];
        for row in rows {
            if let Some(taken) = taken.get_mut(row.entry as usize) {
                *taken = true;
            }
        }
        Shuffled { places, taken }
    }
}

/// The labels under which a sample of a target is stored.
fn full_labels<'a>(
    target: &Labels,
    name: &str,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> Labels {
    let mut full: LabelsBuilder = target.builder();
    let mut set = |n: &str, v: &str| {
        match target.get(n) {
            Some(_) => full.set(&format!("exported_{n}"), v),
            None => full.set(n, v),
        };
    };
    labels.for_each(|(n, v)| set(n, v));
    set(METRIC_NAME, name);
    full.build()
}

impl Sink for Batch<'_> {
    fn family(&mut self, family: &Family<'_>) {
        let writer = &mut self.group.writer;
        if writer.families.get(family.name) == Some(&self.epoch) {
            return;
        }
        writer.told.push(Metadata {
            name: family.name.into(),
            kind: family.kind,
            help: family.help.into(),
            unit: family.unit.into(),
        });
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, time_ms: Option<i64>) {
        let digest = self.name(TARGET, name, labels.iter().copied());
        let entry = match self.find(digest) {
            Some(entry) => entry,
            None => {
                let labels = full_labels(&self.group.target, name, labels.iter().copied());
                self.add(labels, digest)
            }
        };
        self.push_float(entry, value, time_ms);
    }
}

impl Writer {
    /// Leaves out of the layout the entries whose series may have been forgotten since.
    fn settle(&mut self, head: &Head) {
        let now = head.index.generation();
        if now != self.generation {
            self.layout.retain(|e| e.place.is_in(head, self.generation));
            self.generation = now;
        }
    }

    /// Takes the round at hand for the layout of the next; `places` has each row's.
    fn remember(&mut self, places: &[Place]) {
        let mut layout = Vec::with_capacity(places.len());
        for (row, place) in self.rows.iter().zip(places).filter(|r| *r.1 != Place::NOWHERE) {
            let entry = row.entry as usize;
            let name = match entry.checked_sub(self.layout.len()) {
                Some(pending) => self.pending.get(pending).map(|p| p.name),
                None => self.layout.get(entry).map(|e| e.name),
            };
            if let Some(name) = name {
                layout.push(Entry { name, place: *place });
            }
        }
        self.layout = layout;
    }
}

impl Place {
    /// Of a sample that was not kept.
    pub const NOWHERE: Place = {
        let none = crate::head::group::NONE;
        Place { series: none, group: none, slot: none }
    };

    /// Whether the slot still is that of the series that had the number in a generation of the index: numbers
    /// of series, groups and slots are all given anew.
    pub fn is_in(&self, head: &Head, generation: u32) -> bool {
        let slot = head.group(self.group).and_then(|g| g.slots.get(self.slot as usize));
        slot.is_some_and(|s| s.series == self.series)
            && head.index.is_since(self.series, generation)
    }
}
