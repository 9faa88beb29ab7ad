//! `kubevigil simulate kubelets`: hollow nodes, and where asked an API server that knows them.

use crate::options::{Log, LogFormat, LogLevel};
use ::simulate::{Certificate, Faults, Fleet, Shape, api_server, kubelets};
use anyhow::Context;
use clap::{Args, Subcommand};
use cluster::Cluster;
use http::{Server, terminated};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

/// What to simulate.
#[derive(Debug, Subcommand)]
pub enum Simulate {
    /// Thousands of kubelets in one process, each at an address of its own, over HTTPS
    #[command(after_help = "\
Examples:
  kubevigil simulate kubelets --nodes 100 --pods-per-node 30 --seed 1
  kubevigil simulate kubelets --nodes 5000 --api-address 127.0.0.1:8001   With an API server that knows them
  kubevigil simulate kubelets --nodes 50 --kubeconfig ~/.kube/config      Registered in a real API server
  curl -sk https://127.20.0.1:10250/metrics/resource")]
    Kubelets(Box<Options>),
}

/// What `simulate kubelets` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 10)]
    nodes: usize,

    /// How many pods on each
    #[arg(long, value_name = "N", default_value_t = 30)]
    pods_per_node: usize,

    /// How many containers in each pod
    #[arg(long, value_name = "N", default_value_t = 2)]
    containers_per_pod: usize,

    /// What names and usage follow from
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,

    /// The address of the first kubelet; the others follow it
    #[arg(long, value_name = "ADDRESS", default_value = "127.20.0.1")]
    first_address: Ipv4Addr,

    /// Where each kubelet listens
    #[arg(long, value_name = "PORT", default_value_t = 10250)]
    port: u16,

    /// Usage that does not change, and no restarts
    #[arg(long)]
    constant: bool,

    /// How often containers are measured, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    housekeeping_ms: i64,

    /// So many nodes answer after half a minute
    #[arg(long, value_name = "N", default_value_t = 0)]
    slow: usize,

    /// So many nodes answer nonsense
    #[arg(long, value_name = "N", default_value_t = 0)]
    broken: usize,

    /// On so many nodes each fifth pod has a container without a value
    #[arg(long, value_name = "N", default_value_t = 0)]
    partial: usize,

    /// So many nodes have a clock that is an hour behind
    #[arg(long, value_name = "N", default_value_t = 0)]
    late: usize,

    /// Writes the authority of the kubelets' certificate here
    #[arg(long, value_name = "FILE")]
    write_authority: Option<PathBuf>,

    /// Serves a hollow API server that knows the nodes and pods: plain HTTP, for everybody
    #[arg(long, value_name = "ADDRESS")]
    api_address: Option<String>,

    /// Registers the nodes and pods in this API server before it serves
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// Runs until the process is asked to end.
pub fn run(what: Simulate) -> anyhow::Result<()> {
    let Simulate::Kubelets(options) = what;
    crate::log::begin(&Log { log_format: LogFormat::Text, log_level: LogLevel::Info });
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    runtime.block_on(serve(*options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let fleet = Arc::new(Fleet::new(Shape {
        nodes: options.nodes,
        pods_per_node: options.pods_per_node,
        containers_per_pod: options.containers_per_pod,
        seed: options.seed,
        first_address: options.first_address,
        port: options.port,
        constant: options.constant,
        housekeeping_ms: options.housekeeping_ms,
        faults: Faults {
            slow: options.slow,
            broken: options.broken,
            partial: options.partial,
            late: options.late,
        },
    })?);
    let certificate = Certificate::make(&fleet)?;
    if let Some(path) = &options.write_authority {
        std::fs::write(path, &certificate.authority)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let (server, router) = kubelets(fleet.clone(), &certificate).await?;
    if let Some(kubeconfig) = &options.kubeconfig {
        let cluster = Cluster::connect(Some(kubeconfig)).await?;
        let (nodes, pods) = ::simulate::register(&cluster, &fleet).await?;
        println!("registered {nodes} nodes and {pods} pods");
    }
    let Some(listen) = options.api_address else {
        println!("{} kubelets at {}:{} and on", options.nodes, options.first_address, options.port);
        server.serve(router, terminated()).await;
        return Ok(());
    };
    let api =
        Server::bind(http::Options { listen, max_connections: 4096, ..Default::default() }).await?;
    let addresses = format!("{}:{} and on", options.first_address, options.port);
    println!("{} kubelets at {addresses}, an API server at {}", options.nodes, api.url());
    tokio::join!(server.serve(router, terminated()), api.serve(api_server(fleet), terminated()));
    Ok(())
}
