//! CPU time, throttling and limits: cpu.stat, cpu.max, cpu.weight (v2); cpuacct.*, cpu.stat,
//! cpu.cfs_*, cpu.shares (v1).

use super::text;
use crate::Unexpected;

/// `USER_HZ`: the unit of cpuacct.stat, the same on every Linux that user space sees.
const TICKS_PER_SECOND: u64 = 100;
const NANOSECONDS_PER_TICK: u64 = 1_000_000_000 / TICKS_PER_SECOND;

/// CPU time consumed since the group was made, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// All.
    pub usage_ns: Option<u64>,
    /// In user mode.
    pub user_ns: Option<u64>,
    /// In the kernel.
    pub system_ns: Option<u64>,
    /// All, by logical CPU; empty on v2, which does not say.
    pub per_cpu_ns: Vec<u64>,
}

impl Cpu {
    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        (self.usage_ns, self.user_ns, self.system_ns) = (None, None, None);
        self.per_cpu_ns.clear();
    }

    /// Takes in v2's cpu.stat and gives the throttling that it holds.
    pub fn parse_v2_stat(&mut self, bytes: &[u8]) -> Result<Throttling, Unexpected> {
        let mut throttling = Throttling::default();
        text::pairs(bytes, |key, value| {
            match key {
                b"usage_usec" => self.usage_ns = Some(value.saturating_mul(1000)),
                b"user_usec" => self.user_ns = Some(value.saturating_mul(1000)),
                b"system_usec" => self.system_ns = Some(value.saturating_mul(1000)),
                _ => return throttling.take(key, value),
            }
            true
        })?;
        Ok(throttling)
    }

    /// Takes in v1's cpuacct.usage_percpu: nanoseconds of each CPU on one line. Their sum is what
    /// cpuacct.usage says.
    pub fn parse_v1_usage_percpu(&mut self, bytes: &[u8]) -> Result<(), Unexpected> {
        self.per_cpu_ns.clear();
        let mut sum: u64 = 0;
        for word in text::words(bytes) {
            let value = text::number(word)
                .ok_or_else(|| Unexpected::new(1, word, "nanoseconds of a CPU"))?;
            self.per_cpu_ns.push(value);
            sum = sum.saturating_add(value);
        }
        self.usage_ns = Some(sum);
        Ok(())
    }

    /// Takes in v1's cpuacct.stat: user and system time in hundredths of a second.
    pub fn parse_v1_stat(&mut self, bytes: &[u8]) -> Result<(), Unexpected> {
        text::pairs(bytes, |key, ticks| {
            let ns = Some(ticks.saturating_mul(NANOSECONDS_PER_TICK));
            match key {
                b"user" => self.user_ns = ns,
                b"system" => self.system_ns = ns,
                _ => return false,
            }
            true
        })
    }
}

/// What a quota did to a group since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Enforcement periods in which the group had something to run.
    pub periods: u64,
    /// Those in which its quota ran out.
    pub throttled_periods: u64,
    /// How long its tasks were held back, nanoseconds.
    pub throttled_ns: u64,
    /// Periods in which it burst above its quota.
    pub burst_periods: u64,
    /// CPU time consumed above the quota, nanoseconds.
    pub burst_ns: u64,
}

impl Throttling {
    /// Parses v1's cpu.stat.
    pub fn parse(bytes: &[u8]) -> Result<Throttling, Unexpected> {
        let mut throttling = Throttling::default();
        text::pairs(bytes, |key, value| throttling.take(key, value))?;
        Ok(throttling)
    }

    /// Times are nanoseconds on v1 (`throttled_time`) and microseconds on v2 (`throttled_usec`).
    fn take(&mut self, key: &[u8], value: u64) -> bool {
        match key {
            b"nr_periods" => self.periods = value,
            b"nr_throttled" => self.throttled_periods = value,
            b"throttled_time" => self.throttled_ns = value,
            b"throttled_usec" => self.throttled_ns = value.saturating_mul(1000),
            b"nr_bursts" => self.burst_periods = value,
            b"burst_time" => self.burst_ns = value,
            b"burst_usec" => self.burst_ns = value.saturating_mul(1000),
            _ => return false,
        }
        true
    }
}

/// How much CPU a group may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuLimits {
    /// Weight against its siblings on v1's scale (2 to 262144, 1024 by default). On v2 computed
    /// from cpu.weight w as 2 + (w - 1) * 262142 / 9999, as Kubernetes does.
    pub shares: Option<u64>,
    /// CPU time that it may use in a period, microseconds; `None` without a quota.
    pub quota_us: Option<u64>,
    /// Length of the period, microseconds.
    pub period_us: Option<u64>,
}

