//! Real files below a folder.

use crate::files::{Entry, File, Files, Map};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files below a folder of this machine.
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder `root`, which need not exist yet.
    pub fn new(root: &Path) -> Folder {
        Folder { root: root.into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The process that holds the lock at `path`, as it wrote itself down; `None` where nobody does. Changes
    /// nothing, so that a folder can be looked at that must not be written.
    pub fn holder(&self, path: &str) -> io::Result<Option<String>> {
        let mut file = match fs::File::open(self.at(path)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut owner = String::new();
                (&mut file).take(64).read_to_string(&mut owner)?;
                Ok(Some(owner.trim().to_owned()))
            }
            Err(e) => Err(e.into()),
        }
    }
}

struct Appended(fs::File);

impl File for Appended {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

/// A file of the caller's choosing, to be appended to; it is created where it does not exist.
pub fn append_to(path: &Path) -> io::Result<Arc<dyn File>> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    Ok(Arc::new(Appended(file)))
}

impl Files for Folder {
    fn place(&self, path: &str) -> String {
        self.at(path).display().to_string()
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().append(true).create_new(true).open(self.at(path))?;
        Ok(Arc::new(Appended(file)))
    }

    fn read(&self, path: &str) -> io::Result<Map> {
        let file = fs::File::open(self.at(path))?;
        if file.metadata()?.len() == 0 {
            return Ok(Map::Owned(Arc::from([])));
        }
        // SAFETY: the stores never change a byte of a file that is there: segments are appended
        // to and read only at opening, blocks are written under another name and then renamed.
        // The folder's lock keeps other processes of ours out.
        Ok(Map::Mapped(unsafe { memmap2::Mmap::map(&file)? }))
    }

    fn read_part(&self, path: &str, offset: u64, max: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let mut file = fs::File::open(self.at(path))?;
        file.seek(SeekFrom::Start(offset))?;
        file.take(max as u64).read_to_end(into)?;
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        match fs::hard_link(self.at(from), self.at(to)) {
            Err(e)
                if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) =>
            {
                fs::copy(self.at(from), self.at(to))?;
                fs::File::open(self.at(to))?.sync_all()
            }
            linked => linked,
        }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.at(dir))? {
            let entry = entry?;
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            // A name that is not UTF-8 is not one of ours.
            if let (true, Ok(name)) = (meta.is_file(), entry.file_name().into_string()) {
                entries.push(Entry { name, len: meta.len() });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        fs::create_dir_all(self.at(dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        fs::File::open(self.at(dir))?.sync_all()
    }

    fn lock(&self, path: &str, words: &str) -> io::Result<Box<dyn Send + Sync>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.at(path))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut owner = String::new();
            file.take(64).read_to_string(&mut owner)?;
            return Err(io::Error::new(io::ErrorKind::WouldBlock, owner.trim().to_owned()));
        }
        file.set_len(0)?;
        file.write_all(words.as_bytes())?;
        Ok(Box::new(file))
    }
}
