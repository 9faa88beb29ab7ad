//! What a queue counts, under Prometheus's names (`prometheus_remote_storage_*`).

use crate::batch::Counts;
use crate::lock;
use model::{Family, Kind, Sink};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Why samples are not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Relabelling says so.
    Series,
    /// Older than `sample_age_limit`.
    TooOld,
    /// What the log did not say what it is: the part of it that did is damaged.
    Unknown,
    /// Histograms with custom buckets, which 1.0 does not have.
    CustomBuckets,
    /// The receiver was away for so long that the log grew to its limit.
    QueueFull,
    /// Sent before a restart, and refused when they were sent again.
    Resent,
    /// Exemplars of which no sample is known to go with, as 2.0 asks for.
    NoSample,
}

/// The names of [`Dropped`], in its order; the first four are Prometheus's.
const REASONS: [&str; 7] = [
    "dropped_series",
    "too_old",
    "unintentionally_dropped_series",
    "nhcb_in_rw1_not_supported",
    "queue_full",
    "resent",
    "no_sample",
];

/// The bounds of `sent_batch_duration_seconds`.
const SECONDS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0];

/// Counts by kind.
#[derive(Debug, Default)]
pub struct Kinds {
    samples: AtomicU64,
    histograms: AtomicU64,
    exemplars: AtomicU64,
}

impl Kinds {
    /// So many more.
    pub fn add(&self, counts: Counts) {
        self.samples.fetch_add(counts.samples, Relaxed);
        self.histograms.fetch_add(counts.histograms, Relaxed);
        self.exemplars.fetch_add(counts.exemplars, Relaxed);
    }

    /// So many fewer.
    pub fn sub(&self, counts: Counts) {
        self.samples.fetch_sub(counts.samples, Relaxed);
        self.histograms.fetch_sub(counts.histograms, Relaxed);
        self.exemplars.fetch_sub(counts.exemplars, Relaxed);
    }

    /// As they are.
    pub fn get(&self) -> Counts {
        Counts {
            samples: self.samples.load(Relaxed),
            histograms: self.histograms.load(Relaxed),
            exemplars: self.exemplars.load(Relaxed),
        }
    }
}

/// What a queue counts.
#[derive(Debug, Default)]
pub struct Meters {
    /// Read from the log, those that are not sent included.
    pub read: Kinds,
    /// Sent, whatever became of them.
    pub sent: Kinds,
    /// Refused by the receiver.
    pub failed: Kinds,
    /// Sent once more, each time.
    pub retried: Kinds,
    dropped: [Kinds; REASONS.len()],
    /// Waiting in memory.
    pub pending: Kinds,
    /// Families sent, refused and sent once more.
    pub metadata: [AtomicU64; 3],
    /// Bytes of requests with samples, compressed.
    pub bytes: AtomicU64,
    /// Bytes of requests with families.
    pub metadata_bytes: AtomicU64,
    /// Times that reading waited for room in a shard.
    pub waits: AtomicU64,
    /// Exemplars read, where they are not to be sent as well.
    pub exemplars_in: AtomicU64,
    /// The newest sample read and the newest sent, in milliseconds; 0 for none. Where none was sent the
    /// first that was read stands for those before, so that what lies between the two is not sent.
    pub newest_read_ms: AtomicI64,
    /// As above.
    pub newest_sent_ms: AtomicI64,
    /// Shards at present.
    pub shards: AtomicU64,
    /// Shards that there should be, as the bits of a float.
    pub desired: AtomicU64,
    /// Bytes of the log that are not read, or not done with.
    pub behind_bytes: AtomicU64,
    /// Places in the log that could not be read.
    pub gaps: AtomicU64,
    durations: Mutex<Durations>,
}

#[derive(Clone, Debug, Default)]
struct Durations {
    buckets: [u64; SECONDS.len()],
    count: u64,
    sum: f64,
}

impl Meters {
    /// Samples that are not sent.
    pub fn dropped(&self, why: Dropped, counts: Counts) {
        self.dropped[why as usize].add(counts);
    }

    /// Samples that were not sent for a reason.
    pub fn dropped_for(&self, why: Dropped) -> Counts {
        self.dropped[why as usize].get()
    }

    /// Something of that time was sent before a restart.
    pub fn sent_before(&self, time_ms: i64) {
        self.newest_read_ms.fetch_max(time_ms, Relaxed);
        self.newest_sent_ms.fetch_max(time_ms, Relaxed);
    }

    /// Something of that time was read.
    pub fn read_until(&self, time_ms: i64) {
        self.newest_read_ms.fetch_max(time_ms, Relaxed);
        // Some other was sent before: no matter.
        let _ = self.newest_sent_ms.compare_exchange(0, time_ms, Relaxed, Relaxed);
    }

