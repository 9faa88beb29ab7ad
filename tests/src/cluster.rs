//! A real Kubernetes for tests: `tests/cluster` starts it once for all tests of a run, our server in it as
//! `deploy/kubevigil.yaml` describes it.
//!
//! Tests that leave the cluster as it is share it and may run beside each other; those that stop parts of it
//! have it alone. It goes with the process that started it, however that ends: whoever takes it down waits
//! for the end of a pipe.

pub mod load;
pub mod metrics_server;
pub mod requests;
pub mod server;
pub mod usage;

use crate::program::{self, repository};
use crate::seed::unique_hex;
use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// Where `kubectl proxy` listens in there: the API server as its administrator sees it.
const PROXY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8001);

/// The node's address.
pub const NODE_ADDRESS: &str = "10.10.0.1";

static CLUSTER: RwLock<()> = RwLock::new(());
static STARTED: OnceLock<Result<Cluster, String>> = OnceLock::new();

/// A running cluster with our server in it.
pub struct Cluster {
    name: String,
    /// The process that waits for our end.
    _hold: Child,
}

/// What this machine lacks for a cluster.
pub fn lack() -> Option<String> {
    let output = script("any").arg("lacking").output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_string();
    (!said.is_empty()).then_some(said).or_else(|| crate::require::program("go"))
}

/// The cluster beside other tests, for a test that only adds objects of its own. None where it cannot run here.
pub fn share(test: &str) -> Option<(RwLockReadGuard<'static, ()>, &'static Cluster)> {
    if !crate::require::present(test, lack()) {
        return None;
    }
    let guard = CLUSTER.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    Some((guard, started()))
}

/// The cluster without other tests, for a test that stops parts of it. None where it cannot run here.
pub fn alone(test: &str) -> Option<(RwLockWriteGuard<'static, ()>, &'static Cluster)> {
    if !crate::require::present(test, lack()) {
        return None;
    }
    let guard = CLUSTER.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    Some((guard, started()))
}

fn started() -> &'static Cluster {
    let started = STARTED.get_or_init(|| Cluster::start().map_err(|error| format!("{error:#}")));
    started.as_ref().unwrap_or_else(|error| panic!("the cluster does not start: {error}"))
}

/// Asks again and again until there is an answer. The last refusal is part of the error.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("{what}: not within {} s", limit.as_secs())));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(250)),
        }
    }
}

fn script(name: &str) -> Command {
    let mut command = Command::new(repository().join("tests/cluster/cluster"));
    command.env("KUBEVIGIL_CLUSTER", name).stdin(Stdio::null());
    command
}

