//! One group: its path, its files that are kept open, and its typed readings.

use super::cpu::{Cpu, CpuLimits, Throttling};
use super::files::{File, Reader};
use super::hierarchy::{Controller, Hierarchies};
use super::io::{self, Column, Device};
use super::memory::{Events, Memory, MemoryLimits};
use super::pressure::Pressure;
use super::text;
use crate::{Error, Unexpected};
use rustix::fd::OwnedFd;

/// A group, the same path in every hierarchy.
#[derive(Debug)]
pub struct Group {
    path: Box<str>,
    pub(super) slots: [Slot; File::KEPT],
}

/// What is known of a file that is kept open.
#[derive(Debug)]
pub(super) enum Slot {
    Unopened,
    Absent,
    Open(OwnedFd),
}

/// How many tasks a group holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pids {
    /// Processes and threads now.
    pub current: Option<u64>,
}

/// Huge pages of one size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hugetlb {
    /// The size of a page, as the kernel writes it: `2MB`, `1GB`.
    pub page_size: String,
    /// Bytes in use.
    pub usage: u64,
    /// The highest usage so far (v1).
    pub max_usage: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

impl Group {
    /// A group by its path below the mount, `/` for the root. Nothing is opened yet.
    pub fn new(path: &str) -> Group {
        Group { path: path.into(), slots: [const { Slot::Unopened }; File::KEPT] }
    }

    /// Its path below the mount.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path relative to a hierarchy's directory.
    pub(super) fn relative(&self) -> &str {
        self.path.trim_start_matches('/')
    }

    /// Looks anew, at the next reading, for files that were not there: controllers are turned on
    /// after a group was made.
    pub fn look_again(&mut self) {
        for slot in &mut self.slots {
            if matches!(slot, Slot::Absent) {
                *slot = Slot::Unopened;
            }
        }
    }

    pub(super) fn release(&mut self) -> usize {
        let mut released = 0;
        for slot in &mut self.slots {
            released += usize::from(matches!(slot, Slot::Open(_)));
            *slot = Slot::Unopened;
        }
        released
    }
}

/// The typed readings. Each names its file in an error and takes `None` for what is not there.
impl Reader {
    /// Reads a file and parses it; the error names the file.
    fn parse<T>(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
        file: File,
        parse: impl FnOnce(&[u8], bool) -> Result<T, Unexpected>,
    ) -> Result<Option<T>, Error> {
        let Some((bytes, is_v1)) = self.read(h, group, file)? else { return Ok(None) };
        parse(bytes, is_v1).map(Some).map_err(|unexpected| {
            let (at, name, _) = file.locate(h).unwrap_or((0, "", false));
            unexpected.at(&h.all()[at].dir.path().join(group.relative()).join(name))
        })
    }

    /// A file of one number; [`super::UNLIMITED`] for `max`.
    pub fn number(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
        file: File,
    ) -> Result<Option<u64>, Error> {
        self.parse(h, group, file, |bytes, _| text::single(bytes))
    }

    /// CPU time by CPU and in all. Where no v1 controller has it, that is v2's cpu.stat whole, so its
    /// throttling comes along: every v2 group has one, with or without controllers.
    pub fn cpu_usage(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
        cpu: &mut Cpu,
    ) -> Result<Option<Throttling>, Error> {
        if self
            .parse(h, group, File::CpuUsagePercpu, |b, _| cpu.parse_v1_usage_percpu(b))?
            .is_some()
        {
            return Ok(None);
        }
        self.parse(h, group, File::CpuStatUnified, |b, _| cpu.parse_v2_stat(b))
    }

    /// v1: CPU time in user mode and in the kernel.
    pub fn cpu_modes_v1(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
        cpu: &mut Cpu,
    ) -> Result<(), Error> {
        self.parse(h, group, File::CpuacctStat, |b, _| cpu.parse_v1_stat(b)).map(|_| ())
    }

    /// v1: what the quota did.
    pub fn throttling_v1(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
    ) -> Result<Option<Throttling>, Error> {
        self.parse(h, group, File::CpuStat, |b, _| Throttling::parse(b))
    }

    /// CPU limits; `None` without a CPU controller.
    pub fn cpu_limits(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
    ) -> Result<Option<CpuLimits>, Error> {
        let mut limits = CpuLimits::default();
        let mut found = false;
        let shares = self.parse(h, group, File::CpuShares, |bytes, is_v1| {
            text::single(bytes).map(|n| (n, is_v1))
        })?;
        match shares {
            Some((shares, true)) => limits.shares = Some(shares),
            Some((weight, false)) => limits.take_v2_weight(weight),
            None => {}
        }
        found |= shares.is_some();
        let max = self.parse(h, group, File::CpuMax, |bytes, is_v1| match is_v1 {
            true => limits.parse_v1_quota(bytes),
            false => limits.parse_v2_max(bytes),
        })?;
        found |= max.is_some();
        if let Some(period) = self.number(h, group, File::CpuPeriod)? {
            limits.period_us = Some(period);
        }
        Ok(found.then_some(limits))
    }

    /// Memory usage alone: one number, cheap enough to tell whether anything changed.
    pub fn memory_usage(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
    ) -> Result<Option<u64>, Error> {
        self.number(h, group, File::MemoryUsage)
    }

    /// All memory figures but usage, which `memory` holds already.
    pub fn memory_rest(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        self.parse(h, group, File::MemoryStat, |bytes, is_v1| match is_v1 {
            true => memory.parse_v1_stat(bytes),
            false => memory.parse_v2_stat(bytes),
        })?;
        memory.peak = self.number(h, group, File::MemoryPeak)?;
        memory.failcnt = self.number(h, group, File::MemoryFailcnt)?;
        if let Some(kernel) = self.number(h, group, File::MemoryKernel)? {
            memory.kernel = Some(kernel);
        }
        if let Some(swap) = self.number(h, group, File::MemorySwap)? {
            memory.swap = Some(swap);
        }
        Ok(())
    }

