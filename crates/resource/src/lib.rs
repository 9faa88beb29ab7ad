//! The core metrics pipeline: what kubelets answer at `/metrics/resource`, read on each node's own
//! clock, decided upon by metrics-server's rules, and kept as the last two points of each container.
//!
//! Never here: an API. The deciding half ([`parse()`], [`Store`]) does no I/O and takes no clock.

#![forbid(unsafe_code)]

pub mod adapter;
mod block;
pub mod custom;
mod decide;
mod error;
pub mod estimate;
mod file;
#[doc(hidden)]
pub mod fuzz;
pub mod keep;
mod parse;
pub mod reader;
pub mod series;
mod store;
pub mod summary;
#[cfg(test)]
mod tests;
mod usage;

pub use error::Error;
pub use parse::{ContainerSample, NO_TIME, ParseError, Reading, Sample, parse};
pub use reader::Reader;
pub use store::{Counts, Options, PodPoints, PodView, Store, View};
pub use usage::{Mode, Usage};
