//! Real containers: runc with Debian's static busybox as root file system, laid out on disk and in the
//! control groups as the usual runtimes lay out theirs.
//!
//! Needs root, `runc`, `busybox` and, for a network of its own with a link to the machine, `ip` and `nsenter`.
//! Whatever it makes goes when the container is dropped, and is swept by the next run after a kill.

use crate::bundle::Place;
use crate::cgroup::Group;
use crate::leftovers::{self, Leftover};
use crate::seed::unique_hex;
use crate::{peer, require};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A pod, as far as containers on a node show it.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID in the usual form with dashes.
    pub uid: String,
    /// `burstable` or `besteffort`: the name of the group above it.
    pub qos: String,
    /// The id of its sandbox, once that runs.
    pub sandbox_id: Option<String>,
}

impl Pod {
    /// A burstable pod with a UID of its own.
    pub fn new(namespace: &str, name: &str) -> Pod {
        let hex = unique_hex(32);
        let uid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
        Pod {
            name: name.into(),
            namespace: namespace.into(),
            uid,
            qos: "burstable".into(),
            sandbox_id: None,
        }
    }
}

/// As whose container it shall look.
#[derive(Clone, Debug)]
pub enum Layout {
    /// Docker with the cgroupfs driver: `/docker/ID`.
    Docker {
        /// The container's name.
        name: String,
    },
    /// Docker with the systemd driver: `/system.slice/docker-ID.scope`.
    DockerScope {
        /// The container's name.
        name: String,
    },
    /// containerd's CRI plugin below the kubelet's groups, cgroupfs driver.
    Pod(Pod),
    /// The same with the systemd driver.
    PodScope(Pod),
    /// The pod's sandbox (cgroupfs driver).
    Sandbox(Pod),
    /// Nobody's: runc called by hand, `PARENT/ID`.
    Plain {
        /// The group above it.
        parent: String,
    },
}

/// The network that a container gets.
#[derive(Clone, Debug)]
pub enum Network {
    /// The machine's.
    Host,
    /// A namespace of its own with nothing but a loopback interface that is down.
    Own,
    /// A namespace of its own with `eth0`, the other end of a link to the machine.
    Veth,
    /// That of the process with this id (a pod's sandbox).
    Of(u32),
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Spec {
    /// As whose.
    pub layout: Layout,
    /// The image that the runtime's files name.
    pub image: String,
    /// The container's name within its pod.
    pub container: String,
    /// Labels that docker's files name.
    pub labels: BTreeMap<String, String>,
    /// A line for busybox's shell.
    pub command: String,
    /// Microseconds of CPU in each 100 ms.
    pub cpu_quota_us: Option<u64>,
    /// Bytes of memory; no swap beyond.
    pub memory_bytes: Option<u64>,
    /// Its network.
    pub network: Network,
    /// A folder on disk that it sees as /data.
    pub data: Option<PathBuf>,
}

impl Spec {
    /// A container without limits in the machine's network.
    pub fn new(layout: Layout, command: &str) -> Spec {
        Spec {
            layout,
            image: "registry.example/busybox:1.35".into(),
            container: "main".into(),
            labels: BTreeMap::new(),
            command: command.into(),
            cpu_quota_us: None,
            memory_bytes: None,
            network: Network::Host,
            data: None,
        }
    }
}

/// A running container; killed and removed when dropped.
#[derive(Debug)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its control group.
    pub group: Group,
    /// Its first process, as the machine numbers it.
    pub pid: u32,
    leftover: Leftover,
}

/// What this machine lacks for containers, or None.
pub fn lack() -> Option<String> {
    let programs = ["runc", "busybox", "ip", "nsenter"];
    require::root().or_else(|| programs.iter().find_map(|p| require::program(p)))
}

impl Container {
    /// Starts one. Returns when its command runs.
    pub fn start(spec: &Spec) -> Result<Container> {
        leftovers::sweep()?;
        let id = unique_hex(64);
        let place = Place::of(&spec.layout, &id);
        let paths = [place.bundle.clone()].into_iter().chain(place.folders.clone()).collect();
        let runc = (place.runc_root.clone(), id.clone());
        let leftover = Leftover::announce(&id, Some(runc), Vec::new(), paths)?;
        leftovers::make_group_parents(&place.cgroup)?;
        place.furnish(spec, &root_file_system()?)?;
        let log = place.bundle.join("log.json");
        let pid_file = place.bundle.join("init.pid");
        let console = std::fs::File::create(place.bundle.join("console"))?;
        let status = Command::new("runc")
            .arg("--root")
            .arg(&place.runc_root)
            .arg("--log")
            .arg(&log)
            .args(["run", "--detach", "--pid-file"])
            .arg(&pid_file)
            .arg("--bundle")
            .arg(&place.bundle)
            .arg(&id)
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .status()
            .context("cannot run runc")?;
        if !status.success() {
            let said = std::fs::read_to_string(place.bundle.join("console")).unwrap_or_default();
            bail!("runc run: {status}: {said}{}", std::fs::read_to_string(log).unwrap_or_default());
        }
        let pid = std::fs::read_to_string(&pid_file)?.trim().parse().context("init.pid")?;
        let container = Container { id, group: Group::at(&place.cgroup), pid, leftover };
        if matches!(spec.network, Network::Veth) {
            link(&container.id, container.pid)?;
        }
        Ok(container)
    }

