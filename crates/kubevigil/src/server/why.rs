//! Why a number is absent: `kubevigil.dev/v1`, `nodes/NAME/why` and `namespaces/NS/pods/NAME/why`.
//!
//! Says which scrape, certificate, permission or rule made it so, with the remedy where there is one.
//! `kubectl vigil why-missing` prints it. docs/api.md describes the answer.

use api::kubernetes::{Answer, Answering, Group, Request, Resource, Status};
use axum::http::header;
use axum::response::IntoResponse;
use cluster::{Cluster, NodeCache, PodCache, Serving};
use resource::{Reader, Store, Usage};
use serde_json::{Value, json};
use std::sync::Arc;

/// The group.
pub struct Why {
    /// The API server.
    pub cluster: Cluster,
    /// As whom we serve.
    pub serving: Serving,
    /// Which nodes are read.
    pub nodes: NodeCache,
    /// Which pods run.
    pub pods: PodCache,
    /// How reading fares.
    pub reader: Arc<Reader>,
    /// What was measured.
    pub store: Arc<Store>,
}

/// What was found, in the order in which a person should look at it.
#[derive(Default)]
struct Findings {
    /// Whether there is a number.
    present: bool,
    list: Vec<Value>,
}

impl Findings {
    fn add(&mut self, reason: &str, what: impl Into<String>, remedy: Option<&str>) {
        self.list.push(json!({"reason": reason, "what": what.into(), "remedy": remedy}));
    }
}

impl Why {
    /// Whose the APIService is, and whether the API server reaches it: true of every number.
    fn registration(&self, findings: &mut Findings) {
        const NAME: &str = "v1beta1.metrics.k8s.io";
        let services = self.cluster.api_services();
        let Some(service) = services.iter().find(|s| &*s.name == NAME) else {
            let what = format!("There is no APIService {NAME}: nobody answers kubectl top.");
            return findings.add("Registration", what, Some("Apply deploy/kubevigil.yaml."));
        };
        let us = (self.serving.namespace.clone(), self.serving.service.clone());
        if service.service.as_ref() != Some(&us) {
            let owner = service
                .service
                .as_ref()
                .map_or("the API server itself".into(), |s| format!("the Service {}/{}", s.0, s.1));
            let managers = match service.managers.last() {
                Some(last) => format!(" {last:?} wrote it last."),
                None => String::new(),
            };
            let what = format!("APIService {NAME} points to {owner}, not to us.{managers}");
            let remedy = "Whatever installed the other one (an addon manager, a chart) writes it back: \
                          switch its metrics-server off, then apply deploy/kubevigil.yaml again.";
            return findings.add("Registration", what, Some(remedy));
        }
        if let Some((false, why)) = &service.available {
            let what = format!("The API server cannot reach us behind APIService {NAME}: {why}");
            findings.add("Registration", what, None);
        }
    }

    fn watches(&self, findings: &mut Findings) {
        for (what, contact, synced) in [
            ("nodes", self.nodes.contact(), self.nodes.synced()),
            ("pods", self.pods.contact(), self.pods.synced()),
        ] {
            let state = if synced { "the last state is used" } else { "none is known yet" };
            if let Some(error) = contact.error {
                let what = format!("The watch of {what} is broken ({state}): {error}");
                findings.add("Permission", what, None);
            } else if !synced {
                findings.add("Starting", format!("The {what} were not listed yet."), None);
            }
        }
    }

    fn node(&self, name: &str) -> Findings {
        let mut findings = Findings::default();
        self.watches(&mut findings);
        let Some(node) = self.nodes.get(name) else {
            let what = format!("Node {name:?} does not exist, or --node-selector leaves it out.");
            findings.add("Unknown", what, Some("kubectl get node NAME --show-labels"));
            self.registration(&mut findings);
            return findings;
        };
        if !node.ready {
            let remedy = format!("kubectl describe node {name}");
            findings.add("NotReady", format!("Node {name} is not ready."), Some(&remedy));
        }
        self.read(name, &mut findings);
        match self.store.view().node(name) {
            Some(usage) => self.present(&usage, &mut findings),
            None if findings.list.is_empty() => {
                let what = format!("Node {name} was not read twice yet.");
                findings.add("TooNew", what, Some("Wait for the next read."));
            }
            None => {}
        }
        self.registration(&mut findings);
        findings
    }

    /// How reading a node fares.
    fn read(&self, name: &str, findings: &mut Findings) {
        let Some(state) = self.reader.node(name) else {
            return findings.add("NotRead", format!("Node {name} was never read."), None);
        };
        if let Some(failure) = &state.failure {
            let last = match state.answered_ms {
                0 => "it never answered".to_owned(),
                ms => format!("it answered last at {}", api::parameters::format_time(ms)),
            };
            let what = format!(
                "The kubelet of node {name} at {} was asked {} times in vain ({last}): {}",
                state.instance, state.failures, failure.what
            );
            findings.add(failure.reason.name(), what, failure.remedy.as_deref());
        }
        if state.clock_ahead_s.abs() > 30 {
            let what = format!(
                "The clock of node {name} is {} s ahead of ours: autoscalers judge by such times.",
                state.clock_ahead_s
            );
            findings.add("Clock", what, Some("Set it by NTP."));
        }
        if !state.broken.is_empty() {
            let what = format!(
                "The kubelet of node {name} has no whole figures of {}.",
                state.broken.join(", ")
            );
            findings.add("NotMeasured", what, None);
        }
    }

