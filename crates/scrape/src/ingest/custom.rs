//! `convert_classic_histograms_to_nhcb` for text: the samples of a classic histogram, which follow each
//! other, collected and made one native histogram with custom bounds.
//!
//! As in Prometheus (`model/textparse/nhcbparse.go`), what makes no histogram (counts that fall, a count
//! that is not that of the last bucket) is left out without failing the scrape.

use super::{Ingested, Meta, native, series};
use crate::config::Job;
use crate::{Error, Place};
use model::exposition::{Exemplar, SampleLine, parse_float};
use model::histogram::Classic;
use model::{Kind, Sample, Value};
use tsdb::Batch;

/// Begins the bytes that name a histogram, which otherwise are those of its first line.
const CUSTOM: u8 = 0xfd;

/// No histogram has more buckets with exemplars.
const MOST_EXEMPLARS: usize = 1 << 12;

/// The samples of one histogram.
#[derive(Default)]
pub(super) struct Collector {
    is_open: bool,
    family: String,
    /// Sorted, without `le`.
    labels: Vec<(String, String)>,
    /// What names it.
    key: Vec<u8>,
    line: usize,
    time_ms: Option<i64>,
    classic: Classic,
    /// Those of its buckets that state their time.
    exemplars: Vec<Owned>,
}

/// An exemplar: labels, value, and its time in milliseconds since the Unix epoch.
type Owned = (Vec<(String, String)>, f64, i64);

enum Part {
    Bucket(f64),
    Count,
    Sum,
}

impl Part {
    /// What of a histogram a sample is.
    fn of(sample: &SampleLine<'_>, family: &Meta) -> Option<Part> {
        let suffix = sample.name.strip_prefix(family.name.as_str())?;
        match suffix {
            _ if family.kind != Kind::Histogram => None,
            "_count" => Some(Part::Count),
            "_sum" => Some(Part::Sum),
            "_bucket" => {
                let bound = sample.labels.iter().find(|l| l.name == "le")?;
                parse_float(&bound.value).filter(|b| !b.is_nan()).map(Part::Bucket)
            }
            _ => None,
        }
    }
}

fn labels_of<'s>(sample: &'s SampleLine<'_>) -> Vec<(&'s str, &'s str)> {
    let own = sample.labels.iter().map(|l| (&*l.name, &*l.value));
    let mut labels: Vec<_> = own.filter(|l| l.0 != "le").collect();
    labels.sort_unstable();
    labels
}

impl Collector {
    /// Puts the histogram into the batch unless `next` is a part of it.
    pub(super) fn end_before(
        &mut self,
        next: Option<&SampleLine<'_>>,
        family: &Meta,
        job: &Job,
        batch: &mut Batch<'_>,
        done: &mut Ingested,
    ) -> Result<(), Error> {
        let goes_on = next.is_some_and(|sample| {
            let own = self.labels.iter().map(|l| (l.0.as_str(), l.1.as_str()));
            Part::of(sample, family).is_some()
                && self.family == family.name
                && own.eq(labels_of(sample))
        });
        if !self.is_open || goes_on {
            return Ok(());
        }
        self.is_open = false;
        let Ok((histogram, whole)) = self.classic.to_custom() else { return Ok(()) };
        if histogram.validate(whole).is_err() {
            return Ok(());
        }
        done.one_more(job)?;
        let at = || Place::Line(self.line);
        let histogram = native::limited(histogram, whole, &job.exposition, at)?;
        let time_ms = self.time_ms.filter(|_| job.honor_timestamps).unwrap_or(batch.time_ms());
        let sample = Sample { time_ms, start_ms: 0, value: Value::Histogram(histogram) };
        batch.sample_named(&self.key, sample, |target| {
            let own = self.labels.iter().map(|l| (l.0.as_str(), l.1.as_str()));
            series::check(&self.family, own.clone(), target, job, at)?;
            Ok::<_, Error>(series::labels(&self.family, own, target, job))
        })?;
        self.exemplars.sort_by(|a, b| a.2.cmp(&b.2).then(a.1.total_cmp(&b.1)));
        for (labels, value, time_ms) in self.exemplars.drain(..) {
            let labels: Vec<_> = labels.iter().map(|l| (l.0.as_str(), l.1.as_str())).collect();
            batch.exemplar(&labels, value, Some(time_ms));
        }
        Ok(())
    }

    /// Takes a sample for the histogram; whether it was a part of one.
    pub(super) fn take(&mut self, sample: &SampleLine<'_>, family: &Meta, line: usize) -> bool {
        let Some(part) = Part::of(sample, family) else { return false };
        if !self.is_open {
            self.is_open = true;
            self.family.clone_from(&family.name);
            let own = labels_of(sample).into_iter();
            self.labels = own.map(|l| (l.0.to_owned(), l.1.to_owned())).collect();
            self.key.clear();
            self.key.push(CUSTOM);
            self.key.extend_from_slice(sample.series.as_bytes());
            (self.line, self.time_ms) = (line, sample.time_ms);
            self.classic.clear();
            self.exemplars.clear();
        }
        if let Some(Exemplar { labels, value, time_ms: Some(time_ms) }) = &sample.exemplar
            && self.exemplars.len() < MOST_EXEMPLARS
        {
            let labels = labels.iter().map(|l| (l.name.to_string(), l.value.to_string()));
            self.exemplars.push((labels.collect(), *value, *time_ms));
        }
        match part {
            Part::Bucket(bound) => self.classic.set_bucket(bound, sample.value),
            Part::Count => self.classic.set_count(sample.value),
            Part::Sum => self.classic.set_sum(sample.value),
        }
        true
    }
}
