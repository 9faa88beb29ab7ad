//! How many samples a second each sender may send: a bucket each, that fills all the time and from
//! which a request takes what it brings. A sender is who signed in, or else an address.

use crate::queries::Origin;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So much may be saved up: senders send what a scrape brought at once.
const SAVED: Duration = Duration::from_secs(30);
/// So many senders are remembered. Those whose buckets are full are forgotten first; who is
/// forgotten begins with a full one.
const SENDERS: usize = 10_000;

/// The buckets of all senders.
#[derive(Debug, Default)]
pub struct Rates {
    /// Samples a second; 0: as many as they like.
    per_second: u64,
    senders: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Below 0 after a request larger than what was saved: the next ones wait for that.
    samples: f64,
    at: Instant,
}

impl Rates {
    /// So many samples a second for each sender; 0: as many as they like.
    pub fn new(per_second: u64) -> Rates {
        Rates { per_second, senders: Mutex::default() }
    }

    /// Takes `samples` from a sender's bucket; gives how long it has to wait where that is in debt.
    pub fn take(&self, sender: &Origin, samples: u64, now: Instant) -> Result<(), Duration> {
        if self.per_second == 0 {
            return Ok(());
        }
        let (rate, most) = (self.per_second as f64, self.per_second as f64 * SAVED.as_secs_f64());
        let filled = |bucket: &Bucket| {
            let since = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.samples + since * rate).min(most)
        };
        let name = if sender.user.is_empty() { &sender.client } else { &sender.user };
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let held = senders.get(name).map_or(most, filled);
        if held < 0.0 {
            return Err(Duration::from_secs_f64(-held / rate));
        }
        if senders.len() >= SENDERS && !senders.contains_key(name) {
            senders.retain(|_, bucket| filled(bucket) < most);
            if senders.len() >= SENDERS {
                senders.clear();
            }
        }
        senders.insert(name.clone(), Bucket { samples: held - samples as f64, at: now });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_that_sends_too_much_waits_and_others_do_not() {
        let rates = Rates::new(100);
        let from = |client: &str| Origin { client: client.into(), ..Origin::default() };
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        // 3,000 are saved; a larger request is taken once.
        assert_eq!(rates.take(&from("a"), 3500, after(0)), Ok(()));
        assert_eq!(rates.take(&from("a"), 1, after(0)), Err(Duration::from_secs(5)));
        assert_eq!(rates.take(&from("a"), 1, after(4000)), Err(Duration::from_secs(1)));
        assert_eq!(rates.take(&from("b"), 1, after(4000)), Ok(()));
        assert_eq!(rates.take(&from("a"), 1, after(5001)), Ok(()));
        // Who signed in is the same from anywhere.
        let user = |client: &str| Origin { user: "u".into(), ..from(client) };
        assert_eq!(rates.take(&user("a"), 4000, after(0)), Ok(()));
        assert!(rates.take(&user("b"), 1, after(0)).is_err());
        assert_eq!(Rates::default().take(&from("a"), u64::MAX, after(0)), Ok(()));
    }

    #[test]
    fn senders_beyond_number_are_forgotten() {
        let rates = Rates::new(1);
        let now = Instant::now();
        for i in 0..2 * SENDERS {
            let sender = Origin { client: i.to_string(), ..Origin::default() };
            assert_eq!(rates.take(&sender, 1, now), Ok(()));
        }
        assert!(rates.senders.lock().unwrap().len() <= SENDERS);
    }
}
