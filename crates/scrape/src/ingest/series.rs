//! The series of a sample: its labels beside the target's, and what a job allows of them.

use crate::config::Job;
use crate::{Error, Place};
use model::labels::{METRIC_NAME, is_label_name, is_metric_name};
use model::{Labels, LabelsBuilder};

/// Whether a sample's labels are within the job's limits and names.
pub(super) fn check<'l>(
    name: &'l str,
    own: impl ExactSizeIterator<Item = (&'l str, &'l str)> + Clone,
    target: &'l Labels,
    job: &Job,
    at: impl Fn() -> Place,
) -> Result<(), Error> {
    let limits = &job.limits;
    let exceeded = |what: String, limit_name, limit| {
        Err(Error::LabelLimit { at: at(), what, limit_name, limit })
    };
    if job.exposition.legacy_names {
        let wrong = own.clone().map(|l| l.0).find(|n| !is_label_name(n));
        let wrong = wrong.or((!is_metric_name(name)).then_some(name));
        if let Some(name) = wrong {
            return Err(Error::Name { at: at(), name: name.to_owned() });
        }
    }
    // The metric's name is a label, too.
    let count = (own.len() + target.len() + 1) as u64;
    if limits.labels > 0 && count > limits.labels {
        return exceeded(format!("{count} labels"), "label_limit", limits.labels);
    }
    if limits.label_name == 0 && limits.label_value == 0 {
        return Ok(());
    }
    for (name, value) in own.chain(target.iter()).chain([(METRIC_NAME, name)]) {
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

/// Sorts the labels of a sample; one that comes twice is an error.
pub(super) fn sort(pairs: &mut [(&str, &str)], at: impl Fn() -> Place) -> Result<(), Error> {
    if !pairs.is_sorted() {
        pairs.sort_unstable();
    }
    match pairs.windows(2).find(|w| w[0].0 == w[1].0) {
        Some(twice) => Err(Error::Duplicate { at: at(), label: twice[0].0.to_owned() }),
        None => Ok(()),
    }
}

/// The labels of a series: the target's and its own. Where both have one, the series' own wins with
/// `honor_labels` (an empty one takes the target's away), and is `exported_` without.
pub(super) fn labels<'l>(
    name: &'l str,
    own: impl Iterator<Item = (&'l str, &'l str)>,
    target: &Labels,
    job: &Job,
) -> Labels {
    let mut all: LabelsBuilder = target.builder();
    for (name, value) in own.chain([(METRIC_NAME, name)]) {
        match !job.honor_labels && target.get(name).is_some() {
            true => all.set(&format!("exported_{name}"), value),
            false => all.set(name, value),
        };
    }
    all.build()
}
