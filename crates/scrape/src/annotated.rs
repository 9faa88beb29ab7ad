//! Targets of pods and services that carry `prometheus.io/scrape: "true"`, as the configuration of
//! Prometheus's Helm chart finds them; labels, job names and annotations are that chart's.
//!
//! Never here: the API server. A caller brings pods and endpoints as plain data and hands the result to
//! [`crate::Scraper::set`]. Annotations: `prometheus.io/scrape`, `scrape-slow`, `scheme`, `path`,
//! `port`, `param_NAME`.

use crate::config::{Exposition, Job, Protocol};
use crate::scraper::JobTargets;
use crate::target::Target;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A pod, as far as scraping it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `status.podIP`; a pod without one is left out.
    pub ip: String,
    /// `status.phase`; only a running pod is scraped.
    pub phase: String,
    /// `spec.nodeName`
    pub node: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The ports that its containers declare, init containers included.
    pub ports: Vec<u16>,
}

/// An address behind a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The namespace of the service.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// The service's labels.
    pub labels: BTreeMap<String, String>,
    /// The service's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The address.
    pub ip: String,
    /// The port of the endpoint.
    pub port: u16,
    /// Where the pod behind it runs; empty where there is none.
    pub node: String,
}

/// How annotated targets are scraped; the fields of the chart's `global`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Between two scrapes.
    pub interval_ms: u64,
    /// A scrape's time.
    pub timeout_ms: u64,
    /// Limits of each target.
    pub limits: crate::config::Limits,
    /// `tls_config` of `https` targets: the chart verifies nothing there.
    pub tls: crate::config::TlsConfig,
}

impl Default for Defaults {
    fn default() -> Defaults {
        Defaults {
            interval_ms: 60_000,
            timeout_ms: 10_000,
            limits: crate::config::Limits { samples: 50_000, body: 32 << 20, ..Default::default() },
            tls: crate::config::TlsConfig { insecure: true, ..Default::default() },
        }
    }
}

/// The chart's interval and timeout for `scrape-slow`.
const SLOW: (u64, u64) = (300_000, 30_000);

/// The targets of annotated pods and endpoints.
pub fn targets(pods: &[Pod], endpoints: &[Endpoint], defaults: &Defaults) -> Vec<JobTargets> {
    let job = |name: &str, (interval_ms, timeout_ms)| Job {
        name: name.into(),
        interval_ms,
        timeout_ms,
        honor_labels: true,
        limits: defaults.limits,
        tls: defaults.tls.clone(),
        // Many a hand-made exporter does not say what it sends; nobody wrote this job for it.
        exposition: Exposition { fallback: Some(Protocol::Text0), ..Exposition::default() },
        ..Job::default()
    };
    let normal = (defaults.interval_ms, defaults.timeout_ms);
    let mut jobs = Vec::new();
    for slow in [false, true] {
        let (suffix, times) = if slow { ("-slow", SLOW) } else { ("", normal) };
        let of_endpoints = Arc::new(job(&format!("kubernetes-service-endpoints{suffix}"), times));
        let found = endpoints.iter().filter_map(|e| of_endpoint(e, &of_endpoints, slow));
        jobs.push(JobTargets { targets: once(found), job: of_endpoints });
        let of_pods = Arc::new(job(&format!("kubernetes-pods{suffix}"), times));
        let found = pods.iter().flat_map(|p| of_pod(p, &of_pods, slow));
        jobs.push(JobTargets { targets: once(found), job: of_pods });
    }
    jobs
}

/// Several ports of a pod may come to one target.
fn once(found: impl Iterator<Item = Target>) -> Vec<Target> {
    let mut seen = BTreeSet::new();
    found.filter(|t| seen.insert((t.labels.clone(), t.url()))).collect()
}

fn of_pod(pod: &Pod, job: &Arc<Job>, slow: bool) -> Vec<Target> {
    let ended = matches!(&*pod.phase, "Pending" | "Succeeded" | "Failed" | "Completed");
    if ended || pod.ip.is_empty() || !asks(&pod.annotations, slow) {
        return Vec::new();
    }
    let ports: Vec<Option<u16>> = match annotation(&pod.annotations, "port") {
        Some(port) => vec![port.parse().ok()],
        None if pod.ports.is_empty() => vec![None],
        None => pod.ports.iter().copied().map(Some).collect(),
    };
    let target = |port: Option<u16>| {
        let mut labels = labels_of(&pod.labels);
        labels.insert("namespace".into(), pod.namespace.clone());
        labels.insert("pod".into(), pod.name.clone());
        labels.insert("node".into(), pod.node.clone());
        labels.insert("__address__".into(), address(&pod.ip, port));
        annotated(&pod.annotations, &mut labels);
        Target::new(job, labels)
    };
    ports.into_iter().filter_map(target).collect()
}

fn of_endpoint(endpoint: &Endpoint, job: &Arc<Job>, slow: bool) -> Option<Target> {
    if endpoint.ip.is_empty() || !asks(&endpoint.annotations, slow) {
        return None;
    }
    let port = annotation(&endpoint.annotations, "port").and_then(|p| p.parse().ok());
    let mut labels = labels_of(&endpoint.labels);
    labels.insert("namespace".into(), endpoint.namespace.clone());
    labels.insert("service".into(), endpoint.service.clone());
    labels.insert("node".into(), endpoint.node.clone());
    labels.insert("__address__".into(), address(&endpoint.ip, port.or(Some(endpoint.port))));
    annotated(&endpoint.annotations, &mut labels);
    Target::new(job, labels)
}

