//! What one round reads of the kernel: the directories, and the files that serve several collectors,
//! each read at most once a round.

use crate::Error;
use kernel::procfs::diskstats::{self, Disk};
use kernel::procfs::meminfo::Meminfo;
use kernel::procfs::mountinfo::{self, Mount};
use kernel::procfs::stat::Stat;
use kernel::{Dir, KeptFile, Paths, Unexpected};

/// The kernel's directories and this round's shared files.
pub struct Files {
    procfs: Dir,
    sysfs: Option<Dir>,
    paths: Paths,
    /// Counts rounds; a shared file whose number differs was not read yet in this one.
    round: u64,
    now_ms: i64,
    stat: Shared<Stat>,
    meminfo: Shared<Meminfo>,
    diskstats: Shared<Vec<Disk>>,
    mounts: Shared<Mounts>,
    own_mounts: Shared<Mounts>,
}

/// The mounts of the machine.
#[derive(Debug, Default)]
pub struct Mounts {
    /// As the kernel lists them.
    pub list: Vec<Mount>,
    /// Another number each time that the list changed.
    pub version: u64,
    text: Vec<u8>,
}

impl Mounts {
    /// The list is long on a node with many containers and hardly ever changes: the same bytes are not
    /// read a second time.
    fn read(&mut self, text: &[u8]) -> Result<(), Unexpected> {
        if self.version == 0 || self.text != text {
            self.list = mountinfo::parse(text)?;
            self.text.clear();
            self.text.extend_from_slice(text);
            self.version += 1;
        }
        Ok(())
    }
}

/// A file that several collectors read.
struct Shared<T> {
    file: KeptFile,
    value: T,
    round: u64,
    found: bool,
}

impl<T: Default> Shared<T> {
    fn new(path: &str) -> Shared<T> {
        Shared { file: KeptFile::new(path), value: T::default(), round: 0, found: false }
    }

    fn get(
        &mut self,
        dir: &Dir,
        round: u64,
        read: impl FnOnce(&mut T, &[u8]) -> Result<(), Unexpected>,
    ) -> Result<Option<&T>, kernel::Error> {
        if self.round != round {
            let Shared { file, value, .. } = self;
            self.found = file.parse(dir, |text| read(value, text))?.is_some();
            self.round = round;
        }
        Ok(self.found.then_some(&self.value))
    }
}

impl Files {
    /// Opens the directories. Without procfs there is nothing to collect; sysfs may be missing.
    pub fn open(paths: &Paths) -> Result<Files, Error> {
        Ok(Files {
            procfs: Dir::open(&paths.procfs)?,
            sysfs: Dir::open(&paths.sysfs).ok(),
            paths: paths.clone(),
            round: 0,
            now_ms: 0,
            stat: Shared::new("stat"),
            meminfo: Shared::new("meminfo"),
            diskstats: Shared::new("diskstats"),
            mounts: Shared::new("1/mountinfo"),
            own_mounts: Shared::new("self/mountinfo"),
        })
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

    /// `/proc/stat`.
    pub fn stat(&mut self) -> Result<Option<&Stat>, kernel::Error> {
        self.stat.get(&self.procfs, self.round, Stat::read)
    }

    /// `/proc/meminfo`.
    pub fn meminfo(&mut self) -> Result<Option<&Meminfo>, kernel::Error> {
        self.meminfo.get(&self.procfs, self.round, Meminfo::read)
    }

    /// `/proc/diskstats`.
    pub fn diskstats(&mut self) -> Result<Option<&[Disk]>, kernel::Error> {
        let disks = self
            .diskstats
            .get(&self.procfs, self.round, |disks, text| diskstats::read(text, disks))?;
        Ok(disks.map(Vec::as_slice))
    }

    /// The mounts of process 1, or of this process where those of 1 are not to be seen.
    pub fn mounts(&mut self) -> Result<Option<&Mounts>, kernel::Error> {
        let (dir, round) = (&self.procfs, self.round);
        match self.mounts.get(dir, round, Mounts::read) {
            Ok(Some(_)) => Ok(Some(&self.mounts.value)),
            Ok(None) | Err(kernel::Error::Denied { .. }) => {
                self.own_mounts.get(dir, round, Mounts::read)
            }
            Err(error) => Err(error),
        }
    }
}
