//! A kubelet with a certificate that it signed itself, as kubeadm leaves it: named with the remedy, and read once it
//! is pinned.

use super::plugin::vigil;
use super::upset::{alone_with_ours, await_both};
use anyhow::ensure;
use stage::cluster::{until, usage};
use std::time::Duration;

#[test]
fn a_self_signed_kubelet_is_named_and_can_be_pinned() {
    let Some((_guard, cluster)) = alone_with_ours("metrics-server cannot pin") else { return };
    cluster.stop("kubelet").unwrap();
    cluster.start_part("kubelet", &["--tls-cert-file=", "--tls-private-key-file="]).unwrap();

    until("the reason and the remedy", Duration::from_secs(90), || {
        let output = vigil(cluster, &["why-missing", "node", "node-1"])?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(said.contains("Certificate: "), "{said}");
        ensure!(
            said.contains("serverTLSBootstrap") && said.contains("--kubelet-tls=pin"),
            "{said}"
        );
        Ok(())
    })
    .unwrap();

    let system = ["--namespace", "kubevigil-system"];
    let patch = r#"[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--kubelet-tls=pin"}]"#;
    let patch = ["patch", "deployment", "kubevigil", "--type=json", "--patch", patch];
    cluster.kubectl(&[&system[..], &patch].concat()).unwrap();
    let began = stage::cluster::load::now();
    until("a reading by the pinned certificate", Duration::from_secs(120), || {
        let nodes = usage::of_nodes(&cluster.json(super::upset::NODES)?)?;
        ensure!(nodes.iter().any(|n| n.timestamp > began), "{nodes:?}, started at {began}");
        Ok(())
    })
    .unwrap();

    cluster.kubectl(&[&system[..], &["rollout", "undo", "deployment/kubevigil"]].concat()).unwrap();
    cluster.stop("kubelet").unwrap();
    cluster.start_part("kubelet", &[]).unwrap();
    await_both(cluster);
}
