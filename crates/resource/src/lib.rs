//! The core metrics pipeline: what kubelets answer at `/metrics/resource`, read on each node's own
//! clock, decided upon by metrics-server's rules, and kept as the last two points of each container.
//!
//! Never here: an API. The deciding half ([`parse`], [`Store`]) does no I/O and takes no clock.

#![forbid(unsafe_code)]

mod usage;

pub use usage::{ContainerUsage, Mode, PodUsage, Usage};
