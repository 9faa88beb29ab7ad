//! Autoscalers: the real controller scales real Deployments up by our numbers, and back.

use anyhow::{Context, Result, ensure};
use stage::cluster::load::{self, Container};
use stage::cluster::{self, Namespace, until};
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn by_cpu_from_one_to_three_and_back() {
    let Some((_guard, cluster)) = cluster::share("cluster::autoscale") else { return };
    let namespace = cluster.namespace("scale-cpu").unwrap();
    let container = Container { name: "busy".into(), cpu_milli: 100, memory_mib: 4 };
    namespace.apply(&load::deployment("busy", &container)).unwrap();
    // Half of a request of 50m: a busy replica uses four times as much.
    let metric = "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}";
    namespace.apply(&autoscaler("busy", metric)).unwrap();
    replicas(&namespace, "busy", 3);
    // The autoscaler may still be replacing pods: whatever is there rests.
    let mut rested = BTreeSet::new();
    replicas_while(&namespace, "busy", 1, || rest(&namespace, &mut rested));
}

/// Lets every pod rest that does not yet.
fn rest(namespace: &Namespace, rested: &mut BTreeSet<String>) -> Result<()> {
    for pod in namespace.pods("app=busy")? {
        let name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
        if !rested.contains(name) {
            namespace.kubectl(&["exec", name, "--", "touch", "/tmp/rest"])?;
            rested.insert(name.to_string());
        }
    }
    Ok(())
}

/// An autoscaler between one and three replicas that scales down without delay.
pub fn autoscaler(deployment: &str, metric: &str) -> String {
    format!(
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: {deployment}}}\nspec:\n  \
         scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {deployment}}}\n  minReplicas: 1\n  \
         maxReplicas: 3\n  behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}\n  metrics: [{metric}]\n"
    )
}

/// Waits until a Deployment has so many ready replicas and its autoscaler is content with that.
pub fn replicas(namespace: &Namespace, deployment: &str, wanted: u64) {
    replicas_while(namespace, deployment, wanted, || Ok(()));
}

/// The same, doing something before each look.
fn replicas_while(
    namespace: &Namespace,
    deployment: &str,
    wanted: u64,
    mut meanwhile: impl FnMut() -> Result<()>,
) {
    let name = &namespace.name;
    // Some rounds of the autoscaler's 15 s, each after a reading of ours, on a machine that does much else.
    let limit = Duration::from_secs(240);
    let answer = until(&format!("{wanted} replicas"), limit, || -> Result<()> {
        meanwhile()?;
        let path = format!("/apis/apps/v1/namespaces/{name}/deployments/{deployment}");
        let status = &namespace.cluster.json(&path)?["status"];
        let ready = status["readyReplicas"].as_u64().context("no replica is ready")?;
        ensure!(ready == wanted && status["replicas"] == wanted, "{status}");
        Ok(())
    });
    if let Err(error) = answer {
        let described = namespace.kubectl(&["describe", "hpa", deployment]).unwrap_or_default();
        panic!("{error:#}\n{described}");
    }
}
