//! Administration, rights, search, notifications, the OpenAPI document and memory limits,
//! asked through the router.

use super::*;
use crate::access;
use crate::openapi::{ENDPOINTS, Kind as ParameterKind};
use axum::body::Bytes;
use http_body_util::BodyExt;

async fn put(router: Router, path: &str) -> (u16, String) {
    let request = Request::put(path).body(Body::empty()).unwrap();
    let (status, _, body) = ask(router, request).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn what_is_deleted_is_gone_where_that_is_switched_on() {
    let delete = "/api/v1/admin/tsdb/delete_series";
    let shelf = Shelf::new(true);
    let off = router_with(shelf.clone(), |options| Options { admin: false, ..options });
    let snapshot = "/api/v1/admin/tsdb/snapshot";
    for path in [delete, "/api/v1/admin/tsdb/clean_tombstones", snapshot] {
        let (status, body) = put(off.clone(), path).await;
        let wanted = "{\"status\":\"error\",\"errorType\":\"unavailable\",\
                      \"error\":\"admin APIs disabled\"}";
        assert_eq!((status, body.as_str()), (500, wanted), "{path}");
    }
    let on = router(shelf.clone());
    let values = "/api/v1/label/pod/values?match[]=requests_total";
    assert_eq!(get_of(on.clone(), values).await.1["data"], json!(["a", "b\"\n"]));
    let path = format!("{delete}?match[]=requests_total%7Bpod=%22a%22%7D");
    assert_eq!(put(on.clone(), &path).await, (204, String::new()));
    assert_eq!(get_of(on.clone(), values).await.1["data"], json!(["b\"\n"]));
    // By a form as well, and of a time alone.
    let request = Request::post(delete)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("match[]=temperature&start=1700000031"))
        .unwrap();
    assert_eq!(ask(on.clone(), request).await.0, 204);
    let count = "/api/v1/query?query=count_over_time(temperature%5B2m%5D)&time=1700000060";
    let (_, body) = get_of(on.clone(), count).await;
    assert_eq!(body["data"]["result"][0]["value"][1], "31");
    assert_eq!(put(on.clone(), "/api/v1/admin/tsdb/clean_tombstones").await.0, 204);
    let (status, body) = put(on.clone(), snapshot).await;
    assert_eq!(status, 200, "{body}");
    let body: Json = serde_json::from_str(&body).unwrap();
    let name = body["data"]["name"].as_str().unwrap();
    assert!(name.len() == 33 && name.starts_with("20"), "{name}");
    let copy = Db::open(&shelf.folder.path().join("snapshots").join(name), Default::default());
    let metrics = copy.unwrap().label_values("__name__", &[], i64::MIN, i64::MAX).unwrap();
    assert_eq!(metrics, ["latency", "requests_total", "temperature"]);
    for (path, text) in [
        (delete.to_owned(), "no match[] parameter provided"),
        (
            format!("{snapshot}?skip_head=x"),
            "invalid parameter \"skip_head\": unable to parse boolean: strconv.ParseBool: parsing \
             \"x\": invalid syntax",
        ),
        (
            format!("{delete}?match[]=a&start=x"),
            "invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a \
             valid timestamp",
        ),
    ] {
        let (status, body) = put(on.clone(), &path).await;
        let body: Json = serde_json::from_str(&body).unwrap();
        assert_eq!((status, body["error"].as_str()), (400, Some(text)), "{path}");
    }
}

