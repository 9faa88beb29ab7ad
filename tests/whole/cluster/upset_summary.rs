//! A kubelet that is read by its Summary API, because the node's annotation says so.

use super::plugin::vigil;
use super::upset::{NODES, alone_with_ours, answers_again};
use anyhow::ensure;
use stage::cluster::{until, usage};
use std::time::Duration;

const PODS: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/kubevigil-system/pods";

#[test]
fn a_kubelets_summary_is_read_where_asked() {
    let Some((_guard, cluster)) = alone_with_ours("metrics-server reads no summaries") else {
        return;
    };
    let path = "metrics.k8s.io/resource-metrics-path=/stats/summary?only_cpu_and_memory=true";
    cluster.kubectl(&["annotate", "node", "node-1", path]).unwrap();

    until("the right that is missing", Duration::from_secs(60), || {
        let output = vigil(cluster, &["why-missing", "node", "node-1"])?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(said.contains("Permission: ") && said.contains("nodes/stats"), "{said}");
        Ok(())
    })
    .unwrap();

    let role = ["create", "clusterrole", "summaries", "--verb=get", "--resource=nodes/stats"];
    cluster.kubectl(&role).unwrap();
    let account = "--serviceaccount=kubevigil-system:kubevigil";
    let binding = ["create", "clusterrolebinding", "summaries", "--clusterrole=summaries", account];
    cluster.kubectl(&binding).unwrap();
    let began = stage::cluster::load::now();
    // The kubelet remembers for half a minute that we may not.
    until("a reading of the summary", Duration::from_secs(120), || {
        let nodes = usage::of_nodes(&cluster.json(NODES)?)?;
        ensure!(nodes.iter().any(|n| n.timestamp > began && n.cpu > 0.0), "{nodes:?}");
        let figures = usage::of_pods(&cluster.json(PODS)?)?;
        for pod in super::upset::pods(cluster)? {
            let found =
                figures.iter().any(|f| f.name.0 == pod && f.timestamp > began && f.memory > 1e6);
            ensure!(found, "{pod} is not among {figures:?}");
        }
        Ok(())
    })
    .unwrap();

    cluster
        .kubectl(&["annotate", "node", "node-1", "metrics.k8s.io/resource-metrics-path-"])
        .unwrap();
    cluster.kubectl(&["delete", "clusterrolebinding,clusterrole", "summaries"]).unwrap();
    answers_again(cluster, Duration::from_secs(60));
}
