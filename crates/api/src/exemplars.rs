//! The newest exemplars of all series, in memory and of a fixed number: the oldest goes when a new
//! one comes. They do not survive a restart. Rules are those of Prometheus's `tsdb/exemplar.go`.

use model::{Labels, Matcher};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An example of what a series counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// What tells where it is from, a trace identifier for instance.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: i64,
}

/// Why an exemplar was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is older than the newest of its series.
    #[error("out of order exemplar")]
    OutOfOrder,
    /// Its labels are longer than OpenMetrics allows.
    #[error("label length for exemplar exceeds maximum of 128 UTF-8 characters")]
    Length,
}

/// Characters that all labels of an exemplar may have (OpenMetrics 1.0).
const CHARACTERS: usize = 128;
/// How many are kept, unless said otherwise: Prometheus's own default.
pub const CAPACITY: usize = 100_000;

/// The newest exemplars.
pub struct Exemplars {
    ring: Mutex<Ring>,
    capacity: usize,
}

#[derive(Default)]
struct Ring {
    /// The series of each, in the order in which they came.
    arrivals: VecDeque<Labels>,
    /// Of each series, those that are kept, oldest first.
    series: HashMap<Labels, VecDeque<Exemplar>>,
}

impl Exemplars {
    /// Room for so many.
    pub fn new(capacity: usize) -> Exemplars {
        Exemplars { ring: Mutex::default(), capacity }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one. That which the series has as its newest is not taken again, and no mistake.
    pub fn add(&self, series: &Labels, exemplar: Exemplar) -> Result<(), Refusal> {
        let long = |text: &str| text.chars().count();
        let length: usize = exemplar.labels.iter().map(|(n, v)| long(n) + long(v)).sum();
        if length > CHARACTERS {
            return Err(Refusal::Length);
        }
        let mut ring = self.ring();
        if let Some(newest) = ring.series.get(series).and_then(VecDeque::back) {
            if *newest == exemplar {
                return Ok(());
            }
            let order = (exemplar.time_ms.cmp(&newest.time_ms))
                .then(exemplar.value.total_cmp(&newest.value))
                .then_with(|| exemplar.labels.cmp(&newest.labels));
            if order.is_lt() {
                return Err(Refusal::OutOfOrder);
            }
        }
        if ring.arrivals.len() >= self.capacity {
            ring.forget_oldest();
        }
        ring.arrivals.push_back(series.clone());
        ring.series.entry(series.clone()).or_default().push_back(exemplar);
        Ok(())
    }

    /// Those of a time, of the series that any of the matcher sets select; sorted by series.
    pub fn select(
        &self,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> BTreeMap<Labels, Vec<Exemplar>> {
        let ring = self.ring();
        let selected = |labels: &Labels| {
            let value = |m: &Matcher| labels.get(&m.name).unwrap_or("").to_owned();
            sets.iter().any(|set| set.iter().all(|m| m.matches(&value(m))))
        };
        let of_time = |list: &VecDeque<Exemplar>| -> Vec<Exemplar> {
            let within = |e: &&Exemplar| (start_ms..=end_ms).contains(&e.time_ms);
            list.iter().filter(within).cloned().collect()
        };
        let found = ring.series.iter().filter(|(labels, _)| selected(labels));
        let found = found.map(|(labels, list)| (labels.clone(), of_time(list)));
        found.filter(|(_, list)| !list.is_empty()).collect()
    }
}

impl Ring {
    fn forget_oldest(&mut self) {
        let Some(series) = self.arrivals.pop_front() else { return };
        if let Some(list) = self.series.get_mut(&series) {
            list.pop_front();
            if list.is_empty() {
                self.series.remove(&series);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(n: &str) -> Labels {
        Labels::from_pairs([("__name__", "m"), ("n", n)])
    }

    fn exemplar(time_ms: i64, value: f64) -> Exemplar {
        Exemplar { labels: Labels::from_pairs([("trace_id", "abc")]), value, time_ms }
    }

    #[test]
    fn order_and_room_are_kept() {
        let kept = Exemplars::new(3);
        assert_eq!(kept.add(&series("1"), exemplar(10, 1.0)), Ok(()));
        assert_eq!(kept.add(&series("1"), exemplar(10, 1.0)), Ok(()));
        assert_eq!(kept.add(&series("1"), exemplar(9, 1.0)), Err(Refusal::OutOfOrder));
        assert_eq!(kept.add(&series("1"), exemplar(10, 0.5)), Err(Refusal::OutOfOrder));
        assert_eq!(kept.add(&series("1"), exemplar(10, 2.0)), Ok(()));
        let mut long = exemplar(20, 1.0);
        long.labels = Labels::from_pairs([("trace_id", "é".repeat(121).as_str())]);
        assert_eq!(kept.add(&series("1"), long), Err(Refusal::Length));
        assert_eq!(kept.add(&series("2"), exemplar(5, 1.0)), Ok(()));
        let all = [vec![Matcher::equal("__name__", "m")]];
        let count = |from, to| kept.select(&all, from, to).values().map(Vec::len).sum::<usize>();
        assert_eq!((count(0, 100), count(6, 100), count(0, 9)), (3, 2, 1));
        kept.add(&series("3"), exemplar(30, 1.0)).unwrap();
        kept.add(&series("3"), exemplar(31, 1.0)).unwrap();
        assert_eq!(kept.select(&all, 0, 100).len(), 2);
        assert_eq!(count(0, 100), 3);
        let ring = kept.ring();
        assert_eq!(ring.arrivals.len(), 3);
        assert!(!ring.series.contains_key(&series("1")));
    }
}
