//! How long to wait before a request is tried again. Takes no clock and no randomness of its own.

use std::time::{Duration, SystemTime};

/// Waits that double, up to a longest one.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

/// Nobody is believed who asks for more.
const LONGEST: Duration = Duration::from_secs(600);

impl Backoff {
    /// Begins with `min`.
    pub fn new(min: Duration, max: Duration) -> Backoff {
        Backoff { min, max, next: min }
    }

    /// The next wait: what the receiver asked for, or else between a half and all of twice the one
    /// before; `random` is a number between 0 and 1, so that senders do not come back all at once.
    pub fn wait(&mut self, asked: Option<Duration>, random: f64) -> Duration {
        let random = random.clamp(0.0, 1.0);
        let wait = match asked.filter(|a| !a.is_zero()) {
            Some(asked) => asked.min(LONGEST).mul_f64(1.0 + random / 10.0),
            None => self.next.mul_f64(0.5 + random / 2.0),
        };
        self.next = (self.next * 2).clamp(self.min, self.max);
        wait
    }
}

/// What `Retry-After` says (RFC 9110, 10.2.3): seconds, or a date.
pub fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(now).ok()
}

/// Random numbers between 0 and 1: a linear congruence (Knuth's MMIX), enough for jitter.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// Each seed gives other numbers.
    pub fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_with_jitter_up_to_the_longest() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(30), ms(200));
        let waits: Vec<Duration> = (0..5).map(|_| backoff.wait(None, 1.0)).collect();
        assert_eq!(waits, [ms(30), ms(60), ms(120), ms(200), ms(200)]);
        assert_eq!(backoff.wait(None, 0.0), ms(100));
        assert_eq!(backoff.wait(Some(ms(7000)), 0.0), ms(7000));
        assert!(backoff.wait(Some(Duration::from_secs(1 << 30)), 1.0) <= LONGEST.mul_f64(1.1));
        let mut jitter = Jitter::new(5);
        let numbers: Vec<f64> = (0..1000).map(|_| jitter.next()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        let mean = numbers.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_767);
        let after = |text| retry_after(text, now);
        assert_eq!(after("12"), Some(Duration::from_secs(12)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(10)));
        for text in ["", "-1", "soon", "Sun, 06 Nov 1984 08:49:37 GMT"] {
            assert_eq!(after(text), None, "{text}");
        }
    }
}
