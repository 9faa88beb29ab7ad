//! Functions of scalars and instant vectors.

use super::evaluate::{Evaluator, Result};
use super::quantile::sort_key;
use super::select::Want;
use super::values::{Grid, Points, Series};
use super::{histogram_functions, merge_same_labels, same_labelset};
use crate::ast::{Call, Expr};
use crate::calendar::{Date, date, days_in_month};
use crate::query::QueryError;
use hashbrown::HashSet;
use model::labels::METRIC_NAME;
use model::sort::sort_by;
use model::{Labels, LabelsBuilder, MatchOp};
use std::cmp::Ordering;

/// Go's `math.Max`: NaN if either is.
pub(super) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`: NaN if either is.
pub(super) fn go_min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

/// Functions that give a scalar.
pub(super) fn scalar_call(ev: &Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<f64>> {
    let pair = |f: fn(f64, f64) -> f64| {
        let (a, b) = (ev.scalar(&call.args[0], grid)?, ev.scalar(&call.args[1], grid)?);
        ev.floats(grid, |i| f(a[i], b[i]))
    };
    match call.func.name {
        "pi" => ev.floats(grid, |_| std::f64::consts::PI),
        "time" => ev.floats(grid, |i| grid.time(i) as f64 / 1000.0),
        "max_of" => pair(go_max),
        "min_of" => pair(go_min),
        "scalar" => {
            // The only float at a time; of several, and of none, NaN.
            let mut found = vec![0u8; grid.count];
            let mut values = vec![f64::NAN; grid.count];
            ev.stream(&call.args[0], grid, &mut |series| {
                for i in 0..grid.count {
                    ev.pause(i)?;
                    if let Some(f) = series.points.float(i) {
                        found[i] = found[i].saturating_add(1);
                        values[i] = if found[i] == 1 { f } else { f64::NAN };
                    }
                }
                Ok(())
            })?;
            Ok(values)
        }
        other => Err(QueryError::Execution(format!("function {other} is not implemented"))),
    }
}

type Map = Box<dyn Fn(usize, f64) -> Option<f64>>;

/// The map of a function that maps each float of its first argument; `None` for other functions.
pub(super) fn float_map(ev: &Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Option<Map>> {
    if let Some(f) = plain(call.func.name) {
        return Ok(Some(Box::new(move |_, v| Some(f(v)))));
    }
    if let Some(f) = of_date(call.func.name).filter(|_| !call.args.is_empty()) {
        return Ok(Some(Box::new(move |_, v| Some(f(date(seconds(v)))))));
    }
    let scalar = |i: usize| ev.scalar(&call.args[i], grid);
    let clamp = |low: Vec<f64>, high: Vec<f64>| -> Map {
        Box::new(move |i, v| {
            let empty = high[i] < low[i];
            (!empty).then(|| go_max(low[i], go_min(high[i], v)))
        })
    };
    Ok(Some(match call.func.name {
        "clamp" => clamp(scalar(1)?, scalar(2)?),
        "clamp_min" => clamp(scalar(1)?, vec![f64::INFINITY; grid.count]),
        "clamp_max" => clamp(vec![f64::NEG_INFINITY; grid.count], scalar(1)?),
        "round" => {
            let nearest = if call.args.len() > 1 { scalar(1)? } else { vec![1.0; grid.count] };
            Box::new(move |i, v| {
                // Inverted, since that rounds better.
                let inverse = 1.0 / nearest[i];
                Some((v * inverse + 0.5).floor() / inverse)
            })
        }
        _ => return Ok(None),
    }))
}

/// Functions of one float.
fn plain(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "rad" => |v| v * std::f64::consts::PI / 180.0,
        "deg" => |v| v * 180.0 / std::f64::consts::PI,
        "sgn" => |v| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        },
        _ => return None,
    })
}

/// Functions of a date.
fn of_date(name: &str) -> Option<fn(Date) -> f64> {
    Some(match name {
        "days_in_month" => |d| days_in_month(d.year, d.month) as f64,
        "day_of_month" => |d| d.day as f64,
        "day_of_week" => |d| d.weekday as f64,
        "day_of_year" => |d| d.day_of_year as f64,
        "hour" => |d| d.hour as f64,
        "minute" => |d| d.minute as f64,
        "month" => |d| d.month as f64,
        "year" => |d| d.year as f64,
        _ => return None,
    })
}

/// The whole seconds of a float as Go converts them and its calendar takes them: what is no number
/// or too large becomes the least 64-bit number, and the count of seconds wraps.
fn seconds(value: f64) -> i128 {
    const WRAPS_AT: i64 = 9_223_372_028_715_321_600;
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    let seconds = if fits { value as i64 } else { i64::MIN };
    i128::from(seconds.wrapping_add(WRAPS_AT) as u64) - i128::from(WRAPS_AT)
}

/// All other functions of instant vectors.
pub(super) fn vector_call(ev: &Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Series>> {
    let name = call.func.name;
    if let Some(f) = of_date(name) {
        let floats = ev.floats(grid, |i| f(date((grid.time(i) / 1000).into())))?;
        return Ok(vec![of_floats(Labels::empty(), floats)]);
    }
    if call.args.len() > 1 && matches!(name, "clamp" | "clamp_min" | "clamp_max" | "round") {
        // The vector before the scalars, as errors come in that order.
        let mut all = ev.vector(&call.args[0], grid)?;
        if let Some(map) = float_map(ev, call, grid)? {
            all.retain_mut(|series| ev.map_floats(series, grid, &*map));
        }
        return if ev.options.delayed_name_removal {
            Ok(all)
        } else {
            merge_same_labels(all, ev.interrupt)
        };
    }
    match name {
        "vector" => Ok(vec![of_floats(Labels::empty(), ev.scalar(&call.args[0], grid)?)]),
        "absent" => absent(ev, call, grid),
        "timestamp" | "start_timestamp" => timestamp(ev, call, grid),
        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => sort(ev, call, grid),
        _ if name.starts_with("histogram_") => histogram_functions::call(ev, call, grid),
        _ => Err(QueryError::Execution(format!("function {name} is not implemented"))),
    }
}

fn of_floats(labels: Labels, values: Vec<f64>) -> Series {
    let mut points = Points::absent(values.len());
    values.into_iter().enumerate().for_each(|(i, v)| points.set_float(i, v));
    Series { labels, drop_name: false, points }
}

fn absent(ev: &Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Series>> {
    let mut series = of_floats(labels_of_absent(&call.args[0]), vec![1.0; grid.count]);
    ev.stream(&call.args[0], grid, &mut |present| {
        for i in 0..grid.count {
            if present.points.get(i).is_some() {
                series.points.clear(i);
            }
        }
        Ok(())
    })?;
    Ok(if series.points.is_absent() { Vec::new() } else { vec![series] })
}

/// The labels that what is absent would surely have: those that its selector asks for by `=`, once.
pub(super) fn labels_of_absent(arg: &Expr) -> Labels {
    let matchers = match arg {
        Expr::Vector(v) => &v.matchers,
        Expr::Matrix(m) => &m.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut labels = LabelsBuilder::default();
    let mut seen = HashSet::new();
    for m in matchers.iter().filter(|m| m.name != METRIC_NAME) {
        if m.op == MatchOp::Equal && seen.insert(&m.name) {
            labels.set(&m.name, &m.value);
        } else {
            labels.del(&m.name);
        }
    }
    labels.build()
}

fn timestamp(ev: &Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Series>> {
    let start = call.func.name == "start_timestamp";
    let mut all = Vec::new();
    match &call.args[0] {
        Expr::Vector(v) => {
            if start && !ev.options.start_timestamps {
                return Ok(all);
            }
            let want = if start { Want::StartTime } else { Want::Time };
            ev.stream_selector(v, want, None, grid, &mut |series| {
                all.push(std::mem::take(series));
                Ok(())
            })?;
        }
        other if start => ev.stream(other, grid, &mut |_| Ok(()))?,
        other => {
            // Of anything else, the time of evaluation.
            all = ev.vector(other, grid)?;
            for series in &mut all {
                for i in 0..grid.count {
                    if series.points.get(i).is_some() {
                        series.points.set_float(i, grid.time(i) as f64 / 1000.0);
                    }
                }
                series.points.histograms.clear();
            }
        }
    }
    all.iter_mut().for_each(|s| ev.drop_name(s));
    if ev.options.delayed_name_removal { Ok(all) } else { merge_same_labels(all, ev.interrupt) }
}

fn sort(ev: &Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Series>> {
    let name = call.func.name;
    let mut all = ev.vector(&call.args[0], grid)?;
    if !grid.single {
        ev.notes().sort_in_range_query(call.span);
    }
    if name.starts_with("sort_by_label") {
        let names: Vec<String> = call.args[1..].iter().map(|a| ev.string(a)).collect();
        let descending = name.ends_with("desc");
        sort_by(
            &mut all,
            || ev.interrupt.check(),
            |a, b| {
                let by_names = names.iter().map(|n| {
                    let get = |s: &Series| s.labels.get(n).unwrap_or("").to_string();
                    natural_order(&get(a), &get(b))
                });
                let order = by_names
                    .into_iter()
                    .find(|o| *o != Ordering::Equal)
                    .unwrap_or_else(|| a.labels.cmp(&b.labels));
                if descending { order.reverse() } else { order }
            },
        )?;
        return Ok(all);
    }
    // Histograms have no order.
    for series in &mut all {
        ev.interrupt.check()?;
        for i in 0..grid.count {
            if series.points.float(i).is_none() {
                series.points.clear(i);
            }
        }
    }
    all.retain(|s| !s.points.is_absent());
    if grid.single {
        let value = |s: &Series| s.points.floats[0];
        sort_by(
            &mut all,
            || ev.interrupt.check(),
            |a, b| {
                // NaN comes last either way.
                let (a, b) = (value(a), value(b));
                match (a.is_nan(), b.is_nan()) {
                    (false, false) if name == "sort" => sort_key(&a, &b),
                    (false, false) => sort_key(&b, &a),
                    (a_nan, b_nan) => a_nan.cmp(&b_nan),
                }
            },
        )?;
    }
    if !ev.options.delayed_name_removal && grid.single {
        let mut seen = HashSet::new();
        for series in &all {
            ev.interrupt.check()?;
            if !seen.insert(series.labels.clone()) {
                return Err(same_labelset());
            }
        }
    }
    Ok(all)
}

/// Compares texts by runs of digits and of other characters, numbers by value.
fn natural_order(a: &str, b: &str) -> Ordering {
    let digits = |s: &str| s.starts_with(|c: char| c.is_ascii_digit());
    let value = |s: &str| s.trim_start_matches('0').to_string();
    let (a, b) = (chunks(a), chunks(b));
    let pairs = a.iter().zip(&b).map(|(x, y)| {
        if !(digits(x) && digits(y)) {
            return x.cmp(y);
        }
        let (n, m) = (value(x), value(y));
        n.len().cmp(&m.len()).then_with(|| n.cmp(&m)).then_with(|| x.len().cmp(&y.len()))
    });
    pairs.into_iter().find(|o| *o != Ordering::Equal).unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn chunks(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
        out.push(&rest[..end]);
        rest = &rest[end..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order_compares_numbers_by_value() {
        assert_eq!(natural_order("node2", "node10"), Ordering::Less);
        assert_eq!(natural_order("a1b", "a1b"), Ordering::Equal);
        assert_eq!(natural_order("b", "a10"), Ordering::Greater);
        assert_eq!(natural_order("a", "a1"), Ordering::Less);
        assert_eq!(natural_order("10", "100000000000000000000000"), Ordering::Less);
        assert_eq!(natural_order("9", "100000000000000000000000"), Ordering::Less);
    }
}
