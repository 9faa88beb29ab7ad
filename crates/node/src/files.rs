//! What one round reads of the kernel: the directories, and the files that serve several collectors,
//! each read at most once a round.

use crate::Error;
use kernel::{Dir, Paths};

/// The kernel's directories and this round's shared files.
pub struct Files {
    procfs: Dir,
    sysfs: Option<Dir>,
    paths: Paths,
    /// Counts rounds; a shared file whose number differs was not read yet in this one.
    round: u64,
    now_ms: i64,
}

impl Files {
    /// Opens the directories. Without procfs there is nothing to collect; sysfs may be missing.
    pub fn open(paths: &Paths) -> Result<Files, Error> {
        let procfs = Dir::open(&paths.procfs)?;
        let sysfs = Dir::open(&paths.sysfs).ok();
        Ok(Files { procfs, sysfs, paths: paths.clone(), round: 0, now_ms: 0 })
    }

    /// Begins a round: what was read before is old.
    pub(crate) fn begin(&mut self, now_ms: i64) {
        self.round += 1;
        self.now_ms = now_ms;
    }

    /// procfs.
    pub fn procfs(&self) -> &Dir {
        &self.procfs
    }

    /// sysfs; `None` where it is not mounted.
    pub fn sysfs(&self) -> Option<&Dir> {
        self.sysfs.as_ref()
    }

    /// The roots that the options name.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The time of this round, milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }
}
