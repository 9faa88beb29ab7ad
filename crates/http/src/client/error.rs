//! Why a request failed, in words that name the server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name has no address.
    #[error("cannot look up {host:?}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Nobody answers there.
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The TLS handshake failed for another reason than the certificate.
    #[error("TLS handshake with {host}:{port} failed: {what}")]
    Handshake {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// What went wrong.
        what: String,
    },
    /// The server's certificate is not believed.
    #[error("the certificate of {host}:{port} is not believed: {problem}")]
    Certificate {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// Why.
        problem: CertificateProblem,
    },
    /// It took too long.
    #[error("{host}:{port} took longer than {} s ({doing})", after.as_secs_f64())]
    Timeout {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// What was going on.
        doing: &'static str,
        /// How long it was given.
        after: Duration,
    },
    /// The body is larger than it may be.
    #[error("the answer of {host}:{port} is larger than {limit} bytes")]
    TooLarge {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// The limit.
        limit: usize,
    },
    /// Not HTTP, a truncated answer, a connection that broke.
    #[error("no whole answer from {host}:{port}: {what}")]
    Exchange {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// What went wrong.
        what: String,
    },
    /// The request cannot be written down.
    #[error("cannot ask {host}:{port} for {path:?}: {what}")]
    Request {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// The path.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// A certificate authority, a certificate or a key of ours.
    #[error("{path}: {what}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// Why a certificate is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateProblem {
    /// No authority that we know signed it.
    UnknownIssuer {
        /// The name of whoever signed it.
        issuer: String,
        /// The name that it is made out for.
        subject: String,
    },
    /// It is made out for others.
    WrongName {
        /// The names that it is made out for.
        names: Vec<String>,
    },
    /// Its time is over, or has not come.
    Time(String),
    /// It is not the one that was seen first.
    Changed {
        /// SHA-256 of the one seen first.
        pinned: [u8; 32],
        /// SHA-256 of this one.
        found: [u8; 32],
    },
    /// Something else.
    Other(String),
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateProblem::UnknownIssuer { issuer, subject } => {
                write!(f, "it was signed by an unknown authority ({issuer:?}, for {subject:?})")
            }
            CertificateProblem::WrongName { names } if names.is_empty() => {
                write!(f, "it is made out for no name at all")
            }
            CertificateProblem::WrongName { names } => {
                write!(f, "it is made out for {}", names.join(", "))
            }
            CertificateProblem::Time(what) | CertificateProblem::Other(what) => f.write_str(what),
            CertificateProblem::Changed { pinned, found } => write!(
                f,
                "its SHA-256 fingerprint is {}, the one seen first had {}",
                hex(found),
                hex(pinned)
            ),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