impl CpuLimits {
    /// The quota in cores; `None` without one.
    pub fn cores(&self) -> Option<f64> {
        match (self.quota_us, self.period_us) {
            (Some(quota), Some(period)) if period > 0 => Some(quota as f64 / period as f64),
            _ => None,
        }
    }

    /// Takes in v2's cpu.max: `QUOTA PERIOD`, the quota `max` without one.
    pub(super) fn parse_v2_max(&mut self, bytes: &[u8]) -> Result<(), Unexpected> {
        let unexpected = || Unexpected::new(1, text::trim(bytes), "quota and period");
        let mut words = text::words(bytes);
        let (quota, period) = (words.next(), words.next());
        self.quota_us = match quota {
            Some(b"max") => None,
            Some(quota) => Some(text::number(quota).ok_or_else(unexpected)?),
            None => return Err(unexpected()),
        };
        self.period_us = Some(period.and_then(text::number).ok_or_else(unexpected)?);
        Ok(())
    }

    /// Takes in v1's cpu.cfs_quota_us: -1 without a quota.
    pub(super) fn parse_v1_quota(&mut self, bytes: &[u8]) -> Result<(), Unexpected> {
        self.quota_us = match text::trim(bytes) {
            b"-1" => None,
            value => Some(
                text::number(value)
                    .ok_or_else(|| Unexpected::new(1, value, "a quota in microseconds"))?,
            ),
        };
        Ok(())
    }

    /// Takes in v2's cpu.weight; one outside of 1 to 10000 (0 where cpu.idle is set) gives no shares.
    pub(super) fn take_v2_weight(&mut self, weight: u64) {
        self.shares = (1..=10_000).contains(&weight).then(|| 2 + (weight - 1) * 262_142 / 9_999);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v2_stat() {
        let mut cpu = Cpu::default();
        let stat = b"usage_usec 887637828\nuser_usec 759366279\nsystem_usec 128271549\nnice_usec 5\n\
            core_sched.force_idle_usec 0\nnr_periods 7\nnr_throttled 3\nthrottled_usec 12\nnr_bursts 1\nburst_usec 2\n";
        let throttling = cpu.parse_v2_stat(stat).unwrap();
        assert_eq!(cpu.usage_ns, Some(887_637_828_000));
        assert_eq!(cpu.user_ns, Some(759_366_279_000));
        assert_eq!(cpu.system_ns, Some(128_271_549_000));
        let want = Throttling {
            periods: 7,
            throttled_periods: 3,
            throttled_ns: 12_000,
            burst_periods: 1,
            burst_ns: 2_000,
        };
        assert_eq!(throttling, want);
    }

    #[test]
    fn v1_files() {
        let mut cpu = Cpu::default();
        cpu.parse_v1_usage_percpu(b"436406410566 462061813365 \n").unwrap();
        cpu.parse_v1_stat(b"user 76831\nsystem 13015\n").unwrap();
        assert_eq!(cpu.usage_ns, Some(898_468_223_931));
        assert_eq!(cpu.user_ns, Some(768_310_000_000));
        assert_eq!(cpu.system_ns, Some(130_150_000_000));
        let t = Throttling::parse(b"nr_periods 9\nnr_throttled 4\nthrottled_time 11\n").unwrap();
        assert_eq!((t.periods, t.throttled_periods, t.throttled_ns), (9, 4, 11));
        assert!(cpu.parse_v1_usage_percpu(b"1 x").is_err());
    }

    #[test]
    fn limits() {
        let mut limits = CpuLimits::default();
        limits.parse_v2_max(b"20000 100000\n").unwrap();
        assert_eq!(limits.cores(), Some(0.2));
        limits.parse_v2_max(b"max 100000\n").unwrap();
        assert_eq!((limits.quota_us, limits.period_us), (None, Some(100_000)));
        assert!(limits.parse_v2_max(b"max\n").is_err());
        limits.parse_v1_quota(b"-1\n").unwrap();
        assert_eq!(limits.quota_us, None);
        limits.parse_v1_quota(b"7000\n").unwrap();
        assert_eq!(limits.quota_us, Some(7000));
        limits.take_v2_weight(100);
        assert_eq!(limits.shares, Some(2597));
        limits.take_v2_weight(0);
        assert_eq!(limits.shares, None);
    }
}
