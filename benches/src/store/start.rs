//! From start to ready with very many series, after a crash: two hours of log, a sample a minute each.

use super::engine::{Kind, Programs, Scale, series_folder};
use super::feed::{Feed, Span};
use super::history::{ours, send};
use super::target::Size;
use super::values::Recording;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// What one engine needs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Started {
    /// Series.
    pub series: u64,
    /// Seconds until a query gives the newest sample.
    pub ready: f64,
    /// CPU seconds until then.
    pub cpu: f64,
}

/// Fills an engine, kills it, and starts it again.
pub fn measure(
    kind: Kind,
    programs: &Programs,
    dir: &Path,
    size: Size,
    span: Span,
    recording: &Arc<Recording>,
) -> Result<Started> {
    let config = kind.configure(dir, "scrape_configs: []\n")?;
    let feed = Feed::new(size, span, recording);
    if kind == Kind::Kubevigil {
        let db = tsdb::Db::open(&series_folder(dir), ours())?;
        feed.write(&db)?;
    } else {
        let mut engine = kind.start(programs, dir, &config, Scale(1.0))?;
        engine.wait()?;
        send(&mut engine, feed, span.ticks)?;
        // VictoriaMetrics has written its rows after five seconds.
        std::thread::sleep(std::time::Duration::from_secs(6));
        engine.kill()?;
    }
    let mut engine = kind.start(programs, dir, &config, Scale(1.0))?;
    engine.wait()?;
    let end = span.end_ms() as f64 / 1000.0;
    let shown = engine.query("max(bench_tick)", end)?;
    let newest = shown[0]["value"][1].as_str().context("no sample is shown after the restart")?;
    let (ready, cpu) = (engine.started.elapsed().as_secs_f64(), engine.cpu()?);
    anyhow::ensure!(newest.parse::<u64>()? == span.ticks, "{newest} of {} ticks", span.ticks);
    let shown = engine.query("count({__name__=~\".+\"})", end)?;
    let series = shown[0]["value"][1].as_str().context("no series")?.parse()?;
    engine.kill()?;
    Ok(Started { series, ready, cpu })
}
