//! What to ask for: requests and limits, with the evidence in words.

use super::Estimate;

/// A proposal for a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// Thousandths of a core.
    pub cpu_request_milli: u64,
    /// Bytes.
    pub memory_request_bytes: u64,
    /// Bytes. There is none for CPU: a limit there only slows down.
    pub memory_limit_bytes: u64,
    /// `low` under a day of observation, `medium` under a week, `high` from there on.
    pub confidence: &'static str,
    /// On what it rests.
    pub evidence: String,
}

/// What is added to what was used (VPA's `recommendation-margin-fraction`).
const MARGIN: f64 = 1.15;
/// The least that is proposed (VPA's `pod-recommendation-min-…` for a pod of one container are 25m and
/// 250 MB; those are too much for the small containers that clusters are full of).
const LEAST_CPU_MILLI: f64 = 5.0;
const LEAST_MEMORY: f64 = 16.0 * 1024.0 * 1024.0;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Proposes requests and limits: CPU p95 and memory p99, each and 15 %; the memory limit the peak and
/// 20 %, never below the request and 20 %.
pub fn propose(estimate: &Estimate) -> Proposal {
    let Estimate { cpu, memory, .. } = estimate;
    let cpu_request = (cpu.p95 * 1000.0 * MARGIN).max(LEAST_CPU_MILLI).ceil();
    let whole = |bytes: f64| ((bytes / MEBIBYTE).ceil() * MEBIBYTE) as u64;
    let memory_request = (memory.p99 * MARGIN).max(LEAST_MEMORY);
    let memory_limit = (memory.peak * 1.2).max(memory_request * 1.2);
    let days = estimate.last_ms.saturating_sub(estimate.first_ms) as f64 / 86_400_000.0;
    let confidence = match days {
        d if d < 1.0 => "low",
        d if d < 7.0 => "medium",
        _ => "high",
    };
    let evidence = format!(
        "{:.1} days, {:.0} container hours: CPU p95 {:.0}m, p99 {:.0}m, peak {:.0}m; memory p95 {:.0}Mi, \
         p99 {:.0}Mi, peak {:.0}Mi",
        days,
        estimate.observed_seconds / 3600.0,
        cpu.p95 * 1000.0,
        cpu.p99 * 1000.0,
        cpu.peak * 1000.0,
        memory.p95 / MEBIBYTE,
        memory.p99 / MEBIBYTE,
        memory.peak / MEBIBYTE,
    );
    Proposal {
        cpu_request_milli: cpu_request as u64,
        memory_request_bytes: whole(memory_request),
        memory_limit_bytes: whole(memory_limit),
        confidence,
        evidence,
    }
}
