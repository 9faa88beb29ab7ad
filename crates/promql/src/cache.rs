//! Answers of range queries, kept for whoever asks the same of a later range: what was computed is taken from
//! here as far as the store says that nothing of that time changed, and only the rest is evaluated.
//!
//! Keeps no answer with a warning or an info, and none of a query whose points follow from anything but the
//! samples up to their own time. Never guesses how late samples come: the store knows what it was given.

use crate::ast::{AggregateOp, Expr, Modifiers, VectorSelector};
use crate::engine::Grid;
use crate::query::MatrixSeries;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// At most so many answers are kept, whatever their size.
const ENTRIES_MAX: usize = 1024;
/// What is computed sooner than this is not worth its place.
const WORTH: Duration = Duration::from_micros(500);

/// Kept answers; shared by all queries.
#[derive(Debug)]
pub struct RangeCache {
    limit: u64,
    worth: Duration,
    kept: Mutex<Kept>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What a cache did since it was made, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Queries that were answered from it, in part or whole.
    pub hits: u64,
    /// Queries that it could have held, and did not.
    pub misses: u64,
    /// Answers that it holds.
    pub entries: u64,
    /// Bytes that they take, about.
    pub bytes: u64,
    /// The most that they may take.
    pub limit: u64,
}

/// What tells answers apart that go on in each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    query: String,
    step_ms: i64,
    /// Where the steps lie.
    phase_ms: i64,
    lookback_ms: i64,
}

impl Key {
    /// That of a query at the steps of a grid.
    pub fn new(query: &str, grid: &Grid, lookback_ms: i64) -> Key {
        let phase_ms = grid.start.rem_euclid(grid.step);
        Key { query: query.to_owned(), step_ms: grid.step, phase_ms, lookback_ms }
    }
}

/// An answer, or what holds of one.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its first time.
    pub start_ms: i64,
    /// Its last time.
    pub end_ms: i64,
    /// Sorted by labels; may have points before `start_ms` and behind `end_ms`.
    pub series: Arc<Vec<MatrixSeries>>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
    bytes: u64,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    /// The store's mark before it was computed.
    mark: u64,
    bytes: u64,
    used: u64,
}

impl RangeCache {
    /// A cache of so many bytes, about.
    pub fn new(limit: u64) -> RangeCache {
        let (hits, misses) = (AtomicU64::new(0), AtomicU64::new(0));
        RangeCache { limit, worth: WORTH, kept: Mutex::default(), hits, misses }
    }

    /// A cache that keeps also what took no time, for tests.
    #[doc(hidden)]
    pub fn of_everything(limit: u64) -> RangeCache {
        RangeCache { worth: Duration::ZERO, ..RangeCache::new(limit) }
    }

