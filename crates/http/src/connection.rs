//! Connections: accepted, secured, served request by request, ended.

use crate::body::{Stalling, Timed};
use crate::guard::Guard;
use crate::tls::{Acceptor, Secured};
use crate::{ClientCertificates, Options, Peer, Stats, encoding};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::Limited;
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
#[cfg(feature = "http2")]
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

/// The limits of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    connections: usize,
    header_bytes: usize,
    body_bytes: usize,
    header: Duration,
    body: Duration,
    request: Duration,
    stall: Duration,
}

impl Limits {
    pub(crate) fn new(options: &Options) -> Limits {
        Limits {
            connections: options.max_connections.clamp(1, Semaphore::MAX_PERMITS >> 1),
            // The least that hyper takes.
            header_bytes: options.max_header_bytes.max(8 << 10),
            body_bytes: options.max_body_bytes,
            header: options.header_timeout,
            body: options.body_timeout,
            request: options.request_timeout,
            stall: options.stall_timeout,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Requests that were begun are ended, idle connections closed.
    Ending,
    /// Whatever is still there is dropped.
    Over,
}

/// All connections of a listener.
pub(crate) struct Connections {
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
    tls: Option<Acceptor>,
}

struct Shared {
    router: Router,
    guard: Arc<Guard>,
    limits: Limits,
    stats: Arc<Stats>,
}

impl Connections {
    pub(crate) fn new(
        router: Router,
        guard: Arc<Guard>,
        limits: Limits,
        tls: Option<Acceptor>,
        stats: Arc<Stats>,
    ) -> Connections {
        Connections {
            shared: Arc::new(Shared { router, guard, limits, stats }),
            slots: Arc::new(Semaphore::new(limits.connections)),
            phase: watch::Sender::new(Phase::Open),
            tls,
        }
    }

    /// Accepts for ever.
    pub(crate) async fn accept(&self, listener: &TcpListener) {
        loop {
            let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or a client that was gone at once: both pass.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let shared = self.shared.clone();
            let tls = self.tls.clone();
            let phase = self.phase.subscribe();
            shared.stats.accepted.fetch_add(1, Relaxed);
            shared.stats.open.fetch_add(1, Relaxed);
            tokio::spawn(async move {
                let _open = Open(shared.clone());
                let _slot = slot;
                let mut over = phase.clone();
                tokio::select! {
                    () = serve(shared, stream, peer, tls, phase) => {}
                    _ = over.wait_for(|p| *p == Phase::Over) => {}
                }
            });
        }
    }

    /// Ends all connections, at the latest after `grace`.
    pub(crate) async fn end(&self, grace: Duration) {
        self.phase.send_replace(Phase::Ending);
        let all = self.slots.acquire_many(self.shared.limits.connections as u32);
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!("dropped requests that did not end within {} s", grace.as_secs_f64());
        }
        self.phase.send_replace(Phase::Over);
    }
}

/// Counts a connection as closed, however it ends.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.stats.open.fetch_sub(1, Relaxed);
    }
}

async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Acceptor>,
    phase: watch::Receiver<Phase>,
) {
    // Answers are written whole; waiting to fill segments would only delay them.
    let _ = stream.set_nodelay(true);
    let limits = shared.limits;
    let stream = Stalling::new(stream, limits.stall);
    let peer = From { address: peer, certificates: None };
    let Some(tls) = tls else { return serve_http1(shared, stream, peer, phase).await };
    match tokio::time::timeout(limits.header, tls.accept(stream)).await {
        #[cfg(feature = "http2")]
        Ok(Ok(Secured { stream, http2: true, client })) => {
            serve_http2(shared, stream, From { certificates: client, ..peer }, phase).await;
        }
        Ok(Ok(Secured { stream, client, .. })) => {
            serve_http1(shared, stream, From { certificates: client, ..peer }, phase).await;
        }
        Ok(Err(error)) => tracing::debug!(peer = %peer.address, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(peer = %peer.address, "TLS handshake took too long"),
    }
}

/// The other end of a connection.
#[derive(Clone)]
struct From {
    address: SocketAddr,
    certificates: Option<ClientCertificates>,
}

async fn serve_http1(
    shared: Arc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: From,
    mut phase: watch::Receiver<Phase>,
) {
    let limits = shared.limits;
    let service = service_fn(move |request| answer(shared.clone(), peer.clone(), request));
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header)
            .max_buf_size(limits.header_bytes)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = phase.wait_for(|p| *p != Phase::Open) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

#[cfg(feature = "http2")]
async fn serve_http2(
    shared: Arc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: From,
    mut phase: watch::Receiver<Phase>,
) {
    let limits = shared.limits;
    let service = service_fn(move |request| answer(shared.clone(), peer.clone(), request));
    let mut connection = pin!(
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(limits.header_bytes as u32)
            .max_concurrent_streams(64)
            .keep_alive_interval(limits.header)
            .keep_alive_timeout(Duration::from_secs(20))
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = phase.wait_for(|p| *p != Phase::Open) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Answers one request: guard, limits, the caller's routes, compression, headers.
async fn answer(
    shared: Arc<Shared>,
    peer: From,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let accepted = encoding::Accepted::of(request.headers());
    let head = request.method() == Method::HEAD;
    let mut response = match shared.guard.check(&request).await {
        Ok(user) => {
            let routed = route(&shared, peer, user, request);
            match tokio::time::timeout(shared.limits.request, routed).await {
                Ok(response) => response,
                Err(_) => {
                    shared.stats.timeouts.fetch_add(1, Relaxed);
                    let text = "the request took longer than it may\n";
                    (StatusCode::GATEWAY_TIMEOUT, text).into_response()
                }
            }
        }
        Err(refusal) => *refusal,
    };
    if !head {
        response = encoding::compress(accepted, response);
    }
    shared.guard.finish(&mut response);
    let class = usize::from(response.status().as_u16() / 100);
    if let Some(count) = shared.stats.answers.get(class) {
        count.fetch_add(1, Relaxed);
    }
    Ok(response)
}

async fn route(
    shared: &Shared,
    peer: From,
    user: Option<crate::User>,
    request: Request<Incoming>,
) -> Response {
    let limits = shared.limits;
    let claimed = request.body().size_hint().lower();
    if claimed > limits.body_bytes as u64 {
        let text = format!(
            "the request's body of {claimed} bytes is larger than the limit of {} bytes\n",
            limits.body_bytes
        );
        // The rest is not read, so the connection cannot go on.
        let close = [(header::CONNECTION, "close")];
        return (StatusCode::PAYLOAD_TOO_LARGE, close, text).into_response();
    }
    let mut request = request.map(|body| {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body::new(Limited::new(Timed::new(body, limits.body), limits.body_bytes))
    });
    request.extensions_mut().insert(Peer(peer.address));
    if let Some(certificates) = peer.certificates {
        request.extensions_mut().insert(certificates);
    }
    if let Some(user) = user {
        request.extensions_mut().insert(user);
    }
    match shared.router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
