//! That the cluster itself is one: pods, services, names, logs, and that nothing of it stays behind.

use anyhow::{Context, Result, ensure};
use stage::cluster::{self, until};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn pods_reach_each_other_through_a_service_and_by_name() {
    let Some((_guard, cluster)) = cluster::share("cluster::world") else { return };
    let namespace = cluster.namespace("world").unwrap();
    namespace
        .apply(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  \
             selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
             terminationGracePeriodSeconds: 0\n      containers:\n      - name: web\n        \
             image: localhost/busybox:1\n        imagePullPolicy: Never\n        \
             command: [sh, -c, \"mkdir /www; hostname > /www/index.html; echo serving; httpd -f -p 8080 -h /www\"]\n\
             ---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
             spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n",
        )
        .unwrap();
    namespace.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).unwrap();
    let pods = namespace.pods("app=web").unwrap();
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    let address = namespace.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
    let address = address.unwrap();

    // From the node and from within a pod; both pods get their turn.
    let ask = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} 80 | tail -n 1");
    let mut answered = Vec::new();
    until("both pods behind the service", Duration::from_secs(20), || {
        answered.push(cluster.exec(&["sh", "-c", &format!("curl -s http://{address}/")])?);
        answered.push(namespace.kubectl(&["exec", name, "--", "sh", "-c", &ask])?);
        for pod in &pods {
            let wanted = pod["metadata"]["name"].as_str().context("name")?;
            ensure!(answered.iter().any(|a| a.trim() == wanted), "{wanted} not in {answered:?}");
        }
        Ok(())
    })
    .unwrap();

    let looked_up = format!("web.{}.svc.cluster.local", namespace.name);
    let found = until("a name", Duration::from_secs(20), || {
        namespace.kubectl(&["exec", name, "--", "nslookup", &looked_up])
    });
    assert!(found.as_ref().unwrap().contains(&address), "{found:?}");
    assert_eq!(namespace.kubectl(&["logs", name, "--tail=1"]).unwrap().trim(), "serving");
}

#[test]
fn a_second_cluster_runs_beside_it_and_leaves_nothing_behind() {
    let Some((_guard, _)) = cluster::share("cluster::world") else { return };
    let name = format!("second-{}", std::process::id());
    let traces = || -> Result<String> {
        let output = Command::new("sh")
            .args(["-c", "ls -d /var/tmp/kubevigil-cluster-*; find /sys/fs/cgroup -maxdepth 2 -name 'kubevigil-cluster-*'; grep kubevigil-cluster /proc/mounts; ps -eo args | grep '[k]ubevigil-cluster-'; true"])
            .stderr(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter(|l| l.contains(&name)).collect::<Vec<_>>().join("\n"))
    };
    let run = |verb: &[&str]| {
        let script = stage::program::repository().join("tests/cluster/cluster");
        let output =
            Command::new(script).args(verb).env("KUBEVIGIL_CLUSTER", &name).output().unwrap();
        assert!(output.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["up"]);
    run(&["up"]); // once more changes nothing
    let nodes = run(&["exec", "kubectl", "get", "nodes", "--no-headers"]);
    assert!(nodes.contains(" Ready "), "{nodes}");
    run(&["exec", "kubectl", "run", "idle", "--image=localhost/busybox:1"]);
    run(&["exec", "kubectl", "wait", "--for=condition=Ready", "pod/idle", "--timeout=60s"]);
    assert!(traces().unwrap().lines().count() >= 3, "{:?}", traces());
    run(&["down"]);
    assert_eq!(traces().unwrap(), "");
    run(&["down"]); // once more finds nothing to do
}
