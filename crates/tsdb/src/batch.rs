//! Writers: a [`Group`] for each target, a [`Batch`] for each of its rounds.

use crate::Error;
use crate::db::Db;
use model::{Family, Labels, LabelsBuilder, Sample, Sink, Value, labels::METRIC_NAME};
use std::collections::HashSet;

/// Writes the rounds of one target.
pub struct Group {
    db: Db,
    target: Labels,
    last: HashSet<Labels>,
}

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
        Group { db, target, last: HashSet::new() }
    }

    /// Begins a round at `time_ms`, milliseconds since the Unix epoch.
    ///
    /// Nothing of it is seen before [`Batch::commit`]; dropping the batch discards it.
    pub fn begin(&mut self, time_ms: i64) -> Batch<'_> {
        Batch {
            group: self,
            time_ms,
            samples: Vec::new(),
            kept: HashSet::new(),
            families: Vec::new(),
        }
    }

    /// Marks every series of the last round as stale at `time_ms`: the target is gone.
    pub fn end(&mut self, time_ms: i64) -> Result<Committed, Error> {
        self.begin(time_ms).commit()
    }
}

/// One round of a target: visible whole or not at all.
pub struct Batch<'a> {
    group: &'a mut Group,
    time_ms: i64,
    samples: Vec<(Labels, Sample)>,
    kept: HashSet<Labels>,
    families: Vec<crate::Metadata>,
}

impl Batch<'_> {
    /// Adds a sample of a series whose labels are complete: the target's are not added.
    pub fn push(&mut self, labels: &Labels, sample: Sample) {
        if sample.time_ms == self.time_ms {
            self.kept.insert(labels.clone());
        }
        self.samples.push((labels.clone(), sample));
    }

    /// Makes the round visible. Series of the last round that are absent from this one become
    /// stale, except those whose samples carried times of their own.
    ///
    /// Returns once the round was given to the kernel; it is fsynced at most 1 s later.
    pub fn commit(self) -> Result<Committed, Error> {
        let mut samples = self.samples;
        for gone in self.group.last.difference(&self.kept) {
            let value = Value::Float(model::value::STALE);
            samples.push((gone.clone(), Sample { time_ms: self.time_ms, start_ms: 0, value }));
        }
        let stale = self.group.last.difference(&self.kept).count() as u64;
        self.group.db.describe(self.families);
        let mut done = self.group.db.append(&samples)?;
        done.samples = done.samples.saturating_sub(stale);
        self.group.last = self.kept;
        Ok(done)
    }
}

impl Sink for Batch<'_> {
    fn family(&mut self, family: &Family<'_>) {
        self.families.push(crate::Metadata {
            name: family.name.into(),
            kind: family.kind,
            help: family.help.into(),
            unit: family.unit.into(),
        });
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, time_ms: Option<i64>) {
        let mut full: LabelsBuilder = self.group.target.builder();
        for (n, v) in labels.iter().chain(&[(METRIC_NAME, name)]) {
            match self.group.target.get(n) {
                Some(_) => full.set(&format!("exported_{n}"), v),
                None => full.set(n, v),
            };
        }
        let time_ms = time_ms.unwrap_or(self.time_ms);
        self.push(&full.build(), Sample { time_ms, start_ms: 0, value: Value::Float(value) });
    }
}
