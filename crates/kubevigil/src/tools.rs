//! `kubevigil tools`: whether a data folder is whole, and what can be done where it is not.

use crate::log;
use crate::options::{Log, LogFormat, LogLevel};
use crate::progress::{Line, bytes, count};
use anyhow::{Context, bail};
use clap::Subcommand;
use disk::Folder;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tsdb::{Checked, Db, check};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Tools {
    /// Read everything and check every checksum; changes nothing
    #[command(after_help = "\
Checked are the checksums of every page, index and record, and that what they say fits together:
the order of times and series, lists of series against their labels, counts and extents. No
program may run on the folder; a snapshot of a running one can be checked.

The exit code is 0 where everything is whole. It is 1 where something is wrong: each finding is a
line with file, byte and what is wrong, on standard output.

Example:
  kubevigil tools check /var/lib/kubevigil")]
    Check {
        /// The data folder
        dir: PathBuf,
    },
    /// Set aside what is damaged, and write anew what can be read
    #[command(after_help = "\
A damaged file is moved to quarantine/ with a .why beside it, never deleted; what can be read of
it is written to a new one. `kubevigil` does the same by itself for whatever it comes upon; this
command reads everything. No program may run on the folder. Afterwards everything is checked once
more: the exit code is 0 where nothing is wrong any more.

Example:
  kubevigil tools repair /var/lib/kubevigil")]
    Repair {
        /// The data folder
        dir: PathBuf,
    },
}

/// Does it; the code says whether all is well.
pub fn run(what: Tools) -> anyhow::Result<ExitCode> {
    log::begin(&Log { log_format: LogFormat::Text, log_level: LogLevel::Error });
    match what {
        Tools::Check { dir } => {
            let found = checked(&dir)?;
            Ok(tell(&dir, &found))
        }
        Tools::Repair { dir } => repair(&dir),
    }
}

fn checked(dir: &Path) -> anyhow::Result<Checked> {
    if !dir.is_dir() {
        bail!("{}: is no folder", dir.display());
    }
    let folder = Folder::new(dir);
    let holder = folder.holder("LOCK").with_context(|| format!("cannot read {}", dir.display()))?;
    if let Some(pid) = holder {
        bail!(
            "{}: in use by process {pid}; stop it, or check a snapshot of it",
            dir.join("LOCK").display()
        );
    }
    let mut line = Line::new();
    Ok(check(&folder, &mut |p| line.show(p.what, p.done, p.total))?)
}

fn tell(dir: &Path, found: &Checked) -> ExitCode {
    for finding in &found.findings {
        println!("{finding}");
    }
    for note in &found.notes {
        println!("note: {note}");
    }
    let blocks = if found.blocks == 1 { "block" } else { "blocks" };
    let wrong = match found.findings.len() {
        0 => "nothing is wrong".into(),
        1 => "1 finding".into(),
        n => format!("{n} findings"),
    };
    println!(
        "{}: {} {blocks} with {} samples of {} series, {} records of the log, {}: {wrong}",
        dir.display(),
        count(found.blocks),
        count(found.samples),
        count(found.series),
        count(found.frames),
        bytes(found.bytes)
    );
    if found.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn repair(dir: &Path) -> anyhow::Result<ExitCode> {
    if !dir.join("FORMAT").exists() {
        bail!("{}: no data folder of ours (it has no file FORMAT)", dir.display());
    }
    let before = disk::publish::quarantined(&Folder::new(dir));
    // What is kept the program decides that runs on the folder, not we.
    let exemplars = usize::MAX;
    let options =
        tsdb::Options { background: false, retention_ms: 0, exemplars, ..Default::default() };
    let db = Db::open(dir, options)?;
    let rewritten = db.repair()?;
    let set_aside = db.stats().quarantined;
    db.close()?;
    drop(db);
    for finding in &rewritten {
        let then = match finding.file.ends_with(".companion") {
            true => "the companion goes, and is made anew of its block when the program runs",
            false => "written anew without it",
        };
        println!("{finding}: {then}");
    }
    for aside in set_aside.iter().filter(|q| !before.iter().any(|b| b.0 == q.file)) {
        println!("{} was set aside: {}", aside.file, aside.why);
    }
    let mut found = checked(dir)?;
    found.notes.retain(|n| !n.contains("was set aside before"));
    Ok(tell(dir, &found))
}
