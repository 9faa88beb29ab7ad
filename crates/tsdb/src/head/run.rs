//! The samples of one series outside of any group. What comes in order is kept as bytes, as many as its
//! changes need, and sealed to a page now and then; what comes late lies beside them, sorted.
//!
//! The bytes are, for each sample, its time and a change (`docs/formats/log.md`, Changes) from the sample
//! before: the first time whole, then by how much its distance to the time before differs from the distance
//! before that. They live in memory only; nothing of them is ever written to a file.

use super::changes::Changes;
use super::chunk::{self, CHUNK_TICKS, Chunk};
use crate::block::Page;
use crate::change::{self, Kind, State, Step};
use crate::codec::{CodecError, put_varint, zigzag};
use crate::cursor::Cursor;
use model::{Sample, Value};
use std::sync::Arc;

/// Samples of a series, each time once.
#[derive(Clone)]
pub(crate) struct Run {
    open: Changes,
    /// Samples in `open`.
    count: u32,
    /// From the sample before the newest to the newest, as [`guess`] has it.
    distance: u32,
    /// Of the newest sample.
    last_ms: i64,
    /// The bits of the newest float in `open`.
    bits: u64,
    /// The start of the newest sample in `open`.
    start_ms: i64,
    rest: Option<Box<Rest>>,
}

/// What most runs do not have.
#[derive(Clone, Default)]
struct Rest {
    /// Samples before those in `open`, oldest first.
    sealed: Vec<Arc<Chunk>>,
    /// Samples that came when there were newer ones, sorted by time.
    late: Vec<Sample>,
}

/// By what distance the next sample is expected, after one at this distance.
fn guess(distance: i64) -> u32 {
    u32::try_from(distance).unwrap_or(0)
}

impl Run {
    /// A run without samples.
    pub fn new() -> Run {
        Run {
            open: Changes::new(),
            count: 0,
            distance: 0,
            last_ms: i64::MIN,
            bits: 0,
            start_ms: 0,
            rest: None,
        }
    }

