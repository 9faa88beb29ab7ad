//! Binary operators between scalars, between vectors and scalars, and between vectors.

use super::evaluate::{Evaluator, Result};
use super::merge_same_labels;
use super::values::{Grid, Kind, Point, Points, Series, is_metadata_label};
use crate::annotations::{Annotations, Operation};
use crate::ast::{Binary, BinaryOp, Cardinality, Matching, Span, ValueType};
use crate::query::QueryError;
use hashbrown::{HashMap, HashSet};
use model::histogram::ResetHint;
use model::labels::{METRIC_NAME, Quoted, is_label_name};
use model::{Histogram, Labels, Value};
use std::sync::Arc;

/// An operator between two scalars; comparisons give 0 or 1.
pub(super) fn scalars(op: BinaryOp, l: f64, r: f64) -> f64 {
    match arithmetic(op, l, r) {
        Some(value) => value,
        None => f64::from(u8::from(compare(op, l, r))),
    }
}

fn arithmetic(op: BinaryOp, l: f64, r: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Mul => l * r,
        BinaryOp::Div => l / r,
        BinaryOp::Mod => l % r,
        BinaryOp::Pow => l.powf(r),
        BinaryOp::Atan2 => l.atan2(r),
        _ => return None,
    })
}

fn compare(op: BinaryOp, l: f64, r: f64) -> bool {
    match op {
        BinaryOp::Equal => l == r,
        BinaryOp::NotEqual => l != r,
        BinaryOp::Less => l < r,
        BinaryOp::LessEqual => l <= r,
        BinaryOp::Greater => l > r,
        BinaryOp::GreaterEqual => l >= r,
        _ => false,
    }
}

fn changes_meaning(op: BinaryOp) -> bool {
    arithmetic(op, 1.0, 1.0).is_some()
}

/// Evaluates an operator of which at least one side is a vector.
pub(super) fn binary(
    ev: &Evaluator<'_>,
    e: &Binary,
    span: Span,
    grid: &Grid,
) -> Result<Vec<Series>> {
    let side = |vector: &crate::ast::Expr,
                scalar: &crate::ast::Expr,
                swapped: bool|
     -> Result<(Vec<Series>, Vec<f64>)> {
        // Left before right, as errors come in that order.
        if swapped {
            let values = ev.scalar(scalar, grid)?;
            Ok((ev.vector(vector, grid)?, values))
        } else {
            let series = ev.vector(vector, grid)?;
            Ok((series, ev.scalar(scalar, grid)?))
        }
    };
    match (e.lhs.value_type(), e.rhs.value_type()) {
        (ValueType::Vector, ValueType::Scalar) => {
            let (all, values) = side(&e.lhs, &e.rhs, false)?;
            with_scalar(ev, e, span, all, &values, false, grid)
        }
        (ValueType::Scalar, ValueType::Vector) => {
            let (all, values) = side(&e.rhs, &e.lhs, true)?;
            with_scalar(ev, e, span, all, &values, true, grid)
        }
        _ => {
            let (lhs, rhs) = (ev.vector(&e.lhs, grid)?, ev.vector(&e.rhs, grid)?);
            let matching = e.matching.clone().unwrap_or_default();
            if e.op.is_set() {
                return set(ev, e.op, &matching, lhs, rhs, grid);
            }
            Join::new(ev, e, &matching, span, grid).run(lhs, rhs)
        }
    }
}

