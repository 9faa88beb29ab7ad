//! Where the kernel's file systems are mounted.

use std::path::PathBuf;

/// The roots below which everything is read. Each may be another folder than the usual one: the
/// host's file systems as a container sees them, or a tree that a test wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// procfs, `/proc`.
    pub procfs: PathBuf,
    /// sysfs, `/sys`.
    pub sysfs: PathBuf,
    /// The root of the host's file tree, `/`: mount points are looked up below it.
    pub rootfs: PathBuf,
    /// The control group file system, `/sys/fs/cgroup`.
    pub cgroupfs: PathBuf,
}

impl Default for Paths {
    fn default() -> Paths {
        Paths {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            rootfs: "/".into(),
            cgroupfs: "/sys/fs/cgroup".into(),
        }
    }
}
