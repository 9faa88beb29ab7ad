//! Ticks of a group in the head: open, as changes; then sealed, as pages.

use crate::block::{Page, Points, read_page, write_page};
use crate::change::{self, Kind, State, Step};
use crate::codec::{self, CodecError};
use crate::cursor::Cursor;
use model::value::STALE;
use model::{Sample, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Ticks after which an open chunk is sealed.
pub(crate) const CHUNK_TICKS: usize = 128;

/// Sealed ticks of a group with what its slots have at them.
pub(crate) struct Chunk {
    /// Distinguishes the chunks of this process.
    pub id: u64,
    pub min_ms: i64,
    pub max_ms: i64,
    pub ticks: u32,
    times: Box<[u8]>,
    /// The end of each slot's page in `pages`; a slot without samples has none.
    ends: Box<[u32]>,
    pages: Box<[u8]>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A number that no other chunk of this process has.
pub(crate) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

impl Chunk {
    /// Seals the columns of a group at `times_ms`, which are not empty.
    pub fn seal<'a>(id: u64, times_ms: &[i64], columns: impl Iterator<Item = &'a [u8]>) -> Chunk {
        let (mut pages, mut ends, mut page) = (Vec::new(), Vec::new(), Page::default());
        for changes in columns {
            // What was applied was checked; a column that cannot be read has no samples.
            if read_open(changes, times_ms.len(), &mut page).is_ok() && page.len() > 0 {
                write_page(&page.points(), &mut pages);
            }
            ends.push(pages.len() as u32);
        }
        Chunk::of_pages(id, times_ms, pages, ends)
    }

    /// Seals what one slot has at all of `times_ms`, which are not empty.
    pub fn of_one(id: u64, times_ms: &[i64], page: &Page) -> Chunk {
        let mut pages = Vec::new();
        write_page(&page.points(), &mut pages);
        let end = pages.len() as u32;
        Chunk::of_pages(id, times_ms, pages, vec![end])
    }

    fn of_pages(id: u64, times_ms: &[i64], pages: Vec<u8>, ends: Vec<u32>) -> Chunk {
        let mut times = Vec::new();
        codec::encode_ints(times_ms, &mut times);
        Chunk {
            id,
            min_ms: times_ms.first().copied().unwrap_or(0),
            max_ms: times_ms.last().copied().unwrap_or(0),
            ticks: times_ms.len() as u32,
            times: times.into(),
            ends: ends.into(),
            pages: pages.into(),
        }
    }

    /// Whether a slot has samples here.
    pub fn has(&self, slot: u32) -> bool {
        !self.page(slot).is_empty()
    }

    fn page(&self, slot: u32) -> &[u8] {
        let slot = slot as usize;
        let Some(end) = self.ends.get(slot) else { return &[] };
        let begin = if slot == 0 { 0 } else { self.ends[slot - 1] };
        &self.pages[begin as usize..*end as usize]
    }

    /// Appends the times of the ticks.
    pub fn read_times(&self, out: &mut Vec<i64>) -> Result<(), CodecError> {
        codec::decode_ints(&self.times, self.ticks as usize, out).map(|_| ())
    }

    /// Reads what a slot has.
    pub fn read(&self, slot: u32, page: &mut Page) -> Result<(), CodecError> {
        match self.page(slot) {
            [] => {
                page.clear();
                Ok(())
            }
            bytes => read_page(bytes, self.ticks as usize, page),
        }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        size_of::<Chunk>() + self.times.len() + self.ends.len() * 4 + self.pages.len()
    }
}

impl Page {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.ticks.clear();
        self.floats.clear();
        self.histograms.clear();
        self.starts_ms.clear();
        self.all = false;
    }

    /// Adds a sample at the tick after the last one; all ticks have one.
    pub fn push_next(&mut self, sample: &Sample) {
        self.all = true;
        let float = match &sample.value {
            Value::Float(v) => *v,
            Value::Histogram(h) => {
                self.histograms.push((self.floats.len() as u32, Arc::clone(h)));
                0.0
            }
        };
        self.push_value(float, sample.start_ms);
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.floats.len()
    }

    /// The same as what is written.
    pub fn points(&self) -> Points<'_> {
        Points {
            ticks: (!self.all).then_some(&self.ticks),
            floats: &self.floats,
            histograms: &self.histograms,
            starts_ms: &self.starts_ms,
        }
    }

    /// Adds what `state` has at the ticks of a range.
    fn extend(&mut self, state: &State, ticks: std::ops::Range<u32>) {
        let (value, start) = match state.kind {
            Kind::Absent => return,
            Kind::Float => (f64::from_bits(state.bits), state.start_ms()),
            Kind::Histogram => (0.0, state.start_ms()),
        };
        for tick in ticks {
            if let (Kind::Histogram, Some(h)) = (state.kind, state.histogram()) {
                self.histograms.push((self.floats.len() as u32, h.clone()));
            }
            self.push(tick, value, start);
        }
    }

    fn push(&mut self, tick: u32, value: f64, start_ms: i64) {
        self.ticks.push(tick);
        self.push_value(value, start_ms);
    }

    fn push_value(&mut self, value: f64, start_ms: i64) {
        if start_ms != 0 && self.starts_ms.is_empty() {
            self.starts_ms.resize(self.floats.len(), 0);
        }
        if start_ms != 0 || !self.starts_ms.is_empty() {
            self.starts_ms.push(start_ms);
        }
        self.floats.push(value);
    }
}

/// Reads an open column: what changed from its first tick on.
pub(crate) fn read_open(changes: &[u8], ticks: usize, page: &mut Page) -> Result<(), CodecError> {
    page.clear();
    let mut state = State::default();
    let (mut cursor, mut tick, mut from) = (Cursor(changes), 0u64, 0u32);
    while !cursor.0.is_empty() {
        tick = tick.saturating_add(cursor.varint()?);
        // What changes after the last tick is not seen yet.
        let Some(at) = u32::try_from(tick).ok().filter(|t| (*t as usize) < ticks) else { break };
        page.extend(&state, from..at);
        from = at;
        loop {
            let step = change::take(&mut cursor)?;
            if state.step(step)? {
                page.push(at, STALE, state.start_ms());
                from = at + 1;
            }
            if !matches!(step, Step::Start(_)) {
                break;
            }
        }
    }
    page.extend(&state, from..ticks as u32);
    page.all = page.len() == ticks;
    Ok(())
}
