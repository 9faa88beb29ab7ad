//! A request that waits to be sent, and how one comes to be.

use crate::message::{Families, Point, Raw, put_v1, put_v2};
use crate::series::Table;
use model::{Sample, Value};
use scrape::config::Message;
use tsdb::Position;

/// How many there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Floats.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
}

impl Counts {
    /// One sample or exemplar more.
    pub fn add(&mut self, point: &Point) {
        match point {
            Point::Sample(Sample { value: Value::Float(_), .. }) => self.samples += 1,
            Point::Sample(Sample { value: Value::Histogram(_), .. }) => self.histograms += 1,
            Point::Exemplar(..) => self.exemplars += 1,
        }
    }

    /// All kinds together.
    pub fn all(&self) -> u64 {
        self.samples + self.histograms + self.exemplars
    }

    /// What is left without `other`.
    pub fn without(&self, other: Counts) -> Counts {
        Counts {
            samples: self.samples.saturating_sub(other.samples),
            histograms: self.histograms.saturating_sub(other.histograms),
            exemplars: self.exemplars.saturating_sub(other.exemplars),
        }
    }
}

/// Whether samples may have arrived before a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resent {
    /// They were not sent before.
    #[default]
    No,
    /// This very request was under way when the program ended.
    Whole,
    /// Some of them may have been: the newest marks were lost with the power.
    Some,
}

/// A request, encoded and compressed.
pub struct Batch {
    /// What is sent.
    pub body: Vec<u8>,
    /// What of it there is.
    pub counts: Counts,
    /// The end of the batch before it.
    pub from: Position,
    /// Everything of the shard before it is in this batch or one before.
    pub end: Position,
    /// The newest sample or exemplar, in milliseconds since the Unix epoch.
    pub newest_ms: i64,
    /// Whether it may have been sent before.
    pub resent: Resent,
    /// The request before compression, by series, where it may have to be sent in parts.
    pub parts: Option<Parts>,
}

/// A request of 1.0 that can be sent in parts.
pub struct Parts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    counts: Vec<Counts>,
}

impl Parts {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The request with the parts of a range, and what there is of it.
    pub fn request(&self, range: std::ops::Range<usize>) -> (Vec<u8>, Counts) {
        let end = |i: usize| i.checked_sub(1).map_or(0, |i| self.ends[i] as usize);
        let bytes = self.bytes.get(end(range.start)..end(range.end)).unwrap_or_default();
        let mut counts = Counts::default();
        for part in self.counts.get(range).unwrap_or_default() {
            counts.samples += part.samples;
            counts.histograms += part.histograms;
            counts.exemplars += part.exemplars;
        }
        (compressed(bytes), counts)
    }
}

/// Collects samples and exemplars for a batch.
#[derive(Default)]
pub struct Builder {
    raws: Vec<Raw>,
    newest_ms: Option<i64>,
}

impl Builder {
    /// Adds a sample or an exemplar.
    pub fn push(&mut self, series: u32, point: Point) {
        self.newest_ms = self.newest_ms.max(Some(point.time_ms()));
        self.raws.push(Raw { series, point });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.raws.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.raws.is_empty()
    }

    /// Makes a batch of them, and begins anew.
    pub fn finish(
        &mut self,
        message: Message,
        table: &Table,
        families: &Families,
        (from, end): (Position, Position),
        resent: Resent,
    ) -> Batch {
        let mut bytes = Vec::with_capacity(256 * self.raws.len());
        let mut parts = None;
        let count = |raw: &Raw| {
            let mut counts = Counts::default();
            counts.add(&raw.point);
            counts
        };
        match message {
            Message::V1 => {
                let ends = put_v1(table, &self.raws, &mut bytes);
                // Receivers of 1.0 may refuse a whole request for one sample that they have.
                if resent == Resent::Some {
                    let counts = self.raws.iter().map(count).collect();
                    parts = Some(Parts { bytes: bytes.clone(), ends, counts });
                }
            }
            Message::V2 => put_v2(table, &self.raws, families, &mut bytes),
        }
        let mut counts = Counts::default();
        self.raws.iter().for_each(|r| counts.add(&r.point));
        let newest_ms = self.newest_ms.take().unwrap_or(0);
        self.raws.clear();
        Batch { body: compressed(&bytes), counts, from, end, newest_ms, resent, parts }
    }
}

/// As snappy's block format has it.
pub fn compressed(bytes: &[u8]) -> Vec<u8> {
    // Fails beyond 4 GiB, which no request has.
    snap::raw::Encoder::new().compress_vec(bytes).unwrap_or_default()
}
