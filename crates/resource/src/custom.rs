//! What custom.metrics.k8s.io and external.metrics.k8s.io answer: the metrics that rules define,
//! asked of the store.
//!
//! Never here: an API, and a clock: who asks brings the time. Which objects a label selector means
//! is the caller's to find out. Follows `k8s.io/metrics` and, where that leaves room,
//! prometheus-adapter 0.12; windows and timestamps are those of the samples behind a value, where
//! prometheus-adapter says the time of the answer and no window.

mod quantity;
mod times;

pub use quantity::milli;

use crate::adapter::{ApiResource, ApiResources, CustomMetric, Known, QueryFailure, Rules};
use crate::adapter::{GroupResource, Objects, Query};
use cluster::Selector;
use model::{Labels, ReadError, Storage, Value};
use promql::{Engine, QueryError, QueryOptions, QueryValue, VectorSample};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How metrics are found.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often rules are applied to the series anew; a metric that is asked for and not known has
    /// it done at once, at most every 5 s.
    pub relist: Duration,
    /// How long a series that got no samples counts as known.
    pub age: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { relist: Duration::from_secs(30), age: Duration::from_secs(24 * 3600) }
    }
}

/// What a question is asked of.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The store.
    pub storage: &'a dyn Storage,
    /// What evaluates queries.
    pub engine: &'a Engine,
    /// The API server's resources.
    pub resources: &'a ApiResources,
    /// Milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// Limits of the queries.
    pub query: &'a QueryOptions,
}

/// A question for a metric of objects.
#[derive(Clone, Copy, Debug)]
pub struct ObjectQuestion<'a> {
    /// Of which resource they are.
    pub resource: &'a ApiResource,
    /// Their namespace; `None` for objects of the whole cluster.
    pub namespace: Option<&'a str>,
    /// Their names.
    pub names: &'a [String],
    /// The metric.
    pub metric: &'a str,
    /// Which of the metric's series.
    pub selector: &'a Selector,
}

/// A question for an external metric.
#[derive(Clone, Copy, Debug)]
pub struct ExternalQuestion<'a> {
    /// The namespace that asks.
    pub namespace: &'a str,
    /// The metric.
    pub metric: &'a str,
    /// Which of the metric's series.
    pub selector: &'a Selector,
}

/// The value of a metric for one object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectValue {
    /// The object's name.
    pub name: String,
    /// The value, as a Kubernetes quantity.
    pub value: String,
    /// The newest sample behind it, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Over how many seconds the query computes; `None` where it takes newest values alone.
    pub window_seconds: Option<i64>,
}

/// A value of an external metric.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalValue {
    /// The labels of the query's result.
    pub labels: BTreeMap<String, String>,
    /// The value, as a Kubernetes quantity.
    pub value: String,
    /// The newest sample behind it, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Over how many seconds the query computes; `None` where it takes newest values alone.
    pub window_seconds: Option<i64>,
}

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No rule gives such a metric.
    #[error("no rule gives metric {metric:?} for {of}")]
    Unknown {
        /// The metric.
        metric: String,
        /// The resource, or `external metrics`.
        of: String,
    },
    /// The query gave nothing for what was asked.
    #[error("metric {metric:?}: the query {query:?} returned {returned} for {of}")]
    Nothing {
        /// The metric.
        metric: String,
        /// Of what: `pods "a", "b" in namespace "shop"`.
        of: String,
        /// The query.
        query: String,
        /// `nothing`, or how many series that belong to others.
        returned: String,
    },
    /// Several series answer for one object.
    #[error(
        "metric {metric:?}: the query {query:?} returned {count} series for {object:?}; aggregate \
         by the label {label:?}, or ask with a metric selector"
    )]
    Several {
        /// The metric.
        metric: String,
        /// The object.
        object: String,
        /// The label that names it.
        label: String,
        /// The query.
        query: String,
        /// How many.
        count: usize,
    },
    /// The rule gives no query.
    #[error("metric {metric:?}: {source}")]
    Rule {
        /// The metric.
        metric: String,
        /// Why.
        source: QueryFailure,
    },
    /// The query failed.
    #[error("metric {metric:?}: the query {query:?} failed: {source}")]
    Query {
        /// The metric.
        metric: String,
        /// The query.
        query: String,
        /// Why.
        source: QueryError,
    },
    /// The store failed.
    #[error("looking for metrics: {0}")]
    Store(#[from] ReadError),
}

/// The metrics that rules define.
pub struct Metrics {
    options: Options,
    state: Mutex<State>,
    /// What `state` had last, apart from it: `state` is held while the store is read.
    newest: Mutex<Option<Arc<Known>>>,
    /// Results of queries that are evaluated as they stand.
    kept: Mutex<HashMap<String, Kept>>,
}

