//! `kubectl vigil`: what nodes, pods, containers and workloads use beside what they asked for and
//! may take, what they should ask for, and why a number is absent.
//!
//! Asks the API server with the caller's own kubeconfig and rights, and nobody else.

#![forbid(unsafe_code)]

mod advise;
mod command_line;
mod objects;
mod table;
mod top;
mod why;

use clap::{CommandFactory, Parser};
use command_line::{CommandLine, Task};
use std::process::ExitCode;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    if let Task::Completion { shell } = line.task {
        let mut command = CommandLine::command();
        clap_complete::generate(shell, &mut command, "kubectl-vigil", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|r| r.block_on(run(line)));
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(line: CommandLine) -> anyhow::Result<ExitCode> {
    let cluster = line.access.connect().await?;
    match line.task {
        Task::Top(options) => top::run(&cluster, &line.access, &options).await,
        Task::Advise(options) => advise::run(&cluster, &line.access, &options).await,
        Task::WhyMissing(options) => why::run(&cluster, &line.access, &options).await,
        Task::Completion { .. } => Ok(ExitCode::SUCCESS),
    }
}