    /// Adds a sample whose value is a step from nothing; false where there is one at its time.
    /// `scratch` is overwritten.
    pub fn push(
        &mut self,
        time_ms: i64,
        start_ms: i64,
        value: Step<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<bool, CodecError> {
        let any = self.count > 0 || self.rest.is_some();
        if any && time_ms <= self.last_ms {
            return self.push_late(time_ms, start_ms, value);
        }
        if let Step::Histogram(page) = value {
            // What is kept can be read.
            change::read_histogram(page)?;
        }
        if self.count as usize >= CHUNK_TICKS {
            self.seal()?;
        }
        scratch.clear();
        if self.count == 0 {
            put_varint(zigzag(time_ms), scratch);
        } else {
            let distance = time_ms.wrapping_sub(self.last_ms);
            put_varint(zigzag(distance.wrapping_sub(i64::from(self.distance))), scratch);
            self.distance = guess(distance);
        }
        if start_ms != self.start_ms {
            change::put(Step::Start(start_ms), scratch);
            self.start_ms = start_ms;
        }
        match value {
            Step::Float(bits) => {
                change::put(change::float_step(self.bits, bits), scratch);
                self.bits = bits;
            }
            Step::Histogram(_) => change::put(value, scratch),
            _ => return Err(CodecError::Invalid("value")),
        }
        self.open.extend(scratch);
        self.count += 1;
        self.last_ms = time_ms;
        Ok(true)
    }

    fn push_late(
        &mut self,
        time_ms: i64,
        start_ms: i64,
        value: Step<'_>,
    ) -> Result<bool, CodecError> {
        if self.find(time_ms)?.is_some() {
            return Ok(false);
        }
        let value = match value {
            Step::Float(bits) => Value::Float(f64::from_bits(bits)),
            Step::Histogram(page) => Value::Histogram(change::read_histogram(page)?),
            _ => return Err(CodecError::Invalid("value")),
        };
        let late = &mut self.rest.get_or_insert_default().late;
        let at = late.partition_point(|s| s.time_ms < time_ms);
        late.insert(at, Sample { time_ms, start_ms, value });
        Ok(true)
    }

    /// Makes a page of what is open.
    fn seal(&mut self) -> Result<(), CodecError> {
        let (mut times_ms, mut page) = (Vec::with_capacity(CHUNK_TICKS), Page::default());
        each(self.open.as_slice(), |sample| {
            times_ms.push(sample.time_ms);
            page.push_next(&sample);
        })?;
        let chunk = Chunk::of_one(chunk::next_id(), &times_ms, &page);
        self.rest.get_or_insert_default().sealed.push(Arc::new(chunk));
        self.open = Changes::new();
        (self.count, self.distance, self.bits, self.start_ms) = (0, 0, 0, 0);
        Ok(())
    }

    /// The sample at a time.
    pub fn find(&self, time_ms: i64) -> Result<Option<Sample>, CodecError> {
        if let Ok(at) = self.late().binary_search_by_key(&time_ms, |s| s.time_ms) {
            return Ok(Some(self.late()[at].clone()));
        }
        let mut found = None;
        let mut see = |sample: Sample| {
            if sample.time_ms == time_ms {
                found = Some(sample);
            }
        };
        if self.open_span().is_some_and(|(min, max)| (min..=max).contains(&time_ms)) {
            each(self.open.as_slice(), &mut see)?;
        } else {
            let sealed = self.sealed();
            let at = sealed.partition_point(|c| c.max_ms < time_ms);
            if let Some(chunk) = sealed.get(at).filter(|c| c.min_ms <= time_ms) {
                each_sealed(chunk, &mut see)?;
            }
        }
        Ok(found)
    }

    /// All samples, sorted by time.
    pub fn samples(&self) -> Result<Vec<Sample>, CodecError> {
        let count = self.sealed().len() * CHUNK_TICKS + self.count as usize + self.late().len();
        let mut samples = Vec::with_capacity(count);
        for chunk in self.sealed() {
            each_sealed(chunk, |s| samples.push(s))?;
        }
        each(self.open.as_slice(), |s| samples.push(s))?;
        if !self.late().is_empty() {
            samples.extend_from_slice(self.late());
            samples.sort_by_key(|s| s.time_ms);
        }
        Ok(samples)
    }

    /// What is sealed, oldest first; the samples of a chunk are those of its slot 0.
    pub fn sealed(&self) -> &[Arc<Chunk>] {
        self.rest.as_ref().map_or(&[], |r| &r.sealed)
    }

    /// The bytes of what came in order since, for [`each`].
    pub fn open(&self) -> &[u8] {
        self.open.as_slice()
    }

    /// The first and the last time in [`Run::open`].
    pub fn open_span(&self) -> Option<(i64, i64)> {
        let first = Cursor(self.open.as_slice()).signed().ok()?;
        Some((first, self.last_ms))
    }

    /// What came late, sorted by time.
    pub fn late(&self) -> &[Sample] {
        self.rest.as_ref().map_or(&[], |r| &r.late)
    }

    /// Bytes of memory, about.
    pub fn memory(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |rest| {
            let sealed: usize = rest.sealed.iter().map(|c| c.memory() + 24).sum();
            size_of::<Rest>() + sealed + rest.late.capacity() * size_of::<Sample>()
        });
        size_of::<Run>() + self.open.memory() + rest
    }
}

/// Shows the samples that bytes of a run hold, in order.
pub(crate) fn each(bytes: &[u8], mut see: impl FnMut(Sample)) -> Result<(), CodecError> {
    let (mut cursor, mut state) = (Cursor(bytes), State::default());
    let (mut time_ms, mut distance, mut first) = (0i64, 0u32, true);
    while !cursor.0.is_empty() {
        let number = cursor.signed()?;
        if first {
            time_ms = number;
            first = false;
        } else {
            let whole = number.wrapping_add(i64::from(distance));
            time_ms = time_ms.wrapping_add(whole);
            distance = guess(whole);
        }
        loop {
            let step = change::take(&mut cursor)?;
            state.step(step)?;
            if !matches!(step, Step::Start(_)) {
                break;
            }
        }
        let value = match (state.kind, state.histogram()) {
            (Kind::Histogram, Some(histogram)) => Value::Histogram(Arc::clone(histogram)),
            _ => Value::Float(f64::from_bits(state.bits)),
        };
        see(Sample { time_ms, start_ms: state.start_ms(), value });
    }
    Ok(())
}

