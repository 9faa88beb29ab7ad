//! What is counted of senders.

use model::{Family, Kind, Sink};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How samples came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Protocol {
    RemoteWrite1,
    RemoteWrite2,
    Otlp,
}

const PROTOCOLS: [&str; 3] = ["remote-write-1.0", "remote-write-2.0", "otlp"];

/// Why something was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    // Of requests.
    /// A content coding or a message that we do not know.
    Unsupported,
    /// The body is not what it says to be.
    Malformed,
    /// The body is beyond the limit.
    TooLarge,
    /// Too much is being written.
    Busy,
    /// The store takes nothing at present.
    Unavailable,
    // Of samples.
    /// The labels name no series.
    InvalidLabels,
    /// Labels beyond the limits.
    LabelLimit,
    /// The head has as many series as it may.
    SeriesLimit,
    /// Too far in the future, or older than what is kept.
    OutOfBounds,
    /// Further back than the out-of-order window.
    TooOld,
    /// Another value at that time.
    Duplicate,
    /// A histogram that is none.
    InvalidHistogram,
    /// What the store has no word for, as deltas.
    Untranslatable,
    /// An exemplar that is none, or older than its series' newest.
    Exemplar,
    /// The sender sends more than it may.
    RateLimit,
}

const REQUESTS: [(Reason, &str); 5] = [
    (Reason::Unsupported, "unsupported"),
    (Reason::Malformed, "malformed"),
    (Reason::TooLarge, "too_large"),
    (Reason::Busy, "busy"),
    (Reason::Unavailable, "unavailable"),
];

const SAMPLES: [(Reason, &str); 10] = [
    (Reason::InvalidLabels, "invalid_labels"),
    (Reason::LabelLimit, "label_limit"),
    (Reason::SeriesLimit, "series_limit"),
    (Reason::OutOfBounds, "out_of_bounds"),
    (Reason::TooOld, "too_old"),
    (Reason::Duplicate, "duplicate"),
    (Reason::InvalidHistogram, "invalid_histogram"),
    (Reason::Untranslatable, "untranslatable"),
    (Reason::Exemplar, "exemplar"),
    (Reason::RateLimit, "rate_limit"),
];

/// Counters of the endpoints that take samples.
#[derive(Debug, Default)]
pub struct Stats {
    requests: [AtomicU64; PROTOCOLS.len()],
    samples: [AtomicU64; PROTOCOLS.len()],
    refused: [AtomicU64; REQUESTS.len() + SAMPLES.len()],
    known_series: AtomicU64,
    known_bytes: AtomicU64,
}

impl Stats {
    /// A request that was written, with what was kept of it.
    pub fn written(&self, protocol: Protocol, samples: u64) {
        self.requests[protocol as usize].fetch_add(1, Relaxed);
        self.samples[protocol as usize].fetch_add(samples, Relaxed);
    }

    /// What was not taken.
    pub fn refuse(&self, why: Reason, count: u64) {
        self.refused[why as usize].fetch_add(count, Relaxed);
    }

    /// How many series are known by the bytes that named them, and the memory that takes.
    pub fn known(&self, series: u64, bytes: u64) {
        self.known_series.store(series, Relaxed);
        self.known_bytes.store(bytes, Relaxed);
    }

    /// Writes the families `kubevigil_api_write_*`.
    pub fn write(&self, sink: &mut dyn Sink) {
        let mut table = |name, help, label, rows: &[(&str, &AtomicU64)]| {
            sink.family(&Family { name, help, kind: Kind::Counter, unit: "" });
            for (value, count) in rows {
                sink.sample(name, &[(label, value)], count.load(Relaxed) as f64, None);
            }
        };
        table(
            "kubevigil_api_write_requests_total",
            "Requests of senders that were written, wholly or in part.",
            "protocol",
            &by_protocol(&self.requests),
        );
        table(
            "kubevigil_api_write_samples_total",
            "Samples of senders that were taken, histograms among them.",
            "protocol",
            &by_protocol(&self.samples),
        );
        let of = |list: &'static [(Reason, &'static str)]| -> Vec<(&str, &AtomicU64)> {
            list.iter().map(|(why, name)| (*name, &self.refused[*why as usize])).collect()
        };
        table(
            "kubevigil_api_write_refused_requests_total",
            "Requests of senders of which nothing was taken.",
            "reason",
            &of(&REQUESTS),
        );
        table(
            "kubevigil_api_write_refused_samples_total",
            "Samples and exemplars of senders that were left out.",
            "reason",
            &of(&SAMPLES),
        );
        for (name, help, unit, count) in [
            (
                "kubevigil_api_write_known_series",
                "Series that senders sent lately, whose labels are not read again.",
                "",
                &self.known_series,
            ),
            (
                "kubevigil_api_write_known_bytes",
                "Memory that it takes to know them.",
                "bytes",
                &self.known_bytes,
            ),
        ] {
            sink.family(&Family { name, help, kind: Kind::Gauge, unit });
            sink.sample(name, &[], count.load(Relaxed) as f64, None);
        }
    }
}

fn by_protocol(counts: &[AtomicU64; PROTOCOLS.len()]) -> Vec<(&'static str, &AtomicU64)> {
    PROTOCOLS.iter().copied().zip(counts).collect()
}
