//! Quantiles: of numbers, of classic histograms' buckets, and of native histograms.

use crate::annotations::Annotations;
use crate::ast::Span;
use model::Histogram;
use std::cmp::Ordering;

/// Ascending, NaN before everything.
pub(super) fn sort_key(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ => a.partial_cmp(b).unwrap_or(Ordering::Equal),
    }
}

/// The quantile `q` of values sorted by [`sort_key`], interpolated between neighbours.
pub(super) fn quantile(q: f64, sorted: &[f64]) -> f64 {
    if sorted.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let last = sorted.len() - 1;
    let rank = q * last as f64;
    let lower = (rank.floor() as usize).min(last);
    let weight = rank - rank.floor();
    sorted[lower] * (1.0 - weight) + sorted[(lower + 1).min(last)] * weight
}

/// As [`quantile`], of values in any order, which are moved about: sorting many takes long, and only
/// two of them count.
pub(super) fn quantile_of(q: f64, values: &mut [f64]) -> f64 {
    /// Fewer are sorted as fast.
    const MANY: usize = 4096;
    if values.len() < MANY || !(0.0..=1.0).contains(&q) {
        values.sort_by(sort_key);
        return quantile(q, values);
    }
    let rank = q * (values.len() - 1) as f64;
    let weight = rank - rank.floor();
    let (_, lower, above) = values.select_nth_unstable_by(rank.floor() as usize, sort_key);
    let upper = above.iter().min_by(|a, b| sort_key(a, b)).unwrap_or(lower);
    *lower * (1.0 - weight) + *upper * weight
}

/// A bucket of a classic histogram: observations up to a bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClassicBucket {
    pub bound: f64,
    pub count: f64,
}

/// Which buckets held less than the one below them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Forced {
    pub min_bucket: f64,
    pub max_bucket: f64,
    pub max_diff: f64,
}

/// Counts that differ by no more than rounding are equal.
const TOLERANCE: f64 = 1e-12;

/// The quantile of a classic histogram, and which buckets had to be corrected for it.
pub(super) fn classic_quantile(q: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !sort_and_join(buckets) {
        return (f64::NAN, None);
    }
    let forced = make_monotonic(buckets);
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if buckets.len() < 2 || observations == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = q * observations;
    let at = buckets[..last].iter().position(|b| b.count >= rank).unwrap_or(last);
    let value = if at == last {
        buckets[last - 1].bound
    } else if at == 0 && buckets[0].bound <= 0.0 {
        buckets[0].bound
    } else {
        let (mut start, mut count) = (0.0, buckets[at].count);
        if at > 0 {
            start = buckets[at - 1].bound;
            count -= buckets[at - 1].count;
            rank -= buckets[at - 1].count;
        }
        start + (buckets[at].bound - start) * (rank / count)
    };
    (value, forced)
}

/// Sorts buckets by bound and joins those of the same bound; false without a bucket for everything.
fn sort_and_join(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| a.bound.partial_cmp(&b.bound).unwrap_or(Ordering::Equal));
    if buckets.last().is_none_or(|b| b.bound != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|b, into| {
        let same = b.bound == into.bound;
        if same {
            into.count += b.count;
        }
        same
    });
    true
}

fn make_monotonic(buckets: &mut [ClassicBucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        if bucket.count == before {
            continue;
        }
        if almost_equal(before, bucket.count, TOLERANCE) {
            bucket.count = before;
        } else if bucket.count < before {
            let diff = before - bucket.count;
            let f = forced.get_or_insert(Forced {
                min_bucket: f64::INFINITY,
                max_bucket: f64::NEG_INFINITY,
                max_diff: 0.0,
            });
            f.min_bucket = f.min_bucket.min(bucket.bound);
            f.max_bucket = f.max_bucket.max(bucket.bound);
            f.max_diff = f.max_diff.max(diff);
            bucket.count = before;
        } else {
            before = bucket.count;
        }
    }
    forced
}

/// Equal but for a relative difference of `epsilon`; NaN equals NaN, a stale mark only itself.
pub(crate) fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    use model::value::is_stale;
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < epsilon * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < epsilon
}

/// The fraction of a classic histogram's observations between two values.
pub(super) fn classic_fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !sort_and_join(buckets) {
        return f64::NAN;
    }
    let count = buckets.last().map_or(0.0, |b| b.count);
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let first_start = if buckets[0].bound <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let (mut start, mut rank) = (first_start, 0.0);
    let mut ranks = [None; 2];
    for b in buckets.iter() {
        for (slot, value) in ranks.iter_mut().zip([lower, upper]) {
            if slot.is_some() {
                continue;
            }
            if start >= value {
                *slot = Some(rank);
            } else if b.bound > value {
                *slot = Some(if start == f64::NEG_INFINITY {
                    b.count
                } else {
                    rank + (b.count - rank) * (value - start) / (b.bound - start)
                });
            }
        }
        rank = b.count;
        start = b.bound;
    }
    let [low, high] = ranks.map(|r| r.filter(|r| *r <= count).unwrap_or(count));
    (high - low) / count
}

