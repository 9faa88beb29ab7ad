//! The only listener: HTTP/1.1 and HTTP/2 over TCP and TLS, with limits on everything that a client
//! controls, the rules about who may read, compression, and the files of the UI; and the client.
//!
//! Never here: what is answered. A caller brings an [`axum::Router`] and gets each request after it
//! passed the guard. TLS, users and headers follow Prometheus's web configuration file
//! (exporter-toolkit, `docs/web-configuration.md`).

#![forbid(unsafe_code)]

mod body;
#[cfg(feature = "client")]
pub mod client;
mod connection;
pub mod encoding;
pub mod files;
#[doc(hidden)]
pub mod fuzz;
mod guard;
mod identity;
mod server;
mod stats;
mod tls;
mod users;
pub mod web_config;

pub use identity::{ClientCertificates, Identity, IdentityError};
pub use server::{Options, Server, terminated};
pub use stats::Stats;

use std::net::SocketAddr;
use std::path::PathBuf;

/// The address of the client, an extension of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// The name under which the client signed in, an extension of each request that needed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(pub String);

/// Why the listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one.
    #[error(
        "cannot listen on {listen:?}: {source}; write HOST:PORT, for instance 127.0.0.1:7600 or [::1]:7600"
    )]
    Address {
        /// As given.
        listen: String,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// Another process listens there.
    #[error(
        "cannot listen on {address}: another process listens there; stop it (ss -ltnp 'sport = :{}' names it) or choose another address with --listen",
        address.port()
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// Binding failed for another reason.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Beyond loopback, without TLS and authentication.
    #[error(
        "refusing to listen on {address}, which others can reach, {lacking}: everyone there could read \
         everything. Listen on 127.0.0.1, or give a file with tls_server_config and basic_auth_users (or \
         client certificates) with --web.config.file, or say --listen-insecure if the network protects it"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
        /// What is missing.
        lacking: &'static str,
    },
    /// The web configuration file.
    #[error("{0}")]
    WebConfig(#[from] web_config::Errors),
    /// A certificate, a key or a CA.
    #[error("{path}: {what}", path = path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}
