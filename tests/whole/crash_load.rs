//! The server, killed again and again while targets are scraped and samples are sent to it as fast as
//! they are taken: what was acknowledged or seen is there after the next start, and a scrape is there
//! whole or not at all.

use anyhow::{Context, Result, ensure};
use model::Labels;
use model::prompb::put_labels;
use model::protobuf::{put_double, put_integer, put_message};
use stage::hollow::{Hollow, HollowServer, request};
use stage::program::built;
use stage::prometheus::{encoded, free_address};
use stage::require;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const KILLS: u64 = 8;
const TARGETS: usize = 4;
/// Series of a target, and of a request.
const SERIES: usize = 200;

/// A target whose series all have the number of the scrape as their value.
fn target() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let mut stream = stream;
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let body: String =
                (0..SERIES).map(|n| format!("load{{n=\"{n}\"}} {number}\n")).collect();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: \
                 {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    Ok(address)
}

/// Sends requests, one after the other, and remembers which were acknowledged.
#[derive(Default)]
struct Sender {
    /// The port of the server that runs.
    port: AtomicU16,
    ended: AtomicBool,
    /// The times of samples that were taken.
    taken: Mutex<Vec<i64>>,
}

fn now_ms() -> Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

impl Sender {
    fn run(&self, folder: &Path) -> Result<()> {
        let file = folder.join("body");
        let mut last = 0;
        while !self.ended.load(SeqCst) {
            let time_ms = now_ms()?.max(last + 1);
            last = time_ms;
            let mut message = Vec::new();
            for n in 0..SERIES {
                let n = n.to_string();
                let labels = Labels::from_pairs([("__name__", "sent"), ("n", n.as_str())]);
                put_message(&mut message, 1, |out| {
                    put_labels(out, 1, &labels);
                    put_message(out, 2, |out| {
                        put_double(out, 1, time_ms as f64);
                        put_integer(out, 2, time_ms);
                    });
                });
            }
            std::fs::write(&file, snap::raw::Encoder::new().compress_vec(&message)?)?;
            let address = SocketAddr::from(([127, 0, 0, 1], self.port.load(SeqCst)));
            let headers = [
                "Content-Type: application/x-protobuf",
                "Content-Encoding: snappy",
                "X-Prometheus-Remote-Write-Version: 0.1.0",
            ];
            // It may just have been killed.
            if request(address, "/api/v1/write", &headers, Some(&file)).is_ok_and(|a| a.0 == 204)
                && let Ok(mut taken) = self.taken.lock()
            {
                taken.push(time_ms);
            }
        }
        Ok(())
    }

    fn taken(&self) -> Vec<i64> {
        self.taken.lock().map(|t| t.clone()).unwrap_or_default()
    }
}

/// By time in milliseconds, the values of all series that have a sample then.
fn samples(server: &HollowServer, selector: &str) -> Result<BTreeMap<i64, Vec<String>>> {
    let answer =
        server.json(&format!("/api/v1/query?query={}", encoded(&format!("{selector}[10m]"))))?;
    ensure!(answer["warnings"].is_null(), "{}", answer["warnings"]);
    let mut times: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for series in answer["data"]["result"].as_array().context("no result")? {
        for point in series["values"].as_array().context("no values")? {
            let time = (point[0].as_f64().context("no time")? * 1000.0).round() as i64;
            let value = point[1].as_str().context("no value")?.to_owned();
            times.entry(time).or_default().push(value);
        }
    }
    Ok(times)
}

/// What queries see of each target: time to value. Fails where a scrape is there in parts.
fn scraped(server: &HollowServer) -> Result<BTreeMap<(usize, i64), String>> {
    let mut all = BTreeMap::new();
    for job in 0..TARGETS {
        for (time, values) in samples(server, &format!("load{{job=\"load{job}\"}}"))? {
            let whole = values.len() == SERIES && values.iter().all(|v| *v == values[0]);
            ensure!(whole, "job {job} at {time}: {} values, {values:?}", values.len());
            all.insert((job, time), values[0].clone());
        }
    }
    Ok(all)
}

#[test]
fn under_scrapes_and_remote_write_kills_lose_nothing() -> Result<()> {
    let test = "crash_load::under_scrapes_and_remote_write_kills_lose_nothing";
    if !require::present(test, require::program("curl")) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let hollow = Hollow::start(folder.path())?;
    let config = folder.path().join("prometheus.yml");
    let mut text =
        "global: {scrape_interval: 150ms, scrape_timeout: 140ms}\nscrape_configs:\n".to_owned();
    for job in 0..TARGETS {
        text +=
            &format!("- job_name: load{job}\n  static_configs: [{{targets: ['{}']}}]\n", target()?);
    }
    std::fs::write(&config, text)?;
    let data = folder.path().join("data");
    let (config, dir) = (config.display().to_string(), data.display().to_string());
    let arguments =
        ["--config.file", &config, "--data-dir", &dir, "--web.enable-remote-write-receiver"];
    let sender = Arc::new(Sender::default());
    sender.port.store(free_address()?.port(), SeqCst);
    let sending = {
        let (sender, folder) = (sender.clone(), folder.path().to_owned());
        std::thread::spawn(move || sender.run(&folder))
    };
    let (mut before, mut longest) = (BTreeMap::new(), Duration::ZERO);
    let mut random = disk::seed::Seed::new(5);
    for kill in 0..=KILLS {
        let taken = sender.taken();
        let begun = Instant::now();
        let server = hollow.server(&arguments)?;
        longest = longest.max(begun.elapsed());
        let after = scraped(&server)?;
        for (key, value) in &before {
            ensure!(
                after.get(key) == Some(value),
                "kill {kill}: of {key:?} {value} was seen, there is {:?}",
                after.get(key)
            );
        }
        let sent = samples(&server, "sent")?;
        for time in &taken {
            let value = time.to_string();
            let values = sent.get(time).map_or(&[][..], Vec::as_slice);
            let whole = values.len() == SERIES && values.iter().all(|v| *v == value);
            ensure!(whole, "kill {kill}: {time} was acknowledged, there are {values:?}");
        }
        sender.port.store(server.address.port(), SeqCst);
        // Some time that is never the same, in which it writes.
        std::thread::sleep(Duration::from_millis(900 + random.below(900)));
        before = scraped(&server)?;
        let metrics = server.get("/metrics")?.1;
        ensure!(metrics.contains("kubevigil_panics_total 0\n"), "{}", server.program.said());
        if kill < KILLS {
            server.program.signal(9)?;
        } else {
            sender.ended.store(true, SeqCst);
            ensure!(server.program.stop()? == Some(0), "it did not end well");
        }
    }
    sending.join().ok().context("the sender panicked")??;
    let taken = sender.taken().len();
    eprintln!(
        "{KILLS} kills: {} scrapes were seen, {taken} requests acknowledged; the longest start took \
         {:.2} s",
        before.len(),
        longest.as_secs_f64()
    );
    ensure!(before.len() > 100 && taken > 50, "too little was written");
    ensure!(longest < Duration::from_secs(30), "a start took {longest:?}");
    let mut check = Command::new(built("kubevigil"));
    let checked = check.args(["tools", "check"]).arg(data.join("series")).output()?;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    ensure!(checked.status.success() && said.contains("nothing is wrong"), "{said}");
    Ok(())
}
