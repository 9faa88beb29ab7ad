//! custom.metrics.k8s.io, external.metrics.k8s.io and kubevigil.dev asked as the autoscaler and kubectl
//! ask them, and a second adapter behind us.

use super::*;
use ::resource::adapter::{ApiResource, ApiResources, Rules};
use ::resource::custom::Metrics;
use ::resource::estimate::{Estimates, Observation, Workload};
use axum::Router;
use axum::body::Body;
use axum::http::{self, StatusCode};
use cluster::Selector;
use http_body_util::BodyExt;
use model::{Labels, Sample, Storage};
use promql::promqltest::MemoryStore;
use promql::{Engine, QueryOptions};
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt;

const RULES: &str = r#"
rules:
- seriesQuery: http_requests_total
  resources: {template: <<.Resource>>}
  name: {matches: "^(.*)_total$"}
  metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
metrics:
- {name: load, object: nodes, query: node_load1}
- {name: queue, external: true, query: queue_length}
"#;

struct Everybody;

impl Access for Everybody {
    fn decide<'a>(&'a self, _: &'a http::request::Parts, _: &'a Attributes) -> Deciding<'a> {
        Box::pin(async { Ok(Caller::default()) })
    }
}

struct World(Arc<MemoryStore>);

impl MetricWorld for World {
    fn storage(&self) -> Result<Arc<dyn Storage>, Status> {
        Ok(self.0.clone())
    }

    fn resources(&self) -> Arc<ApiResources> {
        Arc::new(ApiResources::well_known())
    }

    fn names<'a>(
        &'a self,
        _: &'a ApiResource,
        _: Option<&'a str>,
        selector: &'a Selector,
    ) -> Naming<'a> {
        let app = |key: &str| (key == "app").then_some("web");
        let names: &[&str] = if selector.matches_by(app) { &["web-1", "web-2"] } else { &[] };
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        Box::pin(async { Ok(names) })
    }

    fn now_ms(&self) -> i64 {
        1_700_000_600_000
    }
}

fn store() -> MemoryStore {
    let mut store = MemoryStore::default();
    let mut add = |pairs: &[(&str, &str)], slope: f64| {
        let labels = Labels::from_pairs(pairs.iter().copied());
        for i in 0..41 {
            let time_ms = 1_700_000_000_000 + i * 15_000;
            let value = model::Value::Float(slope * 15.0 * i as f64);
            store.append(&labels, Sample { time_ms, start_ms: 0, value });
        }
    };
    let requests = |pod, code| {
        [("__name__", "http_requests_total"), ("namespace", "shop"), ("pod", pod), ("code", code)]
    };
    add(&requests("web-1", "200"), 3.5);
    add(&requests("web-1", "500"), 1.0);
    add(&requests("web-2", "200"), 5.0);
    add(&[("__name__", "node_load1"), ("node", "n1")], 0.001);
    add(&[("__name__", "queue_length"), ("queue", "mail")], 0.01);
    store
}

fn router(forward: Option<Arc<Forward>>) -> Router {
    let world: Arc<dyn MetricWorld> = Arc::new(World(Arc::new(store())));
    let rules = Rules::parse(RULES, "rules.yml").expect("reads");
    let metrics = Arc::new(Metrics::new(rules, Default::default()));
    let engine = Engine::default();
    let storage = world.storage().expect("a store");
    let resources = world.resources();
    let query = QueryOptions::default();
    let now_ms = world.now_ms();
    let view = ::resource::custom::View {
        storage: &*storage,
        engine: &engine,
        resources: &resources,
        now_ms,
        query: &query,
    };
    metrics.known(&view).expect("lists");
    let estimates = Arc::new(Estimates::new(Default::default()));
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let begun_ms = since.expect("after 1970").as_millis() as i64 - 1_500_000;
    for i in 0..100 {
        estimates.observe(&Observation {
            workload: Workload {
                namespace: "shop",
                kind: "Deployment",
                name: "web",
                container: "app",
            },
            image: Some("web:1"),
            time_ms: begun_ms + i * 15_000,
            seconds: 15.0,
            cpu_cores: 0.2,
            memory_bytes: 100.0 * 1024.0 * 1024.0,
        });
    }
    let groups: Vec<Arc<dyn Group>> = vec![
        Arc::new(Custom::new(metrics.clone(), world.clone(), engine.clone(), forward.clone())),
        Arc::new(External::new(metrics, world, engine, forward)),
        Arc::new(EstimateGroup::new(estimates)),
    ];
    Frame::new(groups, Arc::new(Everybody)).router()
}

