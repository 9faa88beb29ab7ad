//! A histogram with buckets 5 % apart, of which only the stretch that has weight is kept.

/// A bucket's upper end is so many times its lower one (VPA's `histogramBucketSizeGrowth` of 5 %).
const GROWTH: f64 = 1.05;

/// Where the buckets begin, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// The end of the first bucket, which begins at 0.
    pub first: f64,
    pub buckets: u16,
}

/// Cores: from a tenth of a thousandth to 1,600.
pub(super) const CPU: Scale = Scale { first: 1e-4, buckets: 342 };
/// Bytes: from 64 KiB to 20 TB.
pub(super) const MEMORY: Scale = Scale { first: 65_536.0, buckets: 402 };

impl Scale {
    /// The bucket of a value; what is beyond the last is in the last.
    fn bucket(self, value: f64) -> u16 {
        if value < self.first {
            return 0;
        }
        let at = 1.0 + ((value / self.first).ln() / GROWTH.ln()).floor();
        // A float's cast saturates.
        (at as u16).min(self.buckets - 1)
    }

    /// The bucket's ends.
    fn bounds(self, bucket: u16) -> (f64, f64) {
        let end = |i: u16| self.first * GROWTH.powi(i32::from(i));
        match bucket {
            0 => (0.0, self.first),
            i => (end(i - 1), end(i)),
        }
    }
}

/// Weights by bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Histogram {
    /// The bucket of the first weight.
    pub(super) first: u16,
    pub(super) weights: Vec<f32>,
}

impl Histogram {
    /// Adds weight to a value's bucket.
    pub fn add(&mut self, scale: Scale, value: f64, weight: f64) {
        self.add_at(scale.bucket(value), weight as f32);
    }

    fn add_at(&mut self, bucket: u16, weight: f32) {
        if self.weights.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let missing = usize::from(self.first - bucket);
            self.weights.splice(0..0, std::iter::repeat_n(0.0, missing));
            self.first = bucket;
        }
        let at = usize::from(bucket - self.first);
        if at >= self.weights.len() {
            // Exactly as long as needed: there are hundreds of thousands of these.
            self.weights.reserve_exact(at + 1 - self.weights.len());
            self.weights.resize(at + 1, 0.0);
        }
        self.weights[at] += weight;
    }

    /// Multiplies all weights; what has become nothing is dropped from the ends.
    pub fn scale_by(&mut self, factor: f64) {
        // Of a day's weight, 86,400, less than a millisecond's is left.
        const NOTHING: f32 = 1e-3;
        self.weights.iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
        while self.weights.last().is_some_and(|w| *w < NOTHING) {
            self.weights.pop();
        }
        let front = self.weights.iter().take_while(|w| **w < NOTHING).count();
        self.weights.drain(..front);
        self.first += front as u16;
    }

    /// Adds another histogram's weights, multiplied.
    pub fn merge(&mut self, other: &Histogram, factor: f64) {
        for (i, weight) in other.weights.iter().enumerate() {
            self.add_at(other.first + i as u16, (f64::from(*weight) * factor) as f32);
        }
    }

    /// The value below which `quantile` of the weight lies, interpolated within its bucket; 0 where
    /// there is no weight.
    pub fn quantile(&self, scale: Scale, quantile: f64) -> f64 {
        let total: f64 = self.weights.iter().map(|w| f64::from(*w)).sum();
        let wanted = total * quantile;
        let mut below = 0.0;
        for (i, weight) in self.weights.iter().enumerate() {
            let weight = f64::from(*weight);
            if weight > 0.0 && below + weight >= wanted {
                let (low, high) = scale.bounds(self.first + i as u16);
                return low + (high - low) * ((wanted - below) / weight).clamp(0.0, 1.0);
            }
            below += weight;
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_cover_what_machines_have() {
        for (scale, most) in [(CPU, 1500.0), (MEMORY, 1.9e13)] {
            assert!(
                scale.bounds(scale.buckets - 1).1 > most,
                "{:?}",
                scale.bounds(scale.buckets - 1)
            );
            assert_eq!(scale.bucket(f64::MAX), scale.buckets - 1);
            assert_eq!(scale.bucket(0.0), 0);
        }
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(value in 0.0f64..1e12) {
            for scale in [CPU, MEMORY] {
                let (low, high) = scale.bounds(scale.bucket(value));
                // At an end the logarithm may round to either side.
                prop_assert!(value >= low * 0.999_999 && (value <= high * 1.000_001 || value > 1000.0));
            }
        }

        #[test]
        fn quantiles_are_within_a_bucket_of_the_exact_ones(
            values in prop::collection::vec((1e-3f64..1e3, 0.1f64..100.0), 1..200),
            q in 0.01f64..1.0,
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|(v, w)| histogram.add(CPU, *v, *w));
            let mut sorted = values.clone();
            sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
            let wanted: f64 = values.iter().map(|v| v.1).sum::<f64>() * q;
            let mut below = 0.0;
            let exact = sorted.iter().find(|(_, w)| { below += w; below >= wanted * 0.999_99 }).map_or(0.0, |v| v.0);
            let mut below = 0.0;
            let above = sorted.iter().find(|(_, w)| { below += w; below >= wanted * 1.000_01 }).map_or(exact, |v| v.0);
            let found = histogram.quantile(CPU, q);
            prop_assert!(found >= exact / 1.051 && found <= above.max(exact) * 1.051, "{found} for {exact}");
        }

        #[test]
        fn merged_and_scaled_weights_are_those_of_all(
            a in prop::collection::vec(1e-4f64..1e3, 0..20),
            b in prop::collection::vec(1e-4f64..1e3, 0..20),
        ) {
            let of = |values: &[f64]| {
                let mut h = Histogram::default();
                values.iter().for_each(|v| h.add(CPU, *v, 2.0));
                h
            };
            let mut merged = of(&a);
            merged.merge(&of(&b), 1.0);
            merged.scale_by(0.5);
            let weight: f32 = merged.weights.iter().sum();
            prop_assert_eq!(weight, (a.len() + b.len()) as f32);
        }
    }
}
