//! The real program on a disk that fills up: what cannot be kept is refused with the reason, what was kept
//! is answered, also after a violent end, and all goes on by itself once there is room.

use anyhow::{Context, Result, bail, ensure};
use model::Labels;
use model::prompb::put_labels;
use model::protobuf::{put_double, put_integer, put_message};
use stage::leftovers::Leftover;
use stage::program::{Program, built};
use stage::prometheus::{Answer, encoded, exchange, wait_until_ready};
use stage::require;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A small disk of its own; gone when dropped.
struct Disk {
    place: PathBuf,
    _leftover: Leftover,
}

impl Disk {
    fn mount(place: PathBuf) -> Result<Disk> {
        let name = format!("full-disk-{}", std::process::id());
        let leftover = Leftover::announce(&name, None, Vec::new(), vec![place.clone()])?;
        std::fs::create_dir_all(&place)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=6m", "kubevigil-test"]).arg(&place);
        ensure!(mount.status()?.success(), "{mount:?} failed");
        Ok(Disk { place, _leftover: leftover })
    }

    /// Takes all the room that is left.
    fn fill(&self) -> Result<PathBuf> {
        let path = self.place.join("filler");
        let mut file = std::fs::File::create(&path)?;
        for size in [1 << 16, 512, 1] {
            let piece = vec![7u8; size];
            while file.write_all(&piece).is_ok() {}
        }
        Ok(path)
    }
}

fn start(dir: &Path) -> Result<Program> {
    let dir = dir.display().to_string();
    let program = Program::start(
        "kubevigil",
        &["--interval", "100ms", "--data-dir", &dir, "--web.enable-remote-write-receiver"],
    )?;
    wait_until_ready(program.address).with_context(|| program.said())?;
    Ok(program)
}

/// Series and time to value, over the last ten minutes.
fn seen(program: &Program) -> Result<BTreeMap<(String, String), String>> {
    let mut all = BTreeMap::new();
    for selector in ["up", "node_cpu_seconds_total", "node_load1"] {
        let query = encoded(&format!("{selector}[10m]"));
        let answer = program.json(&format!("/api/v1/query?query={query}"))?;
        ensure!(answer["warnings"].is_null(), "{}", answer["warnings"]);
        for series in answer["data"]["result"].as_array().context("no result")? {
            for point in series["values"].as_array().context("no values")? {
                let key = (series["metric"].to_string(), point[0].to_string());
                all.insert(key, point[1].as_str().context("no value")?.to_owned());
            }
        }
    }
    ensure!(all.len() > 20, "only {} samples", all.len());
    Ok(all)
}

fn holds(program: &Program, before: &BTreeMap<(String, String), String>, when: &str) -> Result<()> {
    let after = seen(program)?;
    let lost = before.iter().find(|(key, value)| after.get(key) != Some(value));
    ensure!(lost.is_none(), "{when}: {lost:?} is lost");
    Ok(())
}

/// What the status page says of samples that are not kept.
fn complaint(program: &Program) -> Result<Option<String>> {
    let status = program.json("/api/vigil/v1/status")?;
    let notices = status["notices"].as_array().context("no notices")?;
    let about = notices.iter().find(|n| n["what"] == "What is collected is not kept");
    Ok(about.and_then(|n| n["why"].as_str()).map(str::to_owned))
}

fn until(what: &str, program: &Program, holds: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds()? {
        if Instant::now() > deadline {
            bail!("{what}: not within 30 s:\n{}", program.said());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The time of the newest round that is kept.
fn newest(program: &Program) -> Result<f64> {
    let query = encoded("max(timestamp(up{job=\"node\"}))");
    let answer = program.json(&format!("/api/v1/query?query={query}"))?;
    let value = answer["data"]["result"][0]["value"][1].as_str().unwrap_or("0");
    Ok(value.parse()?)
}

fn is_full(why: &Option<String>) -> bool {
    why.as_ref().is_some_and(|w| w.contains("No space left on device"))
}

/// Sends a sample by remote write.
fn send(program: &Program) -> Result<Answer> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let mut message = Vec::new();
    put_message(&mut message, 1, |out| {
        put_labels(out, 1, &Labels::from_pairs([("__name__", "sent")]));
        put_message(out, 2, |out| {
            put_double(out, 1, 1.0);
            put_integer(out, 2, now_ms as i64);
        });
    });
    let body = snap::raw::Encoder::new().compress_vec(&message)?;
    let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                   X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
    exchange(program.address, "POST", "/api/v1/write", headers, &body)
}

#[test]
fn a_full_disk_refuses_and_recovers() -> Result<()> {
    if !require::present("full_disk::a_full_disk_refuses_and_recovers", require::root()) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let disk = Disk::mount(folder.path().join("disk"))?;
    let dir = disk.place.join("data");
    let program = start(&dir)?;
    std::thread::sleep(Duration::from_secs(2));
    let filler = disk.fill()?;
    until("it says that nothing is kept", &program, || Ok(is_full(&complaint(&program)?)))?;
    let before = seen(&program)?;
    let kept_until = newest(&program)?;
    // The present is shown all the same, and who sends is told why nothing is taken.
    ensure!(program.get("/metrics")?.contains("kubevigil_panics_total 0\n"));
    // What is small may still find room in the log's last page.
    until("who sends is refused", &program, || {
        let answer = send(&program)?;
        let refused = answer.status >= 500 && answer.text().contains("No space left");
        ensure!(refused || answer.status == 204, "{answer:?}");
        Ok(refused)
    })?;
    holds(&program, &before, "while the disk is full")?;

    // A start on the full disk answers what there is.
    program.signal(9)?;
    drop(program);
    let program = start(&dir)?;
    holds(&program, &before, "after a start on the full disk")?;
    until("it says so again", &program, || Ok(is_full(&complaint(&program)?)))?;
    let cpu = program.cpu_milliseconds()?;
    std::thread::sleep(Duration::from_secs(2));
    let cpu = program.cpu_milliseconds()? - cpu;
    ensure!(cpu < 1500, "{cpu} ms of CPU in two seconds of a full disk");

    std::fs::remove_file(filler)?;
    until("it goes on", &program, || Ok(newest(&program)? > kept_until + 1.0))?;
    until("no complaint is left", &program, || Ok(complaint(&program)?.is_none()))?;
    std::thread::sleep(Duration::from_secs(1));
    let later = seen(&program)?;
    program.signal(9)?;
    drop(program);
    let program = start(&dir)?;
    holds(&program, &before, "after all")?;
    holds(&program, &later, "after all")?;
    ensure!(send(&program)?.status == 204);
    let metrics = program.get("/metrics")?;
    ensure!(metrics.contains("kubevigil_panics_total 0\n"), "{}", program.said());
    ensure!(program.stop()? == Some(0), "it did not end well");
    let checked = Command::new(built("kubevigil")).args(["tools", "check"]).arg(&dir).output()?;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    ensure!(checked.status.success() && said.contains("nothing is wrong"), "{said}");
    Ok(())
}
