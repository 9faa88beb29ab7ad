//! Remote write out: what the store takes in is sent on to other systems, in the order in which it was
//! taken in, each sample at least once, over restarts of either side.
//!
//! A queue reads the store's log ([`tsdb::Tail`]): writers do nothing for it, and what was acknowledged
//! cannot be missing from it. What is sent is persisted as positions in that log ([`marks`]). Never
//! here: scraping, and other protocols than remote write. Followed are the specifications of Prometheus
//! remote write 1.0 and 2.0, and for options and metrics `storage/remote`, version 3.15.

#![forbid(unsafe_code)]

mod backoff;
mod batch;
mod credentials;
mod desired;
mod endpoint;
mod exporter;
mod feed;
#[doc(hidden)]
pub mod fuzz;
pub mod marks;
mod message;
mod metadata;
mod meters;
mod queue;
mod series;
mod shard;
mod sigv4;

pub use exporter::{Exporter, Options};
pub use scrape::config::RemoteWrite;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Why something of a queue failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store, or its log.
    #[error(transparent)]
    Store(#[from] tsdb::Error),
    /// The positions of a queue.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// The endpoint's address.
    #[error("{0:?} is no address of an endpoint")]
    Address(String),
    /// A secret, or a file of TLS.
    #[error("{0}")]
    Secret(String),
    /// A thread could not be begun.
    #[error("cannot begin a thread: {0}")]
    Thread(std::io::Error),
}

/// A lock whose holder panicked still holds plain data.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since the Unix epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
