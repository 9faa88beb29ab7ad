//! The shape of a kubelet's `/metrics/cadvisor`: containers with the families that cAdvisor gives them, which
//! come and go.

use super::random::Random;
use super::target::Size;
use super::values::{Recording, Value};
use model::exposition::push_float;

/// Which labels a container's series carry.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Container,
    Pod,
    Failures,
}

type Fresh = fn(&mut Random) -> Value;

/// The families of a kubelet's `/metrics/cadvisor`, and how their values behave.
const FAMILIES: [(&str, &str, Of, Fresh); 40] = [
    ("container_cpu_usage_seconds_total", "counter", Of::Container, |r| {
        Value::Seconds(1e6 * (1e4 * r.unit()).round(), 3e6 * r.skewed())
    }),
    ("container_cpu_user_seconds_total", "counter", Of::Container, |r| {
        Value::Seconds(1e6 * (5e3 * r.unit()).round(), 2e6 * r.skewed())
    }),
    ("container_cpu_system_seconds_total", "counter", Of::Container, |r| {
        Value::Seconds(1e6 * (5e3 * r.unit()).round(), 1e6 * r.skewed())
    }),
    ("container_cpu_cfs_periods_total", "counter", Of::Container, |r| {
        Value::Events((1e6 * r.unit()).round(), 150.0 * r.skewed())
    }),
    ("container_cpu_cfs_throttled_periods_total", "counter", Of::Container, |r| {
        Value::Idle((1e3 * r.unit()).round(), 0.05)
    }),
    ("container_cpu_cfs_throttled_seconds_total", "counter", Of::Container, |_| {
        Value::Constant(0.0)
    }),
    ("container_cpu_load_average_10s", "gauge", Of::Container, |_| Value::Constant(0.0)),
    ("container_memory_usage_bytes", "gauge", Of::Container, |r| {
        Value::Pages(4096.0 * (1e5 * r.skewed()).round())
    }),
    ("container_memory_working_set_bytes", "gauge", Of::Container, |r| {
        Value::Pages(4096.0 * (1e5 * r.skewed()).round())
    }),
    ("container_memory_rss", "gauge", Of::Container, |r| {
        Value::Pages(4096.0 * (5e4 * r.skewed()).round())
    }),
    ("container_memory_cache", "gauge", Of::Container, |r| {
        Value::Pages(4096.0 * (5e4 * r.skewed()).round())
    }),
    ("container_memory_swap", "gauge", Of::Container, |_| Value::Constant(0.0)),
    ("container_memory_mapped_file", "gauge", Of::Container, |r| {
        Value::Constant(4096.0 * (1e3 * r.unit()).round())
    }),
    ("container_memory_max_usage_bytes", "gauge", Of::Container, |r| {
        Value::Constant(4096.0 * (2e5 * r.skewed()).round())
    }),
    ("container_memory_failcnt", "counter", Of::Container, |_| Value::Constant(0.0)),
    ("container_memory_kernel_usage", "gauge", Of::Container, |r| {
        Value::Pages(4096.0 * (1e3 * r.unit()).round())
    }),
    ("container_memory_failures_total", "counter", Of::Failures, |r| {
        if r.unit() < 0.5 {
            Value::Constant(0.0)
        } else {
            Value::Events((1e6 * r.unit()).round(), 30.0)
        }
    }),
    ("container_oom_events_total", "counter", Of::Container, |_| Value::Constant(0.0)),
    ("container_fs_reads_bytes_total", "counter", Of::Container, |r| {
        Value::Idle((1e8 * r.unit()).round(), 0.01)
    }),
    ("container_fs_writes_bytes_total", "counter", Of::Container, |r| {
        Value::Bytes(4096.0 * (1e6 * r.unit()).round(), 16384.0)
    }),
    ("container_fs_reads_total", "counter", Of::Container, |r| {
        Value::Idle((1e4 * r.unit()).round(), 0.01)
    }),
    ("container_fs_writes_total", "counter", Of::Container, |r| {
        Value::Idle((1e5 * r.unit()).round(), 0.3)
    }),
    ("container_file_descriptors", "gauge", Of::Container, |r| {
        Value::Constant((30.0 * r.unit()).round())
    }),
    ("container_processes", "gauge", Of::Container, |_| Value::Constant(1.0)),
    ("container_threads", "gauge", Of::Container, |r| Value::Constant((20.0 * r.unit()).round())),
    ("container_threads_max", "gauge", Of::Container, |_| Value::Constant(28410.0)),
    ("container_sockets", "gauge", Of::Container, |r| Value::Constant((5.0 * r.unit()).round())),
    ("container_ulimits_soft", "gauge", Of::Container, |_| Value::Constant(1048576.0)),
    ("container_last_seen", "gauge", Of::Container, |_| Value::Seen(1_790_000_000.0)),
    ("container_start_time_seconds", "gauge", Of::Container, |r| {
        Value::Constant(1_789_000_000.0 + (1e5 * r.unit()).round())
    }),
    ("container_spec_cpu_period", "gauge", Of::Container, |_| Value::Constant(100_000.0)),
    ("container_spec_cpu_shares", "gauge", Of::Container, |r| {
        Value::Constant((1024.0 * r.unit()).round())
    }),
    ("container_spec_memory_limit_bytes", "gauge", Of::Container, |r| {
        Value::Constant(1048576.0 * (1e3 * r.unit()).round())
    }),
    ("container_spec_memory_reservation_limit_bytes", "gauge", Of::Container, |_| {
        Value::Constant(0.0)
    }),
    ("container_network_receive_bytes_total", "counter", Of::Pod, |r| {
        Value::Bytes((1e9 * r.unit()).round(), 3e5 * r.skewed())
    }),
    ("container_network_transmit_bytes_total", "counter", Of::Pod, |r| {
        Value::Bytes((1e9 * r.unit()).round(), 3e5 * r.skewed())
    }),
    ("container_network_receive_packets_total", "counter", Of::Pod, |r| {
        Value::Events((1e6 * r.unit()).round(), 100.0 * r.skewed())
    }),
    ("container_network_transmit_packets_total", "counter", Of::Pod, |r| {
        Value::Events((1e6 * r.unit()).round(), 100.0 * r.skewed())
    }),
    ("container_network_receive_errors_total", "counter", Of::Pod, |_| Value::Constant(0.0)),
    ("container_network_receive_packets_dropped_total", "counter", Of::Pod, |_| {
        Value::Constant(0.0)
    }),
];

