//! The frame and metrics.k8s.io asked as kubectl, the autoscaler and the aggregator ask them; protobuf is
//! read back by a decoder that knows the wire format alone.

use super::health::{Check, Probe};
use super::*;
use axum::Router;
use axum::body::Body;
use axum::http::{self, StatusCode};
use cluster::{Labels, Node, NodeCache, Pod, PodCache};
use http_body_util::BodyExt;
use resource::{ContainerSample, Mode, NO_TIME, Options, Reading, Sample, Store};
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

const SECOND: i64 = 1_000_000_000;
const API: &str = "/apis/metrics.k8s.io/v1beta1";
const KUBECTL_GET: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
const CLIENT_GO: &str = "application/vnd.kubernetes.protobuf,application/json";

/// Lets everybody in, except into the namespace `secret`.
struct Door;

impl Access for Door {
    fn decide<'a>(&'a self, _: &'a http::request::Parts, wanted: &'a Attributes) -> Deciding<'a> {
        Box::pin(async move {
            let caller = Caller { name: "jane".into(), ..Caller::default() };
            match wanted.namespace == "secret" {
                true => Err(Status::forbidden(&caller, wanted, "")),
                false => Ok(caller),
            }
        })
    }
}

fn node(name: &str, labels: &[(&str, &str)]) -> Node {
    Node {
        name: name.into(),
        uid: "u".into(),
        labels: Labels::from_pairs(labels.iter().copied()),
        annotations: Labels::default(),
        addresses: Vec::new(),
        kubelet_port: None,
        ready: true,
        created_ms: 0,
        capacity: Default::default(),
        allocatable: Default::default(),
    }
}

fn pod(namespace: &str, name: &str, labels: &[(&str, &str)]) -> Pod {
    Pod {
        namespace: namespace.into(),
        name: name.into(),
        uid: "u".into(),
        labels: Labels::from_pairs(labels.iter().copied()),
        owner: None,
        created_ms: 0,
    }
}

/// Two nodes, one of them measured; three pods, two of them measured.
fn router() -> Router {
    let store = Arc::new(Store::new(Options { mode: Mode::Lenient, ..Options::default() }));
    for round in 0..2 {
        let at = |cpu_ms: u64, memory_bytes| Sample {
            start_ns: NO_TIME,
            time_ns: (1_700_000_000 + 15 * round) * SECOND,
            cpu_ns: (1 + round as u64) * cpu_ms * 1_000_000,
            memory_bytes,
        };
        let of = |namespace, pod, container, cpu, memory| ContainerSample {
            namespace,
            pod,
            container,
            sample: at(cpu, memory),
        };
        let mut reading = Reading {
            node: at(15_000, 1 << 30),
            containers: vec![
                of("shop", "web-1", "app", 1500, 64 << 20),
                of("shop", "web-1", "proxy", 150, 1_000_000),
                of("kube-system", "dns", "dns", 3000, 1025),
            ],
        };
        store.apply("one", &mut reading);
    }
    let nodes = NodeCache::holding([node("one", &[("zone", "a")]), node("two", &[])]);
    let pods = PodCache::holding([
        pod("shop", "web-1", &[("app", "web"), ("team", "blue")]),
        pod("shop", "web-2", &[("app", "web")]),
        pod("kube-system", "dns", &[]),
    ]);
    let group = Arc::new(ResourceMetrics::new(store, nodes, pods));
    Frame::new(vec![group], Arc::new(Door)).router()
}

async fn ask(path: &str, accept: &str) -> (StatusCode, http::HeaderMap, Vec<u8>) {
    ask_with("GET", path, &[("accept", accept)]).await
}

async fn ask_with(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, http::HeaderMap, Vec<u8>) {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers.iter().filter(|h| !h.1.is_empty()) {
        request = request.header(*name, *value);
    }
    let response = router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    (parts.status, parts.headers, body)
}

async fn json_at(path: &str) -> Value {
    let (status, headers, body) = ask(path, "application/json").await;
    assert_eq!(headers["content-type"], "application/json", "{path}");
    let value: Value = serde_json::from_slice(&body).unwrap();
    if status != StatusCode::OK {
        assert_eq!(value["code"], u64::from(status.as_u16()), "{path}");
    }
    value
}

