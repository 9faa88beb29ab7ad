//! How a data folder is opened.

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
    /// Whether threads of the store's own fsync, compact and delete. Without them
    /// [`crate::Db::sync`] and [`crate::Db::tick`] are the caller's to call.
    pub background: bool,
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
            background: true,
            progress: None,
        }
    }
}
