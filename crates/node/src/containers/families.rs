//! cAdvisor's families: names, HELP, types, labels, zero rules and timestamps of v0.56 in its default
//! set, sorted by name as it prints them.
//!
//! Stated differences: what a group has no controller for is left out, where cAdvisor says 0 (so are
//! container_tasks_state and container_cpu_load_*, which are 0 without its load reader, and machine_nvm_*); labels without
//! a value are left out, and a container's series carry its own `container_label_*` only, where cAdvisor
//! prints the union of all; container_oom_events_total counts from the group's beginning; the
//! times of file systems are seconds (cAdvisor divides milliseconds by 10⁹).

use super::entry::Entry;
use super::machine::{DeviceName, Filesystem};
use super::network::*;
use super::state::State;
use kernel::cgroup::io::{Device, OPERATIONS, READ, WRITE};
use model::{Family, Kind, Sink};

const NS: f64 = 1e9;
const US: f64 = 1e6;
/// A memory limit above this is none (rounding by the kernel keeps it from being one number).
const UNLIMITED: u64 = 1 << 62;

/// A family with at most one sample a group.
type Plain = (&'static str, &'static str, Kind, fn(&Entry) -> Option<f64>);
/// A family of network counters.
type Counter = (&'static str, &'static str, usize);

/// Writes all of them.
pub(super) fn write(state: &State, sink: &mut dyn Sink) {
    let mut out = Out { state, sink, labels: Vec::new(), next: None };
    out.version();
    out.io_operations();
    out.plain(&CPU_1);
    out.cpu_usage();
    out.plain(&CPU_2);
    out.filesystems();
    out.plain(&MEMORY_1);
    out.memory_failures();
    out.plain(&MEMORY_2);
    out.network();
    out.plain(&REST);
    out.scrape_error(
        "container_scrape_error",
        "1 if there was an error while getting container metrics, 0 otherwise",
    );
    out.plain(&SPEC);
    out.own();
    out.machine();
}

static CPU_1: [Plain; 6] = [
    (
        "container_cpu_cfs_burst_periods_total",
        "Number of periods when burst occurs.",
        Kind::Counter,
        |e| e.throttling().map(|t| t.burst_periods as f64),
    ),
    (
        "container_cpu_cfs_burst_seconds_total",
        "Total time duration the container has been bursted.",
        Kind::Counter,
        |e| e.throttling().map(|t| t.burst_ns as f64 / NS),
    ),
    (
        "container_cpu_cfs_periods_total",
        "Number of elapsed enforcement period intervals.",
        Kind::Counter,
        |e| e.throttling().map(|t| t.periods as f64),
    ),
    (
        "container_cpu_cfs_throttled_periods_total",
        "Number of throttled period intervals.",
        Kind::Counter,
        |e| e.throttling().map(|t| t.throttled_periods as f64),
    ),
    (
        "container_cpu_cfs_throttled_seconds_total",
        "Total time duration the container has been throttled.",
        Kind::Counter,
        |e| e.throttling().map(|t| t.throttled_ns as f64 / NS),
    ),
    (
        "container_cpu_system_seconds_total",
        "Cumulative system cpu time consumed in seconds.",
        Kind::Counter,
        |e| e.reading.cpu.system_ns.map(|ns| ns as f64 / NS),
    ),
];

static CPU_2: [Plain; 1] = [(
    "container_cpu_user_seconds_total",
    "Cumulative user cpu time consumed in seconds.",
    Kind::Counter,
    |e| e.reading.cpu.user_ns.map(|ns| ns as f64 / NS),
)];

