//! The kernels of functions over range vectors: from the samples of one window to one value.

use super::evaluate::Result;
use super::quantile::quantile_of;
use super::rate;
use super::window::Window;
use crate::annotations::{Annotations, Operation};
use crate::ast::Span;
use crate::query::QueryError;
use model::histogram::{IncompatibleSchemas, ResetHint, kahan_add};
use model::{Histogram, Keep, Labels, Value};
use std::cell::{RefCell, RefMut};
use std::sync::Arc;

/// What a kernel knows about the window besides its samples.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    /// The time at which the expression is evaluated.
    pub evaluation_ms: i64,
    /// The window's start, which is outside of it.
    pub start_ms: i64,
    /// The window's end, which is inside.
    pub end_ms: i64,
    pub range_ms: i64,
    /// The function's other arguments at this step.
    pub scalars: &'a [f64],
    pub labels: &'a Labels,
    /// Where the range vector stands in the query.
    pub span: Span,
    /// Where the first argument stands.
    pub quantile_span: Span,
    pub anchored: bool,
    pub smoothed: bool,
    /// Whether start timestamps tell of counter resets.
    pub use_starts: bool,
    pub notes: &'a RefCell<Annotations>,
}

impl Step<'_> {
    pub fn notes(&self) -> RefMut<'_, Annotations> {
        self.notes.borrow_mut()
    }

    pub fn metric(&self) -> &str {
        self.labels.metric()
    }

    pub fn mixed(&self) {
        self.notes().mixed_floats_histograms(self.metric(), self.span);
    }

    fn ignored(&self) {
        self.notes().histogram_ignored_in_mixed_range(self.metric(), self.span);
    }
}

/// A function over range vectors.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    /// Whether it looks at `Window::resets`.
    pub uses_resets: bool,
    /// Where it extrapolates: whether it takes samples for a counter's, and whether it gives a rate.
    pub extrapolates: Option<(bool, bool)>,
    /// What it makes of a window, where it needs not all samples for that.
    pub keep: Option<Keep>,
    /// Gives the value of a window that is not empty.
    pub run: fn(&Window<'_>, &Step<'_>) -> Result<Option<Value>>,
}

/// The kernel of a function.
pub(super) fn kernel(name: &str) -> Option<Kernel> {
    let uses_resets = matches!(name, "rate" | "increase");
    let run: fn(&Window<'_>, &Step<'_>) -> Result<Option<Value>> = match name {
        "rate" => |w, s| Ok(rate::extrapolated(w, s, true, true)),
        "increase" => |w, s| Ok(rate::extrapolated(w, s, true, false)),
        "delta" => |w, s| Ok(rate::extrapolated(w, s, false, false)),
        "irate" => |w, s| Ok(rate::instant(w, s, true)),
        "idelta" => |w, s| Ok(rate::instant(w, s, false)),
        "resets" => |w, s| Ok(rate::resets(w, s)),
        "changes" => |w, s| Ok(rate::changes(w, s)),
        "sum_over_time" => |w, s| Ok(sum(w, s)),
        "avg_over_time" => |w, s| Ok(average(w, s)),
        "count_over_time" => |w, _| float((w.float_count() + w.histograms.len()) as f64),
        "present_over_time" | "absent_over_time" => |_, _| float(1.0),
        "first_over_time" => |w, _| Ok(first(w)),
        "last_over_time" => |w, _| Ok(last(w)),
        "min_over_time" => |w, s| pick(w, s, false, |now, best| now < best || best.is_nan()),
        "max_over_time" => |w, s| pick(w, s, false, |now, best| now > best || best.is_nan()),
        "ts_of_min_over_time" => |w, s| pick(w, s, true, |now, best| now <= best || best.is_nan()),
        "ts_of_max_over_time" => |w, s| pick(w, s, true, |now, best| now >= best || best.is_nan()),
        "ts_of_first_over_time" => |w, _| {
            let first = w.float_times.first().into_iter().chain(w.histogram_times.first()).min();
            float(first.map_or(f64::NAN, |t| *t as f64 / 1000.0))
        },
        "ts_of_last_over_time" => |w, _| {
            let last = w.float_times.last().into_iter().chain(w.histogram_times.last()).max();
            float(last.map_or(f64::NAN, |t| *t as f64 / 1000.0))
        },
        "stddev_over_time" => |w, s| variance(w, s, f64::sqrt),
        "stdvar_over_time" => |w, s| variance(w, s, |v| v),
        "quantile_over_time" => quantile_over_time,
        "mad_over_time" => median_deviation,
        "deriv" => |w, s| regression(w, s, |w, _| linear(w, w.float_times[0]).0),
        "predict_linear" => |w, s| {
            regression(w, s, |w, s| {
                let (slope, intercept) = linear(w, s.evaluation_ms);
                slope * s.scalars[0] + intercept
            })
        },
        "double_exponential_smoothing" => smoothing,
        _ => return None,
    };
    let extrapolates = match name {
        "rate" => Some((true, true)),
        "increase" => Some((true, false)),
        "delta" => Some((false, false)),
        _ => None,
    };
    let keep = match name {
        "rate" | "increase" | "resets" => Some(Keep::Falls),
        "sum_over_time" | "avg_over_time" => Some(Keep::Sum),
        "min_over_time" => Some(Keep::Min),
        "max_over_time" => Some(Keep::Max),
        "count_over_time"
        | "present_over_time"
        | "absent_over_time"
        | "first_over_time"
        | "last_over_time"
        | "ts_of_first_over_time"
        | "ts_of_last_over_time"
        | "delta" => Some(Keep::Ends),
        _ => None,
    };
    Some(Kernel { uses_resets, extrapolates, keep, run })
}

