//! What a companion keeps of one series.

use super::TICKS_MAX;
use model::Columns;
use model::histogram::kahan_add;
use model::value::is_stale;

/// What is kept of a series, for stretches of one width.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// Samples, as they are: of each stretch the first and last one, with and without stale marks, and where `falls` is set each pair of which the second is less or has another start.
    pub times_ms: Vec<i64>,
    pub floats: Vec<f64>,
    /// Empty where none is known.
    pub starts_ms: Vec<i64>,
    /// How many samples the stretch has, at its last one; 0 elsewhere. Stale marks do not count.
    pub weights: Vec<i64>,
    pub falls: bool,
    /// A number for each weight that is not 0; empty where it is not kept.
    pub sums: Vec<f64>,
    pub least: Vec<f64>,
    pub greatest: Vec<f64>,
}

/// Values up to here can be added up a billion times.
const LARGEST: f64 = 1e290;
/// One fall for so many samples is what counters may have.
const SAMPLES_A_FALL: usize = 8;

impl Summary {
    /// `None` where a window could be answered otherwise than from the samples, or nothing would be saved.
    pub fn of(columns: &Columns, width_ms: i64) -> Option<Summary> {
        // Of the two zeros either may be the least.
        let plain =
            |v: &f64| (v.abs() <= LARGEST && v.to_bits() != (-0.0f64).to_bits()) || is_stale(*v);
        let sound = columns.histograms.is_empty()
            && columns.floats.iter().all(plain)
            && columns.times_ms.is_sorted_by(|a, b| a < b);
        if !sound {
            return None;
        }
        let mut samples = 0;
        let mut fallen = Vec::new();
        let mut before: Option<usize> = None;
        for i in 0..columns.floats.len() {
            if is_stale(columns.floats[i]) {
                continue;
            }
            samples += 1;
            if let Some(before) = before.replace(i)
                && falls(columns, before, i)
            {
                fallen.push((before, i));
            }
        }
        let mut summary =
            Summary { falls: fallen.len() * SAMPLES_A_FALL <= samples, ..Summary::default() };
        if !summary.falls {
            fallen.clear();
        }
        let mut marked = vec![false; columns.times_ms.len()];
        for (before, after) in fallen {
            (marked[before], marked[after]) = (true, true);
        }
        let grew = summary.add_stretches(columns, width_ms, &mut marked);
        if summary.times_ms.len() > TICKS_MAX || summary.times_ms.len() * 2 > columns.times_ms.len()
        {
            return None;
        }
        let stretches = summary.sums.len();
        if summary.falls {
            // The samples that are kept have the extremes; and nobody adds up what always grows.
            summary.least.clear();
            summary.greatest.clear();
            if grew * 2 > stretches {
                summary.sums.clear();
            }
        }
        if summary.starts_ms.iter().all(|s| *s == 0) {
            summary.starts_ms.clear();
        }
        Some(summary)
    }

    /// Adds the stretches one after the other, with the samples that are marked; gives in how many values grew.
    fn add_stretches(&mut self, columns: &Columns, width_ms: i64, marked: &mut [bool]) -> usize {
        let number = |time: i64| time.saturating_sub(1).div_euclid(width_ms);
        let (mut begin, mut grew) = (0, 0);
        for stretch in columns.times_ms.chunk_by(|a, b| number(*a) == number(*b)) {
            let end = begin + stretch.len();
            let mut own = (begin..end).filter(|i| !is_stale(columns.floats[*i]));
            let first = own.next();
            let last = own.next_back().or(first);
            // Stale marks too: others must not come between what is there.
            (marked[begin], marked[end - 1]) = (true, true);
            if let (Some(first), Some(last)) = (first, last) {
                (marked[first], marked[last]) = (true, true);
                grew += usize::from(columns.floats[last] > columns.floats[first]);
            }
            let mut weight = 0;
            let (mut sum, mut lost) = (0.0, 0.0);
            let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
            for (i, &value) in columns.floats.iter().enumerate().take(end).skip(begin) {
                if !is_stale(value) {
                    weight += 1;
                    (sum, lost) = kahan_add(value, sum, lost);
                    least = least.min(value);
                    greatest = greatest.max(value);
                }
                if marked[i] {
                    self.times_ms.push(columns.times_ms[i]);
                    self.floats.push(value);
                    self.starts_ms.push(columns.starts_ms.get(i).copied().unwrap_or(0));
                    self.weights.push(if Some(i) == last { weight } else { 0 });
                }
            }
            if weight > 0 {
                self.sums.push(sum + lost);
                self.least.push(least);
                self.greatest.push(greatest);
            }
            begin = end;
        }
        grew
    }
}

/// Whether a counter may have begun anew between two samples.
fn falls(columns: &Columns, before: usize, after: usize) -> bool {
    let start = |i: usize| columns.starts_ms.get(i).copied().unwrap_or(0);
    columns.floats[after] < columns.floats[before] || start(after) != start(before)
}
