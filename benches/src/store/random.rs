//! Numbers that follow from a seed , for loads that are the same for every engine.

use disk::seed::Seed;

/// A course of numbers.
#[derive(Clone, Debug)]
pub struct Random(Seed);

impl Random {
    /// The course of a seed.
    pub fn new(seed: u64) -> Random {
        Random(Seed::new(seed))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0.bits()
    }

    /// From 0 up to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mostly small, seldom large: from 0 on, 1 on average.
    pub fn skewed(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }
}
