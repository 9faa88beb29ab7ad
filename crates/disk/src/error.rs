//! What can go wrong below the stores.

/// Why a file operation failed.
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
    /// Another process has the folder open.
    #[error("{place}: in use by process {pid}; stop it, or give this one a data folder of its own")]
    Locked {
        /// The lock file.
        place: String,
        /// The process, as it wrote itself down.
        pid: String,
    },
    /// A later release wrote the folder.
    #[error("{place}: has format {found}, this release reads up to {known}; use a newer release")]
    Newer {
        /// The version file.
        place: String,
        /// The format found.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// A file is not what its name says.
    #[error("{place}: {why}")]
    Foreign {
        /// The file.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The log takes nothing more in until it has recovered.
    #[error("the log cannot be written: {0}")]
    Broken(String),
}

impl Error {
    pub(crate) fn io(place: String) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { place, source }
    }

    /// Whether there is no room left on the device.
    pub fn is_full(&self) -> bool {
        matches!(self, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
    }
}
