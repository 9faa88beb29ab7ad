//! Replicas that find the Secret empty at the same time, over a fake that refuses outdated writes as
//! the API server does.

use super::fake::{Answer, Asked, server};
use crate::connection::decode_base64;
use crate::{Cluster, Lifetimes, Serving};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One Secret, one APIService of ours, and one of somebody else's.
#[derive(Clone)]
struct World(Arc<Mutex<State>>);

struct State {
    version: u32,
    secret: Option<Value>,
    ours: Value,
    writes: u32,
    conflicts: u32,
    stolen: u32,
}

impl World {
    fn answer(&self, asked: &Asked) -> Answer {
        let mut state = self.0.lock().unwrap();
        let list = |items: Vec<Value>, version: u32| {
            let metadata = json!({"resourceVersion": version.to_string()});
            Answer::Json(200, json!({"metadata": metadata, "items": items}))
        };
        match (asked.method.as_str(), asked.uri.as_str()) {
            (_, uri) if uri.contains("watch=1") => Answer::Lines(vec![], true),
            ("GET", uri) if uri.contains("/secrets/") => match &state.secret {
                Some(secret) => Answer::Json(200, secret.clone()),
                None => Answer::Json(
                    404,
                    json!({"kind": "Status", "status": "Failure", "code": 404, "message": "no", "reason": "NotFound"}),
                ),
            },
            ("PUT", uri) if uri.contains("/secrets/") => {
                let now = state.version.to_string();
                if asked.body["metadata"]["resourceVersion"] != now.as_str() {
                    state.conflicts += 1;
                    return Answer::Json(
                        409,
                        json!({"kind": "Status", "status": "Failure", "code": 409, "message": "changed", "reason": "Conflict"}),
                    );
                }
                state.version += 1;
                state.writes += 1;
                let mut secret = asked.body.clone();
                secret["metadata"]["resourceVersion"] = state.version.to_string().into();
                state.secret = Some(secret.clone());
                Answer::Json(200, secret)
            }
            ("PATCH", uri) if uri.contains("v1beta1.metrics.k8s.io") => {
                state.ours["spec"]["caBundle"] = asked.body["spec"]["caBundle"].clone();
                state.ours["spec"]["insecureSkipTLSVerify"] = false.into();
                Answer::Json(200, state.ours.clone())
            }
            ("PATCH", _) => {
                state.stolen += 1;
                Answer::Json(200, json!({}))
            }
            (_, uri) if uri.contains("v1beta1.metrics.k8s.io") => list(vec![state.ours.clone()], 1),
            (_, uri) if uri.contains("v1beta1.custom") => {
                let service = json!({"namespace": "keda", "name": "keda"});
                list(
                    vec![
                        json!({"metadata": {"name": "v1beta1.custom.metrics.k8s.io"}, "spec": {"service": service}}),
                    ],
                    1,
                )
            }
            (_, uri) if uri.contains("/secrets?") => {
                list(state.secret.iter().cloned().collect(), 1)
            }
            _ => list(vec![], 1),
        }
    }
}

fn world(secret: Option<Value>) -> World {
    let service = json!({"namespace": "kubevigil-system", "name": "kubevigil"});
    let spec = json!({"service": service, "insecureSkipTLSVerify": true});
    let ours = json!({"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": spec});
    World(Arc::new(Mutex::new(State {
        version: 1,
        secret,
        ours,
        writes: 0,
        conflicts: 0,
        stolen: 0,
    })))
}

fn serving() -> Serving {
    Serving {
        namespace: "kubevigil-system".into(),
        secret: "kubevigil-certificates".into(),
        service: "kubevigil".into(),
        api_services: vec!["v1beta1.metrics.k8s.io".into(), "v1beta1.custom.metrics.k8s.io".into()],
        lifetimes: Lifetimes::default(),
    }
}

async fn start(world: &World) -> (Cluster, http::Identity) {
    let (of, identity) = (world.clone(), http::Identity::default());
    let cluster = Cluster::over(server(move |asked| of.answer(asked)).0);
    cluster.serve_as(serving(), identity.clone());
    (cluster, identity)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn one_authority_however_many_start_at_once() {
    let secret = json!({
        "metadata": {"name": "kubevigil-certificates", "resourceVersion": "1", "labels": {"a": "b"}},
        "data": {"other": "eA=="}, "type": "Opaque",
    });
    let world = world(Some(secret));
    let mut replicas = Vec::new();
    for _ in 0..5 {
        replicas.push(start(&world).await);
    }
    until("all present a certificate", || replicas.iter().all(|r| r.1.is_ready())).await;
    let bundle = || world.0.lock().unwrap().ours["spec"]["caBundle"].as_str().map(str::to_owned);
    until("the authority is registered", || bundle().is_some()).await;
    let state = world.0.lock().unwrap();
    let kept = state.secret.clone().unwrap();
    assert_eq!(state.writes, 1, "one won, {} lost", state.conflicts);
    assert_eq!(
        (&kept["data"]["other"], &kept["metadata"]["labels"]["a"]),
        (&json!("eA=="), &json!("b"))
    );
    let authority = decode_base64(kept["data"]["ca.crt"].as_str().unwrap()).unwrap();
    let registered = state.ours["spec"]["caBundle"].as_str().unwrap();
    assert_eq!(decode_base64(registered).unwrap(), authority);
    assert_eq!(state.ours["spec"]["insecureSkipTLSVerify"], false);
    assert_eq!(state.stolen, 0, "somebody else's APIService was written");
}

#[tokio::test]
async fn without_a_secret_it_serves_all_the_same() {
    let world = world(None);
    let (cluster, identity) = start(&world).await;
    until("a certificate is presented", || identity.is_ready()).await;
    let bundle = || world.0.lock().unwrap().ours["spec"]["caBundle"].is_string();
    until("the authority is registered", bundle).await;
    let others = cluster.api_services();
    let keda = others.iter().find(|s| s.name.contains("custom")).unwrap();
    assert_eq!(keda.service, Some(("keda".into(), "keda".into())));
}
