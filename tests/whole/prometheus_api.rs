//! The Prometheus API beside a real Prometheus 3: the same data in both, the same requests to both,
//! and the same status, shape and content in the answers. The requests are those that Grafana's
//! Prometheus plugin sends, and mistakes of every kind.

use anyhow::{Context, Result, ensure};
use model::exposition::Syntax;
use model::histogram::{CUSTOM_BOUNDS_SCHEMA, ResetHint, Span};
use model::prompb::{put_histogram, put_labels};
use model::protobuf::{Message, put_double, put_integer, put_message};
use model::{Histogram, Labels, Sample, Value as Stored};
use serde_json::{Value, json};
use stage::program::Program;
use stage::prometheus::{Prometheus, encoded, exchange, wait_until_ready};
use stage::require;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A series: its labels, and its value at each of [`STEPS`].
type Series = (Vec<(&'static str, &'static str)>, fn(i64) -> f64);

/// So many samples a series, 15 s apart.
const STEPS: i64 = 60;
const STEP_MS: i64 = 15_000;

fn data() -> Vec<Series> {
    vec![
        (vec![("__name__", "seed_requests_total"), ("code", "200"), ("pod", "a")], |i| {
            i as f64 * 7.5
        }),
        (vec![("__name__", "seed_requests_total"), ("code", "500"), ("pod", "a")], |i| {
            (i / 10) as f64
        }),
        (vec![("__name__", "seed_requests_total"), ("code", "200"), ("pod", "b")], |i| {
            ((i % 40) * 3) as f64
        }),
        (vec![("__name__", "seed_temperature"), ("pod", "a")], |i| (i as f64 / 7.0).sin() * 1e-7),
        (vec![("__name__", "seed_temperature"), ("pod", "b")], |i| {
            if i % 9 == 0 { f64::NAN } else { 1e21 }
        }),
        (vec![("__name__", "seed_infinite"), ("quoted", "a\"b\\c\nd")], |_| f64::INFINITY),
        (vec![("__name__", "seed_bucket"), ("le", "0.1")], |i| i as f64),
        (vec![("__name__", "seed_bucket"), ("le", "1")], |i| i as f64 * 2.0),
        (vec![("__name__", "seed_bucket"), ("le", "+Inf")], |i| i as f64 * 2.5),
    ]
}

/// Native histograms, one with exponential and one with explicit bounds, and a gauge.
fn histograms() -> Vec<(Labels, Histogram)> {
    let of = |kind: &str| Labels::from_pairs([("__name__", "seed_latency"), ("kind", kind)]);
    let exponential = Histogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 2.0,
        count: 9.0,
        sum: 18.5,
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
        positive_buckets: vec![1.0, 2.0, 3.0],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_buckets: vec![1.0],
        ..Histogram::default()
    };
    let explicit = Histogram {
        schema: CUSTOM_BOUNDS_SCHEMA,
        count: 6.0,
        sum: 3.25,
        positive_spans: vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 2 }],
        positive_buckets: vec![1.0, 2.0, 3.0],
        custom_bounds: [0.1, 0.5, 1.0].into(),
        ..Histogram::default()
    };
    let gauge = Histogram { reset_hint: ResetHint::Gauge, ..exponential.clone() };
    vec![(of("exponential"), exponential), (of("explicit"), explicit), (of("gauge"), gauge)]
}

