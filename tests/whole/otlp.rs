//! OpenTelemetry's metrics beside a real Prometheus: the same payloads to both, under each
//! translation strategy and setting, as JSON and as protobuf that OpenTelemetry's own library wrote;
//! and the same series in both.

use anyhow::{Context, Result, ensure};
use model::protobuf::Message;
use serde_json::{Value, json};
use stage::program::Program;
use stage::prometheus::{Prometheus, encoded, exchange, wait_until_ready};
use stage::{peer, require};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

fn attribute(key: &str, value: Value) -> Value {
    json!({ "key": key, "value": value })
}

fn text(key: &str, value: &str) -> Value {
    attribute(key, json!({ "stringValue": value }))
}

/// A request with every kind of metric, at a time in milliseconds.
fn payload(now_ms: i64) -> Value {
    let at = |ms: i64| (i128::from(ms) * 1_000_000).to_string();
    let (start, now) = (at(now_ms - 60_000), at(now_ms));
    let exemplar = json!({
        "timeUnixNano": now, "asDouble": 0.3, "traceId": "0102030405060708090a0b0c0d0e0f10",
        "spanId": "0102030405060708", "filteredAttributes": [text("user", "u")],
    });
    let point = |more: Value| {
        let mut point = json!({ "startTimeUnixNano": start, "timeUnixNano": now });
        if let (Some(point), Some(more)) = (point.as_object_mut(), more.as_object()) {
            point.extend(more.clone());
        }
        point
    };
    let kinds = json!({ "attributes": [
        attribute("bool", json!({ "boolValue": true })),
        attribute("int", json!({ "intValue": "-7" })),
        attribute("double", json!({ "doubleValue": 1e21 })),
        attribute("list", json!({ "arrayValue": { "values": [{ "stringValue": "a" }, { "intValue": 1 }] } })),
        attribute("map", json!({ "kvlistValue": { "values": [text("b", "1"), text("a", "2")] } })),
        attribute("bytes", json!({ "bytesValue": "aGVsbG8=" })),
    ], "asInt": "5" });
    let metrics = json!([
        { "name": "http.server.duration", "unit": "s", "description": "How long.", "histogram": {
            "aggregationTemporality": 2, "dataPoints": [
                point(json!({ "count": "6", "sum": 3.5, "bucketCounts": ["1", "2", "0", "3"],
                    "explicitBounds": [0.25, 0.5, 10], "exemplars": [exemplar],
                    "attributes": [text("http.method", "GET"), text("_x", "1"), text("1st", "2")] })),
                point(json!({ "count": "0", "bucketCounts": [], "explicitBounds": [],
                    "attributes": [text("http.method", "PUT")] })),
                point(json!({ "flags": 1, "attributes": [text("http.method", "GONE")] })),
            ] } },
        { "name": "requests", "unit": "{request}", "sum": { "aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": [point(json!({ "asInt": "9007199254740993", "exemplars": [exemplar] }))] } },
        { "name": "already_total", "unit": "1", "sum": { "aggregationTemporality": 2, "isMonotonic": true,
            "dataPoints": [point(json!({ "asDouble": 0.1 }))] } },
        { "name": "queue.length", "unit": "1", "sum": { "aggregationTemporality": 2,
            "dataPoints": [point(json!({ "asInt": "-3" }))] } },
        { "name": "cpu.utilization", "unit": "1", "gauge": { "dataPoints": [point(json!({ "asDouble": 0.5 }))] } },
        { "name": "net.throughput", "unit": "By/s", "gauge": { "dataPoints": [point(kinds)] } },
        { "name": "disk_bytes", "unit": "By", "gauge": { "dataPoints": [
            point(json!({ "asInt": 7, "attributes": [text("a.b", "1"), text("a/b", "2"), text("job", "own")] })) ] } },
        { "name": "2xx.für", "unit": "furlongs/fortnight", "gauge": { "dataPoints": [point(json!({ "asDouble": 1 }))] } },
        { "name": "rpc", "unit": "ms", "summary": { "dataPoints": [
            point(json!({ "count": "4", "sum": 2.5, "quantileValues": [
                { "quantile": 0.5, "value": 1.5 }, { "quantile": 0.999, "value": 9 }] })) ] } },
        { "name": "latency", "unit": "us", "exponentialHistogram": { "aggregationTemporality": 2, "dataPoints": [
            point(json!({ "count": "17", "sum": 99.5, "scale": 3, "zeroCount": "2", "exemplars": [exemplar],
                "positive": { "offset": -5, "bucketCounts": ["1", "0", "0", "0", "0", "4", "0", "5"] },
                "negative": { "offset": 2, "bucketCounts": ["0", "5"] } })),
            point(json!({ "count": "12", "sum": 1.0, "scale": 11, "zeroCount": 0,
                "positive": { "offset": -3, "bucketCounts": ["1", "2", "3", "1", "1", "1", "1", "1", "1"] },
                "attributes": [text("fine", "yes")] })),
        ] } },
    ]);
    json!({ "resourceMetrics": [
        { "resource": { "attributes": [
            text("service.name", "cart"), text("service.namespace", "shop"),
            text("service.instance.id", "i-1"), text("host.name", "h1"), text("cloud.region", "eu"),
            text("service.version", "1.2") ] },
          "scopeMetrics": [{ "scope": { "name": "lib", "version": "0.1", "attributes": [text("s.a", "x")] },
            "schemaUrl": "https://example.test/schema", "metrics": metrics }] },
        { "resource": { "attributes": [text("service.name", "bare")] },
          "scopeMetrics": [{ "metrics": [{ "name": "only", "gauge": {
            "dataPoints": [point(json!({ "asDouble": 2 }))] } }] }] },
        // Points that lie further apart than half of the lookback.
        { "resource": { "attributes": [text("service.name", "wide"), text("host.name", "h2")] },
          "scopeMetrics": [{ "metrics": [{ "name": "spread", "gauge": { "dataPoints": [
            { "timeUnixNano": at(now_ms - 400_000), "asDouble": 1 }, { "timeUnixNano": now, "asDouble": 2 }] } }] }] },
    ] })
}

