//! Rates and their kin: what a counter or gauge did over a window, with Prometheus's rules for
//! extrapolation, counter resets, start timestamps, and the `anchored` and `smoothed` selectors.

use super::over_time::Step;
use super::window::{Bounds, Samples, Window};
use crate::annotations::{Annotations, Operation};
use crate::ast::Span;
use model::histogram::ResetHint;
use model::{Histogram, Value};
use std::sync::Arc;

/// `rate`, `increase` and `delta`.
pub(super) fn extrapolated(
    w: &Window<'_>,
    s: &Step<'_>,
    counter: bool,
    per_second: bool,
) -> Option<Value> {
    if !w.floats.is_empty() && !w.histograms.is_empty() {
        s.mixed();
        return None;
    }
    if s.anchored || s.smoothed {
        return if w.floats.is_empty() {
            extended_histograms(w, s, counter, per_second)
        } else {
            extended_floats(w, s, counter, per_second).map(Value::Float)
        };
    }
    let starts = match s.use_starts && counter {
        true if w.floats.is_empty() => w.histogram_starts,
        true => w.float_starts,
        false => &[],
    };
    if w.floats.is_empty() {
        let times = w.histogram_times;
        let mut result =
            if times.len() > 1 { Some(histogram_increase(w, s, starts, counter)?) } else { None };
        let begun = begun_inside(starts, times, s);
        if begun.is_some() {
            match &mut result {
                None => result = Some((*w.histograms[0]).clone()),
                Some(h) => add(h, &w.histograms[0], s)?,
            }
        } else if times.len() < 2 {
            return None;
        }
        let mut h = result?;
        let to_zero = (h.count > 0.0 && w.histograms[0].count >= 0.0)
            .then(|| w.histograms[0].count / h.count);
        h.scale(factor(times, times.len(), s, begun, counter, to_zero, per_second));
        return Some(Value::Histogram(Arc::new(h)));
    }
    let times = w.float_times;
    let begun = begun_inside(starts, times, s);
    if times.len() < 2 && begun.is_none() {
        return None;
    }
    let first = w.floats[0];
    let mut result = w.floats[w.floats.len() - 1] - first;
    if counter {
        result = if starts.is_empty() {
            corrected(w, result)
        } else {
            corrected_with_starts(w, starts, s, result)
        };
    }
    let to_zero = (result > 0.0 && first >= 0.0).then(|| first / result);
    if begun.is_some() {
        result += first;
    }
    let count = w.float_count();
    Some(Value::Float(result * factor(times, count, s, begun, counter, to_zero, per_second)))
}

/// The windows of `rate`, `increase` and `delta` over floats, one a step: what follows from times alone.
#[derive(Debug, Default)]
pub(super) struct Windows {
    steps: Vec<StepWindow>,
}

/// The window of one step.
#[derive(Clone, Copy, Debug)]
struct StepWindow {
    from: u32,
    to: u32,
    reach: Reach,
    /// By what a difference is multiplied where the counter's zero does not matter.
    factor: f64,
}

/// The seconds between a window's samples, and from them to its ends as far as they are extrapolated to.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    sampled: f64,
    to_start: f64,
    to_end: f64,
}

impl Windows {
    /// The windows of a series' samples.
    pub fn of(
        samples: &Samples,
        ends_ms: impl ExactSizeIterator<Item = i64>,
        range_ms: i64,
        per_second: bool,
    ) -> Windows {
        let mut steps = Vec::with_capacity(ends_ms.len());
        let mut bounds = Bounds::default();
        for end_ms in ends_ms {
            let w = samples.window(&mut bounds, end_ms - range_ms, end_ms);
            let reach = match w.float_times {
                [] | [_] => Reach::default(),
                times => Reach::of(times, w.float_count(), end_ms - range_ms, end_ms),
            };
            let factor = reach.factor(reach.to_start, range_ms, per_second);
            let (from, to) = (w.first_float as u32, (w.first_float + w.floats.len()) as u32);
            steps.push(StepWindow { from, to, reach, factor });
        }
        Windows { steps }
    }

