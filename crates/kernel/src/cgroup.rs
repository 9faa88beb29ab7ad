//! Control groups, version 1, version 2 and both side by side (hybrid): which hierarchies there are,
//! which groups lie in them, and typed readings of one group's files.
//!
//! [`Hierarchies`] finds the mounted hierarchies, [`Group`] names one group and keeps its busiest
//! files open, [`Reader`] owns the buffer that all readings share and the limit on open files,
//! [`Watch`] says when groups appear, disappear and fall empty. A file or a controller that is not
//! there, and a group that vanishes while it is read, are values (`None`). Nothing here keeps history,
//! computes a rate or knows what a container is.
//!
//! Formats: the kernel's `Documentation/admin-guide/cgroup-v1` and `cgroup-v2.rst`.

pub mod cpu;
mod files;
mod group;
mod hierarchy;
pub mod io;
pub mod memory;
pub mod pressure;
mod text;
mod watch;

pub use files::{File, Reader, room_for_open_files};
pub use group::{Group, Hugetlb, Pids};
pub use hierarchy::{Controller, Hierarchies, Hierarchy, Mode};
pub use watch::{Change, Event, Watch, hurry};

/// The value of a limit that is not set: `max` on v2. (v1 says 9223372036854771712 for memory.)
pub const UNLIMITED: u64 = u64::MAX;

/// Bodies for fuzzing: each takes any bytes and must return.
#[doc(hidden)]
pub mod fuzz {
    /// Every parser on the same bytes.
    pub fn parse(bytes: &[u8]) {
        let _ = super::cpu::Cpu::default().parse_v2_stat(bytes);
        let _ = super::cpu::Cpu::default().parse_v1_stat(bytes);
        let _ = super::cpu::Cpu::default().parse_v1_usage_percpu(bytes);
        let _ = super::cpu::Throttling::parse(bytes);
        let _ = super::memory::Memory::default().parse_v1_stat(bytes);
        let _ = super::memory::Memory::default().parse_v2_stat(bytes);
        let _ = super::memory::Events::parse(bytes);
        let _ = super::io::parse_v1(bytes, &mut Vec::new(), super::io::Column::Bytes);
        let _ = super::io::parse_v2(bytes, &mut Vec::new());
        let _ = super::pressure::Pressure::parse(bytes);
    }
}
