//! The time-series store: what was measured is kept, survives crashes, and is read back by time.
//!
//! [`Db`] opens a data folder. A [`Group`] writes the rounds of one target (decision 1 of the
//! design: a group owns timestamps); [`Db::append`] takes samples of any series. Reading goes
//! through [`model::Storage`]. The store never parses, scrapes or evaluates anything, and takes
//! every file through `disk`. Byte layouts: `docs/formats/`.

mod batch;
pub mod block;
mod cardinality;
mod change;
mod check;
mod codec;
mod compact;
mod companion;
mod cursor;
mod db;
mod digest;
mod error;
mod exemplars;
#[doc(hidden)]
pub mod fuzz;
mod head;
mod maintain;
mod merge;
mod numbers;
mod open;
mod options;
mod pace;
mod plan;
mod read;
mod receive;
mod record;
mod seal;
mod snapshot;
mod stats;
mod store;
mod tail;
#[cfg(test)]
mod tests;
mod times;
mod tombstones;
mod touched;

pub use batch::{Batch, Committed, Group, Refusal, Refused};
pub use check::{Checked, Finding, check};
pub use db::Db;
pub use error::Error;
pub use exemplars::{Exemplar, ExemplarRefusal};
pub use options::{Durability, Options, Progress};
pub use pace::Budget;
pub use receive::{Named, Received, SeriesRef};
pub use seal::Sealed;
pub use stats::{BlockInfo, Cardinality, Count, ExemplarStats, Metadata, Quarantined, Stats};
pub use tail::{Follow, Position, Tail};
