//! A target's text, sample by sample into a batch of the store, within the job's limits.
//!
//! All or nothing: where a limit is exceeded or a line cannot be read, the caller drops the batch.

use crate::Error;
use crate::config::{Job, Limits};
use model::exposition::{Event, Label, Parser, SampleLine, Syntax};
use model::labels::METRIC_NAME;
use model::{Family, Kind, Labels, Sample, Sink, Value};
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

/// Puts every sample of `body` into `batch`.
pub(crate) fn ingest(
    body: &[u8],
    syntax: Syntax,
    job: &Job,
    target: &Labels,
    batch: &mut Batch<'_>,
) -> Result<Ingested, Error> {
    let mut parser = Parser::new(body, syntax);
    let mut done = Ingested::default();
    let mut family = Meta::default();
    loop {
        let line = parser.line() + 1;
        // A line that begins as the one that came here in the last scrape names the same series.
        if let Some(known) = batch.expects(parser.rest())
            && let Some((value, time_ms)) = parser.next_known(known)
        {
            done.samples += 1;
            if job.limits.samples > 0 && done.samples > job.limits.samples {
                return Err(Error::SampleLimit { limit: job.limits.samples });
            }
            batch.push_expected(value, time_ms.filter(|_| job.honor_timestamps));
            continue;
        }
        let Some(event) = parser.next()? else { break };
        match event {
            Event::Sample(sample) => {
                done.samples += 1;
                let limit = job.limits.samples;
                if limit > 0 && done.samples > limit {
                    return Err(Error::SampleLimit { limit });
                }
                check(&sample, target, &job.limits, line)?;
                put(&sample, job, target, batch, line)?;
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

fn check(
    sample: &SampleLine<'_>,
    target: &Labels,
    limits: &Limits,
    line: usize,
) -> Result<(), Error> {
    let exceeded =
        |what: String, limit_name, limit| Err(Error::LabelLimit { line, what, limit_name, limit });
    // The metric's name is a label, too.
    let count = (sample.labels.len() + target.len() + 1) as u64;
    if limits.labels > 0 && count > limits.labels {
        return exceeded(format!("{count} labels"), "label_limit", limits.labels);
    }
    if limits.label_name == 0 && limits.label_value == 0 {
        return Ok(());
    }
    let own = sample.labels.iter().map(|l| (&*l.name, &*l.value));
    for (name, value) in own.chain(target.iter()).chain([(METRIC_NAME, &*sample.name)]) {
        let (of_name, of_value) = (limits.label_name, limits.label_value);
        if of_name > 0 && name.len() as u64 > of_name {
            let what = format!("the name of label {name:?}, {} bytes", name.len());
            return exceeded(what, "label_name_length_limit", of_name);
        }
        if of_value > 0 && value.len() as u64 > of_value {
            let what = format!("the value of label {name:?}, {} bytes", value.len());
            return exceeded(what, "label_value_length_limit", of_value);
        }
    }
    Ok(())
}

fn put(
    sample: &SampleLine<'_>,
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
    for (pair, Label { name, value }) in pairs.iter_mut().zip(sample.labels) {
        *pair = (name, value);
    }
    if !pairs.is_sorted() {
        pairs.sort_unstable();
    }
    if let Some(twice) = pairs.windows(2).find(|w| w[0].0 == w[1].0) {
        return Err(Error::Duplicate { line, label: twice[0].0.to_owned() });
    }
    let clashes = job.honor_labels && pairs.iter().any(|p| target.get(p.0).is_some());
    if !clashes {
        let line = sample.series.as_bytes();
        batch.sample_line(line, &sample.name, pairs, sample.value, time_ms);
        return Ok(());
    }
    // The sample's own labels win; an empty one takes the target's away.
    let mut labels = target.builder();
    for (name, value) in pairs {
        labels.set(name, value);
    }
    labels.set(METRIC_NAME, &sample.name);
    let value = Value::Float(sample.value);
    let time_ms = time_ms.unwrap_or(batch.time_ms());
    let sample_at = Sample { time_ms, start_ms: 0, value };
    batch.push_line(sample.series.as_bytes(), &labels.build(), sample_at);
    Ok(())
}