fn with_scalar(
    ev: &Evaluator<'_>,
    e: &Binary,
    span: Span,
    mut all: Vec<Series>,
    scalars: &[f64],
    swapped: bool,
    grid: &Grid,
) -> Result<Vec<Series>> {
    let renames = changes_meaning(e.op) || e.return_bool;
    let mut remarks: Vec<Option<Remark>> = vec![None; grid.count];
    for series in &mut all {
        ev.interrupt.check()?;
        let plain = series.points.histograms.is_empty() && !e.op.is_comparison() && renames;
        if plain && !e.return_bool {
            // Arithmetic on floats alone.
            let floats = series.points.floats.iter_mut().zip(scalars);
            if swapped {
                floats.for_each(|(v, s)| *v = arithmetic(e.op, *s, *v).unwrap_or(*v));
            } else {
                floats.for_each(|(v, s)| *v = arithmetic(e.op, *v, *s).unwrap_or(*v));
            }
        } else {
            let mut points = Points::absent(grid.count);
            for i in 0..grid.count {
                ev.pause(i)?;
                let Some(point) = series.points.get(i) else { continue };
                let scalar = Point::Float(scalars[i]);
                let (l, r) = if swapped { (scalar, point) } else { (point, scalar) };
                let outcome = elements(e.op, l, r, &mut remarks[i]);
                let Some((value, mut keep)) = outcome else { continue };
                let mut value = value;
                if e.op.is_comparison() && swapped {
                    // The vector's own value stays, on whichever side it stands.
                    value = own(point);
                }
                if e.return_bool {
                    value = Value::Float(f64::from(u8::from(keep)));
                    keep = true;
                }
                if keep {
                    points.set(i, value);
                }
            }
            series.points = points;
        }
        if renames {
            ev.drop_name(series);
        }
    }
    remarks.into_iter().flatten().for_each(|r| r.note(e.op, span, &mut ev.notes()));
    all.retain(|s| !s.points.is_absent());
    if ev.options.delayed_name_removal || !renames {
        Ok(all)
    } else {
        merge_same_labels(all, ev.interrupt)
    }
}

fn own(point: Point<'_>) -> Value {
    match point {
        Point::Float(f) => Value::Float(f),
        Point::Histogram(h) => Value::Histogram(h.clone()),
    }
}

/// What is to be said about an operation. Of all elements of a time, only the last is.
#[derive(Clone, Copy)]
enum Remark {
    Types(&'static str, &'static str),
    Layout,
    Collision(Operation),
    Reconciled(Operation),
}

impl Remark {
    fn note(self, op: BinaryOp, span: Span, notes: &mut Annotations) {
        match self {
            Remark::Types(l, r) => notes.incompatible_types(l, op.as_str(), r, span),
            Remark::Layout => notes.incompatible_layout(op.as_str(), span),
            Remark::Collision(operation) => notes.reset_collision(span, operation),
            Remark::Reconciled(operation) => notes.bounds_reconciled(span, operation),
        }
    }
}

/// An operator between two elements: the value, and whether a comparison holds. `None` where it makes
/// no sense, which is remarked.
fn elements(
    op: BinaryOp,
    l: Point<'_>,
    r: Point<'_>,
    remark: &mut Option<Remark>,
) -> Option<(Value, bool)> {
    let kind = |p: Point<'_>| match p {
        Point::Float(_) => "float",
        Point::Histogram(_) => "histogram",
    };
    let changed = |h: &Histogram, change: &dyn Fn(&mut Histogram), compact: bool| {
        let mut h = h.clone();
        change(&mut h);
        if compact {
            h.compact();
        }
        Some((Value::Histogram(Arc::new(h)), true))
    };
    match (l, r) {
        (Point::Float(l), Point::Float(r)) => {
            if let Some(value) = arithmetic(op, l, r) {
                return Some((Value::Float(value), true));
            }
            if op.is_comparison() {
                return Some((Value::Float(l), compare(op, l, r)));
            }
        }
        (Point::Float(l), Point::Histogram(r)) if op == BinaryOp::Mul => {
            return changed(r, &|h| h.scale(l), true);
        }
        (Point::Histogram(l), Point::Float(r)) => match op {
            BinaryOp::Mul => return changed(l, &|h| h.scale(r), true),
            BinaryOp::Div => return changed(l, &|h| h.divide(r), true),
            BinaryOp::TrimUpper => return changed(l, &|h| h.trim(r, true), false),
            BinaryOp::TrimLower => return changed(l, &|h| h.trim(r, false), false),
            _ => {}
        },
        (Point::Histogram(l), Point::Histogram(r)) => match op {
            BinaryOp::Add | BinaryOp::Sub => return combine(op, l, r, remark),
            BinaryOp::Equal => return Some((Value::Histogram(l.clone()), l.same_value(r))),
            BinaryOp::NotEqual => return Some((Value::Histogram(l.clone()), !l.same_value(r))),
            _ => {}
        },
        _ => {}
    }
    *remark = Some(Remark::Types(kind(l), kind(r)));
    None
}