/// What Grafana sends, and what a person or a program may get wrong. `{S}` and `{E}` are the first
/// and the last time of the data.
const REQUESTS: &[&str] = &[
    // Health, exploration and completion.
    "/api/v1/query?query=1%2B1&time={E}",
    "/api/v1/labels?start={S}&end={E}&match[]=%7B__name__=~%22seed_.*%22%7D",
    "/api/v1/label/__name__/values?start={S}&end={E}&match[]=%7B__name__=~%22seed_.*%22%7D",
    "/api/v1/label/pod/values?match[]=seed_temperature&match[]=seed_requests_total",
    "/api/v1/label/pod/values?match[]=seed_requests_total&limit=1",
    "/api/v1/label/nothing/values?match[]=seed_temperature",
    "/api/v1/label/U__pod/values?match[]=seed_temperature",
    "/api/v1/series?match[]=seed_requests_total&start={S}&end={E}",
    "/api/v1/series?match[]=seed_requests_total&match[]=seed_bucket&start={S}&end={E}&limit=2",
    "/api/v1/series?match[]=seed_nothing",
    "/api/v1/series?match[]=seed_bucket&start=1&end=2",
    "/api/v1/query_exemplars?query=seed_requests_total&start={S}&end={E}",
    "/api/v1/rules",
    "/api/v1/rules?type=alert",
    "/api/v1/alerts",
    "/api/v1/alertmanagers",
    // Graphs and tables.
    "/api/v1/query?query=seed_requests_total&time={E}",
    "/api/v1/query?query=seed_temperature&time={E}",
    "/api/v1/query?query=seed_infinite&time={E}",
    "/api/v1/query?query=seed_requests_total[1m]&time={E}",
    "/api/v1/query?query=seed_requests_total&time={E}&limit=1",
    "/api/v1/query?query=seed_requests_total&time={E}&lookback_delta=1s",
    "/api/v1/query?query=scalar(seed_infinite)&time={E}",
    "/api/v1/query?query=%22text%22&time=1.5",
    "/api/v1/query?query=time()&time=2015-07-01T20:10:51.781Z",
    "/api/v1/query?query=time()&time=2015-07-01T20:10:51.781%2B02:00",
    "/api/v1/query?query=vector(0.000001234)&time=-1.25",
    "/api/v1/query?query=histogram_quantile(0.9,rate(seed_bucket[5m]))&time={E}",
    "/api/v1/query_range?query=sum%20by(pod)(rate(seed_requests_total[2m]))&start={S}&end={E}&step=30",
    "/api/v1/query_range?query=seed_temperature&start={S}&end={E}&step=1m",
    "/api/v1/query_range?query=seed_temperature&start={S}&end={E}&step=0.5&limit=1",
    "/api/v1/query_range?query=topk(1,seed_requests_total)&start={S}&end={E}&step=15s",
    "/api/v1/query_range?query=absent(seed_nothing)&start={S}&end={S}&step=1",
    "/api/v1/query_range?query=seed_requests_total%20/%20ignoring(code)%20group_left%20sum%20without(code)(seed_requests_total)&start={S}&end={E}&step=60",
    "/api/v1/query_range?query=rate(seed_temperature[1m])&start={S}&end={E}&step=60",
    "/api/v1/query?query=rate(seed_requests_total)&time={E}",
    "/api/v1/query?query=histogram_quantile(2,seed_bucket)&time={E}",
    "/api/v1/query?query=seed_requests_total%20%2B%20on(pod)%20seed_requests_total&time={E}",
    "/api/v1/query?query=label_replace(seed_temperature,%22x%22,%22%22,%22pod%22,%22(%22)&time={E}",
    // The editor.
    "/api/v1/format_query?query=sum(rate(foo%5B5m%5D))by(a)%2Bon(b)group_left(c)bar%20offset%205m",
    "/api/v1/format_query?query=sum(",
    "/api/v1/parse_query?query=sum(rate(foo%5B5m%5D))by(a)%2Bon(b)group_left(c)bar%20offset%205m",
    "/api/v1/parse_query?query=-topk(3,foo%7Ba!~%22b%22,c=%22d%22%7D%20@%20end())%20%3E%20bool%201.5",
    "/api/v1/parse_query?query=max_over_time(foo%5B1h:5m%5D%20@%2012.5)",
    "/api/v1/parse_query?query=histogram_quantile(.9,%22x%22)",
    // Mistakes.
    "/api/v1/query",
    "/api/v1/query?query=",
    "/api/v1/query?query=sum(&time={E}",
    "/api/v1/query?query=foo%7Bbar%7D",
    "/api/v1/query?query=1&time=x",
    "/api/v1/query?query=1&time=2015-07-01",
    "/api/v1/query?query=1&timeout=x",
    "/api/v1/query?query=1&limit=-1",
    "/api/v1/query?query=1&limit=x",
    "/api/v1/query?query=1&limit=99999999999999999999",
    "/api/v1/query?query=1&lookback_delta=x",
    "/api/v1/query?query=1&time={E}&stats=",
    "/api/v1/query_range?query=1",
    "/api/v1/query_range?query=1&start=0&end=1",
    "/api/v1/query_range?query=1&start=1&end=0&step=1",
    "/api/v1/query_range?query=1&start=0&end=1&step=0",
    "/api/v1/query_range?query=1&start=0&end=1&step=-1",
    "/api/v1/query_range?query=1&start=0&end=1&step=x",
    "/api/v1/query_range?query=1&start=0&end=1&step=1e300",
    "/api/v1/query_range?query=1&start=0&end=11001&step=1",
    "/api/v1/query_range?query=1&start=0&end=11000&step=1000",
    "/api/v1/query_range?query=foo[1m]&start=0&end=1&step=1",
    "/api/v1/query_range?query=%22a%22&start=0&end=1&step=1",
    "/api/v1/series",
    "/api/v1/series?match[]=",
    "/api/v1/series?match[]=%7B%7D",
    "/api/v1/series?match[]=sum(foo)",
    "/api/v1/series?match[]=%7Ba=%22%22%7D",
    "/api/v1/series?match[]=foo&start=x",
    "/api/v1/labels?match[]=%7B%7D",
    "/api/v1/labels?end=x",
    "/api/v1/labels?limit=x",
    "/api/v1/label/a/values?match[]=%7B",
    "/api/v1/metadata?limit=x",
    "/api/v1/scrape_pools/config",
    "/api/v1/scrape_pools/config?scrapePool=none",
    "/api/v1/targets/relabel_steps?labels=%7B%7D",
    "/api/v1/targets/relabel_steps?scrapePool=none",
    "/api/v1/targets/relabel_steps?scrapePool=none&labels=%7B%7D",
    "/api/v1/metadata?limit_per_metric=x",
    "/api/v1/targets/metadata?match_target=%7B",
    "/api/v1/rules?type=x",
    "/api/v1/rules?match[]=%7B",
    "/api/v1/status/tsdb?limit=0",
    "/api/v1/status/tsdb?limit=10001",
    "/api/v1/query_exemplars?query=foo&start=2&end=1",
    "/api/v1/query_exemplars?query=sum(",
    "/api/v1/search/metric_names?start=x",
    "/api/v1/search/metric_names?start=2&end=1",
    "/api/v1/search/metric_names?match[]=%7B%7D",
    "/api/v1/search/metric_names?match[]=%7B",
    "/api/v1/search/metric_names?fuzz_threshold=101",
    "/api/v1/search/metric_names?fuzz_alg=x",
    "/api/v1/search/metric_names?case_sensitive=x",
    "/api/v1/search/metric_names?include_score=x",
    "/api/v1/search/metric_names?include_metadata=x",
    "/api/v1/search/metric_names?sort_dir=asc",
    "/api/v1/search/metric_names?sort_by=score",
    "/api/v1/search/metric_names?sort_by=score&sort_dir=asc&search[]=a",
    "/api/v1/search/metric_names?sort_by=alpha&sort_dir=x",
    "/api/v1/search/label_names?sort_by=x",
    "/api/v1/search/label_names?limit=0",
    "/api/v1/search/label_names?limit=x",
    "/api/v1/search/label_names?limit=10001",
    "/api/v1/search/label_names?batch_size=0",
    "/api/v1/search/label_values",
];

