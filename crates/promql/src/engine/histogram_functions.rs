//! Functions of histograms, native and classic.

use super::evaluate::{Evaluator, Result};
use super::merge_same_labels;
use super::quantile::{
    ClassicBucket, classic_fraction, classic_quantile, native_fraction, native_quantile,
};
use super::values::{Grid, Point, Points, Series};
use crate::annotations::Monotonicity;
use crate::ast::{Call, Span};
use crate::literal::{format_float_short, parse_float};
use hashbrown::HashMap;
use model::histogram::kahan_add;
use model::{Histogram, Labels};

/// Evaluates a `histogram_…` function.
pub(super) fn call(ev: &Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Series>> {
    match call.func.name {
        "histogram_count" => of_each(ev, call, grid, |h| h.count),
        "histogram_sum" => of_each(ev, call, grid, |h| h.sum),
        "histogram_avg" => of_each(ev, call, grid, |h| h.sum / h.count),
        "histogram_stdvar" => of_each(ev, call, grid, variance),
        "histogram_stddev" => of_each(ev, call, grid, |h| variance(h).sqrt()),
        "histogram_fraction" => {
            let (lower, upper) = (ev.scalar(&call.args[0], grid)?, ev.scalar(&call.args[1], grid)?);
            let all = ev.vector(&call.args[2], grid)?;
            let question = Question::Fraction(&lower, &upper);
            ask(ev, all, call.args[2].span(), &[(question, None)], grid)
        }
        "histogram_quantile" => {
            let q = ev.scalar(&call.args[0], grid)?;
            let all = ev.vector(&call.args[1], grid)?;
            warn_of_quantiles(ev, &q, call.args[0].span());
            ask(ev, all, call.args[1].span(), &[(Question::Quantile(&q), None)], grid)
        }
        _ => quantiles(ev, call, grid),
    }
}

/// `histogram_quantiles(vector, label, q…)`: each quantile with its value in a label.
fn quantiles(ev: &Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Series>> {
    let series = ev.vector(&call.args[0], grid)?;
    let label = ev.string(&call.args[1]);
    let mut all = Vec::new();
    for arg in &call.args[2..] {
        all.push(ev.scalar(arg, grid)?);
    }
    for (q, arg) in all.iter().zip(&call.args[2..]) {
        warn_of_quantiles(ev, q, arg.span());
    }
    let questions: Vec<_> =
        all.iter().map(|q| (Question::Quantile(q), Some((label.as_str(), q.as_slice())))).collect();
    ask(ev, series, call.args[0].span(), &questions, grid)
}

fn warn_of_quantiles(ev: &Evaluator<'_>, q: &[f64], span: Span) {
    for q in q.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
        ev.notes().invalid_quantile(*q, span);
    }
}

/// Maps native histograms to floats and leaves floats out.
fn of_each(
    ev: &Evaluator<'_>,
    call: &Call,
    grid: &Grid,
    f: fn(&Histogram) -> f64,
) -> Result<Vec<Series>> {
    let mut all = ev.vector(&call.args[0], grid)?;
    for series in &mut all {
        ev.interrupt.check()?;
        let mut points = Points::absent(grid.count);
        for i in 0..grid.count {
            if let Some(Point::Histogram(h)) = series.points.get(i) {
                points.set_float(i, f(h));
            }
        }
        series.points = points;
        ev.drop_name(series);
    }
    all.retain(|s| !s.points.is_absent());
    if ev.options.delayed_name_removal { Ok(all) } else { merge_same_labels(all, ev.interrupt) }
}

/// The variance, each observation taken to lie in the middle of its bucket.
fn variance(h: &Histogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut sum, mut lost) = (0.0, 0.0);
    for b in h.buckets().into_iter().filter(|b| b.count != 0.0) {
        let middle = if h.uses_custom_bounds() {
            (b.upper + b.lower) / 2.0
        } else if b.lower <= 0.0 && b.upper >= 0.0 {
            0.0
        } else {
            let geometric = (b.upper * b.lower).sqrt();
            if b.upper < 0.0 { -geometric } else { geometric }
        };
        let delta = middle - mean;
        (sum, lost) = kahan_add(b.count * delta * delta, sum, lost);
    }
    (sum + lost) / h.count
}

/// What is asked of every histogram.
#[derive(Clone, Copy)]
enum Question<'a> {
    Quantile(&'a [f64]),
    Fraction(&'a [f64], &'a [f64]),
}

/// A question, and the label into which its values go.
type Labelled<'a> = (Question<'a>, Option<(&'a str, &'a [f64])>);

/// A classic histogram: the series of its buckets.
struct Classic {
    labels: Labels,
    drop_name: bool,
    /// Bounds, and the series that hold their counts.
    buckets: Vec<(f64, usize)>,
}