/// The quantile of a native histogram.
pub(super) fn native_quantile(
    q: f64,
    h: &Histogram,
    metric: &str,
    span: Span,
    notes: &mut Annotations,
) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if h.count == 0.0 || q.is_nan() {
        return f64::NAN;
    }
    // Observations that are no numbers are in no bucket: then ranks count from below.
    let forward = h.sum.is_nan() || q < 0.5;
    let mut buckets = h.buckets();
    if !forward {
        buckets.reverse();
    }
    let mut rank = (if forward { q } else { 1.0 - q }) * h.count;
    let nothing = model::histogram::Bucket {
        lower: 0.0,
        upper: 0.0,
        lower_inclusive: false,
        upper_inclusive: false,
        count: 0.0,
    };
    let (mut bucket, mut count, mut used) = (nothing, 0.0, buckets.len());
    for (i, b) in buckets.iter().enumerate() {
        bucket = *b;
        if b.count == 0.0 {
            continue;
        }
        count += b.count;
        if count >= rank {
            used = i + 1;
            break;
        }
    }
    if !h.uses_custom_bounds() && bucket.lower < 0.0 && bucket.upper > 0.0 {
        if h.negative_buckets.is_empty() && !h.positive_buckets.is_empty() {
            bucket.lower = 0.0;
        } else if h.positive_buckets.is_empty() && !h.negative_buckets.is_empty() {
            bucket.upper = 0.0;
        }
    } else if h.uses_custom_bounds() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return bucket.upper;
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return bucket.lower;
        }
    }
    count = count.min(h.count);
    if count < rank {
        if h.sum.is_nan() {
            notes.quantile_of_nans(metric, span);
            return f64::NAN;
        }
        return bucket.upper;
    }
    rank = if forward { rank - (count - bucket.count) } else { count - rank };
    if h.sum.is_nan() {
        let all: f64 = count + buckets[used..].iter().map(|b| b.count).sum::<f64>();
        if all < h.count {
            notes.quantile_skewed_by_nans(metric, span);
        }
    }
    let fraction = rank / bucket.count;
    if h.uses_custom_bounds() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * fraction;
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        (lower + (upper - lower) * fraction).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - fraction)).exp2()
    }
}

/// The fraction of a native histogram's observations between two values.
pub(super) fn native_fraction(
    lower: f64,
    upper: f64,
    h: &Histogram,
    metric: &str,
    span: Span,
    notes: &mut Annotations,
) -> f64 {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let buckets = h.buckets();
    let mut ranks = [None; 2];
    let mut rank = 0.0;
    for b in &buckets {
        let mut b = *b;
        let around_zero = b.lower <= 0.0 && b.upper >= 0.0;
        if around_zero {
            if h.negative_buckets.is_empty() && !h.positive_buckets.is_empty() {
                b.lower = 0.0;
            } else if h.positive_buckets.is_empty() && !h.negative_buckets.is_empty() {
                b.upper = 0.0;
            }
        }
        let linear = h.uses_custom_bounds() || around_zero;
        for (slot, value) in ranks.iter_mut().zip([lower, upper]) {
            if slot.is_some() {
                continue;
            }
            if b.lower >= value {
                *slot = Some(rank);
            } else if b.upper > value {
                *slot = Some(if linear && b.lower == f64::NEG_INFINITY {
                    b.count
                } else {
                    rank + b.count * b.fraction_below(value, linear)
                });
            }
        }
        if ranks.iter().all(Option::is_some) {
            break;
        }
        rank += b.count;
    }
    let mut count = h.count;
    if h.sum.is_nan() {
        count = buckets.iter().map(|b| b.count).sum();
        if count < h.count {
            notes.fraction_without_nans(metric, span);
        }
    }
    let [low, high] = ranks.map(|r| r.filter(|r| *r <= count).unwrap_or(count));
    (high - low) / h.count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_numbers() {
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!(quantile(0.5, &sorted), 2.0);
        assert_eq!(quantile(0.75, &sorted), 3.0);
        assert_eq!(quantile(-1.0, &sorted), f64::NEG_INFINITY);
        assert!(quantile(0.5, &[]).is_nan());
    }

    #[test]
    fn quantiles_of_many_numbers_need_no_order() {
        let mut mixed: Vec<f64> = (0..10_007).map(|i| f64::from(i * 7919 % 10_007)).collect();
        let sorted: Vec<f64> = (0..10_007).map(f64::from).collect();
        for q in [0.0, 0.001, 0.25, 0.5, 0.777, 0.99999, 1.0, 2.0, -1.0] {
            assert_eq!(quantile_of(q, &mut mixed), quantile(q, &sorted), "{q}");
        }
        assert!(quantile_of(f64::NAN, &mut mixed).is_nan());
    }

    #[test]
    fn decreasing_buckets_are_raised() {
        let bucket = |bound, count| ClassicBucket { bound, count };
        let mut buckets = vec![bucket(f64::INFINITY, 10.0), bucket(1.0, 5.0), bucket(2.0, 3.0)];
        let (value, forced) = classic_quantile(0.5, &mut buckets);
        assert_eq!(value, 1.0);
        assert_eq!(forced, Some(Forced { min_bucket: 2.0, max_bucket: 2.0, max_diff: 2.0 }));
    }

    #[test]
    fn almost_equal_as_the_test_scripts_mean_it() {
        assert!(almost_equal(1.0, 1.0 + 1e-9, 1e-6));
        assert!(!almost_equal(1.0, 1.001, 1e-6));
        assert!(almost_equal(f64::NAN, f64::NAN, 1e-6));
        assert!(!almost_equal(model::value::STALE, f64::NAN, 1e-6));
    }
}
