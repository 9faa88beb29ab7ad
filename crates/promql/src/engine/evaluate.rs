//! Evaluates expressions: every kind of expression ends here, and series stream from here to whatever
//! folds or collects them.

use super::account::{Counted, Looked};
use super::explain::Tracer;
use super::over_time::{self, Kernel, Step};
use super::rate::Windows;
use super::select::{Reach, Reference, Want, What};
use super::shared::Shared;
use super::values::{Evaluated, Grid, Kind, Point, Points, RangeSeries, Series, is_metadata_label};
use super::window::{Bounds, Samples};
use super::{aggregate, binary, functions, label_functions, merge_same_labels, same_labelset};
use crate::annotations::Annotations;
use crate::ast::{BinaryOp, Call, Expr, MatrixSelector, Span, Subquery, ValueType};
use crate::memory::Reserved;
use crate::query::{EngineOptions, Interrupt, MatrixSeries, QueryError, QueryOptions};
use hashbrown::HashSet;
use model::histogram::ResetHint;
use model::labels::{METRIC_NAME, Quoted};
use model::{Columns, Labels, MatchOp, Matcher, Storage};
use std::cell::{RefCell, RefMut};
use std::sync::Arc;

pub(super) type Result<T> = std::result::Result<T, QueryError>;

/// Labels that matter: names and units of metrics are not among them.
pub(super) type LookedAt = Option<Arc<[String]>>;

/// Takes series one after the other; may take a series' memory, or leave it to be reused.
pub(super) type Sink<'s> = &'s mut dyn FnMut(&mut Series) -> Result<()>;

/// Evaluates the expressions of one query.
pub(super) struct Evaluator<'a> {
    pub storage: &'a dyn Storage,
    pub options: &'a EngineOptions,
    pub lookback: i64,
    pub interrupt: &'a Interrupt,
    /// What it may hold in memory.
    pub query_bytes: u64,
    notes: RefCell<Annotations>,
    pub counted: RefCell<Counted>,
    /// The labels at which who asked for the next series looks; `None` for all of them.
    looked_at: RefCell<LookedAt>,
    /// Follows where the time goes, where that was asked for.
    pub tracer: Option<Tracer>,
}