/// Names as someone types them; the answer is a stream of lines.
const SEARCHES: &[&str] = &[
    "metric_names?",
    "metric_names?search[]=temp",
    "metric_names?search[]=se&include_score=true",
    "metric_names?search[]=sdrq&include_score=true&sort_by=score",
    "metric_names?search[]=TEMP&case_sensitive=false&include_score=t",
    "metric_names?search[]=TEMP",
    "metric_names?search[]=e&search[]=bucket&sort_by=score&include_score=true",
    "metric_names?search[]=e&fuzz_threshold=3&include_score=true",
    "metric_names?search[]=temprature&fuzz_alg=jarowinkler&fuzz_threshold=60&include_score=true",
    "metric_names?search[]=ature&fuzz_alg=jarowinkler&include_score=true",
    "metric_names?search[]=seed_tmperatuer&fuzz_alg=jarowinkler&fuzz_threshold=90&include_score=1",
    "metric_names?sort_by=alpha&sort_dir=dsc&limit=3",
    // Rising, theirs are the first that it comes upon.
    "metric_names?limit=2&sort_by=alpha&sort_dir=dsc",
    "metric_names?batch_size=2&sort_by=alpha",
    "metric_names?batch_size=3&limit=3&sort_by=alpha&sort_dir=dsc",
    "label_names?",
    "label_names?search[]=o&include_score=true&sort_by=score",
    "label_values?label=pod",
    "label_values?label=quoted&search[]=b&include_score=true",
    "label_values?label=code&sort_by=alpha&sort_dir=dsc",
    "label_values?label=nothing",
];

