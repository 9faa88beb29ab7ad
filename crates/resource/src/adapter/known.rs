//! Which metrics there are: the rules, applied to the series that a store knows.
//!
//! A series is known as long as the store has a sample of it within the age that is asked for, idle
//! or not: a metric does not vanish because nothing happened for a while.

use super::Rules;
use super::api_resources::{ApiResources, GroupResource};
use super::metric::Metric;
use super::query::{Objects, QueryFailure};
use super::rule::{LabelMap, Rule};
use cluster::Selector;
use model::labels::METRIC_NAME;
use model::{Hints, ReadError, Selection, Storage};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// At most so many metrics are told of: their list is part of every client's discovery.
const MOST_METRICS: usize = 100_000;

/// The metrics that there are at one time.
#[derive(Debug, Default)]
pub struct Known {
    rules: Arc<Rules>,
    custom: BTreeMap<(GroupResource, String), Source>,
    external: BTreeMap<String, Source>,
    /// The label maps of the rules, first those of `rules`, then those of `externalRules`.
    labels: Vec<LabelMap>,
    /// What of the rules makes no sense in this cluster.
    pub notices: Vec<String>,
}

/// Where a metric comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A rule, by its place in the file's list, and the series that it takes.
    Rule {
        /// The place in `rules` or `externalRules`.
        rule: usize,
        /// The series' name.
        series: String,
    },
    /// An entry of `metrics`, by its place.
    Metric(usize),
}

/// A metric of objects, as discovery lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomMetric {
    /// Of which resource.
    pub resource: GroupResource,
    /// Whether it is asked for within a namespace.
    pub namespaced: bool,
    /// Its name.
    pub metric: String,
}

/// A query that answers for a metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    /// PromQL.
    pub text: String,
    /// The label of the result that names the object; empty for an external metric.
    pub label: String,
    /// The label that names the namespace, where the result is to be limited to one namespace.
    pub namespace_label: Option<String>,
    /// Whether the result still has to be limited to the objects and series that are asked for.
    pub is_whole: bool,
}

impl Known {
    /// Applies rules to the series that `storage` has samples of between `now_ms - age_ms` and
    /// `now_ms`.
    pub fn list(
        rules: Arc<Rules>,
        resources: &ApiResources,
        storage: &dyn Storage,
        now_ms: i64,
        age_ms: i64,
    ) -> Result<Known, ReadError> {
        let mut known = Known::default();
        for rule in rules.custom.iter().chain(&rules.external) {
            let (labels, notices) = rule.labels.apply(resources);
            known.labels.push(labels);
            known.notices.extend(notices);
        }
        let range = (now_ms.saturating_sub(age_ms), now_ms);
        for (at, rule) in rules.custom.iter().enumerate() {
            let labels = &known.labels[at];
            for (series, names) in series_of(rule, storage, range)? {
                let Some(metric) = rule.metric(&series) else { continue };
                for resource in names.iter().filter_map(|n| labels.resource(n)) {
                    let source = Source::Rule { rule: at, series: series.clone() };
                    known.custom.insert((resource.clone(), metric.clone()), source);
                }
            }
        }
        for (at, rule) in rules.external.iter().enumerate() {
            for (series, _) in series_of(rule, storage, range)? {
                let Some(metric) = rule.metric(&series) else { continue };
                known.external.insert(metric, Source::Rule { rule: at, series });
            }
        }
        for (at, metric) in rules.metrics.iter().enumerate() {
            match metric.objects(resources) {
                Some((resource, _)) => {
                    known.custom.insert((resource, metric.name.clone()), Source::Metric(at));
                }
                None if metric.described == super::Described::External => {
                    known.external.insert(metric.name.clone(), Source::Metric(at));
                }
                None => known.notices.push(format!(
                    "line {}: the API server knows no resource that metric {:?} describes",
                    metric.line, metric.name
                )),
            }
        }
        known.rules = rules;
        Ok(known)
    }