    /// How many samples each step's window has.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        self.steps.iter().map(|s| (s.to - s.from) as usize)
    }

    /// How many of them the windows before did not have.
    pub fn fresh(&self) -> impl Iterator<Item = usize> {
        let known = std::iter::once(0).chain(self.steps.iter().map(|s| s.to));
        self.steps.iter().zip(known).map(|(s, k)| (s.to - s.to.min(s.from.max(k))) as usize)
    }

    /// Gives the value of each step that has one, as [`extrapolated`] computes it.
    pub fn values(
        &self,
        samples: &Samples,
        counter: bool,
        range_ms: i64,
        per_second: bool,
        mut give: impl FnMut(usize, f64),
    ) {
        let mut resets = samples.resets.as_slice();
        for (i, step) in self.steps.iter().enumerate() {
            let (from, to) = (step.from as usize, step.to as usize);
            if to < from + 2 {
                continue;
            }
            let (first, last) = (samples.floats[from], samples.floats[to - 1]);
            let mut result = last - first;
            let mut factor = step.factor;
            if counter {
                while resets.first().is_some_and(|r| *r as usize <= from) {
                    resets = &resets[1..];
                }
                for reset in resets.iter().map(|r| *r as usize).take_while(|r| *r < to) {
                    result += samples.floats[reset - 1];
                }
                let Reach { sampled, to_start, .. } = step.reach;
                // A division is dear and seldom changes anything: most counters are far from zero.
                let (zero, start) = (first * sampled, to_start * result * 1.000_001);
                let far = zero > start && zero.is_finite();
                if !far && result > 0.0 && first >= 0.0 {
                    let to_zero = sampled * (first / result);
                    if to_zero < to_start {
                        factor = step.reach.factor(to_zero, range_ms, per_second);
                    }
                }
            }
            give(i, result * factor);
        }
    }
}

impl Reach {
    /// Of the times of a window, of which there are two at least, and how many samples they stand for.
    fn of(times: &[i64], count: usize, start_ms: i64, end_ms: i64) -> Reach {
        let (first, last) = (times[0], times[times.len() - 1]);
        let mut to_start = (first - start_ms) as f64 / 1000.0;
        let mut to_end = (end_ms - last) as f64 / 1000.0;
        let sampled = (last - first) as f64 / 1000.0;
        let average = sampled / count.saturating_sub(1).max(1) as f64;
        let threshold = average * 1.1;
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        Reach { sampled, to_start, to_end }
    }

    fn factor(&self, to_start: f64, range_ms: i64, per_second: bool) -> f64 {
        let Reach { sampled, to_end, .. } = *self;
        let mut factor = if sampled != 0.0 { (sampled + to_start + to_end) / sampled } else { 1.0 };
        if per_second {
            factor /= range_ms as f64 / 1000.0;
        }
        factor
    }
}

/// The start timestamp of the first sample, where it lies in the window: the counter was 0 then.
fn begun_inside(starts: &[i64], times: &[i64], s: &Step<'_>) -> Option<i64> {
    let (start, first) = (*starts.first()?, *times.first()?);
    (start != 0 && start > s.start_ms && start < first).then_some(start)
}

/// `increase` with what the counter had reached before each reset in the window, added one by one
/// as Prometheus does: another order would round otherwise.
fn corrected(w: &Window<'_>, increase: f64) -> f64 {
    let from = w.resets.partition_point(|r| *r as usize <= w.first_float);
    w.resets[from..]
        .iter()
        .map(|r| *r as usize - w.first_float)
        .take_while(|at| *at < w.floats.len())
        .fold(increase, |sum, at| sum + w.floats[at - 1])
}

