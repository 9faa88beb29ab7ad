//! `kubevigil` by itself, with its store, pages and API, collecting everything each second.

use crate::process::memory;
use anyhow::{Context, Result};
use stage::program::{Program, repository};
use std::process::Command;
use std::time::{Duration, Instant};

/// Until the first rounds are over and the store is open.
const WARM: Duration = Duration::from_secs(5);

/// Measures for so many seconds and prints a line. The release build is there.
pub fn run(seconds: usize) -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut command = Command::new(repository().join("target/release/kubevigil"));
    command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
    let program = Program::start_command(command)?;
    let pid = program.child.id();
    std::thread::sleep(WARM);
    let (began, before) = (Instant::now(), program.cpu_milliseconds()?);
    let mut most = 0;
    for _ in 0..seconds {
        std::thread::sleep(Duration::from_secs(1));
        most = memory(pid)?.rss.max(most);
    }
    let spent = program.cpu_milliseconds()?.saturating_sub(before) as f64;
    let percent = spent / began.elapsed().as_millis() as f64 * 100.0;
    let status = program.json("/api/vigil/v1/status")?;
    let series = status["store"]["series"].as_u64().context("no series in the status")?;
    println!(
        "kubevigil standalone over {seconds} s, {series} series each second into its store: \
         {percent:.2} % of a core, RSS at most {:.1} MB.\n",
        most as f64 / 1e6
    );
    Ok(())
}