#[tokio::test]
async fn lists_and_gets_what_is_known() {
    let mut list = json_at(&format!("{API}/pods")).await;
    let created = list["items"][0]["metadata"]["creationTimestamp"].take();
    assert!(created.as_str().unwrap().starts_with("20"), "{created}");
    list["items"][1]["metadata"]["creationTimestamp"].take();
    let expected = json!({
        "kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {},
        "items": [
            {
                "metadata": {"name": "dns", "namespace": "kube-system", "creationTimestamp": null},
                "timestamp": "2023-11-14T22:13:35Z", "window": "15s",
                "containers": [{"name": "dns", "usage": {"cpu": "200m", "memory": "1025"}}],
            },
            {
                "metadata": {
                    "name": "web-1", "namespace": "shop", "creationTimestamp": null,
                    "labels": {"app": "web", "team": "blue"},
                },
                "timestamp": "2023-11-14T22:13:35Z", "window": "15s",
                "containers": [
                    {"name": "app", "usage": {"cpu": "100m", "memory": "64Mi"}},
                    {"name": "proxy", "usage": {"cpu": "10m", "memory": "1000000"}},
                ],
            },
        ],
    });
    assert_eq!(list, expected);
    let names = async |path: &str| {
        let list = json_at(&format!("{API}/{path}")).await;
        let items = list["items"].as_array().unwrap_or_else(|| panic!("{path}: {list}")).clone();
        items.iter().map(|i| i["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("nodes").await, ["one"]);
    assert_eq!(names("nodes?labelSelector=zone%3Da").await, ["one"]);
    assert_eq!(names("nodes?labelSelector=zone%3Db").await, [""; 0]);
    assert_eq!(names("namespaces/shop/pods").await, ["web-1"]);
    assert_eq!(names("namespaces/shop/pods?labelSelector=app+in+%28web%29").await, ["web-1"]);
    assert_eq!(names("namespaces/none/pods").await, [""; 0]);
    assert_eq!(names("pods?fieldSelector=metadata.name%3Ddns").await, ["dns"]);
    let one = json_at(&format!("{API}/nodes/one")).await;
    assert_eq!(
        (&one["kind"], &one["usage"]),
        (&json!("NodeMetrics"), &json!({"cpu": "1", "memory": "1Gi"}))
    );
    let one = json_at(&format!("{API}/namespaces/shop/pods/web-1")).await;
    assert_eq!((&one["kind"], &one["window"]), (&json!("PodMetrics"), &json!("15s")));
}

/// The messages are those of metrics-server v0.9.0 and Kubernetes 1.36.
#[tokio::test]
async fn refuses_as_upstream_does() {
    let cases = [
        ("nodes/none", 404, "NotFound", "nodes \"none\" not found"),
        ("nodes/two", 404, "NotFound", "nodemetrics.metrics.k8s.io \"two\" not found"),
        ("namespaces/shop/pods/none", 404, "NotFound", "pods \"none\" not found"),
        (
            "namespaces/shop/pods/web-2",
            404,
            "NotFound",
            "podmetrics.metrics.k8s.io \"shop/web-2\" not found",
        ),
        (
            "namespaces/secret/pods",
            403,
            "Forbidden",
            "pods.metrics.k8s.io is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"metrics.k8s.io\" in the namespace \"secret\"",
        ),
        (
            "namespaces/secret/pods/p",
            403,
            "Forbidden",
            "pods.metrics.k8s.io \"p\" is forbidden: User \"jane\" cannot get resource \"pods\" in API group \"metrics.k8s.io\" in the namespace \"secret\"",
        ),
        ("pods/p", 404, "NotFound", "the server could not find the requested resource"),
        ("services", 404, "NotFound", "the server could not find the requested resource"),
        (
            "pods?watch=true",
            405,
            "MethodNotAllowed",
            "watch is not supported on resources of kind \"pods.metrics.k8s.io\"",
        ),
    ];
    for (path, code, reason, message) in cases {
        let status = json_at(&format!("{API}/{path}")).await;
        assert_eq!(status["kind"], "Status", "{path}");
        assert_eq!(status["code"], code, "{path}: {status}");
        assert_eq!(status["reason"], reason, "{path}");
        assert_eq!(status["message"], message, "{path}");
    }
    for path in ["pods?labelSelector=a%3D%3D%3Db", "pods?fieldSelector=spec.nodeName%3Da"] {
        assert_eq!(json_at(&format!("{API}/{path}")).await["code"], 400, "{path}");
    }
    for path in ["/apis/other.k8s.io/v1", "/apis/metrics.k8s.io/v9", "/apis/metrics.k8s.io/v9/pods"]
    {
        assert_eq!(json_at(path).await["code"], 404, "{path}");
    }
    assert_eq!(json_at(&format!("{API}/namespaces/a%FFb/pods")).await["code"], 400);
    for method in ["POST", "DELETE", "PUT"] {
        let (status, ..) = ask_with(method, &format!("{API}/nodes"), &[]).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    assert_eq!(ask(&format!("{API}/nodes"), "text/html").await.0, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn a_server_that_knows_no_pods_yet_says_so() {
    let store = Arc::new(Store::new(Options::default()));
    let group = ResourceMetrics::new(store, NodeCache::default(), PodCache::default());
    let router = Frame::new(vec![Arc::new(group)], Arc::new(Door)).router();
    let get = |path: &str| http::Request::get(path).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(get(&format!("{API}/pods"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    // Discovery does not wait.
    assert_eq!(router.oneshot(get(API)).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn kubectl_get_sees_a_table() {
    let (status, headers, body) = ask(&format!("{API}/namespaces/shop/pods"), KUBECTL_GET).await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    let mut table: Value = serde_json::from_slice(&body).unwrap();
    let object = table["rows"][0]["object"].take();
    assert_eq!(object["kind"], "PartialObjectMetadata");
    assert_eq!(object["metadata"]["name"], "web-1");
    let column = |name, format, description| json!({"name": name, "type": "string", "format": format, "description": description, "priority": 0});
    let expected = json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {},
        "columnDefinitions": [
            column("Name", "name", "Name of the resource"), column("cpu", "quantity", ""),
            column("memory", "quantity", ""), column("Window", "duration", ""),
        ],
        "rows": [{"cells": ["web-1", "110m", "68108864", "15s"], "object": null}],
    });
    assert_eq!(table, expected);
    let (_, _, body) = ask(&format!("{API}/namespaces/none/pods"), KUBECTL_GET).await;
    let empty: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&empty["columnDefinitions"], &empty["rows"]), (&json!([]), &json!([])));
    let (_, _, body) = ask(&format!("{API}/nodes?includeObject=Object"), KUBECTL_GET).await;
    let table: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(table["rows"][0]["object"]["usage"]["cpu"], "1");
    // An error is no table.
    let (status, _, body) = ask(&format!("{API}/nodes/none"), KUBECTL_GET).await;
    let error: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &error["kind"]), (StatusCode::NOT_FOUND, &json!("Status")));
}

/// A protobuf message as the wire has it: field numbers with varints or bytes.
#[derive(Debug)]
enum Wire {
    Number(u64),
    Bytes(Vec<u8>),
}

fn decode(mut bytes: &[u8]) -> Vec<(u64, Wire)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let wire = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (content, rest) = bytes.split_at(length);
                bytes = rest;
                Wire::Bytes(content.to_vec())
            }
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, wire));
    }
    fields
}