/// Asks questions of all histograms of a vector; with a label, the question's number goes there.
fn ask(
    ev: &Evaluator<'_>,
    all: Vec<Series>,
    span: Span,
    questions: &[Labelled<'_>],
    grid: &Grid,
) -> Result<Vec<Series>> {
    let delayed = ev.options.delayed_name_removal;
    let mut classics: Vec<Classic> = Vec::new();
    let mut by_labels: HashMap<Labels, usize> = HashMap::new();
    for (at, series) in all.iter().enumerate() {
        ev.interrupt.check()?;
        if !series.points.kinds.contains(&super::values::Kind::Float) {
            continue;
        }
        let le = series.labels.get("le").unwrap_or("");
        let Some(bound) = parse_float(le) else {
            let metric = if delayed { series.labels.metric() } else { "" };
            ev.notes().bad_bucket_label(metric, le, span);
            continue;
        };
        let labels = series.labels.without(|n| n == "le");
        let classic = *by_labels.entry(labels.clone()).or_insert_with(|| {
            let drop_name = series.drop_name;
            classics.push(Classic { labels, drop_name, buckets: Vec::new() });
            classics.len() - 1
        });
        classics[classic].buckets.push((bound, at));
    }
    let mut out = Vec::new();
    for (question, label) in questions {
        let mut answers: Vec<Series> = Vec::new();
        // Where both kinds have the same labels at a time, neither is answered.
        let mut mixed: HashMap<usize, Vec<bool>> = HashMap::new();
        for series in all.iter().filter(|s| !s.points.histograms.is_empty()) {
            ev.interrupt.check()?;
            let twin = by_labels.get(&series.labels).copied();
            let mut points = Points::absent(grid.count);
            for i in 0..grid.count {
                let Some(Point::Histogram(h)) = series.points.get(i) else { continue };
                let has_float = |c: usize| {
                    classics[c].buckets.iter().any(|b| all[b.1].points.float(i).is_some())
                };
                if let Some(twin) = twin.filter(|c| has_float(*c)) {
                    let metric = if delayed { series.labels.metric() } else { "" };
                    ev.notes().mixed_classic_native(metric, span);
                    mixed.entry(twin).or_insert_with(|| vec![false; grid.count])[i] = true;
                    continue;
                }
                let metric = if delayed { series.labels.metric() } else { "" };
                let notes = &mut ev.notes();
                points.set_float(
                    i,
                    match question {
                        Question::Quantile(q) => native_quantile(q[i], h, metric, span, notes),
                        Question::Fraction(l, u) => {
                            native_fraction(l[i], u[i], h, metric, span, notes)
                        }
                    },
                );
            }
            let (labels, drop_name) = (series.labels.clone(), series.drop_name);
            answers.push(Series { labels, drop_name, points });
        }
        for (at, classic) in classics.iter().enumerate() {
            ev.interrupt.check()?;
            let mut points = Points::absent(grid.count);
            let mut buckets = Vec::with_capacity(classic.buckets.len());
            for i in 0..grid.count {
                if mixed.get(&at).is_some_and(|m| m[i]) {
                    continue;
                }
                buckets.clear();
                buckets.extend(classic.buckets.iter().filter_map(|(bound, series)| {
                    let count = all[*series].points.float(i)?;
                    Some(ClassicBucket { bound: *bound, count })
                }));
                if buckets.is_empty() {
                    continue;
                }
                let value = match question {
                    Question::Fraction(l, u) => classic_fraction(l[i], u[i], &mut buckets),
                    Question::Quantile(q) => {
                        let (value, forced) = classic_quantile(q[i], &mut buckets);
                        if let Some(f) = forced {
                            let metric = if delayed { classic.labels.metric() } else { "" };
                            let time = grid.time(i);
                            let m = Monotonicity {
                                first_ms: time,
                                last_ms: time,
                                min_bucket: f.min_bucket,
                                max_bucket: f.max_bucket,
                                max_diff: f.max_diff,
                                samples: 1,
                            };
                            ev.notes().forced_monotonicity(metric, span, m);
                        }
                        value
                    }
                };
                points.set_float(i, value);
            }
            let (labels, drop_name) = (classic.labels.clone(), classic.drop_name);
            answers.push(Series { labels, drop_name, points });
        }
        answers.retain(|s| !s.points.is_absent());
        for mut series in answers {
            ev.drop_name(&mut series);
            match label {
                None => out.push(series),
                Some((name, values)) => label_with_quantile(series, name, values, grid, &mut out),
            }
        }
    }
    if delayed && grid.single { Ok(out) } else { merge_same_labels(out, ev.interrupt) }
}

/// The quantile may differ from step to step; then a series has its part under each.
fn label_with_quantile(
    series: Series,
    name: &str,
    values: &[f64],
    grid: &Grid,
    out: &mut Vec<Series>,
) {
    let mut parts: Vec<(u64, Series)> = Vec::new();
    for (i, quantile) in values.iter().enumerate() {
        let Some(value) = series.points.float(i) else { continue };
        let quantile = quantile + 0.0; // the label knows one zero
        let bits = quantile.to_bits();
        let at = parts.iter().position(|p| p.0 == bits).unwrap_or_else(|| {
            let labels = series.labels.builder().set(name, &open_metrics(quantile)).build();
            let points = Points::absent(grid.count);
            parts.push((bits, Series { labels, drop_name: series.drop_name, points }));
            parts.len() - 1
        });
        parts[at].1.points.set_float(i, value);
    }
    out.extend(parts.into_iter().map(|p| p.1));
}

/// A float as OpenMetrics writes it: never without a point or an exponent.
fn open_metrics(value: f64) -> String {
    let text = format_float_short(value);
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if plain { text + ".0" } else { text }
}
