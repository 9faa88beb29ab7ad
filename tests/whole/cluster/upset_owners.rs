//! metrics-server gives way to us, and takes its place again: how long `kubectl top` is without an answer.

use super::upset::{alone_with_ours, answers_again, while_asking};
use anyhow::{Result, ensure};
use stage::cluster::metrics_server::MetricsServer;
use stage::cluster::requests::{Asked, failures};
use stage::cluster::{Cluster, until};
use stage::program::repository;
use std::time::Duration;

#[test]
fn we_take_over_from_metrics_server_and_give_back() {
    let Some((_guard, cluster)) = alone_with_ours("there is nothing to take over") else { return };
    let peer = MetricsServer::start(cluster).unwrap();

    // Back to metrics-server, as the file says it.
    let delete = ["delete", "apiservice", "v1beta1.metrics.k8s.io"];
    cluster.kubectl(&delete).unwrap();
    peer.own_the_group().unwrap();
    owner(cluster, "metrics-server").unwrap();
    answers_again(cluster, Duration::from_secs(30));

    let file = repository().join("deploy/kubevigil.yaml");
    let asked = while_asking(cluster, Duration::from_secs(15), || {
        cluster.kubectl(&["apply", "-f", &file.to_string_lossy()]).unwrap();
    });
    owner(cluster, "kubevigil").unwrap();
    let gap = longest_gap(&asked);
    eprintln!("cluster::upset: taken over with a gap of {:.1} s", gap.as_secs_f64());
    assert!(gap <= Duration::from_secs(30), "{}", failures(&asked));
    assert!(asked.last().is_some_and(|a| a.failure.is_none()), "{}", failures(&asked));
    answers_again(cluster, Duration::from_secs(10));
}

/// Waits until the API server reaches a Service for metrics.k8s.io.
fn owner(cluster: &Cluster, service: &str) -> Result<()> {
    until(service, Duration::from_secs(60), || {
        let path = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io";
        let object = cluster.json(path)?;
        ensure!(object["spec"]["service"]["name"] == service, "{}", object["spec"]);
        let conditions = object["status"]["conditions"].as_array();
        let available = conditions.into_iter().flatten().find(|c| c["type"] == "Available");
        ensure!(available.is_some_and(|c| c["status"] == "True"), "{}", object["status"]);
        Ok(())
    })
}

/// The longest time without an answer.
fn longest_gap(asked: &[Asked]) -> Duration {
    let mut longest = Duration::ZERO;
    let mut began = None;
    for request in asked {
        match request.failure {
            Some(_) => {
                let start = *began.get_or_insert(request.at);
                longest = longest.max(request.done.saturating_duration_since(start));
            }
            None => began = None,
        }
    }
    longest
}