async fn ask(router: &Router, path: &str, accept: &str) -> (StatusCode, Vec<u8>) {
    let request = http::Request::get(path).header("accept", accept).body(Body::empty());
    let response = router.clone().oneshot(request.expect("a request")).await.expect("answers");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, body.to_vec())
}

async fn get(router: &Router, path: &str) -> (u16, Value) {
    let (status, body) = ask(router, path, "application/json").await;
    (status.as_u16(), serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn objects_as_the_autoscaler_asks_for_them() {
    let router = router(None);
    let api = "/apis/custom.metrics.k8s.io";
    let (status, list) = get(
        &router,
        &format!("{api}/v1beta2/namespaces/shop/pods/*/http_requests?labelSelector=app%3Dweb"),
    )
    .await;
    assert_eq!(status, 200, "{list}");
    let item = |name: &str, value: &str| {
        json!({
            "describedObject": {"kind": "Pod", "namespace": "shop", "name": name, "apiVersion": "v1"},
            "metric": {"name": "http_requests", "selector": null},
            "timestamp": "2023-11-14T22:23:20Z", "windowSeconds": 120, "value": value,
        })
    };
    assert_eq!(
        list,
        json!({
            "kind": "MetricValueList", "apiVersion": "custom.metrics.k8s.io/v1beta2", "metadata": {},
            "items": [item("web-1", "4500m"), item("web-2", "5")],
        })
    );
    let path = format!(
        "{api}/v1beta1/namespaces/shop/pods/web-1/http_requests?metricLabelSelector=code%3D500"
    );
    let (_, list) = get(&router, &path).await;
    assert_eq!(
        list["items"],
        json!([{
            "describedObject": {"kind": "Pod", "namespace": "shop", "name": "web-1", "apiVersion": "v1"},
            "metricName": "http_requests", "timestamp": "2023-11-14T22:23:20Z", "window": 120,
            "value": "1", "selector": {"matchLabels": {"code": "500"}},
        }])
    );
    let (_, list) =
        get(&router, &format!("{api}/v1beta2/namespaces/shop/metrics/http_requests")).await;
    assert_eq!(
        list["items"][0]["describedObject"],
        json!({"kind": "Namespace", "name": "shop", "apiVersion": "v1"})
    );
    assert_eq!(list["items"][0]["value"], "9500m");
    let (_, list) = get(&router, &format!("{api}/v1beta2/nodes/n1/load")).await;
    assert_eq!(
        (list["items"][0]["value"].as_str(), list["items"][0].get("windowSeconds")),
        (Some("600m"), None)
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_with_its_query() {
    let router = router(None);
    let api = "/apis/custom.metrics.k8s.io/v1beta2";
    for (path, code, expected) in [
        (
            format!("{api}/namespaces/shop/pods/none/http_requests"),
            404,
            "returned nothing for pods \"none\" in namespace \"shop\"",
        ),
        (
            format!("{api}/namespaces/shop/pods/web-1/none"),
            404,
            "no rule gives metric \"none\" for pods",
        ),
        (
            format!("{api}/namespaces/shop/rockets/x/http_requests"),
            404,
            "the API server knows no resource \"rockets\"",
        ),
        (
            format!("{api}/namespaces/shop/pods/*/http_requests?labelSelector=app%3Dx"),
            404,
            "no pods in namespace \"shop\" match the selector \"app=x\"",
        ),
        (
            format!("{api}/namespaces/shop/pods/*/http_requests?metricLabelSelector=a%3E1"),
            400,
            "metric selectors know no >",
        ),
        (
            format!("{api}/namespaces/shop/pods/*/http_requests?labelSelector=%3D%3D"),
            400,
            "labelSelector \"==\"",
        ),
        (format!("{api}/namespaces/shop/pods/web-1"), 404, "could not find the requested resource"),
        (
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/none".into(),
            404,
            "no rule gives metric \"none\" for external metrics",
        ),
        (
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue?labelSelector=queue%3Dx"
                .into(),
            404,
            "the query \"queue_length\" returned 1 series, none of them",
        ),
    ] {
        let (status, body) = get(&router, &path).await;
        let message = body["message"].as_str().unwrap_or_default();
        assert!(status == code && message.contains(expected), "{path}: {status} {body}");
        assert_eq!(body["kind"], "Status");
    }
}

#[tokio::test]
async fn external_metrics_and_discovery() {
    let router = router(None);
    let (_, list) = get(
        &router,
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/any/queue?labelSelector=queue%3Dmail",
    )
    .await;
    assert_eq!(
        list,
        json!({
            "kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1", "metadata": {},
            "items": [{
                "metricName": "queue", "metricLabels": {"__name__": "queue_length", "queue": "mail"},
                "timestamp": "2023-11-14T22:23:20Z", "value": "6",
            }],
        })
    );
    for version in ["v1beta1", "v1beta2"] {
        let (_, list) = get(&router, &format!("/apis/custom.metrics.k8s.io/{version}")).await;
        let names: Vec<(&str, bool)> = list["resources"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|r| {
                (r["name"].as_str().expect("a name"), r["namespaced"].as_bool().expect("a flag"))
            })
            .collect();
        let expected = [
            ("namespaces/http_requests", false),
            ("nodes/load", false),
            ("pods/http_requests", true),
        ];
        assert_eq!(names, expected);
        assert_eq!(list["resources"][0]["kind"], "MetricValueList");
        assert_eq!(list["resources"][0]["verbs"], json!(["get"]));
    }
    let (_, group) = get(&router, "/apis/custom.metrics.k8s.io").await;
    assert_eq!(group["preferredVersion"]["version"], "v1beta2");
    let (_, list) = get(&router, "/apis/external.metrics.k8s.io/v1beta1").await;
    assert_eq!(list["resources"][0]["name"], "queue");
    assert_eq!(list["resources"][0]["kind"], "ExternalMetricValueList");
}

/// The fields of a protobuf message: number and content, in order.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first().expect("a byte");
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let content = match tag & 7 {
            0 => varint(&mut bytes).to_le_bytes().to_vec(),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (content, rest) = bytes.split_at(length);
                bytes = rest;
                content.to_vec()
            }
            other => panic!("wire type {other}"),
        };
        all.push((tag >> 3, content));
    }
    all
}

fn field(message: &[u8], path: &[u64]) -> Vec<u8> {
    path.iter().fold(message.to_vec(), |message, wanted| {
        let found = fields(&message).into_iter().find(|f| f.0 == *wanted);
        found.unwrap_or_else(|| panic!("no field {wanted} of {path:?}")).1
    })
}

#[tokio::test]
async fn protobuf_has_the_same() {
    let router = router(None);
    let accept = "application/vnd.kubernetes.protobuf";
    let raw = |body: &[u8]| field(body.strip_prefix(b"k8s\0").expect("magic"), &[2]);
    let path = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/web-1/http_requests?metricLabelSelector=code%3D500,pod%20in%20(web-1,x)";
    let (status, body) = ask(&router, path, accept).await;
    assert_eq!(status, 200);
    let list = raw(&body);
    let text = |path: &[u64]| String::from_utf8(field(&list, path)).expect("text");
    assert_eq!(text(&[2, 1, 1]), "Pod");
    assert_eq!(
        (text(&[2, 1, 2]), text(&[2, 1, 3]), text(&[2, 1, 5])),
        ("shop".into(), "web-1".into(), "v1".into())
    );
    assert_eq!(
        (text(&[2, 2, 1]), text(&[2, 2, 2, 1, 1]), text(&[2, 2, 2, 1, 2])),
        ("http_requests".into(), "code".into(), "500".into())
    );
    assert_eq!((text(&[2, 2, 2, 2, 1]), text(&[2, 2, 2, 2, 2])), ("pod".into(), "In".into()));
    assert_eq!(field(&list, &[2, 3, 1]), 1_700_000_600_u64.to_le_bytes());
    assert_eq!(field(&list, &[2, 4]), 120_u64.to_le_bytes());
    assert_eq!(text(&[2, 5, 1]), "1");
    let path = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/pods/web-2/http_requests";
    let (_, body) = ask(&router, path, accept).await;
    let list = raw(&body);
    assert_eq!(field(&list, &[2, 2]), b"http_requests");
    assert_eq!(field(&list, &[2, 5, 1]), b"5");
    let (_, body) =
        ask(&router, "/apis/external.metrics.k8s.io/v1beta1/namespaces/a/queue", accept).await;
    let list = raw(&body);
    assert_eq!(
        (field(&list, &[2, 1]), field(&list, &[2, 5, 1])),
        (b"queue".to_vec(), b"6".to_vec())
    );
    assert_eq!(field(&list, &[2, 2, 1]), b"__name__");
}

#[tokio::test]
async fn unknown_metrics_are_asked_of_the_other_adapter() {
    let other = Router::new()
        .route(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/s0-rabbitmq",
            axum::routing::get(|uri: http::Uri, headers: http::HeaderMap| async move {
                format!(
                    "{{\"asked\":\"{uri}\",\"by\":{:?}}}",
                    headers["authorization"].to_str().unwrap_or("")
                )
            }),
        )
        .route(
            "/apis/external.metrics.k8s.io/v1beta1",
            axum::routing::get(|| async {
                "{\"resources\":[{\"name\":\"s0-rabbitmq\",\"namespaced\":true}]}"
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, other).await });
    let dir = tempfile::tempdir().expect("a folder");
    let token = dir.path().join("token");
    std::fs::write(&token, "secret\n").expect("writes");
    let options = |url: &str| ForwardOptions {
        url: url.into(),
        tls: ::http::client::TlsOptions { trust: ::http::client::Trust::Insecure, identity: None },
        token_file: Some(token.clone()),
    };
    let forward = Forward::open(options(&url)).expect("opens");
    let listing = tokio::spawn(forward.clone().keep_listed("external.metrics.k8s.io/v1beta1"));
    while forward.resources().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    listing.abort();
    let router = router(Some(forward));
    let path =
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/s0-rabbitmq?labelSelector=a%3Db";
    let (status, body) = get(&router, path).await;
    assert_eq!((status, body), (200, json!({"asked": path, "by": "Bearer secret"})));
    let (_, list) = get(&router, "/apis/external.metrics.k8s.io/v1beta1").await;
    let names: Vec<&str> = list["resources"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|r| r["name"].as_str())
        .collect();
    assert_eq!(names, ["queue", "s0-rabbitmq"]);
    let (status, _) =
        ask(&router, "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/none", "*/*").await;
    assert_eq!(status, 404, "the other's answer");
    // What we know ourselves is not passed on.
    let (_, list) =
        get(&router, "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue").await;
    assert_eq!(list["items"][0]["value"], "6");
    let gone = self::router(Some(Forward::open(options("http://127.0.0.1:1")).expect("opens")));
    let (status, body) = get(&gone, path).await;
    let message = body["message"].as_str().unwrap_or_default();
    assert!(
        status == 503
            && message.contains("no rule gives this metric, and http://127.0.0.1:1 failed"),
        "{body}"
    );
    assert!(Forward::open(options("nowhere")).is_err());
}

#[tokio::test]
async fn estimates_with_proposals() {
    let router = router(None);
    let (status, list) = get(&router, "/apis/kubevigil.dev/v1/namespaces/shop/estimates").await;
    assert_eq!(status, 200, "{list}");
    let item = &list["items"][0];
    assert_eq!(item["metadata"], json!({"name": "deployment.web.app", "namespace": "shop"}));
    assert_eq!(
        (item["image"].as_str(), item["cpuCores"]["peak"].as_f64().map(|p| (p * 1e6).round())),
        (Some("web:1"), Some(200_000.0))
    );
    assert_eq!(item["proposal"]["confidence"], "low");
    assert!(item["proposal"]["requests"]["cpu"].as_str().expect("text").ends_with('m'), "{item}");
    let (_, none) = get(&router, "/apis/kubevigil.dev/v1/namespaces/other/estimates").await;
    assert_eq!(none["items"], json!([]));
    let (_, one) =
        get(&router, "/apis/kubevigil.dev/v1/namespaces/shop/estimates/deployment.web.app").await;
    assert_eq!(one["kind"], "Estimate");
    let (_, image) = get(&router, "/apis/kubevigil.dev/v1/estimates?image=web:2").await;
    assert_eq!(image["items"][0]["image"], "web:2");
    let (status, _) = get(&router, "/apis/kubevigil.dev/v1/namespaces/shop/estimates/x").await;
    assert_eq!(status, 404);
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let (_, body) = ask(&router, "/apis/kubevigil.dev/v1/estimates", accept).await;
    let table: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(table["rows"][0]["cells"][0], "deployment.web.app");
}
