//! Estimates as metric families.

use super::{Estimates, Statistics};
use model::{Family, Kind, Sink};

const CPU: &str = "kubevigil_resource_estimate_cpu_cores";
const MEMORY: &str = "kubevigil_resource_estimate_memory_bytes";

impl Estimates {
    /// Writes the estimates at a time: one sample a statistic.
    pub fn write(&self, now_ms: i64, sink: &mut dyn Sink) {
        let all = self.list(None, now_ms);
        let mut family = |name, help, of: fn(&super::Estimate) -> Statistics| {
            sink.family(&Family { name, help, kind: Kind::Gauge, unit: "" });
            for e in &all {
                let Statistics { p50, p95, p99, peak } = of(e);
                for (statistic, value) in [("p50", p50), ("p95", p95), ("p99", p99), ("peak", peak)]
                {
                    let labels = [
                        ("container", e.container.as_str()),
                        ("namespace", e.namespace.as_str()),
                        ("statistic", statistic),
                        ("workload", e.name.as_str()),
                        ("workload_type", e.kind.as_str()),
                    ];
                    sink.sample(name, &labels, value, None);
                }
            }
        };
        family(CPU, "What a workload's container used: cores by statistic, half-life 24 h.", |e| {
            e.cpu
        });
        family(
            MEMORY,
            "What a workload's container used: bytes by statistic, half-life 24 h.",
            |e| e.memory,
        );
    }
}
