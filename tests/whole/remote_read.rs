//! Remote read: a real Prometheus that has no data of its own reads ours, and answers queries from
//! it as we do; and its answers to hostile requests are compared with ours.

use anyhow::{Context, Result, ensure};
use model::histogram::{ResetHint, Span};
use model::protobuf::{Message, put_integer, put_message, put_text};
use model::{Histogram, Labels, Sample, Value as Stored};
use serde_json::Value;
use stage::program::Program;
use stage::prometheus::{Answer, Prometheus, encoded, exchange, json, wait_until_ready};
use stage::require;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

const STEP_MS: i64 = 15_000;
const STEPS: i64 = 400;
/// The first time; long ago, so that nothing depends on the clock.
const START_MS: i64 = 1_700_000_000_000;

fn histogram(step: i64, gauge: bool) -> Histogram {
    // Counts fall now and then: a reset, or a gauge that goes down.
    let n = (step % 97) as f64;
    let length = if step % 150 < 75 { 2 } else { 3 };
    let buckets: Vec<f64> = (0..length).map(|i| n * f64::from(i + 1)).collect();
    Histogram {
        reset_hint: if gauge { ResetHint::Gauge } else { ResetHint::Unknown },
        schema: 2,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 1.0 + buckets.iter().sum::<f64>(),
        sum: n * 1.25,
        positive_spans: vec![Span { offset: -4, length: length as u32 }],
        positive_buckets: buckets,
        ..Histogram::default()
    }
}

fn fill(dir: &Path) -> Result<()> {
    let db = tsdb::Db::open(dir, tsdb::Options { retention_ms: 0, ..tsdb::Options::default() })?;
    for step in 0..STEPS {
        let time_ms = START_MS + step * STEP_MS + step % 7;
        let float = |v: f64| Stored::Float(v);
        let native = |gauge| Stored::Histogram(Arc::new(histogram(step, gauge)));
        let custom = Histogram {
            schema: -53,
            count: step as f64 * 2.0,
            sum: 0.1 * step as f64,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![step as f64, step as f64],
            custom_bounds: [0.25, 1.0 / 3.0].into(),
            ..Histogram::default()
        };
        let mut round = vec![
            ("steady", "a", float(step as f64)),
            ("steady", "b", float((step as f64 / 3.0).sin() * 1e9)),
            ("constant", "a", float(0.1)),
            ("odd", "a", float(if step % 5 == 0 { f64::NAN } else { f64::INFINITY })),
            ("counts", "a", native(false)),
            ("level", "a", native(true)),
            ("custom", "a", Stored::Histogram(Arc::new(custom))),
            // Floats and histograms by turns.
            ("mixed", "a", if step / 10 % 2 == 0 { float(step as f64) } else { native(false) }),
        ];
        match step % 40 {
            0..20 => round.push(("gaps", "a", float(step as f64))),
            20 => round.push(("gaps", "a", float(model::value::STALE))),
            _ => {}
        }
        let round: Vec<_> = round
            .into_iter()
            .map(|(name, pod, value)| {
                let labels = Labels::from_pairs([("__name__", name), ("pod", pod), ("from", "us")]);
                (labels, Sample { time_ms, start_ms: 0, value })
            })
            .collect();
        db.append(&round)?;
    }
    db.close()?;
    Ok(())
}

const QUERIES: &[&str] = &[
    "{from=\"us\"}",
    "steady",
    "rate(steady{pod=~\"a|c\"}[5m])",
    "odd",
    "constant{pod!=\"b\"}",
    "count_over_time({from=\"us\"}[10m])",
    "counts",
    "rate(counts[5m])",
    "resets(counts[30m])",
    "histogram_count(rate(counts[10m]))",
    "level",
    "delta(level[5m])",
    "sum_over_time(level[5m])",
    "custom",
    "histogram_quantile(0.5, increase(custom[20m]))",
    "mixed",
    "count_over_time(mixed[10m])",
    "gaps",
    "present_over_time(gaps[1m])",
    "absent(gaps)",
    "steady{pod!~\"a.*\"}",
];

fn ours(dir: &Path) -> Result<Program> {
    let dir = dir.display().to_string();
    let program = Program::start(
        "kubevigil",
        &["--data-dir", &dir, "--collector.disable-defaults", "--retention", "100y"],
    )?;
    wait_until_ready(program.address)?;
    Ok(program)
}

fn range(address: SocketAddr, query: &str, step: i64) -> Result<Value> {
    let (start, end) = (START_MS / 1000, (START_MS + STEPS * STEP_MS) / 1000);
    let query = encoded(query);
    let path = format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}");
    let mut answer = json(address, &path)?;
    if let Some(list) = answer["data"]["result"].as_array_mut() {
        list.sort_by_key(|s| s["metric"].to_string());
    }
    // Positions of remarks and who made them are each program's own.
    Ok(answer["data"].clone())
}

