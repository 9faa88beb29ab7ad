//! `cpu`: processor times of `/proc/stat`; throttling by heat, isolation and whether a processor is online
//! from sysfs.

use super::decimals::Decimals;
use super::every::Every;
use super::{Collector, column};
use crate::{Failure, Families, Files, Options};
use kernel::KeptFile;
use kernel::procfs::stat::{self, MODES, TICKS_PER_SECOND};
use kernel::sysfs::cpu as sys;
use model::Kind;

/// The kernel's idle counters may jump back a little; by more than this a processor was taken out and
/// put in again, and all its counters begin anew.
const JUMP_BACK_TICKS: u64 = 300;

/// How often sysfs is looked through for processors that came or went.
const LIST_PERIOD_MS: i64 = 30_000;

pub(super) struct Cpu {
    with_guest: bool,
    cpus: Vec<stat::Cpu>,
    numbers: Decimals,
    isolated_file: KeptFile,
    isolated: Decimals,
    listed: Every,
    sys: Vec<sys::Cpu>,
    /// (number, 0 or 1).
    online: Vec<(String, f64)>,
    /// (package, times).
    package_throttles: Vec<(u64, String, u64)>,
    /// (package, core, times).
    core_throttles: Vec<(u64, u64, [String; 2], u64)>,
}

impl Cpu {
    pub fn open(options: &Options) -> Cpu {
        Cpu {
            with_guest: options.flags.get("collector.cpu.guest") == "true",
            cpus: Vec::new(),
            numbers: Decimals::default(),
            isolated_file: KeptFile::new("devices/system/cpu/isolated"),
            isolated: Decimals::default(),
            listed: Every::default(),
            sys: Vec::new(),
            online: Vec::new(),
            package_throttles: Vec::new(),
            core_throttles: Vec::new(),
        }
    }

    fn read_sysfs(&mut self, files: &Files) -> Result<(), Failure> {
        self.online.clear();
        self.package_throttles.clear();
        self.core_throttles.clear();
        let Some(sysfs) = files.sysfs() else { return Ok(()) };
        let isolated = self.isolated_file.parse(sysfs, sys::parse_list)?.unwrap_or_default();
        self.isolated.set(isolated.into_iter().map(u64::from));
        if self.listed.is_due(files.now_ms(), LIST_PERIOD_MS) {
            self.sys = sys::list(sysfs)?;
        }
        let mut switchable = false;
        for (index, cpu) in self.sys.iter_mut().enumerate() {
            let online = cpu.is_online(sysfs);
            // The first one says whether this machine can switch processors off.
            switchable |= index == 0 && online.is_some();
            if switchable {
                self.online.push((cpu.number.clone(), f64::from(online == Some(true))));
            }
            let (Some(package), Some(core)) = (cpu.package, cpu.core) else { continue };
            if !self.core_throttles.iter().any(|t| (t.0, t.1) == (package, core))
                && let Some(times) = cpu.core_throttles(sysfs)
            {
                let labels = [core.to_string(), package.to_string()];
                self.core_throttles.push((package, core, labels, times));
            }
            if !self.package_throttles.iter().any(|t| t.0 == package)
                && let Some(times) = cpu.package_throttles(sysfs)
            {
                self.package_throttles.push((package, package.to_string(), times));
            }
        }
        Ok(())
    }
}

/// Takes new counters over, but none that is smaller than before.
fn take_over(kept: &mut Vec<stat::Cpu>, new: &[stat::Cpu]) {
    const IDLE: usize = 3;
    let same = kept.len() == new.len() && kept.iter().zip(new).all(|(k, n)| k.number == n.number);
    if !same {
        let old = std::mem::take(kept);
        kept.extend(new.iter().map(|n| {
            let fresh = stat::Cpu { number: n.number, ticks: [0; 10] };
            old.iter().find(|o| o.number == n.number).copied().unwrap_or(fresh)
        }));
    }
    for (kept, new) in kept.iter_mut().zip(new) {
        if kept.ticks[IDLE] >= new.ticks[IDLE] + JUMP_BACK_TICKS {
            kept.ticks = [0; 10];
        }
        for (kept, new) in kept.ticks.iter_mut().zip(new.ticks) {
            *kept = new.max(*kept);
        }
    }
}

impl Collector for Cpu {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        match files.stat() {
            Ok(Some(stat)) => take_over(&mut self.cpus, &stat.cpus),
            Ok(None) => {
                self.cpus.clear();
                return Err(Failure::absent("processor times", "/proc/stat"));
            }
            Err(error) => {
                self.cpus.clear();
                return Err(error.into());
            }
        }
        self.numbers.set(self.cpus.iter().map(|c| u64::from(c.number)));
        self.read_sysfs(files)
    }

    fn write(&self, out: &mut Families<'_>) {
        let cpus = || self.numbers.iter().zip(&self.cpus);
        let mut modes = |name: &str, help: &str, modes: &[(&str, usize)]| {
            out.begin(name, help, Kind::Counter);
            for (number, cpu) in cpus() {
                for (mode, index) in modes {
                    let seconds = cpu.ticks[*index] as f64 / TICKS_PER_SECOND;
                    out.sample(name, &[("cpu", number), ("mode", mode)], seconds);
                }
            }
        };
        let all: [(&str, usize); 8] = std::array::from_fn(|i| (MODES[i], i));
        modes("node_cpu_seconds_total", "Seconds the CPUs spent in each mode.", &all);
        if self.with_guest {
            modes(
                "node_cpu_guest_seconds_total",
                "Seconds the CPUs spent in guests (VMs) for each mode.",
                &[("user", 8), ("nice", 9)],
            );
        }
        column(
            out,
            "node_cpu_isolated",
            "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.",
            Kind::Gauge,
            "cpu",
            self.isolated.iter().map(|n| (n, 1.0)),
        );
        column(
            out,
            "node_cpu_package_throttles_total",
            "Number of times this CPU package has been throttled.",
            Kind::Counter,
            "package",
            self.package_throttles.iter().map(|t| (t.1.as_str(), t.2 as f64)),
        );
        let name = "node_cpu_core_throttles_total";
        out.begin(name, "Number of times this CPU core has been throttled.", Kind::Counter);
        for (_, _, [core, package], times) in &self.core_throttles {
            out.sample(name, &[("core", core), ("package", package)], *times as f64);
        }
        column(
            out,
            "node_cpu_online",
            "CPUs that are online and being scheduled.",
            Kind::Gauge,
            "cpu",
            self.online.iter().map(|(n, v)| (n.as_str(), *v)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_never_go_back_unless_a_processor_was_replugged() {
        let cpu = |number, user, idle| {
            let mut ticks = [0; 10];
            (ticks[0], ticks[3]) = (user, idle);
            stat::Cpu { number, ticks }
        };
        let mut kept = Vec::new();
        take_over(&mut kept, &[cpu(0, 10, 1000), cpu(1, 20, 2000)]);
        take_over(&mut kept, &[cpu(0, 9, 999), cpu(1, 21, 2001)]);
        assert_eq!(kept, [cpu(0, 10, 1000), cpu(1, 21, 2001)]);
        take_over(&mut kept, &[cpu(0, 11, 1001)]);
        assert_eq!(kept, [cpu(0, 11, 1001)]);
        take_over(&mut kept, &[cpu(0, 1, 700), cpu(1, 1, 2)]);
        assert_eq!(kept, [cpu(0, 1, 700), cpu(1, 1, 2)]);
    }
}
