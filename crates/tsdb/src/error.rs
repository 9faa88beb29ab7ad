//! What can go wrong in the store.

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store takes nothing in at present; queries go on.
    #[error("the store is read-only: {0}")]
    ReadOnly(String),
    /// A file could not be written or read.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// A block could not be written or read.
    #[error("{file}: {source}")]
    Block {
        /// The block's file.
        file: String,
        /// What is wrong.
        source: crate::block::BlockError,
    },
    /// Series that a round goes on with were forgotten while it was put together.
    #[error("series of the round were forgotten meanwhile: the next round tells them anew")]
    Forgotten,
    /// What was to be written could not be read from where it comes.
    #[error("{0}")]
    Source(#[from] model::ReadError),
    /// A snapshot's name cannot be used.
    #[error("snapshot {name:?}: {why}")]
    Snapshot {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
