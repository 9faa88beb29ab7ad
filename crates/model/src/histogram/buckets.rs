//! Buckets with their bounds, in order.

use super::bounds::exponential_bound;
use super::side::cells;
use super::{CUSTOM_BOUNDS_SCHEMA, Histogram};
use std::fmt;

/// A bucket and its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether the lower bound belongs to it.
    pub lower_inclusive: bool,
    /// Whether the upper bound belongs to it.
    pub upper_inclusive: bool,
    /// How many observations are in it.
    pub count: f64,
}

impl Bucket {
    /// Which part of it lies below `value`: linear, or on a logarithmic scale.
    pub fn fraction_below(&self, value: f64, linear: bool) -> f64 {
        if linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let log = |v: f64| v.abs().log2();
        let (lower, upper, at) = (log(self.lower), log(self.upper), log(value));
        if value > 0.0 {
            (at - lower) / (upper - lower)
        } else {
            1.0 - (at - upper) / (lower - upper)
        }
    }
}

impl Histogram {
    /// The upper bound of bucket `index` of the positive side.
    fn bound(&self, index: i32) -> f64 {
        if self.schema != CUSTOM_BOUNDS_SCHEMA {
            return exponential_bound(index, self.schema);
        }
        match usize::try_from(index) {
            Err(_) => f64::NEG_INFINITY,
            Ok(i) => self.custom_bounds.get(i).copied().unwrap_or(f64::INFINITY),
        }
    }

    /// The positive buckets, the lowest first.
    pub fn positive(&self) -> impl Iterator<Item = Bucket> + '_ {
        cells(&self.positive_spans, &self.positive_buckets, &[]).into_iter().map(|c| {
            let (lower, upper) = (self.bound(c.index.wrapping_sub(1)), self.bound(c.index));
            self.bucket(lower, upper, c.count, c.index == 0)
        })
    }

    /// The negative buckets, that nearest to zero first.
    pub fn negative(&self) -> impl Iterator<Item = Bucket> + '_ {
        cells(&self.negative_spans, &self.negative_buckets, &[]).into_iter().map(|c| {
            let (lower, upper) = (-self.bound(c.index), -self.bound(c.index.wrapping_sub(1)));
            self.bucket(lower, upper, c.count, false)
        })
    }

    fn bucket(&self, lower: f64, upper: f64, count: f64, first: bool) -> Bucket {
        let custom = self.uses_custom_bounds();
        Bucket {
            lower,
            upper,
            lower_inclusive: if custom { first } else { lower < 0.0 },
            upper_inclusive: custom || upper > 0.0,
            count,
        }
    }

    /// The bucket around zero.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// All buckets from the lowest to the highest; none reaches into the zero bucket, and that one
    /// is left out where it is empty.
    pub fn buckets(&self) -> Vec<Bucket> {
        let zero = self.zero_threshold;
        let mut all: Vec<Bucket> = self.negative().collect();
        all.reverse();
        if self.zero_count > 0.0 {
            all.push(self.zero_bucket());
        }
        let zero_at = if self.zero_count > 0.0 { Some(all.len() - 1) } else { None };
        all.extend(self.positive());
        for (i, b) in all.iter_mut().enumerate() {
            if Some(i) == zero_at {
                continue;
            }
            if b.upper < 0.0 && b.upper > -zero {
                b.upper = -zero;
            } else if b.lower > 0.0 && b.lower < zero {
                b.lower = zero;
            }
        }
        all
    }
}

/// A number as Go's `%g` prints it.
pub(super) struct Short(pub f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.0;
        if v.is_nan() {
            return f.write_str("NaN");
        }
        if v.is_infinite() {
            return f.write_str(if v > 0.0 { "+Inf" } else { "-Inf" });
        }
        let scientific = format!("{v:e}");
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        if v == 0.0 || (-4..21).contains(&exponent) {
            return write!(f, "{v}");
        }
        write!(f, "{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    }
}

/// `(0.5,1]:3`
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.lower_inclusive { '[' } else { '(' };
        let close = if self.upper_inclusive { ']' } else { ')' };
        let (lower, upper, count) = (Short(self.lower), Short(self.upper), Short(self.count));
        write!(f, "{open}{lower},{upper}{close}:{count}")
    }
}

/// `{count:3, sum:4.5, (0.5,1]:3}`, empty buckets left out, as Prometheus prints it.
impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", Short(self.count), Short(self.sum))?;
        let mut negative: Vec<Bucket> = self.negative().filter(|b| b.count != 0.0).collect();
        negative.reverse();
        let has_zero = self.zero_count != 0.0 && !self.uses_custom_bounds();
        let zero = has_zero.then(|| self.zero_bucket());
        let positive = self.positive().filter(|b| b.count != 0.0);
        for bucket in negative.into_iter().chain(zero).chain(positive) {
            write!(f, ", {bucket}")?;
        }
        f.write_str("}")
    }
}
