//! What a query is asked with and what it answers.

use crate::ast::ParseError;
use crate::cache::RangeCache;
use crate::memory::{MemoryLimits, Reserved};
use model::{Histogram, Labels, Stop, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// What the engine may do; the defaults are Prometheus 3's own, except that no language feature
/// is switched off.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How far an instant selector looks back, in milliseconds.
    pub lookback_ms: i64,
    /// At most so many samples in memory for one query.
    pub max_samples: usize,
    /// Step of subqueries that state none, in milliseconds.
    pub subquery_step_ms: i64,
    /// Whether metric names are dropped at the end of the query instead of at once.
    pub delayed_name_removal: bool,
    /// Whether `__type__` and `__unit__` are treated as part of a metric's name.
    pub type_and_unit_labels: bool,
    /// Whether rate and its kin use start timestamps where the store has them.
    pub start_timestamps: bool,
    /// What the language may contain.
    pub parse: ParseOptions,
}

/// What the language may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Functions that Prometheus calls experimental.
    pub experimental_functions: bool,
    /// Durations that are computed.
    pub duration_expressions: bool,
    /// `anchored` and `smoothed`.
    pub extended_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
}

impl Default for ParseOptions {
    fn default() -> Self {
        ParseOptions {
            experimental_functions: true,
            duration_expressions: true,
            extended_selectors: true,
            fill_modifiers: true,
        }
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions {
            lookback_ms: 5 * 60 * 1000,
            max_samples: 50_000_000,
            subquery_step_ms: 60 * 1000,
            delayed_name_removal: false,
            type_and_unit_labels: false,
            start_timestamps: false,
            parse: ParseOptions::default(),
        }
    }
}

/// What one query may override, and how it is stopped.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// How far an instant selector looks back, in milliseconds; `None` for the engine's own.
    pub lookback_ms: Option<i64>,
    /// Stops the query from another thread.
    pub interrupt: Interrupt,
    /// Whether to tell where the time went ([`QueryResult::explain`]).
    pub explain: bool,
    /// What it may hold in memory.
    pub memory: MemoryLimits,
    /// Where a range query may find what was computed before, and leaves what it computed.
    pub cache: Option<Arc<RangeCache>>,
}

/// A flag that stops a query, shared between the query's thread and whoever may stop it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// The query ends with [`QueryError::Canceled`].
    pub fn cancel(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// The query ends with [`QueryError::Timeout`].
    pub fn time_out(&self) {
        self.0.store(2, Ordering::Relaxed);
    }

    /// For a store to look at.
    pub(crate) fn flag(&self) -> Stop<'_> {
        Stop::when_set(&self.0)
    }

    /// Whether the query was stopped.
    pub(crate) fn stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Fails once the query was stopped.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            1 => Err(QueryError::Canceled("expression evaluation".into())),
            _ => Err(QueryError::Timeout("expression evaluation".into())),
        }
    }
}

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// Its value.
    pub value: QueryValue,
    /// What may make the value wrong, with positions; sorted, each once.
    pub warnings: Vec<String>,
    /// What the asker may want to know; sorted, each once.
    pub infos: Vec<String>,
    /// What it took.
    pub stats: QueryStats,
    /// Where the time went, where that was asked for.
    pub explain: Option<Explained>,
    /// The memory that the value takes of the pool.
    pub memory: Reserved,
}

/// What an expression of a query did, or the store for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explained {
    /// The operator, function or selector; of the root the whole query.
    pub expr: String,
    /// Seconds at work, those of the children included.
    pub seconds: f64,
    /// Series that it gave on.
    pub series: u64,
    /// Samples that were read from the store, for the children too.
    pub samples: u64,
    /// What it worked on.
    pub children: Vec<Explained>,
}

/// What a query took.
#[derive(Clone, Debug, Default)]
pub struct QueryStats {
    /// Samples that were looked at, over all steps.
    pub total_samples: u64,
    /// The most samples that were in memory at once.
    pub peak_samples: u64,
    /// Samples that were looked at, by step: milliseconds since the Unix epoch, and how many.
    pub samples_per_step: Vec<(i64, u64)>,
    /// Samples that were looked at, those of a window once alone that the window before had already.
    pub read_samples: u64,
    /// These by step.
    pub read_per_step: Vec<(i64, u64)>,
    /// The most bytes that were counted as held at once.
    pub peak_bytes: u64,
    /// How long the query was prepared.
    pub preparing: Duration,
    /// How long it was evaluated, without what came before and behind.
    pub evaluating: Duration,
    /// How long its result was sorted.
    pub sorting: Duration,
}

/// The value of a query.
#[derive(Clone, Debug)]
pub enum QueryValue {
    /// A number at a time (milliseconds since the Unix epoch).
    Scalar(i64, f64),
    /// A string at a time.
    String(i64, String),
    /// One sample a series, all at the query's time; the order matters to `sort` and `topk`.
    Vector(Vec<VectorSample>),
    /// Samples over time, sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

impl QueryValue {
    /// How many series it has.
    pub(crate) fn series(&self) -> usize {
        match self {
            QueryValue::Scalar(..) | QueryValue::String(..) => 1,
            QueryValue::Vector(all) => all.len(),
            QueryValue::Matrix(all) => all.len(),
        }
    }

    /// How the HTTP API names its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            QueryValue::Scalar(..) => "scalar",
            QueryValue::String(..) => "string",
            QueryValue::Vector(_) => "vector",
            QueryValue::Matrix(_) => "matrix",
        }
    }
}

/// An element of an instant vector.
#[derive(Clone, Debug)]
pub struct VectorSample {
    /// Its labels.
    pub labels: Labels,
    /// Milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Its value.
    pub value: Value,
}

/// A series of a matrix.
#[derive(Clone, Debug, Default)]
pub struct MatrixSeries {
    /// Its labels.
    pub labels: Labels,
    /// Floats by time (milliseconds since the Unix epoch).
    pub floats: Vec<(i64, f64)>,
    /// Native histograms by time.
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

/// Why a query has no answer; the HTTP API tells these apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It is not PromQL (`bad_data`).
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// Its parameters make no sense (`bad_data`).
    #[error("{0}")]
    BadData(String),
    /// It cannot be computed (`execution`).
    #[error("{0}")]
    Execution(String),
    /// It would need too many samples (`execution`).
    #[error("query processing would load too many samples into memory in {0}")]
    TooManySamples(String),
    /// It would need too much memory (`execution`).
    #[error(
        "query processing would take more than {limit} bytes of memory; ask for less, or raise \
         --query.max-memory"
    )]
    TooMuchMemory {
        /// What one query may take.
        limit: u64,
    },
    /// Other queries take the memory (`unavailable`).
    #[error(
        "queries take {held} bytes of memory, and not more than {limit} may be; ask again later, for \
         less, or raise --query.max-total-memory"
    )]
    NoMemory {
        /// What they take.
        held: u64,
        /// What all may take.
        limit: u64,
    },
    /// It took too long (`timeout`).
    #[error("query timed out in {0}")]
    Timeout(String),
    /// It was stopped (`canceled`).
    #[error("query was canceled in {0}")]
    Canceled(String),
    /// The store failed (`internal`).
    #[error("{0}")]
    Storage(String),
}
