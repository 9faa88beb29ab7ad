//! Control groups as the tests themselves read them, to have something to hold our numbers against.
//!
//! Written apart from the programs' own readers on purpose: a shared reader would share its mistakes.
//! Formats: Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst of the kernel.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// A control group by its path below the mount point, as in the label `id`.
#[derive(Clone, Debug)]
pub struct Group {
    /// The path, beginning with `/`.
    pub id: String,
}

/// Whether the controllers are on cgroup v2 (a hybrid machine is not).
pub fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The mount points of every hierarchy, v1 and v2.
pub fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let found = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let point = fields.nth(1)?;
        matches!(fields.next()?, "cgroup" | "cgroup2").then(|| PathBuf::from(point))
    });
    Ok(found.collect())
}

impl Group {
    /// Names a group; it need not exist.
    pub fn at(id: &str) -> Group {
        Group { id: id.to_string() }
    }

    /// Its folder in the hierarchy of a v1 controller, or in the one hierarchy of v2.
    pub fn folder(&self, controller: &str) -> PathBuf {
        let root = Path::new("/sys/fs/cgroup");
        let root = if is_v2() { root.to_path_buf() } else { root.join(controller) };
        root.join(self.id.trim_start_matches('/'))
    }

    /// The text of one of its files.
    pub fn read(&self, controller: &str, file: &str) -> Result<String> {
        let path = self.folder(controller).join(file);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// Writes one of its files.
    pub fn write(&self, controller: &str, file: &str, text: &str) -> Result<()> {
        let path = self.folder(controller).join(file);
        std::fs::write(&path, text).with_context(|| format!("{text:?} to {}", path.display()))
    }

    /// The value of `key` in a file of lines `key value`.
    pub fn field(&self, controller: &str, file: &str, key: &str) -> Result<u64> {
        let text = self.read(controller, file)?;
        let value = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' '));
        number(value.with_context(|| format!("no {key} in {}/{file}", self.id))?)
    }

    /// CPU seconds used so far.
    pub fn cpu_seconds(&self) -> Result<f64> {
        if is_v2() {
            return Ok(self.field("cpu", "cpu.stat", "usage_usec")? as f64 / 1e6);
        }
        Ok(number(&self.read("cpuacct", "cpuacct.usage")?)? as f64 / 1e9)
    }

    /// Quota and period of its CPU limit in microseconds.
    pub fn cpu_quota(&self) -> Result<Option<(u64, u64)>> {
        if is_v2() {
            let text = self.read("cpu", "cpu.max")?;
            let (quota, period) = text.trim().split_once(' ').context("cpu.max")?;
            return Ok(if quota == "max" { None } else { Some((number(quota)?, number(period)?)) });
        }
        let quota = self.read("cpu", "cpu.cfs_quota_us")?;
        if quota.trim() == "-1" {
            return Ok(None);
        }
        Ok(Some((number(&quota)?, number(&self.read("cpu", "cpu.cfs_period_us")?)?)))
    }

    /// Periods, throttled periods and throttled seconds so far.
    pub fn throttled(&self) -> Result<(u64, u64, f64)> {
        let field = |key| self.field("cpu", "cpu.stat", key);
        let seconds = if is_v2() {
            field("throttled_usec")? as f64 / 1e6
        } else {
            field("throttled_time")? as f64 / 1e9
        };
        Ok((field("nr_periods")?, field("nr_throttled")?, seconds))
    }

    /// Bytes of memory in use.
    pub fn memory_usage(&self) -> Result<u64> {
        number(
            &self
                .read("memory", if is_v2() { "memory.current" } else { "memory.usage_in_bytes" })?,
        )
    }

    /// Bytes of memory in use without those of files not used lately: what the kubelet calls working set.
    pub fn memory_working_set(&self) -> Result<u64> {
        let idle = if is_v2() { "inactive_file" } else { "total_inactive_file" };
        Ok(self.memory_usage()?.saturating_sub(self.field("memory", "memory.stat", idle)?))
    }

    /// The memory limit in bytes; v1's "no limit" is a number near 2^63.
    pub fn memory_limit(&self) -> Result<Option<u64>> {
        let text =
            self.read("memory", if is_v2() { "memory.max" } else { "memory.limit_in_bytes" })?;
        if text.trim() == "max" {
            return Ok(None);
        }
        Ok(Some(number(&text)?).filter(|bytes| *bytes < 1 << 62))
    }

    /// How many of its processes the kernel killed for want of memory.
    pub fn oom_kills(&self) -> Result<u64> {
        self.field(
            "memory",
            if is_v2() { "memory.events" } else { "memory.oom_control" },
            "oom_kill",
        )
    }

    /// The process ids in it.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let text = self.read("pids", "cgroup.procs")?;
        text.lines()
            .map(|l| l.parse().with_context(|| format!("process {l:?} of {}", self.id)))
            .collect()
    }
}

fn number(text: &str) -> Result<u64> {
    text.trim().parse().with_context(|| format!("{text:?} is not a number"))
}
