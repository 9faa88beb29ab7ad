//! What may go wrong with a cluster, and must not stay wrong: killed servers, drained ones, an API server or a
//! kubelet that is away for a while. Each test has the cluster alone.

use anyhow::{Result, ensure};
use stage::cluster::requests::{Asked, Requests, failures};
use stage::cluster::usage;
use stage::cluster::{self, Cluster, server, until};
use std::sync::RwLockWriteGuard;
use std::time::{Duration, Instant};

pub(super) const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";

/// Answers and failures while `upset` ran, asked ten times a second from before it until `after` it.
pub(super) fn while_asking(cluster: &Cluster, after: Duration, upset: impl FnOnce()) -> Vec<Asked> {
    std::thread::scope(|scope| {
        let requests = Requests::start(scope, cluster, NODES, 10);
        std::thread::sleep(Duration::from_secs(1));
        upset();
        std::thread::sleep(after);
        requests.end().expect("the client ends")
    })
}

/// Our server's pods that are not ending.
pub(super) fn pods(cluster: &Cluster) -> Result<Vec<String>> {
    let list = cluster.json("/api/v1/namespaces/kubevigil-system/pods")?;
    let names = list["items"].as_array().into_iter().flatten();
    let names = names.filter(|p| p["metadata"]["deletionTimestamp"].is_null());
    Ok(names.filter_map(|p| p["metadata"]["name"].as_str().map(Into::into)).collect())
}

/// Waits until all is as it was: pods reach the API server, and both of our servers answer.
pub(super) fn await_both(cluster: &Cluster) {
    // kube-proxy looks for an API server that it lost after 30 to 60 s; until then it refuses connections.
    let service = ["curl", "--silent", "--insecure", "--max-time", "2", "https://10.96.0.1/readyz"];
    until("the API server's service", Duration::from_secs(120), || cluster.exec(&service)).unwrap();
    let ready = ["rollout", "status", "deployment/kubevigil", "--timeout=90s"];
    cluster.kubectl(&[&["--namespace", "kubevigil-system"], &ready[..]].concat()).unwrap();
    answers_again(cluster, Duration::from_secs(30));
}

pub(super) fn answers_again(cluster: &Cluster, limit: Duration) {
    until("the node's usage", limit, || {
        let nodes = usage::of_nodes(&cluster.json(NODES)?)?;
        ensure!(nodes.len() == 1 && nodes[0].cpu > 0.0, "{nodes:?}");
        Ok(())
    })
    .unwrap();
}

type Alone = (RwLockWriteGuard<'static, ()>, &'static Cluster);

/// The cluster for one test alone, and all of it well.
pub(super) fn alone() -> Option<Alone> {
    let (guard, cluster) = cluster::alone("cluster::upset")?;
    await_both(cluster);
    Some((guard, cluster))
}

/// The same for what ours alone can do; says `why` nothing is tried where metrics-server stands in its place.
pub(super) fn alone_with_ours(why: &str) -> Option<Alone> {
    if server::is_replaced() {
        eprintln!("cluster::upset: {why}");
        return None;
    }
    alone()
}

/// Sends SIGKILL to the server of a pod, as the kernel does for want of memory.
fn kill(cluster: &Cluster, pod: &str) {
    let uid = cluster.json(&format!("/api/v1/namespaces/kubevigil-system/pods/{pod}")).unwrap();
    let uid = uid["metadata"]["uid"].as_str().unwrap().to_string();
    // The program sees the pod's uid nowhere; its control group names it.
    let script = "for p in /proc/[0-9]*; do if grep -q \"pod$0\" $p/cgroup 2>/dev/null && \
        [ \"$(tr '\\0' ' ' <$p/cmdline | cut -d' ' -f1,2)\" = '/kubevigil server' ]; then kill -KILL ${p#/proc/}; echo $p; fi; done";
    let killed = cluster.exec(&["bash", "-c", script, &uid]).unwrap();
    assert_eq!(killed.lines().count(), 1, "one server in {pod}: {killed:?}");
}

#[test]
fn a_killed_server_is_missed_for_five_seconds_at_most() {
    let Some((_guard, cluster)) = alone() else { return };
    let victim = pods(cluster).unwrap().remove(0);
    let mut killed = Instant::now();
    let asked = while_asking(cluster, Duration::from_secs(15), || {
        kill(cluster, &victim);
        killed = Instant::now();
    });
    let last = asked.iter().rfind(|a| a.failure.is_some()).map(|a| a.at);
    let gap = last.map_or(Duration::ZERO, |at| at.saturating_duration_since(killed));
    eprintln!("cluster::upset: a killed replica was missed for {:.1} s", gap.as_secs_f64());
    assert!(gap <= Duration::from_secs(5), "{} s; {}", gap.as_secs_f64(), failures(&asked));
    await_both(cluster);
}

