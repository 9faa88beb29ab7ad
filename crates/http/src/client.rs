//! The client for kubelets, scrape targets and other servers: HTTP/1.1 over TCP and TLS, with limits on
//! everything that the server controls.
//!
//! An idle connection keeps its socket and its TLS session and no buffers, so that thousands of them cost
//! little: hyper gets the stream for one exchange and gives it back. Never here: redirects (a bearer token
//! must not follow them), proxies, cookies, decompression.

mod error;
mod exchange;
mod tls;

pub use error::{CertificateProblem, Error};
pub use tls::{Believe, Material, Tls, TlsOptions, Trust};

pub use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use exchange::{Connection, Failed};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// What a server may take of us.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the name's look-up to the end of the TLS handshake.
    pub connect_timeout: Duration,
    /// The whole of a request, connecting included.
    pub timeout: Duration,
    /// The header of an answer, in bytes (8 KiB at least); of a body, no more is read at once. A body of a
    /// megabyte in pieces of a few kilobytes costs more for the pieces than for the bytes.
    pub max_header_bytes: usize,
    /// The body of an answer, in bytes.
    pub max_body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            max_header_bytes: 128 << 10,
            max_body_bytes: 64 << 20,
        }
    }
}

/// A request to a server.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, …
    pub method: &'a Method,
    /// A DNS name or an IP address, without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// `None`: plain HTTP.
    pub tls: Option<&'a Tls>,
    /// Besides `host`, a name for which the server's certificate may be made out.
    pub also_named: Option<&'a str>,
    /// `/metrics?match[]=up`.
    pub path_and_query: &'a str,
    /// Besides `Host`.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// What to send.
    pub body: &'a [u8],
}

/// The head of an answer; the body is in the buffer that the caller gave.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header.
    pub headers: HeaderMap,
}

/// What is kept of one server between requests: an idle connection, and with [`Trust::Pin`] the
/// fingerprint of its certificate.
#[derive(Default)]
pub struct Session {
    connection: Option<Connection>,
    pin: Option<[u8; 32]>,
}

impl Session {
    /// A session with a server whose certificate is known by its SHA-256 fingerprint.
    pub fn pinned(pin: Option<[u8; 32]>) -> Session {
        Session { connection: None, pin }
    }

    /// The SHA-256 fingerprint of the certificate that [`Trust::Pin`] saw first.
    pub fn pin(&self) -> Option<[u8; 32]> {
        self.pin
    }

    /// Whether a connection is kept.
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.connection = None;
    }

    /// Sends a request and reads the whole answer, its body into `body` (which is cleared first).
    ///
    /// An idle connection that turns out to be closed is replaced once, if the method may be repeated.
    pub async fn send(
        &mut self,
        limits: &Limits,
        request: Request<'_>,
        body: &mut Vec<u8>,
    ) -> Result<Answer, Error> {
        let doing = Doing::default();
        let exchange = self.exchange(limits, request, body, &doing);
        match tokio::time::timeout(limits.timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Timeout {
                host: request.host.into(),
                port: request.port,
                doing: doing.get(),
                after: limits.timeout,
            }),
        }
    }

    async fn exchange(
        &mut self,
        limits: &Limits,
        request: Request<'_>,
        body: &mut Vec<u8>,
        doing: &Doing,
    ) -> Result<Answer, Error> {
        let failed = |failed: Failed| failed.error(&request, limits);
        // Taken out, so that a request that is dropped half way leaves no half-used connection.
        let kept = self.connection.take().filter(|c| c.suits(&request));
        if let Some(connection) = kept {
            doing.set(Doing::WAITING);
            match connection.exchange(limits, &request, body, doing).await {
                Ok((answer, kept)) => {
                    self.connection = kept;
                    return Ok(answer);
                }
                Err(failure) if failure.is_stale() && request.method.is_idempotent() => {}
                Err(failure) => return Err(failed(failure)),
            }
        }
        doing.set(Doing::CONNECTING);
        let connect = Connection::open(&request, &mut self.pin, doing);
        let connection = match tokio::time::timeout(limits.connect_timeout, connect).await {
            Ok(opened) => opened?,
            Err(_) => {
                return Err(Error::Timeout {
                    host: request.host.into(),
                    port: request.port,
                    doing: doing.get(),
                    after: limits.connect_timeout,
                });
            }
        };
        doing.set(Doing::WAITING);
        let done = connection.exchange(limits, &request, body, doing).await;
        let (answer, kept) = done.map_err(failed)?;
        self.connection = kept;
        Ok(answer)
    }
}

/// What a request is at, for the message about one that took too long.
#[derive(Default)]
struct Doing(AtomicUsize);

impl Doing {
    const CONNECTING: usize = 0;
    const HANDSHAKE: usize = 1;
    const WAITING: usize = 2;
    const READING: usize = 3;

    fn set(&self, step: usize) {
        self.0.store(step, Relaxed);
    }

    fn get(&self) -> &'static str {
        let steps = ["connecting", "TLS handshake", "waiting for the answer", "reading the answer"];
        steps.get(self.0.load(Relaxed)).copied().unwrap_or_default()
    }
}
