//! APIServices: who answers for a group and version of the API.

use crate::cache::Object;
use crate::connection::decode_base64;
use crate::labels::{Interner, Labels};
use crate::watch::{Kept, Meta};
use serde::Deserialize;
use std::sync::Arc;

/// Where APIServices are.
pub(crate) const PATH: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

/// An APIService.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiService {
    /// `v1beta1.metrics.k8s.io`
    pub name: Arc<str>,
    /// The namespace and name of the Service that answers; none where the API server itself does.
    pub service: Option<(String, String)>,
    /// The authorities that the API server verifies that Service's certificate with, in PEM form.
    pub ca_bundle: Vec<u8>,
    /// Whether it verifies nothing.
    pub insecure: bool,
    /// Whether the API server can reach it, and in its words why not.
    pub available: Option<(bool, String)>,
    /// The programs that wrote it, the newest last.
    pub managers: Vec<String>,
}

impl Object for ApiService {
    fn namespace(&self) -> &Arc<str> {
        static NONE: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| Arc::from(""));
        &NONE
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
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    service: Option<Reference>,
    ca_bundle: Option<String>,
    #[serde(rename = "insecureSkipTLSVerify")]
    insecure: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reference {
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

impl Kept for ApiService {
    type Wire = Wire;

    fn keep(wire: Wire, _: &mut Interner) -> ApiService {
        let mut managed = wire.metadata.managed_fields;
        managed.sort_by(|a, b| a.time.cmp(&b.time));
        let available = wire.status.conditions.into_iter().find(|c| c.r#type == "Available");
        ApiService {
            name: wire.metadata.name.into(),
            service: wire.spec.service.map(|s| (s.namespace, s.name)),
            ca_bundle: wire.spec.ca_bundle.and_then(|t| decode_base64(&t)).unwrap_or_default(),
            insecure: wire.spec.insecure,
            available: available
                .map(|c| (c.status == "True", format!("{}: {}", c.reason, c.message))),
            managers: managed
                .into_iter()
                .filter(|m| m.subresource.is_empty())
                .map(|m| m.manager)
                .collect(),
        }
    }
}
