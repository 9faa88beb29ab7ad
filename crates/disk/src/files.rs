//! The file operations that the stores need, as a trait with a real and a faulty form.
//!
//! Paths are relative to the data folder, with `/` between parts. Semantics are POSIX's: what was
//! appended is safe from a crash of the program at once, from a power cut only after
//! [`File::sync`], and a name only after [`Files::sync_dir`] of its folder.

use std::io;
use std::ops::Deref;
use std::sync::Arc;

/// A folder of files.
pub trait Files: Send + Sync {
    /// How a path is called in messages.
    fn place(&self, path: &str) -> String;
    /// Creates a file that does not exist yet, for appending.
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>>;
    /// The whole of a file, mapped where that is possible.
    fn read(&self, path: &str) -> io::Result<Map>;
    /// Appends to `into` at most `max` bytes of a file, from `offset` on, as they are now; fewer
    /// where it ends. Unlike [`Files::read`] for files to which is being appended.
    fn read_part(&self, path: &str, offset: u64, max: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let map = self.read(path)?;
        let rest = usize::try_from(offset).ok().and_then(|o| map.get(o..)).unwrap_or_default();
        into.extend_from_slice(&rest[..max.min(rest.len())]);
        Ok(())
    }
    /// Moves a file; one that has the new name already is replaced.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Gives a file, which is not appended to any more, a second name; where the file system has no such
    /// thing, the second name gets a copy that is safe from a power cut.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;
    /// Deletes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// The files in a folder, sorted by name; without folders. A missing folder is an error.
    fn list(&self, dir: &str) -> io::Result<Vec<Entry>>;
    /// Creates a folder and those above it; no error where it exists.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Makes the names in a folder safe from a power cut.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Takes the folder for this process alone until the value is dropped.
    ///
    /// Fails with [`io::ErrorKind::WouldBlock`] and the owner's words where another has it.
    fn lock(&self, path: &str, words: &str) -> io::Result<Box<dyn Send + Sync>>;
}

/// A file that is appended to.
pub trait File: Send + Sync {
    /// Appends a part of `bytes`, at least one byte, and says how many.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Makes everything appended so far safe from a power cut.
    fn sync(&self) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
}

impl dyn File {
    /// Appends all of `bytes`; on failure some of them may be there.
    pub fn append_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.append(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// A file in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name within the folder.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
}

/// The content of a file.
pub enum Map {
    /// Mapped into memory: pages come and go with the kernel's cache.
    Mapped(memmap2::Mmap),
    /// Held in memory.
    Owned(Arc<[u8]>),
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Map::Mapped(m) => m,
            Map::Owned(v) => v,
        }
    }
}
