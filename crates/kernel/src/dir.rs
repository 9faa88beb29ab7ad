//! A directory handle below which files are read, and files that are kept open between rounds.

use crate::Error;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// No kernel file that we read is longer; one that is (a textfile gone wild, a tree of a hostile
/// user) is cut off with an error instead of filling memory.
pub const FILE_BYTES_MAX: usize = 64 << 20;

/// An open directory. Paths given to its methods are relative to it.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    kernel_fs: bool,
}

impl Dir {
    /// Opens a directory.
    pub fn open(path: &Path) -> Result<Dir, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| Error::io(path.into(), errno))?;
        Ok(Dir::from_fd(fd, path.into()))
    }

    /// Opens a directory below this one; `None` where there is none.
    pub fn open_dir(&self, path: &str) -> Result<Option<Dir>, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, path, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Dir::from_fd(fd, self.path.join(path)))),
            Err(errno) if is_missing(errno) => Ok(None),
            Err(errno) => Err(Error::io(self.path.join(path), errno)),
        }
    }

    fn from_fd(fd: OwnedFd, path: PathBuf) -> Dir {
        let kernel_fs = rustix::fs::fstatfs(&fd).is_ok_and(|s| is_kernel_fs(s.f_type as u64));
        Dir { fd, path, kernel_fs }
    }

    /// The path under which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the kernel makes up the files here as they are read (procfs, sysfs, cgroupfs), so
    /// that a file that is kept open always shows the present.
    pub fn is_kernel_fs(&self) -> bool {
        self.kernel_fs
    }

    /// Reads a whole file into `buffer`, which it clears first; false where there is no such file
    /// (or its device or process is gone, or the kernel does not support it).
    pub fn read(&self, path: &str, buffer: &mut Vec<u8>) -> Result<bool, Error> {
        buffer.clear();
        let fd = match rustix::fs::openat(
            &self.fd,
            path,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            Ok(fd) => fd,
            Err(errno) if is_missing(errno) => return Ok(false),
            Err(errno) => return Err(Error::io(self.path.join(path), errno)),
        };
        match read_from_start(fd.as_fd(), buffer) {
            Ok(()) => Ok(true),
            Err(errno) if is_missing(errno) => Ok(false),
            Err(errno) => Err(Error::io(self.path.join(path), errno)),
        }
    }

    /// The names in a directory below this one (`"."` for itself), in the order of their bytes, without
    /// `.` and `..`; false where there is no such directory. Names that are not UTF-8 come with the
    /// replacement character.
    pub fn names(&self, path: &str, names: &mut Vec<String>) -> Result<bool, Error> {
        names.clear();
        let error = |errno| Error::io(self.path.join(path), errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(errno) if is_missing(errno) => return Ok(false),
            Err(errno) => return Err(error(errno)),
        };
        let mut space = [std::mem::MaybeUninit::<u8>::uninit(); 4096];
        let mut entries = rustix::fs::RawDir::new(fd, &mut space);
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => {
                    let name = entry.file_name().to_bytes();
                    if name != b"." && name != b".." {
                        names.push(String::from_utf8_lossy(name).into_owned());
                    }
                }
                Err(errno) if is_missing(errno) => return Ok(false),
                Err(errno) => return Err(error(errno)),
            }
        }
        names.sort_unstable();
        Ok(true)
    }

    /// Where a symbolic link points; `None` where there is none.
    pub fn link(&self, path: &str) -> Result<Option<String>, Error> {
        match rustix::fs::readlinkat(&self.fd, path, Vec::new()) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            Err(errno) if is_missing(errno) || errno == Errno::INVAL => Ok(None),
            Err(errno) => Err(Error::io(self.path.join(path), errno)),
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A file that is read every round. Where the kernel makes up its content it is kept open and read
/// again from the start; elsewhere it is opened each time, since it may have been replaced.
#[derive(Debug)]
pub struct KeptFile {
    path: String,
    fd: Option<OwnedFd>,
    buffer: Vec<u8>,
}

impl KeptFile {
    /// A file at a path relative to the directory that is later given to [`KeptFile::read`], always
    /// the same one. Nothing is opened yet.
    pub fn new(path: impl Into<String>) -> KeptFile {
        KeptFile { path: path.into(), fd: None, buffer: Vec::new() }
    }

    /// Its relative path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its content now; `None` where there is no such file.
    pub fn read(&mut self, dir: &Dir) -> Result<Option<&[u8]>, Error> {
        if let Some(fd) = &self.fd {
            match read_from_start(fd.as_fd(), &mut self.buffer) {
                Ok(()) => return Ok(Some(&self.buffer)),
                // Gone, or another one by the same name: look again below.
                Err(errno) if is_missing(errno) => self.fd = None,
                Err(errno) => return Err(Error::io(dir.path().join(&self.path), errno)),
            }
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(dir, &self.path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(errno) if is_missing(errno) => return Ok(None),
            Err(errno) => return Err(Error::io(dir.path().join(&self.path), errno)),
        };
        match read_from_start(fd.as_fd(), &mut self.buffer) {
            Ok(()) => {}
            Err(errno) if is_missing(errno) => return Ok(None),
            Err(errno) => return Err(Error::io(dir.path().join(&self.path), errno)),
        }
        if dir.is_kernel_fs() {
            self.fd = Some(fd);
        }
        Ok(Some(&self.buffer))
    }

    /// Reads and understands in one step; the error names the file. `None` where there is no file.
    pub fn parse<T>(
        &mut self,
        dir: &Dir,
        parse: impl FnOnce(&[u8]) -> Result<T, crate::Unexpected>,
    ) -> Result<Option<T>, Error> {
        if self.read(dir)?.is_none() {
            return Ok(None);
        }
        parse(&self.buffer).map(Some).map_err(|e| e.at(&dir.path().join(&self.path)))
    }
}

/// What says that a file is not there: never was, its device or process went, or this kernel was built
/// or booted without the feature.
fn is_missing(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::NXIO | Errno::SRCH | Errno::OPNOTSUPP
    )
}

fn is_kernel_fs(magic: u64) -> bool {
    const PROC: u64 = 0x9fa0;
    const SYSFS: u64 = 0x6265_6572;
    const CGROUP: u64 = 0x27_e0eb;
    const CGROUP2: u64 = 0x6367_7270;
    matches!(magic & 0xffff_ffff, PROC | SYSFS | CGROUP | CGROUP2)
}

/// Reads from offset 0 to the end. A short read is no end: files of many records give at most a page
/// at a time.
fn read_from_start(fd: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    buffer.clear();
    loop {
        if buffer.capacity() - buffer.len() < 1024 {
            buffer.reserve(buffer.capacity().max(4096));
        }
        let offset = buffer.len() as u64;
        match rustix::io::pread(fd, rustix::buffer::spare_capacity(buffer), offset) {
            Ok(0) => return Ok(()),
            Ok(_) if buffer.len() > FILE_BYTES_MAX => return Err(Errno::FBIG),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
