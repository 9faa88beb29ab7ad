//! Where each of a group's files lies on each version, and how it is read: from a file that is kept
//! open where it is read every round, through one buffer that all groups share.

use super::hierarchy::{Controller, Hierarchies};
use super::{Group, group::Slot};
use crate::Error;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// A file of a group, by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names on both versions are in the table below
pub enum File {
    // Read every round and kept open.
    CpuStat,
    CpuStatUnified,
    CpuUsagePercpu,
    CpuacctStat,
    MemoryUsage,
    MemoryStat,
    MemoryPeak,
    MemoryFailcnt,
    MemoryKernel,
    MemorySwap,
    MemoryEvents,
    IoBytes,
    IoOperations,
    PidsCurrent,
    CpuPressure,
    MemoryPressure,
    IoPressure,
    // Read now and then.
    CpuShares,
    CpuMax,
    CpuPeriod,
    MemoryLimit,
    MemorySwapLimit,
    MemoryReservation,
    MemoryHigh,
    MemoryLow,
    PidsMax,
    CpusetCpus,
    CpusetMigrate,
    BfqBytes,
    BfqOperations,
    Events,
    ProcsMemory,
    ProcsCpu,
}

impl File {
    /// How many of them are kept open: those up to [`File::IoPressure`].
    pub(super) const KEPT: usize = File::IoPressure as usize + 1;

    /// Controller and name on v1, name on v2; an empty name where that version has no such file.
    const fn place(self) -> (Controller, &'static str, &'static str) {
        use Controller::*;
        match self {
            File::CpuStat => (Cpu, "cpu.stat", ""),
            File::CpuStatUnified => (Unified, "", "cpu.stat"),
            File::CpuUsagePercpu => (Cpuacct, "cpuacct.usage_percpu", ""),
            File::CpuacctStat => (Cpuacct, "cpuacct.stat", ""),
            File::MemoryUsage => (Memory, "memory.usage_in_bytes", "memory.current"),
            File::MemoryStat => (Memory, "memory.stat", "memory.stat"),
            File::MemoryPeak => (Memory, "memory.max_usage_in_bytes", "memory.peak"),
            File::MemoryFailcnt => (Memory, "memory.failcnt", ""),
            File::MemoryKernel => (Memory, "memory.kmem.usage_in_bytes", ""),
            File::MemorySwap => (Memory, "", "memory.swap.current"),
            File::MemoryEvents => (Memory, "memory.oom_control", "memory.events"),
            File::IoBytes => (Io, "blkio.throttle.io_service_bytes_recursive", "io.stat"),
            File::IoOperations => (Io, "blkio.throttle.io_serviced_recursive", ""),
            File::BfqBytes => (Io, "blkio.bfq.io_service_bytes_recursive", ""),
            File::BfqOperations => (Io, "blkio.bfq.io_serviced_recursive", ""),
            File::PidsCurrent => (Pids, "pids.current", "pids.current"),
            File::PidsMax => (Pids, "pids.max", "pids.max"),
            File::CpuPressure => (Unified, "", "cpu.pressure"),
            File::MemoryPressure => (Unified, "", "memory.pressure"),
            File::IoPressure => (Unified, "", "io.pressure"),
            File::Events => (Unified, "", "cgroup.events"),
            File::CpuShares => (Cpu, "cpu.shares", "cpu.weight"),
            File::CpuMax => (Cpu, "cpu.cfs_quota_us", "cpu.max"),
            File::CpuPeriod => (Cpu, "cpu.cfs_period_us", ""),
            File::MemoryLimit => (Memory, "memory.limit_in_bytes", "memory.max"),
            File::MemorySwapLimit => (Memory, "memory.memsw.limit_in_bytes", "memory.swap.max"),
            File::MemoryReservation => (Memory, "memory.soft_limit_in_bytes", "memory.min"),
            File::MemoryHigh => (Memory, "", "memory.high"),
            File::MemoryLow => (Memory, "", "memory.low"),
            File::CpusetCpus => (Cpuset, "cpuset.cpus", "cpuset.cpus.effective"),
            File::CpusetMigrate => (Cpuset, "cpuset.memory_migrate", ""),
            File::ProcsMemory => (Memory, "cgroup.procs", "cgroup.procs"),
            File::ProcsCpu => (Cpuacct, "cgroup.procs", ""),
        }
    }

    /// Whether one read may give less than all: a list of processes comes in pieces.
    fn comes_in_pieces(self) -> bool {
        matches!(self, File::ProcsMemory | File::ProcsCpu)
    }

    /// The hierarchy in which it lies on this machine, its name, and whether v1's format holds.
    pub(super) fn locate(self, hierarchies: &Hierarchies) -> Option<(usize, &'static str, bool)> {
        let (controller, v1, v2) = self.place();
        let (at, is_v1) = hierarchies.of(controller)?;
        let name = if is_v1 { v1 } else { v2 };
        (!name.is_empty()).then_some((at, name, is_v1))
    }
}