#[tokio::test]
async fn the_program_is_told_to_reload_or_end_where_that_is_switched_on() {
    let shelf = Shelf::new(true);
    for path in ["/-/reload", "/-/quit"] {
        let wanted = (403, "Lifecycle API is not enabled.".to_owned());
        assert_eq!(put(router(shelf.clone()), path).await, wanted);
        let request = Request::get(path).body(Body::empty()).unwrap();
        let (status, _, body) = ask(router(shelf.clone()), request).await;
        assert_eq!((status.as_u16(), body.as_str()), (405, "Only POST or PUT requests allowed"));
    }
    let (reload, mut asked) = tokio::sync::mpsc::channel::<crate::lifecycle::Reloading>(1);
    let quit = Arc::new(tokio::sync::Notify::new());
    let lifecycle = crate::lifecycle::Lifecycle { reload, quit: quit.clone() };
    let on = router_with(shelf, |options| Options { lifecycle: Some(lifecycle), ..options });
    tokio::spawn(async move {
        for outcome in [Ok(()), Err("p.yml:1:2: x".to_owned())] {
            asked.recv().await.unwrap().send(outcome).unwrap();
        }
    });
    assert_eq!(put(on.clone(), "/-/reload").await, (200, String::new()));
    let wanted = (500, "failed to reload config: p.yml:1:2: x\n".to_owned());
    assert_eq!(put(on.clone(), "/-/reload").await, wanted);
    // Nobody listens any more.
    assert_eq!(put(on.clone(), "/-/reload").await.0, 500);
    let (_, features) = get_of(on.clone(), "/api/v1/features").await;
    assert_eq!(features["data"]["api"]["lifecycle"], true);
    let wanted = (200, "Requesting termination... Goodbye!".to_owned());
    assert_eq!(put(on, "/-/quit").await, wanted);
    quit.notified().await;
}

#[tokio::test]
async fn what_configuration_is_in_effect_is_told() {
    let (_, config) = get("/api/v1/status/config").await;
    assert_eq!(config["data"]["yaml"], "scrape_configs: []\n");
    let (_, runtime) = get("/api/v1/status/runtimeinfo").await;
    assert_eq!(runtime["data"]["reloadConfigSuccess"], true);
    assert_eq!(runtime["data"]["lastConfigTime"], "1970-01-01T00:00:01.500Z");
}

#[tokio::test]
async fn users_do_what_they_are_named_for() {
    let names = |name: &str| std::collections::BTreeSet::from([name.to_owned()]);
    let users =
        access::Users { read: names("ann"), send: names("pump"), administer: names("root") };
    let router = router_with(Shelf::new(true), |options| Options { users, ..options });
    let as_user = async |user: &str, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let mut request = request.body(Body::empty()).unwrap();
        if !user.is_empty() {
            request.extensions_mut().insert(http::User(user.into()));
        }
        ask(router.clone(), request).await.0.as_u16()
    };
    let labels = "/api/v1/labels";
    assert_eq!(as_user("ann", "GET", labels).await, 200);
    assert_eq!(as_user("pump", "GET", labels).await, 403);
    assert_eq!(as_user("", "GET", "/").await, 403);
    assert_eq!(as_user("", "GET", "/-/healthy").await, 200);
    assert_eq!(as_user("ann", "POST", "/api/v1/write").await, 403);
    // Let in, and then the body is none.
    assert_eq!(as_user("pump", "POST", "/api/v1/write").await, 400);
    let clean = "/api/v1/admin/tsdb/clean_tombstones";
    assert_eq!(as_user("ann", "POST", clean).await, 403);
    assert_eq!(as_user("root", "POST", clean).await, 204);
    assert_eq!(as_user("ann", "DELETE", "/api/vigil/v1/queries/1").await, 403);
    assert_eq!(as_user("root", "DELETE", "/api/vigil/v1/queries/1").await, 404);
}

