//! What a process takes, read from outside.

use anyhow::{Context, Result};
use std::fs::read_to_string;

/// Nanoseconds on a CPU of all its threads since the start, as the scheduler counts them.
///
/// The sum of `/proc/PID/task/*/schedstat`: exact where utime and stime count ticks of 10 ms. A thread
/// that ended takes its time with it, so a process is to be asked before and after short spans.
pub fn cpu_nanoseconds(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path().join("schedstat");
        let Ok(text) = read_to_string(&path) else { continue };
        let first = text.split(' ').next().context("no schedstat")?;
        sum += first.parse::<u64>().with_context(|| format!("{}: {text:?}", path.display()))?;
    }
    Ok(sum)
}

/// Bytes in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Resident.
    pub rss: u64,
    /// Resident, pages that are shared divided by those who share them.
    pub pss: u64,
}

/// Bytes in memory now.
pub fn memory(pid: u32) -> Result<Memory> {
    let text = read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|l| l.strip_prefix(name)).context("no such field")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    };
    Ok(Memory { rss: field("Rss:")?, pss: field("Pss:")? })
}