/// Runs a command to its end; its standard output, or an error with all that it said.
fn finish(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{:?}: {}: {said}{}",
        command.get_args().collect::<Vec<_>>(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}

impl Cluster {
    fn start() -> Result<Cluster> {
        let began = Instant::now();
        sweep()?;
        let name = format!("test-{}", std::process::id());
        // Before anything is made, somebody waits to take it away.
        let hold = script(&name)
            .arg("hold")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // an interrupt from the keyboard is for us alone
            .spawn()
            .context("cannot run tests/cluster/cluster")?;
        let cluster = Cluster { name, _hold: hold };
        finish(script(&cluster.name).arg("up").stderr(Stdio::inherit()))?;
        let up = began.elapsed();
        server::load(&cluster)?;
        eprintln!(
            "cluster: node ready after {:.1} s, image loaded after {:.1} s",
            up.as_secs_f64(),
            began.elapsed().as_secs_f64()
        );
        cluster.run("proxy", &["kubectl", "proxy", "--port=8001"])?;
        until("kubectl proxy", Duration::from_secs(20), || cluster.get("/readyz"))?;
        server::deploy(&cluster)?;
        eprintln!("cluster: our server answers after {:.1} s", began.elapsed().as_secs_f64());
        Ok(cluster)
    }

    /// A command that runs in the cluster's namespaces.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = script(&self.name);
        command.arg("exec").args(words);
        command
    }

    /// Runs a command in there; gives its standard output.
    pub fn exec(&self, words: &[&str]) -> Result<String> {
        finish(&mut self.command(words))
    }

    /// Runs kubectl as administrator.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.exec(&[&["kubectl"], words].concat())
    }

    /// Applies objects given as YAML.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        self.apply_with(&[], yaml)
    }

    fn apply_with(&self, flags: &[&str], yaml: &str) -> Result<()> {
        let mut child = self
            .command(&[&["kubectl", "apply", "-f", "-"], flags].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            std::io::Write::write_all(&mut input, yaml.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl apply: {said}\n{yaml}");
        Ok(())
    }

    /// Makes a namespace of its own for a test; it goes when dropped.
    pub fn namespace(&self, prefix: &str) -> Result<Namespace<'_>> {
        let name = format!("{prefix}-{}", unique_hex(6));
        self.kubectl(&["create", "namespace", &name])?;
        // Controllers that lost the API server come back within a minute and a half.
        until("the namespace's account", Duration::from_secs(90), || {
            self.get(&format!("/api/v1/namespaces/{name}/serviceaccounts/default"))
        })?;
        Ok(Namespace { cluster: self, name })
    }

    /// Starts one part of it again, with more flags than usual.
    pub fn start_part(&self, part: &str, flags: &[&str]) -> Result<()> {
        finish(script(&self.name).args(["start", part]).args(flags)).map(|_| ())
    }

    /// Starts a command in there, in the background, until it is stopped by the name.
    pub fn run(&self, name: &str, words: &[&str]) -> Result<()> {
        finish(script(&self.name).args(["run", name]).args(words)).map(|_| ())
    }

    /// Stops one part of it, or what was started under a name.
    pub fn stop(&self, name: &str) -> Result<()> {
        finish(script(&self.name).args(["stop", name])).map(|_| ())
    }

    /// What a part, or what was started under a name, wrote so far.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.state().join(format!("log/{name}.log"))).unwrap_or_default()
    }

    /// GETs a path of the API server as administrator; gives status and body.
    pub fn ask(&self, path: &str, headers: &str) -> Result<(u16, String)> {
        let (status, _, body) = self.within(|| program::get(PROXY, path, headers))??;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// GETs a path of the API server as administrator; gives the body of a 200.
    pub fn get(&self, path: &str) -> Result<String> {
        let (status, body) = self.ask(path, "")?;
        if status != 200 {
            bail!("GET {path}: {status}: {body}");
        }
        Ok(body)
    }

    /// GETs a path of the API server as administrator; gives the JSON of a 200.
    pub fn json(&self, path: &str) -> Result<Value> {
        let body = self.get(path)?;
        serde_json::from_str(&body).with_context(|| format!("GET {path} is not JSON: {body}"))
    }

    /// Runs `work` on a thread in the cluster's network.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", self.holder()?))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(work())
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The folder of its state: certificates in `pki`, logs in `log`.
    pub fn state(&self) -> PathBuf {
        PathBuf::from(format!("/var/tmp/kubevigil-cluster-{}", self.name))
    }

    /// The control group below which its pods are.
    pub fn group(&self) -> String {
        format!("/kubevigil-cluster-{}", self.name)
    }

    fn holder(&self) -> Result<u32> {
        let file = self.state().join("holder");
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        text.trim().parse().with_context(|| format!("{}: {text:?}", file.display()))
    }
}

/// A namespace of the cluster; deleted when dropped.
pub struct Namespace<'a> {
    /// The cluster that it is in.
    pub cluster: &'a Cluster,
    /// Its name.
    pub name: String,
}

impl Namespace<'_> {
    /// Applies objects to it.
    pub fn apply(&self, yaml: &str) -> Result<()> {
        self.cluster.apply_with(&["--namespace", &self.name], yaml)
    }

    /// Runs kubectl in it.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.cluster.kubectl(&[&["--namespace", &self.name], words].concat())
    }

    /// Its pods that match a label selector.
    pub fn pods(&self, selector: &str) -> Result<Vec<Value>> {
        let path = format!("/api/v1/namespaces/{}/pods?labelSelector={selector}", self.name);
        let mut list = self.cluster.json(&path)?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", &self.name, "--wait=false"];
        if let Err(error) = self.cluster.kubectl(&delete) {
            eprintln!("left behind: {error:#}");
        }
    }
}

/// Takes down the clusters of test runs that are gone.
fn sweep() -> Result<()> {
    for entry in std::fs::read_dir("/var/tmp").context("/var/tmp")?.flatten() {
        let file_name = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = file_name.strip_prefix("kubevigil-cluster-") else { continue };
        let Some(process) = name.strip_prefix("test-") else { continue };
        if !Path::new("/proc").join(process).exists() {
            eprintln!("sweeping cluster {name}: its test was killed");
            finish(script(name).arg("down"))?;
        }
    }
    Ok(())
}
