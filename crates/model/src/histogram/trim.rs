//! Cutting a histogram off above or below a value (PromQL's `</` and `>/`).

use super::Histogram;
use super::buckets::Bucket;

impl Histogram {
    /// Keeps the observations up to `limit` (`upper`) or from `limit` on; what lies in the bucket
    /// that is cut is interpolated, and the sum is estimated from the middles of the buckets.
    pub fn trim(&mut self, limit: f64, upper: bool) {
        let custom = self.uses_custom_bounds();
        let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
        let mut side = |buckets: Vec<Bucket>, counts: &mut [f64], positive: bool| {
            let mut any = false;
            for (bucket, own) in buckets.iter().zip(counts).filter(|(b, _)| b.count != 0.0) {
                any = true;
                let (kept, middle) = trim_bucket(bucket, limit, upper, positive, custom);
                count += kept;
                sum += middle * kept;
                if *own != kept {
                    *own = kept;
                    changed = true;
                }
            }
            any
        };
        let buckets = self.positive().collect();
        let has_positive = side(buckets, &mut self.positive_buckets, true);
        let buckets = self.negative().collect();
        let has_negative = side(buckets, &mut self.negative_buckets, false);
        if self.zero_count > 0.0 {
            let mut zero = self.zero_bucket();
            if has_negative && !has_positive {
                zero.upper = 0.0;
            }
            if has_positive && !has_negative {
                zero.lower = 0.0;
            }
            let (kept, middle) = trim_zero(&zero, limit, upper);
            changed |= self.zero_count != kept;
            self.zero_count = kept;
            sum += middle * kept;
            count += kept;
        }
        if changed {
            self.count = count;
            self.sum = sum;
            self.compact();
        }
    }
}

/// How many observations of a bucket remain, and where their middle is taken to be.
fn trim_bucket(b: &Bucket, limit: f64, upper: bool, positive: bool, linear: bool) -> (f64, f64) {
    let (keep_all, cut) = if upper {
        (b.upper <= limit, b.lower < limit)
    } else {
        (b.lower >= limit, b.upper > limit)
    };
    if keep_all {
        return (b.count, middle(b.lower, b.upper, positive, linear));
    }
    if !cut {
        return (0.0, 0.0);
    }
    if b.lower == f64::NEG_INFINITY || b.upper == f64::INFINITY {
        return trim_unbounded(b, limit, upper);
    }
    let below = if limit <= b.lower {
        0.0
    } else if limit >= b.upper {
        b.count
    } else {
        b.count * b.fraction_below(limit, linear)
    };
    if upper {
        (below, middle(b.lower, limit, positive, linear))
    } else {
        (b.count - below, middle(limit, b.upper, positive, linear))
    }
}

/// As `trim_bucket`, for a bucket without an end on one side.
fn trim_unbounded(b: &Bucket, limit: f64, upper: bool) -> (f64, f64) {
    let finite = |v: f64| if v.is_infinite() { 0.0 } else { v };
    if b.lower == f64::NEG_INFINITY {
        let bounded = b.upper != f64::INFINITY;
        if upper {
            if limit >= b.upper {
                return (b.count, 0.0);
            }
            if limit > 0.0 && b.upper > 0.0 && bounded {
                return (b.count * limit / b.upper, limit / 2.0);
            }
            return if b.upper <= 0.0 { (b.count, limit) } else { (0.0, finite(b.upper)) };
        }
        if limit <= b.lower {
            return (b.count, 0.0);
        }
        if limit >= 0.0 && b.upper > limit && bounded {
            return (b.count * (1.0 - limit / b.upper), (limit + b.upper) / 2.0);
        }
        return (0.0, finite(b.upper));
    }
    if !upper && limit >= b.lower { (b.count, limit) } else { (0.0, finite(b.lower)) }
}

fn trim_zero(b: &Bucket, limit: f64, upper: bool) -> (f64, f64) {
    let whole = (b.count, (b.lower + b.upper) / 2.0);
    let width = b.upper - b.lower;
    match upper {
        true if limit <= b.lower => (0.0, 0.0),
        true if limit >= b.upper => whole,
        true => (b.count * ((limit - b.lower) / width), (b.lower + limit) / 2.0),
        false if limit <= b.lower => whole,
        false if limit >= b.upper => (0.0, 0.0),
        false => (b.count * ((b.upper - limit) / width), (limit + b.upper) / 2.0),
    }
}

/// The middle of what remains: arithmetic for custom bounds, geometric for exponential buckets.
fn middle(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    if lower.is_infinite() {
        return match upper {
            u if u.is_infinite() => 0.0,
            u if u > 0.0 => u / 2.0,
            u => u,
        };
    }
    if upper.is_infinite() {
        return lower;
    }
    if linear {
        return (lower + upper) / 2.0;
    }
    let geometric = (lower * upper).abs().sqrt();
    if positive { geometric } else { -geometric }
}
