//! Runs Prometheus's `.test` scripts (the language is described in promql/promqltest/README.md of
//! Prometheus): `load` fills a store, `eval` asks and compares.
//!
//! Every instant query is also run with its selectors pinned to its time by `@`, at five other times,
//! and each of those as the middle step of a range query.

mod compare;
mod run;
mod script;
mod series;
mod store;

pub use store::MemoryStore;

/// How a script went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// `eval` commands that passed.
    pub passed: usize,
    /// Those that did not, and lines that could not be read.
    pub failures: Vec<Failure>,
}

/// A command that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The script's name.
    pub name: String,
    /// The line of the command, from 1.
    pub line: usize,
    /// What was wrong.
    pub message: String,
}

/// Runs a script; `name` is for messages.
pub fn run(text: &str, name: &str) -> Report {
    run::run(text, name)
}
