//! Figures of docs/benchmarks.md: each bench starts the real systems, ours and those whose place they
//! take, measures both in one run, and prints a table in Markdown.
//!
//! Needs root, runc, busybox and Go. Nothing is downloaded but the peers' Go modules.

#![forbid(unsafe_code)]

mod agent;
mod machine;
mod process;
mod scraper;
mod standalone;
mod table;

use clap::Parser;

/// Measures our programs beside those whose place they take.
#[derive(Debug, Parser)]
struct CommandLine {
    /// How many containers run, one table for each number.
    #[arg(long, value_delimiter = ',', default_value = "10,100")]
    containers: Vec<usize>,
    /// Scrapes of each program, one each second.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
}

fn main() -> anyhow::Result<()> {
    let line = CommandLine::parse();
    println!("{}\n", machine::describe());
    for containers in line.containers {
        agent::run(containers, line.rounds)?;
    }
    Ok(())
}
