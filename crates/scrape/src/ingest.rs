//! A target's answer, sample by sample into a batch of the store, within the job's limits. Text here,
//! protobuf in a module of its own.
//!
//! All or nothing: where a limit is exceeded or a line cannot be read, the caller drops the batch.

mod custom;
mod native;
mod protobuf;
mod series;

use crate::config::Job;
use crate::negotiate::Body;
use crate::{Error, Place};
use custom::Collector;
use model::exposition::{
    Event, Exemplar, Label, Parser, SampleLine, Syntax, parse_float, push_open_float,
};
use model::{Family, Kind, Labels, Sample, Sink, Value};
use series::check;
use std::borrow::Cow;
use tsdb::Batch;

/// What a text held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Samples.
    pub samples: u64,
    /// Families that were named.
    pub families: u64,
}

/// A sample rarely has more labels; those that do cost an allocation.
const FEW: usize = 24;

impl Ingested {
    /// Counts a sample.
    fn one_more(&mut self, job: &Job) -> Result<(), Error> {
        self.samples += 1;
        let limit = job.limits.samples;
        if limit > 0 && self.samples > limit {
            return Err(Error::SampleLimit { limit });
        }
        Ok(())
    }
}

/// Puts every sample of `body` into `batch`.
pub(crate) fn ingest(
    body: &[u8],
    kind: Body,
    job: &Job,
    target: &Labels,
    batch: &mut Batch<'_>,
) -> Result<Ingested, Error> {
    match kind {
        Body::Text(syntax) => text(body, syntax, job, target, batch),
        Body::Protobuf => protobuf::ingest(body, job, target, batch),
    }
}

/// The names of the families that a body describes, each once.
pub(crate) fn family_names(body: &[u8], kind: Body) -> Vec<String> {
    match kind {
        Body::Text(syntax) => text_names(body, syntax),
        Body::Protobuf => protobuf::family_names(body),
    }
}

fn text_names(body: &[u8], syntax: Syntax) -> Vec<String> {
    let mut parser = Parser::new(body, syntax);
    let (mut names, mut seen) = (Vec::new(), std::collections::HashSet::new());
    while let Ok(Some(event)) = parser.next() {
        if let Event::Type { name, .. } | Event::Help { name, .. } | Event::Unit { name, .. } =
            event
            && !seen.contains(&*name)
        {
            seen.insert(name.to_string());
            names.push(name.into_owned());
        }
    }
    names
}

fn text(
    body: &[u8],
    syntax: Syntax,
    job: &Job,
    target: &Labels,
    batch: &mut Batch<'_>,
) -> Result<Ingested, Error> {
    let mut parser = Parser::new(body, syntax);
    let mut done = Ingested::default();
    let mut family = Meta::default();
    let mut collector = job.exposition.histograms.custom.then(Collector::default);
    loop {
        let line = parser.line() + 1;
        let collecting = collector.as_mut().filter(|_| family.kind == Kind::Histogram);
        // A line that begins as the one that came here in the last scrape names the same series.
        if collecting.is_none()
            && let Some(known) = batch.expects(parser.rest())
            && let Some((value, time_ms)) = parser.next_known(known)
        {
            done.one_more(job)?;
            batch.push_expected(value, time_ms.filter(|_| job.honor_timestamps));
            continue;
        }
        let Some(event) = parser.next()? else { break };
        if let Some(collector) = &mut collector {
            let sample = if let Event::Sample(sample) = &event { Some(sample) } else { None };
            collector.end_before(sample, &family, job, batch, &mut done)?;
        }
        match event {
            Event::Sample(sample) => {
                if let Some(collector) = &mut collector
                    && collector.take(&sample, &family, line)
                    && !job.exposition.histograms.classic_too
                {
                    continue;
                }
                done.one_more(job)?;
                let at = || Place::Line(line);
                let own = sample.labels.iter().map(|l| (&*l.name, &*l.value));
                check(&sample.name, own, target, job, at)?;
                put(&sample, family.kind, job, target, batch, line)?;
                if let Some(exemplar) = &sample.exemplar {
                    put_exemplar(exemplar, batch);
                }
            }
            Event::Type { name, kind } => {
                family.begin(&name, &mut done, batch);
                family.kind = kind;
            }
            Event::Help { name, text } => {
                family.begin(&name, &mut done, batch);
                family.help.clear();
                family.help.push_str(&text);
            }
            Event::Unit { name, unit } => {
                family.begin(&name, &mut done, batch);
                family.unit.clear();
                family.unit.push_str(unit);
            }
        }
        if syntax == Syntax::OpenMetrics {
            family.open = true;
        }
    }
    if let Some(collector) = &mut collector {
        collector.end_before(None, &family, job, batch, &mut done)?;
    }
    family.end(&mut done, batch);
    Ok(done)
}