static MEMORY_1: [Plain; 4] = [
    ("container_health_state", "The result of the container's health check", Kind::Gauge, |e| {
        (e.reading.time_ms > 0).then_some(f64::from(e.meta.health))
    }),
    ("container_last_seen", "Last time a container was seen by the exporter", Kind::Gauge, |e| {
        (e.reading.time_ms > 0).then_some((e.reading.time_ms / 1000) as f64)
    }),
    ("container_memory_cache", "Number of bytes of page cache memory.", Kind::Gauge, |e| {
        e.reading.memory.cache.map(|v| v as f64)
    }),
    ("container_memory_failcnt", "Number of memory usage hits limits", Kind::Counter, |e| {
        e.reading.memory.failcnt.or(e.reading.memory.events.max).map(|v| v as f64)
    }),
];

static MEMORY_2: [Plain; 9] = [
    (
        "container_memory_kernel_usage",
        "Size of kernel memory allocated in bytes.",
        Kind::Gauge,
        |e| e.reading.memory.kernel.map(|v| v as f64),
    ),
    ("container_memory_mapped_file", "Size of memory mapped files in bytes.", Kind::Gauge, |e| {
        e.reading.memory.mapped_file.map(|v| v as f64)
    }),
    (
        "container_memory_max_usage_bytes",
        "Maximum memory usage recorded in bytes",
        Kind::Gauge,
        |e| e.reading.memory.peak.map(|v| v as f64),
    ),
    ("container_memory_rss", "Size of RSS in bytes.", Kind::Gauge, |e| {
        e.reading.memory.rss.map(|v| v as f64)
    }),
    ("container_memory_swap", "Container swap usage in bytes.", Kind::Gauge, |e| {
        e.reading.memory.swap.map(|v| v as f64)
    }),
    (
        "container_memory_total_active_file_bytes",
        "Current total active file in bytes.",
        Kind::Gauge,
        |e| e.reading.memory.active_file.map(|v| v as f64),
    ),
    (
        "container_memory_total_inactive_file_bytes",
        "Current total inactive file in bytes.",
        Kind::Gauge,
        |e| e.reading.memory.inactive_file.map(|v| v as f64),
    ),
    (
        "container_memory_usage_bytes",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        Kind::Gauge,
        |e| e.reading.memory.usage.map(|v| v as f64),
    ),
    ("container_memory_working_set_bytes", "Current working set in bytes.", Kind::Gauge, |e| {
        e.reading.memory.working_set().map(|v| v as f64)
    }),
];

const NETWORK: [Counter; 8] = [
    ("container_network_receive_bytes_total", "Cumulative count of bytes received", RECEIVE_BYTES),
    (
        "container_network_receive_errors_total",
        "Cumulative count of errors encountered while receiving",
        RECEIVE_ERRORS,
    ),
    (
        "container_network_receive_packets_dropped_total",
        "Cumulative count of packets dropped while receiving",
        RECEIVE_DROPPED,
    ),
    (
        "container_network_receive_packets_total",
        "Cumulative count of packets received",
        RECEIVE_PACKETS,
    ),
    (
        "container_network_transmit_bytes_total",
        "Cumulative count of bytes transmitted",
        TRANSMIT_BYTES,
    ),
    (
        "container_network_transmit_errors_total",
        "Cumulative count of errors encountered while transmitting",
        TRANSMIT_ERRORS,
    ),
    (
        "container_network_transmit_packets_dropped_total",
        "Cumulative count of packets dropped while transmitting",
        TRANSMIT_DROPPED,
    ),
    (
        "container_network_transmit_packets_total",
        "Cumulative count of packets transmitted",
        TRANSMIT_PACKETS,
    ),
];

