//! The engine: evaluates parsed expressions over columns.
//!
//! A query is prepared (durations computed, what never changes between steps marked), then each
//! expression gives, for every series, one value a step. Series come one after the other from the
//! store, are decoded whole, run through window kernels over slices, and are folded into groups
//! where an aggregation follows.

mod account;
mod aggregate;
mod aggregate_pick;
mod binary;
mod evaluate;
mod explain;
mod functions;
mod histogram_functions;
mod info;
mod label_functions;
mod over_time;
mod prepare;
mod quantile;
mod rate;
mod select;
mod shared;
mod values;
mod window;

use crate::annotations::Annotations;
use crate::ast::{Expr, ValueType};
use crate::query::{
    EngineOptions, MatrixSeries, QueryError, QueryOptions, QueryResult, QueryStats, QueryValue,
    VectorSample,
};
use account::Counted;
use evaluate::Evaluator;
use explain::Tracer;
use model::{Labels, Storage, Value};
use std::collections::HashMap;
use std::time::Instant;
use values::{Counting, Evaluated, Grid, Point, Series, is_metadata_label};

pub(crate) use prepare::depends_on_time;
pub(crate) use quantile::almost_equal;

/// Evaluates queries; holds nothing but its options and may be shared by threads.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// An engine.
    pub fn new(options: EngineOptions) -> Engine {
        Engine { options }
    }

    /// Its options.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Evaluates `query` at one time.
    pub fn instant(
        &self,
        storage: &dyn Storage,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        let expr = crate::parse_with(query, self.options.parse)?;
        let counting = Counting::PerStep;
        let grid = Grid { start: time_ms, step: 1, count: 1, single: true, counting };
        self.run(storage, query, expr, grid, 0, time_ms, options, true)
    }

    /// Evaluates `query` at `start_ms`, then every `step_ms` up to `end_ms`, both included.
    pub fn range(
        &self,
        storage: &dyn Storage,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        if step_ms <= 0 || end_ms < start_ms {
            return Err(QueryError::BadData(format!(
                "no range from {start_ms} to {end_ms} ms in steps of {step_ms} ms"
            )));
        }
        let expr = crate::parse_with(query, self.options.parse)?;
        let kind = expr.value_type();
        if !matches!(kind, ValueType::Vector | ValueType::Scalar) {
            return Err(QueryError::BadData(format!(
                "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                kind.documented()
            )));
        }
        let count = ((end_ms - start_ms) / step_ms) as usize + 1;
        if count > self.options.max_samples {
            return Err(QueryError::TooManySamples("query execution".into()));
        }
        let single = start_ms == end_ms;
        let counting = Counting::PerStep;
        let grid = Grid { start: start_ms, step: step_ms, count, single, counting };
        self.run(storage, query, expr, grid, step_ms, end_ms, options, false)
    }

    #[allow(clippy::too_many_arguments)] // one private caller for each kind of query
    fn run(
        &self,
        storage: &dyn Storage,
        query: &str,
        mut expr: Expr,
        grid: Grid,
        step_ms: i64,
        end_ms: i64,
        options: &QueryOptions,
        instant: bool,
    ) -> Result<QueryResult, QueryError> {
        let begin = Instant::now();
        prepare::prepare(&mut expr, grid.start, end_ms, step_ms)?;
        let preparing = begin.elapsed();
        let lookback = options.lookback_ms.filter(|l| *l > 0).unwrap_or(self.options.lookback_ms);
        let mut evaluator = Evaluator::new(storage, &self.options, lookback, options, grid);
        evaluator.tracer = options.explain.then(|| Tracer::new(query));
        let kind = expr.value_type();
        let begin = Instant::now();
        let mut value = evaluator.evaluate(&expr, &grid)?;
        let evaluating = begin.elapsed();
        options.interrupt.check()?;
        let delayed = self.options.delayed_name_removal;
        if delayed {
            remove_names(&mut value);
        }
        let begin = Instant::now();
        let mut value = if instant {
            instant_value(value, grid.start)
        } else {
            range_value(value, &grid, kind)
        };
        if delayed {
            merge_results(&mut value)?;
        }
        let sorting = begin.elapsed();
        options.interrupt.check()?;
        let explain = evaluator.tracer.take().map(|tracer| tracer.finish(value.series()));
        let (annotations, mut counted) = evaluator.finish();
        let mut memory = std::mem::take(&mut counted.reserved);
        memory.shrink(counted.bytes);
        let (warnings, infos) = Annotations::texts(&annotations, query);
        let stats = query_stats(counted, &grid);
        let stats = QueryStats { preparing, evaluating, sorting, ..stats };
        Ok(QueryResult { value, warnings, infos, stats, explain, memory })
    }
}

fn query_stats(counted: Counted, grid: &Grid) -> QueryStats {
    QueryStats {
        total_samples: counted.per_step.iter().sum(),
        peak_samples: counted.peak as u64,
        peak_bytes: counted.peak_bytes,
        samples_per_step: (0..).map(|i| grid.time(i)).zip(counted.per_step).collect(),
        ..QueryStats::default()
    }
}