/// Reads files of groups. One for a whole program: it owns the buffer, and keeps at most a given
/// number of files open.
#[derive(Debug)]
pub struct Reader {
    pub(super) buffer: Vec<u8>,
    path: String,
    open: usize,
    open_max: usize,
}

impl Reader {
    /// No file that we read of one group is longer; one that is ends there.
    const FILE_BYTES_MAX: usize = 4 << 20;

    /// A reader that keeps up to `open_max` files open; further ones are opened for each reading.
    pub fn new(open_max: usize) -> Reader {
        Reader { buffer: Vec::with_capacity(16 << 10), path: String::new(), open: 0, open_max }
    }

    /// How many files it keeps open.
    pub fn open_files(&self) -> usize {
        self.open
    }

    /// Gives up the files of a group that is no longer read.
    pub fn release(&mut self, group: &mut Group) {
        self.open -= group.release();
    }

    /// The content of a file and whether v1's format holds; `None` where it is not there, or the
    /// group vanished. The content lies in the reader's buffer until the next reading.
    pub fn read(
        &mut self,
        hierarchies: &Hierarchies,
        group: &mut Group,
        file: File,
    ) -> Result<Option<(&[u8], bool)>, Error> {
        let Some((at, name, is_v1)) = file.locate(hierarchies) else { return Ok(None) };
        let kept = (file as usize) < File::KEPT;
        if kept {
            match &group.slots[file as usize] {
                Slot::Absent => return Ok(None),
                Slot::Open(fd) => match read(fd.as_fd(), &mut self.buffer, file) {
                    Ok(()) => return Ok(Some((&self.buffer, is_v1))),
                    Err(errno) => {
                        group.slots[file as usize] = Slot::Unopened;
                        self.open -= 1;
                        if !is_missing(errno) {
                            return Err(self.error(hierarchies, group, at, name, errno));
                        }
                        // Gone, or a new group by the same name: look again below.
                    }
                },
                Slot::Unopened => {}
            }
        }
        let fd = match self.open(hierarchies, group, at, name) {
            Ok(fd) => fd,
            Err(errno) if is_missing(errno) => {
                if kept {
                    group.slots[file as usize] = Slot::Absent;
                }
                return Ok(None);
            }
            Err(errno) => return Err(self.error(hierarchies, group, at, name, errno)),
        };
        match read(fd.as_fd(), &mut self.buffer, file) {
            Ok(()) => {}
            Err(errno) if is_missing(errno) => {
                if kept {
                    group.slots[file as usize] = Slot::Absent;
                }
                return Ok(None);
            }
            Err(errno) => return Err(self.error(hierarchies, group, at, name, errno)),
        }
        // Below a tree of plain files (a test's) a kept file would not see its replacement.
        if kept && self.open < self.open_max && hierarchies.all()[at].dir.is_kernel_fs() {
            group.slots[file as usize] = Slot::Open(fd);
            self.open += 1;
        }
        Ok(Some((&self.buffer, is_v1)))
    }

    fn open(
        &mut self,
        hierarchies: &Hierarchies,
        group: &Group,
        at: usize,
        name: &str,
    ) -> Result<OwnedFd, Errno> {
        self.path.clear();
        self.path.push_str(group.relative());
        self.path.push('/');
        self.path.push_str(name);
        let path = self.path.trim_start_matches('/');
        let dir = &hierarchies.all()[at].dir;
        rustix::fs::openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }

    fn error(
        &self,
        hierarchies: &Hierarchies,
        group: &Group,
        at: usize,
        name: &str,
        errno: Errno,
    ) -> Error {
        Error::io(hierarchies.all()[at].dir.path().join(group.relative()).join(name), errno)
    }
}

/// How many of this process's file descriptors may be spent on kept files, up to `wanted`: half of its
/// limit. The soft limit is raised towards the hard one where it is too low for that.
pub fn room_for_open_files(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let needed = 2 * wanted as u64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let current = Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed)));
        let raised = Rlimit { current, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    limit.current.map_or(wanted, |current| wanted.min(current as usize / 2))
}

/// A file, a group or a feature that is not there.
pub(super) fn is_missing(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO | Errno::OPNOTSUPP)
}

/// Reads from the start. The kernel writes these files as one record, so a read that does not fill the
/// buffer has all of it, and the second call that would say so is saved.
fn read(fd: BorrowedFd<'_>, buffer: &mut Vec<u8>, file: File) -> Result<(), Errno> {
    buffer.clear();
    loop {
        if buffer.capacity() - buffer.len() < 4096 {
            buffer.reserve(buffer.capacity());
        }
        let room = buffer.capacity() - buffer.len();
        let offset = buffer.len() as u64;
        match rustix::io::pread(fd, rustix::buffer::spare_capacity(buffer), offset) {
            Ok(0) => return Ok(()),
            Ok(n) if n < room && !file.comes_in_pieces() => return Ok(()),
            Ok(_) if buffer.len() >= Reader::FILE_BYTES_MAX => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