fn float(value: f64) -> Result<Option<Value>> {
    Ok(Some(Value::Float(value)))
}

fn first(w: &Window<'_>) -> Option<Value> {
    match (w.float_times.first(), w.histogram_times.first()) {
        (Some(f), Some(h)) if f >= h => Some(Value::Histogram(w.histograms[0].clone())),
        (Some(_), _) => Some(Value::Float(w.floats[0])),
        (None, _) => Some(Value::Histogram(w.histograms.first()?.clone())),
    }
}

fn last(w: &Window<'_>) -> Option<Value> {
    match (w.float_times.last(), w.histogram_times.last()) {
        (Some(f), Some(h)) if f <= h => Some(Value::Histogram(w.histograms.last()?.clone())),
        (Some(_), _) => Some(Value::Float(*w.floats.last()?)),
        (None, _) => Some(Value::Histogram(w.histograms.last()?.clone())),
    }
}

/// The best float by `better`, or its time. The first is compared with itself too, so that of equal
/// ones the last may win.
fn pick(
    w: &Window<'_>,
    s: &Step<'_>,
    time: bool,
    better: fn(f64, f64) -> bool,
) -> Result<Option<Value>> {
    if w.floats.is_empty() {
        return Ok(None);
    }
    if !w.histograms.is_empty() {
        s.ignored();
    }
    let mut best = 0;
    for (i, value) in w.floats.iter().enumerate() {
        if better(*value, w.floats[best]) {
            best = i;
        }
    }
    float(if time { w.float_times[best] as f64 / 1000.0 } else { w.floats[best] })
}

fn sum(w: &Window<'_>, s: &Step<'_>) -> Option<Value> {
    if !w.floats.is_empty() && !w.histograms.is_empty() {
        s.mixed();
        return None;
    }
    if w.floats.is_empty() {
        return of_histograms(w, s, HistogramTotal::sum);
    }
    let (mut sum, mut lost) = (0.0, 0.0);
    for value in w.floats {
        (sum, lost) = kahan_add(*value, sum, lost);
    }
    Some(Value::Float(if sum.is_infinite() { sum } else { sum + lost }))
}

fn average(w: &Window<'_>, s: &Step<'_>) -> Option<Value> {
    if !w.floats.is_empty() && !w.histograms.is_empty() {
        s.mixed();
        return None;
    }
    let Some((first, rest)) = w.floats.split_first() else {
        return of_histograms(w, s, HistogramTotal::average);
    };
    if !w.float_weights.is_empty() {
        return Some(Value::Float(average_of_sums(w)));
    }
    let mut mean = Mean::new(*first);
    rest.iter().for_each(|v| mean.add(*v));
    Some(Value::Float(mean.value()))
}

/// The mean where floats are sums of several samples.
fn average_of_sums(w: &Window<'_>) -> f64 {
    let count = w.float_count() as f64;
    let total = |scale: f64| {
        let add = |(sum, lost), value: &f64| kahan_add(*value / scale, sum, lost);
        let (sum, lost) = w.floats.iter().fold((0.0, 0.0), add);
        if f64::is_infinite(sum) { sum } else { sum + lost }
    };
    let sum = total(1.0);
    // Beyond all numbers, but the mean need not be.
    if sum.is_infinite() { total(count) } else { sum / count }
}

