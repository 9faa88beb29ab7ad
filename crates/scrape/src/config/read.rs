//! Reads a Prometheus configuration file: every mistake with its line and column, all at once.

use super::auth::{Auth, Secret, TlsConfig};
use super::exposition::{self, Given};
use super::{Config, Job, StaticTargets, parse_size, remote_write};
use model::labels::is_label_name;
use model::yaml::{self, Entry, Node, Problems, Reader};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The sections of a file.
const SECTIONS: [&str; 10] = [
    "global",
    "scrape_configs",
    "rule_files",
    "alerting",
    "remote_write",
    "remote_read",
    "storage",
    "tracing",
    "otlp",
    "runtime",
];
/// The fields whose values Prometheus never shows, wherever they stand.
const SECRETS: [&str; 7] = [
    "password",
    "credentials",
    "bearer_token",
    "secret_key",
    "client_secret",
    "client_certificate_key",
    "secrets",
];
/// The fields of `global` that hold for each job, and those that have no effect on scrapes.
const GLOBAL: [&str; 22] = [
    "scrape_interval",
    "scrape_timeout",
    "external_labels",
    "body_size_limit",
    "sample_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "target_limit",
    "evaluation_interval",
    "rule_query_offset",
    "query_log_file",
    "scrape_failure_log_file",
    "scrape_protocols",
    "keep_dropped_targets",
    "metric_name_validation_scheme",
    "metric_name_escaping_scheme",
    "runtime",
    "always_scrape_classic_histograms",
    "convert_classic_histograms_to_nhcb",
    "scrape_native_histograms",
    "extra_scrape_metrics",
];
/// The fields of a job that we follow.
const JOB: [&str; 31] = [
    "job_name",
    "scrape_interval",
    "scrape_timeout",
    "metrics_path",
    "scheme",
    "params",
    "honor_labels",
    "honor_timestamps",
    "track_timestamps_staleness",
    "follow_redirects",
    "enable_compression",
    "static_configs",
    "body_size_limit",
    "sample_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "target_limit",
    "tls_config",
    "basic_auth",
    "authorization",
    "bearer_token",
    "scrape_protocols",
    "fallback_scrape_protocol",
    "scrape_native_histograms",
    "always_scrape_classic_histograms",
    "convert_classic_histograms_to_nhcb",
    "native_histogram_bucket_limit",
    "native_histogram_min_bucket_factor",
    "metric_name_validation_scheme",
    "metric_name_escaping_scheme",
];
/// Fields that change nothing for the formats that we read.
const WITHOUT_EFFECT: [&str; 5] = [
    "bearer_token_file",
    "enable_http2",
    "keep_dropped_targets",
    "scrape_failure_log_file",
    "extra_scrape_metrics",
];
/// Fields that would change what is stored, and are not done yet.
const NOT_YET: [&str; 9] = [
    "relabel_configs",
    "metric_relabel_configs",
    "oauth2",
    "sigv4",
    "proxy_url",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
    "http_headers",
];

/// Reads a text.
pub(super) fn parse(text: &str, path: &Path) -> Result<Config, Problems> {
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let file = path.display().to_string();
    let config = yaml::read(text, &file, |reader, node| root(reader, node, &folder))?;
    let yaml = yaml::without_secrets(text, |key| SECRETS.contains(&key));
    Ok(Config { yaml, ..config })
}

/// What `global` says for each job.
#[derive(Default)]
struct Defaults {
    job: Job,
    exposition: Given,
}

fn root(reader: &mut Reader, node: &Node<'_>, folder: &Path) -> Config {
    let mut config = Config::default();
    let entries = reader.entries(node, "the configuration", &SECTIONS);
    let mut defaults = Defaults::default();
    for entry in entries.iter().filter(|e| e.name == "global") {
        global(reader, entry.value, &mut defaults, &mut config);
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        match entry.name {
            "global" | "runtime" => {}
            "scrape_configs" => {
                for item in reader.items(entry.value, "scrape_configs") {
                    let Some(job) = job(reader, item, &defaults, folder) else { continue };
                    let line = item.span.start.line();
                    if let Some(first) = seen.insert(job.name.clone(), line) {
                        let name = &job.name;
                        reader
                            .problem(item, format!("job_name {name:?} was taken at line {first}"));
                    }
                    config.jobs.push(Arc::new(job));
                }
            }
            "remote_write" => config.remote_write = remote_write::read(reader, entry.value, folder),
            _ if entry.value.data.is_null() => {}
            "storage" => storage(reader, entry.value, &mut config),
            section => {
                config.notices.push(format!("{section} has no effect yet: it is left out"));
            }
        }
    }
    config
}