/// Our options, and Prometheus's block of the same meaning.
const SETTINGS: &[(&[&str], &str)] = &[
    (&[], "{}"),
    (
        &[
            "--otlp.translation-strategy",
            "UnderscoreEscapingWithoutSuffixes",
            "--otlp.promote-resource-attributes",
            "host.name,cloud.region",
        ],
        "{translation_strategy: UnderscoreEscapingWithoutSuffixes, promote_resource_attributes: [host.name, cloud.region]}",
    ),
    (
        &[
            "--otlp.translation-strategy",
            "NoUTF8EscapingWithSuffixes",
            "--otlp.promote-all-resource-attributes",
            "--otlp.ignore-resource-attributes",
            "host.name",
        ],
        "{translation_strategy: NoUTF8EscapingWithSuffixes, promote_all_resource_attributes: true, ignore_resource_attributes: [host.name]}",
    ),
    (
        &[
            "--otlp.translation-strategy",
            "NoTranslation",
            "--otlp.convert-histograms-to-nhcb",
            "--otlp.promote-scope-metadata",
            "--otlp.keep-identifying-resource-attributes",
        ],
        "{translation_strategy: NoTranslation, convert_histograms_to_nhcb: true, promote_scope_metadata: true, keep_identifying_resource_attributes: true}",
    ),
];

/// All samples of the last ten minutes, series by series.
fn all(address: SocketAddr, now_ms: i64) -> Result<Vec<String>> {
    let query = encoded("{job=~\"shop/cart|bare|wide|own\"}[10m]");
    let time = now_ms as f64 / 1000.0;
    let target = format!("/api/v1/query?query={query}&time={time}");
    let answer = exchange(address, "GET", &target, "", b"")?.json()?;
    let list = answer["data"]["result"].as_array().with_context(|| answer.to_string())?;
    let mut all: Vec<String> = list.iter().map(Value::to_string).collect();
    all.sort();
    Ok(all)
}

fn send(address: SocketAddr, kind: &str, body: &[u8]) -> Result<stage::prometheus::Answer> {
    let headers = format!("Content-Type: {kind}\r\n");
    exchange(address, "POST", "/api/v1/otlp/v1/metrics", &headers, body)
}

