//! What a query looks at and holds: samples as Prometheus counts them, and bytes, each with its limit;
//! and whether the query was stopped, which long loops ask here.

use super::evaluate::{Evaluator, Result};
use super::values::{Counting, Grid, Series};
use crate::memory::Reserved;
use crate::query::QueryError;

/// What the evaluator counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub per_step: Vec<u64>,
    pub current: usize,
    pub peak: usize,
    pub bytes: u64,
    pub peak_bytes: u64,
    pub reserved: Reserved,
}

impl Evaluator<'_> {
    /// Counts samples that were looked at for step `i`.
    #[inline]
    pub fn count(&self, grid: &Grid, i: usize, samples: usize) {
        let per_step = &mut self.counted.borrow_mut().per_step;
        match grid.counting {
            Counting::PerStep => {
                if let Some(n) = per_step.get_mut(i) {
                    *n += samples as u64;
                }
            }
            Counting::EveryStep => per_step.iter_mut().for_each(|n| *n += samples as u64),
            Counting::Not => {}
        }
    }

    /// As [`Evaluator::count`], of all steps in order.
    pub fn count_each(&self, grid: &Grid, samples: impl Iterator<Item = usize>) {
        let per_step = &mut self.counted.borrow_mut().per_step;
        match grid.counting {
            Counting::PerStep => {
                per_step.iter_mut().zip(samples).for_each(|(n, samples)| *n += samples as u64);
            }
            Counting::EveryStep => {
                let all: usize = samples.sum();
                per_step.iter_mut().for_each(|n| *n += all as u64);
            }
            Counting::Not => {}
        }
    }

    /// Counts samples that are now in memory; fails beyond the limit.
    pub fn hold(&self, samples: usize) -> Result<()> {
        let counted = &mut *self.counted.borrow_mut();
        counted.current += samples;
        counted.peak = counted.peak.max(counted.current);
        if counted.current > self.options.max_samples {
            return Err(QueryError::TooManySamples("query execution".into()));
        }
        Ok(())
    }

    /// Counts bytes that are now in memory; fails beyond the limits.
    pub fn hold_bytes(&self, bytes: usize) -> Result<()> {
        let counted = &mut *self.counted.borrow_mut();
        counted.bytes = counted.bytes.saturating_add(bytes as u64);
        counted.peak_bytes = counted.peak_bytes.max(counted.bytes);
        if counted.bytes > self.query_bytes {
            return Err(QueryError::TooMuchMemory { limit: self.query_bytes });
        }
        counted.reserved.grow(counted.bytes)
    }

    /// Counts what a series holds in memory from now on; fails beyond the limits.
    pub fn hold_series(&self, series: &Series) -> Result<()> {
        self.hold(series.points.weight())?;
        self.hold_bytes(series.bytes())
    }

    /// Counts samples that are no longer in memory.
    pub fn release(&self, samples: usize, bytes: usize) {
        let counted = &mut *self.counted.borrow_mut();
        counted.current = counted.current.saturating_sub(samples);
        counted.bytes = counted.bytes.saturating_sub(bytes as u64);
    }

    /// Samples and bytes that are in memory.
    pub fn held(&self) -> (usize, u64) {
        let counted = self.counted.borrow();
        (counted.current, counted.bytes)
    }

    /// Counts what came to memory since then as gone.
    pub fn release_to(&self, (samples, bytes): (usize, u64)) {
        let counted = &mut *self.counted.borrow_mut();
        counted.current = counted.current.min(samples);
        counted.bytes = counted.bytes.min(bytes);
    }

    /// As [`Evaluator::release_to`], where others hold bytes as well that came meanwhile.
    pub fn release_own(&self, (samples, _): (usize, u64), own_bytes: u64) {
        let counted = &mut *self.counted.borrow_mut();
        counted.current = counted.current.min(samples);
        counted.bytes = counted.bytes.saturating_sub(own_bytes);
    }

    /// A float for each time.
    pub fn floats(&self, grid: &Grid, value: impl Fn(usize) -> f64) -> Result<Vec<f64>> {
        let mut floats = Vec::with_capacity(grid.count);
        for i in 0..grid.count {
            self.pause(i)?;
            floats.push(value(i));
        }
        Ok(floats)
    }

    /// Called in long loops with what is counted there: fails once the query was stopped.
    #[inline]
    pub fn pause(&self, i: usize) -> Result<()> {
        if i & 0x3fff == 0x3fff { self.interrupt.check() } else { Ok(()) }
    }
}
