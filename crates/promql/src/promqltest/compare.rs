//! Compares results with what a script expects.

use super::script::Eval;
use super::series::Item;
use crate::engine::almost_equal;
use crate::query::{QueryResult, QueryValue, VectorSample};
use model::{Histogram, Labels, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Relative difference that is no difference.
const EPSILON: f64 = 1e-6;

pub(super) fn annotations(e: &Eval, result: &QueryResult) -> Result<(), String> {
    for (kind, expected, none, actual) in [
        ("warn", &e.warnings, e.no_warnings, &result.warnings),
        ("info", &e.infos, e.no_infos, &result.infos),
    ] {
        if none && !actual.is_empty() {
            return Err(format!("unexpected {kind} annotations: {actual:?}"));
        }
        if expected.is_empty() {
            continue;
        }
        for x in expected {
            if !actual.iter().any(|a| x.matches(a)) {
                return Err(format!("no {kind} annotation is {}: {actual:?}", x.describe()));
            }
        }
        if let Some(a) = actual.iter().find(|a| !expected.iter().any(|x| x.matches(a))) {
            return Err(format!("unexpected {kind} annotation {a:?}"));
        }
    }
    Ok(())
}

pub(super) fn value(e: &Eval, value: &QueryValue) -> Result<(), String> {
    match value {
        QueryValue::Scalar(_, v) => scalar(e, *v),
        QueryValue::String(_, s) => match &e.string {
            Some(expected) if expected == s => Ok(()),
            None if s.is_empty() => Ok(()),
            expected => Err(format!("expected string {expected:?}, got {s:?}")),
        },
        QueryValue::Vector(v) => vector(e, v),
        QueryValue::Matrix(m) => {
            if e.ordered {
                return Err("expected ordered result, but query returned a matrix".into());
            }
            if e.scalar.is_some() {
                return Err("expected scalar result, but got a matrix".into());
            }
            if let Some(w) = m.windows(2).find(|w| w[0].labels > w[1].labels) {
                return Err(format!("{} is not sorted before {}", w[0].labels, w[1].labels));
            }
            let expected = by_labels(e);
            for series in m {
                let Some((_, items)) = expected.get(&series.labels) else {
                    return Err(format!(
                        "unexpected metric {}: {:?} {:?}",
                        series.labels, series.floats, series.histograms
                    ));
                };
                let points = (0..).zip(items.iter()).filter_map(|(i, item)| {
                    let time = e.start + i * e.step;
                    (!matches!(item, Item::Omitted)).then_some((time, item))
                });
                let mut actual: Vec<(i64, Value)> =
                    series.floats.iter().map(|(t, f)| (*t, Value::Float(*f))).collect();
                let histograms = series.histograms.iter();
                actual.extend(histograms.map(|(t, h)| (*t, Value::Histogram(h.clone()))));
                actual.sort_by_key(|a| a.0);
                let points: Vec<_> = points.collect();
                let same = points.len() == actual.len()
                    && points.iter().zip(&actual).all(|(x, a)| x.0 == a.0 && same_value(x.1, &a.1));
                if !same {
                    return Err(format!(
                        "{}: expected {}, got {}",
                        series.labels,
                        show(points.iter().map(|p| (p.0, item_text(p.1)))),
                        show(actual.iter().map(|a| (a.0, value_text(&a.1))))
                    ));
                }
            }
            missing(e, |labels| m.iter().any(|s| s.labels == *labels))
        }
    }
}

pub(super) fn scalar(e: &Eval, value: f64) -> Result<(), String> {
    let expected = e.scalar.ok_or("expected vector or matrix result, but got a scalar")?;
    if almost_equal(expected, value, EPSILON) {
        return Ok(());
    }
    Err(format!("expected scalar {expected}, got {value}"))
}

pub(super) fn vector(e: &Eval, actual: &[VectorSample]) -> Result<(), String> {
    if e.scalar.is_some() {
        return Err("expected scalar result, but got a vector".into());
    }
    let expected = by_labels(e);
    for (at, sample) in actual.iter().enumerate() {
        let got = value_text(&sample.value);
        let Some((position, items)) = expected.get(&sample.labels) else {
            return Err(format!("unexpected metric {} in result, has value {got}", sample.labels));
        };
        if e.ordered && *position != at {
            return Err(format!(
                "expected metric {} at position {position} but was at {at}",
                sample.labels
            ));
        }
        if !items.first().is_some_and(|x| same_value(x, &sample.value)) {
            let expected = items.first().map_or("nothing".into(), item_text);
            return Err(format!("expected {expected} for {} but got {got}", sample.labels));
        }
    }
    missing(e, |labels| actual.iter().any(|s| s.labels == *labels))
}

fn missing(e: &Eval, found: impl Fn(&Labels) -> bool) -> Result<(), String> {
    match e.series.iter().find(|s| !found(&s.0)) {
        None => Ok(()),
        Some((labels, items)) => {
            let items: Vec<String> = items.iter().map(item_text).collect();
            Err(format!("expected metric {labels} with {items:?} not found"))
        }
    }
}

fn by_labels(e: &Eval) -> HashMap<&Labels, (usize, &[Item])> {
    let series = e.series.iter().enumerate();
    series.map(|(at, (labels, items))| (labels, (at, items.as_slice()))).collect()
}

fn item_text(item: &Item) -> String {
    match item {
        Item::Omitted => "_".into(),
        Item::Float(f) => f.to_string(),
        Item::Histogram(h, hinted) => {
            let hint = if *hinted { format!(" {:?}", h.reset_hint) } else { String::new() };
            format!("{}{hint}", describe(h))
        }
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Float(f) => f.to_string(),
        Value::Histogram(h) => format!("{} {:?}", describe(h), h.reset_hint),
    }
}

fn describe(h: &Histogram) -> String {
    format!("schema {} zero {} bounds {:?} {h}", h.schema, h.zero_threshold, h.custom_bounds)
}

fn show(points: impl Iterator<Item = (i64, String)>) -> String {
    let parts: Vec<String> = points.map(|(t, v)| format!("{v} @[{t}]")).collect();
    format!("[{}]", parts.join(" "))
}

fn same_value(expected: &Item, actual: &Value) -> bool {
    match (expected, actual) {
        (Item::Float(x), Value::Float(a)) => almost_equal(*x, *a, EPSILON),
        (Item::Histogram(x, hinted), Value::Histogram(a)) => same_histogram(x, a, *hinted),
        _ => false,
    }
}

fn same_histogram(x: &Arc<Histogram>, a: &Arc<Histogram>, hinted: bool) -> bool {
    let compact = |h: &Histogram| {
        let mut h = h.clone();
        h.compact();
        h
    };
    let (x, a) = (compact(x), compact(a));
    let near = |x: f64, a: f64| almost_equal(x, a, EPSILON);
    let all =
        |x: &[f64], a: &[f64]| x.len() == a.len() && x.iter().zip(a).all(|(x, a)| near(*x, *a));
    x.schema == a.schema
        && near(x.count, a.count)
        && near(x.sum, a.sum)
        && x.custom_bounds == a.custom_bounds
        && x.zero_threshold == a.zero_threshold
        && near(x.zero_count, a.zero_count)
        && x.positive_spans == a.positive_spans
        && x.negative_spans == a.negative_spans
        && all(&x.positive_buckets, &a.positive_buckets)
        && all(&x.negative_buckets, &a.negative_buckets)
        && (!hinted || x.reset_hint == a.reset_hint)
}
