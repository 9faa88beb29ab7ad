//! `kubevigil import`: series of others come into a data folder, straight into sealed blocks.
//!
//! The folder is locked meanwhile: no program runs on it. A sample whose series has one at its time already is
//! left out, so importing the same again, or going on after a crash, adds only what is missing.

mod prometheus;
mod spill;
mod text;

use crate::log;
use crate::options::{Log, LogFormat, LogLevel};
use crate::progress::{Line, bytes, count};
use crate::standalone::given_or_default;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tsdb::{Db, Sealed};

/// What to import.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// The data folder of a Prometheus: its blocks, and what its log and head chunks hold
    #[command(after_help = "\
Blocks of index version 1 and 2 are read, with every chunk encoding of Prometheus 3, native
histograms included; of the log every type of record. What was deleted there stays deleted.
Exemplars and descriptions of metrics come along, as far as the log has them.

What is damaged is named with its file and offset and left out, the rest is imported, and the
exit code is 1. Importing again adds only what is not there yet. The folder is not changed; a
Prometheus may run on it, and what it writes from now on is not imported. A single block can be
given instead of a folder.

Samples older than what `kubevigil` keeps (--retention, 15d unless told otherwise) are deleted
when it runs on the folder: give it a longer one first.

Examples:
  kubevigil import prometheus /var/lib/prometheus
  kubevigil import prometheus /prometheus/snapshots/NAME --data-dir /srv/kubevigil
  kubevigil import prometheus /prometheus/01JD8Q7Z3M5X9V2K4T6W8Y0ABC")]
    Prometheus(PrometheusOptions),
    /// Text with a time on each sample, in any order of times
    #[command(after_help = "\
OpenMetrics text has times in seconds and ends with `# EOF`; Prometheus's own text format
(--format text) has them in milliseconds. Any length and any order will do; memory stays below
some 300 MB. The newest 100,000 exemplars come along; `# HELP`, `# TYPE` and `# UNIT` lines are
passed over.

A line that is wrong is named with its number and column, and nothing is imported; with
--keep-going it is left out, and the exit code is 1.

Examples:
  kubevigil import openmetrics history.om
  promtool tsdb dump-openmetrics /var/lib/prometheus | kubevigil import openmetrics -
  zcat old.prom.gz | kubevigil import openmetrics - --format text --data-dir /srv/kubevigil")]
    Openmetrics(TextOptions),
}

/// What `import prometheus` takes.
#[derive(Debug, Args)]
pub struct PrometheusOptions {
    /// Prometheus's data folder (its --storage.tsdb.path), a snapshot of it, or one block
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// Where it goes.
    #[command(flatten)]
    into: Destination,
}

/// What `import openmetrics` takes.
#[derive(Debug, Args)]
pub struct TextOptions {
    /// The text; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// How it is written
    #[arg(long, value_enum, default_value = "openmetrics")]
    format: text::Format,

    /// Leave out lines that are wrong
    #[arg(long)]
    keep_going: bool,

    /// Where it goes.
    #[command(flatten)]
    into: Destination,
}

/// Where an import goes.
#[derive(Debug, Args)]
struct Destination {
    /// The data folder, on which no program runs [default: the user's state folder; as root /var/lib/kubevigil]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

/// Imports; the code says whether everything could be read.
pub fn run(what: Import) -> anyhow::Result<ExitCode> {
    log::begin(&Log { log_format: LogFormat::Text, log_level: LogLevel::Warn });
    match what {
        Import::Prometheus(options) => prometheus::run(&options),
        Import::Openmetrics(options) => text::run(&options),
    }
}

/// The data folder into which an import goes.
struct Target {
    dir: PathBuf,
    db: Db,
    done: Sealed,
    begun: Instant,
    line: Line,
}

impl Target {
    fn open(into: &Destination) -> anyhow::Result<Target> {
        let dir = given_or_default(into.data_dir.as_deref())?;
        // What is old now is older when a program runs on the folder: that one deletes, not we.
        let exemplars = usize::MAX;
        let options =
            tsdb::Options { background: false, retention_ms: 0, exemplars, ..Default::default() };
        let db = Db::open(&dir, options)?;
        let (done, begun) = (Sealed::default(), Instant::now());
        Ok(Target { dir, db, done, begun, line: Line::new() })
    }

    /// Closes the folder and says what came into it.
    fn finish(
        mut self,
        from: &Path,
        notes: &[String],
        damage: &Damages,
    ) -> anyhow::Result<ExitCode> {
        self.line.clear();
        self.db.close()?;
        let Sealed { samples, present, conflicts, blocks, bytes: size, .. } = self.done;
        let seconds = self.begun.elapsed().as_secs_f64();
        println!(
            "imported {} samples from {} into {} in {seconds:.1} s",
            count(samples),
            from.display(),
            self.dir.display()
        );
        println!("  {} written, {}", blocks_of(blocks), bytes(size));
        if present > 0 {
            println!("  {} samples were there already", count(present));
        }
        if conflicts > 0 {
            let text = "samples left out: their series had another value at their time";
            println!("  {} {text}", count(conflicts));
        }
        for note in notes {
            println!("  {note}");
        }
        Ok(damage.tell())
    }
}

fn blocks_of(blocks: u64) -> String {
    if blocks == 1 { "1 block".into() } else { format!("{} blocks", count(blocks)) }
}

/// What could not be read.
#[derive(Default)]
struct Damages {
    /// The first of them.
    list: Vec<String>,
    count: u64,
}

/// So many are listed.
const DAMAGES_SHOWN: usize = 50;

impl Damages {
    fn add(&mut self, what: impl std::fmt::Display) {
        self.count += 1;
        if self.list.len() < DAMAGES_SHOWN {
            self.list.push(what.to_string());
        }
    }

    fn tell(&self) -> ExitCode {
        if self.count == 0 {
            return ExitCode::SUCCESS;
        }
        eprintln!("{} could not be read and were left out:", places(self.count));
        for damage in &self.list {
            eprintln!("  {damage}");
        }
        if self.count > self.list.len() as u64 {
            eprintln!("  and {} more", count(self.count - self.list.len() as u64));
        }
        ExitCode::FAILURE
    }
}

fn places(number: u64) -> String {
    if number == 1 { "1 place".into() } else { format!("{} places", count(number)) }
}
