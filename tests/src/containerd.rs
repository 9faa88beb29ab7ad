//! A real containerd with containers of its own in the namespace `k8s.io`, below the kubelet's groups,
//! with the labels and annotations that containerd's CRI plugin gives a pod's containers.
//!
//! Everything that it keeps lies in one temporary folder; programs that look for bundles at
//! /run/containerd see this containerd's when they are started by [`Containerd::view`].

use crate::cgroup::Group;
use crate::container::Pod;
use crate::leftovers::{self, Leftover};
use crate::seed::unique_hex;
use crate::{container, peer};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The image that every container is of.
pub const IMAGE: &str = "registry.example/busybox:1.35";

/// A running containerd; ends with its containers when dropped.
pub struct Containerd {
    folder: PathBuf,
    programs: PathBuf,
    daemon: Child,
    leftover: Leftover,
}

/// A container of it.
pub struct Task {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its control group.
    pub group: Group,
    /// Its first process.
    pub pid: u32,
}

/// What a pod's container is started with.
pub struct Request<'a> {
    /// Its pod.
    pub pod: &'a Pod,
    /// Its name in the pod; None makes it the pod's sandbox.
    pub name: Option<&'a str>,
    /// A line for busybox's shell.
    pub command: &'a str,
    /// Microseconds of CPU in each 100 ms.
    pub cpu_quota_us: Option<u64>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// The process whose network it shares; None gives it one of its own.
    pub network_of: Option<u32>,
}

