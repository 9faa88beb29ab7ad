//! What is asked of each engine, and whether the answers are Prometheus's: queries that the issue names, and
//! those of the dashboards and rules that people run. Nothing is asked for the same times twice.

use super::containers::Containers;
use super::engine::{Engine, Kind};
use super::feed::Span;
use super::target::{Size, address};
use crate::table::Spread;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stage::mixins;
use std::collections::BTreeMap;
use std::time::Duration;

/// Repetitions of each named query, and of each query of a dashboard or rule.
const REPETITIONS: u32 = 15;
const REPETITIONS_OF_MIXINS: u32 = 3;
const STEPS: i64 = 30;

/// A query by its name in the table.
pub struct Named {
    /// What the table calls it.
    pub name: &'static str,
    text: &'static str,
    /// Over how many hours; 30 steps.
    hours: i64,
}

const FAILURES: &str =
    "sum by (namespace) (rate(container_memory_failures_total{scope=\"container\"}[5m]))";
const REGEX: &str = "sum by (node) ({__name__=~\"container_.+\"})";
const QUANTILE: &str = "histogram_quantile(0.99, sum by (le, verb) (rate(apiserver_request_duration_seconds_bucket[5m])))";

/// The named queries.
pub const NAMED: [Named; 7] = [
    Named { name: "sum by (rate), 2 series a container, 1 h", text: FAILURES, hours: 1 },
    Named { name: "the same, 6 h", text: FAILURES, hours: 6 },
    Named {
        name: "sum by (rate of CPU seconds), 1 series a container, 1 h",
        text: "sum by (namespace) (rate(container_cpu_usage_seconds_total[5m]))",
        hours: 1,
    },
    Named { name: "sum of a regex name, 43 series a container, 1 h", text: REGEX, hours: 1 },
    Named { name: "the same, 6 h", text: REGEX, hours: 6 },
    Named {
        name: "histogram_quantile of 2,496 buckets an API server, 1 h",
        text: QUANTILE,
        hours: 1,
    },
    Named { name: "the same, 6 h", text: QUANTILE, hours: 6 },
];

/// An answer: each series by its labels, with its times in milliseconds and its values.
pub type Answer = BTreeMap<String, Vec<(i64, f64)>>;

/// An answer in a form that JSON has: it knows neither NaN nor infinities, and of these only that they are
/// there counts.
type Kept = Vec<(String, Vec<Point>)>;
type Point = (i64, Option<f64>);

/// How an engine fared with a query.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Asked {
    /// Milliseconds of each repetition, on a warm engine.
    pub ms: Vec<f64>,
    /// Milliseconds of the engine's CPU for one.
    pub cpu_ms: f64,
    /// Milliseconds when nothing of the data was in memory.
    pub cold_ms: f64,
    /// What it answered.
    answer: Kept,
}

impl Named {
    fn ask(&self, engine: &mut Engine, span: &Span, shift_ms: i64) -> Result<(Duration, Value)> {
        let step = self.hours * 3_600_000 / STEPS;
        let end = span.end_ms() - 30_000 - shift_ms;
        let seconds = |ms: i64| ms as f64 / 1000.0;
        engine.range(self.text, seconds(end - step * (STEPS - 1)), seconds(end), seconds(step))
    }
}

/// Asks for each named query once: for a process that was just started over files that are not in memory.
pub fn cold(engine: &mut Engine, span: &Span) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for (i, named) in NAMED.iter().enumerate() {
        let (took, _) = named.ask(engine, span, 7_000 + i as i64)?;
        all.push(took.as_secs_f64() * 1000.0);
    }
    Ok(all)
}

/// Asks the named queries of an engine that is warm.
pub fn named(engine: &mut Engine, span: &Span) -> Result<Vec<Asked>> {
    let mut all = Vec::new();
    for named in &NAMED {
        let (_, answer) = named.ask(engine, span, 0)?;
        let answer = kept(read(&answer));
        ensure!(!answer.is_empty(), "{}: nothing was answered", named.name);
        let before = engine.cpu()?;
        let mut asked = Asked { answer, ..Asked::default() };
        for i in 0..REPETITIONS {
            let (took, _) = named.ask(engine, span, i64::from(i + 1) * 13)?;
            asked.ms.push(took.as_secs_f64() * 1000.0);
        }
        asked.cpu_ms = (engine.cpu()? - before) * 1000.0 / f64::from(REPETITIONS);
        all.push(asked);
    }
    Ok(all)
}

/// A query of a dashboard or a rule, its variables filled in.
pub struct Mixin {
    /// Its text.
    pub text: String,
    instant: bool,
}