fn storage(reader: &mut Reader, node: &Node<'_>, config: &mut Config) {
    for entry in reader.entries(node, "storage", &["tsdb", "exemplars"]) {
        if entry.name == "tsdb" {
            config.notices.push("storage.tsdb has no effect yet: it is left out".into());
            continue;
        }
        for entry in reader.entries(entry.value, "storage.exemplars", &["max_exemplars"]) {
            // As in Prometheus: less than none is none.
            let text = reader.text(entry.value, entry.name).unwrap_or_default();
            match text.parse::<i64>() {
                Ok(count) => config.exemplars = Some(usize::try_from(count).unwrap_or(0)),
                Err(_) => {
                    let what = format!("max_exemplars is a whole number, not {text:?}");
                    reader.problem(entry.value, what);
                }
            }
        }
    }
}

fn global(reader: &mut Reader, node: &Node<'_>, defaults: &mut Defaults, config: &mut Config) {
    let given = &mut defaults.exposition;
    let defaults = &mut defaults.job;
    let entries = reader.entries(node, "global", &GLOBAL);
    let mut timeout = None;
    for entry in &entries {
        match entry.name {
            "scrape_interval" => {
                defaults.interval_ms = duration(reader, entry).unwrap_or(defaults.interval_ms);
            }
            "scrape_timeout" => timeout = duration(reader, entry),
            "external_labels" => config.external_labels = labels(reader, entry.value, entry.name),
            _ if limit(reader, entry, defaults) => {}
            _ => drop(exposition::take(reader, entry, given)),
        }
    }
    defaults.timeout_ms = timeout.unwrap_or(defaults.timeout_ms.min(defaults.interval_ms));
    if defaults.timeout_ms > defaults.interval_ms {
        let what = "global scrape timeout greater than scrape interval";
        let at = entries.iter().find(|e| e.name == "scrape_timeout").map_or(node, |e| e.value);
        reader.problem(at, what);
    }
}

/// Takes one of the limits; whether it was one.
fn limit(reader: &mut Reader, entry: &Entry<'_, '_>, job: &mut Job) -> bool {
    let limits = &mut job.limits;
    let field = match entry.name {
        "sample_limit" => &mut limits.samples,
        "label_limit" => &mut limits.labels,
        "label_name_length_limit" => &mut limits.label_name,
        "label_value_length_limit" => &mut limits.label_value,
        "target_limit" => &mut limits.targets,
        "body_size_limit" => {
            let text = reader.text(entry.value, entry.name).unwrap_or_default();
            match parse_size(&text) {
                Some(size) => limits.body = size,
                None => {
                    reader.problem(entry.value, "body_size_limit must be a size, for instance 10MB")
                }
            }
            return true;
        }
        _ => return false,
    };
    if let Some(count) = reader.count(entry.value, entry.name) {
        *field = count;
    }
    true
}

