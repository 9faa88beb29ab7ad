//! What can go wrong in the core pipeline.

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of points is not one, or was damaged.
    #[error("the points of the last run cannot be used: {what}")]
    Damaged {
        /// What is wrong with it.
        what: &'static str,
    },
}