fn annotation<'a>(annotations: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let value = annotations.get(&format!("prometheus.io/{name}"))?;
    Some(value.as_str()).filter(|v| !v.is_empty())
}

/// Whether the annotations ask for this kind of scraping: slow wins over normal.
fn asks(annotations: &BTreeMap<String, String>, slow: bool) -> bool {
    let says = |name| annotation(annotations, name) == Some("true");
    if says("scrape-slow") { slow } else { says("scrape") && !slow }
}

/// Labels of an object as labels of its series; what no label's name may have becomes `_`.
fn labels_of(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let sanitise = |name: &str| {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
        let name: String = name.chars().map(plain).collect();
        // Discovery's own labels begin so: an object's may not.
        let name = name.trim_start_matches('_');
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            format!("_{name}")
        } else {
            name.into()
        }
    };
    let named = labels.iter().map(|(name, value)| (sanitise(name), value.clone()));
    named.filter(|l| !l.0.is_empty() && l.0 != "job" && l.0 != "instance").collect()
}

fn annotated(annotations: &BTreeMap<String, String>, labels: &mut BTreeMap<String, String>) {
    if let Some(scheme @ ("http" | "https")) = annotation(annotations, "scheme") {
        labels.insert("__scheme__".into(), scheme.into());
    }
    if let Some(path) = annotation(annotations, "path") {
        labels.insert("__metrics_path__".into(), path.into());
    }
    for (name, value) in annotations {
        let param =
            name.strip_prefix("prometheus.io/param_").or(name.strip_prefix("prometheus.io/param-"));
        if let Some(param) = param.filter(|p| !p.is_empty()) {
            labels.insert(format!("__param_{param}"), value.clone());
        }
    }
}

fn address(ip: &str, port: Option<u16>) -> String {
    let ip = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    match port {
        Some(port) => format!("{ip}:{port}"),
        None => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn shown(jobs: &[JobTargets]) -> Vec<String> {
        jobs.iter()
            .flat_map(|j| j.targets.iter().map(|t| format!("{} {}", t.url(), t.labels)))
            .collect()
    }

    fn pod(annotations: &[(&str, &str)], ports: &[u16]) -> Pod {
        Pod {
            namespace: "shop".into(),
            name: "web-1".into(),
            ip: "10.0.0.7".into(),
            phase: "Running".into(),
            node: "n1".into(),
            labels: map(&[("app.kubernetes.io/name", "web"), ("job", "mine")]),
            annotations: map(annotations),
            ports: ports.into(),
        }
    }

    #[test]
    fn pods_as_the_chart_finds_them() {
        let scrape = ("prometheus.io/scrape", "true");
        let labels = |job, instance| {
            format!(
                "{{app_kubernetes_io_name=\"web\", instance=\"{instance}\", job=\"{job}\", namespace=\"shop\", node=\"n1\", pod=\"web-1\"}}"
            )
        };
        let found = |pod: Pod| shown(&targets(&[pod], &[], &Defaults::default()));
        let job = "kubernetes-pods";
        assert_eq!(found(pod(&[], &[80])), Vec::<String>::new());
        assert_eq!(
            found(pod(&[scrape], &[8080, 9090])),
            [
                format!("http://10.0.0.7:8080/metrics {}", labels(job, "10.0.0.7:8080")),
                format!("http://10.0.0.7:9090/metrics {}", labels(job, "10.0.0.7:9090")),
            ]
        );
        let annotations = [
            scrape,
            ("prometheus.io/port", "9102"),
            ("prometheus.io/path", "/stats?x=1 2"),
            ("prometheus.io/scheme", "https"),
            ("prometheus.io/param_format", "prometheus"),
        ];
        assert_eq!(
            found(pod(&annotations, &[8080, 9090])),
            [format!(
                "https://10.0.0.7:9102/stats?x=1%202&format=prometheus {}",
                labels(job, "10.0.0.7:9102")
            )]
        );
        let slow = [scrape, ("prometheus.io/scrape-slow", "true")];
        assert_eq!(
            found(pod(&slow, &[])),
            [format!("http://10.0.0.7:80/metrics {}", labels("kubernetes-pods-slow", "10.0.0.7"))]
        );
        for (hostile, what) in [
            (Pod { ip: String::new(), ..pod(&[scrape], &[]) }, "no address"),
            (Pod { phase: "Succeeded".into(), ..pod(&[scrape], &[]) }, "ended"),
            (Pod { ip: "a/b".into(), ..pod(&[scrape], &[]) }, "no IP"),
        ] {
            assert_eq!(found(hostile), Vec::<String>::new(), "{what}");
        }
        let ipv6 = Pod { ip: "fd00::1".into(), ..pod(&[scrape], &[80]) };
        assert!(found(ipv6)[0].starts_with("http://[fd00::1]:80/metrics "));
    }

    #[test]
    fn services_by_their_endpoints() {
        let endpoint = Endpoint {
            namespace: "shop".into(),
            service: "web".into(),
            labels: map(&[("tier", "front"), ("__evil__", "x")]),
            annotations: map(&[
                ("prometheus.io/scrape", "true"),
                ("prometheus.io/scheme", "gopher"),
            ]),
            ip: "10.0.0.8".into(),
            port: 8080,
            node: String::new(),
        };
        let both = [endpoint.clone(), endpoint];
        assert_eq!(
            shown(&targets(&[], &both, &Defaults::default())),
            ["http://10.0.0.8:8080/metrics {evil__=\"x\", instance=\"10.0.0.8:8080\", \
              job=\"kubernetes-service-endpoints\", namespace=\"shop\", service=\"web\", tier=\"front\"}"]
        );
    }
}
