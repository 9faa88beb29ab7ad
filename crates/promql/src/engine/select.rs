//! Reads series from the store: the values of instant selectors, and the raw columns on which the
//! window kernels run.

use super::account::is_pause;
use super::evaluate::{Evaluator, LookedAt, Result};
use super::shared::Shared;
use super::values::{Grid, Kind, Points, RangeSeries, Series};
use super::window::{Bounds, Samples};
use crate::ast::{At, MatrixSelector, Modifiers, Span, VectorSelector};
use crate::query::{Interrupt, MatrixSeries, QueryError};
use model::histogram::ResetHint;
use model::labels::METRIC_NAME;
use model::value::is_stale;
use model::{Columns, Hints, Histogram, Keep, Labels, MatchOp, Matcher, ReadError, Selection};
use std::sync::Arc;

/// What an instant selector gives at each time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Want {
    /// The sample's value.
    Value,
    /// The sample's own time, in seconds.
    Time,
    /// The sample's start time, in seconds.
    StartTime,
    /// The sample's own time in milliseconds, of floats alone (see `info`).
    InfoTime,
}

/// Maps evaluation times to the times that a selector looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub at: Option<i64>,
    pub offset: i64,
}

impl Reference {
    pub fn of(modifiers: &Modifiers) -> Reference {
        let at = match modifiers.at {
            Some(At::Time(ms)) => Some(ms),
            // Settled before evaluation.
            Some(At::Start | At::End) | None => None,
        };
        Reference { at, offset: modifiers.offset_ms }
    }

    pub fn time(&self, evaluation: i64) -> i64 {
        self.at.unwrap_or(evaluation).saturating_sub(self.offset)
    }
}

/// Which series are read, and what of their labels matters.
pub(super) struct What<'a> {
    pub matchers: &'a [Matcher],
    pub reference: Reference,
    /// Labels that matter beside those that say what a metric is; `None` for all of them.
    pub labels: Option<&'a [String]>,
    /// Whether it matters which series differ in their names alone.
    pub nameless: bool,
}

impl<'a> What<'a> {
    /// With all labels.
    pub fn whole(matchers: &'a [Matcher], reference: Reference) -> What<'a> {
        What { matchers, reference, labels: None, nameless: false }
    }
}

/// How far before and after the times looked at samples matter, and what for.
pub(super) struct Reach<'a> {
    pub before: i64,
    pub after: i64,
    pub range: i64,
    pub func: &'a str,
    /// Only counts and sums of histograms matter.
    pub counts_only: bool,
    /// What is made of each window, where fewer samples would do as well.
    pub keep: Option<Keep>,
    /// Where the selector stands in the query.
    pub span: Span,
}

/// The sample that counts at each step; [`NOWHERE`] where there is none that is not too old.
#[derive(Debug, Default)]
pub(super) struct Positions(Vec<u32>);

const NOWHERE: u32 = u32::MAX;

impl Positions {
    fn of(
        times: &[i64],
        reference: Reference,
        grid: &Grid,
        lookback: i64,
        interrupt: &Interrupt,
    ) -> Positions {
        let mut positions = Vec::with_capacity(grid.count);
        let mut next = 0;
        if reference.at.is_some() || grid.count == 1 {
            let first = reference.time(grid.start);
            next = times.partition_point(|t| *t <= first);
        }
        for i in 0..grid.count {
            if is_pause(i) && interrupt.stopped() {
                break; // told at the next check
            }
            let time = reference.time(grid.time(i));
            while next < times.len() && times[next] <= time {
                next += 1;
            }
            let newest = next.checked_sub(1).filter(|at| times[*at] > time - lookback);
            positions.push(newest.map_or(NOWHERE, |at| at as u32));
        }
        Positions(positions)
    }
}

