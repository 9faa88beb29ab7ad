//! Native histograms as Prometheus 3 defines them: exponential schemas -4 to 8 and custom bounds
//! (schema -53), with counts as floats (exact for whole numbers below 2^53).

mod arithmetic;
mod bounds;
mod buckets;
mod classic;
mod side;
mod trim;
mod validate;

pub use arithmetic::{Combined, IncompatibleSchemas, kahan_add};
pub use buckets::Bucket;
pub use classic::Classic;
pub use validate::InvalidHistogram;

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

#[cfg(test)]
mod tests {
    use super::side::{Cell, cells, layout};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn side() -> impl Strategy<Value = BTreeMap<i32, u32>> {
        prop::collection::btree_map(-20i32..20, 0u32..50, 0..12)
    }

    /// Two of the same schema. Of different ones, a bucket that the wider zero bucket cuts counts
    /// twice, in Prometheus as here.
    fn pair() -> impl Strategy<Value = (Histogram, Histogram)> {
        (-2i32..3).prop_flat_map(|schema| (histogram(schema), histogram(schema)))
    }

    fn histogram(schema: i32) -> impl Strategy<Value = Histogram> {
        (side(), side(), 0u32..9, 0usize..3).prop_map(move |(p, n, zero, width)| {
            // No bucket lies within the zero bucket.
            let (mut p, mut n) = (p, n);
            let threshold = [0.0, 0.001, 0.3][width];
            p.retain(|i, _| bounds::exponential_bound(*i, schema) > threshold);
            n.retain(|i, _| bounds::exponential_bound(*i, schema) > threshold);
            let spans = |side: &BTreeMap<i32, u32>| {
                let cells: Vec<Cell> = side
                    .iter()
                    .map(|(i, c)| Cell { index: *i, count: f64::from(*c), lost: 0.0 })
                    .collect();
                layout(&cells)
            };
            let (positive, negative) = (spans(&p), spans(&n));
            let count: u32 = p.values().chain(n.values()).sum::<u32>() + zero;
            Histogram {
                schema,
                zero_threshold: threshold,
                zero_count: f64::from(zero),
                count: f64::from(count),
                sum: f64::from(count) / 2.0,
                positive_spans: positive.0,
                positive_buckets: positive.1,
                negative_spans: negative.0,
                negative_buckets: negative.1,
                ..Histogram::default()
            }
        })
    }

    fn observations(h: &Histogram) -> f64 {
        h.zero_count + h.positive_buckets.iter().chain(&h.negative_buckets).sum::<f64>()
    }

    proptest! {
        #[test]
        fn no_observation_is_lost_or_made((a, b) in pair()) {
            let mut sum = a.clone();
            sum.add(&b).expect("both exponential");
            prop_assert_eq!(observations(&sum), observations(&a) + observations(&b));
            prop_assert_eq!(sum.count, a.count + b.count);
            let mut exact = a.clone();
            let mut lost = None;
            exact.add_exactly(&b, &mut lost).expect("both exponential");
            exact.add(&lost.expect("kept")).expect("same schema");
            exact.compact();
            sum.compact();
            prop_assert!(exact.same_value(&sum), "{:?} {:?}", exact, sum);
        }

        #[test]
        fn what_was_added_can_be_subtracted((a, b) in pair()) {
            let mut sum = a.clone();
            sum.add(&b).expect("both exponential");
            prop_assert!(!sum.is_reset_after(&a), "{:?} after {:?}", sum, a);
            sum.sub(&b).expect("both exponential");
            // The layout may be coarser, and the zero bucket wider, than it was.
            prop_assert_eq!(observations(&sum), observations(&a));
        }

        #[test]
        fn buckets_do_not_overlap((a, _) in pair()) {
            let all = a.buckets();
            for pair in all.windows(2) {
                prop_assert!(pair[0].upper <= pair[1].lower || pair[1].upper <= a.zero_threshold);
            }
        }

        #[test]
        fn compacting_keeps_what_is_not_empty((a, _) in pair()) {
            let mut compact = a.clone();
            compact.compact();
            let full = |h: &Histogram| {
                let all = cells(&h.positive_spans, &h.positive_buckets, &[]);
                all.into_iter().filter(|c| c.count != 0.0).map(|c| (c.index, c.count)).collect::<Vec<_>>()
            };
            prop_assert_eq!(full(&a), full(&compact));
            prop_assert!(compact.positive_buckets.iter().all(|c| *c != 0.0));
        }
    }

    #[test]
    fn prints_as_prometheus_does() {
        let h = Histogram {
            count: 20.0,
            sum: 10.0,
            zero_threshold: 0.001,
            zero_count: 2.0,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            negative_spans: vec![Span { offset: 0, length: 2 }],
            negative_buckets: vec![1.0, 2.0],
            ..Histogram::default()
        };
        assert_eq!(
            h.to_string(),
            "{count:20, sum:10, [-2,-1):2, [-1,-0.5):1, [-0.001,0.001]:2, (0.5,1]:1, (1,2]:2}"
        );
    }

    #[test]
    fn custom_bounds_are_reconciled() {
        let custom = |bounds: &[f64], buckets: &[f64]| Histogram {
            schema: CUSTOM_BOUNDS_SCHEMA,
            positive_spans: vec![Span { offset: 0, length: buckets.len() as u32 }],
            positive_buckets: buckets.to_vec(),
            custom_bounds: bounds.into(),
            ..Histogram::default()
        };
        let mut a = custom(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0, 1.0]);
        let combined = a.add(&custom(&[1.0, 3.0], &[5.0, 5.0, 5.0])).expect("both custom");
        assert!(combined.bounds_reconciled);
        assert_eq!(*a.custom_bounds, [1.0, 3.0]);
        assert_eq!(a.positive_buckets, [6.0, 7.0, 6.0]);
        assert!(a.add(&Histogram::default()).is_err());
    }
}
