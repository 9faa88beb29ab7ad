//! The API server's objects, read into what is shown of them.

use anyhow::{Context, bail};
use cluster::{Cluster, Error, Selector, escape, quantity};
use serde_json::Value;
use std::collections::BTreeMap;

/// CPU in thousandths of a core and memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Thousandths of a core.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.memory = self.memory.saturating_add(other.memory);
    }
}

impl Amount {
    /// Of `{"cpu": "100m", "memory": "1Gi"}`, with what it names.
    fn read(value: &Value) -> (Amount, [bool; 2]) {
        let text = |name: &str| value[name].as_str();
        let cpu = text("cpu").and_then(quantity::milli);
        let memory = text("memory").and_then(quantity::whole);
        let amount = Amount { cpu: cpu.unwrap_or(0), memory: memory.unwrap_or(0) };
        (amount, [cpu.is_some(), memory.is_some()])
    }
}

/// A container: what it uses, asked for and may take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// `None` where there is no figure.
    pub usage: Option<Amount>,
    /// What it asked for; zero where it did not.
    pub requests: Amount,
    /// What it may take.
    pub limits: Amount,
    /// Whether CPU and memory are limited.
    pub limited: [bool; 2],
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where it runs; empty where nowhere.
    pub node: String,
    /// Whether it is over.
    pub over: bool,
    /// `Deployment/web`, `DaemonSet/agent`, `Pod/web` for one on its own.
    pub workload: String,
    /// Its containers.
    pub containers: Vec<Container>,
}

impl Pod {
    fn read(object: &Value) -> Pod {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (metadata, spec) = (&object["metadata"], &object["spec"]);
        let read = |c: &Value| {
            let (requests, _) = Amount::read(&c["resources"]["requests"]);
            let (limits, limited) = Amount::read(&c["resources"]["limits"]);
            Container { name: text(&c["name"]), usage: None, requests, limits, limited }
        };
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        // Init containers that go on running count as the others do.
        let stays = |c: &&Value| c["restartPolicy"] == "Always";
        let beside: Vec<_> = list(&spec["initContainers"]).iter().filter(stays).map(read).collect();
        let containers = list(&spec["containers"]).iter().map(read).chain(beside).collect();
        let phase = object["status"]["phase"].as_str().unwrap_or_default();
        Pod {
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
            node: text(&spec["nodeName"]),
            over: matches!(phase, "Succeeded" | "Failed"),
            workload: workload(metadata),
            containers,
        }
    }
}

/// What a pod is a part of: of a ReplicaSet of a Deployment the Deployment.
fn workload(metadata: &Value) -> String {
    let owners = metadata["ownerReferences"].as_array();
    let owner = owners.and_then(|o| o.iter().find(|o| o["controller"] == true));
    let Some(owner) = owner else {
        return format!("Pod/{}", metadata["name"].as_str().unwrap_or_default());
    };
    let (kind, name) = (owner["kind"].as_str().unwrap_or_default(), owner["name"].as_str());
    let name = name.unwrap_or_default();
    let hash = metadata["labels"]["pod-template-hash"].as_str().unwrap_or_default();
    match name.strip_suffix(hash).and_then(|n| n.strip_suffix('-')) {
        Some(deployment) if kind == "ReplicaSet" && !hash.is_empty() => {
            format!("Deployment/{deployment}")
        }
        _ => format!("{kind}/{name}"),
    }
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// `None` where there is no figure.
    pub usage: Option<Amount>,
    /// What pods may take.
    pub allocatable: Amount,
}

/// Which of the objects.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `None`: all.
    pub namespace: Option<String>,
    /// Labels.
    pub selector: String,
    /// One name.
    pub name: Option<String>,
}

impl Wanted {
    fn path(&self, group: &str, resource: &str) -> anyhow::Result<String> {
        Selector::parse(&self.selector).context("--selector")?;
        let namespace = self.namespace.as_ref().filter(|_| resource == "pods");
        let namespace = namespace.map(|n| format!("namespaces/{}/", escape(n)));
        let mut path = format!("{group}/{}{resource}?", namespace.unwrap_or_default());
        if !self.selector.is_empty() {
            path += &format!("labelSelector={}&", escape(&self.selector));
        }
        if let Some(name) = &self.name {
            path += &format!("fieldSelector=metadata.name%3D{}&", escape(name));
        }
        Ok(path)
    }

