//! Six hours at 15 s in simulated time: what it takes to take them in by remote write, what they take on disk,
//! and how long queries over them take, over blocks and head, cold and warm.

use super::asked::{self, Asked, Mixin};
use super::engine::{Engine, Kind, Programs, Scale, Weight, series_folder};
use super::feed::{Feed, Span};
use super::target::Size;
use super::values::Recording;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, mpsc};

/// What one engine costs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// Samples written.
    pub samples: u64,
    /// Remote write: samples a CPU second, once all series are there; 0 where the engine takes none.
    pub written: f64,
    /// Seconds from the start after it was stopped until it answers.
    pub started: f64,
    /// The named queries.
    pub named: Vec<Asked>,
    /// The queries of dashboards and rules.
    pub mixins: Vec<Asked>,
    /// CPU seconds for all of these.
    pub mixins_cpu: f64,
    /// Bytes on disk.
    pub weight: Weight,
}

/// What is to be measured.
pub struct Wanted<'a> {
    /// How much there is.
    pub size: Size,
    /// How much time.
    pub span: Span,
    /// What is asked of dashboards and rules.
    pub mixins: &'a [Mixin],
    /// Whether queries are asked at all.
    pub queries: bool,
}

const NOTHING: &str = "scrape_configs: []\n";

/// Measures one engine in a folder of its own.
pub fn measure(
    kind: Kind,
    programs: &Programs,
    dir: &Path,
    wanted: &Wanted<'_>,
    recording: &Arc<Recording>,
) -> Result<History> {
    let config = kind.configure(dir, NOTHING)?;
    let mut history = fill(kind, programs, dir, &config, wanted, recording)?;
    eprintln!("  filled: {} samples", history.samples);
    let mut engine = start_cold(kind, programs, dir, &config)?;
    history.started = engine.wait()?.as_secs_f64();
    if wanted.queries {
        let cold = asked::cold(&mut engine, &wanted.span)?;
        history.named = asked::named(&mut engine, &wanted.span)?;
        for (asked, cold_ms) in history.named.iter_mut().zip(cold) {
            asked.cold_ms = cold_ms;
        }
        eprintln!("  named queries asked");
        let before = engine.cpu()?;
        history.mixins = asked::ask_mixins(&mut engine, &wanted.span, wanted.mixins)?;
        history.mixins_cpu = engine.cpu()? - before;
        eprintln!("  dashboards and rules asked");
    }
    history.weight = engine.weigh(history.samples)?;
    Ok(history)
}

/// Takes the samples in and ends the engine as one does.
fn fill(
    kind: Kind,
    programs: &Programs,
    dir: &Path,
    config: &Path,
    wanted: &Wanted<'_>,
    recording: &Arc<Recording>,
) -> Result<History> {
    let feed = || Feed::new(wanted.size, wanted.span, recording);
    if kind != Kind::Kubevigil {
        let mut engine = kind.start(programs, dir, config, Scale(1.0))?;
        engine.wait()?;
        let (samples, written) = send(&mut engine, feed(), wanted.span.ticks)?;
        engine.settle()?;
        engine.stop()?;
        return Ok(History { samples, written, ..History::default() });
    }
    // Ours does its maintenance by the clock, so the hours are written as their rounds would have been.
    let db = tsdb::Db::open(&series_folder(dir), ours())?;
    let samples = feed().write(&db)?;
    db.close()?;
    drop(db);
    let mut written = 0.0;
    if programs.receiver {
        let folder = dir.join("written");
        std::fs::create_dir(&folder)?;
        let mut engine = kind.start(programs, &folder, config, Scale(1.0))?;
        engine.wait()?;
        let ticks = wanted.span.ticks.min(240);
        let short = Feed::new(wanted.size, Span { ticks, ..wanted.span }, recording);
        written = send(&mut engine, short, ticks)?.1;
        engine.kill()?;
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(History { samples, written, ..History::default() })
}

/// How a data folder of ours is opened by this process.
pub fn ours() -> tsdb::Options {
    tsdb::Options { background: false, ..tsdb::Options::default() }
}

/// Sends everything by remote write; gives the number of samples, and how many a CPU second from the tenth
/// part on.
pub fn send(engine: &mut Engine, feed: Feed, ticks: u64) -> Result<(u64, f64)> {
    // Requests are made while the engine works on others.
    let (give, take) = mpsc::sync_channel::<(u64, Vec<u8>)>(64);
    let maker = std::thread::spawn(move || {
        feed.requests(|tick, body| {
            // Who takes has ended with an error of its own.
            give.send((tick, body)).context("nobody takes requests any more")
        })
    });
    let (mut cpu, mut told) = (None, 0);
    for (tick, body) in take {
        if cpu.is_none() && tick >= ticks / 10 {
            cpu = Some(engine.cpu()?);
        }
        if tick * 10 / ticks > told {
            told = tick * 10 / ticks;
            eprintln!("  {} % sent", told * 10);
        }
        engine.write(&body)?;
    }
    let samples = maker.join().map_err(|_| anyhow::anyhow!("the maker of requests died"))??;
    let spent = engine.cpu()? - cpu.context("nothing was sent")?;
    ensure!(spent > 0.0, "no CPU time was spent");
    Ok((samples, samples as f64 * 0.9 / spent))
}

/// Starts an engine over files of which nothing is in memory.
fn start_cold(kind: Kind, programs: &Programs, dir: &Path, config: &Path) -> Result<Engine> {
    forget(&dir.join("data"))?;
    kind.start(programs, dir, config, Scale(1.0))
}

/// Has the kernel drop what it has in memory of all files of a folder.
fn forget(path: &Path) -> Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget(&entry.path())?;
            continue;
        }
        std::fs::File::open(entry.path())?.sync_all()?;
        let file = format!("if={}", entry.path().display());
        let done = Command::new("dd").args([&file, "iflag=nocache", "count=0"]).output()?;
        ensure!(done.status.success(), "dd: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}
