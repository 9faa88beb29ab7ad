//! Who the listener is: a certificate chain with its key, swapped while the program runs.
//!
//! Clients are asked for a certificate and need not have one. The handshake proves that a client
//! holds the key of the certificate it shows; whether somebody vouches for that certificate is
//! decided by who answers the request, against the authorities of that moment. That is how
//! Kubernetes' API servers do it, and what lets authorities change while connections stay open.

use crate::tls::{Acceptor, Current, certificates};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};

/// The certificates that the client showed, its own first; an extension of each request of a client
/// that showed one. The client holds the key; nothing else about them was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates(pub Arc<[CertificateDer<'static>]>);

/// A certificate and a key that cannot be presented.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot present the certificate: {0}")]
pub struct IdentityError(String);

/// Who the listener is. Clones are one and the same; without a certificate no handshake succeeds.
#[derive(Clone, Default)]
pub struct Identity(Arc<Shared>);

#[derive(Default)]
struct Shared {
    parts: Mutex<Parts>,
    acceptor: Acceptor,
}

#[derive(Default)]
struct Parts {
    /// PEM.
    presented: Option<(Vec<u8>, Vec<u8>)>,
    hints: Vec<DistinguishedName>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}

impl Identity {
    /// Presents this chain from the next handshake on. Connections that are open stay.
    ///
    /// # Errors
    /// Where they are not in PEM form or do not belong together; what was presented before stays.
    pub fn present(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), IdentityError> {
        let mut parts = self.0.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let current = build(chain_pem, key_pem, &parts.hints)?;
        parts.presented = Some((chain_pem.to_owned(), key_pem.to_owned()));
        self.0.acceptor.set(current);
        Ok(())
    }

    /// Tells clients which authorities' certificates are of use, from the next handshake on, so
    /// that they choose the right one and people's browsers do not offer them all.
    ///
    /// # Errors
    /// Where one of them is no certificate.
    pub fn ask_for(&self, authorities: &[CertificateDer<'_>]) -> Result<(), IdentityError> {
        let mut hints: Vec<DistinguishedName> = Vec::new();
        for authority in authorities {
            let anchor = webpki::anchor_from_trusted_cert(authority)
                .map_err(|e| IdentityError(format!("of an authority: {e}")))?;
            let hint = DistinguishedName::in_sequence(&anchor.subject);
            if hints.iter().all(|h| h.as_ref() != hint.as_ref()) {
                hints.push(hint);
            }
        }
        let mut parts = self.0.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((chain, key)) = &parts.presented {
            self.0.acceptor.set(build(chain, key, &hints)?);
        }
        parts.hints = hints;
        Ok(())
    }

    /// Whether there is a certificate to present.
    pub fn is_ready(&self) -> bool {
        let parts = self.0.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.presented.is_some()
    }

    pub(crate) fn acceptor(&self) -> Acceptor {
        self.0.acceptor.clone()
    }
}

fn build(chain: &[u8], key: &[u8], hints: &[DistinguishedName]) -> Result<Current, IdentityError> {
    let chain = certificates(chain).map_err(IdentityError)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|e| IdentityError(format!("no private key in PEM form: {e}")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Asks { hints: hints.to_vec(), provider: provider.clone() };
    let wrong = |e: rustls::Error| IdentityError(e.to_string());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(wrong)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain, key)
        .map_err(wrong)?;
    config.alpn_protocols = match cfg!(feature = "http2") {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(Current { config: Arc::new(config), allowed_sans: Vec::new() })
}

/// Asks for a certificate and takes any whose key the client holds.
#[derive(Debug)]
struct Asks {
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Asks {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