/// Mistakes of those who administer, by POST.
const ADMIN: &[&str] = &[
    "/api/v1/admin/tsdb/delete_series",
    "/api/v1/admin/tsdb/delete_series?match[]=%7B",
    "/api/v1/admin/tsdb/delete_series?match[]=a&start=x",
    "/api/v1/admin/tsdb/delete_series?match[]=a&end=x",
    "/api/v1/admin/tsdb/snapshot?skip_head=x",
];

/// Answers whose content is each program's own: the fields must be there, with the same types.
const SHAPES: &[&str] = &[
    "/api/v1/status/buildinfo",
    "/api/v1/status/runtimeinfo",
    "/api/v1/status/flags",
    "/api/v1/status/config",
    "/api/v1/status/tsdb",
    "/api/v1/status/walreplay",
    "/api/v1/status/self_metrics?metric_name_pattern=process_cpu_seconds_total",
    "/api/v1/status/self_metrics?metric_name_pattern=none",
    "/api/v1/features",
    "/api/v1/targets",
    "/api/v1/targets?state=dropped",
    "/api/v1/targets/metadata?limit=1",
    "/api/v1/metadata?limit=1",
    "/api/v1/scrape_pools",
    "/api/v1/query?query=up&stats=all",
    "/api/v1/notifications",
    "/api/v1/status/tsdb/blocks",
];

/// Fields of Prometheus that we leave out, and why.
const ABSENT: &[(&str, &str)] = &[
    ("data.rules", "there are no rules yet"),
    ("data.service_discovery_providers", "targets are a file's or the cluster's"),
    ("data.templating_functions", "there are no templates yet"),
    ("data.ui", "the pages are our own"),
    ("data.scrape", "scraping has switches of its own"),
    ("data.tsdb.", "the store is another"),
    ("data.prometheus.", "strings of labels are another's"),
    ("data.api.", "what is not there is not named"),
];

/// What a server above asks.
const FEDERATE: &[&str] = &[
    "/federate",
    "/federate?match[]=seed_requests_total",
    "/federate?match[]=seed_requests_total&match[]=%7B__name__=~%22seed_.*%22%7D",
    "/federate?match[]=%7Bpod=%22a%22%7D",
    "/federate?match[]=sum(foo)",
    "/federate?match[]=%7B",
];

/// Status and samples; of a refusal the status alone.
fn federated(address: SocketAddr, path: &str) -> Result<(u16, Vec<String>)> {
    let answer = exchange(address, "GET", path, "", b"")?;
    if answer.status != 200 {
        return Ok((answer.status, Vec::new()));
    }
    let families = model::exposition::read(&answer.body, Syntax::Text)
        .map_err(|e| anyhow::anyhow!("{path}: {e}: {}", answer.text()))?;
    let mut samples = Vec::new();
    for mut sample in families.into_iter().flat_map(|f| f.samples) {
        sample.labels.sort();
        samples.push(format!("{sample:?}"));
    }
    samples.sort();
    Ok((200, samples))
}

