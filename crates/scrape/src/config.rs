//! A Prometheus configuration file's `global`, `scrape_configs`, `remote_write` and
//! `storage.exemplars`.
//!
//! What of a file is not done yet (rules, alerting, remote read) is named in [`Config::notices`]
//! where leaving it out changes no series, and refused where it would (relabelling, service discovery).

mod auth;
mod exposition;
mod print;
mod read;
mod relabel;
mod remote_write;
mod size;

pub use auth::{Auth, Secret, TlsConfig};
pub use exposition::{Exposition, Protocol};
pub use remote_write::{Message, QueueConfig, RemoteWrite, Sigv4};
pub use size::parse_size;

use model::yaml::Problems;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What is to be scraped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `scrape_configs`, in the file's order.
    pub jobs: Vec<Arc<Job>>,
    /// `global.external_labels`
    pub external_labels: BTreeMap<String, String>,
    /// `remote_write`, in the file's order.
    pub remote_write: Vec<RemoteWrite>,
    /// `storage.exemplars.max_exemplars`, 0 where it is less.
    pub exemplars: Option<usize>,
    /// The file, without comments and secrets: for people to look at.
    pub yaml: String,
    /// Sections that have no effect yet, in words for the log and the status page.
    pub notices: Vec<String>,
}

/// One of `scrape_configs`, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// `job_name`
    pub name: String,
    /// `scrape_interval`, in milliseconds.
    pub interval_ms: u64,
    /// `scrape_timeout`, in milliseconds.
    pub timeout_ms: u64,
    /// `metrics_path`
    pub path: String,
    /// Whether `scheme` is `https`.
    pub https: bool,
    /// `params`
    pub params: BTreeMap<String, Vec<String>>,
    /// `honor_labels`
    pub honor_labels: bool,
    /// `honor_timestamps`
    pub honor_timestamps: bool,
    /// `track_timestamps_staleness`
    pub track_timestamps_staleness: bool,
    /// `follow_redirects`
    pub follow_redirects: bool,
    /// `enable_compression`
    pub compression: bool,
    /// `basic_auth`, `authorization`, `bearer_token…`
    pub auth: Auth,
    /// `tls_config`
    pub tls: TlsConfig,
    /// `sample_limit` and its kin; 0 for none.
    pub limits: Limits,
    /// `scrape_protocols`, what is made of histograms, and the like.
    pub exposition: Exposition,
    /// `static_configs`
    pub targets: Vec<StaticTargets>,
}

/// What a target may send; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `sample_limit`
    pub samples: u64,
    /// `body_size_limit`, in bytes; without one 256 MiB hold.
    pub body: u64,
    /// `label_limit`
    pub labels: u64,
    /// `label_name_length_limit`, in bytes.
    pub label_name: u64,
    /// `label_value_length_limit`, in bytes.
    pub label_value: u64,
    /// `target_limit`
    pub targets: u64,
}

/// One of `static_configs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticTargets {
    /// `HOST:PORT`
    pub addresses: Vec<String>,
    /// Labels of all of them.
    pub labels: BTreeMap<String, String>,
}

impl Default for Job {
    fn default() -> Job {
        Job {
            name: String::new(),
            interval_ms: 60_000,
            timeout_ms: 10_000,
            path: "/metrics".into(),
            https: false,
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            follow_redirects: true,
            compression: true,
            auth: Auth::None,
            tls: TlsConfig::default(),
            limits: Limits::default(),
            exposition: Exposition::default(),
            targets: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Config, Problems> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| Problems::unreadable(&file, &e))?;
        Config::parse(&text, path)
    }

    /// Reads a text; file names in it are relative to the folder of `path`. All mistakes are told at
    /// once, each with its line and column.
    pub fn parse(text: &str, path: &Path) -> Result<Config, Problems> {
        read::parse(text, path)
    }
}

#[cfg(test)]
mod tests;
