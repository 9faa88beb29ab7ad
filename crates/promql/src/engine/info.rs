//! `info(vector, selector)`: adds the labels of info metrics (such as `target_info`) to series with
//! the same `instance` and `job`.

use super::binary::braced;
use super::evaluate::{Evaluator, Result};
use super::select::{Reach, Reference, Want, What};
use super::values::{Grid, Points, Series};
use crate::ast::{At, Call, Expr, Modifiers, Span, ValueType};
use crate::query::QueryError;
use hashbrown::HashMap;
use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder, MatchOp, Matcher};
use std::collections::{BTreeMap, BTreeSet};

/// The labels by which series and info metrics are matched.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Whether all selectors below look at the same time, so that info metrics are looked up there.
pub(super) fn uniform_reference(expr: &Expr) -> bool {
    let mut found = Found::default();
    inspect(expr, &mut Vec::new(), &mut found);
    found.first.is_some() && !found.differs && !found.free
}

/// The time at which info metrics are looked up: that of the first argument's selectors, if they
/// agree.
fn reference(expr: &Expr) -> Reference {
    let mut found = Found::default();
    inspect(expr, &mut Vec::new(), &mut found);
    match found.first {
        Some(first) if !found.differs && !found.free => first,
        _ => Reference { at: None, offset: 0 },
    }
}

#[derive(Default)]
struct Found {
    first: Option<Reference>,
    differs: bool,
    /// Some vector comes from no selector.
    free: bool,
}

fn settled(modifiers: &Modifiers) -> Option<i64> {
    match modifiers.at {
        Some(At::Time(ms)) => Some(ms),
        _ => None,
    }
}

/// Walks the vectors of an expression; whether there was a selector.
fn inspect<'e>(expr: &'e Expr, subqueries: &mut Vec<&'e Modifiers>, found: &mut Found) -> bool {
    if !matches!(expr.value_type(), ValueType::Vector | ValueType::Matrix) {
        return false;
    }
    let modifiers = match expr {
        Expr::Vector(v) => Some(&v.modifiers),
        Expr::Matrix(m) => Some(&m.selector.modifiers),
        _ => None,
    };
    if let Some(modifiers) = modifiers {
        let mut own = Reference { at: settled(modifiers), offset: modifiers.offset_ms };
        // Subqueries around shift it, until an @ holds it.
        for outer in subqueries.iter().rev() {
            if own.at.is_some() {
                break;
            }
            own.offset += outer.offset_ms;
            own.at = settled(outer);
        }
        match &found.first {
            None => found.first = Some(own),
            Some(first) => {
                let same = match (first.at, own.at) {
                    (Some(a), Some(b)) => a - first.offset == b - own.offset,
                    (None, None) => first.offset == own.offset,
                    _ => false,
                };
                found.differs |= !same;
            }
        }
        return true;
    }
    if let Expr::Subquery(s) = expr {
        subqueries.push(&s.modifiers);
    }
    let mut any = false;
    for (i, child) in expr.children().into_iter().enumerate() {
        // The second argument of info is no vector that is evaluated.
        let skipped = i > 0 && matches!(expr, Expr::Call(c) if c.func.name == "info");
        any |= !skipped && inspect(child, subqueries, found);
    }
    if let Expr::Subquery(_) = expr {
        subqueries.pop();
    }
    found.free |= !any;
    any
}

/// Evaluates the call.
pub(super) fn info(ev: &Evaluator<'_>, call: &Call, grid: &Grid) -> Result<Vec<Series>> {
    let reference = reference(&call.args[0]);
    let base = ev.vector(&call.args[0], grid)?;
    let matchers: &[Matcher] = match call.args.get(1) {
        Some(Expr::Vector(v)) => &v.matchers,
        _ => &[],
    };
    let (names, data): (Vec<Matcher>, Vec<Matcher>) =
        matchers.iter().cloned().partition(|m| m.name == METRIC_NAME);
    let names = effective_names(names)?;
    // Info metrics themselves get nothing added.
    let ignored: Vec<bool> =
        base.iter().map(|s| names.iter().all(|m| m.matches(s.labels.metric()))).collect();
    let info = fetch(ev, &base, &ignored, &names, &data, reference, grid)?;
    let mut data_labels: BTreeMap<&str, Vec<&Matcher>> = BTreeMap::new();
    for m in &data {
        data_labels.entry(&m.name).or_default().push(m);
    }
    combine(ev, base, &ignored, &info, &data_labels, grid)
}

/// The conditions on the names of info metrics.
fn effective_names(mut names: Vec<Matcher>) -> Result<Vec<Matcher>> {
    if names.iter().any(|m| matches!(m.op, MatchOp::Equal | MatchOp::Regex)) {
        return Ok(names);
    }
    if names.is_empty() {
        return Ok(vec![Matcher::equal(METRIC_NAME, "target_info")]);
    }
    let all =
        Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info").map_err(QueryError::Execution)?;
    names.insert(0, all);
    Ok(names)
}

