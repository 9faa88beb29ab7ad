//! `kubevigil export`: the series of a data folder in others' formats.
//!
//! The folder is locked meanwhile: no program runs on it. Beside one that runs, a snapshot can be exported.

use crate::log;
use crate::options::{Log, LogFormat, LogLevel};
use crate::progress::{Line, bytes, count, time};
use crate::standalone::given_or_default;
use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use disk::Files;
use model::{Columns, Hints, Labels, Matcher, ReadError, Selection, SeriesSet, Storage};
use prometheus_tsdb::BlockWriter;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use tsdb::Db;

/// What to export.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Blocks of two hours that Prometheus, promtool and Thanos read
    #[command(after_help = "\
Each stretch of two hours that has samples becomes a block of index version 2 with XOR and float
histogram chunks. A block's name follows from its content: exporting the same again writes
nothing. Start times of counters have no place in these blocks.

To use them, move the blocks into the data folder of a Prometheus, or upload them with
`thanos tools bucket upload-blocks`.

A program that runs on the data folder keeps it to itself: stop it first.

Examples:
  kubevigil export prometheus out
  kubevigil export prometheus out --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z
  kubevigil export prometheus out --match '{job=\"node\"}' --match 'up'
  promtool tsdb analyze out")]
    Prometheus(Options),
}

/// What `export prometheus` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Where the blocks go; created where it does not exist
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// The data folder, on which no program runs [default: the user's state folder; as root /var/lib/kubevigil]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,

    /// The first time: RFC 3339, or seconds since 1970 [default: the oldest]
    #[arg(long, value_name = "TIME", value_parser = api::parameters::parse_time, allow_hyphen_values = true)]
    from: Option<i64>,

    /// The last time, included [default: the newest]
    #[arg(long, value_name = "TIME", value_parser = api::parameters::parse_time, allow_hyphen_values = true)]
    to: Option<i64>,

    /// Only series that a selector matches; of several, those that any matches
    #[arg(long = "match", value_name = "SELECTOR", value_parser = selector)]
    selectors: Vec<Selector>,
}

/// The matchers of a selector.
#[derive(Clone, Debug)]
struct Selector(Vec<Matcher>);

fn selector(text: &str) -> Result<Selector, String> {
    promql::parse_selector(text).map(Selector).map_err(|e| e.to_string())
}

/// The length of a block.
const WINDOW_MS: i64 = 2 * 3_600_000;
/// So many stretches, a hundred years, are gone through without asking.
const WINDOWS_MAX: i64 = 438_000;

/// Exports; the code says whether everything could be read.
pub fn run(what: Export) -> anyhow::Result<ExitCode> {
    let Export::Prometheus(options) = what;
    log::begin(&Log { log_format: LogFormat::Text, log_level: LogLevel::Warn });
    let begun = Instant::now();
    let data_dir = given_or_default(options.data_dir.as_deref())?;
    if !data_dir.join("FORMAT").exists() {
        bail!("{}: no data folder of ours (it has no file FORMAT)", data_dir.display());
    }
    let open = tsdb::Options { background: false, retention_ms: 0, ..Default::default() };
    let db = Db::open(&data_dir, open)?;
    let mut exporter = Exporter { db: &db, options: &options, warnings: BTreeSet::new() };
    let (written, size, samples) = exporter.run()?;
    let warnings = std::mem::take(&mut exporter.warnings);
    db.close()?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "exported {} samples from {} to {} in {seconds:.1} s",
        count(samples),
        data_dir.display(),
        options.dir.display()
    );
    println!("  {} blocks written, {}", count(written.0), bytes(size));
    if written.1 > 0 {
        println!("  {} blocks were there already", count(written.1));
    }
    if warnings.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("not everything could be read:");
    warnings.iter().for_each(|w| eprintln!("  {w}"));
    Ok(ExitCode::FAILURE)
}

struct Exporter<'a> {
    db: &'a Db,
    options: &'a Options,
    warnings: BTreeSet<String>,
}