static REST: [Plain; 7] = [
    (
        "container_oom_events_total",
        "Count of out of memory events observed for the container",
        Kind::Counter,
        |e| e.reading.memory.events.oom_kill.map(|v| v as f64),
    ),
    (
        "container_pressure_cpu_stalled_seconds_total",
        "Total time duration no tasks in the container could make progress due to CPU congestion.",
        Kind::Counter,
        |e| e.stalled(0),
    ),
    (
        "container_pressure_cpu_waiting_seconds_total",
        "Total time duration tasks in the container have waited due to CPU congestion.",
        Kind::Counter,
        |e| e.waiting(0),
    ),
    (
        "container_pressure_io_stalled_seconds_total",
        "Total time duration no tasks in the container could make progress due to IO congestion.",
        Kind::Counter,
        |e| e.stalled(2),
    ),
    (
        "container_pressure_io_waiting_seconds_total",
        "Total time duration tasks in the container have waited due to IO congestion.",
        Kind::Counter,
        |e| e.waiting(2),
    ),
    (
        "container_pressure_memory_stalled_seconds_total",
        "Total time duration no tasks in the container could make progress due to memory congestion.",
        Kind::Counter,
        |e| e.stalled(1),
    ),
    (
        "container_pressure_memory_waiting_seconds_total",
        "Total time duration tasks in the container have waited due to memory congestion.",
        Kind::Counter,
        |e| e.waiting(1),
    ),
];

/// Samples without a time of their own.
static SPEC: [Plain; 7] = [
    ("container_spec_cpu_period", "CPU period of the container.", Kind::Gauge, |e| {
        e.reading.cpu_limits.map(|l| l.period_us.unwrap_or(0) as f64)
    }),
    ("container_spec_cpu_quota", "CPU quota of the container.", Kind::Gauge, |e| {
        e.reading.cpu_limits?.quota_us.filter(|&q| q > 0).map(|v| v as f64)
    }),
    ("container_spec_cpu_shares", "CPU share of the container.", Kind::Gauge, |e| {
        e.reading.cpu_limits.map(|l| l.shares.unwrap_or(0) as f64)
    }),
    ("container_spec_memory_limit_bytes", "Memory limit for the container.", Kind::Gauge, |e| {
        e.reading.memory_limits.map(|l| limit(l.limit))
    }),
    (
        "container_spec_memory_reservation_limit_bytes",
        "Memory reservation limit for the container.",
        Kind::Gauge,
        |e| e.reading.memory_limits.map(|l| limit(l.reservation)),
    ),
    (
        "container_spec_memory_swap_limit_bytes",
        "Memory swap limit for the container.",
        Kind::Gauge,
        |e| e.reading.memory_limits.map(|l| limit(l.swap_limit)),
    ),
    (
        "container_start_time_seconds",
        "Start time of the container since unix epoch in seconds.",
        Kind::Gauge,
        |e| Some(e.started_ms.div_euclid(1000) as f64),
    ),
];

fn limit(bytes: Option<u64>) -> f64 {
    bytes.filter(|&b| b <= UNLIMITED).unwrap_or(0) as f64
}

/// Of a device: bytes or requests of one operation; `None` where the kernel does not count that.
type OfDevice = fn(&Device) -> Option<f64>;
/// Of a file system of the root group.
type OfFilesystem = fn(&Filesystem) -> f64;
type Fs = (&'static str, &'static str, Kind, Option<OfDevice>, Option<OfFilesystem>);

fn bytes(device: &Device, operation: usize) -> Option<f64> {
    let any = device.bytes.iter().any(Option::is_some);
    any.then(|| device.bytes[operation].unwrap_or(0) as f64)
}

fn requests(device: &Device, operation: usize) -> Option<f64> {
    let any = device.operations.iter().any(Option::is_some);
    any.then(|| device.operations[operation].unwrap_or(0) as f64)
}