/// The info series that may match, with the times of their samples as values.
fn fetch(
    ev: &Evaluator<'_>,
    base: &[Series],
    ignored: &[bool],
    names: &[Matcher],
    data: &[Matcher],
    reference: Reference,
    grid: &Grid,
) -> Result<Vec<Series>> {
    // One selection for each pattern of present labels, with the values seen.
    let mut patterns: BTreeMap<[bool; 2], [BTreeSet<&str>; 2]> = BTreeMap::new();
    for (series, _) in base.iter().zip(ignored).filter(|(_, ignored)| !**ignored) {
        let values = IDENTIFYING.map(|n| series.labels.get(n).unwrap_or(""));
        let present = values.map(|v| !v.is_empty());
        if present.contains(&true) {
            let seen = patterns.entry(present).or_default();
            seen.iter_mut().zip(values).for_each(|(seen, v)| {
                seen.insert(v);
            });
        }
    }
    let mut out = Vec::new();
    for (present, values) in patterns {
        let mut matchers = Vec::new();
        for ((name, present), values) in IDENTIFYING.iter().zip(present).zip(values) {
            matchers.push(if present {
                let any: Vec<String> = values.into_iter().map(quote).collect();
                Matcher::new(MatchOp::Regex, name, &any.join("|")).map_err(QueryError::Execution)?
            } else {
                Matcher::equal(name, "")
            });
        }
        matchers.extend(data.iter().chain(names).cloned());
        let reach = Reach {
            before: ev.lookback,
            after: 0,
            range: 0,
            func: "info",
            counts_only: false,
            keep: None,
            span: Span::default(),
        };
        let what = What::whole(&matchers, reference);
        ev.read(&what, &reach, grid, &mut |labels, columns| {
            let mut points = Points::absent(grid.count);
            let want = Want::InfoTime;
            if ev.values_of(columns, reference, want, labels, grid, &mut points)? > 0 {
                out.push(Series { labels: labels.clone(), drop_name: false, points });
            }
            Ok(())
        })?;
    }
    Ok(out)
}

/// A text as a regular expression that matches just it.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// By which an info series is found: its name and the values of the identifying labels.
type Signature = (String, [String; 2]);

fn signature(name: &str, labels: &Labels) -> Signature {
    (name.into(), IDENTIFYING.map(|n| labels.get(n).unwrap_or("").to_string()))
}

fn combine(
    ev: &Evaluator<'_>,
    base: Vec<Series>,
    ignored: &[bool],
    info: &[Series],
    data_labels: &BTreeMap<&str, Vec<&Matcher>>,
    grid: &Grid,
) -> Result<Vec<Series>> {
    let metrics: BTreeSet<&str> = info.iter().map(|s| s.labels.metric()).collect();
    let signatures: Vec<Signature> =
        info.iter().map(|s| signature(s.labels.metric(), &s.labels)).collect();
    let mut out: Vec<Series> = Vec::new();
    let mut index: HashMap<Labels, usize> = HashMap::new();
    for i in 0..grid.count {
        ev.interrupt.check()?;
        if base.iter().all(|s| s.points.get(i).is_none()) {
            continue;
        }
        let newest = newest(info, &signatures, i)?;
        for (series, ignored) in base.iter().zip(ignored) {
            let Some(point) = series.points.get(i) else { continue };
            let labels = if *ignored {
                series.labels.clone()
            } else {
                match enriched(&series.labels, &metrics, &newest, data_labels)? {
                    Some(labels) => labels,
                    None => continue,
                }
            };
            let at = *index.entry(labels).or_insert_with_key(|labels| {
                let (labels, points) = (labels.clone(), Points::absent(grid.count));
                out.push(Series { labels, drop_name: series.drop_name, points });
                out.len() - 1
            });
            if out[at].points.get(i).is_some() {
                return Err(super::same_labelset());
            }
            out[at].points.set_point(i, point);
        }
    }
    Ok(out)
}

/// The newest info series of each signature at time `i`.
fn newest<'s>(
    info: &'s [Series],
    signatures: &'s [Signature],
    i: usize,
) -> Result<HashMap<&'s Signature, &'s Series>> {
    let mut newest: HashMap<&Signature, (&Series, f64)> = HashMap::new();
    for (series, signature) in info.iter().zip(signatures) {
        let Some(time) = series.points.float(i) else { continue };
        match newest.get(signature) {
            Some((_, known)) if *known > time => {}
            Some((other, known)) if *known == time => {
                return Err(QueryError::Execution(format!(
                    "found duplicate series for info metric: existing {} @ {}, new {} @ {}",
                    braced(&other.labels),
                    *known as i64,
                    braced(&series.labels),
                    time as i64
                )));
            }
            _ => {
                newest.insert(signature, (series, time));
            }
        }
    }
    Ok(newest.into_iter().map(|(k, v)| (k, v.0)).collect())
}

/// The labels with those of info series added; `None` where a required label is found nowhere.
fn enriched(
    base: &Labels,
    metrics: &BTreeSet<&str>,
    newest: &HashMap<&Signature, &Series>,
    data_labels: &BTreeMap<&str, Vec<&Matcher>>,
) -> Result<Option<Labels>> {
    let mut added: BTreeMap<&str, &str> = BTreeMap::new();
    let mut any = false;
    for metric in metrics {
        let Some(info) = newest.get(&signature(metric, base)) else { continue };
        any = true;
        for (name, value) in info.labels.iter() {
            if name == METRIC_NAME || !data_labels.is_empty() && !data_labels.contains_key(name) {
                continue;
            }
            if added.get(name).is_some_and(|known| *known != value) {
                return Err(QueryError::Execution(format!("conflicting label: {name}")));
            }
            if base.get(name).is_none() {
                added.insert(name, value);
            }
        }
    }
    if !any && data_labels.values().flatten().any(|m| !m.matches("")) {
        return Ok(None);
    }
    let mut labels: LabelsBuilder = base.builder();
    for (name, value) in added {
        labels.set(name, value);
    }
    Ok(Some(labels.build()))
}
