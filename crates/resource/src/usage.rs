//! What is known of a node, a pod or a container: the plain answers of the store.

/// Whose decisions are taken where a reading is not whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The healthy containers of a partly broken pod are served, and the last good value with its
    /// true time for two missed rounds.
    #[default]
    Lenient,
    /// metrics-server's decisions, bit for bit: one broken container hides its pod, one missed round
    /// hides the node and its pods.
    Strict,
}

/// What a node or a container used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Mean over the window, in billionths of a core.
    pub cpu_nanocores: u64,
    /// The working set at the end of the window.
    pub memory_bytes: u64,
    /// The end of the window, in nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// The length of the window, in nanoseconds.
    pub window_ns: i64,
}

/// What a container used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerUsage {
    /// The container's name in its pod.
    pub name: String,
    /// What it used.
    pub usage: Usage,
}

/// What the containers of a pod used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodUsage {
    /// By name.
    pub containers: Vec<ContainerUsage>,
}

impl PodUsage {
    /// The end and the length of the window that stands for the whole pod, in nanoseconds: those of
    /// the container that was read first. `None` where no container has a value.
    pub fn window(&self) -> Option<(i64, i64)> {
        let earliest = self.containers.iter().map(|c| c.usage).min_by_key(|u| u.time_ns)?;
        Some((earliest.time_ns, earliest.window_ns))
    }
}