/// The queries of all dashboards and rules, for what the load has; empty where they are not beside the checkout.
pub fn of_today(size: Size) -> Result<Vec<Mixin>> {
    let folder = mixins::folder();
    if !folder.is_dir() {
        println!("Left out: dashboards and rules; there is no {}.\n", folder.display());
        return Ok(Vec::new());
    }
    let names = Containers::names(size, 0);
    let first = names.first();
    let value = |name: &str| match name {
        "cluster" => "bench".to_owned(),
        "namespace" => first.map_or(String::new(), |n| n.namespace.clone()),
        "pod" => first.map_or(String::new(), |n| n.pod.clone()),
        "workload" => first.map_or(String::new(), |n| n.app.clone()),
        "type" => "deployment".to_owned(),
        "node" => "node-0000".to_owned(),
        "instance" => address(0),
        name if mixins::is_duration(name) => "5m".to_owned(),
        _ => ".*".to_owned(),
    };
    let mut all: Vec<Mixin> = Vec::new();
    for query in mixins::dashboard_queries(&folder)? {
        all.push(Mixin { text: mixins::fill(&query.text, value), instant: query.instant });
    }
    for rule in mixins::rules(&folder)? {
        all.push(Mixin { text: rule, instant: true });
    }
    Ok(all)
}

/// Asks each as a dashboard over the last hour does (a point each 15 s), rules for the newest time.
pub fn ask_mixins(engine: &mut Engine, span: &Span, mixins: &[Mixin]) -> Result<Vec<Asked>> {
    let mut all = Vec::new();
    for mixin in mixins {
        let end = (span.end_ms() - 30_000) as f64 / 1000.0;
        let mut ask = |shift: f64| {
            if mixin.instant {
                return engine.query_timed(&mixin.text, end - shift);
            }
            engine.range(&mixin.text, end - shift - 3600.0, end - shift, 15.0)
        };
        let mut asked = Asked::default();
        match ask(0.0) {
            Ok((_, answer)) => asked.answer = kept(read(&answer)),
            // Not every engine takes every query; what is refused took no time that counts.
            Err(_) => {
                all.push(asked);
                continue;
            }
        }
        for i in 0..REPETITIONS_OF_MIXINS {
            let (took, _) = ask(f64::from(i + 1) * 0.013)?;
            asked.ms.push(took.as_secs_f64() * 1000.0);
        }
        all.push(asked);
    }
    Ok(all)
}

fn read(result: &Value) -> Answer {
    let mut answer = Answer::new();
    let point = |p: &Value| {
        let time = (p[0].as_f64()? * 1000.0).round() as i64;
        Some((time, p[1].as_str()?.parse::<f64>().ok()?))
    };
    if let Some(scalar) = point(result) {
        answer.insert("scalar".into(), vec![scalar]);
        return answer;
    }
    for series in result.as_array().map_or(&[][..], Vec::as_slice) {
        let points = match series["values"].as_array() {
            Some(values) => values.iter().filter_map(point).collect(),
            None => point(&series["value"]).into_iter().collect(),
        };
        // The map sorts the labels.
        answer.insert(series["metric"].to_string(), points);
    }
    answer
}

fn kept(answer: Answer) -> Kept {
    let point = |(t, v): (i64, f64)| (t, v.is_finite().then_some(v));
    answer.into_iter().map(|(k, p)| (k, p.into_iter().map(point).collect())).collect()
}

impl Asked {
    /// Whether something was answered.
    pub fn is_answered(&self) -> bool {
        !self.answer.is_empty()
    }
}

/// How the answers of an engine are those of another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    /// Those that both answer alike, with something.
    pub same: usize,
    /// Those that both answer with nothing.
    pub empty: usize,
    /// Others.
    pub different: usize,
}

impl Compared {
    /// Of two lists of answers; calls `tell` with the place of each that differs.
    pub fn of(ours: &[Asked], theirs: &[Asked], mut tell: impl FnMut(usize)) -> Compared {
        let mut compared = Compared::default();
        for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
            if !same(a, b) {
                compared.different += 1;
                tell(i);
            } else if a.answer.is_empty() {
                compared.empty += 1;
            } else {
                compared.same += 1;
            }
        }
        compared
    }
}

/// Whether two answers are the same but for what rounding leaves.
fn same(a: &Asked, b: &Asked) -> bool {
    let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * (a.abs() + b.abs()) + 1e-12,
        (a, b) => a.is_none() == b.is_none(),
    };
    let points = |a: &[Point], b: &[Point]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && near(a.1, b.1))
    };
    a.answer.len() == b.answer.len()
        && a.answer.iter().zip(&b.answer).all(|(a, b)| a.0 == b.0 && points(&a.1, &b.1))
}

/// The spread of the medians of some queries' times, at a share of them (0.5, 0.99).
pub fn percentile(asked: &[&Asked], share: f64) -> f64 {
    let median = |a: &&Asked| Spread::of(a.ms.clone()).median;
    let mut medians: Vec<f64> = asked.iter().filter(|a| !a.ms.is_empty()).map(median).collect();
    medians.sort_by(f64::total_cmp);
    let at = ((medians.len() as f64 * share).ceil() as usize).clamp(1, medians.len().max(1));
    medians.get(at - 1).copied().unwrap_or(f64::NAN)
}

/// Whether an engine is one of those whose answers are to be Prometheus's.
pub fn must_agree(kind: Kind) -> bool {
    matches!(kind, Kind::Kubevigil | Kind::PrometheusXor2)
}
