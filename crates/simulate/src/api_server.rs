//! As much of an API server as a reader of core metrics needs: the fleet's nodes and running pods, listed
//! and (since nothing changes) watched in silence; everybody is somebody and may do everything.
//!
//! For figures at sizes for which a real one would take longer to fill than everything else together; plain
//! HTTP, on loopback only. JSON and protobuf, as clients ask.

use crate::fleet::{Fleet, Node, Pod};
use api::kubernetes::protobuf;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// When everything was created.
const CREATED: &str = "2026-01-01T00:00:00Z";
const CREATED_S: i64 = 1_767_225_600;

/// The routes of the API server.
pub fn api_server(fleet: Arc<Fleet>) -> Router {
    let review = "/apis/authentication.k8s.io/v1/tokenreviews";
    let access = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    Router::new()
        .route("/api/v1/nodes", get(nodes))
        .route("/api/v1/pods", get(pods))
        .route(review, post(token_review))
        .route(access, post(access_review))
        .route(
            "/version",
            get(|| async {
                json("{\"major\":\"1\",\"minor\":\"36\",\"gitVersion\":\"v1.36.0-hollow\"}".into())
            }),
        )
        .fallback(any(rest))
        .with_state(fleet)
}

/// What a list or watch asks for.
struct Query {
    watch: bool,
    initial_events: bool,
    limit: usize,
    from: usize,
    seconds: u64,
}

impl Query {
    fn read(text: Option<String>) -> Query {
        let mut query =
            Query { watch: false, initial_events: false, limit: usize::MAX, from: 0, seconds: 300 };
        for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            let number = value.parse().unwrap_or(0);
            match &*name {
                "watch" => query.watch = matches!(&*value, "1" | "true"),
                "sendInitialEvents" => query.initial_events = &*value == "true",
                "limit" if number > 0 => query.limit = number,
                "continue" => query.from = number,
                "timeoutSeconds" => query.seconds = number as u64,
                _ => {}
            }
        }
        query
    }

    /// What is not a list; `None` where one is asked for.
    fn other(&self) -> Option<Response> {
        if !self.watch {
            return None;
        }
        if self.initial_events {
            let why = "sendInitialEvents is forbidden for watch by this server";
            return Some(status(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", why));
        }
        let sleep = tokio::time::sleep(Duration::from_secs(self.seconds));
        let silence = Body::new(Silence(Box::pin(sleep)));
        Some(([(header::CONTENT_TYPE, "application/json")], silence).into_response())
    }

    /// What comes after `all` objects: the place to continue from, or nothing.
    fn next(&self, all: usize) -> String {
        let to = self.from.saturating_add(self.limit);
        if to < all { to.to_string() } else { String::new() }
    }
}

async fn nodes(
    State(fleet): State<Arc<Fleet>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Query::read(query);
    if let Some(other) = query.other() {
        return other;
    }
    let next = query.next(fleet.shape().nodes);
    let shown = || fleet.nodes().skip(query.from).take(query.limit);
    let port = fleet.shape().port;
    if takes_protobuf(&headers) {
        return proto("v1", "NodeList", &next, |out| {
            shown().for_each(|n| protobuf::message(out, 2, |out| node_protobuf(out, &n, port)));
        });
    }
    let items: Vec<String> = shown().map(|n| node_json(&n, port)).collect();
    json(list("v1", "NodeList", &next, &items))
}

async fn pods(
    State(fleet): State<Arc<Fleet>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Query::read(query);
    if let Some(other) = query.other() {
        return other;
    }
    let next = query.next(fleet.shape().nodes * fleet.shape().pods_per_node);
    let nodes = 0..fleet.shape().nodes;
    let all = nodes.flat_map(|node| fleet.pods(node).map(move |pod| (node, pod)));
    let shown = all.skip(query.from).take(query.limit);
    let (version, kind) = ("meta.k8s.io/v1", "PartialObjectMetadataList");
    if takes_protobuf(&headers) {
        return proto(version, kind, &next, |out| {
            shown.for_each(|(_, pod)| {
                protobuf::message(out, 2, |out| {
                    metadata_protobuf(
                        out,
                        &pod.name,
                        &pod.namespace,
                        pod.seed,
                        &[("app", &pod.app)],
                    );
                });
            });
        });
    }
    let items: Vec<String> = shown.map(|(node, pod)| pod_json(node, &pod)).collect();
    json(list(version, kind, &next, &items))
}

fn takes_protobuf(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    accept.is_some_and(|a| a.starts_with("application/vnd.kubernetes.protobuf"))
}

fn list(version: &str, kind: &str, next: &str, items: &[String]) -> String {
    format!(
        "{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"metadata\":{{\"resourceVersion\":\"1\",\"continue\":\"{next}\"}},\"items\":[{}]}}",
        items.join(",")
    )
}

fn uid(seed: u64) -> String {
    let high = crate::fleet::mix(seed);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        seed >> 32,
        seed >> 16 & 0xffff,
        seed & 0xfff,
        high >> 52,
        high & 0xffff_ffff_ffff
    )
}

