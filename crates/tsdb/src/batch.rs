//! Writers: a [`Group`] for each target, a [`Batch`] for each of its rounds.
//!
//! A group remembers the layout of its last round: the bytes that named each sample, and the slot
//! that took it. A sample that comes in the same place is recognised by comparing those bytes.

use crate::db::Db;
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
    /// The bytes that named them, one after the other.
    keys: Vec<u8>,
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
}

/// A series that the layout does not have in its place.
pub(crate) struct Pending {
    pub labels: Labels,
    key: Box<[u8]>,
}

/// A sample of the last round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The end of its bytes in `keys`.
    end: u32,
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
        self.writer.rows.clear();
        self.writer.histograms.clear();
        self.writer.pending.clear();
        self.writer.told.clear();
        let epoch = self.db.epoch();
        Batch { group: self, time_ms, epoch, at: 0, searched: 0 }
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
    /// Entries of the layout looked at beyond the expected ones; bounds the work of a shuffle.
    searched: usize,
    /// The log epoch in which the round began.
    epoch: u32,
}

/// Ends a name; no UTF-8 text has it.
const END_NAME: u8 = 0xff;
/// Ends a value, and the metric name.
const END_VALUE: u8 = 0xfe;
/// Begins the key of a sample whose labels are complete.
const COMPLETE: u8 = 1;
/// Begins the key of a sample to whose labels the target's are added.
const TARGET: u8 = 2;

/// How far ahead an entry is looked for when a sample is not the expected one.
const LOOK_AHEAD: usize = 512;

impl Batch<'_> {
    /// Adds a sample of a series whose labels are complete: the target's are not added.
    ///
    /// A series has one sample in a round; of several the first is kept.
    pub fn push(&mut self, labels: &Labels, sample: Sample) {
        let entry = match self.find(COMPLETE, "", labels.iter()) {
            Some(entry) => entry,
            None => self.add(labels.clone(), key(COMPLETE, "", labels.iter())),
        };
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
        let Group { db, writer, target } = self.group;
        let labels = |entry: u32| {
            writer.key(entry as usize).and_then(|k| labels_of(k, target)).unwrap_or_default()
        };
        let round = Round {
            time_ms: self.time_ms,
            main: writer.main,
            others: &writer.others,
            stale_timed: writer.stale_timed,
            layout: &writer.layout,
            pending: &writer.pending,
            rows: &writer.rows,
            histograms: &writer.histograms,
            families: &writer.told,
            labels: &labels,
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
        Ok(done)
    }

    /// The layout's entry for a sample, where it is the expected one or a little further on.
    fn find<'a>(
        &mut self,
        first: u8,
        name: &str,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Option<u32> {
        let writer = &self.group.writer;
        let budget = LOOK_AHEAD.min((4 * writer.layout.len()).saturating_sub(self.searched));
        for ahead in 0..=budget {
            let at = self.at + ahead;
            if key_is(writer.key(at)?, first, name, labels.clone()) {
                self.at = at + 1;
                self.searched += ahead;
                return Some(at as u32);
            }
        }
        self.searched += budget;
        None
    }

    /// Adds a series that the layout does not have in its place.
    fn add(&mut self, labels: Labels, key: Vec<u8>) -> u32 {
        let writer = &mut self.group.writer;
        writer.pending.push(Pending { labels, key: key.into() });
        (writer.layout.len() + writer.pending.len()) as u32 - 1
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
        let parts = labels.iter().copied();
        let entry = match self.find(TARGET, name, parts.clone()) {
            Some(entry) => entry,
            None => {
                let labels = full_labels(&self.group.target, name, parts.clone());
                self.add(labels, key(TARGET, name, parts))
            }
        };
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

impl Writer {
    fn key(&self, at: usize) -> Option<&[u8]> {
        let end = self.layout.get(at)?.end as usize;
        let begin = if at == 0 { 0 } else { self.layout[at - 1].end as usize };
        self.keys.get(begin..end)
    }

    /// Takes the round at hand for the layout of the next; `places` has each row's.
    fn remember(&mut self, places: &[Place]) {
        let mut layout = Vec::with_capacity(places.len());
        let mut keys = Vec::with_capacity(self.keys.len());
        for (row, place) in self.rows.iter().zip(places) {
            let entry = row.entry as usize;
            let key = match entry.checked_sub(self.layout.len()) {
                Some(pending) => self.pending.get(pending).map(|p| &*p.key),
                None => self.key(entry),
            };
            keys.extend_from_slice(key.unwrap_or_default());
            layout.push(Entry { end: keys.len() as u32, place: *place });
        }
        (self.layout, self.keys) = (layout, keys);
    }
}

/// The bytes that name a sample.
fn key<'a>(first: u8, name: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut key = vec![first];
    key.extend_from_slice(name.as_bytes());
    key.push(END_VALUE);
    for (name, value) in labels {
        key.extend_from_slice(name.as_bytes());
        key.push(END_NAME);
        key.extend_from_slice(value.as_bytes());
        key.push(END_VALUE);
    }
    key
}

/// The labels under which the sample is stored that a key names.
fn labels_of(key: &[u8], target: &Labels) -> Option<Labels> {
    let (first, rest) = key.split_first()?;
    let mut parts = rest.split_inclusive(|b| *b == END_VALUE);
    let text = |bytes: &'_ [u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let name = text(parts.next()?.strip_suffix(&[END_VALUE])?)?;
    let mut pairs = Vec::new();
    for part in parts {
        let mut halves = part.strip_suffix(&[END_VALUE])?.split(|b| *b == END_NAME);
        pairs.push((text(halves.next()?)?, text(halves.next()?)?));
    }
    let pairs = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    Some(match *first {
        COMPLETE => Labels::from_pairs(pairs),
        _ => full_labels(target, &name, pairs),
    })
}

/// Whether `key` names this sample.
fn key_is<'a>(
    key: &[u8],
    first: u8,
    name: &str,
    mut labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> bool {
    let after = |key: &'_ [u8], text: &str, end: u8| -> Option<usize> {
        let n = text.len();
        (key.get(n) == Some(&end) && key[..n] == *text.as_bytes()).then_some(n + 1)
    };
    if key.first() != Some(&first) {
        return false;
    }
    let Some(n) = after(&key[1..], name, END_VALUE) else { return false };
    let mut rest = &key[1 + n..];
    labels.all(|(name, value)| {
        let Some(n) = after(rest, name, END_NAME) else { return false };
        rest = &rest[n..];
        let Some(n) = after(rest, value, END_VALUE) else { return false };
        rest = &rest[n..];
        true
    }) && rest.is_empty()
}
