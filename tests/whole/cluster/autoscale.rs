//! Autoscalers: the real controller scales real Deployments up by our numbers, and back.

use anyhow::{Context, Result, ensure};
use stage::cluster::load::{self, Container};
use stage::cluster::{self, Namespace, until};
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
    for pod in namespace.pods("app=busy").unwrap() {
        let name = pod["metadata"]["name"].as_str().unwrap();
        namespace.kubectl(&["exec", name, "--", "touch", "/tmp/rest"]).unwrap();
    }
    replicas(&namespace, "busy", 1);
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
    let name = &namespace.name;
    let answer =
        until(&format!("{wanted} replicas"), Duration::from_secs(120), || -> Result<()> {
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