/// The lines of a search.
async fn search(path: &str) -> Vec<Json> {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (status, headers, body) = ask(router(Shelf::new(true)), request).await;
    assert_eq!(status, 200, "{path}: {body}");
    assert_eq!(headers[header::CONTENT_TYPE], "application/x-ndjson; charset=utf-8");
    body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn names_are_found_as_they_are_typed() {
    let time = "start=1700000000&end=1700000060";
    let end = |more: bool| json!({ "status": "success", "has_more": more });
    let names = "/api/v1/search/metric_names";
    let all = search(&format!("{names}?{time}&include_metadata=true&batch_size=2")).await;
    let first = json!({ "results": [
        { "name": "latency" },
        { "name": "requests_total", "type": "counter", "help": "Help." },
    ] });
    let second =
        json!({ "results": [{ "name": "temperature", "type": "gauge", "help": "Help." }] });
    assert_eq!(all, [first, second, end(false)]);
    let some = search(&format!("{names}?{time}&search[]=te&sort_by=score&include_score=1")).await;
    let found: Vec<_> = some[0]["results"].as_array().unwrap().iter().map(|r| &r["name"]).collect();
    assert_eq!(found, ["temperature", "latency"]);
    assert_eq!(some[0]["results"][0]["score"], 1.0);
    let one = search(&format!("{names}?{time}&limit=1&sort_by=alpha&sort_dir=dsc")).await;
    assert_eq!(one, [json!({ "results": [{ "name": "temperature" }] }), end(true)]);
    let none = search(&format!("{names}?{time}&search[]=xyz")).await;
    assert_eq!(none, [json!({ "results": [] }), end(false)]);
    let labels = search(&format!("/api/v1/search/label_names?{time}&search[]=O")).await;
    assert_eq!(labels[0], json!({ "results": [] }));
    let labels = format!("/api/v1/search/label_names?{time}&search[]=O&case_sensitive=false");
    assert_eq!(
        search(&labels).await[0],
        json!({ "results": [{ "name": "job" }, { "name": "pod" }] })
    );
    let values = format!("/api/v1/search/label_values?{time}&label=pod&match[]=temperature");
    assert_eq!(search(&values).await[0], json!({ "results": [{ "value": "a" }] }));
}

#[tokio::test]
async fn a_search_that_is_none_is_told_so() {
    let many = "&search[]=a".repeat(33);
    for (query, text) in [
        ("start=x", "invalid time value for 'start': cannot parse \"x\" to a valid timestamp"),
        ("start=2&end=1", "end timestamp must not be before start timestamp"),
        ("fuzz_threshold=101", "invalid fuzz_threshold \"101\": must be 0-100"),
        ("fuzz_alg=x", "unsupported fuzz_alg \"x\": must be one of [subsequence jarowinkler]"),
        ("case_sensitive=x", "invalid case_sensitive \"x\": must be boolean"),
        ("sort_dir=asc", "sort_dir is only valid when sort_by is set"),
        ("sort_by=score", "sort_by=score requires search[] to be set"),
        ("sort_by=x", "invalid sort_by \"x\" for metric_names: must be \"alpha\" or \"score\""),
        ("limit=0", "invalid limit \"0\": must be a positive integer"),
        (
            "limit=10001",
            "limit 10001 exceeds the configured maximum (10000, see --web.search.max-limit)",
        ),
        ("batch_size=-1", "invalid batch_size \"-1\": must be a positive integer"),
        (many.as_str(), "too many search[] terms: got 33, maximum is 32"),
    ] {
        let found = refused(&format!("/api/v1/search/metric_names?{query}")).await;
        assert_eq!(found, (400, "bad_data".to_owned(), text.to_owned()), "{query}");
    }
    let (_, _, text) = refused("/api/v1/search/label_values").await;
    assert_eq!(text, "missing required parameter \"label\"");
}

#[tokio::test]
async fn blocks_and_what_takes_room() {
    let shelf = Shelf::new(true);
    let db = shelf.db.clone().unwrap();
    db.flush().unwrap();
    let router = router(shelf);
    let (_, body) = get_of(router.clone(), "/api/v1/status/tsdb/blocks").await;
    let blocks = body["data"]["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 1, "{body}");
    assert_eq!(blocks[0]["ulid"].as_str().unwrap().len(), 26);
    assert_eq!(blocks[0]["minTime"], NOW_MS - 60_000);
    assert_eq!(blocks[0]["maxTime"], NOW_MS + 1);
    assert_eq!(blocks[0]["stats"]["numSamples"], 61 * 3 + 1);
    assert_eq!(blocks[0]["compaction"]["level"], 1);
    // What the block does not have came after it.
    let labels = Labels::from_pairs([("__name__", "fresh"), ("pod", "a")]);
    let sample = Sample { time_ms: NOW_MS + 1000, start_ms: 0, value: Value::Float(1.0) };
    db.append(&[(labels, sample)]).unwrap();
    let (_, body) = get_of(router, "/api/v1/status/tsdb?limit=1").await;
    let begun = json!([{ "name": "fresh", "value": 1 }]);
    assert_eq!(body["data"]["seriesCreatedByMetricName"], begun);
    assert!(body["data"]["seriesCountByTarget"].is_array(), "{body}");
    assert!(body["data"]["seriesEndedByMetricName"].is_array(), "{body}");
}

#[tokio::test]
async fn notifications_are_listed_and_pushed() {
    let (_, body) = get("/api/v1/notifications").await;
    assert_eq!(body["data"].as_array().unwrap().len(), 1, "{body}");
    assert_eq!(body["data"][0]["text"], "Something: so it is");
    assert_eq!(body["data"][0]["active"], true);
    let router = router(Shelf::new(true));
    let listen = async || {
        let request = Request::get("/api/v1/notifications/live").body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap()
    };
    let mut all = Vec::new();
    for _ in 0..16 {
        let response = listen().await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        all.push(response);
    }
    assert_eq!(listen().await.status(), 204);
    let mut body = all.pop().unwrap().into_body();
    let first: Bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = String::from_utf8(first.to_vec()).unwrap();
    assert!(text.starts_with("data: {") && text.ends_with("}\n\n"), "{text}");
    assert!(text.contains("\"text\":\"Something: so it is\""), "{text}");
    // Who goes makes room.
    drop((body, all));
    let mut waited = 0;
    while listen().await.status() == 204 {
        waited += 1;
        assert!(waited < 100, "nobody seems to have gone");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_the_document_names_is_there() {
    let router = router(Shelf::new(true));
    for endpoint in ENDPOINTS {
        let path = endpoint.path.replace("{name}", "job");
        for method in endpoint.methods {
            let request = Request::builder().method(*method).uri(format!("/api/v1{path}"));
            let request = request.body(Body::empty()).unwrap();
            let status = router.clone().oneshot(request).await.unwrap().status().as_u16();
            assert!(!matches!(status, 404 | 405), "{method} {path}: {status}");
            let needs = endpoint.parameters.iter();
            let needs = needs.filter(|p| p.required && p.kind != ParameterKind::Path).count();
            let takes_body = endpoint.tag == "remote" || endpoint.tag == "otlp";
            assert_eq!(status == 400, needs > 0 || takes_body, "{method} {path}: {status}");
        }
    }
    let request = Request::get("/api/v1/openapi.yaml?openapi_version=3.2");
    let (status, headers, body) = ask(router, request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(headers[header::CONTENT_TYPE], "application/yaml; charset=utf-8");
    assert!(body.starts_with("openapi: 3.2.0\n") && body.contains("version: \"1.2.3\""));
}

#[tokio::test]
async fn queries_beyond_their_memory_are_refused_with_the_reason() {
    let heavy = "/api/v1/query_range?query=label_replace(vector(1),%22a%22,%22b%22,%22%22,%22%22)\
                 &start=1&end=10000&step=1";
    let limited = |query_bytes, total_bytes| {
        router_with(Shelf::new(true), |options| {
            let limits = Limits { query_bytes, total_bytes, ..options.limits.clone() };
            Options { limits, ..options }
        })
    };
    assert_eq!(get_of(limited(Some(10 << 20), Some(10 << 20)), heavy).await.0, 200);
    let (status, body) = get_of(limited(Some(10_000), None), heavy).await;
    assert_eq!((status.as_u16(), &body["errorType"]), (422, &json!("execution")));
    let text = body["error"].as_str().unwrap();
    assert!(text.contains("more than 10000 bytes of memory"), "{text}");
    let full = limited(None, Some(1 << 19));
    let (status, body) = get_of(full.clone(), heavy).await;
    assert_eq!((status.as_u16(), &body["errorType"]), (503, &json!("unavailable")));
    let text = body["error"].as_str().unwrap();
    assert!(text.contains("not more than 524288 may be"), "{text}");
    // What holds nothing is answered still.
    assert_eq!(get_of(full, "/api/v1/query?query=1").await.0, 200);
}

#[tokio::test]
async fn series_that_names_alone_tell_apart() {
    let shelf = Shelf::new(true);
    let db = shelf.db.clone().unwrap();
    let router = router(shelf);
    let selected = "%7B__name__=~%22requests_total%7Ctemperature%22,pod=%22a%22%7D%5B1m%5D";
    let ask = async |query: &str| {
        let path = format!("/api/v1/query?query={query}&time=1700000060");
        let (status, body) = get_of(router.clone(), &path).await;
        (status.as_u16(), body)
    };
    // From the head, then from a block.
    for _ in 0..2 {
        let (status, body) = ask(&format!("last_over_time({selected})")).await;
        assert_eq!(status, 200, "{body}");
        let found: Vec<_> = (body["data"]["result"].as_array().unwrap().iter())
            .map(|s| (s["metric"]["__name__"].as_str().unwrap(), s["value"][1].as_str().unwrap()))
            .collect();
        assert_eq!(found, [("requests_total", "60"), ("temperature", "-0.5")]);
        let (_, body) = ask(&format!("sum%20by%20(pod)%20(last_over_time({selected}))")).await;
        let result = json!([{ "metric": { "pod": "a" }, "value": [1_700_000_060, "59.5"] }]);
        assert_eq!(body["data"]["result"], result);
        let (status, body) = ask(&format!("sum%20by%20(pod)%20(rate({selected}))")).await;
        let text = "vector cannot contain metrics with the same labelset";
        assert_eq!((status, &body["error"]), (422, &json!(text)));
        db.flush().unwrap();
    }
}

#[tokio::test]
async fn range_queries_that_go_on_see_what_came_late_and_what_was_deleted() {
    let shelf = Shelf::new(true);
    let db = shelf.db.clone().unwrap();
    let cache = Arc::new(promql::RangeCache::of_everything(1 << 20));
    let kept = Some(cache.clone());
    let router = router_with(shelf, |options| Options { range_cache: kept, ..options });
    let labels = Labels::from_pairs([("__name__", "queue_length"), ("pod", "a")]);
    let put = |second: i64, value: f64| {
        let time_ms = NOW_MS + second * 1000;
        let sample = Sample { time_ms, start_ms: 0, value: Value::Float(value) };
        db.append(&[(labels.clone(), sample)]).unwrap();
    };
    let ask = async |end: i64, more: &str| {
        let (start, end) = (NOW_MS / 1000 + end - 100, NOW_MS / 1000 + end);
        let path = format!(
            "/api/v1/query_range?query=max_over_time(queue_length%5B30s%5D)\
             &start={start}&end={end}&step=10{more}"
        );
        let (status, body) = get_of(router.clone(), &path).await;
        assert_eq!(status, 200, "{body}");
        body
    };
    (0..20).for_each(|i| put(i * 10, i as f64));
    ask(200, "").await;
    let hits = || cache.stats().hits;
    // Later, with what came since.
    put(205, 99.0);
    assert_eq!(ask(210, "").await, ask(210, "&nocache=1").await);
    assert_eq!(hits(), 1);
    // Again, with nothing new.
    assert_eq!(ask(210, "").await, ask(210, "&nocache=true").await);
    assert_eq!(hits(), 2);
    // A sample of long ago: hardly anything that is kept holds.
    put(122, 1000.0);
    assert_eq!(ask(210, "").await, ask(210, "&nocache=1").await);
    assert_eq!(hits(), 2);
    assert_eq!(ask(210, "").await, ask(210, "&nocache=1").await);
    assert_eq!(hits(), 3);
    // What is deleted is gone at once.
    let matchers = [model::Matcher::equal("__name__", "queue_length")];
    db.delete(&matchers, NOW_MS + 115_000, NOW_MS + 125_000).unwrap();
    let left = ask(210, "").await;
    assert_eq!(left, ask(210, "&nocache=1").await);
    assert!(!left.to_string().contains("1000"), "{left}");
    assert_eq!(hits(), 3);
    // Whoever asks what it takes sees it taken.
    assert!(
        ask(210, "&stats=true").await["data"]["stats"]["samples"]["samplesRead"].as_u64()
            > Some(10)
    );
    assert_eq!(hits(), 3);
    let (status, _) = get_of(router, "/api/v1/query?query=1&nocache=maybe").await;
    assert_eq!(status, 400);
}
