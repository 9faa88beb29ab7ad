//! Who may read: the API server's front proxy speaks for others, nobody else does; rights are the cluster's.

use stage::cluster::{self, Cluster, until};
use std::time::Duration;

const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";

#[test]
fn without_rights_it_is_refused_through_the_aggregator_and_directly() {
    let Some((_guard, cluster)) = cluster::share("cluster::access") else { return };
    let namespace = cluster.namespace("access").unwrap();
    for account in ["viewer", "nobody"] {
        namespace.kubectl(&["create", "serviceaccount", account]).unwrap();
    }
    let viewer = format!("system:serviceaccount:{}:viewer", namespace.name);
    let nobody = format!("system:serviceaccount:{}:nobody", namespace.name);
    let role = format!("--serviceaccount={}:viewer", namespace.name);
    namespace.kubectl(&["create", "rolebinding", "view", "--clusterrole=view", &role]).unwrap();

    // `view` holds the reading of pods' usage in this namespace, not that of nodes, nor elsewhere.
    let own = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", namespace.name);
    let other = "/apis/metrics.k8s.io/v1beta1/namespaces/kube-system/pods";
    let expected = [
        (&viewer, own.as_str(), 200),
        (&viewer, other, 403),
        (&viewer, NODES, 403),
        (&nobody, &own, 403),
        (&nobody, NODES, 403),
    ];
    for (user, path, wanted) in expected {
        let through = until("the role to be known", Duration::from_secs(20), || {
            let (status, body) = cluster.ask(path, &format!("Impersonate-User: {user}\r\n"))?;
            anyhow::ensure!(status == wanted, "{user} {path}: {status}: {body}");
            Ok(())
        });
        through.unwrap();
        let account = user.rsplit(':').next().unwrap();
        let token = namespace.kubectl(&["create", "token", account]).unwrap();
        let bearer = format!("Authorization: Bearer {}", token.trim());
        let (status, body) = cluster.server(path, &["--header", &bearer]).unwrap();
        assert_eq!(status, wanted, "{user} {path} directly: {body}");
    }
    let (status, body) = cluster.server(NODES, &["--header", "Authorization: Bearer x"]).unwrap();
    assert_eq!(status, 401, "{body}");

    // PromQL is for those who may read of the whole cluster; /api/ alone is open to every account.
    let query = "/api/v1/query?query=up";
    for account in ["viewer", "nobody"] {
        let token = namespace.kubectl(&["create", "token", account]).unwrap();
        let bearer = format!("Authorization: Bearer {}", token.trim());
        let (status, body) = cluster.server(query, &["--header", &bearer]).unwrap();
        assert!(status == 403 && body.contains("queries"), "{account}: {status}: {body}");
    }
    let binding = format!("view-{}", namespace.name);
    let role = format!("--serviceaccount={}:nobody", namespace.name);
    cluster
        .kubectl(&["create", "clusterrolebinding", &binding, "--clusterrole=view", &role])
        .unwrap();
    let token = namespace.kubectl(&["create", "token", "nobody"]).unwrap();
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let asked = until("the role to be known", Duration::from_secs(30), || {
        let (status, body) = cluster.server(query, &["--header", &bearer])?;
        anyhow::ensure!(status == 200 && body.contains("\"kubelet\""), "{status}: {body}");
        Ok(())
    });
    cluster.kubectl(&["delete", "clusterrolebinding", &binding]).unwrap();
    asked.unwrap();
}

#[test]
fn names_in_headers_are_believed_from_the_front_proxy_alone() {
    let Some((_guard, cluster)) = cluster::share("cluster::access") else { return };
    let forged = ["--header", "X-Remote-User: admin", "--header", "X-Remote-Group: system:masters"];
    let ask = |certificate: &str, headers: &[&str]| {
        let certificate = certificate_flags(certificate);
        let flags: Vec<&str> =
            certificate.iter().map(String::as_str).chain(headers.iter().copied()).collect();
        cluster.server(NODES, &flags).unwrap()
    };
    make_certificate(cluster, "forger", "ca", "/CN=forger");
    make_certificate(cluster, "not-allowed", "front-proxy-ca", "/CN=not-allowed");
    make_certificate(cluster, "stranger", "stranger-ca", "/CN=front-proxy-client");

    let (status, body) = ask("", &forged);
    assert!(status == 401 || status == 403, "no certificate: {status}: {body}");
    let (status, body) = ask("forger", &forged);
    assert_eq!(status, 403, "a user's certificate: {body}");
    assert!(body.contains("forger"), "the user of the certificate is named: {body}");
    let (status, body) = ask("not-allowed", &forged);
    assert!(status == 401 || status == 403, "a name that is not allowed: {status}: {body}");
    // Another authority's is refused in the handshake or afterwards.
    if let Ok((status, body)) = cluster.server(
        NODES,
        &[
            &certificate_flags("stranger").iter().map(String::as_str).collect::<Vec<_>>()[..],
            &forged,
        ]
        .concat(),
    ) {
        assert!(status == 401 || status == 403, "a stranger: {status}: {body}");
    }

    // And the front proxy itself, so that the refusals mean something.
    let (status, body) = ask("front-proxy", &forged);
    assert_eq!(status, 200, "{body}");
    let (status, body) = ask("front-proxy", &["--header", "X-Remote-User: nobody"]);
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("nobody"), "{body}");
}

fn certificate_flags(name: &str) -> Vec<String> {
    if name.is_empty() {
        return Vec::new();
    }
    let file = |kind| format!("/run/cluster/pki/{name}.{kind}");
    vec!["--cert".into(), file("crt"), "--key".into(), file("key")]
}

/// Makes a client certificate; its authority, too, if the cluster has none of that name.
fn make_certificate(cluster: &Cluster, name: &str, authority: &str, subject: &str) {
    let script = "cd /run/cluster/pki && key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes' && \
        { [ -e $1.crt ] || openssl req -x509 $key -days 30 -keyout $1.key -out $1.crt -subj /CN=$1; } && \
        openssl req $key -keyout $0.key -out $0.csr -subj $2 && \
        printf 'extendedKeyUsage=clientAuth\n' >$0.ext && \
        openssl x509 -req -in $0.csr -CA $1.crt -CAkey $1.key -CAcreateserial -days 30 -extfile $0.ext -out $0.crt";
    cluster.exec(&["bash", "-c", script, name, authority, subject]).unwrap();
}
