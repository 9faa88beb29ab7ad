//! Whom the cluster's API servers vouch for: the ConfigMap `extension-apiserver-authentication`.
//!
//! Follows `k8s.io/apiserver/pkg/server/options/authentication_dynamic_request_header.go`.

use crate::cache::Object;
use crate::labels::{Interner, Labels};
use crate::watch::{Kept, Meta};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The ConfigMap's namespace and name.
pub(crate) const CONFIG_MAP: (&str, &str) = ("kube-system", "extension-apiserver-authentication");

/// Whom to believe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Who is certified by these is who the certificate says.
    pub(crate) client_authorities: Vec<CertificateDer<'static>>,
    /// Who is certified by these may say in headers who somebody else is.
    pub(crate) proxy_authorities: Vec<CertificateDer<'static>>,
    /// The proxies' common names; any where the list is empty.
    pub(crate) allowed_names: Vec<String>,
    pub(crate) username_headers: Vec<String>,
    pub(crate) uid_headers: Vec<String>,
    pub(crate) group_headers: Vec<String>,
    pub(crate) extra_prefixes: Vec<String>,
}

impl Trust {
    /// Reads the ConfigMap's data.
    pub(crate) fn read(data: &BTreeMap<String, String>) -> Result<Trust, String> {
        let certificates = |key: &str| {
            let pem = data.get(key).map_or("", String::as_str);
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
            let found = found.map_err(|e| format!("{key}: not certificates in PEM form: {e}"))?;
            if found.is_empty() && !pem.trim().is_empty() {
                return Err(format!("{key}: no certificate in PEM form"));
            }
            for certificate in &found {
                webpki::anchor_from_trusted_cert(certificate).map_err(|e| format!("{key}: {e}"))?;
            }
            Ok(found)
        };
        let list = |key: &str, default: &[&str]| match data.get(key) {
            Some(text) => serde_json::from_str::<Vec<String>>(text)
                .map_err(|e| format!("{key}: not a list of strings: {e}")),
            None => Ok(default.iter().map(|s| (*s).to_owned()).collect()),
        };
        Ok(Trust {
            client_authorities: certificates("client-ca-file")?,
            proxy_authorities: certificates("requestheader-client-ca-file")?,
            allowed_names: list("requestheader-allowed-names", &[])?,
            username_headers: list("requestheader-username-headers", &["X-Remote-User"])?,
            uid_headers: list("requestheader-uid-headers", &["X-Remote-Uid"])?,
            group_headers: list("requestheader-group-headers", &["X-Remote-Group"])?,
            extra_prefixes: list("requestheader-extra-headers-prefix", &["X-Remote-Extra-"])?,
        })
    }
}

/// A Secret, of which only is kept that it changed: whoever wants to know more asks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Secret {
    namespace: Arc<str>,
    name: Arc<str>,
    version: String,
}

impl Object for Secret {
    fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &Labels::NONE
    }
}

#[derive(Deserialize)]
pub(crate) struct OnlyMeta {
    metadata: Meta,
}

impl Kept for Secret {
    type Wire = OnlyMeta;

    fn keep(OnlyMeta { metadata }: OnlyMeta, _: &mut Interner) -> Secret {
        Secret {
            namespace: metadata.namespace.into(),
            name: metadata.name.into(),
            version: metadata.resource_version,
        }
    }
}

/// A ConfigMap.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ConfigMap {
    namespace: Arc<str>,
    name: Arc<str>,
    pub(crate) data: BTreeMap<String, String>,
}

impl Object for ConfigMap {
    fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &Labels::NONE
    }
}

#[derive(Deserialize)]
pub(crate) struct Wire {
    metadata: Meta,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl Kept for ConfigMap {
    type Wire = Wire;

    fn keep(wire: Wire, _: &mut Interner) -> ConfigMap {
        ConfigMap {
            namespace: wire.metadata.namespace.into(),
            name: wire.metadata.name.into(),
            data: wire.data,
        }
    }
}
