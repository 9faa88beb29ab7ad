//! The Prometheus API beside a real Prometheus 3: the same data in both, the same requests to both,
//! and the same status, shape and content in the answers. The requests are those that Grafana's
//! Prometheus plugin sends, and mistakes of every kind.

use anyhow::{Context, Result, ensure};
use model::exposition::Syntax;
use model::prompb::put_labels;
use model::protobuf::{put_double, put_integer, put_message};
use model::{Labels, Sample, Value as Stored};
use serde_json::{Value, json};
use stage::program::Program;
use stage::prometheus::{Prometheus, exchange, wait_until_ready};
use stage::require;
use std::net::SocketAddr;
use std::path::Path;
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
    "/api/v1/metadata?limit_per_metric=x",
    "/api/v1/targets/metadata?match_target=%7B",
    "/api/v1/rules?type=x",
    "/api/v1/rules?match[]=%7B",
    "/api/v1/status/tsdb?limit=0",
    "/api/v1/status/tsdb?limit=10001",
    "/api/v1/query_exemplars?query=foo&start=2&end=1",
    "/api/v1/query_exemplars?query=sum(",
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
];

/// Fields of Prometheus that we leave out, and why.
const ABSENT: &[(&str, &str)] = &[
    ("data.stats.timings.resultSortTime", "not measured apart from the evaluation"),
    ("data.stats.timings.queryPreparationTime", "not measured apart from the evaluation"),
    ("data.stats.timings.innerEvalTime", "not measured apart from the evaluation"),
    ("data.rules", "there are no rules yet"),
    ("data.service_discovery_providers", "targets are a file's or the cluster's"),
    ("data.templating_functions", "there are no templates yet"),
    ("data.ui", "the pages are our own"),
    ("data.scrape", "scraping has switches of its own"),
    ("data.tsdb.", "the store is another"),
    ("data.prometheus.", "strings of labels are another's"),
    ("data.api.", "what is not there is not named"),
    ("data.stats.samples.samplesRead", "columns are read whole; what a query looks at is counted"),
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
    let ours = Program::start("kubevigil", &["--data-dir", &ours_dir.display().to_string()])?;
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
    eprintln!("{compared} answers compared with Prometheus, {} differ", wrong.len());
    ensure!(compared >= 140, "only {compared} answers were compared");
    ensure!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    ensure!(ours.stop()? == Some(0));
    Ok(())
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
            "--enable-feature=promql-per-step-stats,promql-experimental-functions",
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
        let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                       X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
        let body = snap::raw::Encoder::new().compress_vec(&request)?;
        let address = self.prometheus.address;
        let answer = exchange(address, "POST", "/api/v1/write", headers, &body)?;
        ensure!(answer.status == 204, "remote write: {} {}", answer.status, answer.text());
        Ok(())
    }
}
