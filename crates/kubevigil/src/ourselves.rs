//! Our own metrics: what `/metrics` shows and the job `kubevigil` keeps.

use crate::log;
use crate::machine::Machine;
use crate::process::Usage;
use model::{Family, Kind, Sink};
use promql::RangeCache;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes all of them.
pub fn write(machine: &Machine, sink: &mut dyn Sink) {
    let fixed = &machine.fixed;
    process(&machine.usage(), fixed.started_ms, fixed.memory_limit, sink);
    let mut out = Out(sink);
    rounds(machine, &mut out);
    store(machine.store(), out.0);
    machine.fixed.listener.write(out.0);
    machine.fixed.received.write(out.0);
    machine.fixed.config_file.write(out.0);
    range_cache(machine.fixed.range_cache.as_deref(), out.0);
    machine.sending.write(out.0);
}

/// What the process is and takes.
pub fn process(usage: &Usage, started_ms: i64, memory_limit: Option<u64>, sink: &mut dyn Sink) {
    let mut out = Out(sink);
    let labels = [
        ("revision", option_env!("KUBEVIGIL_REVISION").unwrap_or("")),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    out.begin("kubevigil_build_info", "What this program was built from; always 1.", Kind::Gauge);
    out.0.sample("kubevigil_build_info", &labels, 1.0, None);
    let started = started_ms as f64 / 1000.0;
    let limit = memory_limit.map_or(f64::INFINITY, |b| b as f64);
    out.counter(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
        usage.cpu_seconds,
    );
    out.gauge("process_open_fds", "Number of open file descriptors.", usage.open_files as f64);
    out.gauge(
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        usage.resident_bytes as f64,
    );
    out.gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        started,
    );
    out.gauge("process_threads", "Number of threads.", usage.threads as f64);
    out.gauge("kubevigil_memory_limit_bytes", "Memory that the program may take.", limit);
    out.counter(
        "kubevigil_panics_total",
        "How often a thread panicked; anything above 0 is a bug.",
        log::panics() as f64,
    );
}

fn rounds(machine: &Machine, out: &mut Out<'_>) {
    let counts = &machine.counts;
    let count = |c: &AtomicU64| c.load(Ordering::Relaxed) as f64;
    out.counter("kubevigil_collect_rounds_total", "Rounds of collection.", count(&counts.rounds));
    out.counter(
        "kubevigil_collect_rounds_missed_total",
        "Rounds left out because the one before took longer than the interval.",
        count(&counts.missed),
    );
    out.counter(
        "kubevigil_collect_rounds_not_kept_total",
        "Rounds of which not all samples could be kept.",
        count(&counts.not_kept),
    );
    out.counter(
        "kubevigil_collect_seconds_total",
        "Time that rounds took, from the first file read to the last sample kept.",
        count(&counts.round_us) / 1e6,
    );
    out.counter(
        "kubevigil_collect_samples_total",
        "Samples of all rounds that were kept.",
        count(&counts.samples),
    );
    out.counter(
        "kubevigil_collect_clock_steps_total",
        "How often the wall clock was set.",
        count(&counts.clock_steps),
    );
    out.counter(
        "kubevigil_memory_refused_total",
        "Queries and rounds refused because memory was short.",
        count(&counts.refused),
    );
}

