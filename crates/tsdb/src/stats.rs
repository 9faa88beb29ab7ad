//! What the store knows about itself.

/// A file that was set aside because it is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its path within the data folder.
    pub file: String,
    /// Why it was set aside.
    pub why: String,
}

/// The state of the store.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Series that the head holds.
    pub series: u64,
    /// Samples stored, in head and blocks.
    pub samples: u64,
    /// Samples taken in since the folder was opened.
    pub appended: u64,
    /// Samples taken in behind their series' newest since the folder was opened.
    pub out_of_order: u64,
    /// Samples refused since the folder was opened because they were too old.
    pub too_old: u64,
    /// Samples refused since the folder was opened because their time was taken by another value.
    pub duplicates: u64,
    /// Bytes of memory that the head's samples and index take.
    pub head_bytes: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes of all blocks.
    pub block_bytes: u64,
    /// Of them, the bytes of their indexes.
    pub block_index_bytes: u64,
    /// Bytes of the companions of blocks.
    pub companion_bytes: u64,
    /// Reads for which companions were read in place of samples, since the folder was opened.
    pub companion_reads: u64,
    /// Seconds that work in the background waited to stay within its budget, since the folder was opened.
    pub paused_seconds: f64,
    /// How many blocks there are.
    pub blocks: u64,
    /// Time of the oldest sample in milliseconds since the Unix epoch.
    pub oldest_ms: Option<i64>,
    /// Time of the newest sample.
    pub newest_ms: Option<i64>,
    /// Exemplars.
    pub exemplars: ExemplarStats,
    /// Why nothing is taken in at present.
    pub read_only: Option<String>,
    /// Damaged files that were set aside.
    pub quarantined: Vec<Quarantined>,
}

/// What the store knows about its exemplars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExemplarStats {
    /// How many are kept.
    pub kept: u64,
    /// How many may be kept.
    pub capacity: u64,
    /// Of how many series some are kept.
    pub series: u64,
    /// The time of the newest that came, in milliseconds since the Unix epoch.
    pub newest_ms: Option<i64>,
    /// Taken in since the folder was opened.
    pub appended: u64,
    /// Refused since the folder was opened because they were older than their series' newest.
    pub out_of_order: u64,
    /// Refused since the folder was opened because their labels were too long.
    pub too_long: u64,
}

/// A name and how often it occurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The name.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// What takes most room, as Prometheus's `/api/v1/status/tsdb` tells it; each list falls.
#[derive(Clone, Debug, Default)]
pub struct Cardinality {
    /// Series in the head.
    pub series: u64,
    /// Different (label name, value) pairs.
    pub label_pairs: u64,
    /// Series of each metric.
    pub series_by_metric: Vec<Count>,
    /// Different values of each label.
    pub values_by_label: Vec<Count>,
    /// Bytes of the values of each label, each value counted once.
    pub bytes_by_label: Vec<Count>,
    /// Series of each `name=value`.
    pub series_by_label_pair: Vec<Count>,
    /// Series that get no samples any more, and are forgotten once they are in a block.
    pub ended: u64,
    /// Of them, those of each metric.
    pub ended_by_metric: Vec<Count>,
    /// Series of each target, which its job and its instance name.
    pub series_by_target: Vec<Count>,
    /// Of them, those that ended.
    pub ended_by_target: Vec<Count>,
    /// Series by metric, those alone that the newest block does not have.
    pub begun_by_metric: Vec<Count>,
}

/// A block of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    /// The first log epoch whose samples it has.
    pub first: u32,
    /// The last one.
    pub last: u32,
    /// How often it was written anew because it was damaged.
    pub edition: u32,
    /// What it holds.
    pub meta: crate::block::Meta,
    /// Its size.
    pub bytes: u64,
}

/// What is known of a metric apart from its samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The family's name.
    pub name: String,
    /// Its type.
    pub kind: model::Kind,
    /// One line for people.
    pub help: String,
    /// Its unit; often empty.
    pub unit: String,
}