    /// How often limits took hold.
    pub fn memory_events(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
    ) -> Result<Option<Events>, Error> {
        self.parse(h, group, File::MemoryEvents, |b, _| Events::parse(b))
    }

    /// Memory limits; `None` without a memory controller.
    pub fn memory_limits(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
    ) -> Result<Option<MemoryLimits>, Error> {
        let limit = self.number(h, group, File::MemoryLimit)?;
        if limit.is_none() {
            return Ok(None);
        }
        Ok(Some(MemoryLimits {
            limit,
            swap_limit: self.number(h, group, File::MemorySwapLimit)?,
            reservation: self.number(h, group, File::MemoryReservation)?,
            high: self.number(h, group, File::MemoryHigh)?,
            low: self.number(h, group, File::MemoryLow)?,
        }))
    }

    /// Block I/O by device into `devices`, which is cleared first; false without an I/O controller.
    /// On v1 `bfq` says whether to read the figures of the BFQ scheduler, which has its own.
    pub fn io(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
        bfq: bool,
        devices: &mut Vec<Device>,
    ) -> Result<bool, Error> {
        devices.clear();
        let (bytes, operations) = match bfq {
            true => (File::BfqBytes, File::BfqOperations),
            false => (File::IoBytes, File::IoOperations),
        };
        let found = self.parse(h, group, bytes, |b, is_v1| match is_v1 {
            true => io::parse_v1(b, devices, Column::Bytes),
            false => io::parse_v2(b, devices),
        })?;
        self.parse(h, group, operations, |b, _| io::parse_v1(b, devices, Column::Operations))?;
        Ok(found.is_some())
    }

    /// Tasks.
    pub fn pids(&mut self, h: &Hierarchies, group: &mut Group) -> Result<Pids, Error> {
        Ok(Pids { current: self.number(h, group, File::PidsCurrent)? })
    }

    /// A pressure file.
    pub fn pressure(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
        file: File,
    ) -> Result<Option<Pressure>, Error> {
        self.parse(h, group, file, |b, _| Pressure::parse(b))
    }

    /// The processes of the group itself, without those of the groups below it, into `pids`, which is
    /// cleared first; false where no hierarchy has the group.
    pub fn procs(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
        pids: &mut Vec<u32>,
    ) -> Result<bool, Error> {
        pids.clear();
        for file in [File::ProcsMemory, File::ProcsCpu] {
            let found = self.parse(h, group, file, |bytes, _| {
                for (i, line) in text::lines(bytes) {
                    let pid = text::number(line).and_then(|n| u32::try_from(n).ok());
                    pids.push(pid.ok_or_else(|| Unexpected::new(i, line, "a process id"))?);
                }
                Ok(())
            })?;
            if found.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether any process lives in the group or below it; `None` without a v2 side.
    pub fn populated(&mut self, h: &Hierarchies, group: &mut Group) -> Result<Option<bool>, Error> {
        let mut populated = None;
        self.parse(h, group, File::Events, |bytes, _| {
            text::pairs(bytes, |key, value| {
                let wanted = key == b"populated";
                if wanted {
                    populated = Some(value != 0);
                }
                wanted
            })
        })?;
        Ok(populated)
    }

    /// The CPUs on which the group may run, as the kernel lists them: `0-3,8`.
    pub fn cpus(&mut self, h: &Hierarchies, group: &mut Group) -> Result<Option<String>, Error> {
        self.parse(h, group, File::CpusetCpus, |bytes, _| {
            Ok(String::from_utf8_lossy(text::trim(bytes)).into_owned())
        })
    }

    /// v1: whether memory moves along when the group's memory nodes change.
    pub fn memory_migrate(
        &mut self,
        h: &Hierarchies,
        group: &mut Group,
    ) -> Result<Option<u64>, Error> {
        self.number(h, group, File::CpusetMigrate)
    }

    /// Huge pages by size, sizes in the order of their names.
    pub fn hugetlb(&mut self, h: &Hierarchies, group: &Group) -> Result<Vec<Hugetlb>, Error> {
        let Some((at, is_v1)) = h.of(Controller::Hugetlb) else { return Ok(Vec::new()) };
        let dir = &h.all()[at].dir;
        let base = if group.relative().is_empty() { "." } else { group.relative() };
        let mut names = Vec::new();
        if !dir.names(base, &mut names)? {
            return Ok(Vec::new());
        }
        let (usage, max, fail) = match is_v1 {
            true => (".usage_in_bytes", ".max_usage_in_bytes", ".failcnt"),
            false => (".current", "", ".events"),
        };
        let mut found = Vec::new();
        for name in &names {
            let size = name.strip_prefix("hugetlb.").and_then(|n| n.strip_suffix(usage));
            let Some(size) = size.filter(|s| !s.contains('.')) else { continue };
            let mut number = |suffix: &str| -> Result<u64, Error> {
                if suffix.is_empty() {
                    return Ok(0);
                }
                let path = format!("{base}/hugetlb.{size}{suffix}");
                if !dir.read(&path, &mut self.buffer)? {
                    return Ok(0);
                }
                let bytes = self.buffer.strip_prefix(b"max ").unwrap_or(&self.buffer);
                text::single(bytes).map_err(|e| e.at(&dir.path().join(path)))
            };
            let (usage, max_usage, failcnt) = (number(usage)?, number(max)?, number(fail)?);
            found.push(Hugetlb { page_size: size.into(), usage, max_usage, failcnt });
        }
        Ok(found)
    }
}
