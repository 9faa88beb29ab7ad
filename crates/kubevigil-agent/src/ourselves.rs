//! What the agent says of itself: `process_*` as Prometheus's client libraries name it, and its rounds.

use kernel::procfs::pid;
use kernel::{Dir, KeptFile};
use model::{Family, Kind, Sink};
use std::path::Path;

/// Ticks of `/proc/PID/stat` in a second: the kernel's interface has had no other value on Linux's
/// common architectures.
const TICKS: f64 = 100.0;

/// Our own process as the kernel sees it.
#[derive(Default)]
pub struct Process {
    opened: Option<Opened>,
}

struct Opened {
    procfs: Dir,
    stat: KeptFile,
    /// Seconds since the Unix epoch.
    started: Option<f64>,
}

impl Process {
    /// Writes the families that can be known.
    pub fn write(&mut self, sink: &mut dyn Sink) {
        // The own process is always looked up in the own /proc, wherever the host's is mounted.
        if self.opened.is_none() {
            self.opened = Dir::open(Path::new("/proc")).ok().map(Opened::new);
        }
        let Some(opened) = &mut self.opened else { return };
        let Ok(Some(stat)) = opened.stat.parse(&opened.procfs, pid::parse_stat) else { return };
        let cpu = (stat.user_ticks + stat.system_ticks) as f64 / TICKS;
        let help = "Total user and system CPU time spent in seconds.";
        one(sink, "process_cpu_seconds_total", help, Kind::Counter, cpu);
        let open = pid::open_files(&opened.procfs, u64::from(std::process::id()), false);
        if let Ok(Some(open)) = open {
            let help = "Number of open file descriptors.";
            one(sink, "process_open_fds", help, Kind::Gauge, open.files as f64);
        }
        let resident = stat.resident_pages as f64 * kernel::system::page_size() as f64;
        let help = "Resident memory size in bytes.";
        one(sink, "process_resident_memory_bytes", help, Kind::Gauge, resident);
        if let Some(started) = opened.started_at(stat.start_ticks) {
            let help = "Start time of the process since unix epoch in seconds.";
            one(sink, "process_start_time_seconds", help, Kind::Gauge, started);
        }
        let help = "Number of threads.";
        one(sink, "process_threads", help, Kind::Gauge, stat.threads as f64);
    }
}

impl Opened {
    fn new(procfs: Dir) -> Opened {
        Opened { procfs, stat: KeptFile::new("self/stat"), started: None }
    }

    fn started_at(&mut self, start_ticks: u64) -> Option<f64> {
        if self.started.is_none() {
            let mut text = Vec::new();
            self.procfs.read("stat", &mut text).ok()?;
            let text = String::from_utf8_lossy(&text);
            let boot = text.lines().find_map(|l| l.strip_prefix("btime "))?;
            self.started = Some(boot.trim().parse::<f64>().ok()? + start_ticks as f64 / TICKS);
        }
        self.started
    }
}

/// Writes what is known of the rounds.
pub fn write_rounds(count: u64, seconds: f64, sink: &mut dyn Sink) {
    let name = "kubevigil_agent_build_info";
    let help = "A constant 1, labelled with the version of the agent.";
    sink.family(&Family { name, help, kind: Kind::Gauge, unit: "" });
    sink.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1.0, None);
    let help = "Rounds of collection; scrapes that come close together share one.";
    one(sink, "kubevigil_agent_rounds_total", help, Kind::Counter, count as f64);
    let help = "How often a thread of the agent panicked, which is a mistake in it.";
    one(sink, "kubevigil_panics_total", help, Kind::Counter, crate::log::panics() as f64);
    let help = "How long the newest round took.";
    one(sink, "kubevigil_agent_round_duration_seconds", help, Kind::Gauge, seconds);
}

fn one(sink: &mut dyn Sink, name: &str, help: &str, kind: Kind, value: f64) {
    sink.family(&Family { name, help, kind, unit: "" });
    sink.sample(name, &[], value, None);
}
