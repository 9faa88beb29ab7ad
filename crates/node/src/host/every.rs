//! What is not read each round: things that hardly ever change, and things that are dear to read.

use std::time::Instant;

/// Says now and then that it is time.
#[derive(Default)]
pub(super) struct Every {
    last_ms: Option<i64>,
}

impl Every {
    /// True at first, then when `period_ms` have passed or the clock was set back.
    pub fn is_due(&mut self, now_ms: i64, period_ms: i64) -> bool {
        let waits = self.last_ms.is_some_and(|last| (last..last + period_ms).contains(&now_ms));
        if !waits {
            self.last_ms = Some(now_ms);
        }
        !waits
    }
}

/// Keeps the cost of one topic small: after a reading that took long, the next ones are left out, so that
/// it takes at most a fiftieth of the time. Some kernels let each reading of a frequency or a sensor
/// wait for tens of milliseconds.
#[derive(Default)]
pub(super) struct Pace {
    not_before_ms: Option<(i64, i64)>,
}

impl Pace {
    const CHEAP_MS: i64 = 5;
    const SHARE: i64 = 50;

    /// Reads, or leaves what was read before as it is.
    pub fn run<T>(&mut self, now_ms: i64, kept: T, read: impl FnOnce() -> T) -> T {
        if self.not_before_ms.is_some_and(|(from, to)| (from..to).contains(&now_ms)) {
            return kept;
        }
        let start = Instant::now();
        let result = read();
        let took_ms = i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX / Pace::SHARE);
        let pause = if took_ms > Pace::CHEAP_MS { took_ms * Pace::SHARE } else { 0 };
        self.not_before_ms = Some((now_ms, now_ms.saturating_add(pause)));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn is_due_now_and_then() {
        let mut every = Every::default();
        assert!(every.is_due(1000, 100) && !every.is_due(1099, 100) && every.is_due(1100, 100));
        assert!(every.is_due(5, 100), "the clock was set back");
    }

    #[test]
    fn what_takes_long_is_read_seldom() {
        let mut pace = Pace::default();
        let slow = || {
            std::thread::sleep(Duration::from_millis(20));
            1
        };
        assert_eq!(pace.run(0, 0, slow), 1);
        assert_eq!(pace.run(900, 0, slow), 0);
        assert_eq!(pace.run(1_000_000, 0, || 2), 2);
        assert_eq!(pace.run(1_000_000, 0, || 3), 3);
    }
}
