//! Native histograms as Prometheus 3 defines them: exponential schemas -4 to 8 and custom bounds
//! (schema -53), with counts as floats (exact for whole numbers below 2^53).

mod arithmetic;
mod bounds;
mod buckets;
mod side;
mod trim;

pub use arithmetic::{Combined, IncompatibleSchemas, kahan_add};
pub use buckets::Bucket;

use std::sync::Arc;

/// The schema number of histograms whose bucket bounds are given explicitly.
pub const CUSTOM_BOUNDS_SCHEMA: i32 = -53;

/// What is known about a counter reset between a histogram and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetHint {
    /// Nothing is known: compare the two.
    #[default]
    Unknown,
    /// There was a reset.
    Reset,
    /// There was none.
    NotReset,
    /// A gauge histogram: resets have no meaning.
    Gauge,
}

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Gap to the span before it, in buckets; of the first span, the index of its first bucket.
    pub offset: i32,
    /// How many buckets follow.
    pub length: u32,
}

/// A native histogram with absolute bucket counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// What is known about a reset before it.
    pub reset_hint: ResetHint,
    /// -4 to 8, or [`CUSTOM_BOUNDS_SCHEMA`].
    pub schema: i32,
    /// Observations with an absolute value up to this count into `zero_count`.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// The sum of all observations; the stale marker's bits mark the series stale.
    pub sum: f64,
    /// Where the positive buckets lie.
    pub positive_spans: Vec<Span>,
    /// Their counts, one for each bucket that the spans name.
    pub positive_buckets: Vec<f64>,
    /// Where the negative buckets lie.
    pub negative_spans: Vec<Span>,
    /// Their counts.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of the buckets, for [`CUSTOM_BOUNDS_SCHEMA`] only; the last, +Inf, is implied.
    pub custom_bounds: Arc<[f64]>,
}

impl Histogram {
    /// Whether its buckets have explicit bounds.
    pub fn uses_custom_bounds(&self) -> bool {
        self.schema == CUSTOM_BOUNDS_SCHEMA
    }

    /// How many floats of 16 bytes (value and time) it weighs, as Prometheus counts samples.
    pub fn weight(&self) -> usize {
        let spans = self.positive_spans.len() + self.negative_spans.len();
        let buckets = self.positive_buckets.len() + self.negative_buckets.len();
        (168 + 8 * (spans + buckets + self.custom_bounds.len()) + 8) / 16
    }

    /// Equal to the bit, hint and zero-length spans aside.
    pub fn same_value(&self, other: &Histogram) -> bool {
        let bits = |a: &[f64], b: &[f64]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
        };
        self.schema == other.schema
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && (!self.uses_custom_bounds() || self.custom_bounds == other.custom_bounds)
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && side::same_layout(&self.negative_spans, &other.negative_spans)
            && bits(&self.negative_buckets, &other.negative_buckets)
            && side::same_layout(&self.positive_spans, &other.positive_spans)
            && bits(&self.positive_buckets, &other.positive_buckets)
    }
}
