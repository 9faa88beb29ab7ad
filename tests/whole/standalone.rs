//! `kubevigil` as a person uses it: started, asked, killed, started again, told to stop, and started
//! where it cannot work.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use stage::program::{Program, built};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program on a folder.
fn start(dir: &std::path::Path) -> Result<Program> {
    Program::start("kubevigil", &["--data-dir", &dir.display().to_string()])
}

/// Asks until `found` gives something; at most 20 s.
fn wait_for<T>(what: &str, mut found: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut last = None;
    while Instant::now() < deadline {
        match found() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("waited 20 s in vain for {what}: {last:?}")
}

/// The newest sample of a series: its time in seconds, and its value.
fn newest(program: &Program, query: &str) -> Result<Option<(f64, String)>> {
    let answer = program.json(&format!("/api/v1/query?query={query}"))?;
    let value = &answer["data"]["result"][0]["value"];
    Ok(value[0].as_f64().zip(value[1].as_str().map(Into::into)))
}

/// All samples of a selector over the last ten minutes, as (series, time, value).
fn samples(program: &Program, selector: &str) -> Result<Vec<(String, String, String)>> {
    let answer = program.json(&format!("/api/v1/query?query={selector}[10m]"))?;
    let mut found = Vec::new();
    for series in answer["data"]["result"].as_array().context("no result")? {
        for point in series["values"].as_array().context("no values")? {
            let text = |v: &Value| v.as_str().map_or(v.to_string(), Into::into);
            found.push((series["metric"].to_string(), text(&point[0]), text(&point[1])));
        }
    }
    Ok(found)
}

/// Runs the program to its end, at most 10 s: exit code and all that it said.
fn run(arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let mut child = Command::new(built("kubevigil"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            let output = child.wait_with_output()?;
            bail!("{arguments:?} did not end: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

fn stops_well(program: Program) -> Result<()> {
    let output = program.output.clone();
    let code = program.stop()?;
    let said = output.lock().map(|o| o.clone()).unwrap_or_default();
    ensure!(code == Some(0), "exit code {code:?}:\n{said}");
    ensure!(!said.contains("panicked"), "it panicked:\n{said}");
    Ok(())
}

/// Starts it until that takes less than two seconds; a machine that does much else has three tries.
fn within_two_seconds<T>(mut start: impl FnMut(u32) -> Result<T>) -> Result<T> {
    let mut all = Vec::new();
    for attempt in 0..3 {
        let begin = Instant::now();
        let started = start(attempt)?;
        all.push(begin.elapsed());
        eprintln!("started and answered in {:?}", begin.elapsed());
        if begin.elapsed() < Duration::from_secs(2) {
            return Ok(started);
        }
    }
    bail!("starts took {all:?}")
}

#[test]
fn starts_within_two_seconds_and_answers_everything() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (program, page) = within_two_seconds(|attempt| {
        let program = start(&dir.path().join(format!("new/folder-{attempt}")))?;
        let page = program.get_with("/", "Accept: text/html\r\n")?;
        Ok((program, page))
    })?;
    ensure!(page.0 == 200 && String::from_utf8_lossy(&page.2).contains("Kubevigil"), "{page:?}");
    ensure!(page.1.to_lowercase().contains("content-security-policy:"), "{}", page.1);

    for job in ["node", "cadvisor", "kubevigil"] {
        let query = format!("up%7Bjob=%22{job}%22%7D");
        let (_, up) = wait_for("up", || newest(&program, &query))?;
        ensure!(up == "1", "up of {job} is {up}");
        let query = format!("scrape_samples_scraped%7Bjob=%22{job}%22%7D");
        let (_, count) = newest(&program, &query)?.context("no count")?;
        ensure!(count.parse::<f64>()? > 10.0, "{job} gave {count} samples");
    }
    wait_for("node_load1", || newest(&program, "node_load1"))?;
    wait_for("a container's CPU", || {
        newest(&program, "container_cpu_usage_seconds_total%7Bid=%22/%22%7D")
    })?;

    let status = program.json("/api/vigil/v1/status")?;
    for field in ["version", "hostname", "kernel", "boot_ms", "started_ms", "now_ms", "interval_ms"]
    {
        ensure!(!status[field].is_null(), "{field} is missing in {status}");
    }
    ensure!(status["opening"].is_null() && status["mode"] == "standalone", "{status}");
    let collectors = status["collectors"].as_array().context("no collectors")?;
    ensure!(collectors.iter().any(|c| c["name"] == "cpu" && c["success"] == true), "{status}");
    let containers = program.json("/api/vigil/v1/containers")?;
    ensure!(containers["containers"][0]["id"] == "/", "{containers}");

    for path in ["/metrics", "/metrics/node", "/metrics/cadvisor"] {
        let text = program.get(path)?;
        ensure!(text.contains("# TYPE"), "{path}: {text}");
        let (_, head, open) = program.get_with(path, "Accept: application/openmetrics-text\r\n")?;
        ensure!(open.ends_with(b"# EOF\n"), "{path}: {head}");
    }
    let metrics = program.get("/metrics")?;
    ensure!(metrics.contains("\nkubevigil_panics_total 0\n"), "{metrics}");
    ensure!(program.get("/-/healthy")?.contains("healthy"));
    ensure!(program.get("/-/ready")?.contains("ready"));
    stops_well(program)
}

#[test]
fn what_was_seen_survives_a_kill_and_the_next_start_is_fast() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let program = start(dir.path())?;
    wait_for("five rounds", || {
        let rounds = samples(&program, "up%7Bjob=%22node%22%7D")?;
        Ok((rounds.len() >= 5).then_some(()))
    })?;
    let selectors = ["node_cpu_seconds_total", "up", "container_memory_usage_bytes"];
    let before: Vec<_> = selectors.iter().map(|s| samples(&program, s)).collect::<Result<_>>()?;
    program.signal(9)?;
    drop(program);

    // What is dropped is killed.
    let program = within_two_seconds(|_| {
        let program = start(dir.path())?;
        wait_for("the store", || Ok(program.get("/-/ready").ok()))?;
        Ok(program)
    })?;
    let mut compared = 0;
    for (selector, before) in selectors.iter().zip(before) {
        let after = samples(&program, selector)?;
        for sample in &before {
            ensure!(after.contains(sample), "{sample:?} was seen before the kill and is gone");
        }
        compared += before.len();
    }
    eprintln!("{compared} samples are there after a kill");
    ensure!(compared > 100, "only {compared} samples were compared");
    let count = samples(&program, "up%7Bjob=%22node%22%7D")?.len();
    wait_for("more rounds", || {
        Ok((samples(&program, "up%7Bjob=%22node%22%7D")?.len() > count + 1).then_some(()))
    })?;
    stops_well(program)
}

#[test]
fn history_survives_a_stop() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let program = start(dir.path())?;
    wait_for("a round", || newest(&program, "node_load1"))?;
    let before = samples(&program, "node_load1")?;
    stops_well(program)?;
    let program = start(dir.path())?;
    wait_for("the store", || Ok(program.get("/-/ready").ok()))?;
    let after = samples(&program, "node_load1")?;
    for sample in &before {
        ensure!(after.contains(sample), "{sample:?} is gone");
    }
    stops_well(program)
}

#[test]
fn where_it_cannot_work_it_says_why_and_what_to_do() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let program = start(dir.path())?;
    wait_for("the store", || Ok(program.get("/-/ready").ok()))?;
    let folder = dir.path().display().to_string();

    let (code, said) = run(&["--listen", "127.0.0.1:0", "--data-dir", &folder])?;
    let pid = program.child.id().to_string();
    ensure!(code == Some(1) && said.contains(&pid), "locked folder: {code:?}: {said}");
    ensure!(said.contains("--data-dir"), "no remedy: {said}");

    let taken = program.address.to_string();
    let other = tempfile::tempdir()?.path().display().to_string();
    let (code, said) = run(&["--listen", &taken, "--data-dir", &other])?;
    ensure!(code == Some(1) && said.contains("--listen"), "port in use: {code:?}: {said}");
    ensure!(said.contains(&taken), "which port? {said}");

    let (code, said) = run(&["--listen", "0.0.0.0:0", "--data-dir", &other])?;
    ensure!(code == Some(1) && said.contains("--listen-insecure"), "exposed: {code:?}: {said}");

    let file = dir.path().join("file");
    std::fs::write(&file, "")?;
    let (code, said) =
        run(&["--listen", "127.0.0.1:0", "--data-dir", &file.join("x").display().to_string()])?;
    ensure!(code == Some(1) && said.contains("file/x"), "no folder: {code:?}: {said}");

    let (code, said) = run(&["--interval", "1ms"])?;
    ensure!(code == Some(2) && said.contains("between"), "interval: {code:?}: {said}");
    let (code, said) = run(&["--no-collector.nothing"])?;
    ensure!(code == Some(2), "collector: {code:?}: {said}");
    stops_well(program)
}

#[test]
fn other_sites_learn_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let program = start(dir.path())?;
    let port = program.address.port();
    let ask = |host: &str, headers: &str| -> Result<u16> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(program.address)?;
        write!(
            stream,
            "GET /api/vigil/v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split(' ').nth(1).context("no status")?.parse()?)
    };
    let own = format!("127.0.0.1:{port}");
    ensure!(ask(&own, "")? == 200);
    ensure!(ask(&format!("localhost:{port}"), "")? == 200);
    // DNS rebinding: the browser asks us under the attacker's name.
    ensure!(ask(&format!("evil.example:{port}"), "")? == 403);
    // Another site's script asks us by our own name.
    ensure!(ask(&own, "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n")? == 403);
    stops_well(program)
}

/// What the program takes while it watches this machine once a second and nobody asks. The figure
/// of docs/benchmarks.md comes from a release build; here it is printed, and held far above it.
#[test]
fn costs_little() -> Result<()> {
    const SECONDS: u64 = 60;
    let dir = tempfile::tempdir()?;
    let program = start(dir.path())?;
    wait_for("the store", || Ok(program.get("/-/ready").ok()))?;
    std::thread::sleep(Duration::from_secs(3));
    let before = program.cpu_milliseconds()?;
    std::thread::sleep(Duration::from_secs(SECONDS));
    let spent = program.cpu_milliseconds()? - before;
    let percent = spent as f64 / 10.0 / SECONDS as f64;
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.child.id()))?;
    let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse()?;
    let series = program.json("/api/vigil/v1/status")?["store"]["series"].clone();
    eprintln!(
        "over {SECONDS} s with {series} series each second: {percent:.2} % of a core, {:.1} MB",
        kib as f64 / 1024.0
    );
    ensure!(percent < 10.0, "{percent} % of a core");
    ensure!(kib < 100 << 10, "{kib} KiB");
    stops_well(program)
}
