//! One reading of one group: what the kernel says of it now, and the rates since the reading before.
//!
//! A round reads of an idle group only what can change without it running: CPU time and memory usage
//! tell that it did not run, and then its counters of CPU modes, throttling, memory and I/O cannot
//! have moved much. Every [`FULL_EVERY_MS`] everything is read all the same.

use super::network::{Interface, RECEIVE_BYTES, TRANSMIT_BYTES};
use kernel::cgroup::cpu::{Cpu, CpuLimits, Throttling};
use kernel::cgroup::io::{Device, READ, WRITE};
use kernel::cgroup::memory::{Memory, MemoryLimits};
use kernel::cgroup::pressure::Pressure;
use kernel::cgroup::{File, Group, Hierarchies, Reader};
use std::time::Instant;

/// How often all files are read, limits too.
pub(super) const FULL_EVERY_MS: i64 = 5_000;

/// What the kernel said of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    /// When, milliseconds since the Unix epoch; 0 before the first reading.
    pub time_ms: i64,
    pub cpu: Cpu,
    pub throttling: Option<Throttling>,
    pub cpu_limits: Option<CpuLimits>,
    pub memory: Memory,
    pub memory_limits: Option<MemoryLimits>,
    /// `None` without an I/O controller.
    pub io: Option<Vec<Device>>,
    pub threads: Option<u64>,
    pub processes: Option<u64>,
    /// CPU, memory, I/O.
    pub pressure: [Option<Pressure>; 3],
    /// `None` where the group has no network of its own, or it cannot be read.
    pub network: Option<Vec<Interface>>,
}

/// How a reading went.
#[derive(Debug)]
pub(super) enum Outcome {
    Read,
    /// The group, or a part of it, is gone: the reading before stays as it was.
    Vanished,
}

impl Reading {
    /// Reads a group into `self`. `full` reads everything; otherwise an idle group is spared.
    /// The first error is kept in `error`, and what it is about stays as it was.
    pub fn take(
        &mut self,
        h: &Hierarchies,
        reader: &mut Reader,
        group: &mut Group,
        scratch: &mut Cpu,
        how: How,
        error: &mut Option<kernel::Error>,
    ) -> Outcome {
        scratch.clear();
        let throttling = or_keep(reader.cpu_usage(h, group, scratch), error).flatten();
        let usage = or_keep(reader.memory_usage(h, group), error).unwrap_or(self.memory.usage);
        let lost = |before: Option<u64>, now: Option<u64>| before.is_some() && now.is_none();
        let by_cpu_lost = !self.cpu.per_cpu_ns.is_empty() && scratch.per_cpu_ns.is_empty();
        let cpu_lost = by_cpu_lost || lost(self.cpu.usage_ns, scratch.usage_ns);
        let memory_lost = lost(self.memory.usage, usage) && !how.is_root;
        if cpu_lost || (memory_lost && !how.last) {
            return Outcome::Vanished;
        }
        let before = how.last.then(|| self.clone());
        let ran = self.cpu.usage_ns != scratch.usage_ns;
        let moved = ran || self.memory.usage != usage || (usage.is_none() && how.full);
        if scratch.user_ns.is_none() {
            (scratch.user_ns, scratch.system_ns) = (self.cpu.user_ns, self.cpu.system_ns);
        }
        std::mem::swap(&mut self.cpu, scratch);
        self.memory.usage = usage;
        self.time_ms = how.time_ms;
        let mut take = Take { h, reader, group, error };
        self.take_rest(&mut take, how, ran, moved, throttling);
        if let Some(before) = before {
            self.restore(before, memory_lost);
        }
        Outcome::Read
    }

    /// All but CPU time and memory usage. What cannot be read stays as it was.
    fn take_rest(
        &mut self,
        take: &mut Take<'_>,
        how: How,
        ran: bool,
        moved: bool,
        throttling: Option<Throttling>,
    ) {
        let Take { h, reader, group, error } = take;
        let full = how.full;
        if full {
            group.look_again();
            let limits = or_keep(reader.cpu_limits(h, group), error);
            self.cpu_limits = limits.unwrap_or(self.cpu_limits);
            let limits = or_keep(reader.memory_limits(h, group), error);
            self.memory_limits = limits.unwrap_or(self.memory_limits);
        }
        if throttling.is_some() {
            self.throttling = throttling;
        } else if self.cpu_limits.is_some_and(|l| l.quota_us.is_some()) && (ran || full) {
            let now = or_keep(reader.throttling_v1(h, group), error);
            self.throttling = now.unwrap_or(self.throttling);
        }
        if ran || full {
            or_keep(reader.cpu_modes_v1(h, group, &mut self.cpu), error);
            let mut devices = self.io.take().unwrap_or_default();
            let found = or_keep(reader.io(h, group, how.bfq, &mut devices), error);
            self.io = found.unwrap_or(false).then_some(devices);
            let pids = or_keep(reader.pids(h, group), error);
            self.threads = pids.map_or(self.threads, |p| p.current);
        }
        if moved || full {
            or_keep(reader.memory_rest(h, group, &mut self.memory), error);
            if let Some(events) = or_keep(reader.memory_events(h, group), error).flatten() {
                self.memory.events = events;
            }
        }
        let files = [File::CpuPressure, File::MemoryPressure, File::IoPressure];
        for (now, file) in self.pressure.iter_mut().zip(files) {
            if ran || full || file != File::CpuPressure {
                *now = or_keep(reader.pressure(h, group, file), error).unwrap_or(*now);
            }
        }
    }

