//! What the runtimes leave on disk for a container, where they leave it: the bundle with `config.json`
//! (OCI runtime spec 1.0) and, for docker, the container's own folder. Laid out after what containerd 2 with
//! its CRI plugin and moby 27 leave.

use crate::container::{Layout, Network, Spec};
use crate::leftovers::make_folder;
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Where things of one container lie, and how its runtime calls it.
pub(crate) struct Place {
    pub id: String,
    pub cgroup: String,
    /// runc's own state, the folder that the runtime gives with `runc --root`.
    pub runc_root: PathBuf,
    /// The folder with config.json.
    pub bundle: PathBuf,
    /// Further folders of this container alone.
    pub folders: Vec<PathBuf>,
}

impl Place {
    pub(crate) fn of(layout: &Layout, id: &str) -> Place {
        let task = |namespace: &str| {
            Path::new("/run/containerd/io.containerd.runtime.v2.task").join(namespace).join(id)
        };
        let docker = |cgroup| Place {
            id: id.into(),
            cgroup,
            runc_root: "/run/docker/runtime-runc/moby".into(),
            bundle: task("moby"),
            folders: vec![Path::new("/var/lib/docker/containers").join(id)],
        };
        let containerd = |cgroup| Place {
            id: id.into(),
            cgroup,
            runc_root: "/run/containerd/runc/k8s.io".into(),
            bundle: task("k8s.io"),
            folders: Vec::new(),
        };
        match layout {
            Layout::Docker { .. } => docker(format!("/docker/{id}")),
            Layout::DockerScope { .. } => docker(format!("/system.slice/docker-{id}.scope")),
            Layout::Pod(pod) | Layout::Sandbox(pod) => {
                containerd(format!("/kubepods/{}/pod{}/{id}", pod.qos, pod.uid))
            }
            Layout::PodScope(pod) => {
                let uid = pod.uid.replace('-', "_");
                let (qos, slice) = (&pod.qos, format!("kubepods-{}-pod{uid}.slice", pod.qos));
                containerd(format!(
                    "/kubepods.slice/kubepods-{qos}.slice/{slice}/cri-containerd-{id}.scope"
                ))
            }
            Layout::Plain { parent } => Place {
                id: id.into(),
                cgroup: format!("{parent}/{id}"),
                runc_root: "/run/kubevigil-tests/runc".into(),
                bundle: Path::new("/run/kubevigil-tests/bundles").join(id),
                folders: Vec::new(),
            },
        }
    }

    /// Writes all that the runtime would have written before it calls runc.
    pub(crate) fn furnish(&self, spec: &Spec, rootfs: &Path) -> Result<()> {
        for folder in [&self.runc_root, &self.bundle].into_iter().chain(&self.folders) {
            make_folder(folder)?;
        }
        write(&self.bundle.join("config.json"), &self.oci(spec, rootfs))?;
        if let Layout::Docker { name } | Layout::DockerScope { name } = &spec.layout {
            let config = json!({
                "ID": self.id, "Name": format!("/{name}"), "Driver": "overlay2", "OS": "linux",
                "State": { "Running": true, "Paused": false, "Pid": 0, "ExitCode": 0 },
                "Path": "sh", "Args": ["-c", spec.command], "RestartCount": 0,
                "Config": { "Hostname": &self.id[..12], "Image": spec.image, "Labels": spec.labels,
                            "Env": ["PATH=/bin"], "Cmd": ["sh", "-c", spec.command] },
            });
            write(&self.folders[0].join("config.v2.json"), &config)?;
        }
        Ok(())
    }

    fn oci(&self, spec: &Spec, rootfs: &Path) -> Value {
        let mut namespaces = vec![json!({ "type": "pid" }), json!({ "type": "ipc" })];
        namespaces.extend([json!({ "type": "uts" }), json!({ "type": "mount" })]);
        match &spec.network {
            Network::Host => {}
            Network::Own | Network::Veth => namespaces.push(json!({ "type": "network" })),
            Network::Of(pid) => {
                namespaces
                    .push(json!({ "type": "network", "path": format!("/proc/{pid}/ns/net") }));
            }
        }
        let mut mounts = vec![
            json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
            json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] }),
            json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=1777"] }),
        ];
        if let Some(data) = &spec.data {
            mounts.push(json!({ "destination": "/data", "type": "bind", "source": data, "options": ["rbind", "rw"] }));
        }
        let mut resources = Map::new();
        if let Some(quota) = spec.cpu_quota_us {
            resources
                .insert("cpu".into(), json!({ "quota": quota, "period": 100_000, "shares": 256 }));
        }
        if let Some(limit) = spec.memory_bytes {
            resources.insert("memory".into(), json!({ "limit": limit, "swap": limit }));
        }
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false, "user": { "uid": 0, "gid": 0 }, "cwd": "/",
                "args": ["sh", "-c", spec.command], "env": ["PATH=/bin"], "noNewPrivileges": true,
            },
            "root": { "path": rootfs, "readonly": true },
            "hostname": "container",
            "mounts": mounts,
            "annotations": self.annotations(spec),
            "linux": { "cgroupsPath": self.cgroup, "namespaces": namespaces, "resources": resources },
        })
    }

    /// The annotations by which containerd's CRI plugin tells what a container is.
    fn annotations(&self, spec: &Spec) -> Value {
        let (pod, kind) = match &spec.layout {
            Layout::Pod(pod) | Layout::PodScope(pod) => (pod, "container"),
            Layout::Sandbox(pod) => (pod, "sandbox"),
            _ => return json!({}),
        };
        let mut annotations = json!({
            "io.kubernetes.cri.container-type": kind,
            "io.kubernetes.cri.sandbox-id": pod.sandbox_id.as_deref().unwrap_or(&self.id),
            "io.kubernetes.cri.sandbox-name": pod.name,
            "io.kubernetes.cri.sandbox-namespace": pod.namespace,
            "io.kubernetes.cri.sandbox-uid": pod.uid,
        });
        if kind == "container" {
            annotations["io.kubernetes.cri.container-name"] = json!(spec.container);
            annotations["io.kubernetes.cri.image-name"] = json!(spec.image);
        } else {
            let log = format!("/var/log/pods/{}_{}_{}", pod.namespace, pod.name, pod.uid);
            annotations["io.kubernetes.cri.sandbox-log-directory"] = json!(log);
            annotations["io.kubernetes.cri.podsandbox.image-name"] = json!(spec.image);
        }
        annotations
    }
}

fn write(path: &Path, value: &Value) -> Result<()> {
    std::fs::write(path, value.to_string()).with_context(|| path.display().to_string())
}