    /// The metrics of objects, sorted by resource and name.
    pub fn custom(&self, resources: &ApiResources) -> Vec<CustomMetric> {
        let all = self.custom.keys().take(MOST_METRICS);
        all.map(|(resource, metric)| {
            let found = resources.find(&resource.resource, &resource.group);
            CustomMetric {
                resource: resource.clone(),
                // As upstream: a namespace's metrics are asked for by the namespace's name.
                namespaced: found.is_some_and(|r| r.namespaced),
                metric: metric.clone(),
            }
        })
        .collect()
    }

    /// The names of external metrics, sorted.
    pub fn external(&self) -> Vec<String> {
        self.external.keys().take(MOST_METRICS).cloned().collect()
    }

    /// Whether a metric of objects is known.
    pub fn has_custom(&self, resource: &GroupResource, metric: &str) -> bool {
        self.custom.contains_key(&(resource.clone(), metric.to_owned()))
    }

    /// Whether an external metric is known.
    pub fn has_external(&self, metric: &str) -> bool {
        self.external.contains_key(metric)
    }

    /// The query for a metric of objects; `None` where there is no such metric.
    pub(crate) fn object_query(
        &self,
        resources: &ApiResources,
        metric: &str,
        objects: &Objects<'_>,
        selector: &Selector,
    ) -> Option<Result<Query, QueryFailure>> {
        let source = self.custom.get(&(objects.resource.clone(), metric.to_owned()))?;
        match source {
            Source::Rule { rule: at, series } => {
                let (rule, labels) = (self.rules.custom.get(*at)?, self.labels.get(*at)?);
                let made = rule.object_query(labels, series, objects, selector);
                Some(made.map(|(text, label)| Query {
                    text,
                    label,
                    namespace_label: None,
                    is_whole: false,
                }))
            }
            Source::Metric(at) => {
                let metric = self.rules.metrics.get(*at)?;
                let (_, label) = metric.objects(resources)?;
                let within = objects.namespace.map(|_| metric.namespace_label.clone());
                Some(Ok(whole(metric, label, within)))
            }
        }
    }

    /// The query for an external metric; `None` where there is no such metric.
    pub(crate) fn external_query(
        &self,
        metric: &str,
        namespace: &str,
        selector: &Selector,
    ) -> Option<Result<Query, QueryFailure>> {
        match self.external.get(metric)? {
            Source::Rule { rule: at, series } => {
                let rule = self.rules.external.get(*at)?;
                let labels = self.labels.get(self.rules.custom.len() + at)?;
                let made = rule.external_query(labels, series, namespace, selector);
                Some(made.map(|text| Query {
                    text,
                    label: String::new(),
                    namespace_label: None,
                    is_whole: false,
                }))
            }
            Source::Metric(at) => {
                let metric = self.rules.metrics.get(*at)?;
                Some(Ok(whole(metric, String::new(), Some(metric.namespace_label.clone()))))
            }
        }
    }
}

fn whole(metric: &Metric, label: String, namespace_label: Option<String>) -> Query {
    Query { text: metric.query.clone(), label, namespace_label, is_whole: true }
}

/// The names of the series that a rule takes, each with the names of its series' labels.
fn series_of(
    rule: &Rule,
    storage: &dyn Storage,
    (start_ms, end_ms): (i64, i64),
) -> Result<BTreeMap<String, BTreeSet<String>>, ReadError> {
    let hints = Hints { labels_only: true, func: "series", ..Hints::default() };
    let selection = Selection { matchers: &rule.series, start_ms, end_ms, hints };
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut taken: HashMap<String, bool> = HashMap::new();
    let mut set = storage.select(&selection)?;
    while let Some(labels) = set.next()? {
        let series = labels.metric();
        if !taken.contains_key(series) {
            taken.insert(series.to_owned(), rule.takes(series));
        }
        if taken.get(series) != Some(&true) {
            continue;
        }
        if !found.contains_key(series) {
            found.insert(series.to_owned(), BTreeSet::new());
        }
        let Some(names) = found.get_mut(series) else { continue };
        for (name, _) in labels.iter().filter(|l| l.0 != METRIC_NAME) {
            if !names.contains(name) {
                names.insert(name.to_owned());
            }
        }
    }
    Ok(found)
}
