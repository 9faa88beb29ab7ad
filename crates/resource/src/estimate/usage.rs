//! What a container of a workload used: two decaying histograms, the peaks of days, and the times.

use super::Statistics;
use super::histogram::{CPU, Histogram, MEMORY};

/// So many days have a peak of their own.
pub(super) const DAYS: usize = 8;
const DAY_MS: i64 = 24 * 3_600_000;

/// Usage over time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Used {
    pub cpu: Histogram,
    pub memory: Histogram,
    /// Cores and bytes, by the day's number modulo [`DAYS`].
    pub peaks: [[f32; 2]; DAYS],
    /// The newest day, counted from 1970.
    pub day: i32,
    /// An observation at this time has the weight of its length; a later one more.
    pub reference_ms: i64,
    pub first_ms: i64,
    pub last_ms: i64,
    pub observed_seconds: f64,
}

fn day_of(time_ms: i64) -> i32 {
    // Days of any year that a clock can show fit.
    time_ms.div_euclid(DAY_MS).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

fn slot(day: i32) -> usize {
    day.rem_euclid(DAYS as i32) as usize
}

impl Used {
    pub fn new(time_ms: i64) -> Used {
        Used {
            cpu: Histogram::default(),
            memory: Histogram::default(),
            peaks: [[0.0; 2]; DAYS],
            day: day_of(time_ms),
            reference_ms: time_ms,
            first_ms: time_ms,
            last_ms: time_ms,
            observed_seconds: 0.0,
        }
    }

    pub fn add(&mut self, time_ms: i64, seconds: f64, cpu: f64, memory: f64, half_life_ms: f64) {
        let weight = seconds * self.weight_at(time_ms, half_life_ms);
        self.cpu.add(CPU, cpu, weight);
        self.memory.add(MEMORY, memory, weight);
        self.peak(day_of(time_ms), [cpu as f32, memory as f32]);
        self.first_ms = self.first_ms.min(time_ms);
        self.last_ms = self.last_ms.max(time_ms);
        self.observed_seconds += seconds;
    }

    /// How much a second at a time weighs; halves everything before where it would become too much.
    fn weight_at(&mut self, time_ms: i64, half_life_ms: f64) -> f64 {
        // 2^16 is far from where single precision loses what is small.
        const MOST: f64 = 16.0;
        let mut age = (time_ms as f64 - self.reference_ms as f64) / half_life_ms;
        if age > MOST {
            let halves = age.floor();
            let factor = (-halves).exp2();
            self.cpu.scale_by(factor);
            self.memory.scale_by(factor);
            self.reference_ms = self.reference_ms.saturating_add((halves * half_life_ms) as i64);
            age -= halves;
        }
        age.exp2()
    }

    /// Takes the peak of a day in; one of a day that has gone is left out.
    fn peak(&mut self, day: i32, values: [f32; 2]) {
        let ahead = i64::from(day) - i64::from(self.day);
        if ahead > 0 {
            for gone in 1..=ahead.min(DAYS as i64) {
                self.peaks[slot(self.day.wrapping_add(gone as i32))] = [0.0; 2];
            }
            self.day = day;
        } else if ahead <= -(DAYS as i64) {
            return;
        }
        let peak = &mut self.peaks[slot(day)];
        *peak = [peak[0].max(values[0]), peak[1].max(values[1])];
    }

    /// The peak of the last 8 days at a time.
    fn peak_at(&self, now_ms: i64, which: usize) -> f64 {
        let today = i64::from(day_of(now_ms));
        let days = (0..DAYS as i32).map(|back| self.day.wrapping_sub(back));
        let in_window = days.filter(|day| today - i64::from(*day) < DAYS as i64);
        in_window.map(|day| f64::from(self.peaks[slot(day)][which])).fold(0.0, f64::max)
    }

    pub fn cpu(&self, now_ms: i64) -> Statistics {
        self.statistics(&self.cpu, CPU, self.peak_at(now_ms, 0))
    }

    pub fn memory(&self, now_ms: i64) -> Statistics {
        self.statistics(&self.memory, MEMORY, self.peak_at(now_ms, 1))
    }

    fn statistics(&self, of: &Histogram, scale: super::histogram::Scale, peak: f64) -> Statistics {
        // Within a bucket the quantile is a guess; the peak is exact, while its day is remembered.
        let at = |quantile| {
            let value = of.quantile(scale, quantile);
            if peak > 0.0 { value.min(peak) } else { value }
        };
        Statistics { p50: at(0.5), p95: at(0.95), p99: at(0.99), peak }
    }

    /// Adds what another container used.
    pub fn merge(&mut self, other: &Used, half_life_ms: f64) {
        let factor = self.weight_at(other.reference_ms, half_life_ms);
        self.cpu.merge(&other.cpu, factor);
        self.memory.merge(&other.memory, factor);
        for back in (0..DAYS as i32).rev() {
            let day = other.day.wrapping_sub(back);
            self.peak(day, other.peaks[slot(day)]);
        }
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
        self.observed_seconds += other.observed_seconds;
    }

    pub fn heap_bytes(&self) -> usize {
        (self.cpu.weights.capacity() + self.memory.weights.capacity()) * size_of::<f32>()
    }
}
