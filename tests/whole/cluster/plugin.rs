//! `kubectl vigil` as its user runs it, with the user's own kubeconfig, through the aggregator.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stage::cluster::load::{self, Container};
use stage::cluster::{self, Cluster, Namespace, server, until};
use stage::program::built;
use std::process::Output;
use std::time::Duration;

/// Runs the plugin in there.
pub(super) fn vigil(cluster: &Cluster, words: &[&str]) -> Result<Output> {
    let program = built("kubectl-vigil");
    let program = program.to_str().context("a path in UTF-8")?;
    cluster.command(&[&[program], words].concat()).output().context("kubectl vigil")
}

/// What it printed; an error where it failed.
fn printed(namespace: &Namespace, words: &[&str]) -> Result<String> {
    let words = [words, &["--namespace", &namespace.name]].concat();
    let output = vigil(namespace.cluster, &words)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words:?}: {}: {said}{complaint}", output.status);
    Ok(said)
}

fn json(namespace: &Namespace, words: &[&str]) -> Result<Vec<Value>> {
    let said = printed(namespace, &[words, &["-o", "json"]].concat())?;
    serde_json::from_str(&said).with_context(|| said)
}

#[test]
fn usage_stands_beside_requests_and_limits_and_advice_beside_both() {
    let Some((_guard, cluster)) = cluster::share("cluster::plugin") else { return };
    if server::is_replaced() {
        return eprintln!("cluster::plugin: metrics-server has none");
    }
    let namespace = cluster.namespace("plugin").unwrap();
    let container = Container { name: "app".into(), cpu_milli: 80, memory_mib: 8 };
    namespace.apply(&load::deployment("web", &container)).unwrap();

    // Usage comes up to the limit, of which a half is asked for. Both servers read the kubelet by themselves, and
    // either may answer: what one of them has seen, the other sees a reading later.
    let soon = Duration::from_secs(90);
    let pod = until("usage of the pod", soon, || {
        let pods = json(&namespace, &["top", "pods"])?;
        ensure!(pods.len() == 1, "{pods:?}");
        let cpu = pods[0]["cpuMillicores"].as_i64().context("no usage")?;
        ensure!((70..=90).contains(&cpu), "{pods:?}");
        Ok(pods[0].clone())
    })
    .unwrap();
    assert_eq!(
        (&pod["cpuRequestMillicores"], &pod["cpuLimitMillicores"]),
        (&40.into(), &80.into())
    );
    assert_eq!(pod["memoryRequestBytes"], 16 << 20);
    let of = |part: &str| pod[part].as_i64().unwrap();
    assert_eq!(of("cpuPercentOfLimit"), of("cpuMillicores") * 100 / 80);
    let name = pod["name"].as_str().unwrap();
    assert_eq!(pod["node"], "node-1");

    until("the pod in every other form", soon, || {
        let containers = json(&namespace, &["top", "containers", "app"])?;
        let container = containers.first().context("no container")?;
        ensure!(container["pod"] == pod["name"] && container["name"] == "app", "{container}");
        let workloads = json(&namespace, &["top", "workloads"])?;
        let workload = workloads.first().context("no workload")?;
        ensure!(workload["name"] == "Deployment/web" && workload["pods"] == 1, "{workload}");
        let nodes = json(&namespace, &["top", "nodes"])?;
        let node = nodes.first().context("no node")?;
        ensure!(node["cpuRequestedMillicores"].as_i64().is_some_and(|c| c >= 40), "{node}");
        ensure!(node["memoryPercentOfAllocatable"].is_i64(), "{node}");
        let table = printed(&namespace, &["top", "pods", "-l", "app=web"])?;
        ensure!(table.starts_with("NAME ") && table.contains(name), "{table}");
        let why = printed(&namespace, &["why-missing", "pod", name])?;
        ensure!(why.starts_with("Present: "), "{why}");
        Ok(())
    })
    .unwrap();
    let none = printed(&namespace, &["top", "pods", "-l", "app=other"]).unwrap();
    assert_eq!(none, "");

    let absent = vigil(cluster, &["why-missing", "pod", "nowhere", "-n", &namespace.name]).unwrap();
    assert_eq!(absent.status.code(), Some(2));
    let said = String::from_utf8_lossy(&absent.stdout);
    assert!(said.contains(&format!("There is no pod {}/nowhere.", namespace.name)), "{said}");

    let advice = until("an estimate", soon, || {
        let advice = json(&namespace, &["advise", "deployment/web"])?;
        ensure!(advice[0]["cpuP95Millicores"].as_i64().is_some_and(|c| c > 60), "{advice:?}");
        Ok(advice)
    })
    .unwrap();
    let advice = &advice[0];
    assert_eq!(advice["cpuRequestMillicores"], 40);
    // p95 and 15 %: more than what is asked for.
    assert!(advice["cpuRequestAdviceMillicores"].as_i64().unwrap() > 70, "{advice}");
    assert_eq!(advice["confidence"], "low");
}

#[test]
fn an_autoscaler_without_a_metric_is_explained() {
    let Some((_guard, cluster)) = cluster::share("cluster::plugin") else { return };
    if server::is_replaced() {
        return eprintln!("cluster::plugin: metrics-server has none");
    }
    let namespace = cluster.namespace("plugin").unwrap();
    namespace
        .apply(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      terminationGracePeriodSeconds: 0\n      containers: [{name: app, image: 'localhost/busybox:1', imagePullPolicy: Never}]\n",
        )
        .unwrap();
    namespace.kubectl(&["autoscale", "deployment", "web", "--cpu=50%", "--max=3"]).unwrap();
    until("what the autoscaler misses", Duration::from_secs(90), || {
        let words = ["why-missing", "hpa", "web", "-n", &namespace.name];
        let output = vigil(cluster, &words)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.code() == Some(2), "{}: {said}", output.status);
        ensure!(said.contains("ScalingActive: FailedGetResourceMetric"), "{said}");
        ensure!(said.contains("NoRequest: container \"app\""), "{said}");
        Ok(())
    })
    .unwrap();
}
