//! What the reader counts of itself, under metrics-server's names and ours.

use super::{Shared, lock};
use model::{Family, Kind, Sink};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Upper bounds of the durations of requests, in seconds: Prometheus's default ones.
pub(super) const BOUNDS: [f64; 11] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Default)]
pub(super) struct Meters {
    succeeded: AtomicU64,
    failed: AtomicU64,
    broken: AtomicU64,
    late: Mutex<Late>,
    ticks: Mutex<Histogram>,
    ages: Mutex<Histogram>,
}

#[derive(Default)]
struct Late {
    /// When a read was started last, and how late it was.
    started: Option<(Instant, Duration)>,
}

#[derive(Default)]
struct Histogram {
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, bounds: &[f64], value: f64) {
        self.counts.resize(bounds.len() + 1, 0);
        let at = bounds.iter().position(|b| value <= *b).unwrap_or(bounds.len());
        self.counts[at] += 1;
        self.sum += value;
    }
}

/// Upper bounds of the ages of answers, in seconds: 20, from 1, each 1.364 times the one before.
fn age_bounds() -> Vec<f64> {
    std::iter::successors(Some(1.0), |b| Some(b * 1.364)).take(20).collect()
}

impl Meters {
    pub fn read(&self, ok: bool, took: Duration) {
        if ok { &self.succeeded } else { &self.failed }.fetch_add(1, Relaxed);
        lock(&self.ticks).observe(&BOUNDS, took.as_secs_f64());
    }

    pub fn broke(&self) {
        self.broken.fetch_add(1, Relaxed);
    }

    pub fn started(&self, late: Duration) {
        lock(&self.late).started = Some((Instant::now(), late));
    }

    pub fn served(&self, age_ns: i64) {
        lock(&self.ages).observe(&age_bounds(), age_ns as f64 / 1e9);
    }

    /// As metrics-server's check: a read that was due was started within half the resolution.
    pub fn timely(&self, resolution: Duration) -> Result<(), String> {
        let Some((at, late)) = lock(&self.late).started else { return Ok(()) };
        let late = late.max(at.elapsed().saturating_sub(resolution));
        if late > resolution / 2 {
            return Err(format!(
                "kubelets are read {:.1} s later than they are due",
                late.as_secs_f64()
            ));
        }
        Ok(())
    }
}

pub(super) fn write(shared: &Shared, sink: &mut dyn Sink) {
    let meters = &shared.meters;
    let family = |sink: &mut dyn Sink, name, help, kind| {
        sink.family(&Family { name, help, kind, unit: "" });
    };
    let name = "metrics_server_api_metric_freshness_seconds";
    family(sink, name, "Age of the values in each answer, in seconds", Kind::Histogram);
    histogram(sink, name, &[], &age_bounds(), &lock(&meters.ages));

    let states = lock(&shared.states);
    let mut nodes: Vec<_> = states.iter().map(|(n, s)| (n.clone(), s.clone())).collect();
    drop(states);
    nodes.sort_by(|a, b| a.0.cmp(&b.0));
    let name = "metrics_server_kubelet_last_request_time_seconds";
    family(
        sink,
        name,
        "When each kubelet was asked last, in seconds since the Unix epoch",
        Kind::Gauge,
    );
    for (node, state) in &nodes {
        let asked_ms = lock(state).asked_ms;
        if asked_ms > 0 {
            sink.sample(name, &[("node", node)], (asked_ms / 1000) as f64, None);
        }
    }
    let name = "metrics_server_kubelet_request_duration_seconds";
    family(sink, name, "How long requests to each kubelet took", Kind::Histogram);
    for (node, state) in &nodes {
        let state = lock(state);
        let counts = state.durations.iter().map(|c| u64::from(*c)).collect();
        let durations = Histogram { counts, sum: state.durations_sum.as_secs_f64() };
        histogram(sink, name, &[("node", node)], &BOUNDS, &durations);
    }
    let name = "metrics_server_kubelet_request_total";
    family(sink, name, "Requests to kubelets", Kind::Counter);
    for (success, count) in [("false", &meters.failed), ("true", &meters.succeeded)] {
        sink.sample(name, &[("success", success)], count.load(Relaxed) as f64, None);
    }
    let name = "metrics_server_manager_tick_duration_seconds";
    let help =
        "How long it took to read a kubelet and to take its answer over; there is no common tick";
    family(sink, name, help, Kind::Histogram);
    histogram(sink, name, &[], &BOUNDS, &lock(&meters.ticks));
    let counts = shared.store.view().counts();
    let name = "metrics_server_storage_points";
    family(sink, name, "Nodes and containers of which there are two points", Kind::Gauge);
    for (of, count) in [("container", counts.containers), ("node", counts.nodes)] {
        sink.sample(name, &[("type", of)], count as f64, None);
    }
    let name = "kubevigil_resource_broken_reads_total";
    family(sink, name, "Reads of kubelets that ended by a fault of ours", Kind::Counter);
    sink.sample(name, &[], meters.broken.load(Relaxed) as f64, None);
}

fn histogram(
    sink: &mut dyn Sink,
    name: &str,
    labels: &[(&str, &str)],
    bounds: &[f64],
    of: &Histogram,
) {
    if of.counts.is_empty() && !labels.is_empty() {
        return;
    }
    let bucket = format!("{name}_bucket");
    let mut sum = 0;
    let ends = bounds.iter().copied().chain([f64::INFINITY]);
    for (at, end) in ends.enumerate() {
        sum += of.counts.get(at).copied().unwrap_or(0);
        let mut text = Vec::new();
        model::exposition::push_float(&mut text, end);
        let text = String::from_utf8_lossy(&text);
        let mut all: Vec<(&str, &str)> = labels.to_vec();
        all.push(("le", &text));
        // Sorted by name, as a sink wants them.
        all.sort_unstable();
        sink.sample(&bucket, &all, sum as f64, None);
    }
    sink.sample(&format!("{name}_sum"), labels, of.sum, None);
    sink.sample(&format!("{name}_count"), labels, sum as f64, None);
}