fn all(message: &[(u64, Wire)], field: u64) -> Vec<&[u8]> {
    let of = message.iter().filter(|f| f.0 == field);
    of.map(|(_, w)| if let Wire::Bytes(b) = w { &b[..] } else { panic!("not bytes") }).collect()
}

fn text(message: &[(u64, Wire)], field: u64) -> String {
    String::from_utf8(all(message, field)[0].to_vec()).unwrap()
}

fn number(message: &[(u64, Wire)], field: u64) -> u64 {
    let (_, wire) = message.iter().find(|f| f.0 == field).unwrap();
    if let Wire::Number(n) = wire { *n } else { panic!("not a number") }
}

/// The kind in the envelope, and the message within.
fn opened(body: &[u8]) -> (String, Vec<(u64, Wire)>) {
    let envelope = decode(body.strip_prefix(b"k8s\0").expect("the magic"));
    let type_ = decode(all(&envelope, 1)[0]);
    (format!("{} {}", text(&type_, 1), text(&type_, 2)), decode(all(&envelope, 2)[0]))
}

#[tokio::test]
async fn protobuf_says_the_same_as_json() {
    let (status, headers, body) = ask(&format!("{API}/pods"), CLIENT_GO).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "application/vnd.kubernetes.protobuf");
    let (kind, list) = opened(&body);
    assert_eq!(kind, "metrics.k8s.io/v1beta1 PodMetricsList");
    let json = json_at(&format!("{API}/pods")).await;
    let items = all(&list, 2);
    assert_eq!(items.len(), 2);
    for (item, expected) in items.iter().zip(json["items"].as_array().unwrap()) {
        let item = decode(item);
        let metadata = decode(all(&item, 1)[0]);
        assert_eq!(text(&metadata, 1), expected["metadata"]["name"]);
        assert_eq!(text(&metadata, 3), expected["metadata"]["namespace"]);
        for label in all(&metadata, 11) {
            let label = decode(label);
            assert_eq!(text(&label, 2), expected["metadata"]["labels"][text(&label, 1)]);
        }
        let labels = expected["metadata"]["labels"].as_object().map_or(0, serde_json::Map::len);
        assert_eq!(all(&metadata, 11).len(), labels);
        assert_eq!(number(&decode(all(&item, 2)[0]), 1), 1_700_000_015);
        assert_eq!(number(&decode(all(&item, 3)[0]), 1), 15_000_000_000);
        let containers = all(&item, 4);
        assert_eq!(containers.len(), expected["containers"].as_array().unwrap().len());
        for (container, expected) in
            containers.iter().zip(expected["containers"].as_array().unwrap())
        {
            let container = decode(container);
            assert_eq!(text(&container, 1), expected["name"]);
            let usage = all(&container, 2);
            assert_eq!(usage.len(), 2);
            for entry in usage {
                let entry = decode(entry);
                let quantity = text(&decode(all(&entry, 2)[0]), 1);
                assert_eq!(quantity, expected["usage"][text(&entry, 1)]);
            }
        }
    }
    let (_, _, body) = ask(&format!("{API}/nodes/one"), CLIENT_GO).await;
    let (kind, node) = opened(&body);
    assert_eq!((kind.as_str(), all(&node, 4).len()), ("metrics.k8s.io/v1beta1 NodeMetrics", 2));
}

