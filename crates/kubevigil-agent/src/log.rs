//! Where the agent's own words go: standard error, as text or as JSON, one line each. Panics are counted.

use clap::ValueEnum;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::Level;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people (node_exporter's name of it, `logfmt`, is taken too).
    #[value(alias = "logfmt")]
    Text,
    /// For machines.
    Json,
}

static PANICS: AtomicU64 = AtomicU64::new(0);

/// How often a thread panicked.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Begins to log what is at least as severe as `level`.
pub fn begin(format: Format, level: Level) {
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    let builder = builder.with_target(false);
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    match format {
        Format::Text => builder.with_ansi(terminal).init(),
        Format::Json => builder.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        tracing::error!("panicked: {panic}");
    }));
}
