//! Pods that use a known amount of CPU and memory, and a record of what the kernel counted of each.

use super::{Namespace, until};
use crate::cgroup::Group;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A container of a load: it loops until its limit stops it, and holds some memory.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its limit of CPU, in thousandths of a core; it uses all of it while the machine has it.
    pub cpu_milli: u64,
    /// MiB that it holds, about twice over while it takes them.
    pub memory_mib: u64,
}

/// The YAML of a pod with these containers. Once a file /tmp/rest is in a container, it rests for good.
pub fn pod(name: &str, containers: &[Container]) -> String {
    let mut yaml = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}, load: \"true\"}}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n"
    );
    for container in containers {
        yaml += &container_yaml(container, "  ");
    }
    yaml
}

/// The YAML of a Deployment of one replica.
pub fn deployment(name: &str, container: &Container) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 1\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      terminationGracePeriodSeconds: 0\n      containers:\n{}",
        container_yaml(container, "      ")
    )
}

fn container_yaml(container: &Container, indent: &str) -> String {
    let Container { name, cpu_milli, memory_mib } = container;
    let bytes = memory_mib * 1024 * 1024;
    let limit = memory_mib * 5 + 32;
    let request = cpu_milli / 2;
    [
        format!("- name: {name}"),
        "  image: localhost/busybox:1".into(),
        "  imagePullPolicy: Never".into(),
        "  command:".into(),
        "  - sh".into(),
        "  - -c".into(),
        format!(
            "  - held=$(head -c {bytes} /dev/zero | tr '\\000' x); while :; do if [ -e /tmp/rest ]; then sleep 86400; fi; done"
        ),
        format!(
            "  resources: {{requests: {{cpu: {request}m, memory: 16Mi}}, limits: {{cpu: {cpu_milli}m, memory: {limit}Mi}}}}"
        ),
    ]
    .iter()
    .map(|line| format!("{indent}{line}\n"))
    .collect()
}

/// What the kernel counted of containers, ten times a second.
pub struct Record {
    book: Book,
    ended: Arc<AtomicBool>,
}

/// Counts by pod and container, in the order of time.
type Book = Arc<Mutex<BTreeMap<(String, String), Vec<Count>>>>;

#[derive(Clone, Copy)]
struct Count {
    at: f64,
    cpu_seconds: f64,
    working_set: f64,
}

impl Record {
    /// Waits until all pods of a namespace that match a selector run, and counts from then on.
    pub fn start(namespace: &Namespace, selector: &str, pods: usize) -> Result<Record> {
        let groups = until("the load's pods", Duration::from_secs(60), || {
            let running = namespace.pods(selector)?;
            let groups: Vec<_> = running
                .iter()
                .map(|pod| groups_of(&namespace.cluster.group(), pod))
                .collect::<Result<_>>()?;
            ensure!(groups.len() == pods, "{} of {pods} pods", groups.len());
            Ok(groups.concat())
        })?;
        let (book, ended) = (Book::default(), Arc::new(AtomicBool::new(false)));
        let record = Record { book: book.clone(), ended: ended.clone() };
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                for (name, group) in &groups {
                    let (Ok(cpu_seconds), Ok(working_set)) =
                        (group.cpu_seconds(), group.memory_working_set())
                    else {
                        continue; // it ended; what was counted stays
                    };
                    let count = Count { at: now(), cpu_seconds, working_set: working_set as f64 };
                    if let Ok(mut book) = book.lock() {
                        book.entry(name.clone()).or_default().push(count);
                    }
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Ok(record)
    }

    /// Cores that a container used between two moments; None if they were not recorded.
    pub fn cores(&self, name: &(String, String), from: f64, to: f64) -> Option<f64> {
        let book = self.book.lock().ok()?;
        let counts = book.get(name)?;
        Some((at(counts, to)? - at(counts, from)?) / (to - from))
    }

    /// The least and the greatest working set that a container had between two moments.
    pub fn memory(&self, name: &(String, String), from: f64, to: f64) -> Option<(f64, f64)> {
        let book = self.book.lock().ok()?;
        let within = book.get(name)?.iter().filter(|c| (from..=to).contains(&c.at));
        let sizes: Vec<f64> = within.map(|c| c.working_set).collect();
        Some((sizes.iter().copied().reduce(f64::min)?, sizes.iter().copied().reduce(f64::max)?))
    }

    /// The containers that are recorded: pod and name.
    pub fn names(&self) -> Vec<(String, String)> {
        self.book.lock().map(|b| b.keys().cloned().collect()).unwrap_or_default()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// CPU seconds at a moment between two counts.
fn at(counts: &[Count], moment: f64) -> Option<f64> {
    let after = counts.iter().position(|c| c.at >= moment)?;
    let (a, b) = (counts.get(after.checked_sub(1)?)?, counts.get(after)?);
    Some(a.cpu_seconds + (b.cpu_seconds - a.cpu_seconds) * (moment - a.at) / (b.at - a.at))
}

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// The control groups of a running pod's containers, as the kubelet lays them out with cgroupfs.
fn groups_of(root: &str, pod: &Value) -> Result<Vec<((String, String), Group)>> {
    let name = pod["metadata"]["name"].as_str().context("no name")?;
    let uid = pod["metadata"]["uid"].as_str().context("no uid")?;
    let class = match pod["status"]["qosClass"].as_str().context("no class")? {
        "Burstable" => "/burstable",
        "BestEffort" => "/besteffort",
        _ => "",
    };
    let containers = pod["status"]["containerStatuses"].as_array().context("not started")?;
    let mut groups = Vec::new();
    for container in containers {
        ensure!(container["state"]["running"].is_object(), "{name} does not run yet");
        let id = container["containerID"].as_str().and_then(|i| i.rsplit('/').next());
        let group = Group::at(&format!("{root}/kubepods{class}/pod{uid}/{}", id.context("no id")?));
        let part = container["name"].as_str().context("no name")?;
        groups.push(((name.to_string(), part.to_string()), group));
    }
    Ok(groups)
}
