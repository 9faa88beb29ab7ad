//! The real program, killed again and again while it writes as much as it can: what a query saw is there
//! after the next start, the start is quick, and the folder is whole.

use anyhow::{Context, Result, bail, ensure};
use stage::program::{Program, built};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const KILLS: usize = 8;
/// What is looked at: families of every kind of change.
const SELECTORS: [&str; 4] =
    ["up", "node_cpu_seconds_total", "scrape_samples_scraped", "container_memory_usage_bytes"];

/// Series to time to value, over the last ten minutes.
type Seen = BTreeMap<(String, String), String>;

fn seen(program: &Program) -> Result<Seen> {
    let mut all = Seen::new();
    for selector in SELECTORS {
        let answer = program.json(&format!("/api/v1/query?query={selector}[10m]"))?;
        for series in answer["data"]["result"].as_array().context("no result")? {
            for point in series["values"].as_array().context("no values")? {
                let value = point[1].as_str().map(str::to_owned).context("no value")?;
                all.insert((series["metric"].to_string(), point[0].to_string()), value);
            }
        }
    }
    Ok(all)
}

fn start(dir: &Path) -> Result<Program> {
    let dir = dir.display().to_string();
    let program = Program::start("kubevigil", &["--interval", "100ms", "--data-dir", &dir])?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if program.get("/-/ready").is_ok() {
            return Ok(program);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("was not ready within 20 s:\n{}", program.said())
}

#[test]
fn nothing_that_was_seen_is_lost_over_many_kills() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut before, mut longest) = (Seen::new(), Duration::ZERO);
    for kill in 0..KILLS {
        let begun = Instant::now();
        let program = start(dir.path())?;
        longest = longest.max(begun.elapsed());
        let after = seen(&program)?;
        for (key, value) in &before {
            ensure!(
                after.get(key) == Some(value),
                "kill {kill}: {key:?} was {value} and is {:?}",
                after.get(key)
            );
        }
        // Some time that is never the same, in which it writes.
        std::thread::sleep(Duration::from_millis(700 + 137 * kill as u64));
        before = seen(&program)?;
        let said = program.said();
        ensure!(!said.contains("panicked"), "it panicked:\n{said}");
        program.signal(9)?;
    }
    eprintln!(
        "{} samples were compared; the longest start took {:.2} s",
        before.len(),
        longest.as_secs_f64()
    );
    ensure!(before.len() > 500, "only {} samples were compared", before.len());
    ensure!(longest < Duration::from_secs(20), "a start took {longest:?}");
    let checked =
        Command::new(built("kubevigil")).args(["tools", "check"]).arg(dir.path()).output()?;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    ensure!(checked.status.success() && said.contains("nothing is wrong"), "{said}");
    ensure!(start(dir.path())?.stop()? == Some(0), "it did not end well");
    Ok(())
}
