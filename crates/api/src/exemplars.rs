//! The newest exemplars of all series, of a fixed number: the oldest goes when a new one comes. They
//! are in memory, and in files for the next start. Rules are those of Prometheus's
//! `tsdb/exemplar.go`.

mod keep;

#[doc(hidden)]
pub use keep::fuzz;

use disk::Files;
use keep::Keeper;
use model::{Labels, Matcher};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    keeper: Option<Keeper>,
}

impl Default for Exemplars {
    fn default() -> Exemplars {
        Exemplars::new(CAPACITY)
    }
}

impl Exemplars {
    /// Room for so many.
    pub fn new(capacity: usize) -> Exemplars {
        Exemplars { ring: Mutex::default(), capacity }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what earlier runs kept in a folder that is ours, and keeps there from now on.
    pub fn keep_in(&self, files: Arc<dyn Files>) {
        let place = files.place("");
        let mut ring = self.ring();
        let opened = Keeper::open(files, self.capacity, |series, exemplar| {
            // Of what a crash left in two files, the second is not taken again.
            let _ = ring.add(&series, exemplar, self.capacity);
        });
        let opened = opened.map_err(|e| e.to_string()).and_then(|mut keeper| {
            keeper.rewrite(ring.in_order()).map_err(|e| e.to_string())?;
            Ok(keeper)
        });
        match opened {
            Ok(keeper) => ring.keeper = Some(keeper),
            Err(error) => {
                tracing::warn!("{place}: exemplars will not survive a restart: {error}");
            }
        }
    }

    /// Takes one. That which the series has as its newest is not taken again, and no mistake.
    pub fn add(&self, series: &Labels, exemplar: Exemplar) -> Result<(), Refusal> {
        let long = |text: &str| text.chars().count();
        let length: usize = exemplar.labels.iter().map(|(n, v)| long(n) + long(v)).sum();
        if length > CHARACTERS {
            return Err(Refusal::Length);
        }
        self.ring().add(series, exemplar, self.capacity)
    }

    /// Gives to the kernel what was taken.
    pub fn flush(&self) {
        let mut ring = self.ring();
        if let Some(Err(error)) = ring.keeper.as_mut().map(Keeper::flush) {
            tracing::warn!("exemplars cannot be written, and are not from now on: {error}");
            ring.keeper = None;
        }
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
    fn add(&mut self, series: &Labels, exemplar: Exemplar, capacity: usize) -> Result<(), Refusal> {
        if let Some(newest) = self.series.get(series).and_then(VecDeque::back) {
            let order = (exemplar.time_ms.cmp(&newest.time_ms))
                .then(exemplar.value.total_cmp(&newest.value))
                .then_with(|| exemplar.labels.cmp(&newest.labels));
            match order {
                Ordering::Equal => return Ok(()),
                Ordering::Less => return Err(Refusal::OutOfOrder),
                Ordering::Greater => {}
            }
        }
        if self.arrivals.len() >= capacity {
            self.forget_oldest();
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.add(series, &exemplar);
        }
        self.arrivals.push_back(series.clone());
        self.series.entry(series.clone()).or_default().push_back(exemplar);
        Ok(())
    }

    /// All of them, in the order in which they came.
    fn in_order(&self) -> impl Iterator<Item = (&Labels, &Exemplar)> {
        let mut seen: HashMap<&Labels, usize> = HashMap::new();
        self.arrivals.iter().filter_map(move |series| {
            let next = seen.entry(series).or_default();
            *next += 1;
            Some((series, self.series.get(series)?.get(*next - 1)?))
        })
    }

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

    #[test]
    fn they_come_back_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let files = || Arc::new(disk::Folder::new(dir.path()));
        let all = [vec![Matcher::equal("__name__", "m")]];
        let names = || {
            let names = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name());
            let mut names: Vec<_> = names.map(|n| n.into_string().unwrap()).collect();
            names.sort();
            names
        };
        let fresh = || {
            let kept = Exemplars::new(10);
            kept.keep_in(files());
            kept
        };
        let kept = fresh();
        assert!(names().is_empty());
        for round in 0..37 {
            let series = series(&(round % 3).to_string());
            kept.add(&series, exemplar(round, 1.0)).unwrap();
            kept.flush();
        }
        let before = kept.select(&all, 0, 100);
        assert_eq!(before.values().map(Vec::len).sum::<usize>(), 10);
        assert!(names().len() <= 2, "{:?}", names());
        drop(kept);
        // As after a crash within the last one.
        let last = dir.path().join(names().pop().unwrap());
        let mut bytes = std::fs::read(&last).unwrap();
        bytes.extend_from_slice(&[9, 0, 0, 0, 1]);
        std::fs::write(&last, &bytes).unwrap();
        let kept = fresh();
        assert_eq!(kept.select(&all, 0, 100), before);
        assert_eq!(names().len(), 1, "{:?}", names());
        // Damage is set aside, and the rest is there.
        let path = dir.path().join(names().pop().unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - 3;
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let left = fresh().select(&all, 0, 100);
        assert_eq!(left.values().map(Vec::len).sum::<usize>(), 9);
        assert!(names().contains(&"quarantine".to_owned()), "{:?}", names());
        assert_eq!(fresh().select(&all, 0, 100), left);
    }
}
