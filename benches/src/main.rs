//! Figures of docs/benchmarks.md: each bench starts the real systems, ours and those whose place they
//! take, measures both in one run, and prints a table in Markdown.
//!
//! Needs root, runc, busybox and Go. Nothing is downloaded but the peers' Go modules and, for the store, Debian's
//! VictoriaMetrics.

#![forbid(unsafe_code)]

mod agent;
mod companions;
mod core_client;
mod core_metrics;
mod machine;
mod process;
mod scraper;
mod standalone;
mod store;
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
    /// Another bench than that of the agent.
    #[command(subcommand)]
    other: Option<Other>,
}

#[derive(Debug, clap::Subcommand)]
enum Other {
    /// `kubevigil server` beside metrics-server over the same hollow nodes.
    Core {
        /// How many nodes there are, one table for each number.
        #[arg(long, value_delimiter = ',', default_value = "1,100,1000,5000")]
        nodes: Vec<usize>,
        /// Pods on each node, of two containers.
        #[arg(long, default_value_t = 30)]
        pods_per_node: usize,
        /// Rounds of 15 s over which the cost is measured.
        #[arg(long, default_value_t = 4)]
        rounds: u32,
    },
    /// Queries over weeks, from companions of blocks and from all samples.
    Companions(companions::Companions),
    /// The store beside Prometheus and VictoriaMetrics, the same scrapes to each.
    Store(store::Options),
}

fn main() -> anyhow::Result<()> {
    let line = CommandLine::parse();
    println!("{}\n", machine::describe());
    match line.other {
        Some(Other::Core { nodes, pods_per_node, rounds }) => {
            for nodes in nodes {
                core_metrics::run(nodes, pods_per_node, rounds)?;
            }
            return Ok(());
        }
        Some(Other::Companions(options)) => return companions::run(&options),
        Some(Other::Store(options)) => return store::run(options),
        None => {}
    }
    for containers in line.containers {
        agent::run(containers, line.rounds)?;
    }
    Ok(())
}
