//! Native histograms as Prometheus 3 defines them: exponential schemas -4 to 8 and custom bounds
//! (schema -53), with counts as floats (exact for whole numbers below 2^53).

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
