//! What this process takes, and what it may take.

use kernel::cgroup::{Group, Hierarchies, Reader};
use kernel::procfs::pid;
use kernel::{Dir, Paths};
use std::path::Path;

/// Clock ticks a second in procfs: fixed by the kernel's interface to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads our own files.
#[derive(Debug)]
pub struct Itself {
    procfs: Dir,
    buffer: Vec<u8>,
}

/// What the process takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Seconds of CPU since the start.
    pub cpu_seconds: f64,
    /// Bytes in memory.
    pub resident_bytes: u64,
    /// Files that are open.
    pub open_files: u64,
    /// Threads.
    pub threads: u64,
}

impl Itself {
    /// Opens procfs; our own process is always found there, whatever the host's paths are.
    pub fn open() -> Result<Itself, kernel::Error> {
        Ok(Itself { procfs: Dir::open(Path::new("/proc"))?, buffer: Vec::new() })
    }

    /// What the process takes now; zeros where the kernel does not say.
    pub fn usage(&mut self) -> Usage {
        let mut usage = Usage::default();
        if let Ok(true) = self.procfs.read("self/stat", &mut self.buffer)
            && let Ok(stat) = pid::parse_stat(&self.buffer)
        {
            usage.cpu_seconds = (stat.user_ticks + stat.system_ticks) as f64 / TICKS_PER_SECOND;
            usage.resident_bytes = stat.resident_pages * kernel::system::page_size() as u64;
            usage.threads = stat.threads;
        }
        let process = u64::from(std::process::id());
        if let Ok(Some(open)) = pid::open_files(&self.procfs, process, false) {
            usage.open_files = open.files;
        }
        usage
    }

    /// The least memory limit of our control group and those above it.
    pub fn memory_limit(&mut self) -> Option<u64> {
        let Ok(true) = self.procfs.read("self/cgroup", &mut self.buffer) else { return None };
        let mut path = None;
        let found = pid::each_cgroup(&self.buffer, |_, controllers, group| {
            let of_memory = controllers.split(|b| *b == b',').any(|c| c == b"memory");
            if of_memory || (controllers.is_empty() && path.is_none()) {
                path = Some(String::from_utf8_lossy(group).into_owned());
            }
        });
        found.ok()?;
        let hierarchies = Hierarchies::detect(&Paths::default()).ok()?;
        let mut reader = Reader::new(0);
        let mut least: Option<u64> = None;
        let mut path = path?;
        loop {
            let limits = reader.memory_limits(&hierarchies, &mut Group::new(&path));
            if let Some(hard) = limits.ok().flatten().and_then(|l| l.hard()) {
                least = Some(least.map_or(hard, |l| l.min(hard)));
            }
            let Some(slash) = path.rfind('/').filter(|_| path.len() > 1) else { return least };
            path.truncate(slash.max(1));
        }
    }
}

/// The state of memory against its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// There is enough.
    Enough,
    /// No query may begin.
    NoQueries,
    /// Nothing is taken in either.
    NothingNew,
}

impl Memory {
    /// Judges what is in use against the limit.
    pub fn judge(resident_bytes: u64, limit_bytes: Option<u64>) -> Memory {
        let Some(limit) = limit_bytes else { return Memory::Enough };
        let percent = resident_bytes.saturating_mul(100) / limit.max(1);
        match percent {
            0..85 => Memory::Enough,
            85..95 => Memory::NoQueries,
            _ => Memory::NothingNew,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_take_something() {
        let mut itself = Itself::open().unwrap();
        let usage = itself.usage();
        assert!(usage.resident_bytes > 1 << 20 && usage.open_files >= 3 && usage.threads >= 1);
        let _ = itself.memory_limit(); // whatever this machine has, it must not panic
    }

    #[test]
    fn memory_is_judged() {
        assert_eq!(Memory::judge(u64::MAX, None), Memory::Enough);
        assert_eq!(Memory::judge(84, Some(100)), Memory::Enough);
        assert_eq!(Memory::judge(85, Some(100)), Memory::NoQueries);
        assert_eq!(Memory::judge(200, Some(100)), Memory::NothingNew);
        assert_eq!(Memory::judge(1, Some(0)), Memory::NothingNew);
    }
}