#[test]
fn both_servers_killed_answer_again_within_twenty_seconds() {
    let Some((_guard, cluster)) = alone() else { return };
    for pod in pods(cluster).unwrap() {
        kill(cluster, &pod);
    }
    let began = Instant::now();
    std::thread::sleep(Duration::from_millis(500));
    answers_again(cluster, Duration::from_secs(20));
    eprintln!("cluster::upset: both killed, answered after {:.1} s", began.elapsed().as_secs_f64());
    await_both(cluster);
}

#[test]
fn a_drained_replica_fails_no_request() {
    let Some((_guard, cluster)) = alone() else { return };
    let victim = pods(cluster).unwrap().remove(0);
    let asked = while_asking(cluster, Duration::from_secs(12), || {
        // As `kubectl drain` does; the disruption budget has a say.
        let eviction = format!(
            "{{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{{\"name\":\"{victim}\",\"namespace\":\"kubevigil-system\"}}}}"
        );
        let path = format!("/api/v1/namespaces/kubevigil-system/pods/{victim}/eviction");
        let script = format!("printf '%s' '{eviction}' | kubectl create --raw {path} -f -");
        cluster.exec(&["sh", "-c", &script]).unwrap();
    });
    assert!(asked.iter().all(|a| a.failure.is_none()), "{}", failures(&asked));
    assert!(asked.len() > 100, "{} requests", asked.len());
    await_both(cluster);
}

#[test]
fn an_api_server_that_was_away_is_found_again() {
    let Some((_guard, cluster)) = alone() else { return };
    let before = restarts(cluster);
    cluster.stop("apiserver").unwrap();
    std::thread::sleep(Duration::from_secs(30));
    cluster.start_part("apiserver", &[]).unwrap();
    until("the API server", Duration::from_secs(60), || cluster.get("/readyz")).unwrap();
    answers_again(cluster, Duration::from_secs(30));
    // What is new since then is seen, too.
    let namespace = cluster.namespace("since").unwrap();
    namespace
        .kubectl(&[
            "run",
            "new",
            "--image=localhost/busybox:1",
            "--",
            "sh",
            "-c",
            "while :; do sleep 0.1; done",
        ])
        .unwrap();
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods/new", namespace.name);
    until("a new pod's usage", Duration::from_secs(60), || cluster.get(&path)).unwrap();
    assert_eq!(restarts(cluster), before, "our servers went on");
}

#[test]
fn a_kubelet_that_was_away_is_read_again() {
    let Some((_guard, cluster)) = alone() else { return };
    cluster.stop("kubelet").unwrap();
    std::thread::sleep(Duration::from_secs(20));
    cluster.start_part("kubelet", &[]).unwrap();
    let began = stage::cluster::load::now();
    until("a reading after the stop", Duration::from_secs(60), || {
        let nodes = usage::of_nodes(&cluster.json(NODES)?)?;
        ensure!(nodes.iter().any(|n| n.timestamp > began), "{nodes:?}, started at {began}");
        Ok(())
    })
    .unwrap();
    await_both(cluster);
}

#[test]
fn without_aggregator_routing_requests_reach_us_through_the_service() {
    let Some((_guard, cluster)) = alone() else { return };
    cluster.stop("apiserver").unwrap();
    cluster.start_part("apiserver", &["--enable-aggregator-routing=false"]).unwrap();
    until("the API server", Duration::from_secs(60), || cluster.get("/readyz")).unwrap();
    answers_again(cluster, Duration::from_secs(30));
    let top = cluster.kubectl(&["top", "nodes", "--no-headers"]).unwrap();
    assert!(top.starts_with("node-1 "), "{top}");
    cluster.stop("apiserver").unwrap();
    cluster.start_part("apiserver", &[]).unwrap();
    until("the API server", Duration::from_secs(60), || cluster.get("/readyz")).unwrap();
    await_both(cluster);
}

fn restarts(cluster: &Cluster) -> Vec<(String, u64)> {
    let list = cluster.json("/api/v1/namespaces/kubevigil-system/pods").unwrap();
    let mut counts: Vec<_> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_string();
            (name, pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0))
        })
        .collect();
    counts.sort();
    counts
}
