//! What can go wrong in the core pipeline.

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of points is not one, or was damaged.
    #[error("what the last run kept cannot be used: {what}")]
    Damaged {
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is nothing with which to ask kubelets.
    #[error("cannot ask kubelets: {0}")]
    Credentials(String),
    /// Certificates with which to ask kubelets.
    #[error("cannot ask kubelets: {0}")]
    Tls(#[from] http::client::Error),
    /// A file in the data folder.
    #[error(transparent)]
    Disk(#[from] disk::Error),
}
