//! Hostile askers: queries that take for ever, too much memory or too many points, expressions that are
//! bombs, askers that go away. Each gets its answer or its end at once, and others go on.

use anyhow::{Context, Result, ensure};
use model::Labels;
use model::prompb::put_labels;
use model::protobuf::{put_double, put_integer, put_message};
use serde_json::Value;
use stage::program::Program;
use stage::prometheus::{encoded, exchange, json, wait_until_ready};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// The first sample's time, the samples of a series and how far they are apart.
const START_MS: i64 = 1_700_000_000_000;
const SAMPLES: i64 = 240;
const STEP_MS: i64 = 15_000;
/// So many series, in ten groups.
const SERIES: u32 = 2000;

fn ours(dir: &Path, more: &[&str]) -> Result<Program> {
    let dir = dir.display().to_string();
    let mut arguments = vec!["--collector.disable-defaults", "--retention", "100y"];
    arguments.extend(["--data-dir", &dir, "--web.enable-remote-write-receiver"]);
    arguments.extend(more);
    let program = Program::start("kubevigil", &arguments)?;
    wait_until_ready(program.address)?;
    Ok(program)
}

/// Series of one sample, of a metric of their own.
const MANY: u32 = 300_000;

fn fill(address: SocketAddr) -> Result<()> {
    send(address, "load", SERIES, SAMPLES)
}

/// Sends so many samples of each of so many series.
fn send(address: SocketAddr, name: &str, series: u32, samples: i64) -> Result<()> {
    const HEADERS: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n";
    let at_once = 120_000 / samples as usize;
    for numbers in (0..series).collect::<Vec<_>>().chunks(at_once) {
        let mut message = Vec::new();
        for n in numbers {
            let (number, group) = (n.to_string(), (n % 10).to_string());
            let labels = [("__name__", name), ("group", &group), ("n", &number)];
            put_message(&mut message, 1, |out| {
                put_labels(out, 1, &Labels::from_pairs(labels));
                for i in 0..samples {
                    put_message(out, 2, |out| {
                        put_double(out, 1, (i * i64::from(*n)) as f64 / 7.0);
                        put_integer(out, 2, START_MS + i * STEP_MS);
                    });
                }
            });
        }
        let body = snap::raw::Encoder::new().compress_vec(&message)?;
        let answer = exchange(address, "POST", "/api/v1/write", HEADERS, &body)?;
        ensure!(answer.status == 204, "{}: {}", answer.status, answer.text());
    }
    Ok(())
}

/// A range query of 10,000 points over the hour in which there are samples.
fn long_range(query: &str) -> String {
    let (start, end) = (START_MS / 1000, (START_MS + SAMPLES * STEP_MS) / 1000);
    format!("/api/v1/query_range?query={}&start={start}&end={end}&step=0.36", encoded(query))
}

/// The ids of the queries that run.
fn running(address: SocketAddr) -> Result<Vec<u64>> {
    let list = json(address, "/api/vigil/v1/queries")?;
    let list = list["queries"].as_array().context("no list")?.clone();
    Ok(list.iter().filter_map(|q| q["id"].as_u64()).collect())
}

/// Waits until a query runs; gives its id. `None` where it has ended already.
fn wait_for_one(address: SocketAddr, ended: impl Fn() -> bool) -> Result<Option<u64>> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Some(id) = running(address)?.first() {
            return Ok(Some(*id));
        }
        if ended() {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    anyhow::bail!("no query runs")
}

/// Queries that work in one loop or another for long.
const LONG: &[&str] = &[
    "sum_over_time(vector(1)[6h:10ms])",
    "max_over_time(sin(vector(time()))[20d:100ms])",
    "quantile_over_time(0.9, vector(time())[2d:100ms])",
    "sum_over_time((vector(1) * 2 > 1)[20d:100ms])",
    "sum_over_time(vector(scalar(vector(1) + time()))[10d:100ms])",
    "load * on (n) group_left load",
    "load and on (n) (load > 1)",
    "load or on (n) load",
    "topk(5, load)",
    "count_values(\"value\", load)",
    "quantile by (group) (0.9, load)",
    "sort_desc(load)",
    "label_replace(load, \"x\", \"$1$1\", \"n\", \"(.*)\")",
    "stddev_over_time(load[30m])",
    "quantile_over_time(0.5, load[30m])",
    "sum(sum_over_time(load[30m:1s]))",
    "sum by (group) (rate(load[5m])) / on (group) group_left sum by (group) (load)",
    "{__name__=~\".+\", n=~\"(.*1.*|.*2.*)+\"}",
];

