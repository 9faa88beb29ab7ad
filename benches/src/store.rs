//! The store beside Prometheus and VictoriaMetrics: the same samples to each, one engine at a time, real
//! programs with their logs on. What they cost is read from outside.
//!
//! Three parts: scraping over HTTP, where a scrape each `--interval` stands for one each 15 s and block durations
//! shrink alike; hours of the same targets in simulated time, with which disk and queries are measured; and the
//! start with very many series.

mod asked;
mod containers;
mod engine;
mod feed;
mod history;
mod kept;
mod random;
mod remote_write;
mod report;
mod requests;
mod scraped;
mod served;
mod start;
mod state;
mod target;
mod values;

use anyhow::{Context, Result, ensure};
use asked::Mixin;
use clap::Args;
use engine::{Kind, Programs, Running};
use feed::Span;
use history::Wanted;
use kept::{Figures, Kept};
use stage::program::{Program, repository};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use target::Size;
use values::Recording;

/// What the store's bench takes.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// A small load, in less than four minutes
    #[arg(long)]
    quick: bool,
    /// Nodes, of three targets each
    #[arg(long, default_value_t = 25)]
    nodes: usize,
    /// Containers of each node, of 43 series each
    #[arg(long, default_value_t = 50)]
    containers: usize,
    /// Scrapes of each target
    #[arg(long, default_value_t = 600)]
    scrapes: u64,
    /// Milliseconds from scrape to scrape, which stand for 15 s
    #[arg(long, default_value_t = 500)]
    interval: u64,
    /// Hours of simulated time
    #[arg(long, default_value_t = 6)]
    hours: u64,
    /// Seconds from round to round in simulated time
    #[arg(long, default_value_t = 15)]
    step: u64,
    /// What values and churn follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Containers of each of 100 nodes when the start is measured
    #[arg(long, default_value_t = 130)]
    start_containers: usize,
    /// Only these engines
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "prometheus,prometheus-xor2,victoria-metrics,kubevigil"
    )]
    engines: Vec<String>,
    /// Only these parts
    #[arg(long, value_delimiter = ',', default_value = "scraping,hours,shapes,start")]
    parts: Vec<String>,
    /// A file for figures: what it has of the same load is not measured again, ours excepted
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Measures all and prints the tables.
pub fn run(mut options: Options) -> Result<()> {
    if options.quick {
        (options.nodes, options.scrapes, options.step) = (4, 60, 60);
        options.engines.retain(|e| e != "prometheus-xor2");
        options.parts.retain(|p| p != "shapes" && p != "start");
    }
    let mut engines = Vec::new();
    for name in &options.engines {
        engines.push(Kind::of_option(name).with_context(|| format!("no engine {name:?}"))?);
    }
    let dir = tempfile::tempdir()?;
    let programs = programs(dir.path())?;
    if programs.victoria_metrics.is_none() {
        engines.retain(|k| *k != Kind::VictoriaMetrics);
        println!(
            "Left out: VictoriaMetrics; Debian's package victoria-metrics cannot be had here.\n"
        );
    }
    // The load is made on one core, the engines run on the other.
    let own = std::process::id().to_string();
    let pinned = Command::new("taskset").args(["-acp", "0", &own]).stdout(Stdio::null()).status();
    ensure!(pinned.is_ok_and(|s| s.success()), "taskset cannot pin this process");
    let recording = Arc::new(recorded(options.keep.as_deref())?);
    let mut bench = Bench::new(options, programs, recording)?;
    for kind in &engines {
        let figures = bench.engine(*kind, dir.path())?;
        bench.kept.engines.insert(kind.option().to_owned(), figures);
        bench.kept.save()?;
    }
    bench.report(&engines)
}

struct Bench {
    options: Options,
    programs: Programs,
    recording: Arc<Recording>,
    size: Size,
    span: Span,
    mixins: Vec<Mixin>,
    kept: Kept,
}

