//! The shape of kube-state-metrics for the pods of one node, and of what the recording rules that everybody
//! runs make of it: dashboards ask for these. Pods that go stay known here.

use super::containers::{Containers, Names};
use super::random::Random;
use super::target::Size;
use super::values::{Recording, Value};
use model::exposition::push_float;

/// What is known of a node's pods.
pub struct State {
    random: Random,
    /// Each series as a line begins with it, and its value.
    series: Vec<(String, Value)>,
}

impl State {
    /// The state of a node's pods, before its first scrape.
    pub fn new(size: Size, node: usize) -> State {
        let mut state = State {
            random: Random::new(size.seed.wrapping_mul(17_000_003) ^ ((node as u64) << 3)),
            series: Vec::new(),
        };
        state.of_node(node);
        for names in Containers::names(size, node) {
            state.of_pod(node, &names);
        }
        state
    }

    fn add(&mut self, series: String, value: Value) {
        self.series.push((series, value));
    }

    fn of_node(&mut self, node: usize) {
        let node = format!("node=\"node-{node:04}\"");
        self.add(format!("kube_node_info{{{node},kernel_version=\"6.18\"}}"), Value::Constant(1.0));
        for (resource, unit, value) in
            [("cpu", "core", 16.0), ("memory", "byte", 64.0 * 1e9), ("pods", "integer", 110.0)]
        {
            for name in ["kube_node_status_allocatable", "kube_node_status_capacity"] {
                let series = format!("{name}{{{node},resource=\"{resource}\",unit=\"{unit}\"}}");
                self.add(series, Value::Constant(value));
            }
        }
        let ready =
            format!("kube_node_status_condition{{condition=\"Ready\",{node},status=\"true\"}}");
        self.add(ready, Value::Constant(1.0));
    }

    fn of_pod(&mut self, node: usize, names: &Names) {
        let Names { namespace, app, pod, .. } = names;
        let of_pod = format!("namespace=\"{namespace}\",pod=\"{pod}\"");
        let of_container = format!("container=\"{app}\",{of_pod}");
        let node = format!("node=\"node-{node:04}\"");
        let constant = Value::Constant;
        for (series, value) in [
            (format!("kube_pod_info{{{of_pod},{node},host_ip=\"10.0.0.1\"}}"), 1.0),
            (
                format!(
                    "kube_pod_owner{{{of_pod},owner_kind=\"ReplicaSet\",owner_name=\"{app}\"}}"
                ),
                1.0,
            ),
            (format!("kube_pod_created{{{of_pod}}}"), 1_789_000_000.0),
            (format!("kube_pod_start_time{{{of_pod}}}"), 1_789_000_003.0),
            (format!("kube_pod_container_info{{{of_container},image=\"{app}:1\"}}"), 1.0),
            (format!("kube_pod_container_status_ready{{{of_container}}}"), 1.0),
            (format!("kube_pod_container_status_running{{{of_container}}}"), 1.0),
            (
                format!(
                    "namespace_workload_pod:kube_pod_owner:relabel{{{of_pod},workload=\"{app}\",workload_type=\"deployment\"}}"
                ),
                1.0,
            ),
        ] {
            self.add(series, constant(value));
        }
        for phase in ["Pending", "Succeeded", "Failed", "Unknown", "Running"] {
            let value = if phase == "Running" { 1.0 } else { 0.0 };
            self.add(
                format!("kube_pod_status_phase{{{of_pod},phase=\"{phase}\"}}"),
                constant(value),
            );
        }
        for (name, factor) in [("requests", 1.0), ("limits", 2.0)] {
            for (resource, unit, value) in
                [("cpu", "core", 0.25), ("memory", "byte", 268_435_456.0)]
            {
                let series = format!(
                    "kube_pod_container_resource_{name}{{{of_container},{node},resource=\"{resource}\",unit=\"{unit}\"}}"
                );
                self.add(series, constant(value * factor));
                let (short, of) = (if resource == "cpu" { "cpu" } else { "memory" }, name);
                let recorded = format!(
                    "cluster:namespace:pod_{short}:active:kube_pod_container_resource_{of}{{{of_container},{node}}}"
                );
                self.add(recorded, constant(value * factor));
            }
        }
        let restarts = format!("kube_pod_container_status_restarts_total{{{of_container}}}");
        self.add(restarts, Value::Idle(0.0, 0.000_5));
        let cpu = self.random.skewed() * 1e5;
        let pages = 4096.0 * (1e5 * self.random.skewed()).round();
        let recorded =
            |name: &str| format!("node_namespace_pod_container:{name}{{{of_container},{node}}}");
        let cpu_name = recorded("container_cpu_usage_seconds_total:sum_rate5m");
        self.add(cpu_name, Value::Walk(cpu / 1e6));
        self.add(recorded("container_memory_working_set_bytes"), Value::Pages(pages));
        self.add(recorded("container_memory_rss"), Value::Pages(pages / 2.0));
    }

    /// The next scrape's answer; gives how many samples it has.
    pub fn scrape(&mut self, recording: &Recording, out: &mut Vec<u8>) -> u64 {
        for (series, value) in &mut self.series {
            out.extend_from_slice(series.as_bytes());
            out.push(b' ');
            push_float(out, value.step(&mut self.random, recording));
            out.push(b'\n');
        }
        self.series.len() as u64
    }
}
