//! All kubelets behind one listener: which node is asked is said by the address in the request.

use crate::fleet::{Fault, Fleet, Node};
use crate::{Error, usage};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{Identity, Options, Server};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many addresses a certificate names; with more nodes it would be larger than their answers.
const NAMED_MAX: usize = 500;
/// How long a slow node takes.
const SLOW: Duration = Duration::from_secs(30);

/// The certificate of all kubelets and the authority that signed it, as PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The authority.
    pub authority: String,
    chain: String,
    key: String,
}

impl Certificate {
    /// Makes one that names the addresses of the first 500 nodes.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn make(fleet: &Fleet) -> Result<Certificate, Error> {
        use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "hollow-kubelets");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "system:node:hollow");
        let named = fleet.nodes().take(NAMED_MAX);
        params.subject_alt_names =
            named.map(|n| SanType::IpAddress(IpAddr::V4(n.address))).collect();
        let leaf = params.signed_by(&key, &issuer)?;
        Ok(Certificate { authority: signed.pem(), chain: leaf.pem(), key: key.serialize_pem() })
    }
}

/// Listens on every address of the fleet; serve the server with the router.
///
/// # Errors
/// Where it cannot listen.
pub async fn kubelets(
    fleet: Arc<Fleet>,
    certificate: &Certificate,
) -> Result<(Server, Router), Error> {
    let identity = Identity::default();
    let presented = identity.present(certificate.chain.as_bytes(), certificate.key.as_bytes());
    presented.map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
    let shape = fleet.shape();
    // One address alone, or all of the machine: no other way leads to thousands at once.
    let host = if shape.nodes == 1 { shape.first_address } else { Ipv4Addr::UNSPECIFIED };
    let options = Options {
        listen: format!("{host}:{}", shape.port),
        identity: Some(identity),
        insecure: true,
        max_connections: 4 * shape.nodes + 64,
        ..Options::default()
    };
    let server = Server::bind(options).await?;
    let router = Router::new()
        .route("/metrics/resource", get(metrics))
        .route("/healthz", get("ok"))
        .with_state(fleet);
    Ok((server, router))
}

async fn metrics(State(fleet): State<Arc<Fleet>>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(node) = asked(&fleet, &uri, &headers) else {
        return (StatusCode::NOT_FOUND, "no node has this address\n").into_response();
    };
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let say = || usage::exposition(&fleet, node.at, now_ms);
    match fleet.fault(node.at) {
        Fault::None | Fault::Partial | Fault::Late => text(say()),
        Fault::Slow => {
            tokio::time::sleep(SLOW).await;
            text(say())
        }
        Fault::Broken(kind) => broken(kind, say()),
    }
}

/// HTTP/2 has the address in the target, HTTP/1.1 in the `Host` header.
fn asked(fleet: &Fleet, uri: &Uri, headers: &HeaderMap) -> Option<Node> {
    let header = || headers.get(header::HOST)?.to_str().ok()?.parse::<Authority>().ok();
    let authority = uri.authority().cloned().or_else(header)?;
    fleet.at(authority.host().parse().ok()?)
}

fn text(body: impl Into<Body>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// The ways in which a kubelet's answer can be none.
fn broken(kind: usize, whole: String) -> Response {
    match kind % 5 {
        0 => (StatusCode::INTERNAL_SERVER_ERROR, "cannot read the cgroups\n").into_response(),
        1 => {
            // Cut within a line.
            let half = whole.len() / 2;
            let end = (half..whole.len()).find(|at| !whole[..*at].ends_with('\n')).unwrap_or(half);
            text(whole[..end].to_owned())
        }
        2 => text("<html><body>Sign in</body></html>\n"),
        3 => text(Body::new(Endless)),
        _ => text(whole.replace("} ", "} -").replace("bytes ", "bytes -")),
    }
}

/// Comments without end.
struct Endless;

impl axum::body::HttpBody for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let line = Bytes::from_static(&[b'#'; 16 << 10]);
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(line))))
    }
}
