//! Remote write beside a real Prometheus: as a sender that sends to us, over our own violent ends,
//! and as a receiver whose answers to good and hostile bodies ours are compared with.

use anyhow::{Context, Result, ensure};
use model::Labels;
use model::prompb::put_labels;
use model::protobuf::{put_bytes, put_double, put_integer, put_message, put_varint};
use serde_json::{Value, json};
use stage::program::{Program, built};
use stage::prometheus::{
    Answer, Prometheus, encoded, exchange, free_address, json as get, wait_until_ready,
};
use stage::require;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn now_ms() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

fn ours(address: SocketAddr, dir: &Path, more: &[&str]) -> Result<Program> {
    let mut command = Command::new(built("kubevigil"));
    command.args(["--listen", &address.to_string(), "--collector.disable-defaults"]);
    command.args(["--data-dir", &dir.display().to_string(), "--web.enable-remote-write-receiver"]);
    command.args(more);
    let program = Program::start_command(command)?;
    wait_until_ready(program.address)?;
    Ok(program)
}

/// The values of all series of the sender `self` at a time, by their labels without `sender`.
fn series_at(address: SocketAddr, query: &str, time_ms: i64) -> Result<Vec<(String, Value)>> {
    let time = time_ms as f64 / 1000.0;
    let answer = get(address, &format!("/api/v1/query?query={}&time={time}", encoded(query)))?;
    let result = answer["data"]["result"].as_array().with_context(|| answer.to_string())?;
    let mut series = Vec::new();
    for one in result {
        let mut metric = one["metric"].clone();
        if let Some(labels) = metric.as_object_mut() {
            labels.remove("sender");
        }
        let value = match (&one["value"], &one["histogram"]) {
            (Value::Null, Value::Null) => json!([one["values"], one["histograms"]]),
            (Value::Null, histogram) => histogram.clone(),
            (value, _) => value.clone(),
        };
        series.push((metric.to_string(), value));
    }
    series.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(series)
}

/// Prometheus scrapes itself, with native histograms, and sends everything to us twice: by 1.0 and
/// by 2.0. We are killed under it, and come back.
#[test]
fn prometheus_sends_and_nothing_is_lost() -> Result<()> {
    if !require::present("prometheus_sends_and_nothing_is_lost", require::program("go")) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let dir = folder.path().join("ours");
    let program = ours(address, &dir, &[])?;
    // The messages of 1.0 bring what is said of families apart, once a minute unless told otherwise.
    let sender = |name: &str, message: &str| {
        format!(
            "- url: http://{address}/api/v1/write\n  name: {name}\n  protobuf_message: {message}\n  \
             metadata_config: {{send_interval: 1s}}\n  \
             send_native_histograms: true\n  send_exemplars: true\n  \
             queue_config: {{min_backoff: 30ms, max_backoff: 200ms, batch_send_deadline: 500ms}}\n  \
             write_relabel_configs:\n  - {{target_label: sender, replacement: {name}}}\n"
        )
    };
    let config = format!(
        "global:\n  scrape_interval: 1s\n  scrape_native_histograms: true\nscrape_configs:\n\
         - job_name: self\n  static_configs:\n  - targets: ['{{address}}']\nremote_write:\n{}{}",
        sender("one", "prometheus.WriteRequest"),
        sender("two", "io.prometheus.write.v2.Request"),
    );
    let theirs = Prometheus::start(
        &folder.path().join("theirs"),
        &config,
        &["--enable-feature=exemplar-storage,metadata-wal-records"],
    )?;
    let start_ms = now_ms()?;
    std::thread::sleep(Duration::from_secs(6));
    program.signal(9)?;
    drop(program);
    std::thread::sleep(Duration::from_secs(2));
    let program = ours(address, &dir, &[])?;
    std::thread::sleep(Duration::from_secs(4));
    let end_ms = now_ms()?;

    // What was scraped until then has to arrive; then every sample of it is compared.
    let all = "{job=\"self\"}[8s]";
    let wanted = series_at(theirs.address, all, end_ms - 2000)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    for name in ["one", "two"] {
        let query = format!("{{job=\"self\",sender=\"{name}\"}}[8s]");
        loop {
            let got = series_at(address, &query, end_ms - 2000)?;
            if got == wanted {
                break;
            }
            let differ = got.iter().zip(&wanted).find(|(a, b)| a != b);
            ensure!(
                Instant::now() < deadline,
                "sender {name}: {} series and {}; {differ:?}\n{}",
                got.len(),
                wanted.len(),
                program.said()
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }
    let (mut floats, mut histograms) = (0, 0);
    for time_ms in (start_ms..end_ms - 2000).step_by(1000) {
        let wanted = series_at(theirs.address, "{job=\"self\"}", time_ms)?;
        for name in ["one", "two"] {
            let query = format!("{{job=\"self\",sender=\"{name}\"}}");
            let got = series_at(address, &query, time_ms)?;
            ensure!(got.len() == wanted.len(), "{time_ms}: {} and {}", got.len(), wanted.len());
            for (got, wanted) in got.iter().zip(&wanted) {
                ensure!(got == wanted, "{time_ms}, {name}: {got:?} and {wanted:?}");
                *if got.1[1].is_object() { &mut histograms } else { &mut floats } += 1;
            }
        }
    }
    eprintln!(
        "{floats} floats and {histograms} native histograms compared with what Prometheus has"
    );
    ensure!(floats >= 5000 && histograms >= 20, "too few were compared");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let about = get(address, "/api/v1/metadata?metric=prometheus_http_requests_total")?;
        if about["data"]["prometheus_http_requests_total"][0]["type"] == "counter" {
            break;
        }
        ensure!(Instant::now() < deadline, "no metadata: {about}");
        std::thread::sleep(Duration::from_millis(300));
    }
    let metrics = exchange(address, "GET", "/metrics", "", b"")?.text();
    for protocol in ["1.0", "2.0"] {
        let line =
            format!("kubevigil_api_write_samples_total{{protocol=\"remote-write-{protocol}\"}} ");
        let taken = metrics.lines().find_map(|l| l.strip_prefix(&line)).unwrap_or("0");
        ensure!(taken.parse::<f64>()? > 1000.0, "{line}{taken}");
    }
    ensure!(metrics.contains("kubevigil_panics_total 0\n"), "something panicked");
    ensure!(program.stop()? == Some(0));
    Ok(())
}

/// A series of a 2.0 request: labels, and what else `write` adds.
struct Series<'a> {
    labels: &'a [(&'a str, &'a str)],
    write: &'a dyn Fn(&mut Vec<u8>),
}

