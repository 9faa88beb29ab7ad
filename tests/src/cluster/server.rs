//! Our server as pods of the cluster, from our own image and `deploy/kubevigil.yaml`.
//!
//! `KUBEVIGIL_CLUSTER_SERVER=metrics-server` puts metrics-server in its place: what must hold of ours is tried on
//! the original so, as far as that has it.

use super::metrics_server::MetricsServer;
use super::{Cluster, finish, script, until};
use crate::program::repository;
use anyhow::{Result, ensure};
use std::process::Command;
use std::time::Duration;

/// Whether metrics-server is in our place.
pub fn is_replaced() -> bool {
    std::env::var("KUBEVIGIL_CLUSTER_SERVER").is_ok_and(|v| v == "metrics-server")
}

/// Gives the node our image.
pub(super) fn load(cluster: &Cluster) -> Result<()> {
    if is_replaced() {
        return Ok(());
    }
    let image = finish(Command::new(repository().join("tests/cluster/image")).arg("kubevigil"))?;
    finish(script(&cluster.name).args(["load", image.trim()])).map(|_| ())
}

/// Applies the file and waits until nodes' usage is answered through the API server.
pub(super) fn deploy(cluster: &Cluster) -> Result<()> {
    if is_replaced() {
        let server = MetricsServer::start(cluster)?;
        server.own_the_group()?;
        std::mem::forget(server); // it runs as long as the cluster
    } else {
        let file = repository().join("deploy/kubevigil.yaml");
        cluster.kubectl(&["apply", "-f", &file.to_string_lossy()])?;
        let namespace = ["--namespace", "kubevigil-system"];
        let wait = ["rollout", "status", "deployment/kubevigil", "--timeout=90s"];
        cluster.kubectl(&[&namespace[..], &wait].concat()).map_err(|error| {
            let logs = ["logs", "--selector=app.kubernetes.io/name=kubevigil", "--prefix"];
            let said = cluster.kubectl(&[&namespace[..], &logs].concat());
            error.context(said.unwrap_or_else(|e| format!("{e:#}")))
        })?;
    }
    until("usage of the node", Duration::from_secs(60), || {
        let nodes = cluster.json("/apis/metrics.k8s.io/v1beta1/nodes")?;
        ensure!(nodes["items"].as_array().is_some_and(|n| !n.is_empty()), "no node: {nodes}");
        Ok(())
    })
}

impl Cluster {
    /// GETs a path of our server itself, past the API server, with curl's flags for who is asking; gives status
    /// and body. The certificate is verified by the authority that the APIService names.
    pub fn server(&self, path: &str, flags: &[&str]) -> Result<(u16, String)> {
        let (address, verify) = if is_replaced() {
            ("10.10.0.1:4443".to_string(), vec!["--insecure"])
        } else {
            self.keep_authority()?;
            ("kubevigil.kubevigil-system.svc:7600".to_string(), VERIFIED.to_vec())
        };
        let url = format!("https://{address}{path}");
        let silent = ["curl", "--silent", "--show-error", "--max-time", "10", "--write-out"];
        let words = [&silent[..], &["\n%{http_code}"], &verify[..], flags, &[&url]].concat();
        let resolve = if is_replaced() { Vec::new() } else { self.resolve()? };
        let resolve: Vec<&str> = resolve.iter().map(String::as_str).collect();
        let said = self.exec(&[&words[..], &resolve[..]].concat())?;
        let (body, status) = said.rsplit_once('\n').unwrap_or(("", &said));
        Ok((status.trim().parse()?, body.to_string()))
    }

    /// Writes down the authority that our APIService names.
    fn keep_authority(&self) -> Result<()> {
        self.exec(&[
            "bash",
            "-c",
            "kubectl get apiservice v1beta1.metrics.k8s.io -o 'jsonpath={.spec.caBundle}' | base64 -d >/run/cluster/server-ca.$$ && mv /run/cluster/server-ca.$$ /run/cluster/server-ca.crt",
        ])
        .map(|_| ())
    }

    /// curl's flag that leads the service's name to its address.
    fn resolve(&self) -> Result<Vec<String>> {
        let service = self.json("/api/v1/namespaces/kubevigil-system/services/kubevigil")?;
        let address = service["spec"]["clusterIP"].as_str().unwrap_or_default();
        Ok(vec!["--resolve".into(), format!("kubevigil.kubevigil-system.svc:7600:{address}")])
    }
}

const VERIFIED: [&str; 2] = ["--cacert", "/run/cluster/server-ca.crt"];