fn combine(
    op: BinaryOp,
    l: &Histogram,
    r: &Histogram,
    remark: &mut Option<Remark>,
) -> Option<(Value, bool)> {
    let mut h = l.clone();
    let (combined, operation) = if op == BinaryOp::Add {
        (h.add(r), Operation::Addition)
    } else {
        (h.sub(r), Operation::Subtraction)
    };
    let Ok(combined) = combined else {
        *remark = Some(Remark::Layout);
        return None;
    };
    if op == BinaryOp::Sub {
        h.reset_hint = ResetHint::Gauge;
    }
    if combined.reset_collision {
        *remark = Some(Remark::Collision(operation));
        return None;
    }
    if combined.bounds_reconciled {
        *remark = Some(Remark::Reconciled(operation));
    }
    h.compact();
    Some((Value::Histogram(Arc::new(h)), true))
}

/// Numbers label sets by what they are matched by.
struct Signatures<'a> {
    names: Vec<&'a str>,
    on: bool,
    known: HashMap<Vec<u8>, usize>,
    /// Used again and again.
    key: Vec<u8>,
}

impl<'a> Signatures<'a> {
    fn new(matching: &'a Matching) -> Signatures<'a> {
        let mut names: Vec<&str> = matching.labels.iter().map(String::as_str).collect();
        if !matching.on {
            names.push(METRIC_NAME);
        }
        Signatures { names, on: matching.on, known: HashMap::new(), key: Vec::new() }
    }

    fn number(&mut self, labels: &Labels) -> usize {
        let key = &mut self.key;
        key.clear();
        for (name, value) in labels.iter().filter(|l| self.names.contains(&l.0) == self.on) {
            for part in [name, value] {
                key.extend_from_slice(part.as_bytes());
                key.push(0xff);
            }
        }
        let next = self.known.len();
        *self.known.entry_ref(key.as_slice()).or_insert(next)
    }

    fn all(&mut self, ev: &Evaluator<'_>, series: &[Series]) -> Result<Vec<usize>> {
        let each = series.iter().enumerate().map(|(i, s)| {
            ev.pause(i)?;
            Ok(self.number(&s.labels))
        });
        each.collect()
    }
}

/// `and`, `or`, `unless`.
fn set(
    ev: &Evaluator<'_>,
    op: BinaryOp,
    matching: &Matching,
    mut lhs: Vec<Series>,
    mut rhs: Vec<Series>,
    grid: &Grid,
) -> Result<Vec<Series>> {
    let mut signatures = Signatures::new(matching);
    let (left, right) = (signatures.all(ev, &lhs)?, signatures.all(ev, &rhs)?);
    let count = signatures.known.len();
    let (others, numbers) = if op == BinaryOp::Or { (&lhs, &left) } else { (&rhs, &right) };
    // Which signatures the other side has, time by time.
    ev.hold_bytes(count.saturating_mul(grid.count))?;
    let mut present = vec![false; count * grid.count];
    for (series, number) in others.iter().zip(numbers) {
        ev.interrupt.check()?;
        for (i, kind) in series.points.kinds.iter().enumerate() {
            present[number * grid.count + i] |= *kind != Kind::None;
        }
    }
    let (filtered, numbers) = if op == BinaryOp::Or { (&mut rhs, right) } else { (&mut lhs, left) };
    for (series, number) in filtered.iter_mut().zip(numbers) {
        ev.interrupt.check()?;
        for i in 0..grid.count {
            if present[number * grid.count + i] != (op == BinaryOp::And) {
                series.points.clear(i);
            }
        }
    }
    filtered.retain(|s| !s.points.is_absent());
    if op != BinaryOp::Or {
        return Ok(lhs);
    }
    lhs.extend(rhs);
    if ev.options.delayed_name_removal && grid.single {
        Ok(lhs)
    } else {
        merge_same_labels(lhs, ev.interrupt)
    }
}

/// An operator between two vectors.
struct Join<'a> {
    ev: &'a Evaluator<'a>,
    e: &'a Binary,
    matching: &'a Matching,
    span: Span,
    grid: &'a Grid,
    out: Vec<Series>,
    /// Pairs of elements so far.
    pairs: usize,
    remark: Option<Remark>,
    /// Where the result of two label sets goes.
    by_pair: HashMap<(Labels, Labels), usize>,
    by_labels: HashMap<Labels, usize>,
}

