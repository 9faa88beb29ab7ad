//! One connection, and one request and answer on it.

use super::tls::Identity;
use super::{Answer, Doing, Error, Limits, Request};
use axum::http::{self as types, HeaderValue, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection on which no request is under way.
pub(super) struct Connection {
    stream: Stream,
    host: Box<str>,
    port: u16,
    /// Which trust it was made with; another asks for another connection.
    tls: Option<Identity>,
}

/// So much room is made for a body because its length was told; more as it comes.
const TOLD_BYTES: u64 = 8 << 20;

/// Why an exchange failed.
pub(super) enum Failed {
    /// hyper's reason.
    Hyper(hyper::Error),
    /// More than the limit.
    TooLarge,
    /// The request itself is wrong.
    Request(String),
}

impl Failed {
    /// Whether the server had closed the connection before it saw the request.
    pub(super) fn is_stale(&self) -> bool {
        let Failed::Hyper(error) = self else { return false };
        let source = std::error::Error::source(error);
        let io = source.and_then(|s| s.downcast_ref::<io::Error>()).map(io::Error::kind);
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        error.is_incomplete_message()
            || error.is_canceled()
            || error.is_closed()
            || matches!(io, Some(BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof))
    }

    pub(super) fn error(self, request: &Request<'_>, limits: &Limits) -> Error {
        let (host, port) = (request.host.to_owned(), request.port);
        match self {
            Failed::Hyper(error) => {
                let mut what = error.to_string();
                if let Some(source) = std::error::Error::source(&error) {
                    what = format!("{what}: {source}");
                }
                Error::Exchange { host, port, what }
            }
            Failed::TooLarge => Error::TooLarge { host, port, limit: limits.max_body_bytes },
            Failed::Request(what) => {
                Error::Request { host, port, path: request.path_and_query.into(), what }
            }
        }
    }
}

impl Connection {
    pub(super) fn suits(&self, request: &Request<'_>) -> bool {
        *self.host == *request.host
            && self.port == request.port
            && self.tls == request.tls.map(|t| t.identity())
    }

    /// Connects, and makes sure who is there before anything is sent.
    pub(super) async fn open(
        request: &Request<'_>,
        pin: &mut Option<[u8; 32]>,
        doing: &Doing,
    ) -> Result<Connection, Error> {
        let (host, port) = (request.host, request.port);
        let refused = |source| Error::Connect { host: host.into(), port, source };
        let plain = match host.parse::<std::net::IpAddr>() {
            Ok(ip) => TcpStream::connect((ip, port)).await.map_err(refused)?,
            Err(_) => {
                let lookup = tokio::net::lookup_host((host, port)).await;
                let found: Vec<_> = lookup
                    .map_err(|source| Error::Resolve { host: host.into(), source })?
                    .collect();
                TcpStream::connect(found.as_slice()).await.map_err(refused)?
            }
        };
        let _ = plain.set_nodelay(true);
        let stream = match request.tls {
            None => Stream::Plain(plain),
            Some(tls) => {
                doing.set(Doing::HANDSHAKE);
                Stream::Tls(Box::new(tls.connect(plain, request, pin).await?))
            }
        };
        let tls = request.tls.map(|t| t.identity());
        Ok(Connection { stream, host: host.into(), port, tls })
    }

    /// Sends the request and reads the answer; gives the connection back if it can be used again.
    pub(super) async fn exchange(
        self,
        limits: &Limits,
        request: &Request<'_>,
        body: &mut Vec<u8>,
        doing: &Doing,
    ) -> Result<(Answer, Option<Connection>), Failed> {
        let Connection { stream, host, port, tls } = self;
        let message = message(request).map_err(Failed::Request)?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(limits.max_header_bytes.max(8 << 10))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Failed::Hyper)?;
        let exchange = async move {
            let response = sender.send_request(message).await.map_err(Failed::Hyper)?;
            doing.set(Doing::READING);
            read(response, limits.max_body_bytes, body).await
        };
        // The answer comes by way of the connection, so both go on side by side; the sender is gone
        // with the first, which ends the second.
        let (mut exchange, mut driver) = (pin!(exchange), pin!(connection.without_shutdown()));
        let mut driven = None;
        let done = loop {
            tokio::select! {
                biased;
                done = &mut exchange => break done,
                parts = &mut driver, if driven.is_none() => driven = Some(parts),
            }
        };
        let (answer, reusable) = done?;
        if !reusable {
            return Ok((answer, None));
        }
        let parts = match driven {
            Some(parts) => parts,
            None => driver.await,
        };
        let kept = match parts {
            Ok(parts) if parts.read_buf.is_empty() => {
                Some(Connection { stream: parts.io.into_inner(), host, port, tls })
            }
            _ => None,
        };
        Ok((answer, kept))
    }
}

fn message(request: &Request<'_>) -> Result<types::Request<Full<Bytes>>, String> {
    let literal = request.host.contains(':');
    let host = match literal {
        true => format!("[{}]:{}", request.host, request.port),
        false => format!("{}:{}", request.host, request.port),
    };
    let uri: types::Uri = request.path_and_query.parse().map_err(|e| format!("not a path: {e}"))?;
    if uri.authority().is_some() || !uri.path().starts_with('/') {
        return Err("not a path".into());
    }
    let mut message = types::Request::new(Full::new(Bytes::copy_from_slice(request.body)));
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = uri;
    let host = HeaderValue::from_str(&host).map_err(|e| e.to_string())?;
    message.headers_mut().insert(header::HOST, host);
    for (name, value) in request.headers {
        message.headers_mut().append(name.clone(), value.clone());
    }
    Ok(message)
}

/// Reads the body; also says whether the connection can be used again.
async fn read(
    response: types::Response<hyper::body::Incoming>,
    limit: usize,
    into: &mut Vec<u8>,
) -> Result<(Answer, bool), Failed> {
    into.clear();
    let (head, mut body) = response.into_parts();
    if body.size_hint().lower() > limit as u64 {
        return Err(Failed::TooLarge);
    }
    let told = body.size_hint().lower().min(TOLD_BYTES) as usize;
    if into.capacity() < told {
        // Anew: to grow would copy what is of no use any more.
        *into = Vec::with_capacity(told);
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Failed::Hyper)?;
        let Ok(data) = frame.into_data() else { continue };
        if into.len() + data.len() > limit {
            return Err(Failed::TooLarge);
        }
        into.extend_from_slice(&data);
    }
    let close = head.headers.get_all(header::CONNECTION).iter().any(|value| {
        let text = value.to_str().unwrap_or("close");
        text.split(',').any(|t| t.trim().eq_ignore_ascii_case("close"))
    });
    let reusable = head.version == Version::HTTP_11 && !close;
    Ok((Answer { status: head.status, headers: head.headers }, reusable))
}

/// TCP, with or without TLS.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! either {
    ($stream:expr, $it:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Plain($it) => $call,
            Stream::Tls($it) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, s => Pin::new(s).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, s => Pin::new(s).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, s => Pin::new(s).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, s => Pin::new(s).poll_shutdown(context))
    }
}