#[test]
fn answers_as_prometheus_does() -> Result<()> {
    if !require::present("answers_as_prometheus_does", require::program("go")) {
        return Ok(());
    }
    let now_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let start_ms = (now_ms - (STEPS + 2) * STEP_MS) / STEP_MS * STEP_MS;
    let folder = tempfile::tempdir()?;

    let ours_dir = folder.path().join("ours");
    fill_ours(&ours_dir, start_ms)?;
    let arguments = ["--web.enable-admin-api", "--data-dir", &ours_dir.display().to_string()];
    let ours = Program::start("kubevigil", &arguments)?;
    let theirs = Peer::start(folder.path())?;
    theirs.fill(start_ms)?;
    wait_until_ready(ours.address)?;

    let times = [("{S}", start_ms), ("{E}", start_ms + (STEPS - 1) * STEP_MS)];
    let mut wrong = Vec::new();
    let mut compared = 0;
    for request in REQUESTS {
        let mut path = request.to_string();
        for (mark, time_ms) in times {
            path = path.replace(mark, &(time_ms as f64 / 1000.0).to_string());
        }
        let by_get = compare(ours.address, theirs.address, "GET", &path)?;
        let can_post = ["query", "query_range", "labels", "series", "format_query", "parse_query"];
        let endpoint = path["/api/v1/".len()..].split('?').next().unwrap_or("");
        let by_post = match can_post.contains(&endpoint) {
            true => compare(ours.address, theirs.address, "POST", &path)?,
            false => None,
        };
        compared += 1 + usize::from(can_post.contains(&endpoint));
        wrong.extend(by_get);
        wrong.extend(by_post);
    }
    for path in SHAPES {
        let theirs = ask(theirs.address, "GET", path)?;
        let ours = ask(ours.address, "GET", path)?;
        compared += 1;
        let mut missing = Vec::new();
        shape("", &theirs.1, &ours.1, &mut missing);
        missing.retain(|m| !ABSENT.iter().any(|a| m.starts_with(a.0)));
        if theirs.0 != ours.0 || !missing.is_empty() {
            wrong.push(format!("{path}: {} and {}; differs: {missing:?}", theirs.0, ours.0));
        }
    }
    for path in FEDERATE {
        compared += 1;
        let (ours, theirs) = (federated(ours.address, path)?, federated(theirs.address, path)?);
        if ours != theirs {
            wrong.push(format!("{path}:\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
    }
    compared += SEARCHES.len() + ADMIN.len() + 1;
    for search in SEARCHES {
        let (ours, theirs) = (found(ours.address, search)?, found(theirs.address, search)?);
        if ours != theirs {
            wrong.push(format!("{search}:\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
    }
    for path in ADMIN {
        wrong.extend(compare(ours.address, theirs.address, "POST", path)?);
    }
    wrong.extend(federated_as_protobuf(ours.address, theirs.address)?);
    wrong.extend(documents(ours.address, theirs.address)?);
    wrong.extend(deletes(ours.address, theirs.address, start_ms + (STEPS - 1) * STEP_MS)?);
    eprintln!("{compared} answers compared with Prometheus, {} differ", wrong.len());
    ensure!(compared >= 180, "only {compared} answers were compared");
    ensure!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    ensure!(ours.stop()? == Some(0));
    Ok(())
}

/// The lines of a search among the data.
fn found(address: SocketAddr, search: &str) -> Result<Vec<Value>> {
    let path = format!("/api/v1/search/{search}&match[]=%7B__name__=~%22seed_.*%22%7D");
    let answer = exchange(address, "GET", &path, "", b"")?;
    ensure!(answer.header("content-type").starts_with("application/x-ndjson"), "{answer:?}");
    let mut lines = Vec::new();
    for line in answer.text().lines() {
        let mut line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        if let Some(results) = line.get_mut("results").and_then(Value::as_array_mut) {
            for result in &mut *results {
                // 1 and 1.0 are the same number.
                if let Some(score) = result["score"].as_f64() {
                    result["score"] = score.into();
                }
            }
            // Without an order theirs is any.
            if !search.contains("sort_by") {
                results.sort_by_key(Value::to_string);
            }
        }
        lines.push(line);
    }
    Ok(lines)
}

/// Each metric of a body of families, each with its length before it: name, type, labels, and the
/// fields of its value as they came.
fn metrics_of(body: &[u8]) -> Result<Vec<String>> {
    let bad = |e: model::protobuf::Malformed| anyhow::anyhow!("{e}");
    let mut metrics = Vec::new();
    // A length and a message is what a field of number 1 is without its key.
    let mut rest = body.to_vec();
    while !rest.is_empty() {
        let keyed: Vec<u8> = [&[1 << 3 | 2][..], &rest].concat();
        let mut outer = Message::new(&keyed);
        let field = outer.next().map_err(bad)?.context("no family")?;
        let length = field.bytes().map_err(bad)?.len();
        let mut family = field.message().map_err(bad)?;
        let (mut name, mut kind) = (String::new(), 0);
        while let Some(field) = family.next().map_err(bad)? {
            match field.number {
                1 => name = field.text().map_err(bad)?.to_owned(),
                3 => kind = field.unsigned().map_err(bad)?,
                4 => {
                    let mut parts = Vec::new();
                    let mut metric = field.message().map_err(bad)?;
                    while let Some(field) = metric.next().map_err(bad)? {
                        let bytes = field.bytes().map(<[u8]>::to_vec);
                        parts.push(match (field.number, bytes) {
                            (7, Ok(histogram)) => numbers_of(&histogram)?,
                            (_, Ok(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
                            (_, Err(_)) => field.unsigned().map_err(bad)?.to_string(),
                        });
                    }
                    parts.sort();
                    metrics.push(format!("{name} {kind} {parts:?}"));
                }
                _ => {}
            }
        }
        let mut prefix = 1;
        while rest[prefix - 1] >= 0x80 {
            prefix += 1;
        }
        rest.drain(..prefix + length);
    }
    metrics.sort();
    Ok(metrics)
}

/// The fields of a histogram that are not 0: a writer may leave those out.
fn numbers_of(histogram: &[u8]) -> Result<String> {
    let bad = |e: model::protobuf::Malformed| anyhow::anyhow!("{e}");
    let mut message = Message::new(histogram);
    let mut parts = Vec::new();
    while let Some(field) = message.next().map_err(bad)? {
        let number = field.number;
        match (field.bytes(), field.fixed64(), field.unsigned()) {
            // Packed floats; spans and buckets are messages.
            (Ok(bytes), ..) if matches!(number, 11 | 14) => {
                let floats = bytes.as_chunks::<8>().0.iter();
                floats.for_each(|b| parts.push(format!("{number}: {:?}", f64::from_le_bytes(*b))));
            }
            (Ok(bytes), ..) => parts.push(format!("{number}: {{{}}}", numbers_of(bytes)?)),
            (_, Ok(bits), _) if bits != 0 => {
                parts.push(format!("{number}: {:?}", f64::from_bits(bits)));
            }
            (_, _, Ok(value)) if value != 0 => parts.push(format!("{number}: {value}")),
            _ => {}
        }
    }
    parts.sort();
    Ok(parts.join(", "))
}

fn federated_as_protobuf(ours: SocketAddr, theirs: SocketAddr) -> Result<Option<String>> {
    let path = "/federate?match[]=%7B__name__=~%22seed_.*%22%7D";
    let accept = "Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                  encoding=delimited;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.2\r\n";
    let ask = |address| -> Result<(String, Vec<String>)> {
        let answer = exchange(address, "GET", path, accept, b"")?;
        Ok((answer.header("content-type").replace(' ', ""), metrics_of(&answer.body)?))
    };
    let (ours, theirs) = (ask(ours)?, ask(theirs)?);
    ensure!(theirs.1.iter().filter(|m| m.contains("12: {")).count() >= 2, "{theirs:?}");
    Ok((ours != theirs).then(|| format!("{path}\n  ours   {ours:?}\n  theirs {theirs:?}")))
}

/// What the documents say: path, method, and the name of each operation and parameter.
fn operations(document: &str) -> Vec<(String, String)> {
    let (mut path, mut method) = (String::new(), String::new());
    let mut found = Vec::new();
    let mut lines = document.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        // Examples have names as well.
        let is_parameter = lines.peek().is_some_and(|next| next.starts_with("in: "));
        let name = |prefix: &str| line.strip_prefix(prefix).map(|n| n.trim_matches('"').to_owned());
        if let Some(rest) = line.strip_suffix(':') {
            match rest {
                "get" | "post" | "put" => method = rest.to_owned(),
                "components" => return found,
                _ if rest.starts_with('/') => path = rest.to_owned(),
                _ => {}
            }
        } else if let Some(name) =
            name("operationId: ").or_else(|| name("- name: ").filter(|_| is_parameter))
        {
            found.push((format!("{method} {path}"), name));
        }
    }
    found
}

/// Endpoints and parameters that we do not have: there is no relabelling, there are no rules.
const UNDOCUMENTED: [&str; 3] =
    ["get /scrape_pools/config", "get /targets/relabel_steps", "get /rules"];

fn documents(ours: SocketAddr, theirs: SocketAddr) -> Result<Option<String>> {
    let ask = |address| -> Result<Vec<(String, String)>> {
        let path = "/api/v1/openapi.yaml?openapi_version=3.2";
        Ok(operations(&exchange(address, "GET", path, "", b"")?.text()))
    };
    let (ours, theirs) = (ask(ours)?, ask(theirs)?);
    ensure!(theirs.len() > 100 && ours.len() > 100, "{} and {}", ours.len(), theirs.len());
    let known = |at: &str| UNDOCUMENTED.iter().any(|u| at.contains(u));
    let missing: Vec<_> = theirs.iter().filter(|t| !ours.contains(t) && !known(&t.0)).collect();
    let of_ours: Vec<_> =
        ours.iter().filter(|o| !theirs.contains(o) && o.1 != "explain" && !known(&o.0)).collect();
    let same = missing.is_empty() && of_ours.is_empty();
    Ok((!same).then(|| format!("openapi.yaml: missing {missing:?}; ours alone {of_ours:?}")))
}

/// Deletes the same in both; what is left is the same.
fn deletes(ours: SocketAddr, theirs: SocketAddr, time_ms: i64) -> Result<Vec<String>> {
    for address in [ours, theirs] {
        let snapshot = exchange(address, "PUT", "/api/v1/admin/tsdb/snapshot", "", b"")?;
        let name = snapshot.json()?["data"]["name"].as_str().map_or(0, str::len);
        ensure!(snapshot.status == 200 && name == 33, "{snapshot:?}");
        for request in [
            ("PUT", "delete_series?match[]=seed_temperature%7Bpod=%22b%22%7D"),
            ("POST", "delete_series?match[]=seed_bucket&match[]=seed_infinite&start=0"),
            ("POST", "clean_tombstones"),
        ] {
            let path = format!("/api/v1/admin/tsdb/{}", request.1);
            let answer = exchange(address, request.0, &path, "", b"")?;
            ensure!(answer.status == 204, "{path}: {} {}", answer.status, answer.text());
        }
    }
    let mut wrong = Vec::new();
    for query in [
        "sort_by_label(last_over_time({__name__=~\"seed_.*\"}[1h]), \"__name__\")",
        "sort(count_over_time({__name__=~\"seed_.*\"}[1h]))",
    ] {
        let (query, time) = (encoded(query), time_ms as f64 / 1000.0);
        let path = format!("/api/v1/query?query={query}&time={time}");
        wrong.extend(compare(ours, theirs, "GET", &path)?);
    }
    Ok(wrong)
}

/// Asks both; says what differs.
fn compare(
    ours: SocketAddr,
    theirs: SocketAddr,
    method: &str,
    path: &str,
) -> Result<Option<String>> {
    let (our_status, our_answer) = ask(ours, method, path)?;
    let (their_status, their_answer) = ask(theirs, method, path)?;
    let (a, b) = (sorted(our_answer), sorted(their_answer));
    Ok((our_status != their_status || a != b)
        .then(|| format!("{method} {path}\n  ours {our_status} {a}\n  theirs {their_status} {b}")))
}

/// The order of series in an instant vector says nothing; times of rules' evaluations neither.
fn sorted(mut answer: Value) -> Value {
    for list in ["/data/result", "/data"] {
        if let Some(Value::Array(list)) = answer.pointer_mut(list)
            && list.iter().all(Value::is_object)
        {
            list.sort_by_key(|v| v["metric"].to_string() + &v.to_string());
        }
    }
    answer
}

/// Names what `theirs` has and `ours` has not, by path; of lists the first elements are compared.
fn shape(at: &str, theirs: &Value, ours: &Value, missing: &mut Vec<String>) {
    match (theirs, ours) {
        // Names that are data: flags, metrics, labels, pools.
        (Value::Object(theirs), Value::Object(ours)) if is_table(at, theirs) => {
            if let (Some(a), Some(b)) = (theirs.values().next(), ours.values().next()) {
                shape(&format!("{at}.*"), a, b, missing);
            }
        }
        (Value::Object(theirs), Value::Object(ours)) => {
            for (name, value) in theirs {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                match ours.get(name) {
                    Some(our_value) => shape(&at, value, our_value, missing),
                    None => missing.push(at),
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            if let (Some(a), Some(b)) = (theirs.first(), ours.first()) {
                shape(at, a, b, missing);
            }
        }
        (a, b) => {
            if std::mem::discriminant(a) != std::mem::discriminant(b) {
                missing.push(format!("{at}: {a} is {b}"));
            }
        }
    }
}

/// Whether the names in an object are data: flags, metrics, labels, pools.
fn is_table(at: &str, object: &serde_json::Map<String, Value>) -> bool {
    let named = ["abels", "metric", "target", "Counts"].iter().any(|end| at.ends_with(end));
    let parts = object.contains_key("api"); // of `features`
    named || (at == "data" && !parts && object.keys().any(|k| k.contains(['.', '_'])))
}

fn ask(address: SocketAddr, method: &str, path: &str) -> Result<(u16, Value)> {
    let (target, body) = match (method, path.split_once('?')) {
        ("POST", Some((target, query))) => (target, query),
        _ => (path, ""),
    };
    let headers = match method {
        "POST" => "Content-Type: application/x-www-form-urlencoded\r\n",
        _ => "",
    };
    let answer = exchange(address, method, target, headers, body.as_bytes())?;
    let json = answer.json().with_context(|| format!("{method} {path}"))?;
    Ok((answer.status, json))
}

fn fill_ours(dir: &Path, start_ms: i64) -> Result<()> {
    let db = tsdb::Db::open(dir, tsdb::Options::default())?;
    for step in 0..STEPS {
        let time_ms = start_ms + step * STEP_MS;
        let round: Vec<_> = data()
            .into_iter()
            .map(|(labels, value)| {
                let value = Stored::Float(value(step));
                (Labels::from_pairs(labels), Sample { time_ms, start_ms: 0, value })
            })
            .collect();
        db.append(&round)?;
    }
    let time_ms = start_ms + (STEPS - 1) * STEP_MS;
    let of = |(labels, h)| {
        (labels, Sample { time_ms, start_ms: 0, value: Stored::Histogram(Arc::new(h)) })
    };
    db.append(&histograms().into_iter().map(of).collect::<Vec<_>>())?;
    db.close()?;
    Ok(())
}

/// A Prometheus that scrapes nothing but itself and takes remote writes.
struct Peer {
    prometheus: Prometheus,
    address: SocketAddr,
}

impl Peer {
    fn start(folder: &Path) -> Result<Peer> {
        let config = "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: self\n  \
                      static_configs:\n  - targets: ['{address}']\n";
        let arguments = [
            "--web.enable-remote-write-receiver",
            "--web.enable-admin-api",
            "--enable-feature=promql-per-step-stats,promql-experimental-functions,search-api",
        ];
        let prometheus = Prometheus::start(&folder.join("theirs"), config, &arguments)?;
        let address = prometheus.address;
        // It scrapes itself once a second; up must be there for the shapes.
        let deadline = Instant::now() + Duration::from_secs(15);
        while ask(address, "GET", "/api/v1/query?query=up")?.1["data"]["result"] == json!([]) {
            ensure!(Instant::now() < deadline, "Prometheus did not scrape itself");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Peer { prometheus, address })
    }

    fn fill(&self, start_ms: i64) -> Result<()> {
        let mut request = Vec::new();
        for (labels, value) in data() {
            put_message(&mut request, 1, |series| {
                put_labels(series, 1, &Labels::from_pairs(labels));
                for step in 0..STEPS {
                    put_message(series, 2, |sample| {
                        put_double(sample, 1, value(step));
                        put_integer(sample, 2, start_ms + step * STEP_MS);
                    });
                }
            });
        }
        for (labels, histogram) in histograms() {
            put_message(&mut request, 1, |series| {
                put_labels(series, 1, &labels);
                put_histogram(series, 4, start_ms + (STEPS - 1) * STEP_MS, 0, &histogram);
            });
        }
        let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                       X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
        let body = snap::raw::Encoder::new().compress_vec(&request)?;
        let address = self.prometheus.address;
        let answer = exchange(address, "POST", "/api/v1/write", headers, &body)?;
        ensure!(answer.status == 204, "remote write: {} {}", answer.status, answer.text());
        Ok(())
    }
}
