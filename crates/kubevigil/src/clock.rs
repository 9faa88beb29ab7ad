//! When to collect: at whole steps of the interval, on a clock that only goes forward, and what the
//! wall clock says then.
//!
//! A round that comes late is not made up for. The wall clock's time of a round is the planned one
//! while the two agree to a few milliseconds, so that a second's samples lie exactly a second apart;
//! where the wall clock was set, or the machine slept, the plan follows it and the step is told.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// So far a round's time may be moved to lie at a whole step; Prometheus allows as much by default.
const TOLERANCE_MS: i64 = 2;
/// A difference from here on is a step of the clock and no drift.
const STEP_MS: i64 = 1_000;

/// The clocks at one moment, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since the Unix epoch.
    pub wall_ms: i64,
    /// Since boot, without the time asleep.
    pub awake_ms: i64,
    /// Since boot, with the time asleep.
    pub boot_ms: i64,
}

/// Asks the clocks.
pub fn now() -> Now {
    let ms = |id| {
        let t = clock_gettime(id);
        t.tv_sec * 1000 + t.tv_nsec / 1_000_000
    };
    Now {
        wall_ms: ms(ClockId::Realtime),
        awake_ms: ms(ClockId::Monotonic),
        boot_ms: ms(ClockId::Boottime),
    }
}

/// What happened to the clocks since the last round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The wall clock was set, forward or (negative) back.
    Stepped(i64),
    /// The machine was asleep.
    Slept(i64),
}

/// A round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Its time, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Rounds that were left out before it.
    pub missed: u64,
    /// What happened to the clocks since the round before.
    pub event: Option<Event>,
}

/// Plans rounds.
#[derive(Debug)]
pub struct Clock {
    interval_ms: i64,
    /// The next round, on the clock without sleep.
    next_awake_ms: i64,
    /// What the wall clock should say then.
    next_wall_ms: i64,
    /// Time asleep until the last round.
    asleep_ms: i64,
}

impl Clock {
    /// A clock whose first round is due at once.
    pub fn new(interval: Duration, now: Now) -> Clock {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        Clock {
            interval_ms,
            next_awake_ms: now.awake_ms,
            next_wall_ms: now.wall_ms,
            asleep_ms: now.boot_ms - now.awake_ms,
        }
    }

    /// How long until the next round is due.
    pub fn wait(&self, now: Now) -> Duration {
        Duration::from_millis((self.next_awake_ms - now.awake_ms).max(0).unsigned_abs())
    }

    /// Begins the round that is due, and plans the next.
    pub fn tick(&mut self, now: Now) -> Tick {
        let missed = (now.awake_ms - self.next_awake_ms).max(0) / self.interval_ms;
        let planned_awake = self.next_awake_ms + missed * self.interval_ms;
        let planned_wall = self.next_wall_ms + missed * self.interval_ms;
        let asleep_ms = now.boot_ms - now.awake_ms;
        let slept = asleep_ms - std::mem::replace(&mut self.asleep_ms, asleep_ms);
        // How far the wall clock is from the plan, apart from our own lateness.
        let drift = now.wall_ms - planned_wall - (now.awake_ms - planned_awake);
        let event = if slept >= STEP_MS {
            Some(Event::Slept(slept))
        } else if drift.abs() >= STEP_MS {
            Some(Event::Stepped(drift))
        } else {
            None
        };
        let off = now.wall_ms - planned_wall;
        let time_ms = if off.abs() <= TOLERANCE_MS { planned_wall } else { now.wall_ms };
        // A drift too small to be a step is followed as soon as it cannot be hidden any more.
        let followed = if drift.abs() > TOLERANCE_MS { drift } else { 0 };
        self.next_awake_ms = planned_awake + self.interval_ms;
        self.next_wall_ms = planned_wall + followed + self.interval_ms;
        Tick { time_ms, missed: missed.unsigned_abs(), event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(awake_ms: i64, wall_ms: i64, asleep_ms: i64) -> Now {
        Now { wall_ms, awake_ms, boot_ms: awake_ms + asleep_ms }
    }

    #[test]
    fn rounds_lie_exactly_an_interval_apart() {
        let mut clock = Clock::new(Duration::from_secs(1), at(5_000, 100_000, 0));
        assert_eq!(clock.wait(at(5_000, 100_000, 0)), Duration::ZERO);
        for (round, late) in [(0, 0), (1, 2), (2, 1), (3, 0)] {
            let (awake, wall) = (5_000 + round * 1_000 + late, 100_000 + round * 1_000 + late);
            let tick = clock.tick(at(awake, wall, 0));
            let time_ms = 100_000 + round * 1_000;
            assert_eq!(tick, Tick { time_ms, missed: 0, event: None });
        }
        assert_eq!(clock.wait(at(8_400, 0, 0)), Duration::from_millis(600));
    }

    #[test]
    fn a_late_round_has_its_own_time_and_missed_ones_are_left_out() {
        let mut clock = Clock::new(Duration::from_secs(1), at(0, 100_000, 0));
        clock.tick(at(0, 100_000, 0));
        let tick = clock.tick(at(1_300, 101_300, 0));
        assert_eq!(tick, Tick { time_ms: 101_300, missed: 0, event: None });
        let tick = clock.tick(at(5_100, 105_100, 0));
        assert_eq!(tick, Tick { time_ms: 105_100, missed: 3, event: None });
        let tick = clock.tick(at(6_000, 106_000, 0));
        assert_eq!(tick, Tick { time_ms: 106_000, missed: 0, event: None });
    }

    #[test]
    fn a_clock_that_was_set_is_followed_and_told() {
        for step in [3_600_000, -3_600_000] {
            let mut clock = Clock::new(Duration::from_secs(1), at(0, 10_000_000, 0));
            clock.tick(at(0, 10_000_000, 0));
            let tick = clock.tick(at(1_000, 10_001_000 + step, 0));
            let event = Some(Event::Stepped(step));
            assert_eq!(tick, Tick { time_ms: 10_001_000 + step, missed: 0, event });
            let tick = clock.tick(at(2_001, 10_002_001 + step, 0));
            assert_eq!(tick, Tick { time_ms: 10_002_000 + step, missed: 0, event: None });
        }
    }

    #[test]
    fn sleep_is_told_as_sleep() {
        let mut clock = Clock::new(Duration::from_secs(1), at(0, 10_000_000, 0));
        clock.tick(at(0, 10_000_000, 0));
        let tick = clock.tick(at(1_000, 10_001_000 + 60_000, 60_000));
        assert_eq!(tick.event, Some(Event::Slept(60_000)));
        assert_eq!(tick.time_ms, 10_061_000);
        assert_eq!(clock.tick(at(2_000, 10_062_000, 60_000)).event, None);
    }

    #[test]
    fn drift_is_followed_without_a_word() {
        let mut clock = Clock::new(Duration::from_secs(1), at(0, 0, 0));
        for round in 0..1_000 {
            // Half a millisecond a second: what NTP may slew.
            let tick = clock.tick(at(round * 1_000, round * 1_000 + round / 2, 0));
            assert_eq!((tick.missed, tick.event), (0, None));
            assert!((tick.time_ms - (round * 1_000 + round / 2)).abs() <= TOLERANCE_MS);
        }
    }
}
