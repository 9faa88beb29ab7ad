//! TLS by rustls, and the configuration read again when its content changed.
//!
//! Certificates and keys are compared by content, not by time or inode: that is what holds for files, for
//! links and for the folders that Kubernetes swaps.

use crate::guard::Guard;
use crate::web_config::{ClientAuth, Pem, TlsConfig, WebConfig};
use crate::{ClientCertificates, Error, Stats};
use arc_swap::ArcSwapOption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

/// Hands out TLS sessions by the newest configuration.
#[derive(Clone, Default)]
pub(crate) struct Acceptor(Arc<ArcSwapOption<Current>>);

/// What is negotiated by.
pub(crate) struct Current {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) allowed_sans: Vec<ServerName<'static>>,
}

/// A connection whose handshake is done.
pub(crate) struct Secured<T> {
    pub(crate) stream: TlsStream<T>,
    #[cfg_attr(not(feature = "http2"), allow(dead_code))]
    pub(crate) http2: bool,
    pub(crate) client: Option<ClientCertificates>,
}

impl Acceptor {
    pub(crate) fn set(&self, current: Current) {
        self.0.store(Some(Arc::new(current)));
    }

    pub(crate) async fn accept<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: T,
    ) -> io::Result<Secured<T>> {
        let current = self.0.load_full().ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "there is no certificate to present yet")
        })?;
        let acceptor = tokio_rustls::TlsAcceptor::from(current.config.clone());
        let stream = acceptor.accept(stream).await?;
        let session = stream.get_ref().1;
        if !current.allowed_sans.is_empty() {
            let leaf = session.peer_certificates().and_then(|c| c.first());
            let leaf = leaf.and_then(|c| webpki::EndEntityCert::try_from(c).ok());
            let allowed = leaf.is_some_and(|leaf| {
                let names = &current.allowed_sans;
                names.iter().any(|n| leaf.verify_is_valid_for_subject_name(n).is_ok())
            });
            if !allowed {
                let what = "the client's certificate has none of the allowed names";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
            }
        }
        let http2 = session.alpn_protocol() == Some(b"h2");
        let shown = session.peer_certificates();
        let shown = shown.map(|c| c.iter().map(|c| c.clone().into_owned()).collect());
        Ok(Secured { http2, client: shown.map(ClientCertificates), stream })
    }
}

/// A web configuration file that is read again and again.
pub(crate) struct Reload {
    path: PathBuf,
    /// The configuration as of the start.
    pub(crate) config: WebConfig,
    seen: Material,
    acceptor: Option<Acceptor>,
}

/// Everything that was read, to see whether it changed.
#[derive(Clone, PartialEq, Eq)]
struct Material {
    text: String,
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
}

impl Reload {
    pub(crate) fn open(path: &Path) -> Result<Reload, Error> {
        let (config, seen) = load(path)?;
        let current = config.tls.as_ref().map(|t| build(t, &config, &seen, path)).transpose()?;
        let acceptor = current.map(|c| Acceptor(Arc::new(ArcSwapOption::from_pointee(c))));
        Ok(Reload { path: path.into(), config, seen, acceptor })
    }

    pub(crate) fn acceptor(&self) -> Option<Acceptor> {
        self.acceptor.clone()
    }

    /// Looks every `interval`, for ever. What cannot be taken over is logged once and counted, and the
    /// configuration before it stays.
    pub(crate) async fn run(mut self, interval: Duration, guard: &Guard, stats: &Stats) {
        let mut told = String::new();
        loop {
            tokio::time::sleep(interval).await;
            match self.look(guard) {
                Ok(false) => {}
                Ok(true) => {
                    told.clear();
                    tracing::info!(path = %self.path.display(), "took over the changed web configuration");
                }
                Err(error) => {
                    stats.reload_failures.fetch_add(1, Relaxed);
                    let error = error.to_string();
                    if error != told {
                        tracing::error!(%error, "cannot take over the changed web configuration");
                        told = error;
                    }
                }
            }
        }
    }

    fn look(&mut self, guard: &Guard) -> Result<bool, Error> {
        let (config, seen) = load(&self.path)?;
        if seen == self.seen {
            return Ok(false);
        }
        match (&config.tls, &self.acceptor) {
            (Some(tls), Some(acceptor)) => {
                let current = build(tls, &config, &seen, &self.path)?;
                acceptor.set(current);
            }
            (None, None) => {}
            _ => {
                let what = "tls_server_config cannot come or go while the program runs: restart it";
                return Err(Error::Tls { path: self.path.clone(), what: what.into() });
            }
        }
        if self.config.authenticates() && !config.authenticates() {
            let what = "authentication cannot go while the program runs: restart it";
            return Err(Error::Tls { path: self.path.clone(), what: what.into() });
        }
        guard.replace(&config);
        self.seen = seen;
        self.config = config;
        Ok(true)
    }
}