impl Bench {
    fn new(options: Options, programs: Programs, recording: Arc<Recording>) -> Result<Bench> {
        let Options { nodes, containers, seed, .. } = options;
        let size = Size { nodes, containers, seed, floats: false };
        let (ticks, interval_ms) =
            (options.hours * 3600 / options.step, options.step as i64 * 1000);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
        let first_ms = (now - interval_ms * (ticks as i64 + 4)) / 60_000 * 60_000;
        let (scrapes, interval, start) =
            (options.scrapes, options.interval, options.start_containers);
        let series = recording.series.len();
        let load = format!(
            "{size:?}, {ticks} rounds each {interval_ms} ms, {scrapes} scrapes each {interval} ms, {start}, {series}"
        );
        let kept = Kept::open(options.keep.as_deref(), load, first_ms)?;
        let span = Span { first_ms: kept.first_ms, interval_ms, ticks };
        let mixins = asked::of_today(size)?;
        Ok(Bench { options, programs, recording, size, span, mixins, kept })
    }

    fn wants(&self, part: &str) -> bool {
        self.options.parts.iter().any(|p| p == part)
    }

    /// Measures what is wanted of an engine and not kept.
    fn engine(&self, kind: Kind, dir: &Path) -> Result<Figures> {
        let mut figures = self.kept.engines.get(kind.option()).cloned().unwrap_or_default();
        let anew = kind == Kind::Kubevigil;
        if self.wants("scraping") && (anew || figures.scraped.is_none()) {
            figures.scraped = Some(self.part(kind, "scraping", dir, |dir| {
                let Bench { programs, size, recording, options, .. } = self;
                scraped::measure(kind, programs, dir, *size, recording, options)
            })?);
        }
        if self.wants("hours") && (anew || figures.history.is_none()) {
            figures.history = Some(self.part(kind, "hours", dir, |dir| {
                let Bench { size, span, mixins, .. } = self;
                let wanted = Wanted { size: *size, span: *span, mixins, queries: true };
                history::measure(kind, &self.programs, dir, &wanted, &self.recording)
            })?);
        }
        let small = Size { nodes: (self.size.nodes / 5).max(1), ..self.size };
        let ticks = self.span.ticks / 3;
        for (name, size) in [
            ("another seed, 1/15 of it", Size { seed: self.size.seed + 1, ..small }),
            ("all floats change, 1/15 of it", Size { floats: true, ..small }),
        ] {
            if !self.wants("shapes") || (!anew && figures.shapes.contains_key(name)) {
                continue;
            }
            let span = Span { ticks, ..self.span };
            let wanted = Wanted { size, span, mixins: &[], queries: false };
            let history = self.part(kind, name, dir, |dir| {
                history::measure(kind, &self.programs, dir, &wanted, &self.recording)
            })?;
            figures.shapes.insert(name.to_owned(), history);
        }
        if self.wants("start") && (anew || figures.started.is_none()) {
            figures.started = Some(self.part(kind, "start", dir, |dir| self.start(kind, dir))?);
        }
        Ok(figures)
    }

    fn start(&self, kind: Kind, dir: &Path) -> Result<start::Started> {
        let containers = self.options.start_containers;
        let size = Size { nodes: 100, containers, ..self.size };
        let (ticks, interval_ms) = (120, 60_000);
        let end_ms = self.span.end_ms();
        let span = Span { first_ms: end_ms - ticks as i64 * interval_ms, interval_ms, ticks };
        start::measure(kind, &self.programs, dir, size, span, &self.recording)
    }