impl<'a> Exporter<'a> {
    /// Gives how many blocks were written and how many were there, their bytes, and the samples in all.
    fn run(&mut self) -> anyhow::Result<((u64, u64), u64, u64)> {
        let stats = self.db.stats();
        let (mut written, mut size, mut samples) = ((0, 0), 0, 0);
        let (Some(oldest), Some(newest)) = (stats.oldest_ms, stats.newest_ms) else {
            return Ok((written, size, samples));
        };
        let from = self.options.from.unwrap_or(oldest).max(oldest);
        let to = self.options.to.unwrap_or(newest).min(newest);
        // `promtool tsdb dump` looks for a log, be it empty.
        let out = disk::Folder::new(&self.options.dir);
        out.create_dir("wal").with_context(|| format!("cannot write {}", out.place("")))?;
        let mut line = Line::new();
        let (first, last) = (from.div_euclid(WINDOW_MS), to.div_euclid(WINDOW_MS));
        if last.saturating_sub(first) > WINDOWS_MAX {
            bail!("samples reach from {} to {}: give --from and --to", time(from), time(to));
        }
        for window in first..=last {
            let begin = window * WINDOW_MS;
            let (done, total) = ((window - first) as u64, (last - first + 1) as u64);
            line.show(&format!("writing the block of {}", time(begin)), done, total);
            let (start, end) = (begin.max(from), (begin + WINDOW_MS - 1).min(to));
            let Some(block) = self.block(begin, start, end)? else { continue };
            samples += block.stats.num_samples;
            if block.present {
                written.1 += 1;
            } else {
                written.0 += 1;
                size += block.bytes;
            }
        }
        Ok((written, size, samples))
    }

    /// Writes what lies between two times to the block that begins at `begin`.
    fn block(
        &mut self,
        begin: i64,
        start_ms: i64,
        end_ms: i64,
    ) -> anyhow::Result<Option<prometheus_tsdb::Written>> {
        let read = |e: ReadError| anyhow!("{e}");
        let mut symbols = BTreeSet::new();
        let mut set = self.select(start_ms, end_ms, true)?;
        while let Some(labels) = set.next().map_err(read)? {
            for (name, value) in labels.iter() {
                for text in [name, value] {
                    if !symbols.contains(text) {
                        symbols.insert(text.to_owned());
                    }
                }
            }
        }
        if symbols.is_empty() {
            return Ok(None);
        }
        let mut writer = BlockWriter::begin(&self.options.dir, symbols)?;
        let mut columns = Columns::default();
        let mut set = self.select(start_ms, end_ms, false)?;
        while let Some(labels) = set.next().map_err(read)? {
            set.read(&mut columns).map_err(read)?;
            writer.series(&labels, &columns)?;
        }
        self.warnings.extend(set.warnings());
        Ok(writer.finish(begin, begin + WINDOW_MS)?)
    }

    fn select(&self, start_ms: i64, end_ms: i64, labels_only: bool) -> anyhow::Result<Union<'a>> {
        let db = self.db;
        let hints = Hints { labels_only, ..Hints::default() };
        let every = [Selector(Vec::new())];
        let selectors = match self.options.selectors.as_slice() {
            [] => &every[..],
            some => some,
        };
        let mut sets = Vec::new();
        for Selector(matchers) in selectors {
            let selection = Selection { matchers, start_ms, end_ms, hints };
            let mut set = db.select(&selection).map_err(|e| anyhow!("{e}"))?;
            let next = set.next().map_err(|e| anyhow!("{e}"))?;
            sets.push((next, set));
        }
        Ok(Union { sets, current: None })
    }
}

/// The series of several sets of one store, each once.
struct Union<'a> {
    /// Each with the labels at which it stands.
    sets: Vec<(Option<Labels>, Box<dyn SeriesSet + 'a>)>,
    /// Which one has the series at which we stand.
    current: Option<Labels>,
}

impl SeriesSet for Union<'_> {
    fn next(&mut self) -> Result<Option<Labels>, ReadError> {
        if let Some(before) = self.current.take() {
            for (next, set) in &mut self.sets {
                if next.as_ref() == Some(&before) {
                    *next = set.next()?;
                }
            }
        }
        self.current = self.sets.iter().filter_map(|s| s.0.as_ref()).min().cloned();
        Ok(self.current.clone())
    }

    fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError> {
        let current = self.current.as_ref();
        match self.sets.iter_mut().find(|s| s.0.as_ref() == current) {
            Some((_, set)) => set.read(columns),
            None => {
                columns.clear();
                Ok(())
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.sets.iter().flat_map(|s| s.1.warnings()).collect()
    }
}
