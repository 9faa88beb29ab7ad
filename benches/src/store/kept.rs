//! Figures of engines by themselves, kept in a file: rivals do not change while ours does, so that a later
//! run over the same load need not measure them again.

use super::history::History;
use super::scraped::Cost;
use super::start::Started;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What was measured of one engine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Scraping.
    pub scraped: Option<Cost>,
    /// Six hours.
    pub history: Option<History>,
    /// Other loads by their names: another seed, floats that all change.
    pub shapes: BTreeMap<String, History>,
    /// Start with very many series.
    pub started: Option<Started>,
}

/// All figures of one load.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    /// The load for which they hold.
    load: String,
    /// When its six hours begin, milliseconds since the Unix epoch.
    pub first_ms: i64,
    /// By engine.
    pub engines: BTreeMap<String, Figures>,
    #[serde(skip)]
    path: Option<PathBuf>,
}

impl Kept {
    /// The figures in a file, where it has any for this load; without a file none.
    pub fn open(path: Option<&Path>, load: String, first_ms: i64) -> Result<Kept> {
        let own = path.map(Path::to_owned);
        if let Some(path) = path.filter(|p| p.exists()) {
            let text = std::fs::read(path)?;
            let kept: Kept =
                serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
            if kept.load == load {
                return Ok(Kept { path: own, ..kept });
            }
            eprintln!("{} is of another load", path.display());
        }
        Ok(Kept { load, first_ms, engines: BTreeMap::new(), path: own })
    }

    /// Writes the file, where there is one.
    pub fn save(&self) -> Result<()> {
        if let Some(path) = &self.path {
            std::fs::write(path, serde_json::to_vec(self)?)?;
        }
        Ok(())
    }
}
