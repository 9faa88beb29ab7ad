//! `meta.json` of a block.

use serde::{Deserialize, Serialize};

/// What a block says of itself. Fields of others are passed over.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Meta {
    /// Its name: 26 characters, the first ten of which are a time.
    pub ulid: String,
    /// First time of its stretch, milliseconds since the Unix epoch.
    #[serde(rename = "minTime")]
    pub min_ms: i64,
    /// End of its stretch, which no sample reaches.
    #[serde(rename = "maxTime")]
    pub max_ms: i64,
    /// What it holds.
    #[serde(default)]
    pub stats: Stats,
    /// What it was made of.
    #[serde(default)]
    pub compaction: Compaction,
    /// The version of this file.
    #[serde(default)]
    pub version: u32,
}

/// What a block holds, in numbers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
#[allow(missing_docs)] // the names say it
pub struct Stats {
    pub num_samples: u64,
    pub num_float_samples: u64,
    pub num_histogram_samples: u64,
    pub num_series: u64,
    pub num_chunks: u64,
    pub num_tombstones: u64,
}

/// What a block was made of.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Compaction {
    /// How often its samples were compacted; 1 straight from memory.
    pub level: u32,
    /// The names of the blocks that came straight from memory and are part of it.
    pub sources: Vec<String>,
    /// What else is known of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Meta {
    /// Whether it holds samples that came late: what is still in the log may be older than it.
    pub fn is_out_of_order(&self) -> bool {
        self.compaction.hints.iter().any(|h| h == "from-out-of-order")
    }
}
