//! Prometheus's data folder as Prometheus 3 writes it: blocks, write-ahead log and head chunks read, blocks
//! written.
//!
//! Followed are the format descriptions of Prometheus (`tsdb/docs/format`) and, where these leave room, what
//! Prometheus v0.315.0 writes and reads. Values come and go as [`model::Columns`]. Nothing here knows our own
//! store, and what is read is never changed. Whatever is damaged is named with its file and offset, and the
//! rest is read.

#![forbid(unsafe_code)]

mod bits;
mod block;
mod block_writer;
mod bytes;
mod chunk;
mod error;
mod folder;
#[doc(hidden)]
pub mod fuzz;
mod head_chunks;
mod index;
mod meta;
mod record;
mod segment;
mod tombstones;

pub use block::{Block, Series};
pub use block_writer::{BlockWriter, Written};
pub use error::{Damage, Error};
pub use folder::{Folder, Head, HeadExemplar};
pub use head_chunks::{HeadChunk, read_head_chunks};
pub use meta::Meta;
pub use record::{About, Item, read_record};
pub use segment::read_segment;
