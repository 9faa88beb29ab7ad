//! Whom to believe: certificate authorities read again when their file changed, certificates pinned at
//! first use, or anybody; and the certificate with which we sign in ourselves.
//!
//! Whatever the trust, the handshake proves that the server has the key of the certificate that it shows.

use super::{CertificateProblem, Error, Request};
use arc_swap::ArcSwap;
use ring::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those that an authority in this PEM file signed, for the server's name.
    Verify(PathBuf),
    /// For each session the one that was seen first; with a file, also those that [`Trust::Verify`]
    /// believes, which then take its place.
    Pin(Option<PathBuf>),
    /// Anybody's.
    Insecure,
}

/// How to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// Whom to believe.
    pub trust: Trust,
    /// Our own certificate chain and key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Whose certificates are believed, where no file says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Believe {
    /// As [`Trust::Verify`].
    Verified,
    /// As [`Trust::Pin`].
    Pinned,
    /// As [`Trust::Insecure`].
    Anybody,
}

/// What TLS is made of, in PEM form.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Material {
    /// Certificate authorities; may be empty for [`Believe::Pinned`] and [`Believe::Anybody`].
    pub authorities: Vec<u8>,
    /// Our own certificate chain and key; empty for none.
    pub identity: (Vec<u8>, Vec<u8>),
}

/// TLS as configured; shared by all sessions.
pub struct Tls {
    /// Where the material comes from.
    options: Option<TlsOptions>,
    believe: Believe,
    current: ArcSwap<Current>,
    /// What it was made of last.
    seen: Mutex<Material>,
}

/// Tells one state of a [`Tls`] from another: connections made under an older one are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64);

static NEXT: AtomicU64 = AtomicU64::new(0);

struct Current {
    identity: Identity,
    config: ClientConfig,
    verifier: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    pub fn open(options: TlsOptions) -> Result<Tls, Error> {
        let material = read(&options)?;
        let believe = match options.trust {
            Trust::Verify(_) => Believe::Verified,
            Trust::Pin(_) => Believe::Pinned,
            Trust::Insecure => Believe::Anybody,
        };
        Ok(Tls { options: Some(options), ..Tls::given(believe, material)? })
    }

    /// Without files: `material` comes from elsewhere, and [`Tls::give`] brings newer.
    pub fn given(believe: Believe, material: Material) -> Result<Tls, Error> {
        let current = ArcSwap::from_pointee(build(believe, &material, None)?);
        Ok(Tls { options: None, believe, current, seen: Mutex::new(material) })
    }

    /// Reads the files again, and takes them over if they changed; says whether they did. On an error
    /// everything stays as it was.
    pub fn reload(&self) -> Result<bool, Error> {
        match &self.options {
            Some(options) => self.give(read(options)?),
            None => Ok(false),
        }
    }

    /// Takes other material over; says whether it is another. On an error everything stays as it was.
    pub fn give(&self, material: Material) -> Result<bool, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *seen == material {
            return Ok(false);
        }
        let current = build(self.believe, &material, self.options.as_ref())?;
        self.current.store(Arc::new(current));
        *seen = material;
        Ok(true)
    }

    pub(super) fn identity(&self) -> Identity {
        self.current.load().identity
    }

    /// The handshake. With [`Trust::Pin`] `pin` is compared, and set where it is empty.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        request: &Request<'_>,
        pin: &mut Option<[u8; 32]>,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let current = self.current.load_full();
        let (host, port) = (request.host, request.port);
        let handshake = |what: String| Error::Handshake { host: host.into(), port, what };
        let name = server_name(host).map_err(handshake)?;
        let also = request.also_named.and_then(|n| server_name(n).ok());
        let trust = match self.believe {
            Believe::Verified => Believed::Verified,
            Believe::Pinned => Believed::Pinned(*pin),
            Believe::Anybody => Believed::Anybody,
        };
        let verifier = Arc::new(Verifier {
            authorities: current.verifier.clone(),
            provider: current.provider.clone(),
            also,
            trust,
            problem: Mutex::new(None),
        });
        let mut config = current.config.clone();
        config.dangerous().set_certificate_verifier(verifier.clone());
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = match connector.connect(name, stream).await {
            Ok(stream) => stream,
            Err(error) => {
                let problem = verifier.problem.lock().ok().and_then(|mut p| p.take());
                return Err(match problem {
                    Some(problem) => Error::Certificate { host: host.into(), port, problem },
                    None => handshake(error.to_string()),
                });
            }
        };
        if matches!(trust, Believed::Pinned(_)) {
            let chain = stream.get_ref().1.peer_certificates();
            *pin = chain.and_then(|c| c.first()).map(|leaf| fingerprint(leaf));
        }
        Ok(stream)
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(name.to_owned());
    name.map_err(|_| "the name of the server is neither a DNS name nor an IP address".into())
}

fn read(options: &TlsOptions) -> Result<Material, Error> {
    let read = |path: &PathBuf| std::fs::read(path).map_err(|e| wrong(path, e));
    let mut material = Material::default();
    if let Trust::Verify(path) | Trust::Pin(Some(path)) = &options.trust {
        material.authorities = read(path)?;
    }
    if let Some((chain, key)) = &options.identity {
        material.identity = (read(chain)?, read(key)?);
    }
    Ok(material)
}

fn wrong(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::File { path: path.into(), what: what.to_string() }
}

