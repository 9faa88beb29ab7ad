//! Authorities change as administrators change them (old and new trusted, then the new one's certificates, then
//! the old one gone), while somebody asks ten times a second and is answered each time.

use super::upset::{alone, alone_with_ours, await_both, while_asking};
use anyhow::ensure;
use stage::cluster::requests::failures;
use stage::cluster::{Cluster, until, usage};
use std::time::Duration;

/// Makes another authority NAME and a certificate of it. Certificates lie in /run/cluster/pki.
const RENEW: &str = "set -e; cd /run/cluster/pki; key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $key -days 30 -keyout $0-new.key -out $0-new.crt -subj /CN=$0-new
openssl req $key -keyout $1-new.key -out $1-new.csr -subj $2
printf 'subjectAltName=%s\\nextendedKeyUsage=serverAuth,clientAuth\\n' $3 >$1-new.ext
openssl x509 -req -in $1-new.csr -CA $0-new.crt -CAkey $0-new.key -CAcreateserial -days 30 -extfile $1-new.ext -out $1-new.crt";

fn shell(cluster: &Cluster, script: &str, words: &[&str]) {
    cluster.exec(&[&["bash", "-c", script], words].concat()).unwrap();
}

#[test]
fn the_front_proxys_authority_changes_without_a_failed_request() {
    let Some((_guard, cluster)) = alone() else { return };
    let words =
        ["front-proxy-ca", "front-proxy", "/CN=front-proxy-client", "DNS:front-proxy-client"];
    shell(cluster, RENEW, &words);
    let asked = while_asking(cluster, Duration::from_secs(10), || {
        let in_pki =
            |script: &str| shell(cluster, &format!("cd /run/cluster/pki && {script}"), &[]);
        in_pki(
            "cp front-proxy-ca.crt old.crt && cat old.crt front-proxy-ca-new.crt >front-proxy-ca.crt",
        );
        trusted(cluster, 2);
        in_pki(
            "cat front-proxy-new.key >front-proxy.key; cat front-proxy-new.crt >front-proxy.crt",
        );
        std::thread::sleep(Duration::from_secs(25));
        in_pki("cat front-proxy-ca-new.crt >front-proxy-ca.crt");
        std::thread::sleep(Duration::from_secs(3)); // it sees the file
        // The API server adds to what it published and takes nothing away: that is the administrator's part.
        in_pki(
            "new=$(awk '{printf \"%s\\\\n\", $0}' front-proxy-ca-new.crt); \
             kubectl --namespace kube-system patch configmap extension-apiserver-authentication --type=merge \
             --patch \"{\\\"data\\\": {\\\"requestheader-client-ca-file\\\": \\\"$new\\\"}}\"",
        );
        trusted(cluster, 1);
    });
    assert!(asked.iter().all(|a| a.failure.is_none()), "{}", failures(&asked));
    eprintln!("cluster::upset: {} requests while the front proxy's authority changed", asked.len());
}

/// Waits until the API server publishes so many authorities of its front proxy, and our watch had time to see it.
fn trusted(cluster: &Cluster, wanted: usize) {
    until("the front proxy's authorities", Duration::from_secs(90), || {
        let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
        let map = cluster.json(path)?;
        let text = map["data"]["requestheader-client-ca-file"].as_str().unwrap_or_default();
        let found = text.matches("BEGIN CERTIFICATE").count();
        ensure!(found == wanted, "{found} instead of {wanted}");
        Ok(())
    })
    .unwrap();
    std::thread::sleep(Duration::from_secs(3));
}

#[test]
fn the_kubelets_authority_changes_and_it_is_still_read() {
    let Some((_guard, cluster)) = alone_with_ours("metrics-server reads its authority once") else {
        return;
    };
    shell(cluster, RENEW, &["kubelet-ca", "kubelet", "/CN=node-1", "IP:10.10.0.1,DNS:node-1"]);
    let asked = while_asking(cluster, Duration::from_secs(5), || {
        // Pods learn of authorities through the ConfigMap kube-root-ca.crt of their namespace.
        shell(cluster, "cd /run/cluster/pki && cat ca.crt kubelet-ca-new.crt >roots.crt", &[]);
        cluster.stop("controller-manager").unwrap();
        let flag = "--root-ca-file=/run/cluster/pki/roots.crt";
        cluster.start_part("controller-manager", &[flag]).unwrap();
        until("both authorities in pods", Duration::from_secs(60), || {
            let path = "/api/v1/namespaces/kubevigil-system/configmaps/kube-root-ca.crt";
            let map = cluster.json(path)?;
            let text = map["data"]["ca.crt"].as_str().unwrap_or_default();
            ensure!(text.matches("BEGIN CERTIFICATE").count() == 2, "{text}");
            Ok(())
        })
        .unwrap();
        std::thread::sleep(Duration::from_secs(15)); // the kubelet writes it into the pods
        cluster.stop("kubelet").unwrap();
        let files = ["crt", "key"].map(|kind| format!("/run/cluster/pki/kubelet-new.{kind}"));
        let flags = [
            format!("--tls-cert-file={}", files[0]),
            format!("--tls-private-key-file={}", files[1]),
        ];
        cluster.start_part("kubelet", &[&flags[0], &flags[1]]).unwrap();
        let began = stage::cluster::load::now();
        until("a reading from the new certificate", Duration::from_secs(60), || {
            let nodes = usage::of_nodes(&cluster.json(super::upset::NODES)?)?;
            ensure!(nodes.iter().any(|n| n.timestamp > began), "{nodes:?}, started at {began}");
            Ok(())
        })
        .unwrap();
    });
    assert!(asked.iter().all(|a| a.failure.is_none()), "{}", failures(&asked));
    // Back to the certificates that the API server knows for logs and exec.
    cluster.stop("kubelet").unwrap();
    cluster.start_part("kubelet", &[]).unwrap();
    await_both(cluster);
}

#[test]
fn our_own_authority_changes_without_a_failed_request() {
    let Some((_guard, cluster)) = alone_with_ours("metrics-server has none") else { return };
    let authority = || {
        let path = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io";
        cluster.json(path).unwrap()["spec"]["caBundle"].as_str().unwrap_or_default().to_string()
    };
    let before = authority();
    let system = ["--namespace", "kubevigil-system"];
    let asked = while_asking(cluster, Duration::from_secs(45), || {
        // Flags that are for tests alone: the authority is old at once, and everybody has half the overlap to
        // learn of the next.
        let flags =
            ["authority-lifetime=120s", "certificate-lifetime=45s", "certificate-overlap=15s"];
        let added = flags.map(|flag| {
            format!(
                "{{\"op\":\"add\",\"path\":\"/spec/template/spec/containers/0/args/-\",\"value\":\"--{flag}\"}}"
            )
        });
        let patch = format!("[{}]", added.join(","));
        let patch = ["patch", "deployment", "kubevigil", "--type=json", "--patch", &patch];
        cluster.kubectl(&[&system[..], &patch].concat()).unwrap();
        await_both(cluster);
    });
    assert!(asked.iter().all(|a| a.failure.is_none()), "{}", failures(&asked));
    assert_ne!(authority(), before, "the authority was changed meanwhile");
    eprintln!("cluster::upset: {} requests while our own authority changed", asked.len());
    cluster.kubectl(&[&system[..], &["rollout", "undo", "deployment/kubevigil"]].concat()).unwrap();
    await_both(cluster);
}