    /// All items, page by page.
    async fn list(&self, cluster: &Cluster, group: &str, kind: &str) -> anyhow::Result<Vec<Value>> {
        let path = self.path(group, kind)?;
        let (mut items, mut next) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}limit=500&continue={}", escape(&next));
            let mut page = cluster.get(&page).await?;
            items.append(page["items"].as_array_mut().unwrap_or(&mut Vec::new()));
            next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            if next.is_empty() {
                return Ok(items);
            }
        }
    }

    /// Pods that are not over, without their usage.
    pub async fn pod_objects(&self, cluster: &Cluster) -> anyhow::Result<Vec<Pod>> {
        let objects = self.list(cluster, "/api/v1", "pods").await?;
        Ok(objects.iter().map(Pod::read).filter(|p| !p.over).collect())
    }

    /// Pods with their usage.
    pub async fn pods(&self, cluster: &Cluster) -> anyhow::Result<Vec<Pod>> {
        let mut pods = self.pod_objects(cluster).await?;
        let metrics = self.metrics(cluster, "pods").await?;
        let mut usage: BTreeMap<(&str, &str), &Value> = BTreeMap::new();
        for item in &metrics {
            let part = |name: &str| item["metadata"][name].as_str().unwrap_or_default();
            usage.insert((part("namespace"), part("name")), item);
        }
        for pod in &mut pods {
            let Some(item) = usage.get(&(pod.namespace.as_str(), pod.name.as_str())) else {
                continue;
            };
            for container in &mut pod.containers {
                let list = item["containers"].as_array();
                let of = list.and_then(|l| l.iter().find(|c| c["name"] == container.name.as_str()));
                container.usage = of.map(|c| Amount::read(&c["usage"]).0);
            }
        }
        Ok(pods)
    }

    /// Nodes with their usage.
    pub async fn nodes(&self, cluster: &Cluster) -> anyhow::Result<Vec<Node>> {
        let objects = self.list(cluster, "/api/v1", "nodes").await?;
        let metrics = self.metrics(cluster, "nodes").await?;
        let node = |object: &Value| {
            let name = &object["metadata"]["name"];
            let of = metrics.iter().find(|m| m["metadata"]["name"] == *name);
            Node {
                name: name.as_str().unwrap_or_default().to_owned(),
                usage: of.map(|m| Amount::read(&m["usage"]).0),
                allocatable: Amount::read(&object["status"]["allocatable"]).0,
            }
        };
        Ok(objects.iter().map(node).collect())
    }

    async fn metrics(&self, cluster: &Cluster, kind: &str) -> anyhow::Result<Vec<Value>> {
        let path = self.path("/apis/metrics.k8s.io/v1beta1", kind)?;
        match cluster.get(&path).await {
            Ok(mut list) => {
                Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
            }
            Err(Error::Api { code: 404 | 503, why, .. }) => bail!(
                "nobody answers for metrics.k8s.io: {why}. Is Kubevigil installed \
                 (kubectl get apiservice v1beta1.metrics.k8s.io), and are its pods ready?"
            ),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn workloads_by_their_pods() {
        let owned = |kind: &str, name: &str, hash: &str| {
            workload(&json!({
                "name": "p", "labels": {"pod-template-hash": hash},
                "ownerReferences": [{"kind": "X", "name": "y"}, {"kind": kind, "name": name, "controller": true}],
            }))
        };
        assert_eq!(owned("ReplicaSet", "web-5d9f", "5d9f"), "Deployment/web");
        assert_eq!(owned("ReplicaSet", "web-5d9f", "other"), "ReplicaSet/web-5d9f");
        assert_eq!(owned("ReplicaSet", "web", ""), "ReplicaSet/web");
        assert_eq!(owned("DaemonSet", "agent", ""), "DaemonSet/agent");
        assert_eq!(workload(&json!({"name": "p"})), "Pod/p");
    }

    #[test]
    fn a_pod_as_it_is_written() {
        let pod = Pod::read(&json!({
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {"nodeName": "x", "containers": [{"name": "a", "resources": {
                "requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}}],
                "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]},
            "status": {"phase": "Running"},
        }));
        assert_eq!(pod.containers.len(), 2);
        let a = &pod.containers[0];
        assert_eq!((a.requests, a.limited), (Amount { cpu: 100, memory: 64 << 20 }, [false, true]));
        assert_eq!((pod.over, pod.workload.as_str()), (false, "Pod/p"));
    }
}
