//! Windows over a series' samples: slices between two bounds that only move forward.

use model::value::is_stale;
use model::{Columns, Histogram};
use std::sync::Arc;

/// The samples of one series without stale marks, floats and histograms apart.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub float_times: Vec<i64>,
    pub floats: Vec<f64>,
    /// Empty where no start is known.
    pub float_starts: Vec<i64>,
    /// As [`Columns::weights`], of `floats`.
    pub float_weights: Vec<u32>,
    pub histogram_times: Vec<i64>,
    pub histograms: Vec<Arc<Histogram>>,
    pub histogram_starts: Vec<i64>,
    /// Positions of floats that are less than the float before them.
    pub resets: Vec<u32>,
    /// As [`Columns::times_id`], of `float_times`.
    pub times_id: u64,
}

/// The bounds of the last window, from which the next is searched.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    float: (usize, usize),
    histogram: (usize, usize),
}

/// The samples in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    pub float_times: &'a [i64],
    pub floats: &'a [f64],
    pub float_starts: &'a [i64],
    /// Empty where each float stands for itself.
    pub float_weights: &'a [u32],
    pub histogram_times: &'a [i64],
    pub histograms: &'a [Arc<Histogram>],
    pub histogram_starts: &'a [i64],
    /// Positions, within the whole series, of floats less than the one before.
    pub resets: &'a [u32],
    /// Position of the window's first float within the whole series.
    pub first_float: usize,
}

impl Samples {
    /// Takes the samples out of `columns`.
    pub fn fill(&mut self, columns: &mut Columns) {
        self.histogram_times.clear();
        self.histograms.clear();
        self.histogram_starts.clear();
        self.times_id = columns.times_id;
        std::mem::swap(&mut self.float_times, &mut columns.times_ms);
        std::mem::swap(&mut self.floats, &mut columns.floats);
        std::mem::swap(&mut self.float_starts, &mut columns.starts_ms);
        std::mem::swap(&mut self.float_weights, &mut columns.weights);
        let starts = !self.float_starts.is_empty();
        let weights = !self.float_weights.is_empty();
        if !columns.histograms.is_empty() {
            for (at, h) in &columns.histograms {
                let at = *at as usize;
                if !is_stale(h.sum) {
                    self.histogram_times.push(self.float_times[at]);
                    self.histograms.push(h.clone());
                    if starts {
                        self.histogram_starts.push(self.float_starts[at]);
                    }
                }
                // Marked, so that the next step drops it from the floats.
                self.floats[at] = model::value::STALE;
            }
        }
        if self.floats.iter().any(|f| is_stale(*f)) {
            let mut kept = 0;
            for i in 0..self.floats.len() {
                if is_stale(self.floats[i]) {
                    continue;
                }
                self.floats[kept] = self.floats[i];
                self.float_times[kept] = self.float_times[i];
                if starts {
                    self.float_starts[kept] = self.float_starts[i];
                }
                if weights {
                    self.float_weights[kept] = self.float_weights[i];
                }
                kept += 1;
            }
            self.times_id = 0;
            self.floats.truncate(kept);
            self.float_times.truncate(kept);
            self.float_starts.truncate(kept);
            self.float_weights.truncate(kept);
        }
    }

    /// Finds where floats fall; only counters need to know.
    pub fn find_resets(&mut self) {
        self.resets.clear();
        let pairs = self.floats.windows(2).enumerate();
        self.resets.extend(pairs.filter(|(_, w)| w[1] < w[0]).map(|(i, _)| i as u32 + 1));
    }

    /// The samples after `start` up to and including `end`. Neither may lie before those of the last
    /// window of `bounds`.
    #[inline]
    pub fn window<'a>(&'a self, bounds: &mut Bounds, start: i64, end: i64) -> Window<'a> {
        let (lo, hi) = advance(&self.float_times, &mut bounds.float, start, end);
        let (hlo, hhi) = if self.histogram_times.is_empty() {
            (0, 0)
        } else {
            advance(&self.histogram_times, &mut bounds.histogram, start, end)
        };
        Window {
            float_times: &self.float_times[lo..hi],
            floats: &self.floats[lo..hi],
            float_starts: part(&self.float_starts, lo, hi),
            float_weights: part(&self.float_weights, lo, hi),
            histogram_times: &self.histogram_times[hlo..hhi],
            histograms: &self.histograms[hlo..hhi],
            histogram_starts: part(&self.histogram_starts, hlo, hhi),
            resets: &self.resets,
            first_float: lo,
        }
    }
}

/// A part of a column that is empty where it says nothing.
fn part<T>(column: &[T], lo: usize, hi: usize) -> &[T] {
    if column.is_empty() { column } else { &column[lo..hi] }
}

#[inline]
fn advance(times: &[i64], bounds: &mut (usize, usize), start: i64, end: i64) -> (usize, usize) {
    let (mut lo, mut hi) = *bounds;
    // The first window of a long series may begin far in.
    if lo == 0 && times.len() > 64 && times[32] <= start {
        lo = times.partition_point(|t| *t <= start);
    }
    while lo < times.len() && times[lo] <= start {
        lo += 1;
    }
    hi = hi.max(lo);
    if hi == lo && times.len() - hi > 64 && times[hi + 32] <= end {
        hi += times[hi..].partition_point(|t| *t <= end);
    }
    while hi < times.len() && times[hi] <= end {
        hi += 1;
    }
    *bounds = (lo, hi);
    (lo, hi)
}

impl<'a> Window<'a> {
    pub fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    pub fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// For how many samples of the store its floats stand.
    pub fn float_count(&self) -> usize {
        match self.float_weights {
            [] => self.floats.len(),
            weights => weights.iter().map(|w| *w as usize).sum(),
        }
    }

    /// How many samples it weighs.
    pub fn weight(&self) -> usize {
        self.floats.len() + self.histograms.iter().map(|h| h.weight()).sum::<usize>()
    }

    /// How many samples after a time it weighs.
    pub fn weight_after(&self, time: i64) -> usize {
        let floats = self.float_times.partition_point(|t| *t <= time);
        let histograms = self.histogram_times.partition_point(|t| *t <= time);
        let histograms = self.histograms[histograms..].iter().map(|h| h.weight());
        self.floats.len() - floats + histograms.sum::<usize>()
    }

    pub fn float_points(&self) -> Vec<(i64, f64)> {
        self.float_times.iter().copied().zip(self.floats.iter().copied()).collect()
    }

    pub fn histogram_points(&self) -> Vec<(i64, Arc<Histogram>)> {
        self.histogram_times.iter().copied().zip(self.histograms.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_are_what_a_scan_finds(
            mut times in prop::collection::vec(0i64..1000, 0..200),
            first in -100i64..500,
            step in 1i64..60,
            range in 0i64..300,
        ) {
            times.sort_unstable();
            times.dedup();
            let floats = times.iter().map(|t| *t as f64).collect();
            let mut columns = Columns { times_ms: times.clone(), floats, ..Columns::default() };
            let mut samples = Samples::default();
            samples.fill(&mut columns);
            let mut bounds = Bounds::default();
            for i in 0..20 {
                let end = first + i * step;
                let window = samples.window(&mut bounds, end - range, end);
                let naive: Vec<i64> =
                    times.iter().copied().filter(|t| *t > end - range && *t <= end).collect();
                prop_assert_eq!(window.float_times, &naive[..]);
                prop_assert_eq!(window.floats.len(), naive.len());
            }
        }
    }
}