    fn present(&self, usage: &Usage, findings: &mut Findings) {
        findings.present = true;
        let what = format!(
            "There is a number: {:.3} cores over {:.1} s, {} MiB, measured at {}.",
            usage.cpu_nanocores as f64 / 1e9,
            usage.window_ns as f64 / 1e9,
            usage.memory_bytes >> 20,
            api::parameters::format_time(usage.time_ns / 1_000_000),
        );
        findings.list.insert(0, json!({"reason": "Present", "what": what, "remedy": null}));
    }

    async fn pod(&self, namespace: &str, name: &str) -> Findings {
        let mut findings = Findings::default();
        self.watches(&mut findings);
        let running = self.pods.get(namespace, name).is_some();
        let object = self.object(namespace, name).await;
        if !running {
            let what = match &object {
                Ok(Some(pod)) => {
                    let phase = pod["status"]["phase"].as_str().unwrap_or("unknown");
                    format!("Pod {namespace}/{name} is {phase}; only running pods have usage.")
                }
                Ok(None) => format!("There is no pod {namespace}/{name}."),
                Err(why) => format!("Pod {namespace}/{name} is not known to run: {why}"),
            };
            findings.add("NotRunning", what, None);
        }
        let points = self.store.view().pod_points(namespace, name);
        let spoken = object.ok().flatten();
        let node = spoken
            .and_then(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned))
            .or_else(|| points.as_ref().map(|p| p.node.clone()));
        if let Some(node) = node.filter(|_| running) {
            if self.nodes.get(&node).is_none() {
                let what = format!("Its node {node} is left out by --node-selector.");
                findings.add("Unknown", what, None);
            }
            self.read(&node, &mut findings);
            if points.is_none() {
                let what = format!("The kubelet of node {node} said nothing of it yet.");
                findings.add("TooNew", what, Some("It measures every 10 s or so; wait."));
            }
        }
        if let Some(points) = points {
            for (list, reason, what) in [
                (&points.too_new, "TooNew", "measured only once: a rate needs two reads"),
                (&points.broken, "CounterReset", "a counter went backwards without a restart"),
            ] {
                if !list.is_empty() {
                    findings.add(reason, format!("{}: {what}.", list.join(", ")), None);
                }
            }
        }
        let view = self.store.view();
        let window = view.pod(namespace, name).filter(|_| running);
        if let Some(usage) = window.and_then(|w| w.containers().map(|c| c.1).next()) {
            self.present(&usage, &mut findings);
        }
        drop(view);
        self.registration(&mut findings);
        findings
    }

    async fn object(&self, namespace: &str, name: &str) -> Result<Option<Value>, String> {
        let path = format!(
            "/api/v1/namespaces/{}/pods?fieldSelector=metadata.name%3D{}",
            cluster::escape(namespace),
            cluster::escape(name)
        );
        let mut list = self.cluster.get(&path).await.map_err(|e| e.to_string())?;
        Ok(list["items"].as_array_mut().and_then(Vec::pop))
    }

    async fn explain(&self, request: &Request) -> Result<Answer, Status> {
        let wanted = &request.attributes;
        let (namespace, name) = (wanted.namespace.as_str(), wanted.name.as_str());
        if wanted.subresource != "why" || name.is_empty() {
            return Err(Status::no_such_path());
        }
        let findings = match (wanted.resource.as_str(), namespace.is_empty()) {
            ("nodes", true) => self.node(name),
            ("pods", false) => self.pod(namespace, name).await,
            _ => return Err(Status::no_such_path()),
        };
        let answer = json!({
            "kind": "Explanation",
            "apiVersion": "kubevigil.dev/v1",
            "metadata": {"name": name, "namespace": namespace},
            "present": findings.present,
            "findings": findings.list,
        });
        let kind = [(header::CONTENT_TYPE, "application/json")];
        Ok(Answer::Response((kind, answer.to_string()).into_response()))
    }
}

impl Group for Why {
    fn name(&self) -> &'static str {
        "kubevigil.dev"
    }

    fn versions(&self) -> &'static [&'static str] {
        &["v1"]
    }

    fn resources(&self, _: &str) -> Vec<Resource> {
        let resource = |name: &str, namespaced| Resource {
            name: name.into(),
            kind: "Explanation",
            namespaced,
            verbs: &["get"],
        };
        vec![resource("nodes/why", false), resource("pods/why", true)]
    }

    fn answer<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        Box::pin(self.explain(request))
    }

    fn schemas(&self, _: &str) -> &'static str {
        ""
    }
}