/// What the comment lines say of a family.
struct Meta {
    name: String,
    help: String,
    unit: String,
    kind: Kind,
    open: bool,
}

impl Default for Meta {
    fn default() -> Meta {
        let none = String::new;
        Meta { name: none(), help: none(), unit: none(), kind: Kind::Untyped, open: false }
    }
}

impl Meta {
    fn begin(&mut self, name: &str, done: &mut Ingested, batch: &mut Batch<'_>) {
        if self.name == name {
            return;
        }
        self.end(done, batch);
        self.name.clear();
        self.name.push_str(name);
        self.help.clear();
        self.unit.clear();
        self.kind = Kind::Untyped;
    }

    fn end(&mut self, done: &mut Ingested, batch: &mut Batch<'_>) {
        if self.name.is_empty() {
            return;
        }
        done.families += 1;
        let Meta { name, help, unit, kind, open } = self;
        if *open && *kind == Kind::Counter && !name.ends_with("_total") {
            name.push_str("_total");
        }
        batch.family(&Family { name, help, kind: *kind, unit });
    }
}

/// The values of `le` and `quantile` as OpenMetrics prints them, so that a series is the same one in
/// whichever format a target exposes it. Prometheus does so from version 3 on.
fn bound<'l>(label: &'l Label<'_>, kind: Kind) -> Cow<'l, str> {
    let is_bound = match kind {
        Kind::Histogram => label.name == "le",
        Kind::Summary => label.name == "quantile",
        _ => false,
    };
    let Some(value) = parse_float(&label.value).filter(|_| is_bound) else {
        return Cow::Borrowed(&label.value);
    };
    let mut text = Vec::new();
    push_open_float(&mut text, value);
    match String::from_utf8(text) {
        Ok(text) => Cow::Owned(text),
        Err(_) => Cow::Borrowed(&label.value),
    }
}

fn put(
    sample: &SampleLine<'_>,
    kind: Kind,
    job: &Job,
    target: &Labels,
    batch: &mut Batch<'_>,
    line: usize,
) -> Result<(), Error> {
    let time_ms = sample.time_ms.filter(|_| job.honor_timestamps);
    let mut few = [("", ""); FEW];
    let mut many = Vec::new();
    let pairs: &mut [(&str, &str)] = match sample.labels.len() {
        count @ 0..=FEW => &mut few[..count],
        count => {
            many.resize(count, ("", ""));
            &mut many
        }
    };
    let is_bound = |l: &&Label<'_>| l.name == "le" || l.name == "quantile";
    let printed = sample.labels.iter().find(is_bound).map(|l| (&*l.name, bound(l, kind)));
    for (pair, label) in pairs.iter_mut().zip(sample.labels) {
        *pair = match &printed {
            Some((name, value)) if *name == label.name => (name, value),
            _ => (&label.name, &label.value),
        };
    }
    series::sort(pairs, || Place::Line(line))?;
    let clashes = job.honor_labels && pairs.iter().any(|p| target.get(p.0).is_some());
    if !clashes {
        let line = sample.series.as_bytes();
        batch.sample_line(line, &sample.name, pairs, sample.value, time_ms);
        return Ok(());
    }
    let value = Value::Float(sample.value);
    let time_ms = time_ms.unwrap_or(batch.time_ms());
    let whole = Sample { time_ms, start_ms: 0, value };
    batch.sample_named(sample.series.as_bytes(), whole, |target| {
        Ok(series::labels(&sample.name, pairs.iter().copied(), target, job))
    })
}

fn put_exemplar(exemplar: &Exemplar<'_>, batch: &mut Batch<'_>) {
    let labels: Vec<(&str, &str)> = exemplar.labels.iter().map(|l| (&*l.name, &*l.value)).collect();
    batch.exemplar(&labels, exemplar.value, exemplar.time_ms);
}

#[cfg(test)]
mod tests;
