//! What finding scrape targets takes: running pods with their addresses, ports and images, services, and
//! the addresses behind them. Watched only where somebody asks: these are whole objects.
//!
//! Of annotations those that begin with `prometheus.io/` are kept, and labels only beside such ones.

use crate::cache::Object;
use crate::labels::{Interner, Labels};
use crate::watch::{Kept, Meta};
use serde::Deserialize;
use std::sync::Arc;

/// The annotations that are kept.
const ANNOTATIONS: &str = "prometheus.io/";
/// The label by which an EndpointSlice names its service.
const SERVICE: &str = "kubernetes.io/service-name";

/// A running pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodAddress {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its address; empty before it has one.
    pub ip: Box<str>,
    /// The node that it runs on.
    pub node: Arc<str>,
    /// Its labels, where it has annotations; none otherwise.
    pub labels: Labels,
    /// Its annotations that begin with `prometheus.io/`.
    pub annotations: Labels,
    /// The TCP ports that its containers declare.
    pub ports: Box<[u16]>,
    /// The image of each container by the container's name.
    pub images: Labels,
}

/// A service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its labels, where it has annotations; none otherwise.
    pub labels: Labels,
    /// Its annotations that begin with `prometheus.io/`.
    pub annotations: Labels,
}

/// Addresses behind a service.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSlice {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its own name.
    pub name: Arc<str>,
    /// The service's name; empty where it belongs to none.
    pub service: Arc<str>,
    /// Addresses, each with the node behind it (empty for none).
    pub addresses: Box<[(Box<str>, Arc<str>)]>,
    /// The TCP ports.
    pub ports: Box<[u16]>,
}

macro_rules! object {
    ($type:ty, $labels:expr) => {
        impl Object for $type {
            fn namespace(&self) -> &Arc<str> {
                &self.namespace
            }

            fn name(&self) -> &Arc<str> {
                &self.name
            }

            fn labels(&self) -> &Labels {
                let labels: fn(&$type) -> &Labels = $labels;
                labels(self)
            }
        }
    };
}

