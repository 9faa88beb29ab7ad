//! The log: to standard error, as text for people or as JSON for programs, and a count of panics.

use crate::options::{Log, LogFormat, LogLevel};
use std::sync::atomic::{AtomicU64, Ordering};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Begins to log, and to count panics.
pub fn begin(options: &Log) {
    let level = match options.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // The client says of each request that it failed, and not which; we say which, and once.
    let filter = Targets::new()
        .with_default(level)
        .with_target("kube_client::client::builder", LevelFilter::OFF);
    let log = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // A second logger in one process (a test's) is no reason to fail.
    let _ = match options.log_format {
        LogFormat::Text => log.with(lines.with_target(false).with_ansi(false)).try_init(),
        LogFormat::Json => log.with(lines.json().flatten_event(true)).try_init(),
    };
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        tracing::error!("panicked: {panic}");
        before(panic);
    }));
}

/// How often a thread of ours panicked.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}