impl Evaluator<'_> {
    /// Calls `each` with every selected series and its columns.
    pub(super) fn read(
        &self,
        what: &What<'_>,
        reach: &Reach<'_>,
        grid: &Grid,
        each: &mut dyn FnMut(&Labels, &mut Columns) -> Result<()>,
    ) -> Result<()> {
        let What { matchers, reference, nameless, .. } = *what;
        let labels = what.labels.map(|own| {
            let metadata = [METRIC_NAME, "__type__", "__unit__"].map(str::to_owned);
            own.iter().cloned().chain(metadata).collect::<Vec<String>>()
        });
        let (start, end) = (reference.time(grid.start), reference.time(grid.end()));
        let selection = Selection {
            matchers,
            start_ms: start.saturating_sub(reach.before) + 1,
            end_ms: end.saturating_add(reach.after),
            hints: Hints {
                step_ms: if grid.count > 1 && reference.at.is_none() { grid.step } else { 0 },
                range_ms: reach.range,
                func: reach.func,
                labels: labels.as_deref(),
                nameless,
                keep: reach.keep,
                stop: self.interrupt.flag(),
                ..Hints::default()
            },
        };
        let places = self.tracer.as_ref().map(|t| (t, t.enter_store(what.matchers)));
        let failed = |error| self.read_error(error);
        let mut set = self.storage.select(&selection).map_err(failed)?;
        let mut columns = Columns::default();
        while let Some(labels) = set.next().map_err(failed)? {
            self.interrupt.check()?;
            set.read(&mut columns).map_err(failed)?;
            if !columns.times_ms.is_empty() {
                if reach.counts_only {
                    reduce_to_counts(&mut columns);
                }
                let (samples, bytes) = (columns.times_ms.len(), bytes_of(&columns));
                self.hold(samples)?;
                self.hold_bytes(bytes)?;
                if let Some((tracer, (outer, _))) = places {
                    tracer.give(outer, samples);
                }
                let result = each(&labels, &mut columns);
                if let Some((tracer, (_, own))) = places {
                    tracer.switch(own);
                }
                self.release(samples, bytes);
                result?;
            }
        }
        for warning in set.warnings() {
            self.notes().storage(warning);
        }
        let widths = set.summarized();
        if !widths.is_empty() {
            let is_name = |m: &&Matcher| m.name == METRIC_NAME && m.op == MatchOp::Equal;
            let metric = matchers.iter().find(is_name).map_or("", |m| m.value.as_str());
            self.notes().summarized(metric, &widths, reach.span);
            if let Some((tracer, (_, own))) = places {
                tracer.summarized(own, &widths);
            }
        }
        if let Some((tracer, (outer, _))) = places {
            tracer.switch(outer);
        }
        Ok(())
    }

    fn read_error(&self, error: ReadError) -> QueryError {
        match error {
            // Whether somebody ended it or its time was over is known here.
            ReadError::Cancelled => (self.interrupt.check().err())
                .unwrap_or_else(|| QueryError::Canceled("expression evaluation".into())),
            ReadError::Limit(text) => QueryError::Execution(text),
            ReadError::Store(text) => QueryError::Storage(format!("expanding series: {text}")),
        }
    }

    /// Streams an instant selector's series.
    pub(super) fn stream_selector(
        &self,
        selector: &VectorSelector,
        want: Want,
        looked_at: LookedAt,
        grid: &Grid,
        sink: &mut dyn FnMut(&mut Series) -> Result<()>,
    ) -> Result<()> {
        let reference = Reference::of(&selector.modifiers);
        if selector.smoothed {
            return self.stream_smoothed(selector, grid, sink);
        }
        let reach = Reach {
            before: self.lookback,
            after: 0,
            range: 0,
            func: "",
            counts_only: selector.counts_only,
            keep: Some(Keep::Ends),
            span: selector.span,
        };
        let (mut series, mut shared) = (Series::default(), Shared::new(grid.count));
        let labels = looked_at.as_deref();
        let what = What { labels, ..What::whole(&selector.matchers, reference) };
        self.read(&what, &reach, grid, &mut |labels, columns| {
            series.points.reset(grid.count);
            let positions = shared.get(columns.times_id, || {
                Positions::of(&columns.times_ms, reference, grid, self.lookback, self.interrupt)
            });
            let points = &mut series.points;
            if self.instant_values(columns, positions, want, labels, points)? == 0 {
                return Ok(());
            }
            series.labels = labels.clone();
            series.drop_name = false;
            sink(&mut series)
        })
    }

    /// The newest sample at each time that is not too old; how many times have one.
    fn instant_values(
        &self,
        columns: &Columns,
        positions: &Positions,
        want: Want,
        labels: &Labels,
        points: &mut Points,
    ) -> Result<usize> {
        let times = &columns.times_ms;
        let mut found = 0;
        let known = positions.0.iter().enumerate().filter(|p| *p.1 != NOWHERE);
        if want == Want::Value && columns.histograms.is_empty() {
            // The most frequent case by far.
            for (i, at) in known {
                self.pause(i)?;
                let value = columns.floats[*at as usize];
                if !is_stale(value) {
                    points.set_float(i, value);
                    found += 1;
                }
            }
            let is_float = |k: &Kind| usize::from(*k == Kind::Float);
            let counts = points.kinds.iter().map(is_float);
            self.count_windows(counts.clone(), counts);
            return Ok(found);
        }
        for (i, at) in known {
            self.pause(i)?;
            let at = *at as usize;
            let histogram = if columns.histograms.is_empty() {
                None
            } else {
                let found = columns.histograms.binary_search_by_key(&(at as u32), |h| h.0);
                found.ok().map(|h| &columns.histograms[h].1)
            };
            let stale = histogram.map_or(columns.floats[at], |h| h.sum);
            if is_stale(stale) {
                continue;
            }
            found += 1;
            let weight = histogram.filter(|_| want == Want::Value).map_or(1, |h| h.weight());
            self.count(i, weight);
            match (want, histogram) {
                (Want::Value, None) => points.set_float(i, columns.floats[at]),
                (Want::Value, Some(h)) => points.set_histogram(i, h.clone()),
                (Want::Time, _) => points.set_float(i, times[at] as f64 / 1000.0),
                (Want::StartTime, _) => {
                    let start = columns.starts_ms.get(at).copied().unwrap_or(0);
                    points.set_float(i, start as f64 / 1000.0);
                }
                (Want::InfoTime, None) => points.set_float(i, times[at] as f64),
                (Want::InfoTime, Some(_)) => {
                    return Err(QueryError::Execution(format!(
                        "this should be an info metric, with float samples: {}",
                        super::binary::braced(labels)
                    )));
                }
            }
        }
        Ok(found)
    }

    /// The raw samples of a range selector at the first time, for queries that ask for just that.
    pub(super) fn range_series(&self, m: &MatrixSelector, grid: &Grid) -> Result<Vec<RangeSeries>> {
        let selector = &m.selector;
        let reference = Reference::of(&selector.modifiers);
        let extended = selector.anchored || selector.smoothed;
        let before = m.range_ms + if extended { self.lookback } else { 0 };
        let after = if selector.smoothed { self.lookback } else { 0 };
        let counts_only = selector.counts_only;
        let (keep, span) = (None, selector.span);
        let reach = Reach { before, after, range: m.range_ms, func: "", counts_only, keep, span };
        let end = reference.time(grid.start);
        let start = end - m.range_ms;
        let mut out = Vec::new();
        let what = What::whole(&selector.matchers, reference);
        self.read(&what, &reach, &grid.first(), &mut |labels, columns| {
            let mut samples = Samples::default();
            samples.fill(columns);
            let mut bounds = Bounds::default();
            let window = samples.window(&mut bounds, start - (before - m.range_ms), end + after);
            let mut series = MatrixSeries { labels: labels.clone(), ..MatrixSeries::default() };
            series.floats = window.float_points();
            series.histograms = window.histogram_points();
            if extended && !series.histograms.is_empty() {
                let word = if selector.anchored { "anchored" } else { "smoothed" };
                return Err(QueryError::Execution(format!(
                    "{word} modifier is not supported with histograms"
                )));
            }
            if extended {
                series.floats = super::rate::extend(&series.floats, start, end, selector.smoothed);
            }
            let weight =
                series.floats.len() + series.histograms.iter().map(|h| h.1.weight()).sum::<usize>();
            self.count(0, weight);
            if weight > 0 {
                self.hold(weight)?;
                self.hold_bytes(16 * weight + labels.bytes())?;
                out.push(RangeSeries { drop_name: false, series });
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// As [`Evaluator::stream_selector`] gives them, of one series' columns.
    pub(super) fn values_of(
        &self,
        columns: &Columns,
        reference: Reference,
        want: Want,
        labels: &Labels,
        grid: &Grid,
        points: &mut Points,
    ) -> Result<usize> {
        let positions =
            Positions::of(&columns.times_ms, reference, grid, self.lookback, self.interrupt);
        self.instant_values(columns, &positions, want, labels, points)
    }

    /// Streams a smoothed selector: values between samples are interpolated.
    fn stream_smoothed(
        &self,
        selector: &VectorSelector,
        grid: &Grid,
        sink: &mut dyn FnMut(&mut Series) -> Result<()>,
    ) -> Result<()> {
        let reference = Reference::of(&selector.modifiers);
        let lookback = self.lookback;
        let reach = Reach {
            before: lookback,
            after: lookback,
            range: 0,
            func: "",
            counts_only: false,
            keep: None,
            span: selector.span,
        };
        let what = What::whole(&selector.matchers, reference);
        self.read(&what, &reach, grid, &mut |labels, columns| {
            let mut samples = Samples::default();
            samples.fill(columns);
            let mut bounds = Bounds::default();
            let mut points = Points::absent(grid.count);
            for i in 0..grid.count {
                let time = reference.time(grid.time(i));
                let window = samples.window(&mut bounds, time - lookback, time + lookback);
                let notes = &mut self.notes();
                let value =
                    super::rate::smooth(&window, time, labels.metric(), selector.span, notes);
                if let Some(value) = value {
                    points.set(i, value);
                }
            }
            if points.kinds.iter().all(|k| *k == Kind::None) {
                return Ok(());
            }
            sink(&mut Series { labels: labels.clone(), drop_name: false, points })
        })
    }
}

/// Leaves counts and sums of histograms, with hints from comparing each with the one before.
fn reduce_to_counts(columns: &mut Columns) {
    let mut before: Option<Arc<Histogram>> = None;
    for (_, histogram) in &mut columns.histograms {
        let whole = histogram.clone();
        let mut reset_hint = whole.reset_hint;
        if is_stale(whole.sum) {
            continue;
        }
        if reset_hint == ResetHint::Unknown
            && let Some(before) = &before
        {
            let reset = whole.is_reset_after(before);
            reset_hint = if reset { ResetHint::Reset } else { ResetHint::NotReset };
        }
        *histogram = Arc::new(Histogram {
            reset_hint,
            schema: whole.schema,
            count: whole.count,
            sum: whole.sum,
            ..Histogram::default()
        });
        before = Some(whole);
    }
}

/// Bytes of memory, about.
fn bytes_of(columns: &Columns) -> usize {
    let histograms: usize = columns.histograms.iter().map(|h| 16 * h.1.weight()).sum();
    8 * (columns.times_ms.len() + columns.floats.len() + columns.starts_ms.len()) + histograms
}