const FAILURES: [(&str, &str); 4] = [
    ("failure_type=\"pgfault\"", "scope=\"container\""),
    ("failure_type=\"pgfault\"", "scope=\"hierarchy\""),
    ("failure_type=\"pgmajfault\"", "scope=\"container\""),
    ("failure_type=\"pgmajfault\"", "scope=\"hierarchy\""),
];

struct Container {
    /// The labels of its series, without braces.
    labels: String,
    pod_labels: String,
    values: Vec<Value>,
}

/// What a container is called.
#[derive(Clone, Debug)]
pub struct Names {
    /// Of its namespace.
    pub namespace: String,
    /// Of the container, and of its workload.
    pub app: String,
    /// Of its pod.
    pub pod: String,
    uid: String,
    id: String,
}

impl Names {
    fn fresh(random: &mut Random) -> Names {
        let namespace = format!("team-{:02}", (random.unit() * 20.0) as usize);
        let app = format!("app-{:03}", (random.unit() * 200.0) as usize);
        let uid = format!("{:016x}{:016x}", random.next(), random.next());
        let id = format!("{}{:016x}{:016x}", uid, random.next(), random.next());
        let (set, one) = (random.next() & 0xf_ffff_ffff, random.next() & 0xf_ffff);
        let pod = format!("{app}-{set:09x}-{one:05x}");
        Names { namespace, app, pod, uid, id }
    }
}

/// A node's containers.
pub struct Containers {
    random: Random,
    size: Size,
    node: usize,
    made: usize,
    list: Vec<Container>,
}

