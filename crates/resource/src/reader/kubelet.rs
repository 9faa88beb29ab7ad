//! One read of one kubelet.

use super::failure::{Failure, Reason};
use super::{Round, Shared, broken, lock};
use crate::parse::{NO_TIME, parse};
use crate::summary;
use cluster::Node;
use http::client::{HeaderName, HeaderValue, Method, Request, Session, header};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Overrides the path for a node; virtual kubelets use it.
const PATH_ANNOTATION: &str = "metrics.k8s.io/resource-metrics-path";

/// How a node fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeState {
    /// When it was asked last, in milliseconds since the Unix epoch; 0: never.
    pub asked_ms: i64,
    /// When it answered whole last, in milliseconds since the Unix epoch; 0: never.
    pub answered_ms: i64,
    /// How long the last read took.
    pub took: Duration,
    /// Where it was asked.
    pub instance: String,
    /// For what it was asked.
    pub path: String,
    /// Reads in a row that failed.
    pub failures: u32,
    /// Why the last read failed.
    pub failure: Option<Failure>,
    /// Containers in the last answer.
    pub containers: usize,
    /// Some of those that were not measured whole, `namespace/pod/container`.
    pub broken: Vec<String>,
    /// How far the node's clock was ahead of ours, as far as its answer tells, in seconds.
    pub clock_ahead_s: i64,
    /// How long reads took, one count for each of the bounds of the histogram and one above.
    pub(super) durations: [u32; super::meters::BOUNDS.len() + 1],
    pub(super) durations_sum: Duration,
}

/// What is kept of a kubelet between reads.
pub(super) struct Kubelet {
    pub name: Arc<str>,
    uid: Box<str>,
    session: Session,
    state: Arc<Mutex<NodeState>>,
    /// Whether the last read took too long.
    pub slow: bool,
    /// Reads so far, up to a few.
    pub reads: u8,
    containers: usize,
}

/// The bearer token as a header.
#[derive(Default)]
pub(super) struct Token(Mutex<Option<HeaderValue>>);

impl Token {
    pub fn set(&self, token: Option<&str>) {
        let value = token.and_then(|t| HeaderValue::from_str(&format!("Bearer {}", t.trim())).ok());
        *lock(&self.0) = value.map(|mut value| {
            value.set_sensitive(true);
            value
        });
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        Some((header::AUTHORIZATION, lock(&self.0).clone()?))
    }
}

/// Puts what `/metrics/resource` would say in the place of a summary.
fn told_as_metrics(body: &mut Vec<u8>) -> Result<(), Failure> {
    let mut text = Vec::with_capacity(body.len() / 2);
    let outcome = summary::to_resource_metrics(body, &mut text);
    outcome.map_err(|what| Failure::new(Reason::Unreadable, format!("the summary: {what}")))?;
    *body = text;
    Ok(())
}

pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

impl Kubelet {
    pub fn new(node: &Node, pin: Option<[u8; 32]>) -> Kubelet {
        Kubelet {
            name: node.name.clone(),
            uid: node.uid.clone(),
            session: Session::pinned(pin),
            state: Arc::default(),
            slow: false,
            reads: 0,
            containers: 0,
        }
    }

    pub fn state(&self) -> Arc<Mutex<NodeState>> {
        self.state.clone()
    }

    /// Whether this is still the node of that name.
    pub fn is(&self, node: &Node) -> bool {
        self.uid == node.uid
    }

    /// Asks the kubelet once and hands its answer on.
    pub async fn read(&mut self, shared: &Shared) {
        let Some(node) = shared.nodes.get(&self.name) else { return };
        let asked_ns = now_ns();
        let started = Instant::now();
        let mut body = shared.buffer();
        let mut instance = String::new();
        let path = node.annotations.get(PATH_ANNOTATION).filter(|p| !p.is_empty());
        let path = path.map_or(shared.options.path, |p| p);
        let mut outcome = self.ask(shared, &node, path, &mut instance, &mut body).await;
        let took = started.elapsed();
        if outcome.is_ok() && summary::is_path(path) {
            outcome = told_as_metrics(&mut body);
        }
        let outcome = outcome.and_then(|()| self.take(shared, &body, asked_ns));
        self.slow = matches!(&outcome, Err(failure) if failure.reason == Reason::TooSlow);
        self.reads = self.reads.saturating_add(1);
        shared.meters.read(outcome.is_ok(), started.elapsed());
        if let Some(recorder) = &shared.recorder {
            let whole = outcome.is_ok().then_some(&body[..]);
            let time_ms = asked_ns / 1_000_000;
            recorder
                .record(&node, &Round { time_ms, took, instance: &instance, path, body: whole });
        }
        if outcome.is_err() {
            shared.store.miss(&self.name);
        }
        shared.give_back(body);
        self.note(asked_ns, took, instance, path, outcome);
    }

