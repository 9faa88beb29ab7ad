//! A store in memory for scripts and tests. It leaves out what a reader does not look at, as the store of
//! the program does, so that whoever reads from it is tested with that.

use model::histogram::ResetHint;
use model::labels::is_metadata;
use model::value::is_stale;
use model::{
    Columns, Hints, Histogram, Labels, MatchOp, Matcher, ReadError, Sample, Selection, SeriesSet,
    Storage, Value,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Series in memory. Histograms get the hints about counter resets that Prometheus's chunks give
/// them: within a run of comparable ones, all but the first are known not to be reset.
#[derive(Debug, Default)]
pub struct MemoryStore {
    series: BTreeMap<Labels, Columns>,
}

impl MemoryStore {
    /// Adds a sample, which must be newer than those of its series; older ones are left out.
    pub fn append(&mut self, labels: &Labels, sample: Sample) {
        let columns = self.series.entry(labels.clone()).or_default();
        if columns.times_ms.last().is_some_and(|t| *t >= sample.time_ms) {
            return;
        }
        if sample.start_ms != 0 && columns.starts_ms.is_empty() {
            columns.starts_ms.resize(columns.times_ms.len(), 0);
        }
        let at = columns.times_ms.len() as u32;
        let float = match sample.value {
            Value::Float(f) => f,
            Value::Histogram(h) => {
                let before = columns.histograms.last().filter(|b| b.0 + 1 == at).map(|b| &*b.1);
                let hint = stored_hint(before, &h);
                let mut stored = (*h).clone();
                stored.reset_hint = hint;
                columns.histograms.push((at, Arc::new(stored)));
                0.0
            }
        };
        columns.times_ms.push(sample.time_ms);
        columns.floats.push(float);
        if sample.start_ms != 0 || !columns.starts_ms.is_empty() {
            columns.starts_ms.push(sample.start_ms);
        }
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    fn matching(
        &self,
        sets: &[Vec<Matcher>],
        start: i64,
        end: i64,
    ) -> impl Iterator<Item = &Labels> {
        self.series
            .iter()
            .filter(move |(labels, columns)| {
                let in_range = columns.times_ms.iter().any(|t| (start..=end).contains(t));
                in_range && (sets.is_empty() || sets.iter().any(|s| matches(labels, s)))
            })
            .map(|(labels, _)| labels)
    }
}

/// What a chunk tells of a histogram that follows `before`: that it is a gauge, or that it was not
/// reset. Of one that begins a chunk, as after a reset, nothing is known.
fn stored_hint(before: Option<&Histogram>, h: &Histogram) -> ResetHint {
    if h.reset_hint == ResetHint::Gauge {
        return ResetHint::Gauge;
    }
    let goes_on = before.is_some_and(|before| {
        let mut plain = h.clone();
        plain.reset_hint = ResetHint::Unknown;
        before.reset_hint != ResetHint::Gauge
            && h.reset_hint != ResetHint::Reset
            && (is_stale(h.sum)
                || !is_stale(before.sum)
                    && h.schema == before.schema
                    && h.zero_threshold == before.zero_threshold
                    && h.custom_bounds == before.custom_bounds
                    && !plain.is_reset_after(before))
    });
    if goes_on { ResetHint::NotReset } else { ResetHint::Unknown }
}

fn matches(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|m| m.matches(labels.get(&m.name).unwrap_or("")))
}

impl Storage for MemoryStore {
    fn select<'a>(
        &'a self,
        selection: &Selection<'_>,
    ) -> Result<Box<dyn SeriesSet + 'a>, ReadError> {
        // Equalities first: they are cheap and select most.
        let mut matchers: Vec<&Matcher> = selection.matchers.iter().collect();
        matchers.sort_by_key(|m| m.op != MatchOp::Equal);
        let matching = self.series.iter().filter(|(labels, _)| {
            matchers.iter().all(|m| m.matches(labels.get(&m.name).unwrap_or("")))
        });
        let mut names = Names::new(&selection.hints);
        let mut found = Vec::new();
        for (labels, columns) in matching {
            selection.hints.stop.check()?;
            found.push(names.of(labels, columns));
        }
        let (start, end) = (selection.start_ms, selection.end_ms);
        Ok(Box::new(Set { found, next: 0, start, end }))
    }

    fn label_names(
        &self,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        let series = self.matching(sets, start_ms, end_ms);
        let names: BTreeSet<&str> = series.flat_map(|l| l.iter().map(|l| l.0)).collect();
        Ok(names.into_iter().map(Into::into).collect())
    }

    fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        let series = self.matching(sets, start_ms, end_ms);
        let values: BTreeSet<&str> = series.filter_map(|l| l.get(name)).collect();
        Ok(values.into_iter().map(Into::into).collect())
    }
}

/// What a reader is told of labels.
struct Names<'a> {
    wanted: Option<&'a [String]>,
    /// The number of each set of labels without those that say what a metric is, where it is asked for.
    nameless: Option<HashMap<Labels, u64>>,
}

impl<'a> Names<'a> {
    fn new(hints: &Hints<'a>) -> Names<'a> {
        Names { wanted: hints.labels, nameless: hints.nameless.then(HashMap::new) }
    }

    fn of<'c>(&mut self, labels: &Labels, columns: &'c Columns) -> Found<'c> {
        let nameless_id = self.nameless.as_mut().map_or(0, |known| {
            let next = known.len() as u64 + 1;
            *known.entry(labels.without(is_metadata)).or_insert(next)
        });
        let labels = match self.wanted {
            Some(wanted) => labels.without(|name| !wanted.iter().any(|w| w == name)),
            None => labels.clone(),
        };
        Found { labels, nameless_id, columns }
    }
}

/// A series that was selected.
struct Found<'a> {
    labels: Labels,
    nameless_id: u64,
    columns: &'a Columns,
}

struct Set<'a> {
    found: Vec<Found<'a>>,
    next: usize,
    start: i64,
    end: i64,
}

impl SeriesSet for Set<'_> {
    fn next(&mut self) -> Result<Option<Labels>, ReadError> {
        let labels = self.found.get(self.next).map(|s| s.labels.clone());
        self.next += 1;
        Ok(labels)
    }

    fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError> {
        columns.clear();
        let Some(found) = self.next.checked_sub(1).and_then(|at| self.found.get(at)) else {
            return Ok(());
        };
        columns.nameless_id = found.nameless_id;
        let own = found.columns;
        let from = own.times_ms.partition_point(|t| *t < self.start);
        let to = own.times_ms.partition_point(|t| *t <= self.end).max(from);
        columns.times_ms.extend_from_slice(&own.times_ms[from..to]);
        columns.floats.extend_from_slice(&own.floats[from..to]);
        if !own.starts_ms.is_empty() {
            columns.starts_ms.extend_from_slice(&own.starts_ms[from..to]);
        }
        let inside = own.histograms.iter().filter(|h| (from..to).contains(&(h.0 as usize)));
        columns.histograms.extend(inside.map(|(at, h)| (at - from as u32, h.clone())));
        Ok(())
    }
}