object!(PodAddress, |pod| &pod.labels);
object!(Service, |service| &service.labels);
object!(EndpointSlice, |_| {
    static NONE: std::sync::LazyLock<Labels> = std::sync::LazyLock::new(Labels::default);
    &NONE
});

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodWire {
    metadata: Meta,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: String,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    image: String,
    ports: Vec<ContainerPort>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    container_port: u16,
    protocol: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    #[serde(rename = "podIP")]
    pod_ip: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceWire {
    metadata: Meta,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SliceWire {
    metadata: Meta,
    endpoints: Option<Vec<Endpoint>>,
    ports: Option<Vec<SlicePort>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Endpoint {
    addresses: Vec<String>,
    node_name: Option<String>,
    conditions: Conditions,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct SlicePort {
    port: Option<u16>,
    protocol: Option<String>,
}

/// The annotations that are kept, and the labels where there are any.
fn marked(metadata: Meta, interner: &mut Interner) -> (Labels, Labels) {
    let annotations = metadata.annotations.only(|key| key.starts_with(ANNOTATIONS));
    let labels = if annotations.is_empty() { Labels::default() } else { metadata.labels };
    (interner.share(labels), interner.share(annotations))
}

impl Kept for PodAddress {
    type Wire = PodWire;

    fn keep(wire: PodWire, interner: &mut Interner) -> PodAddress {
        let PodWire { metadata, spec, status } = wire;
        let namespace = interner.share_text(&metadata.namespace);
        let name = metadata.name.as_str().into();
        let (labels, annotations) = marked(metadata, interner);
        let all = || spec.init_containers.iter().chain(&spec.containers);
        let tcp = |p: &&ContainerPort| matches!(&*p.protocol, "" | "TCP");
        let ports = match annotations.is_empty() {
            true => Box::default(),
            false => all().flat_map(|c| &c.ports).filter(tcp).map(|p| p.container_port).collect(),
        };
        let images = Labels::from_pairs(all().map(|c| (c.name.as_str(), c.image.as_str())));
        PodAddress {
            namespace,
            name,
            ip: status.pod_ip.into(),
            node: interner.share_text(&spec.node_name),
            labels,
            annotations,
            ports,
            images: interner.share(images),
        }
    }
}

impl Kept for Service {
    type Wire = ServiceWire;

    fn keep(wire: ServiceWire, interner: &mut Interner) -> Service {
        let namespace = interner.share_text(&wire.metadata.namespace);
        let name = wire.metadata.name.as_str().into();
        let (labels, annotations) = marked(wire.metadata, interner);
        Service { namespace, name, labels, annotations }
    }
}

impl Kept for EndpointSlice {
    type Wire = SliceWire;

    fn keep(wire: SliceWire, interner: &mut Interner) -> EndpointSlice {
        let ready = |e: &Endpoint| e.conditions.ready.unwrap_or(true);
        let mut addresses = Vec::new();
        for endpoint in wire.endpoints.unwrap_or_default().into_iter().filter(ready) {
            let node = interner.share_text(endpoint.node_name.as_deref().unwrap_or(""));
            // The others are the same endpoint again.
            addresses.extend(endpoint.addresses.into_iter().next().map(|a| (a.into(), node)));
        }
        let tcp = |p: &SlicePort| matches!(p.protocol.as_deref(), None | Some("TCP"));
        let ports = wire.ports.unwrap_or_default().into_iter().filter(tcp);
        let service = interner.share_text(wire.metadata.labels.get(SERVICE).unwrap_or(""));
        EndpointSlice {
            namespace: interner.share_text(&wire.metadata.namespace),
            name: wire.metadata.name.into(),
            service,
            addresses: addresses.into(),
            ports: ports.filter_map(|p| p.port).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_scraping_takes_is_kept_and_nothing_else() {
        let pod = json!({
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"},
                "annotations": {"prometheus.io/scrape": "true", "other": "x"}},
            "spec": {"nodeName": "n1", "containers": [{"name": "app", "image": "web:1",
                "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]}]},
            "status": {"podIP": "10.0.0.7"},
        });
        let mut interner = Interner::default();
        let wire: PodWire = serde_json::from_value(pod).expect("reads");
        let mut plain = wire.clone();
        let kept = PodAddress::keep(wire, &mut interner);
        assert_eq!((&*kept.ip, &*kept.node, &*kept.ports), ("10.0.0.7", "n1", &[80][..]));
        assert_eq!(kept.annotations.iter().collect::<Vec<_>>(), [("prometheus.io/scrape", "true")]);
        assert_eq!((kept.labels.get("app"), kept.images.get("app")), (Some("web"), Some("web:1")));
        plain.metadata.annotations = Labels::default();
        let kept = PodAddress::keep(plain, &mut interner);
        assert!(kept.labels.is_empty() && kept.ports.is_empty() && !kept.images.is_empty());

        let slice = json!({
            "metadata": {"name": "web-abc", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
            "endpoints": [
                {"addresses": ["10.0.0.7", "10.0.0.8"], "nodeName": "n1", "conditions": {"ready": true}},
                {"addresses": ["10.0.0.9"], "conditions": {"ready": false}},
                {"addresses": []},
            ],
            "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}, {}],
        });
        let wire = serde_json::from_value(slice).expect("reads");
        let kept = EndpointSlice::keep(wire, &mut interner);
        assert_eq!((&*kept.service, &*kept.ports), ("web", &[80][..]));
        assert_eq!(*kept.addresses, [("10.0.0.7".into(), "n1".into())]);
        let empty: SliceWire =
            serde_json::from_value(json!({"endpoints": null, "ports": null})).expect("reads");
        assert!(EndpointSlice::keep(empty, &mut interner).addresses.is_empty());
    }
}
