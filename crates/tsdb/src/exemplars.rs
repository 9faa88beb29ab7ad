//! Exemplars: the newest of all series, of a fixed number; the oldest goes when a new one comes.
//!
//! They are part of the head, and changed by records of the log as everything there. What is taken and
//! what is refused is Prometheus's (`tsdb/exemplar.go`); never here: samples.

use model::{Labels, Matcher};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, VecDeque};

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
pub enum ExemplarRefusal {
    /// It is older than the newest of its series.
    #[error("out of order exemplar")]
    OutOfOrder,
    /// Its labels are longer than OpenMetrics allows.
    #[error("label length for exemplar exceeds maximum of 128 UTF-8 characters")]
    Length,
    /// Its series is new, and there are as many as there may be.
    #[error("the series of the exemplar is not known")]
    NoRoom,
}

/// Characters that all labels of an exemplar may have (OpenMetrics 1.0).
const CHARACTERS: usize = 128;

/// An exemplar as it was handed in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub exemplar: Exemplar,
    /// Whether its time is its own. Where it is that of the sample it came with, the same exemplar
    /// comes again and again, each time with another time.
    pub stated: bool,
}

impl Entry {
    /// With a time of its own.
    pub fn stated(exemplar: Exemplar) -> Entry {
        Entry { exemplar, stated: true }
    }

    /// By time, value and labels.
    pub fn compare(&self, other: &Entry) -> Ordering {
        let (a, b) = (&self.exemplar, &other.exemplar);
        (a.time_ms.cmp(&b.time_ms))
            .then(a.value.total_cmp(&b.value))
            .then_with(|| a.labels.cmp(&b.labels))
    }

    fn is_same(&self, other: &Entry) -> bool {
        let (a, b) = (&self.exemplar, &other.exemplar);
        let timed = self.stated || other.stated;
        (!timed || a.time_ms == b.time_ms)
            && a.value.to_bits() == b.value.to_bits()
            && a.labels == b.labels
    }

    /// Whether it is to be kept beside the newest of its series: one that is there is no mistake.
    fn judge(&self, newest: Option<&Entry>) -> Result<bool, ExemplarRefusal> {
        let Some(newest) = newest else { return Ok(true) };
        if self.is_same(newest) {
            return Ok(false);
        }
        match self.compare(newest) {
            Ordering::Less => Err(ExemplarRefusal::OutOfOrder),
            Ordering::Equal => Ok(false),
            Ordering::Greater => Ok(true),
        }
    }
}

/// Those that are kept.
pub(crate) struct Exemplars {
    capacity: usize,
    /// The series of each, in the order in which they came.
    arrivals: VecDeque<Labels>,
    /// Of each series, those that are kept, oldest first.
    series: HashMap<Labels, VecDeque<Entry>>,
    newest_ms: i64,
}

impl Default for Exemplars {
    fn default() -> Exemplars {
        let (arrivals, series) = (VecDeque::new(), HashMap::new());
        Exemplars { capacity: 0, arrivals, series, newest_ms: i64::MIN }
    }
}

impl Exemplars {
    /// How many are kept from now on; the oldest of those beyond go. 0 keeps none.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        while self.arrivals.len() > capacity {
            self.forget_oldest();
        }
    }

    /// How many may be kept.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.arrivals.len()
    }

    /// Of how many series some are kept.
    pub fn series(&self) -> usize {
        self.series.len()
    }

    /// The time of the newest that came, where one did.
    pub fn newest_ms(&self) -> Option<i64> {
        (self.newest_ms > i64::MIN).then_some(self.newest_ms)
    }

    /// Keeps one, if it is to be kept beside those of its series.
    pub fn add(&mut self, series: &Labels, entry: Entry) {
        let newest = self.series.get(series).and_then(VecDeque::back);
        if self.capacity == 0 || entry.judge(newest) != Ok(true) {
            return;
        }
        while self.arrivals.len() >= self.capacity {
            self.forget_oldest();
        }
        self.newest_ms = self.newest_ms.max(entry.exemplar.time_ms);
        self.arrivals.push_back(series.clone());
        self.series.entry(series.clone()).or_default().push_back(entry);
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

    /// All of them with their series, in the order in which they came.
    pub fn in_order(&self) -> impl Iterator<Item = (&Labels, &Entry)> {
        let mut seen: HashMap<&Labels, usize> = HashMap::new();
        self.arrivals.iter().filter_map(move |series| {
            let next = seen.entry(series).or_default();
            *next += 1;
            Some((series, self.series.get(series)?.get(*next - 1)?))
        })
    }

    /// Those between two times, both included, of the series that any of the matcher sets select.
    pub fn select(
        &self,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> BTreeMap<Labels, Vec<Exemplar>> {
        let matches = |labels: &Labels, m: &Matcher| m.matches(labels.get(&m.name).unwrap_or(""));
        let selected = |labels: &Labels| sets.iter().any(|s| s.iter().all(|m| matches(labels, m)));
        let of_time = |list: &VecDeque<Entry>| -> Vec<Exemplar> {
            let all = list.iter().map(|e| &e.exemplar);
            all.filter(|e| (start_ms..=end_ms).contains(&e.time_ms)).cloned().collect()
        };
        let found = self.series.iter().filter(|(labels, _)| selected(labels));
        let found = found.map(|(labels, list)| (labels.clone(), of_time(list)));
        found.filter(|(_, list)| !list.is_empty()).collect()
    }
}

/// Says which exemplars of a batch are to be written, one after the other.
pub(crate) struct Judge<'a> {
    kept: &'a Exemplars,
    /// The newest of each series among those judged so far.
    newest: HashMap<Labels, Entry>,
}