const MS: f64 = 1e3;
#[rustfmt::skip]
const FILESYSTEM: [Fs; 21] = [
    ("container_fs_inodes_free", "Number of available Inodes", Kind::Gauge, None, Some(|f| f.inodes_free)),
    ("container_fs_inodes_total", "Number of Inodes", Kind::Gauge, None, Some(|f| f.inodes)),
    ("container_fs_io_cost_indebt_seconds_total", "Cumulative IOCost debt in seconds", Kind::Counter, Some(|d| Some(d.cost?[2] as f64 / US)), None),
    ("container_fs_io_cost_indelay_seconds_total", "Cumulative IOCost delay in seconds", Kind::Counter, Some(|d| Some(d.cost?[3] as f64 / US)), None),
    ("container_fs_io_cost_usage_seconds_total", "Cumulative IOCost usage in seconds", Kind::Counter, Some(|d| Some(d.cost?[0] as f64 / US)), None),
    ("container_fs_io_cost_wait_seconds_total", "Cumulative IOCost wait in seconds", Kind::Counter, Some(|d| Some(d.cost?[1] as f64 / US)), None),
    ("container_fs_io_current", "Number of I/Os currently in progress", Kind::Gauge, None, Some(|f| f.disk[8] as f64)),
    ("container_fs_io_time_seconds_total", "Cumulative count of seconds spent doing I/Os", Kind::Counter, None, Some(|f| f.disk[9] as f64 / MS)),
    ("container_fs_io_time_weighted_seconds_total", "Cumulative weighted I/O time in seconds", Kind::Counter, None, Some(|f| f.disk[10] as f64 / MS)),
    ("container_fs_limit_bytes", "Number of bytes that can be consumed by the container on this filesystem.", Kind::Gauge, None, Some(|f| f.limit_bytes)),
    ("container_fs_read_seconds_total", "Cumulative count of seconds spent reading", Kind::Counter, None, Some(|f| f.disk[3] as f64 / MS)),
    ("container_fs_reads_bytes_total", "Cumulative count of bytes read", Kind::Counter, Some(|d| bytes(d, READ)), None),
    ("container_fs_reads_merged_total", "Cumulative count of reads merged", Kind::Counter, None, Some(|f| f.disk[1] as f64)),
    ("container_fs_reads_total", "Cumulative count of reads completed", Kind::Counter, Some(|d| requests(d, READ)), Some(|f| f.disk[0] as f64)),
    ("container_fs_sector_reads_total", "Cumulative count of sector reads completed", Kind::Counter, None, Some(|f| f.disk[2] as f64)),
    ("container_fs_sector_writes_total", "Cumulative count of sector writes completed", Kind::Counter, None, Some(|f| f.disk[6] as f64)),
    ("container_fs_usage_bytes", "Number of bytes that are consumed by the container on this filesystem.", Kind::Gauge, None, Some(|f| f.usage_bytes)),
    ("container_fs_write_seconds_total", "Cumulative count of seconds spent writing", Kind::Counter, None, Some(|f| f.disk[7] as f64 / MS)),
    ("container_fs_writes_bytes_total", "Cumulative count of bytes written", Kind::Counter, Some(|d| bytes(d, WRITE)), None),
    ("container_fs_writes_merged_total", "Cumulative count of writes merged", Kind::Counter, None, Some(|f| f.disk[5] as f64)),
    ("container_fs_writes_total", "Cumulative count of writes completed", Kind::Counter, Some(|d| requests(d, WRITE)), Some(|f| f.disk[4] as f64)),
];

/// A sink with the labels of the sample that is written.
struct Out<'a> {
    state: &'a State,
    sink: &'a mut dyn Sink,
    labels: Vec<(&'a str, &'a str)>,
    /// The family that begins with the next sample: one without samples is not written.
    next: Option<Family<'static>>,
}

impl<'a> Out<'a> {
    fn family(&mut self, name: &'static str, help: &'static str, kind: Kind) {
        self.next = Some(Family { name, help, kind, unit: "" });
    }

    /// Writes a sample with `self.labels`.
    fn put(&mut self, name: &str, value: f64, time_ms: Option<i64>) {
        if let Some(family) = self.next.take() {
            self.sink.family(&family);
        }
        self.sink.sample(name, &self.labels, value, time_ms);
    }

    fn sample(&mut self, name: &str, entry: &'a Entry, own: &[(&'a str, &'a str)], value: f64) {
        entry.labels.merge(own, &mut self.labels);
        self.put(name, value, Some(entry.reading.time_ms));
    }

