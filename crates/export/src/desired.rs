//! How many shards a queue should have, as Prometheus's `calculateDesiredShards` decides it: by what
//! comes in, what lies behind, and how long a sample takes on its way. Takes no clock.

/// What happened in a queue since the last look, and where it stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Seconds since the last look.
    pub seconds: f64,
    /// Samples read.
    pub samples_in: f64,
    /// Samples sent.
    pub samples_out: f64,
    /// Samples that relabelling left out.
    pub dropped: f64,
    /// Seconds that requests took, all shards together.
    pub sending_seconds: f64,
    /// Samples that are not sent yet, those in the log estimated.
    pub pending: f64,
}

/// Rates that follow what happens slowly, and how many shards they ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Desired {
    rates: Option<[f64; 4]>,
    /// What was wanted last, not rounded.
    pub wanted: f64,
}

/// The weight of the newest look.
const WEIGHT: f64 = 0.2;
/// Changes by less than this part are not made.
const TOLERANCE: f64 = 0.3;
/// This part of what lies behind is to be caught up each second.
const CATCH_UP: f64 = 0.05;
/// Shards are not taken away while the queue is further behind.
const BEHIND_SECONDS: f64 = 10.0;

impl Desired {
    /// The number of shards from now on.
    pub fn next(&mut self, load: &Load, shards: usize, min: usize, max: usize) -> usize {
        let now = [load.samples_in, load.samples_out, load.dropped, load.sending_seconds]
            .map(|n| n / load.seconds.max(0.001));
        let mut rates = self.rates.unwrap_or(now);
        for (rate, now) in rates.iter_mut().zip(now) {
            *rate += WEIGHT * (now - *rate);
        }
        self.rates = Some(rates);
        let [taken, sent, dropped, sending] = rates;
        if sent <= 0.0 {
            return shards.clamp(min, max);
        }
        let kept = taken * sent / (sent + dropped);
        let pending = load.pending * sent / (sent + dropped);
        let seconds_a_sample = sending / sent;
        self.wanted = seconds_a_sample * (kept + CATCH_UP * pending);
        let wanted = self.wanted.ceil();
        let (low, high) = (shards as f64 * (1.0 - TOLERANCE), shards as f64 * (1.0 + TOLERANCE));
        let keep =
            (low..=high).contains(&wanted) || wanted < low && pending > BEHIND_SECONDS * kept;
        // Casts of floats saturate.
        (if keep { shards } else { wanted as usize }).clamp(min, max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(desired: &mut Desired, load: Load, shards: usize) -> usize {
        (0..50).fold(shards, |shards, _| desired.next(&load, shards, 1, 50))
    }

    #[test]
    fn shards_follow_the_load() {
        let calm = Load {
            seconds: 10.0,
            samples_in: 10_000.0,
            samples_out: 10_000.0,
            sending_seconds: 1.0,
            ..Load::default()
        };
        assert_eq!(look(&mut Desired::default(), calm, 1), 1);
        assert_eq!(look(&mut Desired::default(), calm, 20), 1, "too many go");
        let slow = Load { sending_seconds: 75.0, ..calm };
        assert_eq!(look(&mut Desired::default(), slow, 1), 8);
        let behind = Load { pending: 600_000.0, ..calm };
        assert_eq!(look(&mut Desired::default(), behind, 1), 4);
        assert_eq!(look(&mut Desired::default(), behind, 30), 30, "none go while behind");
        let endless = Load { sending_seconds: 1e9, ..calm };
        assert_eq!(look(&mut Desired::default(), endless, 1), 50);
        let nothing = Load { seconds: 10.0, ..Load::default() };
        assert_eq!(look(&mut Desired::default(), nothing, 7), 7);
        assert_eq!(Desired::default().next(&nothing, 70, 2, 50), 50);
    }
}