impl Containerd {
    /// Starts it and gives it the image.
    pub fn start() -> Result<Containerd> {
        leftovers::sweep()?;
        // containerd, its shims and mount(8) make these as they need them; so they are written down as ours.
        for folder in ["/run/containerd/s", "/run/containerd/runc/k8s.io", "/run/mount"] {
            leftovers::make_folder(Path::new(folder))?;
        }
        let programs =
            peer::build("containerd")?.parent().map(Path::to_path_buf).unwrap_or_default();
        let name = format!("kubevigil-containerd-{}", unique_hex(12));
        let folder = std::env::temp_dir().join(&name);
        let leftover = Leftover::announce(&name, None, Vec::new(), vec![folder.clone()])?;
        std::fs::create_dir_all(&folder)?;
        let text = format!(
            "version = 3\nroot = \"{0}/root\"\nstate = \"{0}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\", \"io.containerd.nri.v1.nri\"]\n\
             [grpc]\n  address = \"{0}/containerd.sock\"\n[ttrpc]\n  address = \"{0}/containerd.sock.ttrpc\"\n",
            folder.display()
        );
        std::fs::write(folder.join("config.toml"), text)?;
        let log = std::fs::File::create(folder.join("log"))?;
        let path = std::env::var("PATH").unwrap_or_default();
        let daemon = Command::new(programs.join("containerd"))
            .arg("--config")
            .arg(folder.join("config.toml"))
            .env("PATH", format!("{}:{path}", programs.display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start containerd")?;
        let containerd = Containerd { folder, programs, daemon, leftover };
        containerd.await_ready()?;
        containerd.import_image()?;
        Ok(containerd)
    }

    /// The socket that it answers on.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("containerd.sock")
    }

    /// A command that runs a program with this containerd's state at /run/containerd, in a mount
    /// namespace of its own.
    pub fn view(&self, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg("mount --bind \"$0\" /run/containerd && exec \"$@\"")
            .arg(self.folder.join("state"))
            .arg(program);
        command
    }

    /// Starts a container of a pod.
    pub fn run(&mut self, request: &Request) -> Result<Task> {
        let (pod, id) = (request.pod, unique_hex(64));
        let group = format!("/kubepods/{}/pod{}/{id}", pod.qos, pod.uid);
        leftovers::make_group_parents(&group)?;
        let pid_file = self.folder.join(&id[..12]);
        let mut command = self.ctr();
        command.args([
            "run",
            "--detach",
            "--null-io",
            "--snapshotter",
            "native",
            "--cgroup",
            &group,
        ]);
        command.arg("--pid-file").arg(&pid_file);
        let kind = if request.name.is_some() { "container" } else { "sandbox" };
        let mut labels = vec![
            ("io.cri-containerd.kind", kind.to_string()),
            ("io.kubernetes.pod.name", pod.name.clone()),
            ("io.kubernetes.pod.namespace", pod.namespace.clone()),
            ("io.kubernetes.pod.uid", pod.uid.clone()),
        ];
        let sandbox = pod.sandbox_id.clone().unwrap_or_else(|| id.clone());
        let mut annotations = vec![
            ("io.kubernetes.cri.container-type", kind.to_string()),
            ("io.kubernetes.cri.sandbox-id", sandbox),
            ("io.kubernetes.cri.sandbox-name", pod.name.clone()),
            ("io.kubernetes.cri.sandbox-namespace", pod.namespace.clone()),
            ("io.kubernetes.cri.sandbox-uid", pod.uid.clone()),
        ];
        if let Some(name) = request.name {
            labels.push(("io.kubernetes.container.name", name.into()));
            annotations.push(("io.kubernetes.cri.container-name", name.into()));
            annotations.push(("io.kubernetes.cri.image-name", IMAGE.into()));
        } else {
            annotations.push(("io.kubernetes.cri.podsandbox.image-name", IMAGE.into()));
        }
        for (flag, pairs) in [("--label", labels), ("--annotation", annotations)] {
            for (key, value) in pairs {
                command.args([flag, &format!("{key}={value}")]);
            }
        }
        if let Some(quota) = request.cpu_quota_us {
            command.args(["--cpu-period", "100000", "--cpu-quota", &quota.to_string()]);
        }
        if let Some(bytes) = request.memory_bytes {
            command.args(["--memory-limit", &bytes.to_string()]);
        }
        if let Some(pid) = request.network_of {
            command.args(["--with-ns", &format!("network:/proc/{pid}/ns/net")]);
        }
        self.leftover.add_group(&group)?;
        output(command.args([IMAGE, &id, "sh", "-c", request.command]))?;
        let pid = std::fs::read_to_string(&pid_file)?.trim().parse().context("pid file")?;
        Ok(Task { id, group: Group::at(&group), pid })
    }

    /// Kills a container and removes it.
    pub fn end(&self, task: &Task) -> Result<()> {
        let _ = output(self.ctr().args(["tasks", "delete", "--force", &task.id]));
        output(self.ctr().args(["containers", "delete", &task.id])).map(|_| ())
    }

    fn ctr(&self) -> Command {
        let mut command = Command::new(self.programs.join("ctr"));
        command.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]);
        command
    }

    fn await_ready(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Err(error) = output(self.ctr().arg("version")) {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("containerd does not answer: {error:#}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Gives it an image of busybox alone, as `docker save` writes one.
    fn import_image(&self) -> Result<()> {
        let work = self.folder.join("image");
        std::fs::create_dir(&work)?;
        let layer = work.join("layer.tar");
        output(
            Command::new("tar")
                .arg("-C")
                .arg(container::root_file_system()?)
                .arg("-cf")
                .arg(&layer)
                .arg("."),
        )?;
        let sum = output(Command::new("sha256sum").arg(&layer))?;
        let digest = sum.split(' ').next().unwrap_or_default();
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "config": { "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        });
        let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"] }]);
        std::fs::write(work.join("config.json"), config.to_string())?;
        std::fs::write(work.join("manifest.json"), manifest.to_string())?;
        let archive = self.folder.join("image.tar");
        let files = ["manifest.json", "config.json", "layer.tar"];
        output(Command::new("tar").arg("-C").arg(&work).arg("-cf").arg(&archive).args(files))?;
        let platform = format!("linux/{architecture}");
        let import =
            ["images", "import", "--local", "--snapshotter", "native", "--platform", &platform];
        output(self.ctr().args(import).arg(&archive)).map(|_| ())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let listed = output(self.ctr().args(["containers", "list", "--quiet"])).unwrap_or_default();
        for id in listed.lines() {
            let _ = output(self.ctr().args(["tasks", "delete", "--force", id]));
            let _ = output(self.ctr().args(["containers", "delete", id]));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Runs a command to its end and gives its standard output.
fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
