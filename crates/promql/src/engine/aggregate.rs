//! Aggregations that give one series a group: each series is folded into its group as it comes, so
//! that memory grows with groups, not with series.

use super::aggregate_pick;
use super::evaluate::{Evaluator, Result};
use super::functions::{go_max, go_min};
use super::over_time::{HistogramTotal, Mean};
use super::quantile::quantile_of;
use super::values::{Grid, Point, Points, Series, is_metadata_label};
use crate::annotations::Operation;
use crate::ast::{Aggregate, AggregateOp, Span};
use hashbrown::HashMap;
use model::histogram::kahan_add;
use model::labels::METRIC_NAME;
use model::{Histogram, Labels};
use std::sync::Arc;

/// Evaluates an aggregation.
pub(super) fn aggregate(ev: &Evaluator<'_>, e: &Aggregate, grid: &Grid) -> Result<Vec<Series>> {
    use AggregateOp::{Bottomk, CountValues, LimitRatio, Limitk, Quantile, Topk};
    match e.op {
        CountValues => return aggregate_pick::count_values(ev, e, grid),
        Topk | Bottomk | Limitk | LimitRatio => return aggregate_pick::pick(ev, e, grid),
        _ => {}
    }
    let mut quantiles = Vec::new();
    if let Some(param) = &e.param {
        quantiles = ev.scalar(param, grid)?;
    }
    let mut groups = Groups::new(&e.grouping, e.without);
    let mut states: Vec<Vec<State>> = Vec::new();
    let mut drop_names: Vec<bool> = Vec::new();
    let fold = Fold { ev, op: e.op, span: e.expr.span() };
    // Labels that say what a metric is matter only where they are asked for.
    let named = e.without || e.grouping.iter().any(|g| is_metadata_label(g));
    let looked_at = (!named).then(|| Arc::from(e.grouping.as_slice()));
    ev.stream_for(looked_at, &e.expr, grid, &mut |series| {
        let at = groups.index(&series.labels);
        if at == states.len() {
            ev.hold(grid.count)?;
            ev.hold_bytes(grid.count * size_of::<State>() + 2 * series.labels.bytes())?;
            states.push(vec![State::default(); grid.count]);
            drop_names.push(false);
        }
        drop_names[at] |= series.drop_name;
        fold.series(&mut states[at], series);
        Ok(())
    })?;
    if let Some(param) = e.param.as_ref().filter(|_| e.op == Quantile) {
        warn_of_quantiles(ev, &quantiles, param.span());
    }
    let mut out = Vec::with_capacity(states.len());
    for ((states, labels), drop_name) in states.into_iter().zip(groups.labels).zip(drop_names) {
        let mut points = Points::absent(grid.count);
        for (i, state) in states.into_iter().enumerate() {
            ev.interrupt.check()?;
            fold.finish(state, quantiles.get(i).copied().unwrap_or(0.0), i, &mut points);
        }
        if !points.is_absent() {
            out.push(Series { labels, drop_name, points });
        }
    }
    Ok(out)
}

fn warn_of_quantiles(ev: &Evaluator<'_>, quantiles: &[f64], span: Span) {
    let mut notes = ev.notes();
    if quantiles.iter().any(|q| q.is_nan()) {
        notes.invalid_quantile(f64::NAN, span);
    }
    let (min, max) = bounds(quantiles);
    if max > 1.0 {
        notes.invalid_quantile(max, span);
    }
    if min < 0.0 {
        notes.invalid_quantile(min, span);
    }
}

/// The least and the greatest of values; NaN if any is.
pub(super) fn bounds(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::MAX, f64::MIN), |(min, max), v| (go_min(min, *v), go_max(max, *v)))
}

/// The groups that series fall into, in the order of their first series.
pub(super) struct Groups {
    /// Sorted, each once.
    names: Vec<String>,
    without: bool,
    /// By the values of the grouping labels.
    by_key: HashMap<Vec<u8>, usize>,
    /// The labels of each group.
    pub labels: Vec<Labels>,
    key: Vec<u8>,
}

