//! `kubevigil`: shows a machine and its containers, live, with history and PromQL over all of it.
//!
//! The program only reads its command line and puts the crates together; whatever can be said
//! without a process lives in them.

#![forbid(unsafe_code)]

mod access_options;
mod clock;
mod collect;
mod config_file;
mod exemplars;
mod export;
mod import;
mod log;
mod machine;
mod options;
mod ourselves;
mod process;
mod progress;
mod receive_options;
mod script;
mod sending;
mod server;
mod simulate;
mod standalone;
mod tools;

use options::Task;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let line = options::read();
    let outcome = match line.task {
        None => standalone::run(line.standalone).map(|()| ExitCode::SUCCESS),
        Some(Task::Standalone(options)) => standalone::run(*options).map(|()| ExitCode::SUCCESS),
        Some(Task::Server(options)) => server::run(*options).map(|()| ExitCode::SUCCESS),
        Some(Task::Promqltest { files }) => script::run(&files),
        Some(Task::Import(what)) => import::run(what),
        Some(Task::Export(what)) => export::run(what),
        Some(Task::Tools(what)) => tools::run(what),
        Some(Task::Simulate(what)) => simulate::run(what).map(|()| ExitCode::SUCCESS),
        Some(Task::Completions { shell }) => {
            let mut command = options::command();
            clap_complete::generate(shell, &mut command, "kubevigil", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
