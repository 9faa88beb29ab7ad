//! Classic histograms, made native ones with custom bounds (schema -53). Rules and words are those of
//! Prometheus (`util/convertnhcb`), which its users know from its logs.

use super::{CUSTOM_BOUNDS_SCHEMA, Histogram, Span};

/// A classic histogram as it comes, sample by sample, its buckets in any order. Kept to be used again.
#[derive(Clone, Debug, Default)]
pub struct Classic {
    /// Upper bounds and cumulative counts, sorted by bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    wrong: Option<String>,
}

impl Classic {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets.clear();
        self.count = None;
        self.sum = 0.0;
        self.wrong = None;
    }

    /// The sum of all observations.
    pub fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// The number of all observations.
    pub fn set_count(&mut self, count: f64) {
        if count < 0.0 {
            self.wrong(format!("count must be non-negative: count={count}"));
        }
        self.count = Some(count);
    }

    /// How many observations there are up to a bound. Of a bound that comes twice the first holds.
    pub fn set_bucket(&mut self, bound: f64, count: f64) {
        if bound.is_nan() {
            return self.wrong("bucket boundary must not be NaN".into());
        }
        if count < 0.0 {
            let what = "bucket count must be non-negative";
            return self.wrong(format!("{what}: le={bound}, count={count}"));
        }
        let at = self.buckets.partition_point(|b| b.0 < bound);
        let behind = self.buckets.get(at).copied();
        if behind.is_some_and(|b| b.0 == bound) {
            return;
        }
        let before = at.checked_sub(1).map_or(0.0, |i| self.buckets[i].1);
        if count < before {
            return self.wrong(format!("count is not cumulative: {count} < {before}"));
        }
        if let Some((_, behind)) = behind.filter(|b| count > b.1) {
            return self.wrong(format!("count is not cumulative: {count} > {behind}"));
        }
        self.buckets.insert(at, (bound, count));
    }

    fn wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// The histogram with custom bounds, and whether all its counts are integers; why there is none.
    pub fn to_custom(&self) -> Result<(Histogram, bool), String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let newest = self.buckets.last().copied();
        let count = self.count.or(newest.map(|b| b.1)).unwrap_or(0.0);
        let finite = match newest {
            Some((bound, _)) if bound == f64::INFINITY => &self.buckets[..self.buckets.len() - 1],
            _ => &self.buckets[..],
        };
        let last = newest.filter(|b| b.0 == f64::INFINITY).map_or(count, |b| b.1);
        if last != count {
            return Err(format!("count mismatch: count={count} != le=+Inf count={last}"));
        }
        let whole = self.buckets.iter().all(|b| b.1.trunc() == b.1) && count.trunc() == count;
        let mut before = 0.0;
        let counts =
            finite.iter().map(|b| b.1).chain([last]).map(|c| c - std::mem::replace(&mut before, c));
        let positive_buckets: Vec<f64> = counts.collect();
        let length = u32::try_from(positive_buckets.len()).unwrap_or(u32::MAX);
        let mut histogram = Histogram {
            schema: CUSTOM_BOUNDS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: vec![Span { offset: 0, length }],
            positive_buckets,
            custom_bounds: finite.iter().map(|b| b.0).collect(),
            ..Histogram::default()
        };
        histogram.compact();
        Ok((histogram, whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(buckets: &[(f64, f64)], count: Option<f64>) -> Result<(Histogram, bool), String> {
        let mut classic = Classic::default();
        buckets.iter().for_each(|b| classic.set_bucket(b.0, b.1));
        count.into_iter().for_each(|c| classic.set_count(c));
        classic.set_sum(1.5);
        classic.to_custom()
    }

    #[test]
    fn what_no_histogram_can_be_is_said() {
        let inf = f64::INFINITY;
        for (buckets, count, why) in [
            (&[(1.0, 2.0), (2.0, 1.0)][..], None, "count is not cumulative: 1 < 2"),
            (&[(2.0, 1.0), (1.0, 2.0)][..], None, "count is not cumulative: 2 > 1"),
            (&[(f64::NAN, 1.0)][..], None, "bucket boundary must not be NaN"),
            (&[(1.0, -1.0)][..], None, "bucket count must be non-negative: le=1, count=-1"),
            (&[][..], Some(-1.0), "count must be non-negative: count=-1"),
            (&[(inf, 3.0)][..], Some(4.0), "count mismatch: count=4 != le=+Inf count=3"),
        ] {
            assert_eq!(of(buckets, count).expect_err(why), why);
        }
        let (h, whole) = of(&[(1.0, 2.0)], Some(5.0)).expect("no bucket of +Inf is needed");
        assert_eq!((h.count, &h.positive_buckets[..], whole), (5.0, &[2.0, 3.0][..], true));
        let (h, _) = of(&[(1.0, 2.0)], None).expect("nor a count");
        assert_eq!((h.count, &h.positive_buckets[..]), (2.0, &[2.0][..]));
        assert!(!of(&[(1.0, 0.5)], None).expect("floats may be fractions").1);
    }

    proptest! {
        #[test]
        fn the_order_of_buckets_does_not_matter(
            counts in prop::collection::vec(0u32..5, 1..9), at in 0usize..9, float: bool,
        ) {
            let mut all = 0.0;
            let mut buckets: Vec<(f64, f64)> = Vec::new();
            for (i, count) in counts.iter().enumerate() {
                all += f64::from(*count) * if float { 0.5 } else { 1.0 };
                buckets.push((i as f64, all));
            }
            let sorted = of(&buckets, Some(all)).expect("is one");
            prop_assert_eq!(sorted.0.validate(sorted.1), Ok(()));
            buckets.rotate_left(at % counts.len());
            buckets.push(buckets[0]);
            prop_assert_eq!(&of(&buckets, Some(all)).expect("is one"), &sorted);
            let mut cumulative = 0.0;
            for bucket in sorted.0.buckets() {
                cumulative += bucket.count;
                let known = buckets.iter().find(|b| b.0 == bucket.upper).map_or(all, |b| b.1);
                prop_assert_eq!(cumulative, known);
            }
        }
    }
}