    async fn ask(
        &mut self,
        shared: &Shared,
        node: &Node,
        path: &str,
        instance: &mut String,
        body: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let options = &shared.options;
        let host = node.address(&options.address_types).ok_or_else(|| {
            let wanted: Vec<_> = options.address_types.iter().map(|t| t.name()).collect();
            let found: Vec<_> = node.addresses.iter().map(|a| a.0.name()).collect();
            let what = format!(
                "it has no address of the types {}; it has {}",
                wanted.join(", "),
                if found.is_empty() { "none".into() } else { found.join(", ") }
            );
            Failure::new(Reason::NoAddress, what)
        })?;
        let by_status = node.kubelet_port.filter(|_| options.use_node_status_port);
        let port = by_status.unwrap_or(options.port);
        *instance =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let token = shared.tls.as_ref().and_then(|_| shared.token.header());
        let headers: Vec<_> = token.into_iter().collect();
        let request = Request {
            method: &Method::GET,
            host,
            port,
            tls: shared.tls.as_ref(),
            also_named: Some(&node.name),
            path_and_query: path,
            headers: &headers,
            body: &[],
        };
        let had = self.session.pin();
        let answer = self.session.send(&shared.limits, request, body).await;
        if let Some(pin) = self.session.pin()
            && had != Some(pin)
        {
            lock(&shared.pins).insert(self.uid.clone(), pin);
        }
        let answer = answer.map_err(|error| Failure::client(&error))?;
        match answer.status.as_u16() {
            200 => Ok(()),
            status => Err(Failure::status(status, path, body)),
        }
    }

    /// Reads the answer and gives it to the store.
    fn take(&mut self, shared: &Shared, body: &[u8], asked_ns: i64) -> Result<(), Failure> {
        let unreadable = |what: String| Failure::new(Reason::Unreadable, what);
        let mut reading =
            parse(body, asked_ns, self.containers).map_err(|e| unreadable(e.to_string()))?;
        if reading.containers.is_empty() && !reading.node.is_whole() {
            return Err(unreadable(
                "its answer says nothing of the node and its containers".into(),
            ));
        }
        self.containers = reading.containers.len();
        let broken = broken(&reading.containers);
        shared.store.apply(&self.name, &mut reading);
        let mut state = lock(&self.state);
        state.containers = self.containers;
        state.broken = broken;
        state.clock_ahead_s = match reading.node.time_ns {
            NO_TIME => 0,
            time_ns => time_ns.saturating_sub(asked_ns) / 1_000_000_000,
        };
        Ok(())
    }

    fn note(
        &self,
        asked_ns: i64,
        took: Duration,
        instance: String,
        path: &str,
        outcome: Result<(), Failure>,
    ) {
        let mut state = lock(&self.state);
        state.asked_ms = asked_ns / 1_000_000;
        state.took = took;
        state.instance = instance;
        if state.path != path {
            state.path = path.into();
        }
        let bound = super::meters::BOUNDS.iter().position(|b| took.as_secs_f64() <= *b);
        state.durations[bound.unwrap_or(super::meters::BOUNDS.len())] += 1;
        state.durations_sum += took;
        let name = &self.name;
        match outcome {
            Ok(()) => {
                if state.failures > 0 {
                    tracing::info!(node = %name, failures = state.failures, "the kubelet answers again");
                }
                state.answered_ms = state.asked_ms;
                state.failures = 0;
                state.failure = None;
            }
            Err(failure) => {
                let told = state.failure.as_ref().is_some_and(|old| old.reason == failure.reason);
                if !told {
                    tracing::warn!(node = %name, error = %failure, "cannot read the kubelet");
                }
                state.failures = state.failures.saturating_add(1);
                state.failure = Some(failure);
            }
        }
    }
}
