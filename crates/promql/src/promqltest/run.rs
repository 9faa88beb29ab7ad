//! Runs the commands of a script.

use super::compare;
use super::script::{Eval, What, parse};
use super::store::MemoryStore;
use super::{Failure, Report};
use crate::ast::{At, Expr, Modifiers};
use crate::engine::{Engine, depends_on_time};
use crate::query::{
    EngineOptions, QueryError, QueryOptions, QueryResult, QueryValue, VectorSample,
};
use model::histogram::{CUSTOM_BOUNDS_SCHEMA, Span};
use model::labels::METRIC_NAME;
use model::{Histogram, Labels, Sample, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn run(text: &str, name: &str) -> Report {
    let engine = Engine::new(EngineOptions {
        max_samples: 10_000,
        delayed_name_removal: true,
        start_timestamps: true,
        ..EngineOptions::default()
    });
    let mut report = Report::default();
    let mut store = MemoryStore::default();
    for command in parse(text) {
        let outcome = match command.what {
            What::Clear => {
                store = MemoryStore::default();
                continue;
            }
            What::Load { series, with_custom_histograms } => {
                load(&mut store, series, with_custom_histograms);
                continue;
            }
            What::Unreadable(why) => Err(why),
            What::Eval(e) => eval(&engine, &store, &e).map_err(|why| format!("{}: {why}", e.query)),
        };
        match outcome {
            Ok(()) => report.passed += 1,
            Err(message) => {
                let failure = Failure { name: name.into(), line: command.line, message };
                report.failures.push(failure);
            }
        }
    }
    report
}

fn load(store: &mut MemoryStore, all: BTreeMap<Labels, Vec<Sample>>, with_custom_histograms: bool) {
    let mut classic: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for (labels, samples) in &all {
        for sample in samples {
            store.append(labels, sample.clone());
        }
        if with_custom_histograms {
            collect_classic(labels, samples, &mut classic);
        }
    }
    for (labels, by_time) in classic {
        for (time_ms, c) in by_time {
            let value = Value::Histogram(Arc::new(c.into_histogram()));
            store.append(&labels, Sample { time_ms, start_ms: 0, value });
        }
    }
}

/// A classic histogram at one time.
#[derive(Default)]
struct Classic {
    /// Bounds and cumulative counts.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

fn collect_classic(
    labels: &Labels,
    samples: &[Sample],
    classic: &mut BTreeMap<Labels, BTreeMap<i64, Classic>>,
) {
    let metric = labels.metric();
    let suffix = ["_bucket", "_count", "_sum"].into_iter().find(|s| metric.ends_with(s));
    let Some(suffix) = suffix else { return };
    let mut bound = 0.0;
    if suffix == "_bucket" {
        match crate::literal::parse_float(labels.get("le").unwrap_or("")) {
            Some(le) if !le.is_nan() => bound = le,
            _ => return,
        }
    }
    let base = &metric[..metric.len() - suffix.len()];
    let labels = labels.builder().set(METRIC_NAME, base).del("le").build();
    let by_time = classic.entry(labels).or_default();
    for sample in samples {
        let Value::Float(f) = sample.value else { continue };
        let c = by_time.entry(sample.time_ms).or_default();
        match suffix {
            "_bucket" => c.buckets.push((bound, f)),
            "_count" => c.count = Some(f),
            _ => c.sum = f,
        }
    }
}

impl Classic {
    fn into_histogram(mut self) -> Histogram {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let highest = self.buckets.last().map_or(0.0, |b| b.1);
        let count = self.count.unwrap_or(highest);
        if self.buckets.last().is_none_or(|b| b.0 != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut before = 0.0;
        let counts =
            self.buckets.iter().map(|b| b.1 - std::mem::replace(&mut before, b.1)).collect();
        let bounds: Vec<f64> = self.buckets.iter().map(|b| b.0).filter(|b| b.is_finite()).collect();
        let mut h = Histogram {
            schema: CUSTOM_BOUNDS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: vec![Span { offset: 0, length: self.buckets.len() as u32 }],
            positive_buckets: counts,
            custom_bounds: bounds.into(),
            ..Histogram::default()
        };
        h.compact();
        h
    }
}

fn eval(engine: &Engine, store: &MemoryStore, e: &Eval) -> Result<(), String> {
    if e.is_range {
        let options = QueryOptions::default();
        let result = engine.range(store, &e.query, e.start, e.end, e.step, &options);
        return match check_failure(e, result)? {
            None => Ok(()),
            Some(result) => {
                compare::annotations(e, &result)?;
                compare::value(e, &result.value)
            }
        };
    }
    instant(engine, store, e, &e.query, e.at)?;
    for (query, at) in pinned(engine, e)? {
        instant(engine, store, e, &query, at)
            .map_err(|why| format!("{why} (as {query} at {at} ms)"))?;
    }
    Ok(())
}

/// The result, or nothing where a failure was expected and came.
fn check_failure(
    e: &Eval,
    result: Result<QueryResult, QueryError>,
) -> Result<Option<QueryResult>, String> {
    match (result, &e.fail) {
        (Ok(result), None) => Ok(Some(result)),
        (Ok(_), Some(_)) => Err("expected an error but got none".into()),
        (Err(error), None) => Err(format!("error: {error}")),
        (Err(error), Some(expected)) if expected.matches(&error.to_string()) => Ok(None),
        (Err(error), Some(expected)) => {
            Err(format!("expected error {}, got {error}", expected.describe()))
        }
    }
}

fn instant(
    engine: &Engine,
    store: &MemoryStore,
    e: &Eval,
    query: &str,
    at: i64,
) -> Result<(), String> {
    let options = QueryOptions::default();
    let result = engine.instant(store, query, at, &options);
    let Some(result) = check_failure(e, result)? else { return Ok(()) };
    compare::annotations(e, &result)?;
    compare::value(e, &result.value)?;
    let names_times = ["start()", "end()", "range()", "step()"].iter().any(|f| query.contains(f));
    if e.only_instant || names_times {
        return Ok(());
    }
    let range = engine
        .range(store, query, at - 60_000, at + 60_000, 60_000, &options)
        .map_err(|error| format!("in range mode: {error}"))?;
    if e.ordered {
        return Ok(());
    }
    let QueryValue::Matrix(matrix) = range.value else {
        return Err("in range mode: no matrix".into());
    };
    if let Some(w) = matrix.windows(2).find(|w| w[0].labels > w[1].labels) {
        return Err(format!("in range mode: {} is not sorted before {}", w[0].labels, w[1].labels));
    }
    let mut middle = Vec::new();
    for series in &matrix {
        let float = series.floats.iter().find(|f| f.0 == at).map(|f| Value::Float(f.1));
        let histogram =
            series.histograms.iter().find(|h| h.0 == at).map(|h| Value::Histogram(h.1.clone()));
        for value in float.into_iter().chain(histogram) {
            middle.push(VectorSample { labels: series.labels.clone(), time_ms: at, value });
        }
    }
    let compared = match (&result.value, middle.first().map(|m| &m.value)) {
        (QueryValue::Scalar(..), Some(Value::Float(f))) => compare::scalar(e, *f),
        (QueryValue::Scalar(..), _) => Err("no scalar".into()),
        _ => compare::vector(e, &middle),
    };
    compared.map_err(|why| format!("in range mode: {why}"))
}

/// The query with its selectors pinned to its time, to be evaluated at other times; nothing where
/// that may change the result.
fn pinned(engine: &Engine, e: &Eval) -> Result<Vec<(String, i64)>, String> {
    let Ok(mut expr) = crate::parse_with(&e.query, engine.options().parse) else {
        return Ok(Vec::new());
    };
    let mut timeless = true;
    pin(&mut expr, e.at, &mut timeless);
    if !timeless {
        return Ok(Vec::new());
    }
    let query = expr.to_string();
    let times = if e.at == 0 {
        vec![-1000, 0, 1000]
    } else {
        vec![-10 * e.at, 0, e.at / 5, e.at, 10 * e.at]
    };
    Ok(times.into_iter().map(|t| (query.clone(), t)).collect())
}

fn pin(expr: &mut Expr, at: i64, timeless: &mut bool) {
    let set = |m: &mut Modifiers| {
        if !matches!(m.at, Some(At::Time(_))) {
            // As the original does: start() and end() are printed only where no time is set.
            m.at = Some(At::Time(at));
        }
    };
    match expr {
        Expr::Vector(v) => set(&mut v.modifiers),
        Expr::Matrix(m) => set(&mut m.selector.modifiers),
        Expr::Subquery(s) => {
            set(&mut s.modifiers);
            // What is within looks at times around that.
            return;
        }
        Expr::Call(c) => *timeless &= !depends_on_time(c.func.name),
        _ => {}
    }
    expr.children_mut().into_iter().for_each(|c| pin(c, at, timeless));
}

#[cfg(test)]
mod tests {
    use crate::promqltest::run;

    #[test]
    fn what_is_wrong_fails() {
        let script = "load 1m\n  m{a=\"1\"} 1 2 3\n\n";
        for (eval, passes) in [
            ("eval instant at 1m m\n  m{a=\"1\"} 2\n", true),
            ("eval instant at 1m m\n  m{a=\"1\"} 3\n", false),
            ("eval instant at 1m m\n  m{a=\"2\"} 2\n", false),
            ("eval instant at 1m m\n", false),
            ("eval instant at 1m m\n  m{a=\"1\"} 2\n  m{a=\"2\"} 2\n", false),
            ("eval instant at 1m scalar(m)\n  2\n", true),
            ("eval instant at 1m scalar(m)\n  3\n", false),
            ("eval instant at 1m m +\n  expect fail\n", true),
            ("eval instant at 1m m\n  expect fail\n", false),
            ("eval instant at 1m rate(m[2m])\n  expect no_info\n  {a=\"1\"} 0.0166666\n", false),
            ("eval range from 0 to 2m step 1m m\n  m{a=\"1\"} 1 2 3\n", true),
            ("eval range from 0 to 2m step 1m m\n  m{a=\"1\"} 1 2 4\n", false),
            ("eval instant at 1m \"x\"\n  expect string \"y\"\n", false),
            ("evil\n", false),
        ] {
            let report = run(&format!("{script}{eval}"), "test");
            assert_eq!(report.failures.is_empty(), passes, "{eval}: {:?}", report.failures);
            assert_eq!(report.passed, usize::from(passes), "{eval}");
        }
    }

    #[test]
    fn failures_name_their_line() {
        let report = run("load 1m\n  m 1\n\n# comment\neval instant at 0 m\n  m 2\n", "test");
        assert_eq!(report.failures[0].line, 5);
    }
}
