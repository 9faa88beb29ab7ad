//! A store that is right by being simple: a map from series and time to the first sample written.

use crate::{Db, Group};
use model::value::STALE;
use model::{Columns, Labels, Matcher, Sample, Selection, Storage, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The bits of a sample: start, float or histogram.
pub type Bits = (i64, u64, String);

/// Series, time, sample.
pub type Content = BTreeMap<Labels, BTreeMap<i64, Bits>>;

pub fn bits(sample: &Sample) -> Bits {
    match &sample.value {
        Value::Float(v) => (sample.start_ms, v.to_bits(), String::new()),
        Value::Histogram(h) => (sample.start_ms, 0, format!("{h:?}")),
    }
}

/// What a naive store would hold. The out-of-order window is taken to be endless.
#[derive(Clone, Default)]
pub struct Naive {
    pub content: Content,
    /// Every sample that was ever handed in: nothing else may ever be read.
    pub submitted: BTreeMap<(Labels, i64), BTreeSet<Bits>>,
    writers: BTreeMap<usize, Writer>,
}

#[derive(Clone, Default)]
struct Writer {
    last_ms: Option<i64>,
    present: BTreeSet<Labels>,
}

impl Naive {
    fn last(&self, labels: &Labels) -> Option<i64> {
        self.content.get(labels)?.keys().next_back().copied()
    }

    fn put(&mut self, labels: &Labels, sample: &Sample) {
        let value = bits(sample);
        let all = self.submitted.entry((labels.clone(), sample.time_ms)).or_default();
        all.insert(value.clone());
        let series = self.content.entry(labels.clone()).or_default();
        series.entry(sample.time_ms).or_insert(value);
    }

    /// A round of a writer; all samples carry its time.
    pub fn round(&mut self, writer: usize, time_ms: i64, rows: &[(Labels, Sample)]) {
        let state = self.writers.entry(writer).or_default().clone();
        let ticks = state.last_ms.is_none_or(|l| time_ms > l);
        let mut joined = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for (labels, sample) in rows {
            if !seen.insert(labels.clone()) {
                continue;
            }
            if self.last(labels).is_none_or(|l| time_ms > l) {
                if ticks {
                    joined.insert(labels.clone());
                } else {
                    self.leave(labels);
                }
            }
            self.put(labels, sample);
        }
        let rows_join = !joined.is_empty();
        if !ticks || (!rows_join && state.present.is_empty()) {
            return;
        }
        for labels in state.present.difference(&joined) {
            let value = Value::Float(STALE);
            self.put(labels, &Sample { time_ms, start_ms: 0, value });
        }
        for other in self.writers.values_mut() {
            other.present.retain(|l| !joined.contains(l));
        }
        let is_stale = |l: &Labels| {
            let value = |(_, s): &&(Labels, Sample)| matches!(s.value, Value::Float(v) if model::value::is_stale(v));
            rows.iter().find(|r| r.0 == *l).filter(value).is_some()
        };
        let present = joined.into_iter().filter(|l| !is_stale(l)).collect();
        self.writers.insert(writer, Writer { last_ms: Some(time_ms), present });
    }

    /// A series with a sample beside its group, and newer, is the group's no more.
    fn leave(&mut self, labels: &Labels) {
        self.writers.values_mut().for_each(|w| {
            w.present.remove(labels);
        });
    }

    /// Samples beside any group.
    pub fn append(&mut self, samples: &[(Labels, Sample)]) {
        for (labels, sample) in samples {
            if self.last(labels).is_none_or(|l| sample.time_ms > l) {
                self.leave(labels);
            }
            self.put(labels, sample);
        }
    }

    /// Every writer begins anew, and what is there is what was read.
    pub fn restart(&mut self, content: Content) {
        self.content = content;
        self.writers.clear();
    }
}

/// Writes the same round to the store.
pub fn write_round(
    group: &mut Group,
    time_ms: i64,
    rows: &[(Labels, Sample)],
) -> Result<crate::Committed, crate::Error> {
    let mut batch = group.begin(time_ms);
    for (labels, sample) in rows {
        batch.push(labels, sample.clone());
    }
    batch.commit()
}

/// Everything that the store has between two times; and the warnings.
pub fn read(db: &Db, start_ms: i64, end_ms: i64) -> (Content, Vec<String>) {
    let matchers: [Matcher; 0] = [];
    let selection = Selection { matchers: &matchers, start_ms, end_ms, ..Selection::default() };
    let mut set = db.select(&selection).expect("selects");
    let (mut content, mut columns) = (Content::new(), Columns::default());
    let mut before: Option<Labels> = None;
    let mut ids: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    while let Some(labels) = set.next().expect("goes on") {
        assert!(before.as_ref().is_none_or(|b| *b < labels), "{before:?} comes before {labels}");
        before = Some(labels.clone());
        set.read(&mut columns).expect("reads");
        let n = columns.times_ms.len();
        assert_eq!(columns.floats.len(), n);
        assert!(columns.starts_ms.is_empty() || columns.starts_ms.len() == n);
        assert!(columns.times_ms.is_sorted_by(|a, b| a < b), "{labels}: {:?}", columns.times_ms);
        if columns.times_id != 0 {
            let same = ids.entry(columns.times_id).or_insert_with(|| columns.times_ms.clone());
            assert_eq!(*same, columns.times_ms, "{labels}: the same times_id, other times");
        }
        let mut series = BTreeMap::new();
        for (i, time) in columns.times_ms.iter().enumerate() {
            let histogram = columns.histograms.iter().find(|h| h.0 as usize == i);
            let start = columns.starts_ms.get(i).copied().unwrap_or(0);
            let text = histogram.map_or(String::new(), |h| format!("{:?}", h.1));
            series.insert(*time, (start, columns.floats[i].to_bits(), text));
        }
        if !series.is_empty() {
            content.insert(labels, series);
        }
    }
    let warnings = set.warnings();
    (content, warnings)
}

/// The part of a content between two times.
pub fn within(content: &Content, start_ms: i64, end_ms: i64) -> Content {
    let part = content.iter().map(|(labels, series)| {
        let part = series.range(start_ms..=end_ms).map(|(t, b)| (*t, b.clone()));
        (labels.clone(), part.collect::<BTreeMap<_, _>>())
    });
    part.filter(|p| !p.1.is_empty()).collect()
}

/// The first difference of two contents, for people.
pub fn difference(found: &Content, expected: &Content) -> Option<String> {
    for labels in expected.keys().chain(found.keys()) {
        let empty = BTreeMap::new();
        let (a, b) = (found.get(labels).unwrap_or(&empty), expected.get(labels).unwrap_or(&empty));
        for time in a.keys().chain(b.keys()) {
            if a.get(time) != b.get(time) {
                let (a, b) = (a.get(time), b.get(time));
                return Some(format!("{labels} at {time}: found {a:?}, expected {b:?}"));
            }
        }
    }
    None
}
