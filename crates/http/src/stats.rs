//! What the listener counts about itself.

use model::{Family, Kind, Sink};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Counters of one listener.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) open: AtomicI64,
    pub(crate) accepted: AtomicU64,
    /// Answers by the first digit of their status.
    pub(crate) answers: [AtomicU64; 6],
    pub(crate) refused_host: AtomicU64,
    pub(crate) refused_origin: AtomicU64,
    pub(crate) refused_user: AtomicU64,
    pub(crate) refused_rate: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) reload_failures: AtomicU64,
}

impl Stats {
    /// Writes the families `kubevigil_http_*`.
    pub fn write(&self, sink: &mut dyn Sink) {
        let mut one = |name, help, kind, value: f64| {
            sink.family(&Family { name, help, kind, unit: "" });
            sink.sample(name, &[], value, None);
        };
        let load = |n: &AtomicU64| n.load(Relaxed) as f64;
        let open = self.open.load(Relaxed) as f64;
        one("kubevigil_http_open_connections", "Connections that are open.", Kind::Gauge, open);
        let help = "Connections that were accepted.";
        one("kubevigil_http_connections_total", help, Kind::Counter, load(&self.accepted));
        let help = "Requests that took longer than they may.";
        one("kubevigil_http_request_timeouts_total", help, Kind::Counter, load(&self.timeouts));
        let name = "kubevigil_http_web_config_reload_failures_total";
        let help = "Times that a changed web configuration file, certificate or key could not be taken over.";
        one(name, help, Kind::Counter, load(&self.reload_failures));

        let name = "kubevigil_http_responses_total";
        let help = "Responses, by the class of their status.";
        sink.family(&Family { name, help, kind: Kind::Counter, unit: "" });
        for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(&self.answers[1..]) {
            sink.sample(name, &[("class", class)], load(count), None);
        }
        let name = "kubevigil_http_refused_total";
        let help = "Requests that the guard refused, by reason.";
        sink.family(&Family { name, help, kind: Kind::Counter, unit: "" });
        for (reason, count) in [
            ("host", &self.refused_host),
            ("origin", &self.refused_origin),
            ("rate", &self.refused_rate),
            ("user", &self.refused_user),
        ] {
            sink.sample(name, &[("reason", reason)], load(count), None);
        }
    }
}