    /// Runs one part in a folder of its own, and tells of it.
    fn part<T>(
        &self,
        kind: Kind,
        name: &str,
        dir: &Path,
        run: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<T> {
        let began = Instant::now();
        eprintln!("{}: {name} …", kind.name());
        let folder = dir.join("engine");
        std::fs::create_dir(&folder)?;
        let done = run(&folder).with_context(|| format!("{}: {name}", kind.name()));
        if done.is_err()
            && let Ok(log) = std::fs::read_to_string(folder.join("log"))
        {
            let end: Vec<&str> = log.lines().rev().take(10).collect();
            eprintln!("{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        std::fs::remove_dir_all(&folder)?;
        eprintln!("{}: {name} took {:.0} s", kind.name(), began.elapsed().as_secs_f64());
        done
    }

    fn report(&self, engines: &[Kind]) -> Result<()> {
        let Options { nodes, containers, scrapes, interval, hours, step, seed, .. } = self.options;
        println!(
            "### {nodes} nodes x {containers} containers, {scrapes} scrapes each {interval} ms, {hours} h at {step} s, \
             seed {seed}\n"
        );
        let figures = |k: &Kind| Some((*k, self.kept.engines.get(k.option())?));
        let columns: Vec<report::Column<'_>> = engines.iter().filter_map(figures).collect();
        report::scraped(&columns);
        report::started(&columns);
        report::history(&columns, &self.mixins)
    }
}

/// Builds or finds what is compared.
fn programs(dir: &Path) -> Result<Programs> {
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "-q", "-p", "kubevigil", "-p", "kubevigil-agent"])
        .current_dir(repository())
        .status()
        .context("cannot run cargo")?;
    ensure!(built.success(), "cargo build of kubevigil failed");
    let kubevigil = released("kubevigil");
    let help = Command::new(&kubevigil).args(["server", "--help"]).output()?;
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let (kubeconfig, cluster) = hollow_cluster(&kubevigil, dir)?;
    Ok(Programs {
        prometheus: stage::peer::build("prometheus")?,
        victoria_metrics: victoria_metrics()?,
        kubeconfig,
        _cluster: cluster,
        receiver: help.contains("--web.enable-remote-write-receiver"),
        kubevigil,
    })
}

/// One of our programs as released: it lies beside this one.
fn released(name: &str) -> PathBuf {
    stage::program::built(name)
}

/// VictoriaMetrics as Debian has it: installed, or unpacked from its package beside the peers.
fn victoria_metrics() -> Result<Option<PathBuf>> {
    let installed = PathBuf::from("/usr/bin/victoria-metrics");
    if installed.exists() {
        return Ok(Some(installed));
    }
    let place = stage::peer::cache().join("victoria-metrics");
    let program = place.join("usr/bin/victoria-metrics");
    if !program.exists() {
        std::fs::create_dir_all(&place)?;
        let script =
            "apt-get download -q victoria-metrics && dpkg -x victoria-metrics_*.deb . && rm *.deb";
        let done = Command::new("sh")
            .args(["-c", script])
            .current_dir(&place)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !done.success() {
            return Ok(None);
        }
    }
    Ok(Some(program))
}

/// `kubevigil server` wants a cluster: a simulated one of a single node.
fn hollow_cluster(kubevigil: &Path, dir: &Path) -> Result<(PathBuf, Running)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let api = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let fleet = Command::new("taskset")
        .args(["-c", "0"])
        .arg(kubevigil)
        .args(["simulate", "kubelets", "--constant", "--nodes", "1", "--pods-per-node", "1"])
        .args(["--port", &port.to_string(), "--api-address", &format!("127.0.0.1:{api}")])
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start the simulated cluster")?;
    let fleet = Running(fleet);
    let kubeconfig = dir.join("kubeconfig");
    std::fs::write(&kubeconfig, crate::core_metrics::configuration(api))?;
    std::thread::sleep(Duration::from_secs(1));
    Ok((kubeconfig, fleet))
}

/// What was recorded of our agent: with kept figures goes what they were measured with.
fn recorded(keep: Option<&Path>) -> Result<Recording> {
    let Some(path) = keep.map(|k| k.with_extension("recording")) else { return record() };
    if path.exists() {
        return Ok(serde_json::from_slice(&std::fs::read(path)?)?);
    }
    let recording = record()?;
    std::fs::write(path, serde_json::to_vec(&recording)?)?;
    Ok(recording)
}

/// Our agent's answers on this machine, four a second.
fn record() -> Result<Recording> {
    let mut command = Command::new(released("kubevigil-agent"));
    command.args(["--listen", "127.0.0.1:0", "--reuse", "0"]);
    let agent = Program::start_command(command)?;
    let mut answers = Vec::new();
    for _ in 0..40 {
        let (status, _, body) = agent.get_with("/metrics", "")?;
        ensure!(status == 200, "the agent answered {status}");
        answers.push(body);
        std::thread::sleep(Duration::from_millis(250));
    }
    agent.stop()?;
    Recording::of(&answers)
}