impl<'a> Judge<'a> {
    /// Beside those that are kept.
    pub fn new(kept: &'a Exemplars) -> Judge<'a> {
        Judge { kept, newest: HashMap::new() }
    }

    /// Whether one is to be written, or why it is refused.
    pub fn judge(&mut self, series: &Labels, entry: &Entry) -> Result<bool, ExemplarRefusal> {
        if self.kept.capacity == 0 {
            return Ok(false);
        }
        let long = |text: &str| text.chars().count();
        let labels = entry.exemplar.labels.iter();
        if labels.map(|(name, value)| long(name) + long(value)).sum::<usize>() > CHARACTERS {
            return Err(ExemplarRefusal::Length);
        }
        let kept = || self.kept.series.get(series).and_then(VecDeque::back);
        let new = entry.judge(self.newest.get(series).or_else(kept))?;
        if new {
            self.newest.insert(series.clone(), entry.clone());
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(n: &str) -> Labels {
        Labels::from_pairs([("__name__", "m"), ("n", n)])
    }

    fn entry(time_ms: i64, value: f64) -> Entry {
        let labels = Labels::from_pairs([("trace_id", "abc")]);
        Entry::stated(Exemplar { labels, value, time_ms })
    }

    /// As the store does it.
    fn add(kept: &mut Exemplars, series: &Labels, entry: Entry) -> Result<bool, ExemplarRefusal> {
        let judged = Judge::new(kept).judge(series, &entry);
        if judged == Ok(true) {
            kept.add(series, entry);
        }
        judged
    }

    #[test]
    fn order_and_room_are_kept() {
        let mut kept = Exemplars::default();
        assert_eq!(add(&mut kept, &series("1"), entry(10, 1.0)), Ok(false), "none are kept");
        kept.set_capacity(3);
        let refused = Err(ExemplarRefusal::OutOfOrder);
        assert_eq!(add(&mut kept, &series("1"), entry(10, 1.0)), Ok(true));
        assert_eq!(add(&mut kept, &series("1"), entry(10, 1.0)), Ok(false));
        assert_eq!(add(&mut kept, &series("1"), entry(9, 1.0)), refused);
        assert_eq!(add(&mut kept, &series("1"), entry(10, 0.5)), refused);
        assert_eq!(add(&mut kept, &series("1"), entry(10, 2.0)), Ok(true));
        let mut long = entry(20, 1.0);
        long.exemplar.labels = Labels::from_pairs([("trace_id", "é".repeat(121).as_str())]);
        assert_eq!(add(&mut kept, &series("1"), long.clone()), Err(ExemplarRefusal::Length));
        assert_eq!(add(&mut kept, &series("2"), entry(5, 1.0)), Ok(true));
        let all = [vec![Matcher::equal("__name__", "m")]];
        let count = |kept: &Exemplars, from, to| {
            kept.select(&all, from, to).values().map(Vec::len).sum::<usize>()
        };
        assert_eq!((count(&kept, 0, 100), count(&kept, 6, 100), count(&kept, 0, 9)), (3, 2, 1));
        assert_eq!(add(&mut kept, &series("3"), entry(30, 1.0)), Ok(true));
        assert_eq!(add(&mut kept, &series("3"), entry(31, 1.0)), Ok(true));
        assert_eq!(kept.select(&all, 0, 100).len(), 2);
        assert_eq!((count(&kept, 0, 100), kept.len(), kept.series()), (3, 3, 2));
        assert!(!kept.series.contains_key(&series("1")));
        let times: Vec<i64> = kept.in_order().map(|e| e.1.exemplar.time_ms).collect();
        assert_eq!(times, [5, 30, 31]);
        assert_eq!(kept.newest_ms(), Some(31));
        kept.set_capacity(1);
        assert_eq!((count(&kept, 0, 100), count(&kept, 31, 31)), (1, 1));
    }

    #[test]
    fn one_without_a_time_of_its_own_is_not_taken_again() {
        let mut kept = Exemplars::default();
        kept.set_capacity(10);
        let of_sample = |time_ms, value| Entry { stated: false, ..entry(time_ms, value) };
        assert_eq!(add(&mut kept, &series("1"), of_sample(10, 1.0)), Ok(true));
        assert_eq!(add(&mut kept, &series("1"), of_sample(20, 1.0)), Ok(false));
        assert_eq!(add(&mut kept, &series("1"), of_sample(30, 2.0)), Ok(true));
        assert_eq!(add(&mut kept, &series("1"), entry(40, 2.0)), Ok(true), "says its time");
    }
}
