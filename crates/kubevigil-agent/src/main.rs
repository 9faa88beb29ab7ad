//! The node agent: one machine's families on `/metrics`, collected when someone asks.
//!
//! It keeps no history, holds no credential and links neither the store nor the query engine: what runs
//! with rights on every node is small. Followed: node_exporter's and cAdvisor's names, flags and paths.

#![forbid(unsafe_code)]

mod buffers;
mod command_line;
mod log;
mod ourselves;
mod page;
mod rounds;
mod routes;

use command_line::CommandLine;
use http::Server;
use std::process::ExitCode;
use std::sync::Arc;

/// Why the agent could not start.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Node(#[from] node::Error),
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
}

fn main() -> ExitCode {
    let command_line = match command_line::read(std::env::args_os()) {
        Ok(command_line) => command_line,
        Err(error) => error.exit(),
    };
    log::begin(command_line.log_format, command_line.log_level);
    match run(command_line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command_line: CommandLine) -> Result<(), Error> {
    let CommandLine { node, listen, reuse, .. } = command_line;
    let node = node::Node::open(node)?;
    // One thread: a round is a few milliseconds of reading, and a second thread would cost more memory
    // than it saves time.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(4).build().map_err(Error::Runtime)?;
    runtime.block_on(async {
        let server = Server::bind(listen).await?;
        let rounds = Arc::new(rounds::Rounds::new(node, server.stats(), reuse));
        // The first round finds what is slow or missing before anyone waits for it.
        rounds.begin();
        tracing::info!("kubevigil-agent serves {}/metrics", server.url());
        server.serve(routes::router(rounds), http::terminated()).await;
        tracing::info!("kubevigil-agent ends");
        Ok(())
    })
}