#[tokio::test]
async fn errors_and_discovery_speak_protobuf_too() {
    let (status, headers, body) = ask(&format!("{API}/nodes/none"), CLIENT_GO).await;
    assert_eq!(
        (status.as_u16(), headers["content-type"].to_str().unwrap()),
        (404, "application/vnd.kubernetes.protobuf")
    );
    let (kind, error) = opened(&body);
    assert_eq!(kind, "v1 Status");
    assert_eq!(
        (text(&error, 2), text(&error, 4), number(&error, 6)),
        ("Failure".into(), "NotFound".into(), 404)
    );
    assert_eq!(text(&decode(all(&error, 5)[0]), 1), "none");
    let (_, _, body) = ask(API, CLIENT_GO).await;
    let (kind, list) = opened(&body);
    assert_eq!(
        (kind.as_str(), text(&list, 1).as_str()),
        ("v1 APIResourceList", "metrics.k8s.io/v1beta1")
    );
    let names: Vec<_> = all(&list, 2).into_iter().map(|r| text(&decode(r), 1)).collect();
    assert_eq!(names, ["nodes", "pods"]);
    let (_, _, body) = ask("/apis", CLIENT_GO).await;
    let (kind, list) = opened(&body);
    assert_eq!(
        (kind.as_str(), text(&decode(all(&list, 1)[0]), 1).as_str()),
        ("v1 APIGroupList", "metrics.k8s.io")
    );
}