    /// A request was answered.
    pub fn took(&self, seconds: f64) {
        let mut durations = lock(&self.durations);
        if let Some(at) = SECONDS.iter().position(|s| seconds <= *s) {
            durations.buckets[at] += 1;
        }
        durations.count += 1;
        durations.sum += seconds;
    }

    /// Seconds that all requests took.
    pub fn seconds(&self) -> f64 {
        lock(&self.durations).sum
    }
}

/// A queue with what tells it from others.
pub struct Shown<'a> {
    /// The label `remote_name`.
    pub name: &'a str,
    /// The label `url`.
    pub url: &'a str,
    /// What it counts.
    pub meters: &'a Meters,
    /// `capacity`, `max_shards`, `min_shards`, `max_samples_per_send`.
    pub limits: [usize; 4],
}

/// Writes the families of all queues.
pub fn write(queues: &[Shown<'_>], sink: &mut dyn Sink) {
    let mut out = Out { queues, sink };
    let at = |n: &AtomicU64| n.load(Relaxed) as f64;
    type Counter = (&'static str, &'static str, fn(&Meters) -> Counts);
    let counters: [Counter; 3] = [
        ("_total", "sent, whatever became of them", |m| m.sent.get()),
        ("_failed_total", "that the receiver refused, which are not sent again", |m| {
            m.failed.get()
        }),
        ("_retried_total", "that were sent once more, each time", |m| m.retried.get()),
    ];
    for (end, help, of) in counters {
        out.each(&format!("samples{end}"), &format!("Samples {help}."), Kind::Counter, |q| {
            of(q.meters).samples as f64
        });
        out.each(
            &format!("histograms{end}"),
            &format!("Native histograms {help}."),
            Kind::Counter,
            |q| of(q.meters).histograms as f64,
        );
        out.each(&format!("exemplars{end}"), &format!("Exemplars {help}."), Kind::Counter, |q| {
            of(q.meters).exemplars as f64
        });
    }
    for (i, (end, help)) in [
        ("_total", "Families described to the receiver."),
        ("_failed_total", "Descriptions of families that the receiver refused."),
        ("_retried_total", "Descriptions of families that were sent once more, each time."),
    ]
    .into_iter()
    .enumerate()
    {
        out.each(&format!("metadata{end}"), help, Kind::Counter, |q| at(&q.meters.metadata[i]));
    }
    out.dropped();
    out.each("samples_pending", "Samples that wait in memory.", Kind::Gauge, |q| {
        q.meters.pending.get().samples as f64
    });
    out.each("histograms_pending", "Native histograms that wait in memory.", Kind::Gauge, |q| {
        q.meters.pending.get().histograms as f64
    });
    out.each("exemplars_pending", "Exemplars that wait in memory.", Kind::Gauge, |q| {
        q.meters.pending.get().exemplars as f64
    });
    out.each(
        "enqueue_retries_total",
        "Times that reading the log waited for room in a shard.",
        Kind::Counter,
        |q| at(&q.meters.waits),
    );
    out.each("bytes_total", "Bytes of requests with samples, compressed.", Kind::Counter, |q| {
        at(&q.meters.bytes)
    });
    out.each(
        "metadata_bytes_total",
        "Bytes of requests with descriptions of families, compressed.",
        Kind::Counter,
        |q| at(&q.meters.metadata_bytes),
    );
    let seconds = |ms: &AtomicI64| ms.load(Relaxed) as f64 / 1000.0;
    out.each(
        "queue_highest_timestamp_seconds",
        "The newest sample that the queue read, in seconds since the Unix epoch.",
        Kind::Gauge,
        |q| seconds(&q.meters.newest_read_ms),
    );
    out.each(
        "queue_highest_sent_timestamp_seconds",
        "The newest sample that was sent, in seconds since the Unix epoch; before the first, the \
         oldest that is not sent.",
        Kind::Gauge,
        |q| seconds(&q.meters.newest_sent_ms),
    );
    out.each("shards", "Requests that may be under way at once.", Kind::Gauge, |q| {
        at(&q.meters.shards)
    });
    out.each("shards_desired", "Shards that the load asks for.", Kind::Gauge, |q| {
        f64::from_bits(q.meters.desired.load(Relaxed))
    });
    for (i, (name, help)) in [
        ("shard_capacity", "Samples that may wait in memory, for each shard."),
        ("shards_max", "Most shards."),
        ("shards_min", "Fewest shards."),
        ("max_samples_per_send", "Most samples in a request."),
    ]
    .into_iter()
    .enumerate()
    {
        out.each(name, help, Kind::Gauge, |q| q.limits[i] as f64);
    }
    out.durations();
    out.own(
        "behind_bytes",
        "Bytes of the store's log that are kept because they are not sent yet.",
        Kind::Gauge,
        |q| at(&q.meters.behind_bytes),
    );
    out.own(
        "log_gaps_total",
        "Places in the store's log that could not be read.",
        Kind::Counter,
        |q| at(&q.meters.gaps),
    );
    out.incoming();
}

struct Out<'a> {
    queues: &'a [Shown<'a>],
    sink: &'a mut dyn Sink,
}

