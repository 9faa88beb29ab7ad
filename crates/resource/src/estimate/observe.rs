//! From the pods of a cluster and what their containers used to observations of workloads.

use super::{Estimates, Observation, Workload};
use crate::View;
use cluster::Pod;
use std::sync::Arc;

/// The image of a container, where somebody knows it.
pub trait Images {
    /// The image by namespace, pod and container.
    fn image(&self, namespace: &str, pod: &str, container: &str) -> Option<Arc<str>>;
}

/// Nobody knows images.
impl Images for () {
    fn image(&self, _: &str, _: &str, _: &str) -> Option<Arc<str>> {
        None
    }
}

/// Takes in what every container used whose newest point is younger than `since_ns` (nanoseconds since
/// the Unix epoch): the time of the round before. Gives the newest point's time, for the next round.
pub fn observe_all(
    estimates: &Estimates,
    view: &View<'_>,
    pods: &[Arc<Pod>],
    images: &dyn Images,
    since_ns: i64,
) -> i64 {
    let mut newest_ns = since_ns;
    for pod in pods {
        let Some(seen) = view.pod(&pod.namespace, &pod.name) else { continue };
        let (kind, name) = workload_of(pod);
        for (container, usage) in seen.containers() {
            if usage.time_ns <= since_ns {
                continue;
            }
            newest_ns = newest_ns.max(usage.time_ns);
            let image = images.image(&pod.namespace, &pod.name, container);
            estimates.observe(&Observation {
                workload: Workload { namespace: &pod.namespace, kind, name, container },
                image: image.as_deref(),
                time_ms: usage.time_ns / 1_000_000,
                seconds: usage.window_ns as f64 / 1e9,
                cpu_cores: usage.cpu_nanocores as f64 / 1e9,
                memory_bytes: usage.memory_bytes as f64,
            });
        }
    }
    newest_ns
}

/// The kind and the name of the workload that a pod belongs to: of a ReplicaSet its Deployment, of a
/// Job its CronJob, told by how these name what they make; a pod of its own is a workload.
pub fn workload_of(pod: &Pod) -> (&str, &str) {
    let Some(owner) = &pod.owner else { return ("Pod", &pod.name) };
    let (kind, name) = (&*owner.kind, &*owner.name);
    match kind {
        "ReplicaSet" => {
            let hash = pod.labels.get("pod-template-hash").unwrap_or("");
            let deployment = name.strip_suffix(hash).and_then(|n| n.strip_suffix('-'));
            match deployment.filter(|_| !hash.is_empty()) {
                Some(deployment) => ("Deployment", deployment),
                None => (kind, name),
            }
        }
        "Job" => match name.rsplit_once('-') {
            // The minutes since 1970, or (before 1.21) the seconds.
            Some((cron_job, time))
                if (8..=10).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit()) =>
            {
                ("CronJob", cron_job)
            }
            _ => (kind, name),
        },
        // A static pod's owner is its node: the same pod on another node is another one.
        "Node" => ("Pod", &pod.name),
        _ => (kind, name),
    }
}
