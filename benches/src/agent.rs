//! The agent beside node_exporter and cAdvisor on the same containers, scraped one after the other each
//! second as Prometheus scrapes; and the share of a core that it takes over the whole time.

use crate::process::{Memory, cpu_nanoseconds, memory};
use crate::scraper::Scraper;
use crate::table::{Spread, print};
use anyhow::{Context, Result, bail};
use stage::container::{self, Container, Layout, Network, Spec};
use stage::program::{Program, repository};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// A light load: about half a percent of a core each, some memory touched, no disk.
const LOAD: &str = "while :; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; sleep 1; done";

/// Rounds that are not counted: caches fill, cAdvisor finds its containers.
const WARM: usize = 5;

struct Contender {
    name: &'static str,
    program: Program,
    scraper: Scraper,
    /// CPU milliseconds from the second before one scrape to the second before the next.
    cpu: Vec<f64>,
    memory: Vec<Memory>,
    bytes: usize,
}

/// Measures with that many containers and prints the table.
pub fn run(containers: usize, rounds: usize) -> Result<()> {
    if let Some(lack) = container::lack() {
        bail!("the agent's bench {lack}");
    }
    build()?;
    let running = start_containers(containers)?;
    let mut contenders = [
        node_exporter().context("node_exporter")?,
        cadvisor().context("cAdvisor")?,
        kubevigil_agent().context("kubevigil-agent")?,
    ];
    for round in 0..WARM + rounds {
        let began = Instant::now();
        let before: Vec<u64> = cpu(&contenders)?;
        let count = contenders.len();
        for i in 0..count {
            // Another one is first in each round.
            let contender = &mut contenders[(round + i) % count];
            contender.bytes = contender.scraper.scrape()?;
        }
        // What a program does between scrapes is part of its round.
        std::thread::sleep(SECOND.saturating_sub(began.elapsed()));
        let after = cpu(&contenders)?;
        for ((contender, before), after) in contenders.iter_mut().zip(before).zip(after) {
            if round >= WARM {
                contender.cpu.push(after.saturating_sub(before) as f64 / 1e6);
                contender.memory.push(memory(contender.program.child.id())?);
            }
        }
    }
    report(containers, rounds, contenders);
    // Over the same containers, the others gone.
    crate::standalone::run(rounds)?;
    drop(running);
    Ok(())
}

fn cpu(contenders: &[Contender]) -> Result<Vec<u64>> {
    contenders.iter().map(|c| cpu_nanoseconds(c.program.child.id())).collect()
}

fn report(containers: usize, rounds: usize, contenders: [Contender; 3]) {
    println!("### {containers} containers, {rounds} rounds, one scrape a second\n");
    let head = [
        "program",
        "CPU ms a round: min",
        "median",
        "max",
        "RSS MB: median",
        "max",
        "PSS MB: median",
        "gzipped bytes",
    ];
    let mut rows = vec![head.map(String::from).to_vec()];
    let mut medians = Vec::new();
    let mut core = 0.0;
    for contender in contenders {
        core = contender.cpu.iter().sum::<f64>() / contender.cpu.len() as f64 / 10.0;
        let cpu = Spread::of(contender.cpu);
        let megabytes = |of: fn(&Memory) -> u64| {
            Spread::of(contender.memory.iter().map(|m| of(m) as f64 / 1e6).collect())
        };
        let (rss, pss) = (megabytes(|m| m.rss), megabytes(|m| m.pss));
        medians.push((cpu.median, rss.median, pss.median));
        let figures = [cpu.min, cpu.median, cpu.max, rss.median, rss.max, pss.median];
        let mut row = vec![contender.name.to_string()];
        row.extend(figures.iter().map(|f| format!("{f:.2}")));
        row.push(contender.bytes.to_string());
        rows.push(row);
    }
    print(&rows);
    let [node, cadvisor, ours] = medians[..] else { return };
    let ratio = |both: f64, ours: f64| format!("1/{:.1}", both / ours);
    println!(
        "kubevigil-agent against both together: CPU {}, RSS {}, PSS {}; {core:.2} % of a core.\n",
        ratio(node.0 + cadvisor.0, ours.0),
        ratio(node.1 + cadvisor.1, ours.1),
        ratio(node.2 + cadvisor.2, ours.2),
    );
}

/// Builds our programs as they are released: each by itself, since together they would share the
/// features of what they link.
fn build() -> Result<()> {
    for program in ["kubevigil", "kubevigil-agent"] {
        let status = Command::new("cargo")
            .args(["build", "--release", "--locked", "-q", "-p", program])
            .current_dir(repository())
            .status()?;
        if !status.success() {
            bail!("cargo build of {program} failed");
        }
    }
    Ok(())
}

fn start_containers(count: usize) -> Result<Vec<Container>> {
    (0..count)
        .map(|i| {
            let mut spec = Spec::new(Layout::Docker { name: format!("load-{i}") }, LOAD);
            spec.memory_bytes = Some(64 << 20);
            spec.cpu_quota_us = Some(20_000);
            spec.network = Network::Own;
            Container::start(&spec)
        })
        .collect()
}

fn contender(name: &'static str, program: Program, path: &'static str) -> Result<Contender> {
    let deadline = Instant::now() + 30 * SECOND;
    let mut scraper = loop {
        match Scraper::connect(program.address, path) {
            Ok(scraper) => break scraper,
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    scraper.scrape()?;
    let (cpu, memory, bytes) = (Vec::new(), Vec::new(), 0);
    Ok(Contender { name, program, scraper, cpu, memory, bytes })
}

fn node_exporter() -> Result<Contender> {
    // It does not print where it listens as a URL, so the port is chosen here.
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new(stage::peer::build("node_exporter")?);
    command.arg(format!("--web.listen-address={address}"));
    contender("node_exporter", start_silent(command, address)?, "/metrics")
}

fn cadvisor() -> Result<Contender> {
    let mut command = Command::new(stage::peer::build("cadvisor")?);
    command.args(["--listen", "127.0.0.1:0", "--cached"]);
    contender("cAdvisor", Program::start_command(command)?, "/metrics")
}

fn kubevigil_agent() -> Result<Contender> {
    let mut command = Command::new(repository().join("target/release/kubevigil-agent"));
    // Each scrape a round of its own, however close two of them come on a busy machine.
    command.args(["--listen", "127.0.0.1:0", "--reuse", "0"]);
    contender("kubevigil-agent", Program::start_command(command)?, "/metrics")
}

/// Starts a program of which the address is known.
fn start_silent(mut command: Command, address: SocketAddr) -> Result<Program> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok(Program { child, output: Default::default(), address })
}