impl Out<'_> {
    fn each(&mut self, name: &str, help: &str, kind: Kind, of: impl Fn(&Shown<'_>) -> f64) {
        self.named(&format!("prometheus_remote_storage_{name}"), help, kind, of);
    }

    fn own(&mut self, name: &str, help: &str, kind: Kind, of: impl Fn(&Shown<'_>) -> f64) {
        self.named(&format!("kubevigil_export_{name}"), help, kind, of);
    }

    fn named(&mut self, name: &str, help: &str, kind: Kind, of: impl Fn(&Shown<'_>) -> f64) {
        self.sink.family(&Family { name, help, kind, unit: "" });
        for queue in self.queues {
            let labels = [("remote_name", queue.name), ("url", queue.url)];
            self.sink.sample(name, &labels, of(queue), None);
        }
    }

    fn dropped(&mut self) {
        for (name, help, of) in [
            (
                "samples",
                "Samples that were not sent, by reason.",
                (|c| c.samples) as fn(Counts) -> u64,
            ),
            ("histograms", "Native histograms that were not sent, by reason.", |c| c.histograms),
            ("exemplars", "Exemplars that were not sent, by reason.", |c| c.exemplars),
        ] {
            let name = format!("prometheus_remote_storage_{name}_dropped_total");
            self.sink.family(&Family { name: &name, help, kind: Kind::Counter, unit: "" });
            for queue in self.queues {
                for (dropped, reason) in queue.meters.dropped.iter().zip(REASONS) {
                    let labels =
                        [("reason", reason), ("remote_name", queue.name), ("url", queue.url)];
                    self.sink.sample(&name, &labels, of(dropped.get()) as f64, None);
                }
            }
        }
    }

    fn durations(&mut self) {
        let name = "prometheus_remote_storage_sent_batch_duration_seconds";
        let help = "How long requests with samples took.";
        self.sink.family(&Family { name, help, kind: Kind::Histogram, unit: "" });
        for queue in self.queues {
            let Durations { buckets, count, sum } = lock(&queue.meters.durations).clone();
            let mut upto = 0;
            for (bound, bucket) in SECONDS.iter().zip(buckets) {
                upto += bucket;
                let bound = bound.to_string();
                let labels = [("le", &*bound), ("remote_name", queue.name), ("url", queue.url)];
                self.sink.sample(&format!("{name}_bucket"), &labels, upto as f64, None);
            }
            let labels = [("le", "+Inf"), ("remote_name", queue.name), ("url", queue.url)];
            self.sink.sample(&format!("{name}_bucket"), &labels, count as f64, None);
            self.sink.sample(&format!("{name}_sum"), &labels[1..], sum, None);
            self.sink.sample(&format!("{name}_count"), &labels[1..], count as f64, None);
        }
    }

    /// What all queues together are offered.
    fn incoming(&mut self) {
        let most = |of: &dyn Fn(&Meters) -> u64| self.queues.iter().map(|q| of(q.meters)).max();
        let families = [
            (
                "samples_in_total",
                "Samples that were there to be sent.",
                Kind::Counter,
                most(&|m| m.read.get().samples).unwrap_or(0) as f64,
            ),
            (
                "histograms_in_total",
                "Native histograms that were there to be sent.",
                Kind::Counter,
                most(&|m| m.read.get().histograms).unwrap_or(0) as f64,
            ),
            (
                "exemplars_in_total",
                "Exemplars that were there to be sent.",
                Kind::Counter,
                most(&|m| m.exemplars_in.load(Relaxed)).unwrap_or(0) as f64,
            ),
            (
                "highest_timestamp_in_seconds",
                "The newest sample that was there to be sent, in seconds since the Unix epoch.",
                Kind::Gauge,
                most(&|m| m.newest_read_ms.load(Relaxed).unsigned_abs()).unwrap_or(0) as f64
                    / 1000.0,
            ),
        ];
        for (name, help, kind, value) in families {
            let name = format!("prometheus_remote_storage_{name}");
            self.sink.family(&Family { name: &name, help, kind, unit: "" });
            self.sink.sample(&name, &[], value, None);
        }
    }
}
