//! A target's protobuf, metric by metric.
//!
//! As a line of text, the bytes of a metric's labels name the same series round after round: only
//! those that the last round did not have are read, so that a float that is known costs no allocation
//! and no look at its labels.

use super::{Ingested, native, series};
use crate::config::Job;
use crate::{Error, Place};
use model::exposition::protobuf::{Event, Metric, Point, ProtobufError, Reader, Reading};
use model::exposition::push_open_float;
use model::{Labels, Sample, Sink, Value};
use std::collections::HashSet;
use tsdb::Batch;

/// Ends a family's name; no UTF-8 text has it.
const END_NAME: u8 = 0xff;
/// Ends the labels; no field of a metric begins with it.
const END_LABELS: u8 = 0xf8;

/// Puts every sample of `body` into `batch`.
pub(super) fn ingest(
    body: &[u8],
    job: &Job,
    target: &Labels,
    batch: &mut Batch<'_>,
) -> Result<Ingested, Error> {
    let mut reader = Reader::new(body);
    let (done, key, exemplar_labels) = (Ingested::default(), Vec::new(), Vec::new());
    let mut writer = Writer { job, target, done, key, exemplar_labels };
    while let Some(event) = reader.next()? {
        match event {
            Event::Family(family) => {
                writer.done.families += 1;
                batch.family(&family);
            }
            Event::Metric(metric) => {
                writer.begin(metric);
                let named = writer.key.len();
                metric.points(job.exposition.histograms, |metric, point| {
                    writer.key.truncate(named);
                    writer.put(metric, point, batch)
                })?;
            }
        }
    }
    Ok(writer.done)
}

/// The names of the families of a body.
pub(super) fn family_names(body: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(body);
    let (mut names, mut seen) = (Vec::new(), HashSet::new());
    while let Ok(Some(event)) = reader.next() {
        if let Event::Family(family) = event
            && seen.insert(family.name)
        {
            names.push(family.name.to_owned());
        }
    }
    names
}

struct Writer<'j, 'a> {
    job: &'j Job,
    target: &'j Labels,
    done: Ingested,
    /// What names the series at hand.
    key: Vec<u8>,
    exemplar_labels: Vec<(&'a str, &'a str)>,
}

impl<'a> Writer<'_, 'a> {
    fn begin(&mut self, metric: &Metric<'_>) {
        self.key.clear();
        self.key.extend_from_slice(metric.family.as_bytes());
        self.key.push(END_NAME);
        metric.push_key(&mut self.key);
    }

    fn put(
        &mut self,
        metric: &Metric<'a>,
        point: Point<'_, 'a>,
        batch: &mut Batch<'_>,
    ) -> Result<(), Error> {
        let Writer { job, target, .. } = *self;
        self.done.one_more(job)?;
        let at = || Place::Metric { family: metric.family.to_owned(), byte: metric.at };
        self.key.push(END_LABELS);
        self.key.extend_from_slice(point.suffix.as_bytes());
        if let Some((_, bound)) = point.bound {
            self.key.extend_from_slice(&bound.to_bits().to_le_bytes());
        }
        let value = match point.value {
            Reading::Float(value) => Value::Float(value),
            Reading::Histogram { histogram, whole } => {
                // It has the name of nothing else of its family.
                self.key.push(END_NAME);
                Value::Histogram(native::limited(histogram, whole, &job.exposition, at)?)
            }
        };
        let time_ms = metric.time_ms.filter(|_| job.honor_timestamps).unwrap_or(batch.time_ms());
        // A counter that began later than it is, did not.
        let start_ms = Some(metric.start_ms).filter(|s| (1..=time_ms).contains(s)).unwrap_or(0);
        let sample = Sample { time_ms, start_ms, value };
        batch.sample_named(&self.key, sample, |_| {
            new_series(metric, point.suffix, point.bound, job, target)
        })?;
        for exemplar in point.exemplars {
            exemplar.labels(&mut self.exemplar_labels).map_err(ProtobufError::from)?;
            batch.exemplar(&self.exemplar_labels, exemplar.value, exemplar.time_ms);
        }
        Ok(())
    }
}

/// The labels of a series that the last round did not have.
fn new_series(
    metric: &Metric<'_>,
    suffix: &str,
    bound: Option<(&'static str, f64)>,
    job: &Job,
    target: &Labels,
) -> Result<Labels, Error> {
    let at = || Place::Metric { family: metric.family.to_owned(), byte: metric.at };
    let mut pairs = Vec::new();
    metric.labels(&mut pairs).map_err(ProtobufError::from)?;
    let mut printed = Vec::new();
    if let Some((_, value)) = bound {
        push_open_float(&mut printed, value);
    }
    let printed = String::from_utf8(printed).unwrap_or_default();
    pairs.extend(bound.map(|b| (b.0, printed.as_str())));
    series::sort(&mut pairs, at)?;
    if pairs.iter().any(|p| p.0.is_empty()) {
        return Err(Error::Name { at: at(), name: String::new() });
    }
    let name = format!("{}{suffix}", metric.family);
    series::check(&name, pairs.iter().copied(), target, job, at)?;
    Ok(series::labels(&name, pairs.iter().copied(), target, job))
}