    /// Of a group that is being removed, one hierarchy after the other: what is gone already stays as
    /// it was read before.
    fn restore(&mut self, before: Reading, memory_lost: bool) {
        if memory_lost {
            self.memory = before.memory;
        }
        self.memory_limits = self.memory_limits.or(before.memory_limits);
        self.cpu_limits = self.cpu_limits.or(before.cpu_limits);
        self.throttling = self.throttling.or(before.throttling);
        self.io = self.io.take().or(before.io);
        for (now, before) in self.pressure.iter_mut().zip(before.pressure) {
            *now = now.or(before);
        }
    }

    /// The counters of which rates are made.
    fn totals(&self) -> Totals {
        let io = |operation: usize| {
            let devices = self.io.as_ref()?;
            Some(devices.iter().filter_map(|d| d.bytes[operation]).sum())
        };
        let network = |counter: usize| {
            let interfaces = self.network.as_ref()?;
            Some(interfaces.iter().map(|i| i.counters[counter]).sum())
        };
        Totals {
            at: None,
            cpu: [self.cpu.usage_ns, self.cpu.user_ns, self.cpu.system_ns],
            periods: self.throttling.map(|t| (t.periods, t.throttled_periods)),
            io: [io(READ), io(WRITE)],
            network: [network(RECEIVE_BYTES), network(TRANSMIT_BYTES)],
            pressure: self.pressure.map(|p| p.map(|p| p.some.total_us)),
        }
    }
}

/// What a reading is taken with.
struct Take<'a> {
    h: &'a Hierarchies,
    reader: &'a mut Reader,
    group: &'a mut Group,
    error: &'a mut Option<kernel::Error>,
}

/// What was read; the first error of a round is kept.
fn or_keep<T>(result: Result<T, kernel::Error>, error: &mut Option<kernel::Error>) -> Option<T> {
    result.map_err(|e| error.get_or_insert(e)).ok()
}

/// How to take a reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub time_ms: i64,
    /// Also what seldom changes.
    pub full: bool,
    /// Whether the BFQ scheduler has the I/O figures (v1).
    pub bfq: bool,
    /// The last reading of a group that fell empty: parts of it may be gone already.
    pub last: bool,
    /// The root group does not vanish, and its memory usage is computed where it has no file.
    pub is_root: bool,
}

/// Counters as of one reading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    at: Option<Instant>,
    cpu: [Option<u64>; 3],
    periods: Option<(u64, u64)>,
    io: [Option<u64>; 2],
    network: [Option<u64>; 2],
    pressure: [Option<u64>; 3],
}

/// What happened a second between the two newest readings. A counter that went backwards has no rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    /// Usage, user, system; cores.
    pub cpu: [Option<f64>; 3],
    /// Share of periods in which the quota ran out.
    pub throttled: Option<f64>,
    /// Bytes read and written.
    pub io: [Option<f64>; 2],
    /// Bytes received and sent.
    pub network: [Option<f64>; 2],
    /// Shares of time: CPU, memory, I/O.
    pub pressure: [Option<f64>; 3],
}

impl Totals {
    /// The rates from here to a reading; `self` becomes that reading.
    pub fn advance(&mut self, reading: &Reading, at: Instant) -> Rates {
        let before = std::mem::replace(self, reading.totals());
        self.at = Some(at);
        let Some(seconds) = before.at.map(|b| at.duration_since(b).as_secs_f64()) else {
            return Rates::default();
        };
        if seconds <= 0.0 {
            return Rates::default();
        }
        let rate = |before: Option<u64>, now: Option<u64>, unit: f64| {
            Some(now?.checked_sub(before?)? as f64 / unit / seconds)
        };
        let throttled = (|| {
            let (before, now) = (before.periods?, self.periods?);
            let periods = now.0.checked_sub(before.0)?;
            let throttled = now.1.checked_sub(before.1)?;
            Some(if periods == 0 { 0.0 } else { throttled as f64 / periods as f64 })
        })();
        Rates {
            cpu: std::array::from_fn(|i| rate(before.cpu[i], self.cpu[i], 1e9)),
            throttled,
            io: std::array::from_fn(|i| rate(before.io[i], self.io[i], 1.0)),
            network: std::array::from_fn(|i| rate(before.network[i], self.network[i], 1.0)),
            pressure: std::array::from_fn(|i| {
                rate(before.pressure[i], self.pressure[i], 1e6).map(|r| r.min(1.0))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_counter_that_went_backwards_has_no_rate() {
        let mut reading = Reading::default();
        let mut totals = Totals::default();
        let start = Instant::now();
        reading.cpu.usage_ns = Some(5_000_000_000);
        assert_eq!(totals.advance(&reading, start).cpu[0], None);
        reading.cpu.usage_ns = Some(6_000_000_000);
        assert_eq!(totals.advance(&reading, start + Duration::from_secs(2)).cpu[0], Some(0.5));
        reading.cpu.usage_ns = Some(1);
        assert_eq!(totals.advance(&reading, start + Duration::from_secs(3)).cpu[0], None);
        assert_eq!(totals.advance(&reading, start + Duration::from_secs(3)).cpu[0], None);
    }
}