pub(crate) fn node_status(node: &Node, port: u16) -> String {
    let (name, address) = (&node.name, node.address);
    format!(
        "{{\"addresses\":[{{\"type\":\"InternalIP\",\"address\":\"{address}\"}},{{\"type\":\"Hostname\",\"address\":\"{name}\"}}],\"capacity\":{{\"cpu\":\"16\",\"memory\":\"64Gi\",\"pods\":\"250\"}},\"allocatable\":{{\"cpu\":\"16\",\"memory\":\"64Gi\",\"pods\":\"250\"}},\"conditions\":[{{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"KubeletReady\",\"message\":\"\",\"lastHeartbeatTime\":\"{CREATED}\",\"lastTransitionTime\":\"{CREATED}\"}}],\"daemonEndpoints\":{{\"kubeletEndpoint\":{{\"Port\":{port}}}}}}}"
    )
}

pub(crate) fn node_labels(node: &Node) -> [(&'static str, &str); 2] {
    [("kubernetes.io/hostname", &node.name), ("kubernetes.io/os", "linux")]
}

fn node_json(node: &Node, port: u16) -> String {
    let (name, uid) = (&node.name, uid(node.at as u64));
    let labels: Vec<_> =
        node_labels(node).iter().map(|(k, v)| format!("\"{k}\":\"{v}\"")).collect();
    format!(
        "{{\"metadata\":{{\"name\":\"{name}\",\"uid\":\"{uid}\",\"resourceVersion\":\"1\",\"creationTimestamp\":\"{CREATED}\",\"labels\":{{{}}}}},\"spec\":{{}},\"status\":{}}}",
        labels.join(","),
        node_status(node, port)
    )
}

fn pod_json(node: usize, pod: &Pod) -> String {
    let Pod { namespace, name, app, seed, .. } = pod;
    let (uid, owner) = (uid(*seed), uid(seed ^ 1));
    format!(
        "{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{{\"name\":\"{name}\",\"namespace\":\"{namespace}\",\"uid\":\"{uid}\",\"resourceVersion\":\"1\",\"creationTimestamp\":\"{CREATED}\",\"labels\":{{\"app\":\"{app}\"}},\"ownerReferences\":[{{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"{app}-{}\",\"uid\":\"{owner}\",\"controller\":true}}]}}}}",
        node % 50
    )
}

fn metadata_protobuf(
    out: &mut Vec<u8>,
    name: &str,
    namespace: &str,
    seed: u64,
    labels: &[(&str, &str)],
) {
    protobuf::message(out, 1, |out| {
        protobuf::string(out, 1, name);
        protobuf::string(out, 3, namespace);
        protobuf::string(out, 5, &uid(seed));
        protobuf::string(out, 6, "1");
        protobuf::time(out, 8, CREATED_S * 1_000_000_000);
        for (key, value) in labels {
            protobuf::entry(out, 11, key, value);
        }
    });
}

/// Field numbers are those of `k8s.io/api/core/v1/generated.proto`.
fn node_protobuf(out: &mut Vec<u8>, node: &Node, port: u16) {
    metadata_protobuf(out, &node.name, "", node.at as u64, &node_labels(node));
    protobuf::message(out, 2, |_| {});
    protobuf::message(out, 3, |out| {
        for field in [1, 2] {
            for (key, value) in [("cpu", "16"), ("memory", "64Gi")] {
                protobuf::message(out, field, |out| {
                    protobuf::string(out, 1, key);
                    protobuf::quantity(out, 2, value);
                });
            }
        }
        protobuf::message(out, 4, |out| {
            protobuf::string(out, 1, "Ready");
            protobuf::string(out, 2, "True");
        });
        let address = node.address.to_string();
        for (kind, address) in [("InternalIP", &address), ("Hostname", &node.name)] {
            protobuf::message(out, 5, |out| {
                protobuf::string(out, 1, kind);
                protobuf::string(out, 2, address);
            });
        }
        protobuf::message(out, 6, |out| {
            protobuf::message(out, 1, |out| protobuf::integer(out, 1, i64::from(port)));
        });
    });
}

fn proto(version: &str, kind: &str, next: &str, items: impl FnOnce(&mut Vec<u8>)) -> Response {
    let mut list = Vec::new();
    protobuf::message(&mut list, 1, |out| {
        protobuf::string(out, 2, "1");
        protobuf::string(out, 3, next);
    });
    items(&mut list);
    let mut body = Vec::with_capacity(list.len() + 128);
    protobuf::envelope(&mut body, version, kind, list.len());
    body.append(&mut list);
    protobuf::envelope_end(&mut body);
    ([(header::CONTENT_TYPE, "application/vnd.kubernetes.protobuf")], body).into_response()
}

fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn status(code: StatusCode, reason: &str, message: &str) -> Response {
    let number = code.as_u16();
    let body = format!(
        "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\"message\":\"{message}\",\"reason\":\"{reason}\",\"code\":{number}}}"
    );
    (code, json(body)).into_response()
}

async fn token_review() -> Response {
    let kind = "\"kind\":\"TokenReview\",\"apiVersion\":\"authentication.k8s.io/v1\"";
    let user = "{\"authenticated\":true,\"user\":{\"username\":\"bench\",\"groups\":[\"system:masters\"]}}";
    let body = format!("{{{kind},\"metadata\":{{}},\"spec\":{{}},\"status\":{user}}}");
    (StatusCode::CREATED, json(body)).into_response()
}

async fn access_review() -> Response {
    let kind = "\"kind\":\"SubjectAccessReview\",\"apiVersion\":\"authorization.k8s.io/v1\"";
    let body =
        format!("{{{kind},\"metadata\":{{}},\"spec\":{{}},\"status\":{{\"allowed\":true}}}}");
    (StatusCode::CREATED, json(body)).into_response()
}

/// Whom to trust: nobody but those whose tokens are reviewed.
const TRUST: &str = "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"extension-apiserver-authentication\",\"namespace\":\"kube-system\",\"resourceVersion\":\"1\"},\"data\":{}}";

/// What else servers of aggregated APIs look at: it is there, and empty.
async fn rest(request: Request) -> Response {
    let query = Query::read(request.uri().query().map(str::to_owned));
    let path = request.uri().path();
    let read = request.method() == Method::GET;
    let list =
        |items: &[String]| query.other().unwrap_or_else(|| json(list("v1", "List", "", items)));
    match path.rsplit('/').next() {
        Some("configmaps") if read && path.contains("/kube-system/") => list(&[TRUST.into()]),
        Some("extension-apiserver-authentication") if read => json(TRUST.into()),
        Some("configmaps" | "secrets" | "apiservices") if read => list(&[]),
        _ => {
            let method = request.method();
            tracing::debug!(%method, path, "the hollow API server has no such thing");
            status(StatusCode::NOT_FOUND, "NotFound", "the hollow API server has no such thing")
        }
    }
}

/// A body without content that ends after a while: a watch in which nothing happens.
struct Silence(Pin<Box<Sleep>>);

impl axum::body::HttpBody for Silence {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.0.as_mut().poll(context).map(|()| None)
    }
}
