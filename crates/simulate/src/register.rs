//! Makes the fleet's nodes and pods known to a real API server, so that any reader of core metrics can
//! be run against them.

use crate::Error;
use crate::api_server::{node_labels, node_status};
use crate::fleet::{Fleet, Node, Pod};
use cluster::Cluster;
use serde_json::json;
use std::collections::BTreeSet;

/// Creates namespaces, nodes and pods, and says of each that it is ready or runs; what is there already
/// stays. Gives how many nodes and pods there are then.
///
/// # Errors
/// Where the API server refuses.
pub async fn register(cluster: &Cluster, fleet: &Fleet) -> Result<(usize, usize), Error> {
    let mut namespaces = BTreeSet::new();
    let mut pods = 0;
    for node in fleet.nodes() {
        register_node(cluster, fleet, &node).await?;
        for pod in fleet.pods(node.at) {
            if namespaces.insert(pod.namespace.clone()) {
                let namespace = json!({"metadata": {"name": pod.namespace}});
                create(cluster, "/api/v1/namespaces", &pod.namespace, &namespace).await?;
                let account = json!({"metadata": {"name": "default"}});
                let path = format!("/api/v1/namespaces/{}/serviceaccounts", pod.namespace);
                create(cluster, &path, "default", &account).await?;
            }
            register_pod(cluster, fleet, &node, &pod).await?;
            pods += 1;
        }
    }
    Ok((fleet.shape().nodes, pods))
}

async fn register_node(cluster: &Cluster, fleet: &Fleet, node: &Node) -> Result<(), Error> {
    let labels: serde_json::Map<_, _> =
        node_labels(node).iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
    // Nothing real is to be scheduled onto it.
    let taint = json!({"key": "kubevigil.dev/hollow", "effect": "NoSchedule"});
    let object = json!({
        "metadata": {"name": node.name, "labels": labels},
        "spec": {"taints": [taint]},
    });
    create(cluster, "/api/v1/nodes", &node.name, &object).await?;
    let status = format!("{{\"status\":{}}}", node_status(node, fleet.shape().port));
    patch_status(cluster, &format!("/api/v1/nodes/{}/status", node.name), &node.name, status).await
}

async fn register_pod(
    cluster: &Cluster,
    fleet: &Fleet,
    node: &Node,
    pod: &Pod,
) -> Result<(), Error> {
    let containers: Vec<_> =
        fleet.containers().iter().map(|name| json!({"name": name, "image": "hollow"})).collect();
    let object = json!({
        "metadata": {"name": pod.name, "labels": {"app": pod.app}},
        "spec": {
            "nodeName": node.name,
            "containers": containers,
            "automountServiceAccountToken": false,
            "tolerations": [{"operator": "Exists"}],
        },
    });
    let path = format!("/api/v1/namespaces/{}/pods", pod.namespace);
    create(cluster, &path, &pod.name, &object).await?;
    let status = json!({"status": {
        "phase": "Running",
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }});
    patch_status(cluster, &format!("{path}/{}/status", pod.name), &pod.name, status.to_string())
        .await
}

async fn create(
    cluster: &Cluster,
    path: &str,
    name: &str,
    object: &serde_json::Value,
) -> Result<(), Error> {
    let sent = cluster.send("POST", path, "application/json", object.to_string()).await;
    match sent {
        Ok(_) | Err(cluster::Error::Api { code: 409, .. }) => Ok(()),
        Err(source) => Err(Error::Register { what: format!("{path} {name}"), source }),
    }
}

async fn patch_status(
    cluster: &Cluster,
    path: &str,
    name: &str,
    patch: String,
) -> Result<(), Error> {
    let kind = "application/strategic-merge-patch+json";
    let sent = cluster.send("PATCH", path, kind, patch).await;
    sent.map(|_| ()).map_err(|source| Error::Register { what: name.to_owned(), source })
}
