//! The API over a real store in a folder of its own, asked through its router.

use crate::backend::{Families, Metadata, Notice, Round, Severity, Status, Target};
use crate::{Api, Backend, Failure, Limits, Options, otlp, receive};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use model::histogram::Span;
use model::{Family, Histogram, Kind, Labels, Sample, Sink, Storage, Value};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tower::ServiceExt;
use tsdb::Db;

mod senders;
mod service;

/// The newest sample of the store, in milliseconds since the Unix epoch.
const NOW_MS: i64 = 1_700_000_060_000;

struct Shelf {
    db: Option<Db>,
    short_of_memory: AtomicBool,
    /// Reads wait while it is true.
    held: Mutex<bool>,
    released: Condvar,
    folder: tempfile::TempDir,
}

impl Shelf {
    fn new(open: bool) -> Arc<Shelf> {
        let folder = tempfile::tempdir().unwrap();
        let db = open.then(|| Db::open(folder.path(), tsdb::Options::default()).unwrap());
        if let Some(db) = &db {
            fill(db);
        }
        Arc::new(Shelf {
            db,
            short_of_memory: AtomicBool::new(false),
            held: Mutex::new(false),
            released: Condvar::new(),
            folder,
        })
    }

    fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.released.notify_all();
    }
}

/// Two counters of 61 samples a second apart, a gauge, and a native histogram.
fn fill(db: &Db) {
    let mut samples = Vec::new();
    let series =
        |name, pod| Labels::from_pairs([("__name__", name), ("pod", pod), ("job", "test")]);
    for second in 0..=60_i64 {
        let time_ms = NOW_MS - 60_000 + second * 1000;
        let at = |value| Sample { time_ms, start_ms: 0, value };
        samples.push((series("requests_total", "a"), at(Value::Float(second as f64))));
        samples.push((series("requests_total", "b\"\n"), at(Value::Float(second as f64 * 2.0))));
        samples.push((series("temperature", "a"), at(Value::Float(-0.5))));
    }
    let histogram = Histogram {
        schema: 0,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 4.0,
        sum: 5.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![1.0, 2.0],
        ..Histogram::default()
    };
    let value = Value::Histogram(Arc::new(histogram));
    samples.push((series("latency", "a"), Sample { time_ms: NOW_MS, start_ms: 0, value }));
    db.append(&samples).unwrap();
}

impl Backend for Shelf {
    fn storage(&self) -> Result<Arc<dyn Storage>, Failure> {
        let mut held = self.held.lock().unwrap();
        while *held {
            held = self.released.wait(held).unwrap();
        }
        match &self.db {
            Some(db) => Ok(Arc::new(db.clone())),
            None => Err(Failure::Unavailable("opening".into())),
        }
    }

    fn receiver(&self) -> Result<Db, Failure> {
        self.admit()?;
        self.db.clone().ok_or_else(|| Failure::Unavailable("opening".into()))
    }

    fn database(&self) -> Result<Db, Failure> {
        self.db.clone().ok_or_else(|| Failure::Unavailable("opening".into()))
    }

    fn admit(&self) -> Result<(), Failure> {
        match self.short_of_memory.load(Ordering::Relaxed) {
            true => Err(Failure::Unavailable("not enough memory".into())),
            false => Ok(()),
        }
    }

    fn sick(&self) -> Option<String> {
        None
    }

    fn status(&self) -> Status {
        Status { version: "1.2.3", hostname: "here".into(), ..Status::default() }
    }