fn job(reader: &mut Reader, node: &Node<'_>, defaults: &Defaults, folder: &Path) -> Option<Job> {
    let mut job = defaults.job.clone();
    let mut given = defaults.exposition.clone();
    given.begin_job();
    let before = reader.found();
    let (mut timeout, mut auth_at) = (None, Vec::new());
    for entry in reader.entries(node, "a scrape_config", &[]) {
        let value = entry.value;
        let Entry { name, key, .. } = entry;
        match name {
            "job_name" => job.name = reader.text(value, name).unwrap_or_default(),
            "scrape_interval" => job.interval_ms = duration(reader, &entry).unwrap_or(60_000),
            "scrape_timeout" => timeout = duration(reader, &entry).map(|t| (t, value)),
            "metrics_path" => job.path = path(reader, value),
            "scheme" => match reader.text(value, name).as_deref() {
                Some("http") => job.https = false,
                Some("https") => job.https = true,
                other => {
                    let other = other.unwrap_or_default();
                    reader.problem(value, format!("scheme must be http or https, not {other:?}"));
                }
            },
            "params" => {
                for entry in reader.entries(value, "params", &[]) {
                    let values = reader.texts(entry.value, entry.name);
                    job.params.insert(entry.name.to_owned(), values);
                }
            }
            "honor_labels" => set(reader, &entry, &mut job.honor_labels),
            "honor_timestamps" => set(reader, &entry, &mut job.honor_timestamps),
            "track_timestamps_staleness" => {
                set(reader, &entry, &mut job.track_timestamps_staleness)
            }
            "follow_redirects" => set(reader, &entry, &mut job.follow_redirects),
            "enable_compression" => set(reader, &entry, &mut job.compression),
            "static_configs" => {
                for item in reader.items(value, name) {
                    job.targets.push(static_config(reader, item));
                }
            }
            "tls_config" => job.tls = tls(reader, value, folder),
            "basic_auth" | "authorization" | "bearer_token" | "bearer_token_file" => {
                auth_at.push(key);
                if let Some(auth) = auth(reader, &entry, folder) {
                    job.auth = auth;
                }
            }
            _ if limit(reader, &entry, &mut job) => {}
            _ if exposition::take(reader, &entry, &mut given) => {}
            name if WITHOUT_EFFECT.contains(&name) => {}
            name if NOT_YET.contains(&name) || name.ends_with("_sd_configs") => {
                let what = format!(
                    "{name} is not supported yet, and without it other series would be stored"
                );
                reader.problem(key, what);
            }
            name => {
                let known = JOB.join(", ");
                reader.problem(
                    key,
                    format!("unknown field {name:?} in a scrape_config; there are {known}"),
                );
            }
        }
    }
    if let Some(second) = auth_at.get(1) {
        reader
            .problem(second, "only one of basic_auth, authorization and bearer_token may be given");
    }
    job.timeout_ms = match timeout {
        Some((timeout, at)) if timeout > job.interval_ms => {
            reader.problem(at, "scrape timeout greater than scrape interval");
            timeout
        }
        Some((timeout, _)) => timeout,
        None => job.timeout_ms.min(job.interval_ms),
    };
    job.exposition = given.resolve(reader, node, &defaults.exposition);
    if job.name.is_empty() && reader.found() == before {
        reader.problem(node, "a scrape_config needs a job_name");
    }
    (reader.found() == before).then_some(job)
}

pub(super) fn set(reader: &mut Reader, entry: &Entry<'_, '_>, flag: &mut bool) {
    *flag = reader.flag(entry.value, entry.name).unwrap_or(*flag);
}

/// A duration of at least a millisecond, in milliseconds.
pub(super) fn duration(reader: &mut Reader, entry: &Entry<'_, '_>) -> Option<u64> {
    let text = reader.text(entry.value, entry.name)?;
    match promql::duration::parse_duration(&text) {
        Ok(ns) if ns >= 1_000_000 => Some(ns.unsigned_abs() / 1_000_000),
        Ok(_) => {
            reader.problem(entry.value, format!("{} must be longer than nothing", entry.name));
            None
        }
        Err(e) => {
            reader.problem(entry.value, format!("{}: {e}", entry.name));
            None
        }
    }
}

fn path(reader: &mut Reader, node: &Node<'_>) -> String {
    let text = reader.text(node, "metrics_path").unwrap_or_default();
    let is_path = |c: char| c.is_ascii_graphic() && c != '#';
    if !text.starts_with('/') || !text.chars().all(is_path) {
        reader.problem(node, format!("metrics_path {text:?} must be a path that begins with /"));
    }
    text
}

pub(super) fn labels(
    reader: &mut Reader,
    node: &Node<'_>,
    section: &str,
) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for entry in reader.entries(node, section, &[]) {
        if !is_label_name(entry.name) {
            reader.problem(entry.key, format!("{:?} is not a valid label name", entry.name));
        }
        if let Some(text) = reader.text(entry.value, entry.name) {
            labels.insert(entry.name.to_owned(), text);
        }
    }
    labels
}

fn static_config(reader: &mut Reader, node: &Node<'_>) -> StaticTargets {
    let mut found = StaticTargets::default();
    for entry in reader.entries(node, "a static_config", &["targets", "labels"]) {
        if entry.name == "labels" {
            found.labels = labels(reader, entry.value, "labels");
            continue;
        }
        for item in reader.items(entry.value, "targets") {
            let Some(address) = reader.text(item, "a target") else { continue };
            if address.contains('/') {
                reader
                    .problem(item, format!("{address:?} is not a valid hostname: write HOST:PORT"));
            } else if address.is_empty() || address.contains(char::is_whitespace) {
                reader.problem(item, format!("{address:?} is no target: write HOST:PORT"));
            } else {
                found.addresses.push(address);
            }
        }
    }
    found
}