    fn plain(&mut self, families: &'static [Plain]) {
        for (name, help, kind, value) in families {
            let timeless = name.starts_with("container_sp") || name.starts_with("container_st");
            self.family(name, help, *kind);
            for entry in self.state.shown() {
                let Some(value) = value(entry) else { continue };
                entry.labels.merge(&[], &mut self.labels);
                let time_ms = (!timeless).then_some(entry.reading.time_ms);
                self.put(name, value, time_ms);
            }
        }
    }

    /// By CPU where the kernel says so (v1), and only CPUs that were used.
    fn cpu_usage(&mut self) {
        const NAME: &str = "container_cpu_usage_seconds_total";
        self.family(NAME, "Cumulative cpu time consumed in seconds.", Kind::Counter);
        let state = self.state;
        for entry in state.shown() {
            let cpu = &entry.reading.cpu;
            if cpu.per_cpu_ns.is_empty() {
                let Some(ns) = cpu.usage_ns.filter(|&ns| ns > 0) else { continue };
                self.sample(NAME, entry, &[("cpu", "total")], ns as f64 / NS);
            }
            for (ns, name) in cpu.per_cpu_ns.iter().zip(&state.cpu_names) {
                if *ns > 0 {
                    self.sample(NAME, entry, &[("cpu", name)], *ns as f64 / NS);
                }
            }
        }
    }

    fn memory_failures(&mut self) {
        const NAME: &str = "container_memory_failures_total";
        self.family(NAME, "Cumulative count of memory allocation failures.", Kind::Counter);
        let state = self.state;
        for entry in state.shown() {
            let memory = &entry.reading.memory;
            for scope in ["container", "hierarchy"] {
                let faults =
                    [("pgfault", memory.page_faults), ("pgmajfault", memory.major_page_faults)];
                for (kind, count) in faults {
                    let Some(count) = count else { continue };
                    self.sample(
                        NAME,
                        entry,
                        &[("failure_type", kind), ("scope", scope)],
                        count as f64,
                    );
                }
            }
        }
    }

    fn io_operations(&mut self) {
        const NAME: &str = "container_blkio_device_usage_total";
        self.family(NAME, "Blkio Device bytes usage", Kind::Counter);
        let state = self.state;
        for entry in state.shown() {
            for device in entry.reading.io.iter().flatten() {
                let Some(DeviceName { path, major, minor }) =
                    state.devices.get(device.major, device.minor)
                else {
                    continue;
                };
                for (operation, bytes) in OPERATIONS.iter().zip(device.bytes) {
                    let Some(bytes) = bytes else { continue };
                    let own = [
                        ("device", path.as_str()),
                        ("major", major),
                        ("minor", minor),
                        ("operation", operation),
                    ];
                    self.sample(NAME, entry, own.strip_empty(), bytes as f64);
                }
            }
        }
    }

    fn filesystems(&mut self) {
        let state = self.state;
        for (name, help, kind, of_device, of_filesystem) in FILESYSTEM {
            self.family(name, help, kind);
            for entry in state.shown() {
                for device in entry.reading.io.iter().flatten().filter(|_| of_device.is_some()) {
                    let Some(value) = of_device.and_then(|of| of(device)) else { continue };
                    let Some(found) = state.devices.get(device.major, device.minor) else {
                        continue;
                    };
                    self.sample(
                        name,
                        entry,
                        [("device", found.path.as_str())].strip_empty(),
                        value,
                    );
                }
                // A container's own file system: its space; the disk's counters are the machine's.
                let filesystems = match (entry.is_root(), &entry.filesystem) {
                    (true, _) => &state.filesystems.all[..],
                    (false, Some(own)) if is_space(name) => std::slice::from_ref(own),
                    _ => &[],
                };
                for fs in filesystems.iter().filter(|_| of_filesystem.is_some()) {
                    let Some(of) = of_filesystem else { continue };
                    self.sample(name, entry, &[("device", &fs.device)], of(fs));
                }
            }
        }
    }

