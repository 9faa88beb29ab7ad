//! How a collector fared: shown on the status page and in `node_scrape_collector_*`.

use crate::families::Counter;
use model::Sink;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Instant;

/// Something that cannot be known here, why, and what would change that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// What is not collected.
    pub what: Cow<'static, str>,
    /// Why.
    pub why: Cow<'static, str>,
    /// What a person could do, where anything.
    pub remedy: Option<Cow<'static, str>>,
}

impl Missing {
    /// "This kernel does not have it."
    pub fn new(what: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Missing {
        Missing { what: what.into(), why: why.into(), remedy: None }
    }

    /// The same, with a remedy.
    pub fn with_remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Missing {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Why a collector has not everything.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The machine does not have what the collector is about (node_exporter's `ErrNoData`).
    #[error("{}: {}", .0.what, .0.why)]
    Missing(Missing),
    /// A kernel file could not be read or understood.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// Everything was collected that could be, but a person should look; the collector succeeded.
    #[error("{0}")]
    Warning(String),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// One collector in the newest round.
#[derive(Clone, Debug, Serialize)]
pub struct CollectorStatus {
    /// node_exporter's name of it (`cpu`), or `containers`.
    pub name: &'static str,
    /// `node` or `cadvisor`.
    pub job: &'static str,
    /// Whether the options have it switched on.
    pub enabled: bool,
    /// Whether the newest round gave all that it should.
    pub success: bool,
    /// How long it read, in seconds.
    pub seconds: f64,
    /// How many samples it has.
    pub samples: u64,
    /// What went wrong.
    pub error: Option<String>,
    /// What this machine does not have.
    pub missing: Vec<Missing>,
}

impl Failure {
    /// This kernel does not have a file.
    pub(crate) fn absent(what: &'static str, file: &str) -> Failure {
        Failure::Missing(Missing::new(what, format!("this kernel has no {file}")))
    }
}

impl CollectorStatus {
    pub(crate) fn new(name: &'static str, job: &'static str, enabled: bool) -> CollectorStatus {
        CollectorStatus {
            name,
            job,
            enabled,
            success: false,
            seconds: 0.0,
            samples: 0,
            error: None,
            missing: Vec::new(),
        }
    }

    /// Runs one reading and writes down how it went.
    pub(crate) fn run<C: ?Sized>(
        &mut self,
        collector: &mut C,
        read: impl FnOnce(&mut C) -> Result<(), Failure>,
        write: impl FnOnce(&C, &mut dyn Sink),
    ) {
        let start = Instant::now();
        let outcome = read(collector);
        self.seconds = start.elapsed().as_secs_f64();
        self.success = matches!(outcome, Ok(()) | Err(Failure::Warning(_)));
        self.error = None;
        self.missing.clear();
        match outcome {
            Ok(()) => {}
            Err(Failure::Missing(missing)) => self.missing.push(missing),
            Err(failure) => self.error = Some(failure.to_string()),
        }
        let mut counter = Counter::default();
        write(collector, &mut counter);
        self.samples = counter.samples;
    }
}
