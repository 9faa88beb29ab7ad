//! What stands behind the API: the one trait through which it learns of the store, of the machine
//! and of the program, and the plain data that this trait hands over.

use crate::answer::Failure;
use model::{Sink, Storage};
use node::containers::Container;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the API asks for. Calls may block for as long as one round of collection takes and are
/// made on threads that may block.
pub trait Backend: Send + Sync + 'static {
    /// The store to read; [`Failure::Unavailable`] while it opens.
    fn storage(&self) -> Result<Arc<dyn Storage>, Failure>;

    /// The store to write what others send; [`Failure::Unavailable`] while it opens and while memory
    /// is short.
    fn receiver(&self) -> Result<tsdb::Db, Failure>;

    /// The store itself, to look at and to change; [`Failure::Unavailable`] while it opens.
    fn database(&self) -> Result<tsdb::Db, Failure>;

    /// Whether there is memory for another query; [`Failure::Unavailable`] with the reason where not.
    fn admit(&self) -> Result<(), Failure>;

    /// Why the program is not healthy (a task of it died); `None` where it is.
    fn sick(&self) -> Option<String>;

    /// What the program is and how it fares.
    fn status(&self) -> Status;

    /// Shows the newest round's control groups to `read`.
    fn containers(&self, read: &mut dyn FnMut(&Round<'_>));

    /// What is collected, in Prometheus's terms.
    fn targets(&self) -> Vec<Target>;

    /// Help, type and unit of every metric family, by name.
    fn metadata(&self) -> Arc<BTreeMap<String, Metadata>>;

    /// What a person should know now.
    fn notices(&self) -> Vec<Notice>;

    /// Writes families: what `/metrics` (ourselves), `/metrics/node` and `/metrics/cadvisor` show.
    fn write_families(&self, of: Families, sink: &mut dyn Sink);

    /// The configuration file.
    fn configuration(&self) -> Configuration;
}

/// A configuration file, and what came of reading it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// What is in effect, as YAML without secrets; empty where there is no file.
    pub yaml: String,
    /// Whether that is what the file says now: false once it was changed and has mistakes.
    pub is_current: bool,
    /// When it was read, in milliseconds since the Unix epoch.
    pub read_ms: i64,
}

/// Whose families to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// Our own.
    Ourselves,
    /// The machine's, as node_exporter names them.
    Node,
    /// The containers', as cAdvisor names them.
    Cadvisor,
}

/// A round of collection.
#[derive(Debug, Serialize)]
pub struct Round<'a> {
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Where.
    pub hostname: &'a str,
    /// Every control group, parents before children.
    pub containers: &'a [Container],
}

/// `GET /api/vigil/v1/status`; docs/api.md says what each field means.
#[allow(missing_docs)] // docs/api.md says it
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    pub version: &'static str,
    pub revision: &'static str,
    pub mode: &'static str,
    pub hostname: String,
    pub kernel: String,
    pub boot_ms: Option<i64>,
    pub started_ms: i64,
    pub now_ms: i64,
    pub interval_ms: i64,
    pub opening: Option<Opening>,
    pub process: Process,
    pub store: Store,
    pub collectors: Vec<node::CollectorStatus>,
    pub notices: Vec<Notice>,
    pub flags: Vec<Flag>,
}

/// How far the opening of the data folder is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// What is being read.
    pub what: String,
    /// How much of it is done.
    pub done: u64,
    /// How much there is.
    pub total: u64,
}

/// What the program itself takes.
#[allow(missing_docs)] // docs/api.md says it
#[derive(Clone, Debug, Default, Serialize)]
pub struct Process {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub open_files: u64,
    pub memory_limit_bytes: Option<u64>,
}

/// What is stored.
#[allow(missing_docs)] // docs/api.md says it
#[derive(Clone, Debug, Default, Serialize)]
pub struct Store {
    pub dir: String,
    pub series: u64,
    pub samples: u64,
    pub head_bytes: u64,
    pub log_bytes: u64,
    pub block_bytes: u64,
    pub blocks: u64,
    pub oldest_ms: Option<i64>,
    pub newest_ms: Option<i64>,
    pub retention_ms: i64,
    pub retention_bytes: Option<u64>,
    pub read_only: Option<String>,
    pub quarantined: Vec<Quarantined>,
}

/// A file that was damaged and set aside.
#[derive(Clone, Debug, Serialize)]
pub struct Quarantined {
    /// Where it is now.
    pub file: String,
    /// What was wrong with it.
    pub why: String,
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names say it
pub enum Severity {
    Info,
    Warning,
    Error,
}

/// Something that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// How much it matters.
    pub severity: Severity,
    /// What is so.
    pub what: String,
    /// Why.
    pub why: String,
    /// What a person could do, where anything.
    pub remedy: Option<String>,
}

/// An option of the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flag {
    /// Without the dashes.
    pub name: String,
    /// In effect.
    pub value: String,
    /// Where it is not set.
    pub default: String,
    /// What it does.
    pub help: String,
    /// Whether it was set.
    pub set: bool,
}

/// A target: something of which samples are taken each interval.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Labels before any processing.
    pub discovered_labels: BTreeMap<String, String>,
    /// Labels that its series carry.
    pub labels: BTreeMap<String, String>,
    /// The job.
    pub scrape_pool: String,
    /// Where the same families can be read.
    pub scrape_url: String,
    /// The same as others reach it.
    pub global_url: String,
    /// What went wrong last; empty for nothing.
    pub last_error: String,
    /// RFC 3339.
    pub last_scrape: String,
    /// Seconds.
    pub last_scrape_duration: f64,
    /// `up`, `down` or `unknown`.
    pub health: &'static str,
    /// As `1s`.
    pub scrape_interval: String,
    /// As `1s`.
    pub scrape_timeout: String,
    /// Whose families these are, for `targets/metadata`.
    #[serde(skip)]
    pub families: Vec<String>,
    /// The job of a configuration file or of annotations, for `scrape_pools/config`.
    #[serde(skip)]
    pub scrape_config: Option<std::sync::Arc<scrape::Job>>,
}

/// What is known of a metric family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// `counter`, `gauge`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The unit; may be empty.
    pub unit: String,
    /// One line for people.
    pub help: String,
}

/// Prometheus's name of a kind.
pub fn kind_name(kind: model::Kind) -> &'static str {
    match kind {
        model::Kind::Counter => "counter",
        model::Kind::Gauge => "gauge",
        model::Kind::Histogram => "histogram",
        model::Kind::GaugeHistogram => "gaugehistogram",
        model::Kind::Summary => "summary",
        model::Kind::Info => "info",
        model::Kind::StateSet => "stateset",
        model::Kind::Untyped => "unknown",
    }
}

impl Target {
    /// As a scraper knows it.
    pub fn of_scrape(status: &scrape::TargetStatus) -> Target {
        let target = &status.target;
        let print = |ms: u64| promql::duration::format_duration(ms.cast_signed());
        let pairs = target.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
        Target {
            discovered_labels: target.discovered.clone(),
            labels: pairs.collect(),
            scrape_pool: target.job.name.clone(),
            scrape_url: target.url(),
            global_url: target.url(),
            last_error: status.last_error.clone(),
            last_scrape: crate::parameters::format_time(status.last_scrape_ms),
            last_scrape_duration: status.last_duration,
            health: status.health.as_str(),
            scrape_interval: print(target.interval_ms),
            scrape_timeout: print(target.timeout_ms),
            families: status.families.to_vec(),
            scrape_config: Some(target.job.clone()),
        }
    }
}