fn each_sealed(chunk: &Chunk, mut see: impl FnMut(Sample)) -> Result<(), CodecError> {
    let (mut times_ms, mut page) = (Vec::new(), Page::default());
    chunk.read_times(&mut times_ms)?;
    chunk.read(0, &mut page)?;
    let mut histograms = page.histograms.into_iter().peekable();
    for (i, (time_ms, float)) in times_ms.into_iter().zip(page.floats).enumerate() {
        let value = match histograms.next_if(|h| h.0 as usize == i) {
            Some((_, histogram)) => Value::Histogram(histogram),
            None => Value::Float(float),
        };
        let start_ms = page.starts_ms.get(i).copied().unwrap_or(0);
        see(Sample { time_ms, start_ms, value });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Histogram;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Bits of a sample, to be compared.
    fn bits(sample: &Sample) -> (i64, i64, u64, String) {
        let (float, histogram) = match &sample.value {
            Value::Float(v) => (v.to_bits(), String::new()),
            Value::Histogram(h) => (0, format!("{h:?}")),
        };
        (sample.time_ms, sample.start_ms, float, histogram)
    }

    fn push(run: &mut Run, sample: &Sample) -> bool {
        let (mut page, mut scratch) = (Vec::new(), Vec::new());
        let step = match &sample.value {
            Value::Float(v) => Step::Float(v.to_bits()),
            Value::Histogram(h) => {
                change::histogram_bytes(h, &mut page);
                Step::Histogram(&page)
            }
        };
        run.push(sample.time_ms, sample.start_ms, step, &mut scratch).expect("pushes")
    }

    /// Distances that go on, stray, jump and turn back, to the ends of time.
    fn distances() -> impl Strategy<Value = i64> {
        prop_oneof![
            8 => Just(15_000i64),
            2 => 14_990i64..15_010,
            1 => -40_000i64..1,
            1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()],
        ]
    }

    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            4 => (0i32..5).prop_map(|n| Value::Float(f64::from(n) * 0.25)),
            2 => any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
            1 => Just(Value::Float(model::value::STALE)),
            1 => (0i32..9).prop_map(|n| {
                let (count, sum) = (f64::from(n), f64::from(n) * 1.5);
                Value::Histogram(Arc::new(Histogram { count, sum, ..Histogram::default() }))
            }),
        ]
    }

    #[test]
    fn a_run_is_small() {
        assert_eq!(size_of::<Run>(), 64);
        let mut run = Run::new();
        for i in 0..120 {
            let value = Value::Float(f64::from(i) * 0.25);
            assert!(push(&mut run, &Sample { time_ms: i64::from(i) * 15_000, start_ms: 0, value }));
        }
        assert!(run.memory() < 120 * 5, "{}", run.memory());
    }

    proptest! {
        #[test]
        fn a_run_is_a_map_by_time(
            begin in prop_oneof![Just(0i64), Just(1_700_000_000_000), any::<i64>()],
            rows in prop::collection::vec((distances(), 0u8..10, values()), 0..600),
        ) {
            let (mut run, mut naive) = (Run::new(), BTreeMap::new());
            let (mut time_ms, mut start_ms) = (begin, 0);
            for (distance, start, value) in rows {
                start_ms = if start == 0 { time_ms.wrapping_sub(1000) } else { start_ms };
                start_ms = if start == 1 { 0 } else { start_ms };
                let sample = Sample { time_ms, start_ms, value };
                let known = naive.get(&time_ms).map(bits);
                prop_assert_eq!(run.find(time_ms).unwrap().as_ref().map(bits), known.clone());
                prop_assert_eq!(push(&mut run, &sample), known.is_none());
                naive.entry(time_ms).or_insert(sample);
                time_ms = time_ms.wrapping_add(distance);
            }
            let expected: Vec<_> = naive.values().map(bits).collect();
            let found: Vec<_> = run.samples().unwrap().iter().map(bits).collect();
            prop_assert_eq!(&found, &expected);
            // The parts that readers take are the same samples.
            let mut parts = BTreeMap::new();
            for chunk in run.sealed() {
                each_sealed(chunk, |s| { parts.insert(s.time_ms, bits(&s)); }).unwrap();
            }
            each(run.open(), |s| { parts.insert(s.time_ms, bits(&s)); }).unwrap();
            parts.extend(run.late().iter().map(|s| (s.time_ms, bits(s))));
            prop_assert_eq!(parts.into_values().collect::<Vec<_>>(), expected);
        }
    }
}
