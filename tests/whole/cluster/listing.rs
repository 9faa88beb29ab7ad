//! metrics-server's own end-to-end list, and what `kubectl` makes of the answers: which containers of a pod are
//! listed, tables, selectors, health and discovery.

use anyhow::{Context, Result, ensure};
use stage::cluster::{self, Namespace, until};
use std::time::Duration;

/// Pods by name, and the containers that must be listed of each.
const PODS: [(&str, &str, &[&str]); 4] = [
    ("plain", "containers: [{name: main, %}]", &["main"]),
    (
        "with-init",
        "initContainers: [{name: before, image: localhost/busybox:1, imagePullPolicy: Never, command: [sleep, '2']}], containers: [{name: main, %}]",
        &["main"],
    ),
    ("with-sidecar", "containers: [{name: main, %}, {name: side, %}]", &["main", "side"]),
    (
        "with-init-sidecar",
        "initContainers: [{name: beside, restartPolicy: Always, %}], containers: [{name: main, %}]",
        &["beside", "main"],
    ),
];

/// A container that does a little.
const CONTAINER: &str = "image: localhost/busybox:1, imagePullPolicy: Never, \
    command: [sh, -c, 'while :; do i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; sleep 0.1; done'], \
    resources: {requests: {cpu: 10m, memory: 16Mi}}";

#[test]
fn every_running_container_is_listed_and_kubectl_understands() {
    let Some((_guard, cluster)) = cluster::share("cluster::listing") else { return };
    let namespace = cluster.namespace("listing").unwrap();
    for (name, containers, _) in PODS {
        let containers = containers.replace('%', CONTAINER);
        namespace
            .apply(&format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{shape: {name}}}}}\n\
                 spec: {{terminationGracePeriodSeconds: 0, {containers}}}\n"
            ))
            .unwrap();
    }
    namespace
        .apply(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: done}\nspec: {restartPolicy: Never, \
             containers: [{name: main, image: 'localhost/busybox:1', imagePullPolicy: Never, command: ['true']}]}\n",
        )
        .unwrap();
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", namespace.name);
    until("the containers of each pod", Duration::from_secs(90), || {
        for (name, _, wanted) in PODS {
            let pod = cluster.json(&format!("{path}/{name}"))?;
            let containers = pod["containers"].as_array().context("no containers")?;
            let mut found: Vec<_> = containers.iter().filter_map(|c| c["name"].as_str()).collect();
            found.sort_unstable();
            ensure!(found == wanted, "{name}: {found:?}");
            ensure!(pod["metadata"]["labels"]["shape"] == name, "{pod}");
        }
        Ok(())
    })
    .unwrap();
    // The other server, which may be asked next, sees each pod a reading later.
    until("what kubectl makes of it", Duration::from_secs(60), || kubectl_understands(&namespace))
        .unwrap();

    let (status, body) = cluster.ask(&format!("{path}/done"), "").unwrap();
    assert_eq!(status, 404, "{body}");
    let (status, body) = cluster.ask(&format!("{path}/never-was"), "").unwrap();
    assert!(status == 404 && body.contains("never-was"), "{status} {body}");
    let empty = cluster.json("/apis/metrics.k8s.io/v1beta1/namespaces/nowhere/pods").unwrap();
    assert_eq!(empty["items"].as_array().map(Vec::len), Some(0), "{empty}");
}

fn kubectl_understands(namespace: &Namespace) -> Result<()> {
    let top = namespace.kubectl(&["top", "pods", "--no-headers", "-l", "shape=with-sidecar"])?;
    ensure!(top.lines().count() == 1 && top.starts_with("with-sidecar "), "{top}");
    let top = namespace.kubectl(&["top", "pods", "--sort-by=memory", "--no-headers"])?;
    ensure!(top.lines().count() == PODS.len(), "{top}");
    let field = ["top", "pods", "--no-headers", "--field-selector=metadata.name=plain"];
    let top = namespace.kubectl(&field)?;
    ensure!(top.lines().count() == 1 && top.starts_with("plain "), "{top}");
    let everywhere = namespace.kubectl(&["top", "pods", "-A", "--no-headers"])?;
    ensure!(everywhere.contains("with-init-sidecar"), "{everywhere}");
    let table = namespace.kubectl(&["get", "pods.metrics.k8s.io"])?;
    let head: Vec<_> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    ensure!(head == ["NAME", "CPU", "MEMORY", "WINDOW"], "{table}");
    let nodes = namespace.kubectl(&["get", "nodes.metrics.k8s.io", "-o", "name"])?;
    ensure!(nodes.trim() == "nodemetrics.metrics.k8s.io/node-1", "{nodes}");
    let yaml = namespace.kubectl(&["get", "pods.metrics.k8s.io", "plain", "-o", "yaml"])?;
    ensure!(yaml.contains("kind: PodMetrics") && yaml.contains("window: "), "{yaml}");
    let resources =
        namespace.kubectl(&["api-resources", "--api-group=metrics.k8s.io", "--no-headers"])?;
    ensure!(resources.lines().count() == 2, "{resources}");
    let explained = namespace.kubectl(&[
        "explain",
        "pods.containers",
        "--api-version=metrics.k8s.io/v1beta1",
    ])?;
    ensure!(explained.contains("usage"), "{explained}");
    Ok(())
}

#[test]
fn health_is_told_check_by_check_and_named_as_metrics_servers() {
    let Some((_guard, cluster)) = cluster::share("cluster::listing") else { return };
    let checks = |path: &str| {
        until(path, Duration::from_secs(60), || {
            let (status, body) = cluster.server(path, &[])?;
            ensure!(status == 200, "{status}: {body}");
            Ok(body)
        })
        .unwrap()
    };
    let ready = checks("/readyz?verbose");
    for check in ["ping", "metric-storage-ready", "metric-informer-sync", "metadata-informer-sync"]
    {
        assert!(ready.contains(&format!("[+]{check} ok\n")), "{check}: {ready}");
    }
    assert!(ready.ends_with("readyz check passed\n"), "{ready}");
    let live = checks("/livez?verbose");
    for check in ["ping", "metric-collection-timely", "metadata-informer-sync"] {
        assert!(live.contains(&format!("[+]{check} ok\n")), "{check}: {live}");
    }
    // Its own metrics are for those who may read them.
    let (status, body) = cluster.server("/metrics", &[]).unwrap();
    assert!(status == 401 || status == 403, "{status}: {body}");
    let admin = ["--cert", "/run/cluster/pki/admin.crt", "--key", "/run/cluster/pki/admin.key"];
    let (status, metrics) = cluster.server("/metrics", &admin).unwrap();
    assert_eq!(status, 200, "{metrics}");
    for name in [
        "metrics_server_kubelet_last_request_time_seconds",
        "metrics_server_kubelet_request_duration_seconds",
        "metrics_server_kubelet_request_total",
        "metrics_server_storage_points",
    ] {
        assert!(metrics.contains(&format!("\n{name}")), "{name} is not in:\n{metrics}");
    }
}
