//! metrics-server as a peer, beside ours in the same cluster: asked on its own port, since only one server can
//! own the API group.

use super::{Cluster, NODE_ADDRESS, until};
use crate::peer;
use crate::program::repository;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Duration;

const PORT: u16 = 4443;

/// A running metrics-server; stopped when dropped.
pub struct MetricsServer<'a> {
    cluster: &'a Cluster,
}

impl MetricsServer<'_> {
    /// Starts it as its own manifest does and waits until it knows the node. (Ready it is only once a pod runs.)
    pub fn start(cluster: &Cluster) -> Result<MetricsServer<'_>> {
        let program = peer::build("metrics_server")?;
        let words = [
            program.to_str().context("path")?,
            "--kubeconfig=/run/cluster/kubeconfig",
            "--authentication-kubeconfig=/run/cluster/kubeconfig",
            "--authorization-kubeconfig=/run/cluster/kubeconfig",
            "--cert-dir=/run/cluster/metrics-server",
            &format!("--secure-port={PORT}"),
            "--kubelet-certificate-authority=/run/cluster/pki/ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
            "--kubelet-use-node-status-port",
            "--metric-resolution=15s",
        ];
        cluster.run("metrics-server", &words)?;
        let server = MetricsServer { cluster };
        until("metrics-server", Duration::from_secs(90), || {
            let nodes = server.json("/apis/metrics.k8s.io/v1beta1/nodes")?;
            ensure!(nodes["items"].as_array().is_some_and(|n| !n.is_empty()), "no node: {nodes}");
            Ok(())
        })
        .with_context(|| cluster.log("metrics-server"))?;
        Ok(server)
    }

    /// GETs a path as administrator; gives the body of a 200.
    pub fn ask(&self, path: &str) -> Result<String> {
        let address = format!("https://{NODE_ADDRESS}:{PORT}{path}");
        self.cluster.exec(&[
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--insecure",
            "--cert",
            "/run/cluster/pki/admin.crt",
            "--key",
            "/run/cluster/pki/admin.key",
            &address,
        ])
    }

    /// GETs a path as administrator; gives the JSON of a 200.
    pub fn json(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.ask(path)?)?)
    }

    /// Makes it the owner of metrics.k8s.io, as its own manifest does.
    pub fn own_the_group(&self) -> Result<()> {
        let file = repository().join("tests/cluster/metrics-server.yaml");
        self.cluster.kubectl(&["apply", "-f", &file.to_string_lossy()]).map(|_| ())
    }
}

impl Drop for MetricsServer<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.stop("metrics-server") {
            eprintln!("left behind: {error:#}");
        }
    }
}