/// A running mean: by the sum, or where that grows beyond all numbers, by increments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    sum: f64,
    lost: f64,
    count: f64,
    incremental: bool,
}

impl Mean {
    pub fn new(first: f64) -> Mean {
        Mean { sum: first, lost: 0.0, count: 1.0, incremental: false }
    }

    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let (sum, lost) = kahan_add(value, self.sum, self.lost);
            if !sum.is_infinite() {
                (self.sum, self.lost) = (sum, lost);
                return;
            }
            self.incremental = true;
            self.sum /= self.count - 1.0;
            self.lost /= self.count - 1.0;
        }
        let q = (self.count - 1.0) / self.count;
        (self.sum, self.lost) = kahan_add(value / self.count, q * self.sum, q * self.lost);
    }

    pub fn value(&self) -> f64 {
        if self.incremental {
            self.sum + self.lost
        } else {
            self.sum / self.count + self.lost / self.count
        }
    }
}

/// Sums or averages the histograms of a window and tells what happened on the way.
fn of_histograms(
    w: &Window<'_>,
    s: &Step<'_>,
    finish: fn(HistogramTotal, bool) -> Histogram,
) -> Option<Value> {
    let averaged = finish as usize
        == HistogramTotal::average as fn(HistogramTotal, bool) -> Histogram as usize;
    let (first, rest) = w.histograms.split_first()?;
    let mut total = HistogramTotal::new(first);
    for h in rest {
        if total.add(h, averaged).is_err() {
            s.notes().mixed_schemas(s.metric(), s.span);
            return None;
        }
    }
    if total.collided() {
        s.notes().reset_collision(s.span, Operation::Aggregation);
    }
    if total.bounds_reconciled {
        s.notes().bounds_reconciled(s.span, Operation::Aggregation);
    }
    Some(Value::Histogram(Arc::new(finish(total, false))))
}

/// A running sum or mean of histograms.
#[derive(Clone, Debug)]
pub(super) struct HistogramTotal {
    sum: Histogram,
    lost: Option<Histogram>,
    count: f64,
    incremental: bool,
    resets: bool,
    not_resets: bool,
    pub bounds_reconciled: bool,
}

impl HistogramTotal {
    pub fn new(first: &Histogram) -> HistogramTotal {
        let mut total = HistogramTotal {
            sum: first.clone(),
            lost: None,
            count: 1.0,
            incremental: false,
            resets: false,
            not_resets: false,
            bounds_reconciled: false,
        };
        total.see(first);
        total
    }

    fn see(&mut self, h: &Histogram) {
        self.resets |= h.reset_hint == ResetHint::Reset;
        self.not_resets |= h.reset_hint == ResetHint::NotReset;
    }

    /// Whether histograms marked as reset and as not reset came together.
    pub fn collided(&self) -> bool {
        self.resets && self.not_resets
    }

    /// Adds one; for a mean, goes on by increments where the sum grows beyond all numbers.
    pub fn add(
        &mut self,
        h: &Histogram,
        mean: bool,
    ) -> std::result::Result<(), IncompatibleSchemas> {
        self.see(h);
        self.count += 1.0;
        if !mean {
            let combined = self.sum.add_exactly(h, &mut self.lost)?;
            self.bounds_reconciled |= combined.bounds_reconciled;
            return Ok(());
        }
        if !self.incremental {
            let (mut sum, mut lost) = (self.sum.clone(), self.lost.clone());
            let combined = sum.add_exactly(h, &mut lost)?;
            self.bounds_reconciled |= combined.bounds_reconciled;
            if !sum.has_overflow() {
                (self.sum, self.lost) = (sum, lost);
                return Ok(());
            }
            self.incremental = true;
            self.sum.divide(self.count - 1.0);
            if let Some(lost) = &mut self.lost {
                lost.divide(self.count - 1.0);
            }
        }
        let q = (self.count - 1.0) / self.count;
        self.sum.scale(q);
        if let Some(lost) = &mut self.lost {
            lost.scale(q);
        }
        let mut part = h.clone();
        part.divide(self.count);
        let combined = self.sum.add_exactly(&part, &mut self.lost)?;
        self.bounds_reconciled |= combined.bounds_reconciled;
        Ok(())
    }