fn instant_value(value: Evaluated, time: i64) -> QueryValue {
    match value {
        Evaluated::Scalar(v) => QueryValue::Scalar(time, v.first().copied().unwrap_or(f64::NAN)),
        Evaluated::String(s) => QueryValue::String(time, s),
        Evaluated::Vector(series) => QueryValue::Vector(
            series
                .into_iter()
                .filter_map(|s| {
                    let value = match s.points.get(0)? {
                        Point::Float(f) => Value::Float(f),
                        Point::Histogram(h) => Value::Histogram(h.clone()),
                    };
                    Some(VectorSample { labels: s.labels, time_ms: time, value })
                })
                .collect(),
        ),
        Evaluated::Matrix(series) => {
            let mut all: Vec<MatrixSeries> = series.into_iter().map(|s| s.series).collect();
            all.sort_by(|a, b| a.labels.cmp(&b.labels));
            QueryValue::Matrix(all)
        }
    }
}

fn range_value(value: Evaluated, grid: &Grid, kind: ValueType) -> QueryValue {
    let mut all = match value {
        Evaluated::Vector(series) => series.into_iter().map(|s| to_matrix(s, grid)).collect(),
        Evaluated::Scalar(values) if kind == ValueType::Scalar => {
            let floats = (0..).map(|i| grid.time(i)).zip(values).collect();
            vec![MatrixSeries { floats, ..MatrixSeries::default() }]
        }
        _ => Vec::new(),
    };
    all.sort_by(|a: &MatrixSeries, b| a.labels.cmp(&b.labels));
    QueryValue::Matrix(all)
}

fn to_matrix(series: Series, grid: &Grid) -> MatrixSeries {
    let mut out = MatrixSeries { labels: series.labels, ..MatrixSeries::default() };
    for i in 0..grid.count {
        match series.points.get(i) {
            Some(Point::Float(f)) => out.floats.push((grid.time(i), f)),
            Some(Point::Histogram(h)) => out.histograms.push((grid.time(i), h.clone())),
            None => {}
        }
    }
    out
}

const SAME_LABELSET: &str = "vector cannot contain metrics with the same labelset";

/// The error for two values of the same labels at one time.
fn same_labelset() -> QueryError {
    QueryError::Execution(SAME_LABELSET.into())
}

/// Drops the names that were to be dropped at the end.
fn remove_names(value: &mut Evaluated) {
    match value {
        Evaluated::Vector(all) => {
            for series in all.iter_mut().filter(|s| s.drop_name) {
                series.labels = series.labels.without(is_metadata_label);
            }
        }
        Evaluated::Matrix(all) => {
            for s in all.iter_mut().filter(|s| s.drop_name) {
                s.series.labels = s.series.labels.without(is_metadata_label);
            }
        }
        _ => {}
    }
}

/// Merges results that are alike once their names are gone. A float and a histogram at the same time
/// go together, as in Prometheus; of an instant vector the histogram stays.
fn merge_results(value: &mut QueryValue) -> Result<(), QueryError> {
    match value {
        QueryValue::Vector(all) => {
            let mut index: HashMap<Labels, usize> = HashMap::with_capacity(all.len());
            let mut out: Vec<VectorSample> = Vec::with_capacity(all.len());
            for sample in std::mem::take(all) {
                let Some(&at) = index.get(&sample.labels) else {
                    index.insert(sample.labels.clone(), out.len());
                    out.push(sample);
                    continue;
                };
                match (&out[at].value, &sample.value) {
                    (Value::Float(_), Value::Histogram(_)) => out[at] = sample,
                    (Value::Histogram(_), Value::Float(_)) => {}
                    _ => return Err(same_labelset()),
                }
            }
            *all = out;
            Ok(())
        }
        QueryValue::Matrix(all) => {
            *all = merge_ranges(std::mem::take(all))?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Merges series of equal labels; fails where two have a value at the same time.
fn merge_same_labels(all: Vec<Series>) -> Result<Vec<Series>, QueryError> {
    let mut out: Vec<Series> = Vec::with_capacity(all.len());
    let mut index: HashMap<Labels, usize> = HashMap::with_capacity(all.len());
    for series in all {
        match index.get(&series.labels) {
            Some(&at) => {
                if out[at].points.merge(&series.points) {
                    return Err(same_labelset());
                }
            }
            None => {
                index.insert(series.labels.clone(), out.len());
                out.push(series);
            }
        }
    }
    Ok(out)
}

/// Merges sorted series of equal labels; fails where two have values of a kind at the same time.
fn merge_ranges(all: Vec<MatrixSeries>) -> Result<Vec<MatrixSeries>, QueryError> {
    let mut out: Vec<MatrixSeries> = Vec::with_capacity(all.len());
    for s in all {
        let Some(into) = out.last_mut().filter(|last| last.labels == s.labels) else {
            out.push(s);
            continue;
        };
        into.floats.extend(s.floats);
        into.floats.sort_by_key(|f| f.0);
        into.histograms.extend(s.histograms);
        into.histograms.sort_by_key(|h| h.0);
        if into.floats.windows(2).any(|w| w[0].0 == w[1].0)
            || into.histograms.windows(2).any(|w| w[0].0 == w[1].0)
        {
            return Err(same_labelset());
        }
    }
    Ok(out)
}
