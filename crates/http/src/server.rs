//! Binding, accepting, and ending in time.

use crate::connection::{Connections, Limits};
use crate::guard::Guard;
use crate::tls::Reload;
use crate::web_config::WebConfig;
use crate::{Error, Identity, Stats};
use axum::Router;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// How to listen.
#[derive(Clone, Debug)]
pub struct Options {
    /// `HOST:PORT`; an empty host is every address of the machine, port 0 a free port.
    pub listen: String,
    /// Prometheus's web configuration file.
    pub web_config: Option<PathBuf>,
    /// Speak TLS as this, ask clients for certificates, and let who answers a request decide who may
    /// ask: the routes authenticate, not the listener. Not together with a web configuration.
    pub identity: Option<Identity>,
    /// Listen beyond loopback even without TLS and authentication.
    pub insecure: bool,
    /// Names besides `localhost` and loopback addresses under which a browser may ask on loopback.
    pub allowed_hosts: Vec<String>,
    /// Connections at a time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Request line and header together, in bytes (8 KiB at least).
    pub max_header_bytes: usize,
    /// The body of any request, in bytes; a route may allow less with `axum::extract::DefaultBodyLimit`.
    pub max_body_bytes: usize,
    /// From the connection (or the answer before) to the end of the request's header.
    pub header_timeout: Duration,
    /// From the end of the header to the end of the request's body.
    pub body_timeout: Duration,
    /// From the end of the header to the beginning of the answer.
    pub request_timeout: Duration,
    /// How long a client may take none of the bytes that wait for it.
    pub stall_timeout: Duration,
    /// How long open requests may go on after the shutdown began.
    pub grace: Duration,
    /// How often the web configuration and the certificates are read again.
    pub reload_interval: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: "127.0.0.1:0".into(),
            web_config: None,
            identity: None,
            insecure: false,
            allowed_hosts: Vec::new(),
            max_connections: 512,
            max_header_bytes: 16 << 10,
            max_body_bytes: 16 << 20,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(150),
            stall_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(4),
            reload_interval: Duration::from_secs(10),
        }
    }
}

/// A listener that is bound and does not accept yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
    reload: Option<Reload>,
    guard: Arc<Guard>,
    stats: Arc<Stats>,
}

impl Server {
    /// Binds, after everything that could be wrong with the configuration was checked.
    pub async fn bind(options: Options) -> Result<Server, Error> {
        let address = resolve(&options.listen).await?;
        let reload = options.web_config.as_deref().map(Reload::open).transpose()?;
        let plain = WebConfig::default();
        let config = reload.as_ref().map_or(&plain, |r| &r.config);
        if !address.ip().is_loopback() && !options.insecure && options.identity.is_none() {
            let lacking = match (config.tls.is_some(), config.authenticates()) {
                (true, true) => None,
                (true, false) => Some("with TLS but without authentication"),
                (false, true) => Some("with authentication but without TLS"),
                (false, false) => Some("without TLS and authentication"),
            };
            if let Some(lacking) = lacking {
                return Err(Error::Exposed { address, lacking });
            }
        }
        let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => Error::InUse { address },
            _ => Error::Bind { address, source },
        })?;
        let address = listener.local_addr().map_err(|source| Error::Bind { address, source })?;
        let stats = Arc::new(Stats::default());
        // Who must show a credential with each request needs no protection from other pages.
        let by_browser = options.identity.is_none();
        let own_hosts =
            (address.ip().is_loopback() && by_browser).then(|| options.allowed_hosts.clone());
        let guard = Arc::new(Guard::new(own_hosts, by_browser, config, stats.clone()));
        Ok(Server { listener, address, options, reload, guard, stats })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address to open.
    pub fn url(&self) -> String {
        let configured = self.reload.as_ref().is_some_and(|r| r.config.tls.is_some());
        let tls = configured || self.options.identity.is_some();
        format!("{}://{}", if tls { "https" } else { "http" }, self.address)
    }

    /// What it counts.
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// Serves until `shutdown` is ready; then accepts no more, lets open requests end for the time
    /// of [`Options::grace`] and returns.
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()>) {
        let Server { listener, options, reload, guard, stats, .. } = self;
        let limits = Limits::new(&options);
        let identity = options.identity.as_ref().map(Identity::acceptor);
        let tls = identity.or_else(|| reload.as_ref().and_then(|r| r.acceptor()));
        let connections = Connections::new(router, guard.clone(), limits, tls, stats.clone());
        let reloading = async {
            match reload {
                Some(reload) => reload.run(options.reload_interval, &guard, &stats).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown => {}
            () = connections.accept(&listener) => {}
            () = reloading => {}
        }
        drop(listener);
        connections.end(options.grace).await;
    }
}

async fn resolve(listen: &str) -> Result<SocketAddr, Error> {
    let wrong = |source| Error::Address { listen: listen.into(), source };
    let host = if listen.starts_with(':') { format!("[::]{listen}") } else { listen.into() };
    let mut found = tokio::net::lookup_host(&host).await.map_err(wrong)?;
    let none = || std::io::Error::new(std::io::ErrorKind::NotFound, "no address of that name");
    found.next().ok_or_else(|| wrong(none()))
}

/// Ready when the process is asked to end (SIGTERM or SIGINT).
pub async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "cannot listen for a signal");
            std::future::pending().await
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}
