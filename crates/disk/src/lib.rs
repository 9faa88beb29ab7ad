//! Files as the stores need them: a checksummed framed log with group commit, publishing by
//! rename, quarantine, the folder lock and the format version, over real files or faulty ones.
//!
//! Everything that writes goes through [`Files`], so that a test can replay from a seed what a
//! bad disk or a power cut does. Nothing here knows what a sample or a record is.
//! Byte layout of the log: `docs/formats/log.md`.

#[doc(hidden)]
pub mod canary;
pub mod error;
pub mod faulty;
pub mod files;
pub mod folder;
pub mod log;
pub mod publish;
pub mod replay;
pub mod seed;
pub mod tail;

pub use error::Error;
pub use files::{Entry, File, Files, Map};
pub use folder::{Folder, append_to};
pub use log::{Log, LogOptions, LogState};
pub use replay::{Damage, Replay, replay};
pub use tail::Tail;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic elsewhere: what the mutexes of this crate guard is consistent at
/// every point at which a panic can happen.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
