//! `kubevigil server` beside metrics-server over the same hollow nodes: each alone with a fleet that does
//! not change, read every 15 s; CPU of a round, memory, and how long lists take. The fleet and its API server are
//! another process, whose cost is not counted.

use crate::core_client::Client;
use crate::process::memory;
use crate::table::{Spread, print};
use anyhow::{Context, Result, bail};
use stage::program::{cpu_milliseconds, repository};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const RESOLUTION: Duration = Duration::from_secs(15);
const PODS: &str = "/apis/metrics.k8s.io/v1beta1/pods";
const ONE_NAMESPACE: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/shop-03/pods";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const JSON: &str = "application/json";
/// Lists of each kind.
const LISTS: usize = 20;

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What one server costs.
struct Cost {
    cpu_ms_per_round: f64,
    rss: f64,
    rss_after_lists: f64,
    /// All pods as JSON, all pods as protobuf, one namespace as protobuf: median and 99th percentile.
    lists: [(f64, f64); 3],
    ready: Duration,
}

/// Measures both and prints a table.
pub fn run(nodes: usize, pods_per_node: usize, rounds: u32) -> Result<()> {
    let peer = stage::peer::build("metrics_server")?;
    let ours = release()?;
    let dir = tempfile::tempdir()?;
    let (kubelets, api) = (free_port()?, free_port()?);
    let kubeconfig = dir.path().join("kubeconfig");
    std::fs::write(&kubeconfig, configuration(api))?;
    let fleet = Command::new(&ours)
        .args(["simulate", "kubelets", "--constant", "--seed", "1"])
        .args(["--nodes", &nodes.to_string(), "--pods-per-node", &pods_per_node.to_string()])
        .args(["--port", &kubelets.to_string(), "--api-address", &format!("127.0.0.1:{api}")])
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start the hollow nodes")?;
    let _fleet = Running(fleet);
    std::thread::sleep(Duration::from_secs(2));
    let port = free_port()?;
    let theirs = metrics_server(&peer, &kubeconfig, dir.path(), port);
    let theirs = measure(theirs, dir.path(), port, nodes * pods_per_node, rounds)?;
    let port = free_port()?;
    let own = server(&ours, &kubeconfig, dir.path(), port);
    let own = measure(own, dir.path(), port, nodes * pods_per_node, rounds)?;
    table(nodes, pods_per_node, &theirs, &own);
    Ok(())
}

fn release() -> Result<PathBuf> {
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "-q", "-p", "kubevigil"])
        .current_dir(repository())
        .status()
        .context("cannot run cargo")?;
    if !built.success() {
        bail!("cargo build of kubevigil failed");
    }
    Ok(repository().join("target/release/kubevigil"))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("0.0.0.0:0")?.local_addr()?.port())
}

