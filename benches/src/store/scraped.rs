//! What scraping costs: real targets over HTTP, a scrape each `--interval` in the place of one each 15 s;
//! memory after two and a half hours of that, and what a crash costs.

use super::Options;
use super::engine::{Engine, Kind, Programs, Scale};
use super::served::{Progress, Targets};
use super::target::Size;
use super::values::Recording;
use crate::process::memory;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Scrapes before the cost counts: series are made, caches fill.
const WARM: u64 = 20;

/// What one engine costs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Samples while the cost was counted.
    pub samples: u64,
    /// CPU seconds for them.
    pub cpu: f64,
    /// And how long that took.
    pub seconds: f64,
    /// Series at the end.
    pub series: u64,
    /// Bytes resident at the end.
    pub rss: u64,
    /// Bytes resident of the process without targets.
    pub rss_empty: u64,
    /// Seconds from the start after a crash until the newest sample is shown.
    pub ready: f64,
    /// How much older than the crash that sample is, in seconds.
    pub lost: f64,
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// Measures one engine in a folder of its own.
pub fn measure(
    kind: Kind,
    programs: &Programs,
    dir: &Path,
    size: Size,
    recording: &Arc<Recording>,
    options: &Options,
) -> Result<Cost> {
    let scale = Scale(15_000.0 / options.interval as f64);
    let listener = TcpListener::bind(("0.0.0.0", super::served::PORT))?;
    let targets = Arc::new(Targets::new(size, recording));
    targets.serve(&listener)?;
    let rss_empty = empty(kind, programs, dir, scale)?;
    let config = kind.configure(dir, &targets.configuration(options.interval))?;
    let mut engine = kind.start(programs, dir, &config, scale)?;
    engine.wait()?;
    until(&targets, &mut engine, WARM.min(options.scrapes / 2))?;
    let (cpu, before, began) = (engine.cpu()?, targets.progress(), Instant::now());
    let after = until(&targets, &mut engine, options.scrapes)?;
    let mut cost = Cost {
        samples: after.samples - before.samples,
        cpu: engine.cpu()? - cpu,
        seconds: began.elapsed().as_secs_f64(),
        series: after.series,
        rss: memory(engine.pid())?.rss,
        rss_empty,
        ..Cost::default()
    };
    targets.silence(true);
    let last = now();
    engine.kill()?;
    let mut engine = kind.start(programs, dir, &config, scale)?;
    engine.wait()?;
    let shown = engine.query("max(max_over_time(timestamp(bench_tick)[1m:100ms]))", last)?;
    let newest = shown[0]["value"][1].as_str().context("no sample is shown after the restart")?;
    cost.ready = engine.started.elapsed().as_secs_f64();
    cost.lost = (last - newest.parse::<f64>()?).max(0.0);
    engine.kill()?;
    targets.end();
    Ok(cost)
}

/// Memory of the process without targets.
fn empty(kind: Kind, programs: &Programs, dir: &Path, scale: Scale) -> Result<u64> {
    let folder = dir.join("empty");
    std::fs::create_dir(&folder)?;
    let config = kind.configure(&folder, "scrape_configs: []\n")?;
    let mut engine = kind.start(programs, &folder, &config, scale)?;
    engine.wait()?;
    std::thread::sleep(Duration::from_secs(3));
    let rss = memory(engine.pid())?.rss;
    engine.kill()?;
    Ok(rss)
}

/// Waits until each target was scraped so often; tells each minute how far that is.
fn until(targets: &Targets, engine: &mut Engine, ticks: u64) -> Result<Progress> {
    let (began, mut told) = (Instant::now(), 0);
    loop {
        let progress = targets.progress();
        if progress.ticks >= ticks {
            return Ok(progress);
        }
        if let Some(status) = engine.process.0.try_wait()? {
            bail!("{} ended: {status}", engine.kind.name());
        }
        let elapsed = began.elapsed();
        ensure!(elapsed < Duration::from_secs(1800), "{progress:?} after half an hour");
        if elapsed.as_secs() / 60 > told {
            told = elapsed.as_secs() / 60;
            eprintln!("  {} of {ticks} scrapes", progress.ticks);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
