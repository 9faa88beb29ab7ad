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
mod resume;
mod select;
mod shared;
mod values;
mod window;

use crate::annotations::Annotations;
use crate::ast::{Expr, ValueType};
use crate::cache;
use crate::query::{
    EngineOptions, Interrupt, MatrixSeries, QueryError, QueryOptions, QueryResult, QueryStats,
    QueryValue, VectorSample,
};
use account::{Counted, Looked};
use evaluate::Evaluator;
use explain::Tracer;
use hashbrown::HashMap;
use model::sort::sort_by;
use model::{Labels, Storage, Value};
use std::time::Instant;
pub(crate) use values::Grid;
use values::{Evaluated, Point, Series, is_metadata_label};

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
        let grid = Grid { start: time_ms, step: 1, count: 1, single: true };
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
        let grid = Grid { start: start_ms, step: step_ms, count, single };
        let lookback_ms = self.lookback_ms(options);
        let may_resume = count > 1 && !options.explain && cache::goes_on(&expr);
        let run = |grid| self.run(storage, query, expr, grid, step_ms, end_ms, options, false);
        match options.cache.as_ref().filter(|_| may_resume).zip(storage.mark()) {
            None => run(grid),
            Some((cache, mark)) => {
                let key = cache::Key::new(query, &grid, lookback_ms);
                resume::range(cache, (key, mark), storage, grid, options, run)
            }
        }
    }

    fn lookback_ms(&self, options: &QueryOptions) -> i64 {
        options.lookback_ms.filter(|l| *l > 0).unwrap_or(self.options.lookback_ms)
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
        let lookback = self.lookback_ms(options);
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
            instant_value(value, grid.start, &options.interrupt)?
        } else {
            range_value(value, &grid, kind, &options.interrupt)?
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
    let Looked { total, read } = counted.looked;
    let by_step = |counts: Vec<u64>| (0..).map(|i| grid.time(i)).zip(counts).collect();
    QueryStats {
        total_samples: total.iter().sum(),
        read_samples: read.iter().sum(),
        peak_samples: counted.peak as u64,
        peak_bytes: counted.peak_bytes,
        samples_per_step: by_step(total),
        read_per_step: by_step(read),
        ..QueryStats::default()
    }
}

fn instant_value(
    value: Evaluated,
    time: i64,
    interrupt: &Interrupt,
) -> Result<QueryValue, QueryError> {
    Ok(match value {
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
            sort_by(&mut all, || interrupt.check(), |a, b| a.labels.cmp(&b.labels))?;
            QueryValue::Matrix(all)
        }
    })
}

fn range_value(
    value: Evaluated,
    grid: &Grid,
    kind: ValueType,
    interrupt: &Interrupt,
) -> Result<QueryValue, QueryError> {
    let mut all = match value {
        Evaluated::Vector(series) => {
            let each = series.into_iter().map(|s| {
                interrupt.check()?;
                Ok(to_matrix(s, grid))
            });
            each.collect::<Result<Vec<_>, QueryError>>()?
        }
        Evaluated::Scalar(values) if kind == ValueType::Scalar => {
            let floats = (0..).map(|i| grid.time(i)).zip(values).collect();
            vec![MatrixSeries { floats, ..MatrixSeries::default() }]
        }
        _ => Vec::new(),
    };
    sort_by(&mut all, || interrupt.check(), |a, b| a.labels.cmp(&b.labels))?;
    Ok(QueryValue::Matrix(all))
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
fn merge_same_labels(all: Vec<Series>, interrupt: &Interrupt) -> Result<Vec<Series>, QueryError> {
    let mut out: Vec<Series> = Vec::with_capacity(all.len());
    let mut index: HashMap<Labels, usize> = HashMap::with_capacity(all.len());
    for series in all {
        interrupt.check()?;
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
