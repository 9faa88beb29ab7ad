//! What can go wrong with a folder, and what of it is damaged.

/// Why something cannot be read or written at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("{place}: {source}")]
    Io {
        /// The file or folder.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A part without which the rest says nothing.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A folder that is none of Prometheus's.
    #[error("{place}: {why}")]
    Foreign {
        /// The folder.
        place: String,
        /// What is missing.
        why: &'static str,
    },
    /// Ours could not be written.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// What was to be written is not in order; an error of the caller.
    #[error("{0} are not in order")]
    Order(&'static str),
}

impl Error {
    pub(crate) fn io(place: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Error {
        let place = place.to_string();
        move |source| Error::Io { place, source }
    }
}

/// A part that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: byte {offset}: {what}")]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where in the file.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

impl Damage {
    pub(crate) fn new(file: &str, offset: usize, what: impl Into<String>) -> Damage {
        Damage { file: file.to_owned(), offset: offset as u64, what: what.into() }
    }
}
