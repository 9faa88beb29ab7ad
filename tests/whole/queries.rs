//! Queries that run: listed, cancelled, named after a crash, and logged in Prometheus's words.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stage::program::Program;
use stage::prometheus::{Prometheus, exchange, json, wait_until_ready};
use stage::require;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Takes much longer than any of these tests.
const LONG: &str = "sum_over_time(vector(1)[6h:10ms])";

fn ours(dir: &Path, log: &Path) -> Result<Program> {
    let program = Program::start(
        "kubevigil",
        &[
            "--data-dir",
            &dir.display().to_string(),
            "--query.log-file",
            &log.display().to_string(),
            "--query.max-samples",
            "1000000000",
        ],
    )?;
    wait_until_ready(program.address)?;
    Ok(program)
}

/// Asks for something long, and waits until it runs.
fn begin(address: SocketAddr) -> Result<(JoinHandle<u16>, u64)> {
    let query = LONG.replace('[', "%5B").replace(']', "%5D");
    let path = format!("/api/v1/query_range?query={query}&start=1e9&end=1000010000&step=1");
    let asked = std::thread::spawn(move || {
        exchange(address, "GET", &path, "", b"").map_or(0, |answer| answer.status)
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let list = json(address, "/api/vigil/v1/queries")?;
        if let Some(one) = list["queries"].get(0) {
            ensure!(one["query"] == LONG && one["client"] == "127.0.0.1", "{one}");
            ensure!(one["step_ms"] == 1000 && one["path"] == "/api/v1/query_range", "{one}");
            return Ok((asked, one["id"].as_u64().context("no id")?));
        }
        ensure!(Instant::now() < deadline, "no query runs");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn queries_are_listed_cancelled_and_named_after_a_crash() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (dir, log) = (folder.path().join("data"), folder.path().join("queries.log"));
    let program = ours(&dir, &log)?;
    let address = program.address;
    let (asked, id) = begin(address)?;
    let target = format!("/api/vigil/v1/queries/{id}");
    ensure!(exchange(address, "DELETE", &target, "", b"")?.status == 204);
    let start = Instant::now();
    ensure!(asked.join().ok() == Some(499), "it was not cancelled");
    let took = start.elapsed();
    eprintln!("a cancelled query ended after {took:?}");
    ensure!(took < Duration::from_secs(15), "{took:?}");
    ensure!(exchange(address, "DELETE", &target, "", b"")?.status == 404);
    let none = json(address, "/api/vigil/v1/queries")?;
    ensure!(none["queries"] == serde_json::json!([]), "{none}");

    let (asked, _) = begin(address)?;
    program.signal(9)?;
    drop(program);
    ensure!(asked.join().ok() == Some(0));
    let program = ours(&dir, &log)?;
    let status = json(program.address, "/api/vigil/v1/status")?;
    let notices = status["notices"].as_array().context("no notices")?;
    ensure!(notices.iter().any(|n| n["why"] == LONG), "{notices:?}");
    ensure!(program.stop()? == Some(0));
    let program = ours(&dir, &log)?;
    let status = json(program.address, "/api/vigil/v1/status")?.to_string();
    ensure!(!status.contains(LONG), "named twice");
    ensure!(program.stop()? == Some(0));
    Ok(())
}

/// The fields of a log line, and the values that are the same everywhere.
fn fields(line: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for part in ["params", "stats", "httpRequest"] {
        for (name, value) in line[part].as_object().into_iter().flatten() {
            match (part, value) {
                ("stats", _) => found.push(format!("{part}.{name}")),
                (_, value) => found.push(format!("{part}.{name}={value}")),
            }
        }
    }
    found.push(format!("msg={}", line["msg"]));
    found.push(format!("level={}", line["level"]));
    found.push(format!("failed={}", !line["error"].is_null()));
    found
}

#[test]
fn the_query_log_has_prometheuss_words() -> Result<()> {
    if !require::present("the_query_log_has_prometheuss_words", require::program("go")) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let logs = ["ours.log", "theirs.log"].map(|n| folder.path().join(n));
    let program = ours(&folder.path().join("data"), &logs[0])?;
    let config = format!("global:\n  query_log_file: {}\n", logs[1].display());
    let theirs = Prometheus::start(&folder.path().join("theirs"), &config, &[])?;
    for target in [
        "/api/v1/query?query=vector(1)&time=1700000000.5",
        "/api/v1/query_range?query=vector(2)&start=1700000000&end=1700000060&step=15",
        "/api/v1/query?query=label_replace(vector(1),%22a%22,%22b%22,%22c%22,%22(%22)&time=1",
    ] {
        for address in [program.address, theirs.address] {
            exchange(address, "GET", target, "", b"")?;
        }
    }
    let read = |path: &Path| -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(path)?;
        text.lines().map(|l| serde_json::from_str(l).with_context(|| l.to_owned())).collect()
    };
    let (ours, theirs) = (read(&logs[0])?, read(&logs[1])?);
    ensure!(ours.len() == 3 && theirs.len() == 3, "{ours:?}\n{theirs:?}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        ensure!(fields(ours) == fields(theirs), "{ours}\n{theirs}");
        ensure!(ours["time"].as_str().is_some_and(|t| t.ends_with('Z')), "{ours}");
        ensure!(ours["stats"]["timings"]["execTotalTime"].is_number(), "{ours}");
    }
    ensure!(program.stop()? == Some(0));
    Ok(())
}