fn corrected_with_starts(w: &Window<'_>, starts: &[i64], s: &Step<'_>, increase: f64) -> f64 {
    let (times, mut sum, mut overlap) = (w.float_times, increase, false);
    for i in 1..times.len() {
        if !overlap && overlaps(starts[i - 1], times[i - 1], starts[i]) {
            s.notes().start_time_overlap(s.metric(), s.span);
            overlap = true;
        }
        if w.floats[i] < w.floats[i - 1]
            || began_anew(starts[i - 1], times[i - 1], starts[i], times[i])
        {
            sum += w.floats[i - 1];
        }
    }
    sum
}

/// What a difference between first and last sample is to be multiplied by so that it covers the
/// window: up to the ends where samples are near them, else by half a sample's distance.
fn factor(
    times: &[i64],
    count: usize,
    s: &Step<'_>,
    begun: Option<i64>,
    counter: bool,
    to_zero: Option<f64>,
    per_second: bool,
) -> f64 {
    let (first, last) = (times[0], times[times.len() - 1]);
    let mut to_start = (first - s.start_ms) as f64 / 1000.0;
    let mut to_end = (s.end_ms - last) as f64 / 1000.0;
    let mut sampled = (last - first) as f64 / 1000.0;
    let mut average = 0.0;
    if times.len() > 1 {
        average = sampled / count.saturating_sub(1).max(1) as f64;
    }
    let threshold = average * 1.1;
    if let Some(begun) = begun {
        to_start = 0.0;
        sampled = (last - begun) as f64 / 1000.0;
    } else {
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        // A counter is never below zero, so its series did not begin before it was zero.
        if counter && let Some(part) = to_zero {
            let to_zero = sampled * part;
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    let mut factor = if sampled != 0.0 { (sampled + to_start + to_end) / sampled } else { 1.0 };
    if per_second {
        factor /= s.range_ms as f64 / 1000.0;
    }
    factor
}

/// What histograms grew by from the first to the last.
fn histogram_increase(
    w: &Window<'_>,
    s: &Step<'_>,
    starts: &[i64],
    counter: bool,
) -> Option<Histogram> {
    let (all, times) = (w.histograms, w.histogram_times);
    let last = &all[all.len() - 1];
    let is_gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
    let anew =
        |i: usize| starts.len() > i && began_anew(starts[i - 1], times[i - 1], starts[i], times[i]);
    if counter && (is_gauge(&all[0]) || is_gauge(last)) {
        s.notes().not_counter_histogram(s.metric(), s.span);
    }
    // After a reset the first one does not matter, nor does its layout.
    let nothing;
    let mut before: &Histogram = &all[0];
    if counter && (anew(1) || all[1].is_reset_after(before)) {
        nothing = Histogram {
            schema: all[1].schema,
            custom_bounds: all[1].custom_bounds.clone(),
            ..Histogram::default()
        };
        before = &nothing;
    }
    let custom = before.uses_custom_bounds();
    let mut schema = last.schema.min(before.schema);
    let mut compatible = last.uses_custom_bounds() == custom;
    if counter && compatible {
        for h in &all[1..all.len() - 1] {
            if is_gauge(h) {
                s.notes().not_counter_histogram(s.metric(), s.span);
            }
            schema = schema.min(h.schema);
            compatible &= h.uses_custom_bounds() == custom;
        }
    }
    let mut result = last.at_schema(schema);
    if !compatible {
        s.notes().mixed_schemas(s.metric(), s.span);
        return None;
    }
    sub(&mut result, before, s)?;
    if counter {
        let mut overlap = false;
        for i in 1..all.len() {
            if !overlap && starts.len() > i && overlaps(starts[i - 1], times[i - 1], starts[i]) {
                s.notes().start_time_overlap(s.metric(), s.span);
                overlap = true;
            }
            if anew(i) || all[i].is_reset_after(before) {
                add(&mut result, before, s)?;
            }
            before = &all[i];
        }
    } else if !is_gauge(&all[0]) || !is_gauge(last) {
        s.notes().not_gauge_histogram(s.metric(), s.span);
    }
    result.reset_hint = ResetHint::Gauge;
    result.compact();
    Some(result)
}

/// Adds, and tells of what was incompatible or reconciled.
fn add(into: &mut Histogram, other: &Histogram, s: &Step<'_>) -> Option<()> {
    note_combined(into.add(other), Operation::Addition, s.metric(), s.span, &mut s.notes())
}

fn sub(from: &mut Histogram, other: &Histogram, s: &Step<'_>) -> Option<()> {
    note_combined(from.sub(other), Operation::Subtraction, s.metric(), s.span, &mut s.notes())
}

fn note_combined(
    combined: Result<model::histogram::Combined, model::histogram::IncompatibleSchemas>,
    operation: Operation,
    metric: &str,
    span: Span,
    notes: &mut Annotations,
) -> Option<()> {
    match combined {
        Ok(c) if c.bounds_reconciled => notes.bounds_reconciled(span, operation),
        Ok(_) => {}
        Err(_) => {
            notes.mixed_schemas(metric, span);
            return None;
        }
    }
    Some(())
}

/// Whether start timestamps say that a counter began anew between two samples.
fn began_anew(start_before: i64, before: i64, start: i64, time: i64) -> bool {
    if start_before == start || start == 0 || start >= time || start < before {
        return false;
    }
    if start > before {
        return true;
    }
    // It points to the sample before: a delta, unless the start before was not known either.
    start_before <= before && start_before != 0 && start_before != before
}

/// Whether a sample claims to have begun while the one before was still counting.
fn overlaps(start_before: i64, before: i64, start: i64) -> bool {
    start != 0 && start < before && start != start_before
}

/// One of the last two samples of a window.
#[derive(Clone, Copy)]
struct LastSample<'a> {
    time: i64,
    start: i64,
    float: f64,
    histogram: Option<&'a Arc<Histogram>>,
}

/// `irate` and `idelta`: by the last two samples.
pub(super) fn instant(w: &Window<'_>, s: &Step<'_>, counter: bool) -> Option<Value> {
    if w.len() < 2 {
        return None;
    }
    let start = |starts: &[i64], i: usize| {
        if s.use_starts && counter { starts.get(i).copied().unwrap_or(0) } else { 0 }
    };
    let floats = (w.floats.len().saturating_sub(2)..w.floats.len()).map(|i| LastSample {
        time: w.float_times[i],
        start: start(w.float_starts, i),
        float: w.floats[i],
        histogram: None,
    });
    let histograms =
        (w.histograms.len().saturating_sub(2)..w.histograms.len()).map(|i| LastSample {
            time: w.histogram_times[i],
            start: start(w.histogram_starts, i),
            float: 0.0,
            histogram: Some(&w.histograms[i]),
        });
    let mut both: Vec<LastSample<'_>> = floats.chain(histograms).collect();
    both.sort_by_key(|l| l.time);
    let [before, last] = both[both.len() - 2..] else { return None };
    let interval = last.time - before.time;
    if interval == 0 {
        return None;
    }
    let seconds = interval as f64 / 1000.0;
    let anew = began_anew(before.start, before.time, last.start, last.time);
    match (before.histogram, last.histogram) {
        (None, None) => {
            let mut value = last.float;
            if !(counter && (last.float < before.float || anew)) {
                value -= before.float;
            }
            Some(Value::Float(if counter { value / seconds } else { value }))
        }
        (Some(h0), Some(h1)) => {
            let gauges = [h0, h1].map(|h| h.reset_hint == ResetHint::Gauge);
            if counter && gauges.contains(&true) {
                s.notes().not_counter_histogram(s.metric(), s.span);
            }
            if !counter && gauges.contains(&false) {
                s.notes().not_gauge_histogram(s.metric(), s.span);
            }
            let mut value = (**h1).clone();
            if !counter || (!anew && !h1.is_reset_after(h0)) {
                sub(&mut value, h0, s)?;
            }
            value.reset_hint = ResetHint::Gauge;
            value.compact();
            if counter {
                value.divide(seconds);
            }
            Some(Value::Histogram(Arc::new(value)))
        }
        _ => {
            s.mixed();
            None
        }
    }
}

/// One sample of floats and histograms merged by time.
#[derive(Clone, Copy)]
enum Either<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

/// The samples of a window in the order of time, each with its time and start. Of an anchored window,
/// from the last sample at or before its start; empty where none is after the start.
fn merged<'a>(w: &Window<'a>, s: &Step<'_>) -> Vec<(Either<'a>, i64, i64)> {
    let start = |starts: &[i64], i: usize| {
        if s.use_starts { starts.get(i).copied().unwrap_or(0) } else { 0 }
    };
    let mut all: Vec<(Either<'a>, i64, i64)> = Vec::with_capacity(w.len());
    let (mut f, mut h) = (0, 0);
    while f < w.floats.len() || h < w.histograms.len() {
        let float_first = h >= w.histograms.len()
            || f < w.floats.len() && w.float_times[f] <= w.histogram_times[h];
        if float_first {
            all.push((Either::Float(w.floats[f]), w.float_times[f], start(w.float_starts, f)));
            f += 1;
        } else {
            let histogram = Either::Histogram(&w.histograms[h]);
            all.push((histogram, w.histogram_times[h], start(w.histogram_starts, h)));
            h += 1;
        }
    }
    if s.anchored {
        let inside = all.partition_point(|x| x.1 <= s.start_ms);
        if inside == all.len() {
            return Vec::new();
        }
        all.drain(..inside.saturating_sub(1));
    }
    all
}

/// `resets`
pub(super) fn resets(w: &Window<'_>, s: &Step<'_>) -> Option<Value> {
    let all = merged(w, s);
    if all.is_empty() {
        return None;
    }
    let is_reset = |pair: &[(Either<'_>, i64, i64)]| {
        let [(before, before_time, before_start), (now, time, start)] = pair else { return false };
        let anew = began_anew(*before_start, *before_time, *start, *time);
        match (before, now) {
            (Either::Float(a), Either::Float(b)) => b < a || anew,
            (Either::Histogram(a), Either::Histogram(b)) => anew || b.is_reset_after(a),
            _ => true,
        }
    };
    Some(Value::Float(all.windows(2).filter(|p| is_reset(p)).count() as f64))
}

/// `changes`
pub(super) fn changes(w: &Window<'_>, s: &Step<'_>) -> Option<Value> {
    let all = merged(w, s);
    if all.is_empty() {
        return None;
    }
    let differs = |pair: &[(Either<'_>, i64, i64)]| match (pair[0].0, pair[1].0) {
        (Either::Float(a), Either::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Either::Histogram(a), Either::Histogram(b)) => !a.same_value(b),
        _ => true,
    };
    Some(Value::Float(all.windows(2).filter(|p| differs(p)).count() as f64))
}

/// A straight line between two points; a counter that fell is taken to begin at 0.
fn interpolate(p: (i64, f64), q: (i64, f64), time: i64, counter: bool) -> f64 {
    let from = if counter && q.1 < p.1 { 0.0 } else { p.1 };
    from + (q.1 - from) * (time - p.0) as f64 / (q.0 - p.0) as f64
}

/// Positions of the samples from which and up to which an extended window is computed; `None` where
/// there is nothing to compute.
fn extended_bounds(times: &[i64], start: i64, end: i64, smoothed: bool) -> Option<(usize, usize)> {
    let mut last = times.len().checked_sub(1)?;
    let first = times[..last].partition_point(|t| *t <= start).saturating_sub(1);
    if smoothed {
        last = times[..last].partition_point(|t| *t < end);
    }
    if times[last] <= start || smoothed && times[first] > end {
        return None;
    }
    Some((first, last))
}

fn extended_floats(w: &Window<'_>, s: &Step<'_>, counter: bool, per_second: bool) -> Option<f64> {
    let (times, floats) = (w.float_times, w.floats);
    let (mut first, last) = extended_bounds(times, s.start_ms, s.end_ms, s.smoothed)?;
    let left = left_value(times, floats, first, s.start_ms, s.smoothed, counter);
    let right = right_value(times, floats, last, s.end_ms, s.smoothed, counter);
    let mut result = right - left;
    if counter {
        // The ends know of resets next to them.
        if times[first] <= s.start_ms {
            first += 1;
        }
        let until = if times[last] >= s.end_ms { last } else { last + 1 };
        let (mut before, mut corrections) = (left, 0.0);
        for value in floats.get(first..until).unwrap_or(&[]).iter().chain([&right]) {
            if *value < before {
                corrections += before;
            }
            before = *value;
        }
        result += corrections;
    }
    Some(if per_second { result / (s.range_ms as f64 / 1000.0) } else { result })
}

fn left_value(
    times: &[i64],
    floats: &[f64],
    first: usize,
    start: i64,
    smoothed: bool,
    counter: bool,
) -> f64 {
    if smoothed && times[first] < start && first + 1 < times.len() {
        let (p, q) = ((times[first], floats[first]), (times[first + 1], floats[first + 1]));
        return interpolate(p, q, start, counter);
    }
    floats[first]
}

fn right_value(
    times: &[i64],
    floats: &[f64],
    last: usize,
    end: i64,
    smoothed: bool,
    counter: bool,
) -> f64 {
    if smoothed && last > 0 && times[last] > end {
        let (p, q) = ((times[last - 1], floats[last - 1]), (times[last], floats[last]));
        return interpolate(p, q, end, counter);
    }
    floats[last]
}

/// The floats of an extended selector: those in the window, and values at both of its ends.
pub(super) fn extend(
    points: &[(i64, f64)],
    start: i64,
    end: i64,
    smoothed: bool,
) -> Vec<(i64, f64)> {
    let times: Vec<i64> = points.iter().map(|p| p.0).collect();
    let floats: Vec<f64> = points.iter().map(|p| p.1).collect();
    let Some(mut last) = times.len().checked_sub(1) else { return Vec::new() };
    let first = times[..last].partition_point(|t| *t <= start).saturating_sub(1);
    if smoothed {
        last = times[..last].partition_point(|t| *t < end);
    }
    if times[last] <= start {
        return Vec::new();
    }
    let mut out = vec![(start, left_value(&times, &floats, first, start, smoothed, false))];
    out.extend(points[first..=last].iter().filter(|p| p.0 > start && p.0 < end));
    out.push((end, right_value(&times, &floats, last, end, smoothed, false)));
    out
}

/// A histogram between two others.
fn interpolate_histograms(
    p: (i64, &Histogram),
    q: (i64, &Histogram),
    time: i64,
    counter: bool,
    metric: &str,
    span: Span,
    notes: &mut Annotations,
) -> Option<Histogram> {
    if time == p.0 {
        return Some(p.1.clone());
    }
    let mut result = q.1.clone();
    if time == q.0 {
        return Some(result);
    }
    let fraction = (time - p.0) as f64 / (q.0 - p.0) as f64;
    if counter && q.1.is_reset_after(p.1) {
        result.scale(fraction);
        return Some(result);
    }
    note_combined(result.sub(p.1), Operation::Subtraction, metric, span, notes)?;
    result.scale(fraction);
    note_combined(result.add(p.1), Operation::Addition, metric, span, notes)?;
    Some(result)
}

fn extended_histograms(
    w: &Window<'_>,
    s: &Step<'_>,
    counter: bool,
    per_second: bool,
) -> Option<Value> {
    let (times, all) = (w.histogram_times, w.histograms);
    let (first, last) = extended_bounds(times, s.start_ms, s.end_ms, s.smoothed)?;
    let custom = all[first].uses_custom_bounds();
    for h in &all[first..=last] {
        if h.uses_custom_bounds() != custom {
            s.notes().mixed_schemas(s.metric(), s.span);
            return None;
        }
        if counter && h.reset_hint == ResetHint::Gauge {
            s.notes().not_counter_histogram(s.metric(), s.span);
        }
    }
    let between = |i: usize, time: i64| {
        let (p, q) = ((times[i], &*all[i]), (times[i + 1], &*all[i + 1]));
        interpolate_histograms(p, q, time, counter, s.metric(), s.span, &mut s.notes())
    };
    let left = if s.smoothed && times[first] < s.start_ms {
        between(first, s.start_ms)?
    } else {
        (*all[first]).clone()
    };
    let right = if s.smoothed && last > 0 && times[last] > s.end_ms {
        between(last - 1, s.end_ms)?
    } else {
        (*all[last]).clone()
    };
    let gauges = [&left, &right].map(|h| h.reset_hint == ResetHint::Gauge);
    if !counter && gauges.contains(&false) {
        s.notes().not_gauge_histogram(s.metric(), s.span);
    }
    let mut result = right.clone();
    sub(&mut result, &left, s)?;
    if counter {
        let correction = histogram_corrections(w, s, (first, last), &left, &right)?;
        if let Some(correction) = correction {
            add(&mut result, &correction, s)?;
        }
    }
    if per_second {
        result.divide(s.range_ms as f64 / 1000.0);
    }
    result.reset_hint = ResetHint::Gauge;
    result.compact();
    Some(Value::Histogram(Arc::new(result)))
}

/// What histograms had reached before each reset between the two ends; `None` where they cannot be
/// added.
#[allow(clippy::option_option)] // nothing to correct is not a failure
fn histogram_corrections(
    w: &Window<'_>,
    s: &Step<'_>,
    (first, last): (usize, usize),
    left: &Histogram,
    right: &Histogram,
) -> Option<Option<Histogram>> {
    let (times, all) = (w.histogram_times, w.histograms);
    let mut from = first + 1;
    let mut before = left;
    if s.smoothed
        && times[first] < s.start_ms
        && first + 1 < all.len()
        && all[first + 1].is_reset_after(&all[first])
    {
        // The left end was interpolated over that reset.
        before = &all[first + 1];
        from += 1;
    }
    // The last sample is the right end, or the right end was interpolated towards it.
    if from > last {
        return Some(None);
    }
    let mut correction: Option<Histogram> = None;
    for h in all[from..last].iter().map(|h| &**h).chain([right]) {
        if h.is_reset_after(before) {
            match &mut correction {
                None => correction = Some(before.clone()),
                Some(sum) => add(sum, before, s)?,
            }
        }
        before = h;
    }
    Some(correction)
}

/// The value of a smoothed instant selector at a time, from samples around it.
pub(super) fn smooth(
    w: &Window<'_>,
    time: i64,
    metric: &str,
    span: Span,
    notes: &mut Annotations,
) -> Option<Value> {
    if !w.floats.is_empty() && !w.histograms.is_empty() {
        notes.mixed_floats_histograms(metric, span);
        return None;
    }
    if w.histograms.is_empty() {
        let times = w.float_times;
        let next = times.partition_point(|t| *t < time);
        if times.get(next) == Some(&time) {
            return Some(Value::Float(w.floats[next]));
        }
        let before = next.checked_sub(1)?;
        let from = (times[before], w.floats[before]);
        return Some(Value::Float(match times.get(next) {
            Some(t) => interpolate(from, (*t, w.floats[next]), time, false),
            None => from.1,
        }));
    }
    let (times, all) = (w.histogram_times, w.histograms);
    let next = times.partition_point(|t| *t < time);
    if times.get(next) == Some(&time) {
        return Some(Value::Histogram(all[next].clone()));
    }
    let before = next.checked_sub(1)?;
    let Some(after) = all.get(next) else {
        let mut carried = (*all[before]).clone();
        carried.reset_hint = ResetHint::Unknown;
        return Some(Value::Histogram(Arc::new(carried)));
    };
    if all[before].uses_custom_bounds() != after.uses_custom_bounds() {
        notes.mixed_schemas(metric, span);
        return None;
    }
    let gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
    let counter = !(gauge(&all[before]) && gauge(after));
    let (p, q) = ((times[before], &*all[before]), (times[next], &**after));
    interpolate_histograms(p, q, time, counter, metric, span, notes)
        .map(|h| Value::Histogram(Arc::new(h)))
}
