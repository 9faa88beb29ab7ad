//! What a query looks at and holds: samples as Prometheus counts them, and bytes, each with its limit;
//! and whether the query was stopped, which long loops ask here.

use super::evaluate::{Evaluator, Result};
use super::values::{Grid, Series};
use crate::memory::Reserved;
use crate::query::QueryError;

/// What the evaluator counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub looked: Looked,
    pub current: usize,
    pub peak: usize,
    pub bytes: u64,
    pub peak_bytes: u64,
    pub reserved: Reserved,
}

/// Whether a long loop is to look now, by what is counted there, whether the query was stopped.
#[inline]
pub(super) fn is_pause(i: usize) -> bool {
    i & 0x3fff == 0x3fff
}

/// The samples that an evaluation looks at, by its steps.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Each as often as it is looked at; without steps where nobody asks.
    pub total: Vec<u64>,
    /// Each at the first step that looks at it.
    pub read: Vec<u64>,
}

impl Looked {
    pub fn new(steps: usize) -> Looked {
        Looked { total: vec![0; steps], read: vec![0; steps] }
    }
}

impl Evaluator<'_> {
    /// Counts samples that are looked at for step `i` alone.
    #[inline]
    pub fn count(&self, i: usize, samples: usize) {
        self.count_window(i, samples, samples);
    }

    /// Counts samples that are looked at for step `i`, `fresh` of them for the first time.
    #[inline]
    pub fn count_window(&self, i: usize, samples: usize, fresh: usize) {
        let looked = &mut self.counted.borrow_mut().looked;
        if let Some(n) = looked.total.get_mut(i) {
            *n += samples as u64;
        }
        if let Some(n) = looked.read.get_mut(i) {
            *n += fresh as u64;
        }
    }

    /// As [`Evaluator::count_window`], of all steps in order.
    pub fn count_windows(
        &self,
        samples: impl Iterator<Item = usize>,
        fresh: impl Iterator<Item = usize>,
    ) {
        let Looked { total, read } = &mut self.counted.borrow_mut().looked;
        total.iter_mut().zip(samples).for_each(|(n, samples)| *n += samples as u64);
        read.iter_mut().zip(fresh).for_each(|(n, fresh)| *n += fresh as u64);
    }

    /// Does something that counts for itself; gives what it counted.
    fn counting<T>(&self, looked: Looked, work: impl FnOnce() -> Result<T>) -> Result<(T, Looked)> {
        let outer = std::mem::replace(&mut self.counted.borrow_mut().looked, looked);
        let done = work();
        let own = std::mem::replace(&mut self.counted.borrow_mut().looked, outer);
        Ok((done?, own))
    }

    /// Evaluates at the first time of a grid what holds for all: it is looked at for each, and read for the
    /// first.
    pub fn once<T>(&self, grid: &Grid, work: impl FnOnce(&Grid) -> Result<T>) -> Result<T> {
        let (done, own) = self.counting(Looked::new(1), || work(&grid.first()))?;
        let Looked { total, read } = &mut self.counted.borrow_mut().looked;
        total.iter_mut().for_each(|n| *n += own.total[0]);
        if let Some(first) = read.first_mut() {
            *first += own.read[0];
        }
        Ok(done)
    }

    /// Evaluates a subquery's expression for the answer of a query.
    pub fn whole_subquery<T>(&self, inner: &Grid, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (done, own) = self.counting(Looked::new(inner.count), work)?;
        let samples = |counts: &[u64]| counts.iter().sum::<u64>() as usize;
        self.count_window(0, samples(&own.total), samples(&own.read));
        Ok(done)
    }

    /// Evaluates a subquery's expression for the windows of `range` at the times of `grid`, `offset` before
    /// them. What it reads counts for the first window that has it; what is in none does not count.
    pub fn windowed_subquery<T>(
        &self,
        inner: &Grid,
        grid: &Grid,
        (offset, range): (i64, i64),
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let looked = Looked { total: Vec::new(), read: vec![0; inner.count] };
        let (done, own) = self.counting(looked, work)?;
        let last = grid.count.saturating_sub(1);
        for (i, samples) in own.read.iter().enumerate() {
            self.pause(i)?;
            if *samples == 0 {
                continue;
            }
            let time = inner.time(i) + offset;
            let step = (time - grid.start + grid.step - 1).max(0) / grid.step;
            let step = (step as usize).min(last);
            if last == 0 || time > grid.time(step) - range {
                self.count_window(step, 0, *samples as usize);
            }
        }
        Ok(done)
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
        if is_pause(i) { self.interrupt.check() } else { Ok(()) }
    }
}
