//! What a hollow node's kubelet says at a time: a pure function of shape, node and time.
//!
//! CPU counters are integrals in closed form, so that they never go back and any two readings agree on what
//! was used between them.

use crate::fleet::{Fault, Fleet, Pod, mix};
use std::f64::consts::TAU;
use std::fmt::Write;

const MIB: f64 = 1048576.0;
/// When the oldest processes began: 2023-11-14.
const BEGINNING_MS: i64 = 1_700_000_000_000;

/// What a container has used.
struct Measured {
    start_ms: i64,
    time_ms: i64,
    cpu_seconds: f64,
    memory_bytes: f64,
}

/// A number between 0 and 1 that follows from a seed.
fn unit(seed: u64, salt: u64) -> f64 {
    (mix(seed ^ mix(salt)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// When a container was measured last.
fn measured_ms(fleet: &Fleet, seed: u64, now_ms: i64) -> i64 {
    let each = fleet.shape().housekeeping_ms.max(1);
    let phase = (seed % each as u64) as i64;
    now_ms - (now_ms - phase).rem_euclid(each)
}

fn container(fleet: &Fleet, seed: u64, now_ms: i64) -> Measured {
    let constant = fleet.shape().constant;
    let time_ms = measured_ms(fleet, seed, now_ms);
    // One in forty restarts, each few minutes.
    let restarts = !constant && mix(seed).is_multiple_of(40);
    let start_ms = if restarts {
        let period = 180_000 + (mix(seed ^ 7) % 240_000) as i64;
        time_ms - (time_ms + (seed % 100_000) as i64).rem_euclid(period)
    } else {
        BEGINNING_MS + (seed % 3_600_000) as i64
    };
    // From a thousandth of a core to half a core, most of them small.
    let cores = 0.001 * 500_f64.powf(unit(seed, 1));
    let memory = 8.0 * MIB * 64_f64.powf(unit(seed, 2));
    let elapsed = (time_ms - start_ms) as f64 / 1000.0;
    if constant {
        let cpu_seconds = cores * elapsed;
        return Measured { start_ms, time_ms, cpu_seconds, memory_bytes: memory.round() };
    }
    // Swings by a half around the mean, over minutes; the integral of 1 + sin(at) / 2.
    let period = 60.0 + 540.0 * unit(seed, 3);
    let phase = TAU * unit(seed, 4);
    let swing = |t: f64| -0.5 * period / TAU * (TAU * t / period + phase).cos();
    let cpu_seconds = cores * (elapsed + swing(elapsed) - swing(0.0));
    let wave = 1.0 + 0.1 * (TAU * elapsed / period + phase).sin();
    Measured { start_ms, time_ms, cpu_seconds, memory_bytes: (memory * wave).round() }
}

/// The text that a node's kubelet answers.
pub(crate) fn exposition(fleet: &Fleet, node: usize, now_ms: i64) -> String {
    let late = fleet.fault(node) == Fault::Late;
    let now_ms = if late { now_ms - 3_600_000 } else { now_ms };
    let pods: Vec<Pod> = fleet.pods(node).collect();
    let mut all = Vec::with_capacity(pods.len() * fleet.containers().len());
    for (at, name) in fleet.containers().iter().enumerate() {
        for pod in &pods {
            let measured = container(fleet, mix(pod.seed ^ at as u64), now_ms);
            let without = pod.partial && at + 1 == fleet.containers().len();
            all.push((*name, pod, measured, without));
        }
    }
    // As a registry of Prometheus's writes it: sorted by container, namespace and pod.
    all.sort_by(|a, b| (a.0, &a.1.namespace, &a.1.name).cmp(&(b.0, &b.1.namespace, &b.1.name)));
    let mut out = String::with_capacity(500 * all.len() + 2048);
    let head = |out: &mut String, name: &str, kind: &str, help: &str| {
        let _ = writeln!(out, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}");
    };
    let name = "container_cpu_usage_seconds_total";
    head(
        &mut out,
        name,
        "counter",
        "Cumulative cpu time consumed by the container in core-seconds",
    );
    for (container, pod, measured, without) in &all {
        let seconds = if *without { 0.0 } else { measured.cpu_seconds };
        line(&mut out, name, container, pod, seconds, Some(measured.time_ms));
    }
    let name = "container_memory_working_set_bytes";
    head(&mut out, name, "gauge", "Current working set of the container in bytes");
    for (container, pod, measured, without) in &all {
        let bytes = if *without { 0.0 } else { measured.memory_bytes };
        line(&mut out, name, container, pod, bytes, Some(measured.time_ms));
    }
    let name = "container_start_time_seconds";
    head(&mut out, name, "gauge", "Start time of the container since unix epoch in seconds");
    for (container, pod, measured, _) in &all {
        line(&mut out, name, container, pod, measured.start_ms as f64 / 1000.0, None);
    }
    let time_ms = measured_ms(fleet, node as u64 * 977, now_ms);
    let (cpu, memory) = node_totals(fleet, &pods, node, time_ms);
    let name = "node_cpu_usage_seconds_total";
    head(&mut out, name, "counter", "Cumulative cpu time consumed by the node in core-seconds");
    let _ = writeln!(out, "{name} {cpu} {time_ms}");
    let name = "node_memory_working_set_bytes";
    head(&mut out, name, "gauge", "Current working set of the node in bytes");
    let _ = writeln!(out, "{name} {memory} {time_ms}");
    let name = "resource_scrape_error";
    head(
        &mut out,
        name,
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
    );
    let _ = writeln!(out, "{name} 0");
    out
}

/// What the node itself uses: a fixed part and what its containers use on the average. Restarts do not
/// take anything back.
fn node_totals(fleet: &Fleet, pods: &[Pod], node: usize, time_ms: i64) -> (f64, f64) {
    let elapsed = (time_ms - BEGINNING_MS) as f64 / 1000.0;
    let (mut cores, mut memory) = (0.05 + 0.1 * unit(node as u64, 5), 300.0 * MIB);
    for pod in pods {
        for at in 0..fleet.containers().len() {
            let seed = mix(pod.seed ^ at as u64);
            cores += 0.001 * 500_f64.powf(unit(seed, 1));
            memory += 8.0 * MIB * 64_f64.powf(unit(seed, 2));
        }
    }
    (cores * elapsed, memory.round())
}

fn line(
    out: &mut String,
    name: &str,
    container: &str,
    pod: &Pod,
    value: f64,
    time_ms: Option<i64>,
) {
    let Pod { namespace, name: pod_name, .. } = pod;
    out.push_str(name);
    for part in
        ["{container=\"", container, "\",namespace=\"", namespace, "\",pod=\"", pod_name, "\"} "]
    {
        out.push_str(part);
    }
    let _ = write!(out, "{value}");
    if let Some(time_ms) = time_ms {
        out.push(' ');
        out.push_str(itoa::Buffer::new().format(time_ms));
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Faults, Shape};

    fn fleet(constant: bool, faults: Faults) -> Fleet {
        Fleet::new(Shape {
            nodes: 3,
            pods_per_node: 10,
            containers_per_pod: 2,
            seed: 7,
            first_address: [127, 20, 0, 1].into(),
            port: 10250,
            constant,
            housekeeping_ms: 10_000,
            faults,
        })
        .unwrap()
    }

    #[test]
    fn the_core_pipeline_reads_it() {
        for constant in [true, false] {
            let fleet = fleet(constant, Faults::default());
            let store = resource::Store::new(resource::Options::default());
            let mut served = 0;
            for round in 0..40 {
                let text = exposition(&fleet, 1, 1_800_000_000_000 + 15_000 * round);
                let mut reading = resource::parse(text.as_bytes(), 0, 0).unwrap();
                assert_eq!(reading.containers.len(), 20);
                store.apply("n", &mut reading);
                let view = store.view();
                for pod in fleet.pods(1) {
                    let Some(found) = view.pod(&pod.namespace, &pod.name) else { continue };
                    for (_, usage) in found.containers() {
                        served += 1;
                        assert!(usage.cpu_nanocores < 760_000_000, "{usage:?}");
                        assert!(usage.memory_bytes > 7 << 20, "{usage:?}");
                    }
                }
            }
            // All but the first round and a few restarts.
            assert!(served > 37 * 20, "{served}");
        }
    }

    #[test]
    fn a_constant_fleet_uses_the_same_at_all_times() {
        let fleet = fleet(true, Faults::default());
        let store = resource::Store::new(resource::Options::default());
        let mut before = None;
        for round in 0..6 {
            let text = exposition(&fleet, 0, 1_800_000_000_000 + 15_000 * round);
            store.apply("n", &mut resource::parse(text.as_bytes(), 0, 0).unwrap());
            let Some(usage) = store.view().node("n") else { continue };
            let now = usage.cpu_nanocores as f64;
            let same = (now - *before.get_or_insert(now)).abs() / now;
            assert!(same < 1e-6, "{same}");
        }
        assert!(before.is_some());
    }

    #[test]
    fn faults_are_where_they_should_be() {
        let faults = Faults { partial: 1, late: 1, ..Faults::default() };
        let fleet = fleet(false, faults);
        let now_ms = 1_800_000_000_000;
        let read = |node| {
            let text = exposition(&fleet, node, now_ms);
            let reading = resource::parse(text.as_bytes(), 0, 0).unwrap();
            let broken = reading.containers.iter().filter(|c| !c.sample.is_whole()).count();
            (broken, (now_ms * 1_000_000 - reading.node.time_ns) / 1_000_000_000)
        };
        assert_eq!(read(0).0, 2);
        let (broken, behind) = read(1);
        assert!(broken == 0 && behind >= 3600, "{broken} {behind}");
        let (broken, behind) = read(2);
        assert!(broken == 0 && behind <= 10, "{broken} {behind}");
    }
}
