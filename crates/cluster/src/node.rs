//! A node, as far as anybody here needs it.

use crate::cache::Object;
use crate::labels::{Interner, Labels};
use crate::quantity;
use crate::watch::{Kept, Meta};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Annotations with one of these beginnings are kept, others (some hold kilobytes) are not.
const ANNOTATIONS: [&str; 3] = ["metrics.k8s.io/", "kubevigil.dev/", "prometheus.io/"];

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Differs where a node was deleted and another took its name.
    pub uid: Box<str>,
    /// Its labels.
    pub labels: Labels,
    /// Those annotations that begin with `metrics.k8s.io/`, `kubevigil.dev/` or `prometheus.io/`.
    pub annotations: Labels,
    /// In the order of the node's status.
    pub addresses: Vec<(AddressType, String)>,
    /// Where its kubelet says it listens; `None` where it says nothing.
    pub kubelet_port: Option<u16>,
    /// Whether its condition `Ready` is true.
    pub ready: bool,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// All that it has.
    pub capacity: Resources,
    /// What pods may take of it.
    pub allocatable: Resources,
}

/// CPU and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_millis: i64,
    /// Bytes.
    pub memory_bytes: i64,
}

/// What kind of address it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressType {
    /// `Hostname`
    Hostname,
    /// `InternalIP`
    InternalIp,
    /// `InternalDNS`
    InternalDns,
    /// `ExternalIP`
    ExternalIp,
    /// `ExternalDNS`
    ExternalDns,
    /// Any other.
    Other(Box<str>),
}

impl AddressType {
    /// From the name that the API and `--kubelet-preferred-address-types` use.
    pub fn from_name(name: &str) -> AddressType {
        match name {
            "Hostname" => AddressType::Hostname,
            "InternalIP" => AddressType::InternalIp,
            "InternalDNS" => AddressType::InternalDns,
            "ExternalIP" => AddressType::ExternalIp,
            "ExternalDNS" => AddressType::ExternalDns,
            other => AddressType::Other(other.into()),
        }
    }

    /// The name that the API uses.
    pub fn name(&self) -> &str {
        match self {
            AddressType::Hostname => "Hostname",
            AddressType::InternalIp => "InternalIP",
            AddressType::InternalDns => "InternalDNS",
            AddressType::ExternalIp => "ExternalIP",
            AddressType::ExternalDns => "ExternalDNS",
            AddressType::Other(name) => name,
        }
    }
}

impl Node {
    /// The address of the first of these types that the node has one of.
    pub fn address(&self, preferred: &[AddressType]) -> Option<&str> {
        let of = |kind: &AddressType| self.addresses.iter().find(|a| a.0 == *kind);
        preferred.iter().find_map(of).map(|a| a.1.as_str())
    }
}

impl Object for Node {
    fn namespace(&self) -> &Arc<str> {
        static NONE: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| Arc::from(""));
        &NONE
    }

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }
}

/// A node as the API server writes it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Wire {
    metadata: Meta,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    addresses: Vec<Address>,
    conditions: Vec<Condition>,
    daemon_endpoints: Endpoints,
    capacity: BTreeMap<String, String>,
    allocatable: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Address {
    r#type: String,
    address: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Condition {
    r#type: String,
    status: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Endpoints {
    kubelet_endpoint: Endpoint,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "Port")]
    port: i32,
}

impl Kept for Node {
    type Wire = Wire;

    fn keep(wire: Wire, interner: &mut Interner) -> Node {
        let Wire { metadata, status } = wire;
        let kept = |key: &str| ANNOTATIONS.iter().any(|a| key.starts_with(a));
        let annotations = metadata.annotations.only(kept);
        let addresses = status.addresses.into_iter();
        let addresses = addresses.map(|a| (AddressType::from_name(&a.r#type), a.address)).collect();
        let port = status.daemon_endpoints.kubelet_endpoint.port;
        let ready = status.conditions.iter().any(|c| c.r#type == "Ready" && c.status == "True");
        Node {
            created_ms: metadata.created_ms(),
            name: metadata.name.into(),
            uid: metadata.uid.into(),
            labels: interner.share(metadata.labels),
            annotations: interner.share(annotations),
            addresses,
            kubelet_port: u16::try_from(port).ok().filter(|p| *p != 0),
            ready,
            capacity: resources(&status.capacity),
            allocatable: resources(&status.allocatable),
        }
    }
}

fn resources(of: &BTreeMap<String, String>) -> Resources {
    Resources {
        cpu_millis: of.get("cpu").and_then(|t| quantity::milli(t)).unwrap_or(0),
        memory_bytes: of.get("memory").and_then(|t| quantity::whole(t)).unwrap_or(0),
    }
}