#[test]
fn series_are_those_that_prometheus_makes() -> Result<()> {
    if !require::present("series_are_those_that_prometheus_makes", require::program("go")) {
        return Ok(());
    }
    let now_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let request = payload(now_ms).to_string();
    let protobuf = {
        let mut child = Command::new(peer::build("otlp")?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("no input")?.write_all(request.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "the encoder failed");
        output.stdout
    };
    let mut compared = 0;
    for (options, block) in SETTINGS {
        let folder = tempfile::tempdir()?;
        let dirs = ["a", "b"].map(|d| folder.path().join(d).display().to_string());
        let start = |dir: &str| -> Result<Program> {
            let mut arguments = vec![
                "--data-dir",
                dir,
                "--collector.disable-defaults",
                "--web.enable-otlp-receiver",
            ];
            arguments.extend(*options);
            let program = Program::start("kubevigil", &arguments)?;
            wait_until_ready(program.address)?;
            Ok(program)
        };
        let (by_json, by_protobuf) = (start(&dirs[0])?, start(&dirs[1])?);
        let theirs = Prometheus::start(
            &folder.path().join("theirs"),
            &format!("otlp: {block}\nstorage:\n  tsdb: {{out_of_order_time_window: 10m}}\n"),
            &["--web.enable-otlp-receiver", "--enable-feature=exemplar-storage"],
        )?;
        let (json_kind, protobuf_kind) = ("application/json", "application/x-protobuf");
        for (address, kind, body) in [
            (by_json.address, json_kind, request.as_bytes()),
            (by_protobuf.address, protobuf_kind, &protobuf),
            (theirs.address, protobuf_kind, &protobuf),
        ] {
            let answer = send(address, kind, body)?;
            ensure!(answer.status == 200, "{block}: {answer:?}");
        }
        let wanted = all(theirs.address, now_ms)?;
        for program in [&by_json, &by_protobuf] {
            let got = all(program.address, now_ms)?;
            let left: Vec<_> = got.iter().filter(|s| !wanted.contains(s)).collect();
            let missing: Vec<_> = wanted.iter().filter(|s| !got.contains(s)).collect();
            ensure!(
                left.is_empty() && missing.is_empty(),
                "{block}:\nours {left:#?}\ntheirs {missing:#?}"
            );
            compared += got.len();
        }
        let exemplars =
            "/api/v1/query_exemplars?query=%7Bjob=%22shop/cart%22%7D&start=0&end=9999999999";
        let of = |address| -> Result<Value> {
            Ok(exchange(address, "GET", exemplars, "", b"")?.json()?["data"].clone())
        };
        let (ours, theirs_) = (of(by_json.address)?, of(theirs.address)?);
        ensure!(
            ours == theirs_ && ours.as_array().is_some_and(|a| a.len() == 3),
            "{ours}\n{theirs_}"
        );
        ensure!(by_json.stop()? == Some(0) && by_protobuf.stop()? == Some(0));
    }
    eprintln!("{compared} series compared with Prometheus's");
    ensure!(compared >= 4 * 2 * 14, "only {compared}");
    Ok(())
}

#[test]
fn what_cannot_be_taken_is_told_and_the_rest_is_kept() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().display().to_string();
    let program = Program::start(
        "kubevigil",
        &["--data-dir", &dir, "--collector.disable-defaults", "--web.enable-otlp-receiver"],
    )?;
    wait_until_ready(program.address)?;
    let now_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let now = format!("{now_ms}000000");
    let point = json!({ "timeUnixNano": now, "asInt": 1 });
    let good = json!({ "name": "good", "gauge": { "dataPoints": [point] } });
    let delta = json!({ "name": "delta", "sum": { "aggregationTemporality": 1, "dataPoints": [point, point] } });
    let of = |metrics: Value| {
        json!({ "resourceMetrics": [{ "resource": { "attributes": [text("service.name", "s")] },
        "scopeMetrics": [{ "metrics": metrics }] }] })
    };
    let json_kind = "application/json";
    let answer = send(program.address, json_kind, of(json!([good, delta])).to_string().as_bytes())?;
    let words = "invalid temporality and type combination for metric \"delta\"";
    let partial = json!({ "partialSuccess": { "rejectedDataPoints": "2", "errorMessage": words } });
    ensure!(answer.status == 200 && answer.json()? == partial, "{answer:?}");
    let answer = send(program.address, json_kind, of(json!([delta])).to_string().as_bytes())?;
    ensure!(answer.status == 400 && answer.text() == format!("{words}\n"), "{answer:?}");
    for (what, kind, body, status) in [
        ("nothing", "application/x-protobuf", &b""[..], 200),
        ("nothing in JSON", json_kind, b"{}", 200),
        ("no JSON", json_kind, b"{", 400),
        ("no protobuf", "application/x-protobuf", b"\x0a\x09", 400),
        ("another kind", "text/plain", b"", 400),
    ] {
        let answer = send(program.address, kind, body)?;
        ensure!(answer.status == status, "{what}: {answer:?}");
        if status == 200 {
            ensure!(answer.header("content-type") == kind, "{what}: {answer:?}");
            ensure!(Message::new(&answer.body).next().is_ok() || kind == json_kind);
        }
    }
    let kept = exchange(program.address, "GET", "/api/v1/query?query=good", "", b"")?.json()?;
    ensure!(kept["data"]["result"][0]["value"][1] == "1", "{kept}");
    ensure!(program.stop()? == Some(0));
    Ok(())
}
