//! What can go wrong while the kernel is read.

use std::path::{Path, PathBuf};

/// Why a file could not be read or understood. That a file does not exist is no error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user of this process may not read it.
    #[error("may not read {}: permission denied (root may)", path.display())]
    Denied {
        /// The file.
        path: PathBuf,
    },
    /// The kernel answered with an error.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The content is not what the format says.
    #[error("cannot understand {}: {unexpected}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where and what.
        unexpected: Unexpected,
    },
}

impl Error {
    pub(crate) fn io(path: PathBuf, errno: rustix::io::Errno) -> Error {
        match errno {
            rustix::io::Errno::ACCESS | rustix::io::Errno::PERM => Error::Denied { path },
            errno => Error::Io { path, source: errno.into() },
        }
    }
}

/// A piece of a file that is not what its format says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {value:?} is not {expected}")]
pub struct Unexpected {
    /// The line, from 1.
    pub line: usize,
    /// What is there, shortened.
    pub value: String,
    /// What should be there.
    pub expected: &'static str,
}

impl Unexpected {
    /// At most so many bytes of a wrong value are shown.
    const SHOWN_BYTES_MAX: usize = 80;

    /// An unexpected value on a line counted from 1.
    pub fn new(line: usize, value: &[u8], expected: &'static str) -> Unexpected {
        let shown = &value[..value.len().min(Unexpected::SHOWN_BYTES_MAX)];
        Unexpected { line, value: String::from_utf8_lossy(shown).into_owned(), expected }
    }

    /// The error that names the file as well.
    pub fn at(self, path: &Path) -> Error {
        Error::Content { path: path.into(), unexpected: self }
    }
}