/// What the store of series holds, once it is open.
pub fn store(db: Option<&tsdb::Db>, sink: &mut dyn Sink) {
    let mut out = Out(sink);
    let Some(stats) = db.map(tsdb::Db::stats) else { return };
    let gauges = [
        ("kubevigil_tsdb_head_series", "Series in the head.", stats.series),
        ("kubevigil_tsdb_stored_samples", "Samples in head and blocks.", stats.samples),
        ("kubevigil_tsdb_head_bytes", "Memory of the head.", stats.head_bytes),
        ("kubevigil_tsdb_log_bytes", "Size of the log.", stats.log_bytes),
        ("kubevigil_tsdb_block_bytes", "Size of all blocks.", stats.block_bytes),
        (
            "kubevigil_tsdb_companion_bytes",
            "Size of the companions of all blocks.",
            stats.companion_bytes,
        ),
        ("kubevigil_tsdb_blocks", "Number of blocks.", stats.blocks),
        (
            "prometheus_tsdb_exemplar_exemplars_in_storage",
            "Exemplars that are kept.",
            stats.exemplars.kept,
        ),
        (
            "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
            "Series of which exemplars are kept.",
            stats.exemplars.series,
        ),
        (
            "prometheus_tsdb_exemplar_max_exemplars",
            "Exemplars that may be kept.",
            stats.exemplars.capacity,
        ),
        (
            "kubevigil_tsdb_quarantined_files",
            "Damaged files that were set aside.",
            stats.quarantined.len() as u64,
        ),
        (
            "kubevigil_tsdb_read_only",
            "Whether nothing can be taken in at present.",
            u64::from(stats.read_only.is_some()),
        ),
    ];
    for (name, help, value) in gauges {
        out.gauge(name, help, value as f64);
    }
    out.counter(
        "kubevigil_tsdb_compaction_paused_seconds_total",
        "Time that writing and merging blocks in the background waited to stay within its budget.",
        stats.paused_seconds,
    );
    let counters = [
        ("kubevigil_tsdb_appended_samples_total", "Samples taken in.", stats.appended),
        (
            "kubevigil_tsdb_out_of_order_samples_total",
            "Samples taken in behind the newest of their series.",
            stats.out_of_order,
        ),
        (
            "kubevigil_tsdb_companion_reads_total",
            "Reads for which companions of blocks were read in place of samples.",
            stats.companion_reads,
        ),
        ("kubevigil_tsdb_too_old_samples_total", "Samples refused as too old.", stats.too_old),
        (
            "kubevigil_tsdb_duplicate_samples_total",
            "Samples refused because their time was taken by another value.",
            stats.duplicates,
        ),
        (
            "prometheus_tsdb_exemplar_exemplars_appended_total",
            "Exemplars taken in.",
            stats.exemplars.appended,
        ),
        (
            "prometheus_tsdb_exemplar_out_of_order_exemplars_total",
            "Exemplars refused because they were older than the newest of their series.",
            stats.exemplars.out_of_order,
        ),
        (
            "kubevigil_tsdb_too_long_exemplars_total",
            "Exemplars refused because their labels had more than 128 characters.",
            stats.exemplars.too_long,
        ),
    ];
    let newest_ms = stats.exemplars.newest_ms.unwrap_or(0);
    out.gauge(
        "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
        "The newest exemplar, in seconds since the Unix epoch.",
        newest_ms as f64 / 1000.0,
    );
    for (name, help, value) in counters {
        out.counter(name, help, value as f64);
    }
}

/// What the cache of answers holds and did, where there is one.
pub fn range_cache(cache: Option<&RangeCache>, sink: &mut dyn Sink) {
    let Some(stats) = cache.map(RangeCache::stats) else { return };
    let mut out = Out(sink);
    let counters = [
        ("hits", "Range queries that went on from a kept answer.", stats.hits),
        ("misses", "Range queries that could have, and found none.", stats.misses),
    ];
    for (what, help, value) in counters {
        out.counter(&format!("kubevigil_query_cache_{what}_total"), help, value as f64);
    }
    let gauges = [
        ("entries", "Answers of range queries that are kept.", stats.entries),
        ("bytes", "Memory of kept answers.", stats.bytes),
        ("limit_bytes", "Memory that kept answers may take.", stats.limit),
    ];
    for (what, help, value) in gauges {
        out.gauge(&format!("kubevigil_query_cache_{what}"), help, value as f64);
    }
}

/// Families of one sample without labels.
struct Out<'a>(&'a mut dyn Sink);

impl Out<'_> {
    fn begin(&mut self, name: &str, help: &str, kind: Kind) {
        self.0.family(&Family { name, help, kind, unit: "" });
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.begin(name, help, Kind::Gauge);
        self.0.sample(name, &[], value, None);
    }

    fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.begin(name, help, Kind::Counter);
        self.0.sample(name, &[], value, None);
    }
}