struct State {
    rules: Arc<Rules>,
    known: Option<(i64, Arc<Known>)>,
}

/// A result that may be given again for a moment.
#[derive(Clone)]
struct Kept {
    time_ms: i64,
    samples: Arc<Vec<VectorSample>>,
}

/// How long a result may be given again, in milliseconds.
const KEEP_MS: i64 = 5000;
/// At most so many results are kept.
const KEEP: usize = 64;
/// Unknown metrics have rules applied anew at most this often, in milliseconds.
const RELIST_UNKNOWN_MS: i64 = 5000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metrics {
    /// Metrics by rules.
    pub fn new(rules: Rules, options: Options) -> Metrics {
        let state = State { rules: Arc::new(rules), known: None };
        Metrics {
            options,
            state: Mutex::new(state),
            newest: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Other rules from now on.
    pub fn replace(&self, rules: Rules) {
        *lock(&self.state) = State { rules: Arc::new(rules), known: None };
        lock(&self.kept).clear();
    }

    /// The metrics that there are; the list may be as old as [`Options::relist`].
    pub fn known(&self, view: &View<'_>) -> Result<Arc<Known>, Error> {
        let age = i64::try_from(self.options.relist.as_millis()).unwrap_or(i64::MAX);
        self.known_since(view, age)
    }

    /// The metrics that there were when they were looked for last; `None` before the first time.
    ///
    /// Takes no look at the store, so that discovery never waits for one.
    pub fn listed(&self) -> Option<Arc<Known>> {
        lock(&self.newest).clone()
    }

    /// The metrics of objects, for discovery.
    pub fn custom(&self, view: &View<'_>) -> Result<Vec<CustomMetric>, Error> {
        Ok(self.known(view)?.custom(view.resources))
    }

    /// The names of external metrics, for discovery.
    pub fn external(&self, view: &View<'_>) -> Result<Vec<String>, Error> {
        Ok(self.known(view)?.external())
    }

    fn known_since(&self, view: &View<'_>, age_ms: i64) -> Result<Arc<Known>, Error> {
        // Held while the store is read, so that many who ask at once have it read once.
        let mut state = lock(&self.state);
        if let Some((listed_ms, known)) = &state.known
            && (0..=age_ms).contains(&(view.now_ms - listed_ms))
        {
            return Ok(known.clone());
        }
        let age = i64::try_from(self.options.age.as_millis()).unwrap_or(i64::MAX);
        let rules = state.rules.clone();
        let listed = Known::list(rules, view.resources, view.storage, view.now_ms, age)?;
        let known = Arc::new(listed);
        state.known = Some((view.now_ms, known.clone()));
        *lock(&self.newest) = Some(known.clone());
        Ok(known)
    }

    /// The metric's values for objects; those of which the query knows nothing are left out.
    ///
    /// Fails where no value at all is found.
    pub fn objects(
        &self,
        view: &View<'_>,
        asked: &ObjectQuestion<'_>,
    ) -> Result<Vec<ObjectValue>, Error> {
        let resource = asked.resource.group_resource();
        let metric = asked.metric;
        let objects =
            Objects { resource: &resource, namespace: asked.namespace, names: asked.names };
        let find =
            |known: &Known| known.object_query(view.resources, metric, &objects, asked.selector);
        let found = self.find(view, find)?;
        let unknown = || Error::Unknown { metric: metric.into(), of: resource.to_string() };
        let query = found.ok_or_else(unknown)?;
        let query = query.map_err(|source| Error::Rule { metric: metric.into(), source })?;
        let samples = self.ask(view, metric, &query)?;
        let belongs = |labels: &Labels| {
            let namespace = query.namespace_label.as_deref().and_then(|l| labels.get(l));
            !query.is_whole
                || (namespace == asked.namespace
                    && asked.selector.matches_by(|key| labels.get(key)))
        };
        let mut by_name: HashMap<&str, (usize, f64)> = HashMap::new();
        for sample in samples.iter().filter(|s| belongs(&s.labels)) {
            let Value::Float(value) = sample.value else { continue };
            let name = sample.labels.get(&query.label).unwrap_or("");
            let found = by_name.entry(name).or_insert((0, value));
            *found = (found.0 + 1, value);
        }
        let times = times::newest(view, &query.text, &query.label);
        let window_seconds = times::window_seconds(&query.text);
        let mut values = Vec::new();
        for name in asked.names {
            let Some((count, value)) = by_name.get(name.as_str()) else { continue };
            if query.is_whole && *count > 1 {
                return Err(Error::Several {
                    metric: metric.into(),
                    object: name.clone(),
                    label: query.label,
                    query: query.text,
                    count: *count,
                });
            }
            let time_ms = times.of(name).unwrap_or(view.now_ms);
            values.push(ObjectValue {
                name: name.clone(),
                value: milli(*value),
                time_ms,
                window_seconds,
            });
        }
        if values.is_empty() {
            return Err(Error::Nothing {
                metric: metric.into(),
                of: describe(&resource, asked),
                query: query.text,
                returned: returned(samples.len()),
            });
        }
        Ok(values)
    }

    /// The values of an external metric; fails where there is none.
    pub fn external_values(
        &self,
        view: &View<'_>,
        asked: &ExternalQuestion<'_>,
    ) -> Result<Vec<ExternalValue>, Error> {
        let ExternalQuestion { namespace, metric, selector } = *asked;
        let found = self.find(view, |known| known.external_query(metric, namespace, selector))?;
        let unknown = || Error::Unknown { metric: metric.into(), of: "external metrics".into() };
        let query = found.ok_or_else(unknown)?;
        let query = query.map_err(|source| Error::Rule { metric: metric.into(), source })?;
        let samples = self.ask(view, metric, &query)?;
        let belongs = |labels: &Labels| {
            let of = query.namespace_label.as_deref().and_then(|l| labels.get(l));
            !query.is_whole
                || (of.is_none_or(|n| n == namespace) && selector.matches_by(|key| labels.get(key)))
        };
        let times = times::newest(view, &query.text, "");
        let window_seconds = times::window_seconds(&query.text);
        let time_ms = times.of("").unwrap_or(view.now_ms);
        let value = |sample: &VectorSample| {
            let Value::Float(value) = sample.value else { return None };
            let labels = sample.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            Some(ExternalValue { labels, value: milli(value), time_ms, window_seconds })
        };
        let values: Vec<ExternalValue> =
            samples.iter().filter(|s| belongs(&s.labels)).filter_map(value).collect();
        if values.is_empty() {
            let mut of = format!("namespace {namespace:?}");
            if !selector.is_empty() {
                of.push_str(&format!(" and selector {:?}", selector.to_string()));
            }
            return Err(Error::Nothing {
                metric: metric.into(),
                of,
                query: query.text,
                returned: returned(samples.len()),
            });
        }
        Ok(values)
    }

    /// A query by what is known; where that gives none, by what is known after looking again.
    fn find(
        &self,
        view: &View<'_>,
        find: impl Fn(&Known) -> Option<Result<Query, QueryFailure>>,
    ) -> Result<Option<Result<Query, QueryFailure>>, Error> {
        if let Some(found) = find(&*self.known(view)?) {
            return Ok(Some(found));
        }
        Ok(find(&*self.known_since(view, RELIST_UNKNOWN_MS)?))
    }

    fn ask(
        &self,
        view: &View<'_>,
        metric: &str,
        query: &Query,
    ) -> Result<Arc<Vec<VectorSample>>, Error> {
        if query.is_whole
            && let Some(kept) = lock(&self.kept).get(&query.text)
            && (0..KEEP_MS).contains(&(view.now_ms - kept.time_ms))
        {
            return Ok(kept.samples.clone());
        }
        let result = view.engine.instant(view.storage, &query.text, view.now_ms, view.query);
        let failed =
            |source| Error::Query { metric: metric.into(), query: query.text.clone(), source };
        let samples = match result.map_err(failed)?.value {
            QueryValue::Vector(samples) => samples,
            QueryValue::Scalar(time_ms, value) => {
                vec![VectorSample { labels: Labels::empty(), time_ms, value: Value::Float(value) }]
            }
            other => {
                let what = format!("it gives a {}, not a vector", other.type_name());
                return Err(failed(QueryError::BadData(what)));
            }
        };
        let samples = Arc::new(samples);
        if query.is_whole {
            let mut kept = lock(&self.kept);
            kept.retain(|_, k| (0..KEEP_MS).contains(&(view.now_ms - k.time_ms)));
            if kept.len() < KEEP {
                let result = Kept { time_ms: view.now_ms, samples: samples.clone() };
                kept.insert(query.text.clone(), result);
            }
        }
        Ok(samples)
    }
}

/// `pods "a", "b" and 3 more in namespace "shop"`
fn describe(resource: &GroupResource, asked: &ObjectQuestion<'_>) -> String {
    const SHOWN: usize = 3;
    let names: Vec<String> = asked.names.iter().take(SHOWN).map(|n| format!("{n:?}")).collect();
    let mut text = format!("{resource} {}", names.join(", "));
    if asked.names.len() > SHOWN {
        text.push_str(&format!(" and {} more", asked.names.len() - SHOWN));
    }
    if let Some(namespace) = asked.namespace {
        text.push_str(&format!(" in namespace {namespace:?}"));
    }
    text
}

fn returned(series: usize) -> String {
    match series {
        0 => "nothing".into(),
        n => format!("{n} series, none of them"),
    }
}

#[cfg(test)]
mod tests;
