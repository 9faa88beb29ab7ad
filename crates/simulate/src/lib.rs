//! Hollow nodes: thousands of kubelets in one process, which say what a seed and the time make them say,
//! and an API server that knows their nodes and pods.
//!
//! Never here: real containers. What a hollow kubelet says has the shape of Kubernetes 1.36's
//! `/metrics/resource`; the same seed says the same at the same time.

#![forbid(unsafe_code)]

mod api_server;
mod fleet;
mod kubelets;
mod register;
#[cfg(test)]
mod tests;
mod usage;

pub use api_server::api_server;
pub use fleet::{Faults, Fleet, Node, Pod, Shape};
pub use kubelets::{Certificate, kubelets};
pub use register::register;

use std::net::Ipv4Addr;

/// Why something cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The addresses do not suffice.
    #[error("{nodes} nodes do not fit behind {first}: addresses end at 255.255.255.255")]
    Addresses {
        /// How many there should be.
        nodes: usize,
        /// The first address.
        first: Ipv4Addr,
    },
    /// Something is larger than it may be.
    #[error("{what} may be at most {most}, not {given}")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many there may be.
        most: usize,
        /// How many were asked for.
        given: usize,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The listener.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The API server.
    #[error("cannot register {what}: {source}")]
    Register {
        /// The object.
        what: String,
        /// Why.
        source: cluster::Error,
    },
}