impl Groups {
    pub fn new(grouping: &[String], without: bool) -> Groups {
        let mut names = grouping.to_vec();
        if without {
            names.push(METRIC_NAME.into());
        }
        names.sort();
        names.dedup();
        let (by_key, labels, key) = (HashMap::new(), Vec::new(), Vec::new());
        Groups { names, without, by_key, labels, key }
    }

    /// The group of a series.
    pub fn index(&mut self, labels: &Labels) -> usize {
        self.key.clear();
        if !self.names.is_empty() || self.without {
            for (name, value) in labels.iter() {
                let named = self.names.iter().any(|n| n == name);
                if named != self.without {
                    for part in [name, value] {
                        self.key.extend_from_slice(part.as_bytes());
                        self.key.push(0xff);
                    }
                }
            }
        }
        if let Some(at) = self.by_key.get(&self.key) {
            return *at;
        }
        let kept = labels.without(|n| self.names.iter().any(|name| name == n) == self.without);
        self.labels.push(kept);
        let at = self.labels.len() - 1;
        self.by_key.insert(self.key.clone(), at);
        at
    }
}

/// What a group has gathered at one time.
#[derive(Clone, Debug, Default)]
struct State {
    seen: bool,
    has_float: bool,
    has_histogram: bool,
    /// Histograms that do not go together were seen.
    incompatible: bool,
    value: f64,
    /// What rounding lost of a sum; the mean for variances.
    aside: f64,
    count: f64,
    /// Only where the aggregation needs more than a few numbers.
    more: Option<Box<More>>,
}

#[derive(Clone, Debug)]
enum More {
    Histograms(Box<HistogramTotal>),
    Mean(Mean),
    Values(Vec<f64>),
}

struct Fold<'a> {
    ev: &'a Evaluator<'a>,
    op: AggregateOp,
    span: Span,
}

impl Fold<'_> {
    fn series(&self, states: &mut [State], series: &Series) {
        let points = &series.points;
        if points.histograms.is_empty() && self.op == AggregateOp::Sum {
            // The most frequent case by far.
            for ((state, kind), value) in states.iter_mut().zip(&points.kinds).zip(&points.floats) {
                if *kind == super::values::Kind::Float && !state.incompatible {
                    add_float(state, *value);
                }
            }
            return;
        }
        for (i, state) in states.iter_mut().enumerate() {
            match points.get(i) {
                Some(Point::Float(value)) => self.float(state, value),
                Some(Point::Histogram(h)) => self.histogram(state, h, series.labels.metric()),
                None => {}
            }
        }
    }

    fn float(&self, s: &mut State, v: f64) {
        if s.incompatible {
            return;
        }
        let first = !s.seen;
        match self.op {
            AggregateOp::Sum => return add_float(s, v),
            AggregateOp::Avg => {
                s.has_float = true;
                match s.more.as_deref_mut() {
                    Some(More::Mean(mean)) => mean.add(v),
                    Some(_) => {}
                    None => s.more = Some(Box::new(More::Mean(Mean::new(v)))),
                }
            }
            AggregateOp::Min if first || s.value > v || s.value.is_nan() => s.value = v,
            AggregateOp::Max if first || s.value < v || s.value.is_nan() => s.value = v,
            AggregateOp::Group => s.value = 1.0,
            AggregateOp::Stddev | AggregateOp::Stdvar if first => {
                s.value = if v.is_finite() { 0.0 } else { f64::NAN };
                s.aside = v;
            }
            AggregateOp::Stddev | AggregateOp::Stdvar => {
                let delta = v - s.aside;
                s.aside += delta / (s.count + 1.0);
                s.value += delta * (v - s.aside);
            }
            AggregateOp::Quantile => match s.more.as_deref_mut() {
                Some(More::Values(values)) => values.push(v),
                _ => s.more = Some(Box::new(More::Values(vec![v]))),
            },
            _ => {}
        }
        s.seen = true;
        s.count += 1.0;
    }

    fn histogram(&self, s: &mut State, h: &Arc<Histogram>, metric: &str) {
        if s.incompatible {
            return;
        }
        match self.op {
            AggregateOp::Sum | AggregateOp::Avg => {
                s.has_histogram = true;
                match s.more.as_deref_mut() {
                    Some(More::Histograms(total)) => {
                        let added = total.add(h, self.op == AggregateOp::Avg);
                        s.incompatible = added.is_err();
                        if s.incompatible {
                            self.ev.notes().mixed_schemas(metric, self.span);
                        }
                    }
                    // With floats before it, the group has no value anyway.
                    None if !s.has_float => {
                        s.more = Some(Box::new(More::Histograms(Box::new(HistogramTotal::new(h)))));
                    }
                    _ => {}
                }
            }
            AggregateOp::Group => s.value = 1.0,
            AggregateOp::Count => {}
            op => {
                let name = op.as_str();
                self.ev.notes().histogram_ignored_in_aggregation(name, self.span);
                return;
            }
        }
        s.seen = true;
        s.count += 1.0;
    }

    fn finish(&self, s: State, q: f64, i: usize, points: &mut Points) {
        if !s.seen {
            return;
        }
        if let Some(More::Histograms(total)) = s.more.as_deref() {
            let mut notes = self.ev.notes();
            if total.bounds_reconciled {
                notes.bounds_reconciled(self.span, Operation::Aggregation);
            }
            if total.collided() && !s.has_float && !s.incompatible {
                notes.reset_collision(self.span, Operation::Aggregation);
            }
        }
        if s.has_float && s.has_histogram {
            self.ev.notes().mixed_aggregation(self.span);
            return;
        }
        if s.incompatible {
            return;
        }
        let value = match (self.op, s.more.map(|m| *m)) {
            (AggregateOp::Sum, Some(More::Histograms(total))) => {
                return points.set_histogram(i, Arc::new(total.sum(true)));
            }
            (AggregateOp::Avg, Some(More::Histograms(total))) => {
                return points.set_histogram(i, Arc::new(total.average(true)));
            }
            (AggregateOp::Avg, Some(More::Mean(mean))) => mean.value(),
            (AggregateOp::Quantile, Some(More::Values(mut values))) => quantile_of(q, &mut values),
            (AggregateOp::Sum, _) => s.value + s.aside,
            (AggregateOp::Count, _) => s.count,
            (AggregateOp::Stdvar, _) => s.value / s.count,
            (AggregateOp::Stddev, _) => (s.value / s.count).sqrt(),
            _ => s.value,
        };
        points.set_float(i, value);
    }
}