    fn network(&mut self) {
        let state = self.state;
        for (name, help, counter) in NETWORK {
            self.family(name, help, Kind::Counter);
            for entry in state.shown() {
                for interface in entry.reading.network.iter().flatten() {
                    let own = [("interface", interface.name.as_str())];
                    self.sample(name, entry, &own, interface.counters[counter] as f64);
                }
            }
        }
    }

    fn scrape_error(&mut self, name: &'static str, help: &'static str) {
        self.family(name, help, Kind::Gauge);
        let error = name.starts_with("container") && self.state.failed();
        self.labels.clear();
        self.put(name, f64::from(error), None);
    }

    fn version(&mut self) {
        const NAME: &str = "cadvisor_version_info";
        const HELP: &str = "A metric with a constant '1' value labeled by kernel version, OS version, docker version, cadvisor version & cadvisor revision.";
        self.family(NAME, HELP, Kind::Gauge);
        let machine = &self.state.machine;
        let labels = [
            ("cadvisorVersion", concat!("kubevigil-", env!("CARGO_PKG_VERSION"))),
            ("kernelVersion", machine.kernel_version.as_str()),
            ("osVersion", machine.os_version.as_str()),
        ];
        self.labels.clear();
        self.labels.extend(labels);
        self.put(NAME, 1.0, None);
    }

    /// What cAdvisor does not have: how many ended groups were read once more when they fell empty.
    fn own(&mut self) {
        const NAME: &str = "kubevigil_node_final_readings_total";
        self.family(
            NAME,
            "Control groups that ended, by whether they could be read after their last process.",
            Kind::Counter,
        );
        let counts = self.state.final_readings;
        for (result, count) in [("late", counts.late), ("taken", counts.taken)] {
            self.labels.clear();
            self.labels.push(("result", result));
            self.put(NAME, count as f64, None);
        }
    }

    fn machine(&mut self) {
        let m = &self.state.machine;
        #[rustfmt::skip]
        let families: [(&'static str, &'static str, u64); 8] = [
            ("machine_cpu_books", "Number of CPU books.", 0),
            ("machine_cpu_cores", "Number of logical CPU cores.", m.cores),
            ("machine_cpu_drawers", "Number of CPU drawers.", 0),
            ("machine_cpu_physical_cores", "Number of physical CPU cores.", m.physical_cores),
            ("machine_cpu_sockets", "Number of CPU sockets.", m.sockets),
            ("machine_memory_bytes", "Amount of memory installed on the machine.", m.memory_bytes),
            ("machine_scrape_error", "1 if there was an error while getting machine metrics, 0 otherwise.", 0),
            ("machine_swap_bytes", "Amount of swap memory available on the machine.", m.swap_bytes),
        ];
        let base = [
            ("boot_id", m.boot_id.as_str()),
            ("machine_id", m.machine_id.as_str()),
            ("system_uuid", m.system_uuid.as_str()),
        ];
        for (name, help, value) in families {
            if name == "machine_scrape_error" {
                self.scrape_error(name, help);
                continue;
            }
            self.family(name, help, Kind::Gauge);
            self.labels.clear();
            self.labels.extend(base.into_iter().filter(|l| !l.1.is_empty()));
            self.put(name, value as f64, None);
        }
    }
}

fn is_space(name: &str) -> bool {
    matches!(
        name,
        "container_fs_inodes_free"
            | "container_fs_inodes_total"
            | "container_fs_limit_bytes"
            | "container_fs_usage_bytes"
    )
}

/// Own labels of which only the first, `device`, may be empty.
trait StripEmpty<'a> {
    fn strip_empty(&self) -> &[(&'a str, &'a str)];
}

impl<'a, const N: usize> StripEmpty<'a> for [(&'a str, &'a str); N] {
    fn strip_empty(&self) -> &[(&'a str, &'a str)] {
        if self[0].1.is_empty() { &self[1..] } else { self }
    }
}
