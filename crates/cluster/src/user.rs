//! Who asks, told from what came with the request alone: certificates and headers.
//!
//! Never here: a question to the API server; a bearer token is only found. The order and the rules
//! are those of `k8s.io/apiserver/pkg/authentication/authenticatorfactory/delegating.go`:
//! a front proxy's headers, then a client certificate, then a token, then nobody.

use crate::trust::Trust;
use axum::http::{HeaderMap, header};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::collections::BTreeMap;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// `system:anonymous` for nobody in particular.
    pub name: String,
    /// Empty where unknown.
    pub uid: String,
    /// The groups they are in.
    pub groups: Vec<String>,
    /// Whatever else the authenticator said.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Somebody who shows nothing.
    pub fn anonymous() -> User {
        User {
            name: "system:anonymous".into(),
            groups: vec!["system:unauthenticated".into()],
            ..User::default()
        }
    }

    /// With the group of all who were authenticated.
    pub(crate) fn authenticated(mut self) -> User {
        const GROUPS: [&str; 2] = ["system:authenticated", "system:unauthenticated"];
        let has = self.groups.iter().any(|g| GROUPS.contains(&g.as_str()));
        if !has && self.name != "system:anonymous" {
            self.groups.push(GROUPS[0].to_owned());
        }
        self
    }
}

/// What a request shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Who it is.
    User(User),
    /// A token, which only the API server can judge.
    Token(String),
    /// Nothing.
    Nothing,
    /// Something that nobody vouches for; the reason is for the log.
    Refused(String),
}

/// Tells who asks.
pub(crate) fn tell(
    headers: &HeaderMap,
    chain: &[CertificateDer<'_>],
    trust: &Trust,
    now: UnixTime,
) -> Shown {
    let mut refused = None;
    if !chain.is_empty() {
        match by_proxy(headers, chain, trust, now) {
            Ok(Some(user)) => return Shown::User(user.authenticated()),
            Ok(None) => {}
            Err(why) => refused = Some(format!("as a front proxy: {why}")),
        }
        match by_certificate(chain, trust, now) {
            Ok(Some(user)) => return Shown::User(user.authenticated()),
            Ok(None) => {}
            Err(why) => {
                let before = refused.map(|b| format!("{b}; ")).unwrap_or_default();
                refused = Some(format!("{before}as a client: {why}"));
            }
        }
    }
    if let Some(token) = bearer(headers) {
        return Shown::Token(token.to_owned());
    }
    match refused {
        Some(why) => Shown::Refused(format!("nobody vouches for the client's certificate: {why}")),
        None => Shown::Nothing,
    }
}

fn by_proxy(
    headers: &HeaderMap,
    chain: &[CertificateDer<'_>],
    trust: &Trust,
    now: UnixTime,
) -> Result<Option<User>, String> {
    if trust.proxy_authorities.is_empty() {
        return Ok(None);
    }
    verify(chain, &trust.proxy_authorities, now)?;
    let name = subject(&chain[0])?.0;
    if !trust.allowed_names.is_empty() && !trust.allowed_names.contains(&name) {
        return Err(format!("its common name {name:?} is none of {:?}", trust.allowed_names));
    }
    let all = |names: &[String]| {
        let values = names.iter().flat_map(|n| headers.get_all(n.as_str()));
        values.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect::<Vec<_>>()
    };
    // Only the first header that holds something counts.
    let first = |names: &[String]| {
        let found = names.iter().filter_map(|n| headers.get(n.as_str())).find(|v| !v.is_empty());
        found.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).unwrap_or_default()
    };
    let name = first(&trust.username_headers);
    if name.is_empty() {
        return Ok(None);
    }
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (header, value) in headers {
        let stripped = trust.extra_prefixes.iter().find_map(|prefix| {
            let prefix = prefix.to_ascii_lowercase();
            header.as_str().strip_prefix(&prefix).map(str::to_owned)
        });
        if let Some(key) = stripped {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            extra.entry(unescape(&key)).or_default().push(value);
        }
    }
    let groups = all(&trust.group_headers);
    Ok(Some(User { name, uid: first(&trust.uid_headers), groups, extra }))
}

fn by_certificate(
    chain: &[CertificateDer<'_>],
    trust: &Trust,
    now: UnixTime,
) -> Result<Option<User>, String> {
    if trust.client_authorities.is_empty() {
        return Ok(None);
    }
    verify(chain, &trust.client_authorities, now)?;
    let (name, groups) = subject(&chain[0])?;
    let user = User { name, groups, ..User::default() };
    Ok((!user.name.is_empty()).then_some(user))
}

fn verify(
    chain: &[CertificateDer<'_>],
    authorities: &[CertificateDer<'static>],
    now: UnixTime,
) -> Result<(), String> {
    let anchors: Result<Vec<_>, _> =
        authorities.iter().map(webpki::anchor_from_trusted_cert).collect();
    let anchors = anchors.map_err(|e| e.to_string())?;
    let own = EndEntityCert::try_from(&chain[0]).map_err(|e| e.to_string())?;
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    let usage = KeyUsage::client_auth();
    own.verify_for_usage(algorithms, &anchors, &chain[1..], now, usage, None, None)
        .map(|_| ())
        .map_err(|e| e.to_string())
}

/// The common name, and the organisations.
fn subject(certificate: &CertificateDer<'_>) -> Result<(String, Vec<String>), String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| e.to_string())?;
    let text = |a: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        a.as_str().map(str::to_owned).unwrap_or_default()
    };
    let subject = parsed.subject();
    // Of several common names the last counts, as in Go.
    let name = subject.iter_common_name().last().map(text).unwrap_or_default();
    Ok((name, subject.iter_organization().map(text).collect()))
}

/// The token of an `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, token) = value.split_once(' ')?;
    let token = token.split(' ').next().unwrap_or_default();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Percent-decodes a key of the extra headers; as it is where that cannot be done.
fn unescape(key: &str) -> String {
    let mut out = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = digits
            .and_then(|d| std::str::from_utf8(d).ok())
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|d| u8::from_str_radix(d, 16).ok());
        match (first, byte) {
            (b'%', None) => return key.to_owned(),
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &after[2..];
            }
            (plain, _) => {
                out.push(*plain);
                rest = after;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| key.to_owned())
}
