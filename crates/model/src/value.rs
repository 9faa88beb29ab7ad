//! The value of a sample: a float, a native histogram, or the mark that a series ended.

use crate::Histogram;
use std::sync::Arc;

/// The bits of the NaN that marks a series as stale (Prometheus `pkg/value`).
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The stale marker as a float. Compare with [`is_stale`], never with `==`.
pub const STALE: f64 = f64::from_bits(STALE_BITS);

/// The bits of the NaN that a scraped `NaN` becomes.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Whether `value` is the stale marker, to the bit.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// What a series was at one time.
#[derive(Clone, Debug)]
pub enum Value {
    /// A float; the stale marker is one (see [`is_stale`]).
    Float(f64),
    /// A native histogram; one whose sum is the stale marker marks the series stale.
    Histogram(Arc<Histogram>),
}

/// A value at a time.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// When the counter began to count, in milliseconds since the Unix epoch; 0 where unknown.
    pub start_ms: i64,
    /// The value.
    pub value: Value,
}