#[inline]
fn add_float(s: &mut State, v: f64) {
    if s.seen {
        (s.value, s.aside) = kahan_add(v, s.value, s.aside);
    } else {
        s.value = v;
    }
    s.seen = true;
    s.has_float = true;
}

#[cfg(test)]
mod tests {
    use crate::Engine;
    use crate::promqltest::MemoryStore;
    use model::histogram::{CUSTOM_BOUNDS_SCHEMA, Span};
    use model::{Histogram, Labels, Sample, Value};
    use std::sync::Arc;

    #[test]
    fn what_follows_histograms_that_do_not_go_together_does_not_count() {
        let exponential = Histogram {
            count: 1.0,
            sum: 1.0,
            positive_spans: vec![Span { offset: 0, length: 1 }],
            positive_buckets: vec![1.0],
            ..Histogram::default()
        };
        let bounds = vec![1.0].into();
        let custom = Histogram {
            schema: CUSTOM_BOUNDS_SCHEMA,
            custom_bounds: bounds,
            ..exponential.clone()
        };
        let mut store = MemoryStore::default();
        for (name, value) in [
            ("h", Value::Histogram(Arc::new(exponential))),
            ("i", Value::Histogram(Arc::new(custom))),
            ("m", Value::Float(1.0)),
        ] {
            let labels = Labels::from_pairs([("__name__", name)]);
            store.append(&labels, Sample { time_ms: 0, start_ms: 0, value });
        }
        for op in ["sum", "avg"] {
            let query = format!("{op}({{__name__=~\"h|i|m\"}})");
            let result = Engine::default().instant(&store, &query, 0, &Default::default()).unwrap();
            assert_eq!(result.value.series(), 0, "{query}");
            let wanted = "PromQL warning: vector contains a mix of histograms with exponential and \
                          custom buckets schemas for metric name \"i\" (1:5)";
            assert_eq!(result.warnings, [wanted], "{query}");
        }
    }
}