fn v2(series: &[Series<'_>]) -> Vec<u8> {
    let mut symbols = vec![""];
    let mut refs = Vec::new();
    for one in series {
        let mut of_series = Vec::new();
        for (name, value) in one.labels.iter().copied() {
            for text in [name, value] {
                of_series.push(symbols.len() as u64);
                symbols.push(text);
            }
        }
        refs.push(of_series);
    }
    let mut out = Vec::new();
    symbols.iter().for_each(|s| put_bytes(&mut out, 4, s.as_bytes()));
    for (one, refs) in series.iter().zip(refs) {
        put_message(&mut out, 5, |out| {
            put_message(out, 1, |out| refs.iter().for_each(|r| put_varint(out, *r)));
            (one.write)(out);
        });
    }
    out
}

fn sample(out: &mut Vec<u8>, time_ms: i64, value: f64) {
    put_message(out, 2, |out| {
        put_double(out, 1, value);
        put_integer(out, 2, time_ms);
    });
}

const V1: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                  X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
const V2: &str = "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n\
                  Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 2.0.0\r\n";

fn send(address: SocketAddr, headers: &str, message: &[u8]) -> Result<Answer> {
    let body = snap::raw::Encoder::new().compress_vec(message)?;
    exchange(address, "POST", "/api/v1/write", headers, &body)
}

const COUNTS: [&str; 3] = ["samples", "histograms", "exemplars"];

/// Status, counts and text of an answer.
fn seen(answer: &Answer) -> (u16, Vec<String>, String) {
    let counts = COUNTS.map(|c| answer.header(&format!("x-prometheus-remote-write-{c}-written")));
    (answer.status, counts.to_vec(), answer.text())
}

#[test]
fn answers_to_senders_are_prometheuss() -> Result<()> {
    if !require::present("answers_to_senders_are_prometheuss", require::program("go")) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let program = ours(free_address()?, &folder.path().join("ours"), &[])?;
    let config = "storage:\n  tsdb: {out_of_order_time_window: 10m}\n";
    let arguments = ["--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage"];
    let theirs = Prometheus::start(&folder.path().join("theirs"), config, &arguments)?;
    let now = now_ms()?;
    let m = |n: &'static str| [("__name__", "m"), ("n", n)];
    let good = |out: &mut Vec<u8>| sample(out, now, 1.0);
    let of =
        |labels: &[(&str, &str)], write: &dyn Fn(&mut Vec<u8>)| v2(&[Series { labels, write }]);
    let histogram = |schema: i64, bucket: u64| {
        move |out: &mut Vec<u8>| {
            put_message(out, 3, |out| {
                put_varint(out, 1 << 3);
                put_varint(out, 3);
                put_double(out, 3, 1.5);
                put_integer(out, 4, schema << 1 ^ schema >> 63);
                put_message(out, 11, |out| put_integer(out, 2, 1));
                put_message(out, 12, |out| put_varint(out, bucket << 1));
                put_integer(out, 15, now);
            });
        }
    };
    let metadata = |help: i64| {
        move |out: &mut Vec<u8>| {
            sample(out, now, 1.0);
            put_message(out, 5, |out| {
                put_integer(out, 1, 1);
                put_integer(out, 3, help);
            });
        }
    };
    let exemplar = |out: &mut Vec<u8>| {
        sample(out, now, 1.0);
        put_message(out, 4, |out| {
            put_double(out, 2, 7.0);
            put_integer(out, 3, now);
        });
    };
    let bad_refs = |refs: &[u64]| {
        let mut out = Vec::new();
        ["", "__name__", "m"].iter().for_each(|s| put_bytes(&mut out, 4, s.as_bytes()));
        put_message(&mut out, 5, |out| {
            put_message(out, 1, |out| refs.iter().for_each(|r| put_varint(out, *r)));
            good(out);
        });
        out
    };
    // Text that has to be the same, and where it is not: words of another library.
    let cases: Vec<(&str, &str, Vec<u8>, bool)> = vec![
        ("a sample", V2, of(&m("1"), &good), true),
        ("the same again", V2, of(&m("1"), &good), true),
        ("an exemplar", V2, of(&m("exemplar"), &exemplar), true),
        ("metadata", V2, of(&m("metadata"), &metadata(1)), true),
        ("a histogram", V2, of(&m("histogram"), &histogram(0, 3)), true),
        ("no series", V2, Vec::new(), true),
        ("no metric name", V2, of(&[("a", "b")], &good), true),
        ("an empty label name", V2, of(&[("__name__", "m"), ("", "b")], &good), true),
        ("a label twice", V2, of(&[("__name__", "m"), ("a", "1"), ("a", "2")], &good), true),
        ("no samples", V2, of(&m("2"), &|_| ()), true),
        ("the far future", V2, of(&m("3"), &|out| sample(out, now + 700_000, 1.0)), true),
        ("a schema beyond", V2, of(&m("4"), &histogram(60, 3)), true),
        ("a count that is not the sum", V2, of(&m("5"), &histogram(0, 4)), true),
        ("an odd number of references", V2, bad_refs(&[1, 2, 1]), true),
        ("a reference beyond the table", V2, bad_refs(&[1, 9]), true),
        ("help beyond the table", V2, of(&m("6"), &metadata(99)), true),
        (
            "good and bad ones",
            V2,
            v2(&[
                Series { labels: &m("7"), write: &good },
                Series { labels: &[("x", "y")], write: &good },
                Series { labels: &m("8"), write: &|out| sample(out, now + 700_000, 1.0) },
                Series { labels: &m("9"), write: &good },
            ]),
            true,
        ),
        ("too old", V2, of(&m("1"), &|out| sample(out, now - 700_000, 1.0)), true),
        ("another value at the same time", V2, of(&m("1"), &|out| sample(out, now, 2.0)), false),
        ("broken protobuf", V2, vec![0x2a, 0x05, 1], false),
        ("1.0, broken protobuf", V1, vec![0x0a, 0x05, 1], false),
        ("the message of 2.0 as 1.0", V1, of(&m("1"), &good), true),
        ("1.0, too far in the future", V1, v1(&m("10"), now + 700_000), false),
        ("1.0, a sample", V1, v1(&m("11"), now), true),
        ("1.0, nothing", V1, Vec::new(), true),
    ];
    let mut wrong = Vec::new();
    for (what, headers, message, same_text) in &cases {
        let mut both = [program.address, theirs.address]
            .map(|a| send(a, headers, message).map(|answer| seen(&answer)));
        for answer in both.iter_mut().flatten() {
            if !same_text {
                answer.2.clear();
            }
        }
        let [ours, theirs] = both;
        let (ours, theirs) = (ours?, theirs?);
        if ours != theirs {
            wrong.push(format!("{what}:\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
    }
    // Headers and bodies that are no message at all.
    let proto = "Content-Type: application/x-protobuf";
    let raw: Vec<(&str, String, Vec<u8>, bool)> = vec![
        ("JSON", "Content-Type: application/json\r\n".into(), b"\0".to_vec(), true),
        ("an unknown message", format!("{proto};proto=x\r\n"), b"\0".to_vec(), true),
        ("a parameter without a value", format!("{proto};proto\r\n"), b"\0".to_vec(), true),
        ("gzip", format!("{proto}\r\nContent-Encoding: gzip\r\n"), b"\0".to_vec(), true),
        ("no snappy", format!("{proto}\r\nContent-Encoding: snappy\r\n"), b"hello".to_vec(), false),
        ("empty", format!("{proto}\r\nContent-Encoding: snappy\r\n"), Vec::new(), false),
        (
            "a bomb",
            format!("{proto}\r\nContent-Encoding: snappy\r\n"),
            vec![0xff, 0xff, 0xff, 0xff, 0x0f, 1],
            false,
        ),
        (
            "beyond the limit",
            format!("{proto}\r\nContent-Encoding: snappy\r\n"),
            vec![0; (32 << 20) + 1],
            true,
        ),
    ];
    for (what, headers, body, same_text) in &raw {
        let ask = |address| exchange(address, "POST", "/api/v1/write", headers, body);
        let (ours, theirs) = (ask(program.address)?, ask(theirs.address)?);
        if ours.status != theirs.status || (*same_text && ours.text() != theirs.text()) {
            let both = (seen(&ours), seen(&theirs));
            wrong.push(format!("{what}:\n  ours   {:?}\n  theirs {:?}", both.0, both.1));
        }
    }
    let compared = cases.len() + raw.len();
    eprintln!("{compared} answers compared with Prometheus, {} differ", wrong.len());
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What both took is the same.
    for query in ["m", "{__name__=~\".+\",n=~\".+\"}"] {
        let at = |address| series_at(address, query, now + 1000);
        let (ours, theirs) = (at(program.address)?, at(theirs.address)?);
        ensure!(ours.len() >= 7 && ours == theirs, "{query}: {ours:?}\n{theirs:?}");
    }
    let exemplars = |address: SocketAddr| -> Result<Value> {
        Ok(get(address, "/api/v1/query_exemplars?query=m&start=0&end=9999999999")?["data"].clone())
    };
    let (told, theirs) = (exemplars(program.address)?, exemplars(theirs.address)?);
    ensure!(told == theirs && told[0]["exemplars"][0]["value"] == "7", "{told}\n{theirs}");
    // What 2.0 says of a series' family is known; exemplars are there again after a violent end.
    let about = get(program.address, "/api/v1/metadata?metric=m")?;
    ensure!(about["data"]["m"][0]["type"] == "counter", "{about}");
    program.signal(9)?;
    drop(program);
    let program = ours(free_address()?, &folder.path().join("ours"), &[])?;
    let told = exemplars(program.address)?;
    ensure!(told == theirs, "after a restart: {told}");
    ensure!(program.stop()? == Some(0));
    Ok(())
}

fn v1(labels: &[(&str, &str)], time_ms: i64) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_labels(out, 1, &Labels::from_pairs(labels.iter().copied()));
        sample(out, time_ms, 1.0);
    });
    out
}

/// Bombs of every kind: each gets a plain answer, memory stays within bounds, others go on.
#[test]
fn bombs_are_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = ours(free_address()?, folder.path(), &["--receive.series-limit", "1000"])?;
    let address = program.address;
    let now = now_ms()?;
    let resident = || -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    };
    let names: Vec<String> = (0..1000).map(|i| format!("l{i}")).collect();
    let mut many: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), "v")).collect();
    many.push(("__name__", "m"));
    let long = "x".repeat(1 << 20);
    let good = |out: &mut Vec<u8>| sample(out, now, 1.0);
    let of = |labels: &[(&str, &str)]| v2(&[Series { labels, write: &good }]);
    let mut empty_series = Vec::new();
    (0..2_000_000).for_each(|_| put_bytes(&mut empty_series, 5, &[]));
    let mut no_samples = Vec::new();
    put_message(&mut no_samples, 1, |out| {
        put_labels(out, 1, &Labels::from_pairs([("__name__", "m")]));
        (0..3_000_000).for_each(|_| put_bytes(out, 2, &[]));
    });
    let buckets = v2(&[Series {
        labels: &[("__name__", "m")],
        write: &|out| put_message(out, 3, |out| put_bytes(out, 12, &vec![2; 8 << 20])),
    }]);
    for (what, headers, message, words) in [
        ("1,000 labels", V2, of(&many), "1001 labels, and not more than 256 may be"),
        (
            "a value of 1 MB",
            V2,
            of(&[("__name__", "m"), ("a", &long)]),
            "a label value of 1048576 bytes",
        ),
        (
            "a name of 1 MB",
            V2,
            of(&[("__name__", "m"), (&long, "a")]),
            "a label name of 1048576 bytes",
        ),
        ("2 million series", V2, empty_series, "more than 1000000 series"),
        ("3 million samples", V1, no_samples, "more than 1000000 series"),
        ("8 million buckets", V2, buckets, "more than 65536 spans, buckets or bounds"),
    ] {
        let answer = send(address, headers, &message)?;
        let text = answer.text();
        ensure!(answer.status == 400 && text.contains(words), "{what}: {}: {text}", answer.status);
        ensure!(text.len() < 8192, "{what}: the answer has {} bytes", text.len());
    }
    // More series than may be: those that fit are kept.
    let numbers: Vec<String> = (0..1500).map(|i| i.to_string()).collect();
    let labels: Vec<_> =
        numbers.iter().map(|n| [("__name__", "flood"), ("n", n.as_str())]).collect();
    let flood: Vec<_> = labels.iter().map(|l| Series { labels: l, write: &good }).collect();
    let answer = send(address, V2, &v2(&flood))?;
    let text = answer.text();
    ensure!(answer.status == 400, "{}: {text}", answer.status);
    ensure!(text.contains("there are 1000 series, and no more may begin"), "{text}");
    ensure!(text.ends_with("more\n"), "not all mistakes need be told: {text}");
    let kept: u64 = answer.header("x-prometheus-remote-write-samples-written").parse()?;
    let stored = get(address, "/api/v1/query?query=count(flood)")?;
    let stored = stored["data"]["result"][0]["value"][1].as_str().unwrap_or("0").to_owned();
    // What it found of itself until then counts, too.
    ensure!(kept > 500 && kept <= 1000 && stored == kept.to_string(), "{kept} and {stored}");
    let most = resident()?;
    eprintln!("at most {} MiB resident under bombs", most >> 20);
    ensure!(most < 400 << 20, "{most} bytes resident");
    // A sender that sends too much waits, and is told how long.
    let dir = folder.path().join("slow");
    let slow = ours(free_address()?, &dir, &["--receive.sample-rate-limit", "10"])?;
    let many: Vec<_> = (0..400).map(|i| now - 1000 + i).collect();
    let fast = |out: &mut Vec<u8>| many.iter().for_each(|t| sample(out, *t, 1.0));
    let message = v2(&[Series { labels: &[("__name__", "fast")], write: &fast }]);
    let first = send(slow.address, V2, &message)?;
    ensure!(first.status == 204, "{first:?}");
    let second = send(slow.address, V2, &message)?;
    let wait: u64 = second.header("retry-after").parse()?;
    ensure!(second.status == 429 && (5..=11).contains(&wait), "{second:?}");
    ensure!(second.text().starts_with("more than 10 samples a second"), "{second:?}");
    let metrics = exchange(slow.address, "GET", "/metrics", "", b"")?.text();
    let counted = "kubevigil_api_write_refused_samples_total{reason=\"rate_limit\"} 400";
    ensure!(metrics.contains(counted), "the refusal is not counted");
    ensure!(slow.stop()? == Some(0));
    // Off unless switched on.
    let closed = Program::start(
        "kubevigil",
        &["--data-dir", &folder.path().join("b").display().to_string()],
    )?;
    let answer = send(closed.address, V2, &of(&[("__name__", "m")]))?;
    let words =
        "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n";
    ensure!(answer.status == 404 && answer.text() == words, "{answer:?}");
    ensure!(exchange(address, "GET", "/api/v1/write", "", b"")?.status == 405);
    ensure!(closed.stop()? == Some(0) && program.stop()? == Some(0));
    Ok(())
}
