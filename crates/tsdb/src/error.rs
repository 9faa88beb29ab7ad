//! What can go wrong in the store.

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder could not be opened; the text names the file and the reason.
    #[error("data folder {dir}: {reason}")]
    Open {
        /// The folder.
        dir: String,
        /// What was found there.
        reason: String,
    },
    /// The store takes nothing in at present; queries go on.
    #[error("the store is read-only: {0}")]
    ReadOnly(String),
    /// A batch was refused as a whole, and nothing of it is kept.
    #[error("batch refused: {0}")]
    Refused(String),
    /// Writing failed, and nothing of the batch is kept.
    #[error("{place}: {source}")]
    Io {
        /// The file or folder.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