    /// What it did.
    pub fn stats(&self) -> CacheStats {
        let kept = self.kept();
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: kept.entries.len() as u64,
            bytes: kept.bytes,
            limit: self.limit,
        }
    }

    /// Of the answer that is kept, what holds for the range and begins with it; `oldest_change_since` is the
    /// store's. At least half of the range, or nothing.
    pub(crate) fn find(
        &self,
        key: &Key,
        (start_ms, end_ms): (i64, i64),
        oldest_change_since: impl FnOnce(u64) -> i64,
    ) -> Option<Answer> {
        let found = {
            let mut kept = self.kept();
            kept.clock += 1;
            let clock = kept.clock;
            kept.entries.get_mut(key).map(|entry| {
                entry.used = clock;
                (entry.answer.clone(), entry.mark)
            })
        };
        let found = found.and_then(|(answer, mark)| {
            // Before the change by one: a point looks at the samples of its own time too.
            let holds = oldest_change_since(mark).saturating_sub(1).min(answer.end_ms).min(end_ms);
            let steps = holds.checked_sub(start_ms)?.checked_div(key.step_ms)?;
            let end = start_ms + steps * key.step_ms;
            let much = answer.start_ms <= start_ms && (end - start_ms) * 2 >= end_ms - start_ms;
            (holds >= start_ms && much).then_some(Answer { start_ms, end_ms: end, ..answer })
        });
        let count = if found.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps the answer for a range, which took so long since the store's `mark`, if it is worth its place.
    pub(crate) fn keep(
        &self,
        key: Key,
        series: &[MatrixSeries],
        (start_ms, end_ms): (i64, i64),
        mark: u64,
        took: Duration,
    ) {
        let bytes = key.query.len() as u64 + 256 + bytes_of(series);
        if took < self.worth || bytes > self.limit / 8 {
            return;
        }
        let answer = Answer { start_ms, end_ms, series: Arc::new(series.to_vec()) };
        let mut kept = self.kept();
        kept.clock += 1;
        let entry = Entry { answer, mark, bytes, used: kept.clock };
        kept.bytes += bytes;
        if let Some(old) = kept.entries.insert(key, entry) {
            kept.bytes -= old.bytes;
        }
        while kept.bytes > self.limit || kept.entries.len() > ENTRIES_MAX {
            let Some(oldest) = kept.entries.iter().min_by_key(|(_, e)| e.used).map(|e| e.0.clone())
            else {
                break;
            };
            if let Some(old) = kept.entries.remove(&oldest) {
                kept.bytes -= old.bytes;
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that series take, about.
pub(crate) fn bytes_of(series: &[MatrixSeries]) -> u64 {
    let of = |s: &MatrixSeries| {
        let histograms: usize = s.histograms.iter().map(|h| 32 + 8 * h.1.weight()).sum();
        s.labels.bytes() + size_of::<MatrixSeries>() + 16 * s.floats.len() + histograms
    };
    series.iter().map(of).sum::<usize>() as u64
}

impl Answer {
    /// What was kept up to its end, and from `fresh` what comes behind.
    pub fn followed_by(&self, fresh: Vec<MatrixSeries>) -> Vec<MatrixSeries> {
        let (start, end) = (self.start_ms, self.end_ms);
        let mut kept = self.series.iter().peekable();
        let mut out = Vec::with_capacity(self.series.len().max(fresh.len()));
        let older = |s: &MatrixSeries| cut(s, start, end);
        for mut series in fresh {
            while let Some(old) = kept.next_if(|old| old.labels < series.labels) {
                out.push(older(old));
            }
            series.floats.retain(|p| p.0 > end);
            series.histograms.retain(|p| p.0 > end);
            if let Some(old) = kept.next_if(|old| old.labels == series.labels) {
                let mut whole = older(old);
                whole.floats.append(&mut series.floats);
                whole.histograms.append(&mut series.histograms);
                series = whole;
            }
            out.push(series);
        }
        out.extend(kept.map(older));
        out.retain(|s| !s.floats.is_empty() || !s.histograms.is_empty());
        out
    }
}

/// The points of a series within some time.
fn cut(series: &MatrixSeries, start_ms: i64, end_ms: i64) -> MatrixSeries {
    fn within<P: Clone>(points: &[(i64, P)], start_ms: i64, end_ms: i64) -> Vec<(i64, P)> {
        let from = points.partition_point(|p| p.0 < start_ms);
        let to = points.partition_point(|p| p.0 <= end_ms);
        points.get(from..to).unwrap_or_default().to_vec()
    }
    MatrixSeries {
        labels: series.labels.clone(),
        floats: within(&series.floats, start_ms, end_ms),
        histograms: within(&series.histograms, start_ms, end_ms),
    }
}

/// Whether each point of a range query follows from the samples up to its own time, whatever the range.
pub(crate) fn goes_on(expr: &Expr) -> bool {
    let own = match expr {
        // Which series are picked may depend on those of other times.
        Expr::Aggregate(a) => {
            let fixed = |p: &Expr| matches!(p.unwrap_parens(), Expr::Number(_) | Expr::String(_));
            let picks = matches!(a.op, AggregateOp::Limitk | AggregateOp::LimitRatio);
            !picks && a.param.as_deref().is_none_or(fixed)
        }
        Expr::Call(call) => !matches!(call.func.name, "start" | "end" | "range" | "step" | "info"),
        Expr::Matrix(m) => m.range_expr.is_none() && looks_back(&m.selector),
        Expr::Subquery(s) => {
            is_behind(&s.modifiers) && s.range_expr.is_none() && s.step_expr.is_none()
        }
        Expr::Vector(v) => looks_back(v),
        Expr::StepInvariant(_) => false,
        Expr::Binary(_) | Expr::Number(_) | Expr::Paren(_) | Expr::String(_) | Expr::Unary(_) => {
            true
        }
    };
    own && expr.children().into_iter().all(goes_on)
}

fn looks_back(selector: &VectorSelector) -> bool {
    // Smoothed ones look ahead.
    is_behind(&selector.modifiers) && !selector.smoothed
}

fn is_behind(modifiers: &Modifiers) -> bool {
    modifiers.at.is_none() && modifiers.offset_expr.is_none() && modifiers.offset_ms >= 0
}