#[test]
fn a_query_that_is_cancelled_ends_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = ours(folder.path(), &["--query.max-samples", "2000000000"])?;
    let address = program.address;
    fill(address)?;
    let cancelled = cancel_each(address, LONG.iter().map(|q| (*q, long_range(q))), 150)?;
    ensure!(cancelled >= 12, "only {cancelled} took long enough to be cancelled");
    ensure!(program.stop()? == Some(0));
    Ok(())
}

/// Queries that select, sort and match more series than others.
const WIDE: &[&str] = &[
    "many",
    "{__name__=~\".+\", n=~\".*1.*2.*\"}",
    "{__name__=~\".*y\", n!~\"(.*3.*|.*4.*)+\"}",
    "sort_desc(many)",
    "sort_by_label(many, \"group\", \"n\")",
    "topk(100000, many)",
    "quantile(0.9, many)",
    "count by (n) (many)",
    "count_values(\"value\", many)",
    "many * on (n) group_left many",
    "many and on (n) (many > 7)",
    "label_replace(many, \"x\", \"$1$1\", \"n\", \"(.*)\")",
    "sum by (group) (rate({__name__=~\"many|load\", n=~\".*[5-9].*\"}[1h]))",
];

#[test]
fn a_query_of_very_many_series_ends_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = ours(folder.path(), &[])?;
    let address = program.address;
    send(address, "many", MANY, 1)?;
    let at =
        |query: &str| format!("/api/v1/query?query={}&time={}", encoded(query), START_MS / 1000);
    // At several moments of each: they are at other things then.
    let mut cancelled = 0;
    for after_ms in [5, 25, 60, 120] {
        eprintln!("after {after_ms} ms:");
        cancelled += cancel_each(address, WIDE.iter().map(|q| (*q, at(q))), after_ms)?;
    }
    ensure!(cancelled >= 20, "only {cancelled} took long enough to be cancelled");
    let left = json(address, &at("count(many)"))?;
    ensure!(left["data"]["result"][0]["value"][1] == "300000", "{left}");
    ensure!(program.stop()? == Some(0));
    Ok(())
}

/// Asks each query and cancels it some time after it began; how many could be. Fails where one ended late.
fn cancel_each<'a>(
    address: SocketAddr,
    queries: impl Iterator<Item = (&'a str, String)>,
    after_ms: u64,
) -> Result<usize> {
    let (mut slow, mut cancelled) = (Vec::new(), 0);
    // The promise is 100 ms; what is built without optimisation takes several times as long for each step.
    let at_most = Duration::from_millis(if cfg!(debug_assertions) { 300 } else { 100 });
    for (query, path) in queries {
        // The best of some: this machine has other work. One that was slow once is asked again, even where another
        // time it was done before it could be cancelled.
        let mut best: Option<Duration> = None;
        for _ in 0..10 {
            let path = path.clone();
            let asked = std::thread::spawn(move || {
                exchange(address, "GET", &path, "", b"").map(|a| a.status)
            });
            let Some(id) = wait_for_one(address, || asked.is_finished())? else {
                if best.is_none() {
                    break;
                }
                continue;
            };
            std::thread::sleep(Duration::from_millis(after_ms));
            let start = Instant::now();
            let target = format!("/api/vigil/v1/queries/{id}");
            let status = exchange(address, "DELETE", &target, "", b"")?.status;
            let answer = asked.join().ok().context("the asker died")??;
            if status != 204 || answer != 499 {
                if best.is_none() {
                    break; // it was done before
                }
                continue;
            }
            best = Some(start.elapsed().min(best.unwrap_or(Duration::MAX)));
            if best.is_some_and(|b| b < Duration::from_millis(60)) {
                break;
            }
        }
        eprintln!("{query}: {best:?}");
        cancelled += usize::from(best.is_some());
        slow.extend(best.filter(|b| *b > at_most).map(|b| format!("{query}: {b:?}")));
    }
    ensure!(slow.is_empty(), "ended late:\n{}", slow.join("\n"));
    Ok(cancelled)
}

