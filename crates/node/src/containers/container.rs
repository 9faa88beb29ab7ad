//! What is known of one control group in the newest round, as plain data for JSON (docs/api.md).
//!
//! Rates are those between the two newest rounds. What is not known is `None`, and
//! [`Container::missing`] says why where there is more to say than "not yet".

use crate::Missing;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a control group is to a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // said by their names
pub enum Kind {
    /// The root group: all that runs.
    Machine,
    Slice,
    Service,
    Scope,
    Pod,
    /// A pod's pause container, which owns its network.
    Sandbox,
    Container,
    /// Any other.
    #[default]
    Group,
}

/// Who made the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // names of programs
pub enum Runtime {
    #[serde(rename = "docker")]
    Docker,
    #[serde(rename = "containerd")]
    Containerd,
    #[serde(rename = "cri-o")]
    Crio,
    #[serde(rename = "podman")]
    Podman,
    #[serde(rename = "systemd")]
    Systemd,
    #[serde(rename = "runc")]
    Runc,
}

/// One control group.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Container {
    /// Path below the control group mount: the label `id` of its series.
    pub id: String,
    /// The id of the group above it.
    pub parent: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Who made it, where that is known.
    pub runtime: Option<Runtime>,
    /// What a person calls it.
    pub title: String,
    /// The runtime's name of it: the label `name`. Empty where there is none, as the next members.
    pub name: String,
    /// The image.
    pub image: String,
    /// The runtime's labels.
    pub labels: BTreeMap<String, String>,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container's name within its pod.
    pub container: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub started_ms: Option<i64>,
    /// When it ended; its figures are then those of its last reading.
    pub ended_ms: Option<i64>,
    /// Processes of the group itself.
    pub processes: Option<u64>,
    /// Processes and threads, with those of the groups below.
    pub threads: Option<u64>,
    /// CPU.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Block I/O.
    pub io: Io,
    /// Network, of groups that have one of their own.
    pub network: Option<Network>,
    /// Pressure, where the kernel tells it by group.
    pub pressure: Option<Pressure>,
    /// What cannot be known, and why.
    pub missing: Vec<Missing>,
    /// How many of `missing` are not about the newest figures.
    #[serde(skip)]
    pub(super) missing_always: usize,
}

/// CPU, in cores.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cpu {
    /// In use.
    pub usage_cores: Option<f64>,
    /// In user mode.
    pub user_cores: Option<f64>,
    /// In the kernel.
    pub system_cores: Option<f64>,
    /// The quota.
    pub limit_cores: Option<f64>,
    /// Share of enforcement periods in which the quota ran out, 0 to 1.
    pub throttled_ratio: Option<f64>,
    /// How long its tasks were held back since it was made.
    pub throttled_seconds_total: Option<f64>,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Memory {
    /// What is needed: usage without page cache that was not used recently.
    pub working_set_bytes: Option<u64>,
    /// All.
    pub usage_bytes: Option<u64>,
    /// Anonymous.
    pub rss_bytes: Option<u64>,
    /// Page cache.
    pub cache_bytes: Option<u64>,
    /// Swap.
    pub swap_bytes: Option<u64>,
    /// The hard limit.
    pub limit_bytes: Option<u64>,
    /// Processes killed for memory since it was made.
    pub oom_kills: Option<u64>,
}

/// Block I/O.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Io {
    /// Read.
    pub read_bytes_per_second: Option<f64>,
    /// Written.
    pub write_bytes_per_second: Option<f64>,
}

/// Network, all interfaces that are counted.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Network {
    /// Received.
    pub receive_bytes_per_second: Option<f64>,
    /// Sent.
    pub transmit_bytes_per_second: Option<f64>,
}

/// Share of time, 0 to 1, in which some task waited for a resource.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Pressure {
    /// For a CPU.
    pub cpu_some_ratio: Option<f64>,
    /// For memory.
    pub memory_some_ratio: Option<f64>,
    /// For I/O.
    pub io_some_ratio: Option<f64>,
}