    /// Starts a pod's sandbox; the pod then knows its id.
    pub fn sandbox(pod: &mut Pod, network: Network) -> Result<Container> {
        let mut spec = Spec::new(Layout::Sandbox(pod.clone()), "sleep 1000000");
        spec.image = "registry.example/pause:3.10".into();
        spec.network = network;
        let sandbox = Container::start(&spec)?;
        pod.sandbox_id = Some(sandbox.id.clone());
        Ok(sandbox)
    }

    /// What it wrote to its standard output and error.
    pub fn console(&self) -> String {
        let bundle = self.leftover.paths.first();
        bundle.and_then(|b| std::fs::read_to_string(b.join("console")).ok()).unwrap_or_default()
    }

    /// Kills and removes it.
    pub fn end(mut self) -> Result<()> {
        self.leftover.remove()
    }
}

/// Links the network namespace of a process with the machine: `eth0` there, `vethNAME` here, with
/// a pair of addresses below 169.254 that follows from the name (8 hexadecimal digits or more).
pub fn link(name: &str, pid: u32) -> Result<()> {
    let byte = |at: usize| u8::from_str_radix(&name[at..at + 2], 16).unwrap_or(0);
    let (network, first) = (format!("169.254.{}", byte(4) % 254 + 1), byte(6) & 0xfc);
    let here = format!("veth{}", &name[..8]);
    run(
        "ip",
        &["link", "add", &here, "type", "veth", "peer", "name", "eth0", "netns", &pid.to_string()],
    )?;
    run("ip", &["address", "add", &format!("{network}.{}/30", first + 1), "dev", &here])?;
    run("ip", &["link", "set", &here, "up"])?;
    let theirs = format!("{network}.{}/30", first + 2);
    let inside =
        format!("ip address add {theirs} dev eth0; ip link set lo up; ip link set eth0 up");
    in_network(pid, &inside)
}

/// Sends packets through the `eth0` of a namespace that [`link`] linked; answers come back.
pub fn ping(pid: u32, packets: u32) -> Result<()> {
    let address = "ip -4 -o address show dev eth0 | sed -n 's|.* inet \\([0-9.]*\\)\\.\\([0-9]*\\)/30.*|\\1 \\2|p'";
    in_network(
        pid,
        &format!("set -- $({address}); ping -q -i 0.01 -c {packets} \"$1.$(($2 - 1))\" >/dev/null"),
    )
}

/// Runs a line of busybox's shell in the network namespace of a process, as the machine's root.
fn in_network(pid: u32, line: &str) -> Result<()> {
    run("nsenter", &["--net", "--target", &pid.to_string(), "busybox", "sh", "-c", line])
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// A root file system of busybox alone, kept with the peers.
pub(crate) fn root_file_system() -> Result<PathBuf> {
    let folder = peer::cache().join("rootfs-busybox");
    if folder.is_dir() {
        return Ok(folder);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let busybox = std::env::split_paths(&path).map(|d| d.join("busybox")).find(|b| b.is_file());
    let busybox = busybox.context("busybox is not installed")?;
    std::fs::create_dir_all(peer::cache())?;
    let unfinished = tempfile::Builder::new().prefix("rootfs").tempdir_in(peer::cache())?.keep();
    for name in ["bin", "proc", "dev", "tmp", "data", "sys"] {
        std::fs::create_dir(unfinished.join(name))?;
    }
    std::fs::copy(&busybox, unfinished.join("bin/busybox"))?;
    let list = Command::new(&busybox).arg("--list").output()?;
    for name in String::from_utf8_lossy(&list.stdout).lines().filter(|n| *n != "busybox") {
        symlink("busybox", unfinished.join("bin").join(name))?;
    }
    if std::fs::rename(&unfinished, &folder).is_err() {
        std::fs::remove_dir_all(&unfinished)?; // another test was faster
    }
    Ok(folder)
}