/// One container in a hundred is another one after 240 scrapes, an hour at 15 s.
const CHURN: f64 = 0.01 / 240.0;
/// So many scrapes have their lines in another order.
const SHUFFLED: f64 = 0.05;

impl Containers {
    /// The containers of a node, before their first scrape.
    pub fn new(size: Size, node: usize) -> Containers {
        let random = Random::new(size.seed.wrapping_mul(1_000_003) ^ node as u64);
        let list = Vec::with_capacity(size.containers);
        let mut containers = Containers { random, size, node, made: 0, list };
        for _ in 0..size.containers {
            let container = containers.fresh().0;
            containers.list.push(container);
        }
        containers
    }

    /// What the containers are called with which a node begins.
    pub fn names(size: Size, node: usize) -> Vec<Names> {
        let empty = Size { containers: 0, ..size };
        let mut containers = Containers::new(empty, node);
        (0..size.containers).map(|_| containers.fresh().1).collect()
    }

    fn fresh(&mut self) -> (Container, Names) {
        let number = self.made;
        self.made += 1;
        let random = &mut self.random;
        let names = Names::fresh(random);
        let Names { namespace, app, pod, uid, id } = &names;
        let (node, path) = (self.node, &uid[..32]);
        let slice =
            format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{path}.slice");
        let labels = format!(
            "container=\"{app}\",id=\"{slice}/cri-containerd-{id}.scope\",image=\"registry.example/{namespace}/{app}:1.{number}\",name=\"{id}\",namespace=\"{namespace}\",node=\"node-{node:04}\",pod=\"{pod}\""
        );
        let pod_labels = format!(
            "id=\"{slice}\",image=\"registry.example/pause:3.10\",interface=\"eth0\",namespace=\"{namespace}\",node=\"node-{node:04}\",pod=\"{pod}\""
        );
        let mut values = Vec::new();
        for (_, _, of, fresh) in &FAMILIES {
            let count = if *of == Of::Failures { FAILURES.len() } else { 1 };
            for _ in 0..count {
                values.push(fresh(random).or_walk(self.size.floats, random));
            }
        }
        (Container { labels, pod_labels, values }, names)
    }

    /// The next scrape's answer; gives how many samples it has.
    pub fn scrape(&mut self, recording: &Recording, out: &mut Vec<u8>) -> u64 {
        for at in 0..self.list.len() {
            if self.random.unit() < CHURN {
                self.list[at] = self.fresh().0;
            }
        }
        let count = self.list.len().max(1);
        let shuffled = self.random.unit() < SHUFFLED;
        let first = if shuffled { (self.random.unit() * count as f64) as usize } else { 0 };
        let (mut samples, mut value) = (0, 0);
        for (name, kind, of, _) in &FAMILIES {
            out.extend_from_slice(
                format!("# HELP {name} As cAdvisor has it.\n# TYPE {name} {kind}\n").as_bytes(),
            );
            let parts = if *of == Of::Failures { FAILURES.len() } else { 1 };
            for i in 0..self.list.len() {
                let container = &mut self.list[(i + first) % count];
                for part in 0..parts {
                    let now = container.values[value + part].step(&mut self.random, recording);
                    out.extend_from_slice(name.as_bytes());
                    out.push(b'{');
                    let labels =
                        if *of == Of::Pod { &container.pod_labels } else { &container.labels };
                    if *of == Of::Failures {
                        let (begin, end) = labels.split_once(",id=").unwrap_or((labels, ""));
                        out.extend_from_slice(begin.as_bytes());
                        out.push(b',');
                        let (failure, scope) = FAILURES.get(part).copied().unwrap_or_default();
                        out.extend_from_slice(failure.as_bytes());
                        out.extend_from_slice(b",id=");
                        out.extend_from_slice(end.as_bytes());
                        out.push(b',');
                        out.extend_from_slice(scope.as_bytes());
                    } else {
                        out.extend_from_slice(labels.as_bytes());
                    }
                    out.extend_from_slice(b"} ");
                    push_float(out, now);
                    out.push(b'\n');
                    samples += 1;
                }
            }
            value += parts;
        }
        samples
    }
}