impl<'a> Evaluator<'a> {
    pub fn new(
        storage: &'a dyn Storage,
        options: &'a EngineOptions,
        lookback: i64,
        query: &'a QueryOptions,
        grid: Grid,
    ) -> Evaluator<'a> {
        let reserved = Reserved::new(query.memory.pool.clone());
        let looked = Looked::new(grid.count);
        let counted = Counted { looked, reserved, ..Counted::default() };
        let (notes, counted) = (RefCell::default(), RefCell::new(counted));
        Evaluator {
            storage,
            options,
            lookback,
            interrupt: &query.interrupt,
            query_bytes: query.memory.query_bytes.unwrap_or(u64::MAX),
            notes,
            counted,
            looked_at: RefCell::default(),
            tracer: None,
        }
    }

    pub fn finish(self) -> (Annotations, Counted) {
        (self.notes.into_inner(), self.counted.into_inner())
    }

    pub fn notes(&self) -> RefMut<'_, Annotations> {
        self.notes.borrow_mut()
    }

    /// Evaluates any expression.
    pub fn evaluate(&self, expr: &Expr, grid: &Grid) -> Result<Evaluated> {
        Ok(match expr.value_type() {
            ValueType::Scalar => Evaluated::Scalar(self.scalar(expr, grid)?),
            ValueType::String => Evaluated::String(self.string(expr)),
            ValueType::Vector => Evaluated::Vector(self.vector(expr, grid)?),
            ValueType::Matrix => Evaluated::Matrix(self.matrix(expr, grid)?),
        })
    }

    /// Evaluates a scalar expression.
    pub fn scalar(&self, expr: &Expr, grid: &Grid) -> Result<Vec<f64>> {
        self.interrupt.check()?;
        match expr {
            Expr::Number(n) => self.floats(grid, |_| n.value),
            Expr::Paren(e) => self.scalar(&e.expr, grid),
            Expr::StepInvariant(e) => {
                let value = self.once(grid, |first| self.scalar(e, first))?;
                let value = value.first().copied().unwrap_or(f64::NAN);
                self.floats(grid, |_| value)
            }
            Expr::Unary(e) => {
                let values = self.scalar(&e.expr, grid)?;
                if e.minus { self.floats(grid, |i| -values[i]) } else { Ok(values) }
            }
            Expr::Binary(e) => {
                let l = self.scalar(&e.lhs, grid)?;
                let r = self.scalar(&e.rhs, grid)?;
                if matches!(e.op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
                    // Trimming cuts histograms, which no scalar is.
                    let op = Quoted(e.op.as_str());
                    let text = format!("operator {op} not allowed for Scalar operations");
                    return Err(QueryError::Execution(text));
                }
                self.floats(grid, |i| binary::scalars(e.op, l[i], r[i]))
            }
            Expr::Call(call) => functions::scalar_call(self, call, grid),
            other => Err(unexpected(other)),
        }
    }

    /// The value of a string expression.
    pub fn string(&self, expr: &Expr) -> String {
        match expr.unwrap_parens() {
            Expr::String(s) => s.value.clone(),
            Expr::StepInvariant(e) => self.string(e),
            _ => String::new(),
        }
    }

    /// The label name that a string expression gives; fails with the text as it is to be shown where
    /// it is none.
    pub fn label_name(&self, expr: &Expr) -> std::result::Result<String, String> {
        match expr.unwrap_parens() {
            Expr::String(s) if s.invalid.is_some() || s.value.is_empty() => Err(s
                .invalid
                .as_ref()
                .map_or_else(|| "\"\"".into(), |bytes| crate::literal::quote_bytes(bytes))),
            Expr::StepInvariant(e) => self.label_name(e),
            other => Ok(self.string(other)),
        }
    }

    /// Evaluates an instant-vector expression and collects its series.
    pub fn vector(&self, expr: &Expr, grid: &Grid) -> Result<Vec<Series>> {
        let mut out = Vec::new();
        self.stream(expr, grid, &mut |series| {
            self.hold_series(series)?;
            out.push(std::mem::take(series));
            Ok(())
        })?;
        Ok(out)
    }

    /// As [`Evaluator::stream`], for a sink that looks at some labels alone: others may be missing, and names
    /// of metrics may stay where they would have to be dropped.
    pub fn stream_for(
        &self,
        looked_at: LookedAt,
        expr: &Expr,
        grid: &Grid,
        sink: Sink<'_>,
    ) -> Result<()> {
        *self.looked_at.borrow_mut() = looked_at;
        let done = self.stream(expr, grid, sink);
        *self.looked_at.borrow_mut() = None;
        done
    }

    /// As [`Evaluator::stream`], which follows where the time goes.
    pub fn stream_expr(&self, expr: &Expr, grid: &Grid, sink: Sink<'_>) -> Result<()> {
        self.interrupt.check()?;
        let looked_at = self.looked_at.take();
        match expr {
            Expr::Vector(v) => self.stream_selector(v, Want::Value, looked_at, grid, sink),
            Expr::Paren(e) => self.stream_for(looked_at, &e.expr, grid, sink),
            Expr::StepInvariant(e) => self.once(grid, |first| {
                self.stream(e, first, &mut |series| {
                    let mut repeated = Series {
                        labels: series.labels.clone(),
                        drop_name: series.drop_name,
                        points: Points::absent(grid.count),
                    };
                    if let Some(point) = series.points.get(0) {
                        (0..grid.count).for_each(|i| repeated.points.set_point(i, point));
                    }
                    sink(&mut repeated)
                })
            }),
            Expr::Unary(e) if !e.minus => self.stream(&e.expr, grid, sink),
            Expr::Unary(e) => {
                let before = self.held();
                let mut all = self.vector(&e.expr, grid)?;
                for series in &mut all {
                    self.interrupt.check()?;
                    self.drop_name(series);
                    negate(&mut series.points);
                }
                if !self.options.delayed_name_removal {
                    all = merge_same_labels(all, self.interrupt)?;
                }
                self.emit(all, before, sink)
            }
            Expr::Aggregate(e) => {
                let before = self.held();
                let all = aggregate::aggregate(self, e, grid)?;
                self.emit(all, before, sink)
            }
            Expr::Binary(e) => {
                let before = self.held();
                let all = binary::binary(self, e, expr.span(), grid)?;
                self.emit(all, before, sink)
            }
            Expr::Call(call) => self.stream_call(call, looked_at, grid, sink),
            other => Err(unexpected(other)),
        }
    }

    /// Gives series on, after what was held for computing them was let go.
    fn emit(&self, all: Vec<Series>, before: (usize, u64), sink: Sink<'_>) -> Result<()> {
        self.release_to(before);
        for mut series in all {
            sink(&mut series)?;
        }
        Ok(())
    }

    fn stream_call(
        &self,
        call: &Call,
        looked_at: LookedAt,
        grid: &Grid,
        sink: Sink<'_>,
    ) -> Result<()> {
        if let Some(at) = call.args.iter().position(is_range) {
            return self.stream_range_call(call, at, looked_at, grid, sink);
        }
        let before = self.held();
        let all = match call.func.name {
            "label_replace" => label_functions::replace(self, call, grid)?,
            "label_join" => label_functions::join(self, call, grid)?,
            "info" => super::info::info(self, call, grid)?,
            _ => {
                if call.args.len() == 1
                    && let Some(map) = functions::float_map(self, call, grid)?
                {
                    return self.stream_mapped(&call.args[0], grid, &*map, sink);
                }
                functions::vector_call(self, call, grid)?
            }
        };
        self.emit(all, before, sink)
    }

    /// Maps each float of a vector by a function of step and value; histograms are left out, and so
    /// is what the function gives no value for.
    fn stream_mapped(
        &self,
        arg: &Expr,
        grid: &Grid,
        map: &dyn Fn(usize, f64) -> Option<f64>,
        sink: Sink<'_>,
    ) -> Result<()> {
        let mut apply = |series: &mut Series| self.map_floats(series, grid, map);
        if !self.names_may_collide(arg) {
            return self.stream(arg, grid, &mut |series| {
                if apply(series) { sink(series) } else { Ok(()) }
            });
        }
        let before = self.held();
        let mut all = self.vector(arg, grid)?;
        all.retain_mut(&mut apply);
        self.emit(merge_same_labels(all, self.interrupt)?, before, sink)
    }

    /// Maps the floats of a series and drops its name; whether anything is left.
    pub fn map_floats(
        &self,
        series: &mut Series,
        grid: &Grid,
        map: &dyn Fn(usize, f64) -> Option<f64>,
    ) -> bool {
        let points = &mut series.points;
        for i in 0..grid.count {
            if self.pause(i).is_err() {
                break; // told at the next check
            }
            match points.float(i).and_then(|f| map(i, f)) {
                Some(value) => points.floats[i] = value,
                None => points.clear(i),
            }
        }
        points.histograms.clear();
        self.drop_name(series);
        !series.points.is_absent()
    }

    /// Whether series may become alike once their names are dropped.
    fn names_may_collide(&self, expr: &Expr) -> bool {
        let named = |matchers: &[Matcher]| {
            matchers.iter().any(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal)
        };
        if self.options.delayed_name_removal {
            return false;
        }
        match expr {
            Expr::Vector(v) => !named(&v.matchers),
            Expr::Matrix(m) => !named(&m.selector.matchers),
            Expr::Paren(e) => self.names_may_collide(&e.expr),
            Expr::StepInvariant(e) => self.names_may_collide(e),
            Expr::Unary(e) => self.names_may_collide(&e.expr),
            Expr::Subquery(e) => self.names_may_collide(&e.expr),
            _ => true,
        }
    }

    /// Streams a function of a range vector over the series of its selector or subquery.
    fn stream_range_call(
        &self,
        call: &Call,
        at: usize,
        looked_at: LookedAt,
        grid: &Grid,
        sink: Sink<'_>,
    ) -> Result<()> {
        let arg = &call.args[at];
        let name = call.func.name;
        let before = self.held();
        // What fails in the subquery is told before what fails in other arguments.
        let source = match arg {
            Expr::Subquery(s) => {
                let inner = self.subquery_grid(s, grid)?;
                let windows = (s.modifiers.offset_ms, s.range_ms);
                let all =
                    self.windowed_subquery(&inner, grid, windows, || self.subquery(s, &inner))?;
                Source::Subquery(inner, all)
            }
            Expr::Matrix(m) => Source::Selector(m),
            other => return Err(unexpected(other)),
        };
        let mut scalars = Vec::new();
        for (_, arg) in call.args.iter().enumerate().filter(|(i, _)| *i != at) {
            scalars.push(self.scalar(arg, grid)?);
        }
        let own_bytes = self.held().1.saturating_sub(before.1);
        let range = match arg {
            Expr::Subquery(s) => Range::of_subquery(s),
            Expr::Matrix(m) => Range::of_selector(m),
            other => return Err(unexpected(other)),
        };
        check_extended(name, &range)?;
        let Some(kernel) = over_time::kernel(name) else { return Err(unexpected(arg)) };
        // Notes on a subquery name the query's start, as Prometheus has it.
        let arg_span = if range.subquery { Span::default() } else { arg.span() };
        let first = call.args.first().map_or(arg_span, Expr::span);
        let first_span = if at == 0 { arg_span } else { first };
        let may_collide = self.names_may_collide(arg);
        let scalars = &scalars;
        let context = Context {
            call,
            arg,
            arg_span,
            first_span,
            range,
            kernel,
            scalars,
            looked_at,
            may_collide,
        };
        if name == "absent_over_time" {
            self.absent_over_time(&context, source, grid, sink)?;
            self.release_own(before, own_bytes);
            return Ok(());
        }
        self.each_range_series(source, &context, grid, sink)?;
        self.release_own(before, own_bytes);
        Ok(())
    }

    fn each_range_series(
        &self,
        source: Source<'_>,
        context: &Context<'_>,
        grid: &Grid,
        sink: Sink<'_>,
    ) -> Result<()> {
        let mut samples = Samples::default();
        let mut out = Series::default();
        let mut windows = Shared::new(grid.count);
        let (mut seen, mut seen_ids) = (HashSet::new(), HashSet::new());
        let mut noted = None;
        let mut run = |labels: &Labels, drop: bool, columns: &mut Columns, sink: Sink<'_>| {
            samples.fill(columns);
            if self.may_share_windows(context, &samples) {
                self.run_shared(context, &mut samples, &mut windows, grid, &mut out.points);
            } else {
                self.run_windows(context, labels, &mut samples, grid, &mut out.points)?;
            }
            // The columns get their memory back for the next series.
            std::mem::swap(&mut samples.float_times, &mut columns.times_ms);
            std::mem::swap(&mut samples.floats, &mut columns.floats);
            std::mem::swap(&mut samples.float_starts, &mut columns.starts_ms);
            std::mem::swap(&mut samples.float_weights, &mut columns.weights);
            if out.points.is_absent() {
                return Ok(());
            }
            self.note_non_counter(context, labels, &out.points, &mut noted);
            out.labels = labels.clone();
            out.drop_name = drop;
            let (id, collides) = (columns.nameless_id, context.may_collide);
            let drops =
                drop || !matches!(context.call.func.name, "last_over_time" | "first_over_time");
            if drops {
                let may_stay = context.looked_at.is_some() && (id != 0 || !collides);
                if may_stay && out.points.histograms.is_empty() {
                    out.drop_name = true;
                } else {
                    self.drop_name(&mut out);
                }
            }
            // Where names stay, series with an id of the store are as different as they were there.
            if collides && (drops || id == 0) {
                let fresh =
                    if id != 0 { seen_ids.insert(id) } else { seen.insert(out.labels.clone()) };
                if !fresh {
                    return Err(same_labelset());
                }
            }
            sink(&mut out)
        };
        match source {
            Source::Selector(m) => {
                let v = &m.selector;
                let before = m.range_ms + if v.anchored || v.smoothed { self.lookback } else { 0 };
                let after = if v.smoothed { self.lookback } else { 0 };
                let func = context.call.func.name;
                let counts_only = v.counts_only;
                let keep = context.kernel.keep.filter(|_| !v.anchored && !v.smoothed);
                let (range, span) = (m.range_ms, context.arg_span);
                let reach = Reach { before, after, range, func, counts_only, keep, span };
                let reference = context.range.reference;
                let what = What {
                    matchers: &v.matchers,
                    reference,
                    labels: context.looked_at.as_deref(),
                    nameless: context.may_collide,
                };
                self.read(&what, &reach, grid, &mut |labels, columns| {
                    run(labels, false, columns, sink)
                })
            }
            Source::Subquery(inner, all) => {
                let mut columns = Columns::default();
                for series in all {
                    self.fill_columns(&series.points, &inner, &mut columns)?;
                    run(&series.labels, series.drop_name, &mut columns, sink)?;
                }
                Ok(())
            }
        }
    }

    /// Whether the windows of a series hold for others of the same times as well: floats alone, and
    /// nothing of the series itself decides where a window ends.
    fn may_share_windows(&self, context: &Context<'_>, samples: &Samples) -> bool {
        let Range { anchored, smoothed, .. } = context.range;
        context.kernel.extrapolates.is_some()
            && samples.histogram_times.is_empty()
            && !(anchored || smoothed)
            && (samples.float_starts.is_empty() || !self.options.start_timestamps)
    }

    /// As [`Evaluator::run_windows`], for what [`Evaluator::may_share_windows`].
    fn run_shared(
        &self,
        context: &Context<'_>,
        samples: &mut Samples,
        windows: &mut Shared<Windows>,
        grid: &Grid,
        points: &mut Points,
    ) {
        let Range { reference, range_ms, subquery, .. } = context.range;
        let (counter, per_second) = context.kernel.extrapolates.unwrap_or_default();
        if counter {
            samples.find_resets();
        }
        let ends = (0..grid.count).map(|i| reference.time(grid.time(i)));
        let windows =
            windows.get(samples.times_id, || Windows::of(samples, ends, range_ms, per_second));
        let fresh = if subquery { 0 } else { usize::MAX };
        self.count_windows(windows.lengths(), windows.fresh().map(|n| n.min(fresh)));
        points.reset(grid.count);
        windows.values(samples, counter, range_ms, per_second, |i, v| points.set_float(i, v));
    }

    /// Runs a kernel over the windows of one series.
    fn run_windows(
        &self,
        context: &Context<'_>,
        labels: &Labels,
        samples: &mut Samples,
        grid: &Grid,
        points: &mut Points,
    ) -> Result<()> {
        let Range { reference, range_ms, anchored, smoothed, subquery } = context.range;
        let extended = if anchored || smoothed { self.lookback } else { 0 };
        let after = if smoothed { self.lookback } else { 0 };
        if context.kernel.uses_resets {
            samples.find_resets();
        }
        points.reset(grid.count);
        let mut bounds = Bounds::default();
        let mut scalars = [0.0; 2];
        let mut step = Step {
            evaluation_ms: 0,
            start_ms: 0,
            end_ms: 0,
            range_ms,
            scalars: &[],
            labels,
            span: context.arg_span,
            quantile_span: context.first_span,
            anchored,
            smoothed,
            use_starts: self.options.start_timestamps,
            notes: &self.notes,
        };
        for i in 0..grid.count {
            self.interrupt.check()?;
            step.evaluation_ms = grid.time(i);
            step.end_ms = reference.time(step.evaluation_ms);
            step.start_ms = step.end_ms - range_ms;
            let window = samples.window(&mut bounds, step.start_ms - extended, step.end_ms + after);
            if window.is_empty() {
                continue;
            }
            let weight = window.weight();
            let fresh = match i {
                _ if subquery => 0, // it counted for itself
                0 => weight,
                _ if reference.at.is_some() => 0,
                _ => window.weight_after(step.end_ms + after - grid.step),
            };
            self.count_window(i, weight, fresh);
            for (slot, values) in scalars.iter_mut().zip(context.scalars) {
                *slot = values[i];
            }
            let mut now = step;
            now.scalars = &scalars;
            if let Some(value) = (context.kernel.run)(&window, &now)? {
                points.set(i, value);
            }
        }
        Ok(())
    }

    /// The times of a subquery's expression that its windows need.
    fn subquery_grid(&self, s: &Subquery, grid: &Grid) -> Result<Grid> {
        let reference = Reference::of(&s.modifiers);
        let step = if s.step_ms > 0 { s.step_ms } else { self.options.subquery_step_ms.max(1) };
        let (first, last) = (reference.time(grid.start), reference.time(grid.end()));
        // Times are multiples of the step, whatever the query's own times are. As Go divides: before
        // 1970 the next multiple is the one towards it.
        let before = first - s.range_ms;
        let multiple = before / step * step;
        let start = if multiple <= before { multiple + step } else { multiple };
        if last < start {
            return Ok(Grid { start, step, count: 0, single: false });
        }
        let count = ((last - start) / step) as usize + 1;
        if count > self.options.max_samples {
            return Err(QueryError::TooManySamples("query execution".into()));
        }
        Ok(Grid { start, step, count, single: start == last })
    }

    /// Evaluates the expression of a subquery.
    fn subquery(&self, s: &Subquery, inner: &Grid) -> Result<Vec<Series>> {
        if inner.count == 0 {
            return Ok(Vec::new());
        }
        // The values of a series, the columns that are made of them, and what is counted.
        self.hold_bytes(33 * inner.count)?;
        let mut all = self.vector(&s.expr, inner)?;
        for histogram in all.iter_mut().flat_map(|s| s.points.histograms.iter_mut().flatten()) {
            // What a hint says holds for neighbouring samples, and these need not be neighbours.
            if matches!(histogram.reset_hint, ResetHint::Reset | ResetHint::NotReset) {
                Arc::make_mut(histogram).reset_hint = ResetHint::Unknown;
            }
        }
        Ok(all)
    }

    /// The points that there are, as a store would give them.
    fn fill_columns(&self, points: &Points, grid: &Grid, columns: &mut Columns) -> Result<()> {
        columns.clear();
        for i in 0..grid.count {
            self.pause(i)?;
            let Some(point) = points.get(i) else { continue };
            match point {
                Point::Float(f) => columns.floats.push(f),
                Point::Histogram(h) => {
                    columns.histograms.push((columns.times_ms.len() as u32, h.clone()));
                    columns.floats.push(0.0);
                }
            }
            columns.times_ms.push(grid.time(i));
        }
        Ok(())
    }

    /// Evaluates a range vector at the first time of the grid.
    fn matrix(&self, expr: &Expr, grid: &Grid) -> Result<Vec<RangeSeries>> {
        match expr {
            Expr::Paren(e) => self.matrix(&e.expr, grid),
            Expr::StepInvariant(e) => self.once(grid, |first| self.matrix(e, first)),
            Expr::Matrix(m) => self.range_series(m, grid),
            Expr::Subquery(s) => {
                let inner = self.subquery_grid(s, grid)?;
                let all = self.whole_subquery(&inner, || self.subquery(s, &inner))?;
                let mut out = Vec::with_capacity(all.len());
                for series in all {
                    let mut columns = Columns::default();
                    self.fill_columns(&series.points, &inner, &mut columns)?;
                    let mut range = MatrixSeries { labels: series.labels, ..Default::default() };
                    for (i, time) in columns.times_ms.iter().enumerate() {
                        match columns.histograms.binary_search_by_key(&(i as u32), |h| h.0) {
                            Ok(h) => {
                                range.histograms.push((*time, columns.histograms[h].1.clone()))
                            }
                            Err(_) => range.floats.push((*time, columns.floats[i])),
                        }
                    }
                    out.push(RangeSeries { drop_name: series.drop_name, series: range });
                }
                Ok(out)
            }
            other => Err(unexpected(other)),
        }
    }

    /// One series that is 1 wherever no series of the range vector has a sample.
    fn absent_over_time(
        &self,
        context: &Context<'_>,
        source: Source<'_>,
        grid: &Grid,
        sink: Sink<'_>,
    ) -> Result<()> {
        let mut points = Points::absent(grid.count);
        (0..grid.count).for_each(|i| points.set_float(i, 1.0));
        self.each_range_series(source, context, grid, &mut |series| {
            for (i, _) in series.points.kinds.iter().enumerate().filter(|k| *k.1 != Kind::None) {
                points.clear(i);
            }
            Ok(())
        })?;
        if points.is_absent() {
            return Ok(());
        }
        let labels = functions::labels_of_absent(context.arg);
        sink(&mut Series { labels, drop_name: true, points })
    }

    /// Drops the metric's name, now or at the end of the query.
    pub fn drop_name(&self, series: &mut Series) {
        series.drop_name = true;
        if !self.options.delayed_name_removal {
            series.labels = series.labels.without(is_metadata_label);
        }
    }

    /// Says so where a rate is taken of what does not look like a counter.
    fn note_non_counter(
        &self,
        context: &Context<'_>,
        labels: &Labels,
        points: &Points,
        noted: &mut Option<Labels>,
    ) {
        if !matches!(context.call.func.name, "rate" | "increase") {
            return;
        }
        let metric = labels.metric();
        if metric.is_empty() || !points.kinds.contains(&Kind::Float) {
            return;
        }
        // Many series of one metric follow each other, and each text is told once.
        if noted.as_ref().is_some_and(|n| n.metric() == metric) {
            return;
        }
        if self.options.type_and_unit_labels {
            let kind = labels.get("__type__").unwrap_or("");
            if kind != "counter" && kind != "histogram" {
                self.notes().possibly_no_counter_type(metric, kind, context.arg_span);
            }
            return;
        }
        if !["_total", "_sum", "_count", "_bucket"].iter().any(|s| metric.ends_with(s)) {
            self.notes().possibly_no_counter(metric, context.arg_span);
        }
        *noted = Some(labels.clone());
    }
}