/// The names of the files, or what stands for them in messages.
fn places(options: Option<&TlsOptions>) -> [PathBuf; 3] {
    let mut places =
        ["certificate authorities", "client certificate", "client key"].map(PathBuf::from);
    if let Some(options) = options {
        if let Trust::Verify(path) | Trust::Pin(Some(path)) = &options.trust {
            places[0].clone_from(path);
        }
        if let Some((chain, key)) = &options.identity {
            places[1].clone_from(chain);
            places[2].clone_from(key);
        }
    }
    places
}

fn build(
    believe: Believe,
    material: &Material,
    options: Option<&TlsOptions>,
) -> Result<Current, Error> {
    let [authorities_place, chain_place, key_place] = places(options);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match believe {
        Believe::Pinned if material.authorities.is_empty() => None,
        Believe::Verified | Believe::Pinned => {
            Some(authorities(&authorities_place, &material.authorities, &provider)?)
        }
        Believe::Anybody => None,
    };
    // Takes the place of the one that each connection brings.
    let nobody = Arc::new(Verifier {
        authorities: None,
        provider: provider.clone(),
        also: None,
        trust: Believed::Verified,
        problem: Mutex::new(None),
    });
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(Path::new("TLS"), e))?
        .dangerous()
        .with_custom_certificate_verifier(nobody);
    let (chain, key) = &material.identity;
    let mut config = if chain.is_empty() {
        builder.with_no_client_auth()
    } else {
        let chain = crate::tls::certificates(chain).map_err(|e| wrong(&chain_place, e))?;
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|e| wrong(&key_place, format!("no private key in PEM form: {e}")))?;
        let made = builder.with_client_auth_cert(chain, key);
        made.map_err(|e| wrong(&key_place, format!("certificate and key do not fit: {e}")))?
    };
    // Connections are kept; tickets would only take memory.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let identity = Identity(NEXT.fetch_add(1, Relaxed));
    Ok(Current { identity, config, verifier, provider })
}

fn authorities(
    path: &Path,
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in crate::tls::certificates(pem).map_err(|e| wrong(path, e))? {
        roots.add(certificate).map_err(|e| wrong(path, e))?;
    }
    WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .map_err(|e| wrong(path, e))
}

#[derive(Clone, Copy, Debug)]
enum Believed {
    Verified,
    Pinned(Option<[u8; 32]>),
    Anybody,
}

/// Decides about the certificate of one connection, and remembers why it was refused.
#[derive(Debug)]
struct Verifier {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    also: Option<ServerName<'static>>,
    trust: Believed,
    problem: Mutex<Option<CertificateProblem>>,
}

impl Verifier {
    fn by_authority(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext, UnknownIssuer};
        let Some(authorities) = &self.authorities else { return Err(UnknownIssuer.into()) };
        let verified = authorities.verify_server_cert(leaf, between, name, ocsp, now);
        let other_name = matches!(
            verified,
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
        );
        match &self.also {
            Some(also) if other_name => {
                authorities.verify_server_cert(leaf, between, also, ocsp, now).or(verified)
            }
            _ => verified,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let problem = match self.trust {
            Believed::Anybody => return Ok(ServerCertVerified::assertion()),
            Believed::Verified => match self.by_authority(leaf, between, name, ocsp, now) {
                Ok(verified) => return Ok(verified),
                Err(error) => problem(&error, leaf),
            },
            Believed::Pinned(pin) => {
                let found = fingerprint(leaf);
                let verified = || self.by_authority(leaf, between, name, ocsp, now).is_ok();
                match pin {
                    Some(pinned) if pinned != found && !verified() => {
                        CertificateProblem::Changed { pinned, found }
                    }
                    _ => return Ok(ServerCertVerified::assertion()),
                }
            }
        };
        if let Ok(mut slot) = self.problem.lock() {
            *slot = Some(problem);
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, certificate);
    <[u8; 32]>::try_from(digest.as_ref()).unwrap_or_default()
}

fn problem(error: &rustls::Error, leaf: &CertificateDer<'_>) -> CertificateProblem {
    let parsed = webpki::EndEntityCert::try_from(leaf);
    let rustls::Error::InvalidCertificate(error) = error else {
        return CertificateProblem::Other(error.to_string());
    };
    match error {
        // A bad signature is what an authority gives that has the name of one of ours and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let (issuer, subject) = parsed.as_ref().map_or_else(
                |_| Default::default(),
                |leaf| (common_name(leaf.issuer()), common_name(leaf.subject())),
            );
            CertificateProblem::UnknownIssuer { issuer, subject }
        }
        CertificateError::NotValidForName => CertificateProblem::WrongName { names: Vec::new() },
        CertificateError::NotValidForNameContext { presented, .. } => {
            CertificateProblem::WrongName { names: presented.clone() }
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            CertificateProblem::Time(error.to_string())
        }
        _ => CertificateProblem::Other(error.to_string()),
    }
}

/// The common name in a DER-encoded name; for messages alone.
fn common_name(name: &[u8]) -> String {
    /// The object identifier 2.5.4.3 with its tag and length.
    const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
    let at = name.windows(COMMON_NAME.len()).position(|w| w == COMMON_NAME);
    let value = at.and_then(|at| {
        let rest = name.get(at + COMMON_NAME.len()..)?;
        let length = usize::from(*rest.get(1)?);
        rest.get(2..2 + length)
    });
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}