#[test]
fn prometheus_reads_what_we_have() -> Result<()> {
    if !require::present("prometheus_reads_what_we_have", require::program("go")) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("ours");
    fill(&dir)?;
    let program = ours(&dir)?;
    let config = format!(
        "remote_read:\n- url: http://{}/api/v1/read\n  read_recent: true\n",
        program.address
    );
    let theirs = Prometheus::start(
        &folder.path().join("theirs"),
        &config,
        &["--enable-feature=promql-experimental-functions"],
    )?;
    let (mut points, mut histograms, mut wrong) = (0, 0, Vec::new());
    for query in QUERIES {
        for step in [15, 61] {
            let (a, b) =
                (range(program.address, query, step)?, range(theirs.address, query, step)?);
            if a != b {
                wrong.push(format!("{query} by {step} s:\n  ours   {a}\n  theirs {b}"));
            }
            for series in a["result"].as_array().into_iter().flatten() {
                points += series["values"].as_array().map_or(0, Vec::len);
                histograms += series["histograms"].as_array().map_or(0, Vec::len);
            }
        }
    }
    let path = "/api/v1/series?match[]=%7Bfrom=%22us%22%7D&start=1700000000&end=1700009000";
    let series = |address| -> Result<Vec<String>> {
        let answer = json(address, path)?;
        let list = answer["data"].as_array().with_context(|| answer.to_string())?.iter();
        let mut list: Vec<String> = list.map(Value::to_string).collect();
        list.sort();
        Ok(list)
    };
    let (a, b) = (series(program.address)?, series(theirs.address)?);
    if a != b || a.is_empty() {
        wrong.push(format!("{path}:\n  ours   {a:?}\n  theirs {b:?}"));
    }
    eprintln!("{points} floats and {histograms} histograms compared, {} differ", wrong.len());
    ensure!(points > 8_000 && histograms > 4_500, "too little was compared");
    ensure!(
        wrong.is_empty(),
        "{}",
        wrong
            .iter()
            .map(|w| w.chars().take(3000).collect::<String>())
            .collect::<Vec<_>>()
            .join("\n")
    );
    bad_requests(program.address, theirs.address)?;
    samples(program.address)?;
    ensure!(program.stop()? == Some(0));
    Ok(())
}

fn request(accepted: &[i64], name: &str, kind: i64, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_integer(out, 1, START_MS);
        put_integer(out, 2, START_MS + 100 * STEP_MS);
        put_message(out, 3, |out| {
            put_integer(out, 1, kind);
            put_text(out, 2, name);
            put_text(out, 3, value);
        });
    });
    if !accepted.is_empty() {
        put_message(&mut out, 2, |out| out.extend(accepted.iter().map(|a| *a as u8)));
    }
    out
}

fn read(address: SocketAddr, message: &[u8]) -> Result<Answer> {
    let body = snap::raw::Encoder::new().compress_vec(message)?;
    let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n";
    exchange(address, "POST", "/api/v1/read", headers, &body)
}

/// Statuses and kinds of answers are Prometheus's.
fn bad_requests(ours: SocketAddr, theirs: SocketAddr) -> Result<()> {
    for (what, message) in [
        ("nothing", Vec::new()),
        ("samples", request(&[0], "__name__", 0, "none")),
        ("chunks", request(&[1], "__name__", 0, "none")),
        ("either", request(&[1, 0], "__name__", 0, "none")),
        ("something newer, or samples", request(&[7, 0], "__name__", 0, "none")),
        ("something newer", request(&[7], "__name__", 0, "none")),
        ("broken protobuf", vec![0x0a, 9, 1]),
    ] {
        let (a, b) = (read(ours, &message)?, read(theirs, &message)?);
        let seen = |a: &Answer| (a.status, a.header("content-encoding"));
        ensure!(seen(&a) == seen(&b), "{what}: {a:?} and {b:?}");
        let kind = a.header("content-type");
        ensure!(a.status != 200 || kind == b.header("content-type"), "{what}: {kind}");
    }
    for (what, body) in
        [("no snappy", &b"hello"[..]), ("a bomb", &[0xff, 0xff, 0xff, 0xff, 0x0f, 1])]
    {
        let ask = |address| exchange(address, "POST", "/api/v1/read", "", body);
        ensure!(ask(ours)?.status == 400 && ask(theirs)?.status == 400, "{what}");
    }
    // A mistake of the reader's: Prometheus calls it its own.
    let regex = read(ours, &request(&[0], "__name__", 2, "("))?;
    ensure!(regex.status == 400 && regex.text().contains("regex"), "{regex:?}");
    Ok(())
}

/// The other form of an answer, read here.
fn samples(address: SocketAddr) -> Result<()> {
    let answer = read(address, &request(&[0], "__name__", 2, "steady|counts"))?;
    ensure!(answer.status == 200, "{answer:?}");
    let body = snap::raw::Decoder::new().decompress_vec(&answer.body)?;
    let (mut series, mut floats, mut histograms) = (0, 0, 0);
    let mut response = Message::new(&body);
    while let Some(result) = response.next()? {
        let mut list = result.message()?;
        while let Some(field) = list.next()? {
            series += 1;
            let mut fields = field.message()?;
            while let Some(field) = fields.next()? {
                match field.number {
                    2 => floats += 1,
                    4 => {
                        let sent = model::prompb::read_histogram(field.message()?)?;
                        let step = (sent.time_ms - START_MS) / STEP_MS;
                        ensure!(sent.whole && sent.histogram.same_value(&histogram(step, false)));
                        histograms += 1;
                    }
                    _ => {}
                }
            }
        }
    }
    ensure!((series, floats, histograms) == (3, 200, 100), "{series}, {floats}, {histograms}");
    ensure!(answer.header("content-type") == "application/x-protobuf", "{}", answer.head);
    let nobody = exchange(address, "GET", "/api/v1/read", "", b"").context("GET")?;
    ensure!(nobody.status == 405, "{nobody:?}");
    Ok(())
}