/// The element of a side at a time.
#[derive(Clone, Copy)]
enum Element<'s> {
    Of(&'s Series),
    /// A value for what is missing, with the labels that it was matched by.
    Filled(&'s Labels, f64),
}

impl Element<'_> {
    fn point(&self, i: usize) -> Option<Point<'_>> {
        match self {
            Element::Of(s) => s.points.get(i),
            Element::Filled(_, value) => Some(Point::Float(*value)),
        }
    }

    fn labels(&self) -> &Labels {
        match self {
            Element::Of(s) => &s.labels,
            Element::Filled(labels, _) => labels,
        }
    }
}

impl<'a> Join<'a> {
    fn new(
        ev: &'a Evaluator<'a>,
        e: &'a Binary,
        matching: &'a Matching,
        span: Span,
        grid: &'a Grid,
    ) -> Join<'a> {
        let (out, by_pair, by_labels) = (Vec::new(), HashMap::new(), HashMap::new());
        Join { ev, e, matching, span, grid, out, pairs: 0, remark: None, by_pair, by_labels }
    }

    fn run(mut self, lhs: Vec<Series>, rhs: Vec<Series>) -> Result<Vec<Series>> {
        let one_to_many = self.matching.card == Cardinality::OneToMany;
        // From here on the right side is the one of which there is one.
        let (many, one) = if one_to_many { (rhs, lhs) } else { (lhs, rhs) };
        let mut signatures = Signatures::new(self.matching);
        let (many_numbers, one_numbers) =
            (signatures.all(self.ev, &many)?, signatures.all(self.ev, &one)?);
        let count = signatures.known.len();
        let keys =
            |all: &[Series]| -> Vec<Labels> { all.iter().map(|s| self.key(&s.labels)).collect() };
        let (fill_one, fill_many) = (self.matching.fill_right, self.matching.fill_left);
        let many_keys = if fill_one.is_some() { keys(&many) } else { Vec::new() };
        let one_keys = if fill_many.is_some() { keys(&one) } else { Vec::new() };
        let mut one_at: Vec<Option<usize>> = vec![None; count];
        let mut matched: Vec<bool> = vec![false; count];
        let mut inserted: HashSet<(usize, Labels)> = HashSet::new();
        for i in 0..self.grid.count {
            self.ev.interrupt.check()?;
            self.note_remark();
            one_at.fill(None);
            matched.fill(false);
            inserted.clear();
            let present = |s: &Series| s.points.kinds[i] != Kind::None;
            // With nothing on one side and nothing to fill in, there is nothing to complain about.
            let (any_many, any_one) = (many.iter().any(present), one.iter().any(present));
            let fills = fill_one.is_some() || fill_many.is_some();
            if !(any_many && any_one || fills && (any_many || any_one)) {
                continue;
            }
            for (at, number) in one_numbers.iter().enumerate().filter(|(at, _)| present(&one[*at]))
            {
                if let Some(other) = one_at[*number].replace(at) {
                    return Err(self.duplicate(&one[at].labels, &one[other].labels));
                }
            }
            for (at, number) in
                many_numbers.iter().enumerate().filter(|(at, _)| present(&many[*at]))
            {
                let other = match (one_at[*number], fill_one) {
                    (Some(at), _) => Element::Of(&one[at]),
                    (None, Some(value)) => Element::Filled(&many_keys[at], value),
                    (None, None) => continue,
                };
                let element = Element::Of(&many[at]);
                self.pair(element, other, *number, i, &mut matched, &mut inserted)?;
            }
            let Some(value) = fill_many else { continue };
            for (at, number) in one_numbers.iter().enumerate().filter(|(at, _)| present(&one[*at]))
            {
                if matched[*number] {
                    continue;
                }
                let element = Element::Filled(&one_keys[at], value);
                self.pair(element, Element::Of(&one[at]), *number, i, &mut matched, &mut inserted)?;
            }
        }
        self.note_remark();
        self.out.retain(|s| !s.points.is_absent());
        Ok(self.out)
    }

    fn note_remark(&mut self) {
        if let Some(remark) = self.remark.take() {
            remark.note(self.e.op, self.span, &mut self.ev.notes());
        }
    }

    /// The labels by which a series is matched.
    fn key(&self, labels: &Labels) -> Labels {
        let m = self.matching;
        labels.without(|n| {
            let named = m.labels.iter().any(|l| l == n);
            if m.on { !named } else { named || n == METRIC_NAME }
        })
    }

    fn duplicate(&self, a: &Labels, b: &Labels) -> QueryError {
        let side = if self.matching.card == Cardinality::OneToMany { "left" } else { "right" };
        let group = self.key(a);
        let mut both = [braced(a), braced(b)];
        both.sort();
        QueryError::Execution(format!(
            "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
            braced(&group),
            both[0],
            both[1]
        ))
    }

    fn pair(
        &mut self,
        many: Element<'_>,
        one: Element<'_>,
        number: usize,
        i: usize,
        matched: &mut [bool],
        inserted: &mut HashSet<(usize, Labels)>,
    ) -> Result<()> {
        let (Some(m), Some(o)) = (many.point(i), one.point(i)) else { return Ok(()) };
        let (l, r) = if self.matching.card == Cardinality::OneToMany { (o, m) } else { (m, o) };
        let outcome = elements(self.e.op, l, r, &mut self.remark);
        let Some((mut value, keep)) = outcome else { return Ok(()) };
        if self.e.return_bool {
            value = Value::Float(f64::from(u8::from(keep)));
        }
        let known = self.out.len();
        let labels = self.result_labels(many.labels(), one.labels());
        if self.out.len() > known {
            self.ev.interrupt.check()?;
            // Its labels, and those of the pair, stand in the tables of this join as well.
            self.ev.hold_bytes(9 * self.grid.count + 4 * many.labels().bytes())?;
        }
        self.pairs += 1;
        self.ev.pause(self.pairs)?;
        let fail = |text: &str| Err(QueryError::Execution(text.into()));
        if self.matching.card == Cardinality::OneToOne {
            if matched[number] {
                return fail(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                );
            }
        } else if !inserted.insert((number, self.out[labels].labels.clone())) {
            return fail("multiple matches for labels: grouping labels must ensure unique matches");
        }
        matched[number] = true;
        if !keep && !self.e.return_bool {
            return Ok(());
        }
        let series = &mut self.out[labels];
        if series.points.kinds[i] != Kind::None {
            return Err(super::same_labelset());
        }
        series.points.set(i, value);
        Ok(())
    }

    /// The series into which a pair's results go.
    fn result_labels(&mut self, many: &Labels, one: &Labels) -> usize {
        let pair = (many.clone(), one.clone());
        if let Some(at) = self.by_pair.get(&pair) {
            return *at;
        }
        let drop_now = !self.ev.options.delayed_name_removal && self.e.return_bool;
        let drop = drop_now || changes_meaning(self.e.op);
        let m = self.matching;
        let one_to_one = m.card == Cardinality::OneToOne;
        let mut labels = many.without(|n| {
            let named = m.labels.iter().any(|l| l == n);
            drop && is_metadata_label(n) || one_to_one && named != m.on
        });
        if !m.include.is_empty() {
            let mut builder = labels.builder();
            for name in &m.include {
                builder.set(name, one.get(name).unwrap_or(""));
            }
            labels = builder.build();
        }
        let at = *self.by_labels.entry(labels).or_insert_with_key(|labels| {
            let (labels, drop_name) = (labels.clone(), self.e.return_bool);
            let points = Points::absent(self.grid.count);
            self.out.push(Series { labels, drop_name, points });
            self.out.len() - 1
        });
        self.by_pair.insert(pair, at);
        at
    }
}

/// A label set as Prometheus's errors print it: all in braces, the name too.
pub(super) fn braced(labels: &Labels) -> String {
    let parts: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            if is_label_name(name) {
                format!("{name}={}", Quoted(value))
            } else {
                format!("{}={}", Quoted(name), Quoted(value))
            }
        })
        .collect();
    format!("{{{}}}", parts.join(", "))
}