/// A kubeconfig for the simulated API server at this port.
pub fn configuration(port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: hollow\n  cluster: {{server: \"http://127.0.0.1:{port}\"}}\ncontexts:\n- name: hollow\n  context: {{cluster: hollow, user: bench}}\ncurrent-context: hollow\nusers:\n- name: bench\n  user: {{token: bench}}\n"
    )
}

fn metrics_server(program: &Path, kubeconfig: &Path, dir: &Path, port: u16) -> Command {
    let kubeconfig = kubeconfig.display();
    let mut command = Command::new(program);
    command
        .arg(format!("--kubeconfig={kubeconfig}"))
        .arg(format!("--authentication-kubeconfig={kubeconfig}"))
        .arg(format!("--authorization-kubeconfig={kubeconfig}"))
        .arg("--authentication-tolerate-lookup-failure=true")
        .arg(format!("--cert-dir={}", dir.join("metrics-server").display()))
        .arg(format!("--secure-port={port}"))
        .args(["--bind-address=127.0.0.1", "--kubelet-insecure-tls"])
        .args(["--kubelet-preferred-address-types=InternalIP", "--kubelet-use-node-status-port"])
        .arg("--metric-resolution=15s");
    command
}

fn server(program: &Path, kubeconfig: &Path, dir: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    command
        .args(["server", "--core-metrics-only", "--kubelet-tls=insecure"])
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--listen=127.0.0.1:{port}"))
        .arg(format!("--data-dir={}", dir.join("kubevigil").display()));
    command
}

/// Starts a server, waits until it serves every pod, and measures it.
fn measure(mut command: Command, dir: &Path, port: u16, pods: usize, rounds: u32) -> Result<Cost> {
    let log = dir.join("log");
    let file = std::fs::File::create(&log)?;
    let begun = Instant::now();
    let child = command.stdout(file.try_clone()?).stderr(file).spawn();
    let child = Running(child.with_context(|| format!("cannot start {command:?}"))?);
    let pid = child.0.id();
    let mut client = Client::new(port)?;
    loop {
        let found = client.items(PODS);
        if found.as_ref().is_ok_and(|n| *n == pods) {
            break;
        }
        if begun.elapsed() > Duration::from_secs(180) {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let end: String = log.lines().rev().take(20).collect::<Vec<_>>().join("\n");
            bail!("{command:?} does not serve {pods} pods after 3 min: {found:?}\n{end}");
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let ready = begun.elapsed();
    // What filling took is not the cost of a round.
    std::thread::sleep(2 * RESOLUTION);
    let before = cpu_milliseconds(pid)?;
    std::thread::sleep(rounds * RESOLUTION);
    let cpu = cpu_milliseconds(pid)? - before;
    let rss = memory(pid)?.rss as f64 / 1e6;
    let mut lists = [(0.0, 0.0); 3];
    for (slot, (path, accept)) in
        lists.iter_mut().zip([(PODS, JSON), (PODS, PROTOBUF), (ONE_NAMESPACE, PROTOBUF)])
    {
        let mut times = Vec::new();
        for _ in 0..LISTS {
            times.push(client.get(path, accept)?.as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        // Of twenty the slowest stands for the 99th percentile.
        *slot = (times[LISTS / 2], Spread::of(times.clone()).max);
    }
    let rss_after_lists = memory(pid)?.rss as f64 / 1e6;
    let cpu_ms_per_round = cpu as f64 / f64::from(rounds);
    Ok(Cost { cpu_ms_per_round, rss, rss_after_lists, lists, ready })
}

fn table(nodes: usize, pods_per_node: usize, theirs: &Cost, own: &Cost) {
    println!("### {nodes} nodes x {pods_per_node} pods x 2 containers, read every 15 s\n");
    let row = |what: &str, unit: &str, of: &dyn Fn(&Cost) -> f64| {
        let (a, b) = (of(theirs), of(own));
        vec![
            format!("{what}, {unit}"),
            format!("{a:.1}"),
            format!("{b:.1}"),
            format!("{:.2}", b / a),
        ]
    };
    let mut rows = vec![
        ["", "metrics-server", "kubevigil server", "ratio"].map(String::from).to_vec(),
        row("CPU of a round", "ms", &|c| c.cpu_ms_per_round),
        row("share of a core", "%", &|c| {
            c.cpu_ms_per_round / RESOLUTION.as_millis() as f64 * 100.0
        }),
        row("RSS", "MB", &|c| c.rss),
        row("RSS after lists", "MB", &|c| c.rss_after_lists),
        row("all pods served after", "s", &|c| c.ready.as_secs_f64()),
    ];
    for (at, what) in
        ["all pods, JSON", "all pods, protobuf", "one namespace, protobuf"].into_iter().enumerate()
    {
        rows.push(row(&format!("{what}, p50"), "ms", &|c| c.lists[at].0));
        rows.push(row(&format!("{what}, p99"), "ms", &|c| c.lists[at].1));
    }
    print(&rows);
}