fn load(path: &Path) -> Result<(WebConfig, Material), Error> {
    let read = |path: &Path| {
        let wrong = |e| Error::Tls { path: path.into(), what: format!("cannot read it: {e}") };
        std::fs::read(path).map_err(wrong)
    };
    let config = WebConfig::read(path)?;
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let pem = |pem: &Pem| match pem {
        Pem::File(file) => read(file),
        Pem::Text(text) => Ok(text.clone().into_bytes()),
    };
    let mut seen = Material { text, cert: Vec::new(), key: Vec::new(), client_ca: Vec::new() };
    if let Some(tls) = &config.tls {
        seen.cert = pem(&tls.cert)?;
        seen.key = pem(&tls.key)?;
        seen.client_ca = tls.client_ca.as_ref().map(pem).transpose()?.unwrap_or_default();
    }
    Ok((config, seen))
}

fn build(
    tls: &TlsConfig,
    config: &WebConfig,
    seen: &Material,
    path: &Path,
) -> Result<Current, Error> {
    let place = |pem: &Pem| match pem {
        Pem::File(file) => file.clone(),
        Pem::Text(_) => path.to_owned(),
    };
    let wrong = |path: PathBuf, what: String| Error::Tls { path, what };
    let chain = certificates(&seen.cert).map_err(|e| wrong(place(&tls.cert), e))?;
    let key = PrivateKeyDer::from_pem_slice(&seen.key)
        .map_err(|e| wrong(place(&tls.key), format!("no private key in PEM form: {e}")))?;
    let provider = Arc::new(provider(tls).map_err(|e| wrong(path.into(), e))?);
    let versions: &[&rustls::SupportedProtocolVersion] = match (tls.tls12, tls.tls13) {
        (true, false) => &[&rustls::version::TLS12],
        (false, true) => &[&rustls::version::TLS13],
        _ => &[&rustls::version::TLS13, &rustls::version::TLS12],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|e| wrong(path.into(), format!("versions and cipher suites do not fit: {e}")))?;
    let builder = match (&tls.client_ca, tls.client_auth) {
        (Some(ca), auth @ (ClientAuth::IfGiven | ClientAuth::Required)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(&seen.client_ca).map_err(|e| wrong(place(ca), e))? {
                roots.add(certificate).map_err(|e| wrong(place(ca), e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            let optional = auth == ClientAuth::IfGiven;
            let verifier = if optional { verifier.allow_unauthenticated() } else { verifier };
            let verifier = verifier.build().map_err(|e| wrong(place(ca), e.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|e| {
        wrong(place(&tls.cert), format!("certificate and key cannot be used together: {e}"))
    })?;
    server.alpn_protocols = match config.http2 && cfg!(feature = "http2") {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    let mut allowed_sans = Vec::new();
    for san in &tls.client_allowed_sans {
        let name = ServerName::try_from(san.clone()).map_err(|_| {
            let what = "is neither a DNS name nor an IP address; other kinds are not compared";
            wrong(path.into(), format!("client_allowed_sans: {san:?} {what}"))
        })?;
        allowed_sans.push(name);
    }
    Ok(Current { config: Arc::new(server), allowed_sans })
}

pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|e| format!("not a certificate in PEM form: {e}"))?;
    if found.is_empty() {
        return Err("no certificate in PEM form".into());
    }
    Ok(found)
}

/// ring's algorithms, restricted to what the configuration names.
fn provider(tls: &TlsConfig) -> Result<CryptoProvider, String> {
    let mut provider = rustls::crypto::ring::default_provider();
    if !tls.cipher_suites.is_empty() {
        let mut chosen = Vec::new();
        for name in &tls.cipher_suites {
            let same = |s: &&rustls::SupportedCipherSuite| {
                // rustls names the suites of TLS 1.3 with a prefix of its own.
                format!("{:?}", s.suite()).replace("TLS13_", "TLS_") == *name
            };
            let suite = provider.cipher_suites.iter().find(same);
            chosen.push(*suite.ok_or_else(|| format!("cipher suite {name:?} is not supported"))?);
        }
        // As in Go: the list is about TLS 1.2 and before.
        let newest = provider.cipher_suites.iter().filter(|s| s.tls13().is_some()).copied();
        chosen.retain(|s| s.tls13().is_none());
        let newest: Vec<_> = newest.collect();
        provider.cipher_suites = newest.into_iter().chain(chosen).collect();
    }
    if !tls.curves.is_empty() {
        let mut chosen = Vec::new();
        for name in &tls.curves {
            let wanted = match name.as_str() {
                "CurveP256" => rustls::NamedGroup::secp256r1,
                "CurveP384" => rustls::NamedGroup::secp384r1,
                "X25519" => rustls::NamedGroup::X25519,
                _ => {
                    return Err(format!(
                        "curve {name:?} is not supported: there are CurveP256, CurveP384, X25519"
                    ));
                }
            };
            chosen.extend(provider.kx_groups.iter().find(|g| g.name() == wanted));
        }
        provider.kx_groups = chosen;
    }
    Ok(provider)
}