    /// The sum.
    pub fn sum(mut self, compact: bool) -> Histogram {
        if let Some(lost) = self.lost.take() {
            // Both have the same schema.
            let _ = self.sum.add(&lost);
        }
        if compact {
            self.sum.compact();
        }
        self.sum
    }

    /// The mean.
    pub fn average(mut self, compact: bool) -> Histogram {
        if !self.incremental {
            self.sum.divide(self.count);
            if let Some(lost) = &mut self.lost {
                lost.divide(self.count);
            }
        }
        self.sum(compact)
    }
}

fn variance(w: &Window<'_>, s: &Step<'_>, finish: fn(f64) -> f64) -> Result<Option<Value>> {
    if w.floats.is_empty() {
        return Ok(None);
    }
    if !w.histograms.is_empty() {
        s.ignored();
    }
    let (mut count, mut mean, mut mean_lost, mut sum, mut lost) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for value in w.floats {
        count += 1.0;
        let delta = value - (mean + mean_lost);
        (mean, mean_lost) = kahan_add(delta / count, mean, mean_lost);
        (sum, lost) = kahan_add(delta * (value - (mean + mean_lost)), sum, lost);
    }
    float(finish((sum + lost) / count))
}

fn quantile_over_time(w: &Window<'_>, s: &Step<'_>) -> Result<Option<Value>> {
    if w.floats.is_empty() {
        return Ok(None);
    }
    let q = s.scalars[0];
    if !(0.0..=1.0).contains(&q) {
        s.notes().invalid_quantile(q, s.quantile_span);
    }
    if !w.histograms.is_empty() {
        // The first argument's place, as Prometheus has it.
        s.notes().histogram_ignored_in_mixed_range(s.metric(), s.quantile_span);
    }
    let mut values = w.floats.to_vec();
    float(quantile_of(q, &mut values))
}

fn median_deviation(w: &Window<'_>, s: &Step<'_>) -> Result<Option<Value>> {
    if w.floats.is_empty() {
        return Ok(None);
    }
    if !w.histograms.is_empty() {
        s.ignored();
    }
    if w.floats.iter().any(|f| f.is_nan()) {
        return float(f64::NAN);
    }
    let mut values = w.floats.to_vec();
    let median = quantile_of(0.5, &mut values);
    values.iter_mut().for_each(|v| *v = (*v - median).abs());
    float(quantile_of(0.5, &mut values))
}

/// Functions that need two floats at least.
fn regression(
    w: &Window<'_>,
    s: &Step<'_>,
    value: fn(&Window<'_>, &Step<'_>) -> f64,
) -> Result<Option<Value>> {
    if !w.floats.is_empty() && !w.histograms.is_empty() {
        s.ignored();
    }
    if w.floats.len() < 2 {
        return Ok(None);
    }
    float(value(w, s))
}

/// Least squares: slope a second, and the value at `time`.
fn linear(w: &Window<'_>, time: i64) -> (f64, f64) {
    let first = w.floats[0];
    if w.floats.iter().all(|v| *v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let mut sums = [(0.0, 0.0); 4];
    for (t, y) in w.float_times.iter().zip(w.floats) {
        let x = (t - time) as f64 / 1e3;
        for (sum, add) in sums.iter_mut().zip([x, *y, x * y, x * x]) {
            *sum = kahan_add(add, sum.0, sum.1);
        }
    }
    let n = w.floats.len() as f64;
    let [x, y, xy, xx] = sums.map(|s| s.0 + s.1);
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}

fn smoothing(w: &Window<'_>, s: &Step<'_>) -> Result<Option<Value>> {
    let (factor, trend) = (s.scalars[0], s.scalars[1]);
    for (name, value, sign) in [("smoothing", factor, "sf"), ("trend", trend, "tf")] {
        if value <= 0.0 || value >= 1.0 {
            return Err(QueryError::Execution(format!(
                "invalid {name} factor. Expected: 0 < {sign} < 1, got: {value:.6}"
            )));
        }
    }
    if !w.floats.is_empty() && !w.histograms.is_empty() {
        s.ignored();
    }
    if w.floats.len() < 2 {
        return Ok(None);
    }
    let (mut before, mut level) = (0.0, w.floats[0]);
    let mut slope = w.floats[1] - w.floats[0];
    for (i, value) in w.floats.iter().enumerate().skip(1) {
        if i > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let next = factor * value + (1.0 - factor) * (level + slope);
        (before, level) = (level, next);
    }
    float(level)
}