/// Where the series of a range vector come from.
enum Source<'a> {
    Selector(&'a MatrixSelector),
    /// A subquery's answer at the times of its own grid.
    Subquery(Grid, Vec<Series>),
}

/// What a call over a range vector needs to know.
struct Context<'a> {
    call: &'a Call,
    arg: &'a Expr,
    arg_span: Span,
    /// Where the first argument stands.
    first_span: Span,
    range: Range,
    kernel: Kernel,
    scalars: &'a [Vec<f64>],
    /// The labels that matter to who asked.
    looked_at: LookedAt,
    /// Whether series may become alike once their names are dropped.
    may_collide: bool,
}

/// A range vector's window.
#[derive(Clone, Copy)]
struct Range {
    reference: Reference,
    range_ms: i64,
    anchored: bool,
    smoothed: bool,
    subquery: bool,
}

impl Range {
    fn of_selector(m: &MatrixSelector) -> Range {
        let (anchored, smoothed) = (m.selector.anchored, m.selector.smoothed);
        let reference = Reference::of(&m.selector.modifiers);
        Range { reference, range_ms: m.range_ms, anchored, smoothed, subquery: false }
    }

    fn of_subquery(s: &Subquery) -> Range {
        let (anchored, smoothed) = (false, false);
        let reference = Reference::of(&s.modifiers);
        Range { reference, range_ms: s.range_ms, anchored, smoothed, subquery: true }
    }
}

fn check_extended(name: &str, range: &Range) -> Result<()> {
    let (word, allowed) = if range.anchored {
        ("anchored", &["changes", "delta", "increase", "rate", "resets"][..])
    } else if range.smoothed {
        ("smoothed", &["delta", "increase", "rate"][..])
    } else {
        return Ok(());
    };
    if allowed.contains(&name) {
        return Ok(());
    }
    let allowed = allowed.join(", ");
    Err(QueryError::Execution(format!(
        "{word} modifier can only be used with: {allowed} - not with {name}"
    )))
}

fn is_range(arg: &Expr) -> bool {
    matches!(arg, Expr::Matrix(_) | Expr::Subquery(_))
}

fn negate(points: &mut Points) {
    for (kind, value) in points.kinds.iter().zip(&mut points.floats) {
        if *kind == Kind::Float {
            *value = -*value;
        }
    }
    for histogram in points.histograms.iter_mut().flatten() {
        Arc::make_mut(histogram).scale(-1.0);
    }
}

fn unexpected(expr: &Expr) -> QueryError {
    QueryError::Execution(format!("cannot evaluate {expr} here"))
}
