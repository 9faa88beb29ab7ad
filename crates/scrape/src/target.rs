//! A target: an address with everything that scraping it takes, and how it fares.

use crate::config::Job;
use model::Labels;
use model::exposition::protobuf::Choice;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Something that is scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// How it is scraped: its job, with what its labels say of histograms.
    pub job: Arc<Job>,
    /// The labels that its series carry: `job`, `instance` and what configuration or discovery adds.
    pub labels: Labels,
    /// What it was known by before; shown on the page.
    pub discovered: BTreeMap<String, String>,
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub https: bool,
    /// `/metrics?match[]=up`
    pub path_and_query: String,
    /// Between two scrapes.
    pub interval_ms: u64,
    /// A scrape's time.
    pub timeout_ms: u64,
}

/// Whether a target answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It was not scraped yet.
    #[default]
    Unknown,
    /// The last scrape went well.
    Up,
    /// The last scrape failed.
    Down,
}

impl Health {
    /// As Prometheus's API has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// A target with how its last scrape went.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetStatus {
    /// The target.
    pub target: Arc<Target>,
    /// Whether it answers.
    pub health: Health,
    /// Why not; empty for nothing.
    pub last_error: String,
    /// When it was scraped, in milliseconds since the Unix epoch; 0 for never.
    pub last_scrape_ms: i64,
    /// How long that took, in seconds.
    pub last_duration: f64,
    /// How many samples it gave.
    pub samples: u64,
    /// The names of the families that it gave.
    pub families: Arc<[String]>,
}

impl Target {
    /// A target of a job by its address and labels, in which those that begin with `__` stand for
    /// themselves: `__address__`, `__scheme__`, `__metrics_path__`, `__param_NAME`,
    /// `__scrape_interval__`, `__scrape_timeout__`, `__scrape_native_histograms__` and its kin. `None`
    /// where there is no such address.
    pub fn new(job: &Arc<Job>, mut discovered: BTreeMap<String, String>) -> Option<Target> {
        let mut fill = |name: &str, value: &str| {
            discovered.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        };
        fill("job", &job.name);
        fill("__scheme__", if job.https { "https" } else { "http" });
        fill("__metrics_path__", &job.path);
        let print = |ms: u64| promql::duration::format_duration(ms.cast_signed());
        fill("__scrape_interval__", &print(job.interval_ms));
        fill("__scrape_timeout__", &print(job.timeout_ms));
        let choice = job.exposition.histograms;
        fill("__scrape_native_histograms__", &choice.native.to_string());
        fill("__always_scrape_classic_histograms__", &choice.classic_too.to_string());
        fill("__convert_classic_histograms_to_nhcb__", &choice.custom.to_string());
        for (name, values) in &job.params {
            if let Some(first) = values.first() {
                fill(&format!("__param_{name}"), first);
            }
        }
        let get = |name: &str| discovered.get(name).map_or("", String::as_str);
        let https = match get("__scheme__") {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (host, port) = split_address(get("__address__"), https)?;
        let read = |name: &str| {
            let ns = promql::duration::parse_duration(get(name)).ok()?;
            Some(ns.unsigned_abs() / 1_000_000).filter(|ms| *ms > 0)
        };
        let interval_ms = read("__scrape_interval__")?;
        let timeout_ms = read("__scrape_timeout__")?.min(interval_ms);
        let flag = |name: &str| go_bool(get(name));
        let histograms = Choice {
            native: flag("__scrape_native_histograms__")?,
            classic_too: flag("__always_scrape_classic_histograms__")?,
            custom: flag("__convert_classic_histograms_to_nhcb__")?,
        };
        let mut job = job.clone();
        if job.exposition.histograms != histograms {
            Arc::make_mut(&mut job).exposition.histograms = histograms;
        }
        let path_and_query = path_and_query(&job, &discovered);
        let shown = discovered.iter().filter(|l| !l.0.starts_with("__"));
        let mut labels = Labels::from_pairs(shown.map(|(n, v)| (n.as_str(), v.as_str()))).builder();
        if !discovered.contains_key("instance") {
            labels.set("instance", get("__address__"));
        }
        let labels = labels.build();
        Some(Target {
            job,
            labels,
            host,
            port,
            https,
            path_and_query,
            interval_ms,
            timeout_ms,
            discovered,
        })
    }

    /// The targets of a job's `static_configs`.
    pub fn of_static(job: &Arc<Job>) -> Vec<Target> {
        let mut targets = Vec::new();
        for group in &job.targets {
            for address in &group.addresses {
                let mut labels = group.labels.clone();
                labels.insert("__address__".into(), address.clone());
                targets.extend(Target::new(job, labels));
            }
        }
        targets
    }

    /// Where it is scraped.
    pub fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let host = &self.host;
        match host.contains(':') {
            true => format!("{scheme}://[{host}]:{}{}", self.port, self.path_and_query),
            false => format!("{scheme}://{host}:{}{}", self.port, self.path_and_query),
        }
    }

    /// A number that spreads targets over an interval; the same in every process.
    pub(crate) fn hash(&self) -> u64 {
        // The standard library's hasher with its fixed keys.
        let mut hasher = DefaultHasher::new();
        self.labels.hash(&mut hasher);
        self.url().hash(&mut hasher);
        hasher.finish()
    }
}

impl TargetStatus {
    pub(crate) fn new(target: Arc<Target>) -> TargetStatus {
        TargetStatus {
            target,
            health: Health::Unknown,
            last_error: String::new(),
            last_scrape_ms: 0,
            last_duration: 0.0,
            samples: 0,
            families: Arc::default(),
        }
    }
}

/// A truth value as Go reads it.
fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// `host:port`, `[::1]:9100`, `host`; the scheme's port where there is none.
pub(crate) fn split_address(address: &str, https: bool) -> Option<(String, u16)> {
    let default = if https { 443 } else { 80 };
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""))?)
        }
        None => match address.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, port),
            // An IPv6 address without brackets has no port.
            _ => (address, ""),
        },
    };
    let port = if port.is_empty() { default } else { port.parse().ok()? };
    let is_part =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'%');
    (!host.is_empty() && host.bytes().all(is_part)).then(|| (host.to_owned(), port))
}

fn path_and_query(job: &Job, discovered: &BTreeMap<String, String>) -> String {
    let path = discovered.get("__metrics_path__").map_or("/metrics", String::as_str);
    let mut params = job.params.clone();
    for (name, value) in discovered {
        let Some(name) = name.strip_prefix("__param_") else { continue };
        match params.entry(name.to_owned()).or_default().first_mut() {
            Some(first) => first.clone_from(value),
            None => {
                params.insert(name.to_owned(), vec![value.clone()]);
            }
        }
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, values) in &params {
        for value in values {
            query.append_pair(name, value);
        }
    }
    let mut out = String::with_capacity(path.len());
    if !path.starts_with('/') {
        out.push('/');
    }
    // Discovery may bring any bytes: what no path can hold is encoded.
    for byte in path.bytes() {
        match byte.is_ascii_graphic() && byte != b'#' {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    let query = query.finish();
    if !query.is_empty() {
        out.push(if out.contains('?') { '&' } else { '?' });
        out.push_str(&query);
    }
    out
}