#[test]
fn the_query_of_an_asker_who_went_away_ends() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = ours(folder.path(), &[])?;
    let address = program.address;
    let mut stream = TcpStream::connect(address)?;
    let path = long_range(LONG[0]);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    wait_for_one(address, || false)?;
    let start = Instant::now();
    drop(stream);
    while !running(address)?.is_empty() {
        ensure!(start.elapsed() < Duration::from_secs(15), "it runs for nobody");
        std::thread::sleep(Duration::from_millis(5));
    }
    eprintln!("a query ended {:?} after its asker went away", start.elapsed());
    ensure!(program.stop()? == Some(0));
    Ok(())
}

fn refusal(address: SocketAddr, path: &str) -> Result<(u16, String, String)> {
    let answer = exchange(address, "GET", path, "", b"")?;
    let body: Value = answer.json()?;
    let text = |name: &str| body[name].as_str().unwrap_or("").to_owned();
    Ok((answer.status, text("errorType"), text("error")))
}

#[test]
fn bombs_are_answered_and_others_go_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program =
        ours(folder.path(), &["--query.max-memory", "64MB", "--query.max-total-memory", "128MB"])?;
    let address = program.address;
    fill(address)?;
    let nested = format!("{}1{}", "(".repeat(50_000), ")".repeat(50_000));
    let signs = format!("{}1", "-".repeat(50_000));
    let many = vec!["load"; 5000].join(" or ");
    for (query, status, words) in [
        // Cross products: what matches many to many is none, what is held has a limit.
        ("load{n=~\"1.\"} * on () load{n=~\"1.\"}", 422, "many-to-many matching not allowed"),
        (
            "load{n=~\"1.\"} * on (job) group_left load{n=~\"1.\"}",
            422,
            "many-to-many matching not allowed",
        ),
        (
            "label_replace(load, \"x\", \"y\", \"\", \"\")",
            422,
            "more than 67108864 bytes of memory",
        ),
        ("load + load", 422, "more than 67108864 bytes of memory"),
        ("sum_over_time(vector(1)[1000d:1ms])", 422, "too many samples"),
        // Regular expressions that take long or much elsewhere.
        ("load{n=~\"(x+x+)+y\"}", 200, ""),
        ("load{n=~\"(((((a{1000}){1000}){1000}){1000}){1000})\"}", 400, "parse error"),
        ("load{n=~\"(\"}", 400, "parse error"),
        (nested.as_str(), 400, "parse error"),
        (signs.as_str(), 400, "parse error"),
        (many.as_str(), 400, "more than 1000 operators"),
    ] {
        let start = Instant::now();
        // A long text goes as a form.
        let (path, form) = long_range(query)
            .split_once('?')
            .map(|(p, f)| (p.to_owned(), f.to_owned()))
            .context("no query")?;
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = exchange(address, "POST", &path, kind, form.as_bytes())?;
        let (text, shown) = (answer.text(), &query[..query.len().min(60)]);
        eprintln!("{shown}: {} after {:?}", answer.status, start.elapsed());
        let error = answer.json()?["error"].as_str().unwrap_or("").to_owned();
        ensure!(
            answer.status == status,
            "{shown}: {}: {}",
            answer.status,
            &text[..text.len().min(300)]
        );
        ensure!(error.contains(words) && error.len() < 200_000, "{shown}: {error}");
        let (status, ..) = refusal(address, "/api/v1/query?query=1")?;
        ensure!(status == 200, "{shown}: then another query has {status}");
    }
    let points = "/api/v1/query_range?query=1&start=0&end=11001&step=1";
    let (status, kind, text) = refusal(address, points)?;
    ensure!((status, kind.as_str()) == (400, "bad_data"), "{status} {kind}");
    ensure!(text.starts_with("exceeded maximum resolution of 11,000 points"), "{text}");
    let start = Instant::now();
    // Long, and never of much memory.
    let long = long_range("max(quantile_over_time(0.5, load[30m]))");
    let path = format!("{long}&timeout=200ms");
    let (status, kind, text) = refusal(address, &path)?;
    ensure!((status, kind.as_str()) == (503, "timeout"), "{status} {kind} {text}");
    ensure!(text == "query timed out in expression evaluation", "{text}");
    eprintln!("a query with a timeout of 200 ms ended after {:?}", start.elapsed());
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.child.id()))?;
    let most = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let most: u64 = most.trim().trim_end_matches(" kB").parse()?;
    eprintln!("at most {} MiB resident", most >> 10);
    ensure!(most < 500 << 10, "{most} kB resident");
    let metrics = exchange(address, "GET", "/metrics", "", b"")?.text();
    ensure!(metrics.contains("kubevigil_panics_total 0\n"), "something panicked");
    ensure!(program.stop()? == Some(0));
    Ok(())
}