    fn containers(&self, read: &mut dyn FnMut(&Round<'_>)) {
        read(&Round { time_ms: NOW_MS, hostname: "here", containers: &[] });
    }

    fn targets(&self) -> Vec<Target> {
        let labels = BTreeMap::from([("job".to_owned(), "test".to_owned())]);
        vec![Target {
            discovered_labels: labels.clone(),
            labels,
            scrape_pool: "test".into(),
            scrape_url: "http://127.0.0.1/metrics".into(),
            global_url: "http://127.0.0.1/metrics".into(),
            last_error: String::new(),
            last_scrape: "2026-01-01T00:00:00Z".into(),
            last_scrape_duration: 0.5,
            health: "up",
            scrape_interval: "1s".into(),
            scrape_timeout: "1s".into(),
            families: vec!["requests_total".into()],
            scrape_config: None,
        }]
    }

    fn metadata(&self) -> Arc<BTreeMap<String, Metadata>> {
        let of = |kind| Metadata { kind, unit: String::new(), help: "Help.".into() };
        Arc::new(BTreeMap::from([
            ("requests_total".to_owned(), of("counter")),
            ("temperature".to_owned(), of("gauge")),
        ]))
    }

    fn notices(&self) -> Vec<Notice> {
        let notice = |severity, what: &str| {
            let (what, why) = (what.to_owned(), "so it is".to_owned());
            Notice { severity, what, why, remedy: None }
        };
        vec![notice(Severity::Info, "Nothing"), notice(Severity::Warning, "Something")]
    }

    fn write_families(&self, _: Families, sink: &mut dyn Sink) {
        sink.family(&Family { name: "up", help: "Up.", kind: Kind::Gauge, unit: "" });
        sink.sample("up", &[], 1.0, None);
    }

    fn configuration(&self) -> crate::backend::Configuration {
        let yaml = "scrape_configs: []\n".into();
        crate::backend::Configuration { yaml, is_current: true, read_ms: 1_500 }
    }
}

fn router(shelf: Arc<Shelf>) -> Router {
    router_with(shelf, |options| options)
}

fn router_with(shelf: Arc<Shelf>, change: impl FnOnce(Options) -> Options) -> Router {
    let limits = Limits { timeout: Duration::from_secs(5), concurrency: 2, ..Limits::default() };
    let receive = receive::Options {
        remote_write: true,
        otlp: Some(otlp::Settings::default()),
        ..receive::Options::default()
    };
    let engine = promql::Engine::new(promql::EngineOptions::default());
    let options = Options { limits, receive, admin: true, ..Options::default() };
    Api::new(shelf, engine, change(options)).router()
}

async fn ask(router: Router, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let response = router.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn get(path: &str) -> (StatusCode, Json) {
    get_of(router(Shelf::new(true)), path).await
}

async fn get_of(router: Router, path: &str) -> (StatusCode, Json) {
    let (status, _, body) = ask(router, Request::get(path).body(Body::empty()).unwrap()).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}")))
}

/// The error type and text of an answer that must be an error.
async fn refused(path: &str) -> (u16, String, String) {
    let (status, body) = get(path).await;
    assert_eq!(body["status"], "error", "{path}: {body}");
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (status.as_u16(), text("errorType"), text("error"))
}

#[tokio::test]
async fn instant_vectors() {
    let (status, body) = get("/api/v1/query?query=requests_total&time=1700000060").await;
    assert_eq!(status, 200);
    let wanted = json!({ "status": "success", "data": { "resultType": "vector", "result": [
        { "metric": { "__name__": "requests_total", "job": "test", "pod": "a" },
          "value": [1_700_000_060, "60"] },
        { "metric": { "__name__": "requests_total", "job": "test", "pod": "b\"\n" },
          "value": [1_700_000_060, "120"] },
    ] } });
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn scalars_strings_and_histograms() {
    let (_, body) = get("/api/v1/query?query=1%2F0&time=1.5").await;
    assert_eq!(body["data"], json!({ "resultType": "scalar", "result": [1.5, "+Inf"] }));
    let (_, body) = get("/api/v1/query?query=%22a%22&time=2015-07-01T20:10:51.781Z").await;
    let wanted = json!({ "resultType": "string", "result": [1_435_781_451.781, "a"] });
    assert_eq!(body["data"], wanted);
    let (_, body) = get("/api/v1/query?query=latency&time=1700000060").await;
    let wanted = json!([1_700_000_060, { "count": "4", "sum": "5.5", "buckets": [
        [3, "-0.001", "0.001", "1"], [0, "0.5", "1", "1"], [0, "1", "2", "2"],
    ] }]);
    assert_eq!(body["data"]["result"][0]["histogram"], wanted);
    assert_eq!(body["data"]["result"][0].get("value"), None);
}

#[tokio::test]
async fn ranges_by_get_and_by_post() {
    let form = "query=rate(requests_total%7Bpod%3D%22a%22%7D%5B10s%5D)\
                &start=1700000040&end=1700000060&step=10";
    let (_, by_get) = get(&format!("/api/v1/query_range?{form}")).await;
    let request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/query_range")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8")
        .body(Body::from(form))
        .unwrap();
    let (status, headers, body) = ask(router(Shelf::new(true)), request).await;
    assert_eq!(
        (status.as_u16(), &headers[header::CONTENT_TYPE]),
        (200, &"application/json".parse().unwrap())
    );
    assert_eq!(serde_json::from_str::<Json>(&body).unwrap(), by_get);
    let wanted = json!([[1_700_000_040, "1"], [1_700_000_050, "1"], [1_700_000_060, "1"]]);
    assert_eq!(by_get["data"]["result"][0]["values"], wanted);
    assert_eq!(by_get["data"]["resultType"], "matrix");
}

#[tokio::test]
async fn long_answers_come_in_pieces_and_whole() {
    // 11 x 60 points of 11 series, more than one piece of 64 KiB.
    let path = "/api/v1/query_range?query=sum%20by(a)(label_replace(vector(time()),%22a%22,%22x%22,%22%22,%22%22))\
                &start=0&end=10999&step=1";
    let (status, body) = get(path).await;
    assert_eq!(status, 200);
    let values = body["data"]["result"][0]["values"].as_array().unwrap();
    assert_eq!(values.len(), 11_000);
    assert_eq!(values[10_999], json!([10_999, "10999"]));
}

#[tokio::test]
async fn limits_cut_and_say_so() {
    let (_, body) = get("/api/v1/query?query=requests_total&time=1700000060&limit=1").await;
    assert_eq!(body["data"]["result"].as_array().unwrap().len(), 1);
    assert_eq!(body["warnings"], json!(["results truncated due to limit"]));
    let (_, body) = get("/api/v1/query?query=requests_total&time=1700000060&limit=2").await;
    assert_eq!(body.get("warnings"), None);
    let (_, body) = get("/api/v1/labels?limit=1").await;
    assert_eq!(body["data"], json!(["__name__"]));
    assert_eq!(body["warnings"], json!(["results truncated due to limit"]));
    let (_, body) = get("/api/v1/series?match[]=requests_total&limit=1").await;
    assert_eq!(body["data"].as_array().unwrap().len(), 1);
    assert_eq!(body["warnings"], json!(["results truncated due to limit"]));
}

#[tokio::test]
async fn labels_values_and_series() {
    let (_, body) = get("/api/v1/labels").await;
    assert_eq!(body, json!({ "status": "success", "data": ["__name__", "job", "pod"] }));
    let (_, body) = get("/api/v1/label/pod/values").await;
    assert_eq!(body["data"], json!(["a", "b\"\n"]));
    let (_, body) = get("/api/v1/label/pod/values?match[]=temperature").await;
    assert_eq!(body["data"], json!(["a"]));
    let (_, body) = get("/api/v1/label/U__pod/values?match[]=latency").await;
    assert_eq!(body["data"], json!(["a"]));
    let (_, body) = get("/api/v1/label/none/values").await;
    assert_eq!(body, json!({ "status": "success", "data": [] }));
    let (_, body) =
        get("/api/v1/series?match[]=temperature&match[]=%7Bpod=%22a%22,__name__=~%22t.*%22%7D")
            .await;
    let wanted = json!([{ "__name__": "temperature", "job": "test", "pod": "a" }]);
    assert_eq!(body["data"], wanted);
    let (_, body) = get("/api/v1/series?match[]=temperature&end=1600000000").await;
    assert_eq!(body["data"], json!([]));
}

#[tokio::test]
async fn stats_are_told_when_asked_for() {
    let (_, body) = get("/api/v1/query?query=requests_total&time=1700000060&stats=all").await;
    let stats = &body["data"]["stats"];
    assert_eq!(stats["samples"]["totalQueryableSamples"], 2);
    assert_eq!(stats["samples"]["totalQueryableSamplesPerStep"], json!([[1_700_000_060, 2]]));
    assert!(stats["timings"]["execTotalTime"].as_f64().unwrap() > 0.0);
    let (_, body) =
        get("/api/v1/query?query=sum(requests_total)&time=1700000060&explain=true").await;
    let explain = &body["data"]["explain"];
    assert_eq!(explain["expr"], "sum(requests_total)", "{explain}");
    let read = &explain["children"][0]["children"][0];
    assert_eq!(read["expr"], "requests_total", "{explain}");
    assert!(read["series"].as_u64() > Some(0) && read["samples"].as_u64() > Some(0), "{explain}");
    assert!(explain["seconds"].as_f64() >= read["seconds"].as_f64(), "{explain}");
    let (status, body) = get("/api/v1/query?query=1&explain=yes").await;
    assert_eq!(
        (status.as_u16(), &body["errorType"]),
        (400, &serde_json::json!("bad_data")),
        "{body}"
    );
    let (_, body) = get("/api/v1/query?query=1&stats=yes").await;
    assert!(body["warnings"][0].as_str().unwrap().starts_with("value \"yes\" for parameter"));
    let (_, body) = get("/api/v1/query?query=1").await;
    assert_eq!(body["data"].get("stats"), None);
}

/// The texts are Prometheus's own; `tests/whole/prometheus_api.rs` compares more of them with a
/// real one.
#[tokio::test]
async fn errors_have_prometheuss_words() {
    for (path, status, kind, text) in [
        (
            "/api/v1/query?query=1&time=x",
            400,
            "bad_data",
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"x\" to a valid timestamp",
        ),
        (
            "/api/v1/query?query=1&limit=x",
            400,
            "bad_data",
            "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            "/api/v1/query?query=1&limit=-1",
            400,
            "bad_data",
            "invalid parameter \"limit\": limit must be non-negative",
        ),
        (
            "/api/v1/query?query=1&timeout=x",
            400,
            "bad_data",
            "invalid parameter \"timeout\": cannot parse \"x\" to a valid duration",
        ),
        (
            "/api/v1/query?query=1&lookback_delta=x",
            400,
            "bad_data",
            "error parsing lookback delta duration: cannot parse \"x\" to a valid duration",
        ),
        (
            "/api/v1/query?query=sum(",
            400,
            "bad_data",
            "invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis",
        ),
        (
            "/api/v1/query_range?query=1&start=1&end=0&step=1",
            400,
            "bad_data",
            "invalid parameter \"end\": end timestamp must not be before start time",
        ),
        (
            "/api/v1/query_range?query=1&start=0&end=1&step=0",
            400,
            "bad_data",
            "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer",
        ),
        (
            "/api/v1/query_range?query=1&start=0&end=11001&step=1",
            400,
            "bad_data",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        (
            "/api/v1/query_range?query=1&end=1&step=1",
            400,
            "bad_data",
            "invalid parameter \"start\": cannot parse \"\" to a valid timestamp",
        ),
        ("/api/v1/series", 400, "bad_data", "no match[] parameter provided"),
        (
            "/api/v1/series?match[]=%7Ba=%22%22%7D",
            400,
            "bad_data",
            "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher",
        ),
        ("/api/v1/metadata?limit=x", 400, "bad_data", "limit must be a number"),
        ("/api/v1/status/tsdb?limit=0", 400, "bad_data", "limit must be a positive number"),
        ("/api/v1/status/tsdb?limit=10001", 400, "bad_data", "limit must not exceed 10000"),
        (
            "/api/v1/rules?type=x",
            400,
            "bad_data",
            "invalid parameter \"type\": not supported value \"x\"",
        ),
        (
            "/api/v1/query_exemplars?query=up&start=2&end=1",
            400,
            "bad_data",
            "end timestamp must not be before start timestamp",
        ),
        ("/api/v1/nothing", 404, "not_found", "no endpoint GET /api/v1/nothing"),
        ("/api/nothing", 404, "not_found", "no endpoint GET /api/nothing"),
    ] {
        let found = refused(path).await;
        assert_eq!(found, (status, kind.to_owned(), text.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn while_the_store_opens_its_endpoints_say_503_and_others_answer() {
    let shelf = Shelf::new(false);
    for path in ["/api/v1/query?query=up", "/api/v1/labels", "/api/v1/series?match[]=up"] {
        let (status, body) = get_of(router(shelf.clone()), path).await;
        assert_eq!((status.as_u16(), &body["errorType"]), (503, &json!("unavailable")), "{path}");
    }
    for path in ["/api/vigil/v1/status", "/api/vigil/v1/containers", "/api/v1/status/buildinfo"] {
        assert_eq!(get_of(router(shelf.clone()), path).await.0, 200, "{path}");
    }
    let ready = Request::get("/-/ready").body(Body::empty()).unwrap();
    assert_eq!(ask(router(shelf), ready).await.0, 503);
}

#[tokio::test]
async fn without_memory_queries_are_refused_with_the_reason() {
    let shelf = Shelf::new(true);
    shelf.short_of_memory.store(true, Ordering::Relaxed);
    let (status, body) = get_of(router(shelf), "/api/v1/query?query=up").await;
    let wanted =
        json!({ "status": "error", "errorType": "unavailable", "error": "not enough memory" });
    assert_eq!((status.as_u16(), body), (503, wanted));
}

#[tokio::test]
async fn queries_beyond_the_limit_wait_and_time_out_in_the_queue() {
    let shelf = Shelf::new(true);
    let router = router(shelf.clone());
    shelf.hold(true);
    let ask = |path| tokio::spawn(get_of(router.clone(), path));
    let running = [ask("/api/v1/query?query=1"), ask("/api/v1/query?query=1")];
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (status, body) = ask("/api/v1/query?query=1&timeout=50ms").await.unwrap();
    assert_eq!((status.as_u16(), &body["error"]), (503, &json!("query timed out in query queue")));
    shelf.hold(false);
    for query in running {
        assert_eq!(query.await.unwrap().0, 200);
    }
    // A client that goes away gives its place back.
    shelf.hold(true);
    for _ in 0..8 {
        let gone = ask("/api/v1/query?query=1");
        tokio::time::sleep(Duration::from_millis(5)).await;
        gone.abort();
    }
    shelf.hold(false);
    assert_eq!(ask("/api/v1/query?query=1").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_stopped() {
    let shelf = Shelf::new(true);
    shelf.hold(true);
    let path = "/api/v1/query_range?query=rate(requests_total[10s])&start=1700000010\
                &end=1700000060&step=1&timeout=50ms";
    let asked = tokio::spawn(get_of(router(shelf.clone()), path));
    tokio::time::sleep(Duration::from_millis(200)).await;
    shelf.hold(false);
    let (status, body) = asked.await.unwrap();
    let text = "query timed out in expression evaluation";
    let wanted = json!({ "status": "error", "errorType": "timeout", "error": text });
    assert_eq!((status.as_u16(), body), (503, wanted));
}

#[tokio::test]
async fn targets_metadata_and_what_is_empty() {
    let (_, body) = get("/api/v1/targets?state=active").await;
    assert_eq!(body["data"]["activeTargets"][0]["scrapePool"], "test");
    assert_eq!(body["data"]["activeTargets"][0].get("families"), None);
    let (_, body) = get("/api/v1/targets?state=dropped").await;
    assert_eq!(
        body["data"],
        json!({ "activeTargets": [], "droppedTargets": [], "droppedTargetCounts": { "test": 0 } })
    );
    let (_, body) = get("/api/v1/metadata?metric=temperature").await;
    let wanted = json!({ "temperature": [{ "type": "gauge", "unit": "", "help": "Help." }] });
    assert_eq!(body["data"], wanted);
    let (_, body) = get("/api/v1/targets/metadata?match_target=%7Bjob=%22test%22%7D").await;
    let wanted = json!([{ "target": { "job": "test" }, "metric": "requests_total",
                          "type": "counter", "unit": "", "help": "Help." }]);
    assert_eq!(body["data"], wanted);
    let (_, body) = get("/api/v1/scrape_pools/config?scrapePool=test").await;
    let yaml = "job_name: \"test\"\nscrape_interval: 1s\nscrape_timeout: 1s\n\
                metrics_path: /metrics\nscheme: http\n";
    assert_eq!(body["data"], json!({ "yaml": yaml }));
    let steps = "/api/v1/targets/relabel_steps?scrapePool";
    let (_, body) = get(&format!("{steps}=test&labels=%7B%22a%22:%22b%22%7D")).await;
    assert_eq!(body["data"], json!({ "steps": [] }));
    for (path, why) in [
        (format!("{steps}=&labels=%7B%7D"), "no scrapePool parameter provided"),
        (format!("{steps}=test"), "no labels parameter provided"),
        (format!("{steps}=test&labels=%5B%5D"), "error parsing labels: "),
        (
            format!("{steps}=x&labels=%7B%7D"),
            "error retrieving scrape config: scrape pool \"x\" not found",
        ),
        ("/api/v1/scrape_pools/config".into(), "no scrapePool parameter provided"),
    ] {
        let (status, body) = get(&path).await;
        assert_eq!((status.as_u16(), &body["errorType"]), (400, &json!("bad_data")), "{path}");
        let text = body["error"].as_str().unwrap_or("");
        assert!(text.starts_with(why), "{path}: {text}");
    }
    for (path, data) in [
        ("/api/v1/rules", json!({ "groups": [] })),
        ("/api/v1/alerts", json!({ "alerts": [] })),
        ("/api/v1/query_exemplars?query=up", json!([])),
        (
            "/api/v1/format_query?query=sum(rate(up%5B5m%5D))by(a)",
            json!("sum by (a) (rate(up[5m]))"),
        ),
    ] {
        assert_eq!(get(path).await.1, json!({ "status": "success", "data": data }), "{path}");
    }
}

#[tokio::test]
async fn federation_gives_the_newest_samples_as_text() {
    // The store's samples are old; federation looks five minutes back from now.
    let shelf = Shelf::new(true);
    let now_ms = crate::query::now_ms();
    let labels = Labels::from_pairs([("__name__", "fresh"), ("a", "1")]);
    let sample =
        |time_ms, v| (labels.clone(), Sample { time_ms, start_ms: 0, value: Value::Float(v) });
    let db = shelf.db.clone().unwrap();
    db.append(&[sample(now_ms - 2000, 1.0), sample(now_ms - 1000, 2.5)]).unwrap();
    let request = Request::get("/federate?match[]=fresh&match[]=requests_total");
    let (status, headers, body) = ask(router(shelf), request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, 200);
    assert!(
        headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/plain; version=0.0.4")
    );
    let wanted =
        format!("# TYPE fresh untyped\nfresh{{a=\"1\",instance=\"\"}} 2.5 {}\n", now_ms - 1000);
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn pages_answer_what_is_no_endpoint() {
    let request = Request::get("/containers").header(header::ACCEPT, "text/html");
    let (status, headers, body) =
        ask(router(Shelf::new(true)), request.body(Body::empty()).unwrap()).await;
    assert_eq!(
        (status.as_u16(), &headers[header::CONTENT_TYPE]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    assert!(body.contains("Kubevigil"), "{body}");
}