#[tokio::test]
async fn discovery_names_everything() {
    let list = json_at(API).await;
    let expected = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1",
        "resources": [
            {"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get", "list"]},
            {"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"]},
        ],
    });
    assert_eq!(list, expected);
    let version = json!({"groupVersion": "metrics.k8s.io/v1beta1", "version": "v1beta1"});
    let group =
        json!({"name": "metrics.k8s.io", "versions": [version], "preferredVersion": version});
    assert_eq!(json_at("/apis").await["groups"], json!([group]));
    assert_eq!(json_at("/apis/metrics.k8s.io").await["preferredVersion"], version);

    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    let (status, headers, body) = ask("/apis", accept).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let found: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(found["apiVersion"], "apidiscovery.k8s.io/v2");
    let resource = &found["items"][0]["versions"][0]["resources"][1];
    let expected = json!({
        "resource": "pods", "scope": "Namespaced", "singularResource": "", "verbs": ["get", "list"],
        "responseKind": {"group": "metrics.k8s.io", "version": "v1beta1", "kind": "PodMetrics"},
    });
    assert_eq!(*resource, expected);
    let tag = headers["etag"].to_str().unwrap();
    let again = ask_with("GET", "/apis", &[("accept", accept), ("if-none-match", tag)]).await;
    assert_eq!((again.0, again.2.len()), (StatusCode::NOT_MODIFIED, 0));
}

#[tokio::test]
async fn openapi_describes_every_reference() {
    let index = json_at("/openapi/v3").await;
    let url = index["paths"]["apis/metrics.k8s.io/v1beta1"]["serverRelativeURL"].as_str().unwrap();
    let v3 = json_at(url).await;
    let v2 = json_at("/openapi/v2").await;
    for (document, schemas, prefix) in [
        (&v3, &v3["components"]["schemas"], "#/components/schemas/"),
        (&v2, &v2["definitions"], "#/definitions/"),
    ] {
        let text = document.to_string();
        let mut references = 0;
        for part in text.split("\"$ref\":\"").skip(1) {
            let name =
                part.split('"').next().unwrap().strip_prefix(prefix).expect("a schema of ours");
            assert!(schemas[name].is_object(), "{name}");
            references += 1;
        }
        assert!(references > 10, "{references}");
        let path =
            &document["paths"]["/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods/{name}"];
        assert_eq!(path["get"]["x-kubernetes-group-version-kind"]["kind"], "PodMetrics");
    }
}

#[tokio::test]
async fn yaml_is_what_json_is() {
    let (_, headers, body) = ask(&format!("{API}/namespaces/shop/pods"), "application/yaml").await;
    assert_eq!(headers["content-type"], "application/yaml");
    let text = String::from_utf8(body).unwrap();
    let wanted = "apiVersion: metrics.k8s.io/v1beta1\nitems:\n- containers:\n  - name: app\n    usage:\n      cpu: \"100m\"\n      memory: \"64Mi\"\n";
    assert!(text.starts_with(wanted), "{text}");
    assert!(text.ends_with("  window: \"15s\"\nkind: PodMetricsList\nmetadata: {}\n"), "{text}");
}

#[tokio::test]
async fn checks_are_listed_as_upstream_lists_them() {
    let checks = vec![
        Check::passing("ping"),
        Check {
            name: "metric-storage-ready",
            probes: &[Probe::Ready],
            test: Box::new(|| Err("no node was read twice".into())),
        },
    ];
    let router = health::router(checks);
    let get = async |path: &str| {
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(get("/livez").await, (200, "ok".into()));
    assert_eq!(get("/livez?verbose").await, (200, "[+]ping ok\nlivez check passed\n".into()));
    let failed =
        "[+]ping ok\n[-]metric-storage-ready failed: no node was read twice\nreadyz check failed\n";
    assert_eq!(get("/readyz").await, (500, failed.into()));
    assert_eq!(get("/readyz?exclude=metric-storage-ready").await.0, 200);
    assert_eq!(get("/readyz/metric-storage-ready").await.0, 500);
    assert_eq!(get("/healthz/metric-storage-ready").await.0, 404);
}
