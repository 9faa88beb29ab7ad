//! metrics-server beside ours, both reading the same kubelet: the same objects, and figures as near as two windows
//! over one load can be.

use anyhow::{Result, ensure};
use stage::cluster::load::{self, Container};
use stage::cluster::metrics_server::MetricsServer;
use stage::cluster::usage::{self, Usage};
use stage::cluster::{self, server, until};
use std::time::Duration;

#[test]
fn metrics_server_beside_us_sees_the_same() {
    let Some((_guard, cluster)) = cluster::share("cluster::peers") else { return };
    if server::is_replaced() {
        return eprintln!("cluster::peers: metrics-server would be compared with itself");
    }
    let namespace = cluster.namespace("peers").unwrap();
    for (number, cpu_milli) in [40, 80].into_iter().enumerate() {
        let containers = [
            Container { name: "one".into(), cpu_milli, memory_mib: 8 },
            Container { name: "two".into(), cpu_milli: cpu_milli / 2, memory_mib: 4 },
        ];
        namespace.apply(&load::pod(&format!("pod-{number}"), &containers)).unwrap();
    }
    let peer = MetricsServer::start(cluster).unwrap();
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", namespace.name);
    let compared = until("both with the same figures", Duration::from_secs(300), || {
        let ours = usage::of_pods(&cluster.json(&path)?)?;
        let theirs = usage::of_pods(&peer.json(&path)?)?;
        ensure!(theirs.len() == 4, "metrics-server lists {}", theirs.len());
        agree(&ours, &theirs)?;
        Ok(ours.len())
    });
    eprintln!("cluster::peers: {} containers compared", compared.unwrap());
}

/// The same names in the same order, within 2 % or 1m and 1 MiB.
fn agree(ours: &[Usage], theirs: &[Usage]) -> Result<()> {
    let names = |list: &[Usage]| list.iter().map(|u| u.name.clone()).collect::<Vec<_>>();
    ensure!(names(ours) == names(theirs), "{ours:?}\n{theirs:?}");
    for (our, their) in ours.iter().zip(theirs) {
        let near = |a: f64, b: f64, least: f64| (a - b).abs() <= (b * 0.02).max(least);
        ensure!(near(our.cpu, their.cpu, 0.001), "{our:?}\n{their:?}");
        ensure!(near(our.memory, their.memory, 1024.0 * 1024.0), "{our:?}\n{their:?}");
    }
    Ok(())
}
