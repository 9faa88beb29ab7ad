//! How a data folder is opened.

use crate::pace::Budget;
use std::sync::Arc;

/// When an acknowledged append returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once the record was given to the kernel: survives a crash of the program, not of the machine.
    Kernel,
    /// After the fsync that covers it; one fsync covers all appends of at most 250 ms.
    #[default]
    Fsync,
}

/// How far opening a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, for people: `reading the log`.
    pub what: &'static str,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Is told how far opening a folder is.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// How a data folder is opened.
#[derive(Clone)]
pub struct Options {
    /// What acknowledged appends wait for.
    pub durability: Durability,
    /// Samples older than this are deleted, in milliseconds; 0 keeps all.
    pub retention_ms: i64,
    /// Blocks and log may take so many bytes; the oldest blocks go first. 0: no limit.
    pub retention_bytes: u64,
    /// How late a sample may be behind its series' newest, in milliseconds.
    pub out_of_order_ms: i64,
    /// The head is written to a block when it spans so much time, in milliseconds.
    pub head_ms: i64,
    /// The head is written to a block when its log has so many bytes.
    pub head_log_bytes: u64,
    /// The widths of companions in milliseconds: of every stretch of time so long is kept what functions over
    /// time need of it, so that queries over weeks need not read all samples. Empty: none are made or read.
    pub companions_ms: Vec<i64>,
    /// Blocks that span so much time have companions, in milliseconds.
    pub companion_span_ms: i64,
    /// What flushing, merging and making companions in the background may take. A head whose log has
    /// `head_log_bytes` is flushed as fast as possible.
    pub budget: Budget,
    /// So many exemplars are kept, the newest of all series; 0 keeps none.
    pub exemplars: usize,
    /// Whether threads of the store's own fsync, compact and delete. Without them
    /// [`crate::Db::sync`] and [`crate::Db::tick`] are the caller's to call.
    pub background: bool,
    /// The log stays when its samples are in a block, for a [`crate::Tail`] that reads it later,
    /// until [`crate::Db::forget_log`].
    pub keep_log: bool,
    /// Called while the folder is opened.
    pub progress: Option<OnProgress>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            durability: Durability::Fsync,
            retention_ms: 15 * 24 * 3_600_000,
            retention_bytes: 0,
            out_of_order_ms: 10 * 60_000,
            head_ms: 30 * 60_000,
            head_log_bytes: 64 << 20,
            companions_ms: vec![5 * 60_000, 3_600_000],
            companion_span_ms: 24 * 3_600_000,
            budget: Budget { cpu: 0.5, bytes_per_second: 64 << 20 },
            exemplars: 100_000,
            background: true,
            keep_log: false,
            progress: None,
        }
    }
}
