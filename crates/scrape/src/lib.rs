//! Scraping: the targets of a Prometheus configuration file and of annotated pods and services, each
//! read on its own clock, its samples put into a group of the store.
//!
//! Never here: the watches that find pods (that is `cluster`'s; [`annotated`] takes plain data), and
//! relabelling, which is not done yet and therefore refused by name. Followed are Prometheus's
//! `configuration.md`, `scrape/scrape.go` and `model/textparse`, version 3.15.

#![forbid(unsafe_code)]

pub mod annotated;
pub mod config;
mod fetch;
#[doc(hidden)]
pub mod fuzz;
mod ingest;
mod negotiate;
mod round;
mod scraper;
mod target;

pub use config::{Config, Job};
pub use ingest::Ingested;
pub use negotiate::ContentTypeError;
pub use scraper::{Counts, JobTargets, Options, Scraper};
pub use target::{Health, Target, TargetStatus};

#[cfg(test)]
mod tests;

/// A place in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Of a text: the line, counted from 1.
    Line(usize),
    /// Of protobuf.
    Metric {
        /// The metric family's name.
        family: String,
        /// How many bytes are before the metric.
        byte: usize,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Line(line) => write!(f, "line {line}"),
            Place::Metric { family, byte } => write!(f, "metric family {family:?} at byte {byte}"),
        }
    }
}

/// Why a scrape gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target could not be asked, or did not answer.
    #[error(transparent)]
    Client(#[from] http::client::Error),
    /// It answered with another status than 200.
    #[error("server returned HTTP status {0}")]
    Status(axum::http::StatusCode),
    /// The answer's format cannot be known, or is none that is read here.
    #[error(transparent)]
    ContentType(#[from] negotiate::ContentTypeError),
    /// The answer's compression.
    #[error("the answer cannot be decompressed: {0}")]
    Compression(String),
    /// The answer is longer than `body_size_limit`.
    #[error("body size limit of {limit} bytes exceeded")]
    BodySize {
        /// The limit.
        limit: u64,
    },
    /// The text of the answer.
    #[error(transparent)]
    Text(#[from] model::exposition::ParseError),
    /// The protobuf of the answer.
    #[error(transparent)]
    Protobuf(#[from] model::exposition::protobuf::ProtobufError),
    /// A native histogram that is none.
    #[error("{at}: {why}")]
    Histogram {
        /// Where.
        at: Place,
        /// Why not.
        why: model::histogram::InvalidHistogram,
    },
    /// A native histogram of more buckets than `native_histogram_bucket_limit`, at any resolution.
    #[error("{at}: histogram bucket limit of {limit} exceeded")]
    BucketLimit {
        /// Where.
        at: Place,
        /// The limit.
        limit: u64,
    },
    /// A name that `metric_name_validation_scheme: legacy` does not allow, or an empty one.
    #[error("{at}: invalid metric name or label name {name:?}")]
    Name {
        /// Where.
        at: Place,
        /// The name.
        name: String,
    },
    /// A label twice in one sample.
    #[error("{at}: label {label:?} comes twice")]
    Duplicate {
        /// Where.
        at: Place,
        /// The label.
        label: String,
    },
    /// More samples than `sample_limit`.
    #[error("sample limit of {limit} exceeded")]
    SampleLimit {
        /// The limit.
        limit: u64,
    },
    /// More or longer labels than allowed.
    #[error("{at}: {what} exceeds {limit_name} of {limit}")]
    LabelLimit {
        /// Where.
        at: Place,
        /// What is too much: `33 labels`.
        what: String,
        /// `label_limit`, …
        limit_name: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A file with a secret.
    #[error("{path}: {why}")]
    Secret {
        /// The file.
        path: String,
        /// Why it is of no use.
        why: String,
    },
    /// A redirect that cannot be followed.
    #[error("redirected to {to:?}: {why}")]
    Redirect {
        /// Where to.
        to: String,
        /// Why not.
        why: &'static str,
    },
    /// It took longer than `scrape_timeout`.
    #[error("scrape timeout of {0:?} exceeded")]
    Timeout(std::time::Duration),
    /// The target's address.
    #[error("{0:?} is no address")]
    Address(String),
    /// The store did not take the samples.
    #[error("not kept: {0}")]
    Store(#[from] tsdb::Error),
}