pub(super) fn auth(reader: &mut Reader, entry: &Entry<'_, '_>, folder: &Path) -> Option<Auth> {
    let bearer = |credentials| Auth::Authorization { kind: "Bearer".into(), credentials };
    let value = entry.value;
    match entry.name {
        "bearer_token" => return Some(bearer(Secret::Text(reader.text(value, entry.name)?))),
        "bearer_token_file" => {
            return Some(bearer(file_secret(reader, value, entry.name, folder)?));
        }
        "authorization" => {
            let (mut kind, mut secret) = ("Bearer".to_owned(), None);
            for part in
                reader.entries(value, entry.name, &["type", "credentials", "credentials_file"])
            {
                match part.name {
                    "type" => kind = reader.text(part.value, "type")?,
                    name => {
                        secret = one_secret(reader, &part, secret, name.ends_with("_file"), folder)
                    }
                }
            }
            if kind.eq_ignore_ascii_case("basic") {
                reader.problem(
                    value,
                    "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
                );
            }
            if secret.is_none() {
                reader.problem(value, "authorization needs credentials or credentials_file");
            }
            return Some(Auth::Authorization { kind, credentials: secret? });
        }
        _ => {}
    }
    let (mut user, mut password) = (None, None);
    let known = ["username", "username_file", "password", "password_file"];
    for part in reader.entries(value, "basic_auth", &known) {
        let is_file = part.name.ends_with("_file");
        if part.name.starts_with("user") {
            user = one_secret(reader, &part, user, is_file, folder);
        } else {
            password = one_secret(reader, &part, password, is_file, folder);
        }
    }
    let empty = || Secret::Text(String::new());
    Some(Auth::Basic { user: user.unwrap_or_else(empty), password: password.unwrap_or_else(empty) })
}

fn one_secret(
    reader: &mut Reader,
    part: &Entry<'_, '_>,
    before: Option<Secret>,
    is_file: bool,
    folder: &Path,
) -> Option<Secret> {
    if before.is_some() {
        let plain = part.name.trim_end_matches("_file");
        reader.problem(part.key, format!("only one of {plain} and {plain}_file may be given"));
    }
    match is_file {
        true => file_secret(reader, part.value, part.name, folder),
        false => reader.text(part.value, part.name).map(Secret::Text),
    }
}

fn file_secret(reader: &mut Reader, node: &Node<'_>, name: &str, folder: &Path) -> Option<Secret> {
    Some(Secret::File(folder.join(reader.text(node, name)?)))
}

pub(super) fn tls(reader: &mut Reader, node: &Node<'_>, folder: &Path) -> TlsConfig {
    let known = [
        "ca_file",
        "cert_file",
        "key_file",
        "server_name",
        "insecure_skip_verify",
        "min_version",
        "max_version",
        "ca",
        "cert",
        "key",
    ];
    let mut tls = TlsConfig::default();
    let (mut cert, mut key): (Option<PathBuf>, Option<PathBuf>) = (None, None);
    for entry in reader.entries(node, "tls_config", &known) {
        let value = entry.value;
        let name = entry.name;
        match name {
            "insecure_skip_verify" => set(reader, &entry, &mut tls.insecure),
            "server_name" => tls.server_name = reader.text(value, name).filter(|t| !t.is_empty()),
            "min_version" | "max_version" => match reader.text(value, name).as_deref() {
                Some("TLS12" | "TLS13") => {}
                other => {
                    let other = other.unwrap_or_default();
                    reader.problem(value, format!("{name} must be TLS12 or TLS13, not {other:?}"));
                }
            },
            "ca" | "cert" | "key" => {
                reader.problem(
                    entry.key,
                    format!("{name} within the file is not supported: write {name}_file"),
                );
            }
            _ => {
                let Some(text) = reader.text(value, name).filter(|t| !t.is_empty()) else {
                    continue;
                };
                let file = Some(folder.join(text));
                match name {
                    "ca_file" => tls.ca_file = file,
                    "cert_file" => cert = file,
                    _ => key = file,
                }
            }
        }
    }
    match (cert, key) {
        (Some(cert), Some(key)) => tls.identity = Some((cert, key)),
        (None, None) => {}
        _ => reader.problem(node, "cert_file and key_file must be given together"),
    }
    tls
}
