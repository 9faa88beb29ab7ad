//! A configuration file's `remote_write`: where samples are sent to, and how.

use super::auth::{Auth, TlsConfig};
use super::read::{auth, duration, set, tls};
use super::relabel;
use axum::http::{HeaderName, HeaderValue, Uri};
use model::relabel::Rule;
use model::yaml::{Entry, Node, Reader};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// One of `remote_write`, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteWrite {
    /// `url`, without a fragment.
    pub url: String,
    /// `name`; empty where it has none.
    pub name: String,
    /// `protobuf_message`
    pub message: Message,
    /// `remote_timeout`, in milliseconds.
    pub timeout_ms: u64,
    /// `headers`, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// `write_relabel_configs`
    pub relabel: Vec<Rule>,
    /// `send_exemplars`
    pub exemplars: bool,
    /// `send_native_histograms`; without effect in 2.0, which always has them.
    pub native_histograms: bool,
    /// `basic_auth`, `authorization`, `bearer_token…`
    pub auth: Auth,
    /// `sigv4`
    pub sigv4: Option<Sigv4>,
    /// `tls_config`
    pub tls: TlsConfig,
    /// `follow_redirects`
    pub follow_redirects: bool,
    /// `queue_config`
    pub queue: QueueConfig,
    /// `metadata_config.send`
    pub metadata: bool,
    /// `metadata_config.send_interval`, in milliseconds.
    pub metadata_interval_ms: u64,
    /// `metadata_config.max_samples_per_send`
    pub metadata_per_send: usize,
}

/// The protocol of remote write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Message {
    /// `prometheus.WriteRequest`: 1.0
    #[default]
    V1,
    /// `io.prometheus.write.v2.Request`: 2.0
    V2,
}

/// `queue_config`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// `capacity`: samples that wait in memory, for each shard.
    pub capacity: usize,
    /// `max_shards`
    pub max_shards: usize,
    /// `min_shards`
    pub min_shards: usize,
    /// `max_samples_per_send`
    pub per_send: usize,
    /// `batch_send_deadline`, in milliseconds.
    pub deadline_ms: u64,
    /// `min_backoff`, in milliseconds.
    pub min_backoff_ms: u64,
    /// `max_backoff`, in milliseconds.
    pub max_backoff_ms: u64,
    /// `retry_on_http_429`; retried unless the file says no.
    pub retry_429: bool,
    /// `sample_age_limit`, in milliseconds; 0 for none.
    pub age_limit_ms: u64,
}

/// `sigv4`: requests signed as AWS wants them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sigv4 {
    /// `region`; from the environment where it is empty.
    pub region: String,
    /// `access_key`; from the environment or the profile where it is empty.
    pub access_key: String,
    /// `secret_key`
    pub secret_key: String,
    /// `profile`
    pub profile: String,
    /// `service_name`; `aps` where the file does not say.
    pub service: String,
}

/// Never the secret itself.
impl std::fmt::Debug for Sigv4 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sigv4").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Default for QueueConfig {
    fn default() -> QueueConfig {
        QueueConfig {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            per_send: 2_000,
            deadline_ms: 5_000,
            min_backoff_ms: 30,
            max_backoff_ms: 5_000,
            retry_429: true,
            age_limit_ms: 0,
        }
    }
}

impl RemoteWrite {
    /// An endpoint with everything else as it is by default; the address is checked.
    pub fn to(url: &str) -> Result<RemoteWrite, String> {
        let plain = url.split('#').next().unwrap_or_default();
        let parsed: Uri = plain.parse().map_err(|e| format!("{url:?} is no address: {e}"))?;
        let scheme = parsed.scheme_str().unwrap_or_default();
        if !matches!(scheme, "http" | "https") || parsed.host().is_none_or(str::is_empty) {
            return Err(format!("{url:?} must be an address like https://HOST:PORT/PATH"));
        }
        if parsed.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err("an address with a password in it: use basic_auth".into());
        }
        Ok(RemoteWrite {
            url: plain.into(),
            name: String::new(),
            message: Message::V1,
            timeout_ms: 30_000,
            headers: BTreeMap::new(),
            relabel: Vec::new(),
            exemplars: false,
            native_histograms: false,
            auth: Auth::None,
            sigv4: None,
            tls: TlsConfig::default(),
            follow_redirects: true,
            queue: QueueConfig::default(),
            metadata: true,
            metadata_interval_ms: 60_000,
            metadata_per_send: 2_000,
        })
    }
}

const FIELDS: [&str; 28] = [
    "url",
    "name",
    "remote_timeout",
    "headers",
    "write_relabel_configs",
    "send_exemplars",
    "send_native_histograms",
    "protobuf_message",
    "basic_auth",
    "authorization",
    "bearer_token",
    "bearer_token_file",
    "tls_config",
    "follow_redirects",
    "queue_config",
    "metadata_config",
    "sigv4",
    "enable_http2",
    "round_robin_dns",
    "failed_request_logging",
    "oauth2",
    "azuread",
    "google_iam",
    "proxy_url",
    "no_proxy",
    "proxy_from_environment",
    "proxy_connect_header",
    "http_headers",
];

/// Headers that say what the body is, or who we are, and are ours to set.
const RESERVED: [&str; 9] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "x-prometheus-remote-write-version",
];

/// Reads the section; file names are relative to `folder`.
pub(super) fn read(reader: &mut Reader, node: &Node<'_>, folder: &Path) -> Vec<RemoteWrite> {
    let mut endpoints = Vec::new();
    let mut names: HashMap<String, usize> = HashMap::new();
    for item in reader.items(node, "remote_write") {
        let Some(endpoint) = endpoint(reader, item, folder) else { continue };
        let line = item.span.start.line();
        if !endpoint.name.is_empty()
            && let Some(first) = names.insert(endpoint.name.clone(), line)
        {
            let name = &endpoint.name;
            reader.problem(item, format!("the name {name:?} was taken at line {first}"));
        }
        endpoints.push(endpoint);
    }
    endpoints
}

fn endpoint(reader: &mut Reader, node: &Node<'_>, folder: &Path) -> Option<RemoteWrite> {
    let before = reader.found();
    let entries = reader.entries(node, "remote_write", &FIELDS);
    let url = entries.iter().find(|e| e.name == "url");
    let mut to = match url {
        Some(entry) => {
            match RemoteWrite::to(&reader.text(entry.value, "url").unwrap_or_default()) {
                Ok(to) => to,
                Err(why) => {
                    reader.problem(entry.value, format!("url: {why}"));
                    return None;
                }
            }
        }
        None => {
            reader.problem(node, "remote_write needs a url");
            return None;
        }
    };
    let mut auth_at = Vec::new();
    for entry in &entries {
        let Entry { name, key, value } = *entry;
        match name {
            "name" => to.name = reader.text(value, name).unwrap_or_default(),
            "remote_timeout" => to.timeout_ms = duration(reader, entry).unwrap_or(to.timeout_ms),
            "headers" => to.headers = headers(reader, value),
            "write_relabel_configs" => to.relabel = relabel::read(reader, value, name),
            "send_exemplars" => set(reader, entry, &mut to.exemplars),
            "send_native_histograms" => set(reader, entry, &mut to.native_histograms),
            "follow_redirects" => set(reader, entry, &mut to.follow_redirects),
            "protobuf_message" => match reader.text(value, name).as_deref() {
                Some("prometheus.WriteRequest") => to.message = Message::V1,
                Some("io.prometheus.write.v2.Request") => to.message = Message::V2,
                other => {
                    let other = other.unwrap_or_default();
                    reader.problem(
                        value,
                        format!(
                            "protobuf_message must be prometheus.WriteRequest or \
                             io.prometheus.write.v2.Request, not {other:?}"
                        ),
                    );
                }
            },
            "basic_auth" | "authorization" | "bearer_token" | "bearer_token_file" => {
                auth_at.push(key);
                to.auth = auth(reader, entry, folder).unwrap_or_default();
            }
            "sigv4" => {
                auth_at.push(key);
                to.sigv4 = Some(sigv4(reader, value));
            }
            "tls_config" => to.tls = tls(reader, value, folder),
            "queue_config" => to.queue = queue(reader, value),
            "metadata_config" => metadata(reader, value, &mut to),
            // They change how it is sent, not what.
            "url" | "enable_http2" | "round_robin_dns" | "failed_request_logging" => {}
            _ => reader.problem(key, format!("{name} is not supported yet")),
        }
    }
    if let Some(second) = auth_at.get(1) {
        let what = "only one of basic_auth, authorization, bearer_token and sigv4 may be given";
        reader.problem(second, what);
    }
    (reader.found() == before).then_some(to)
}

fn headers(reader: &mut Reader, node: &Node<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for entry in reader.entries(node, "headers", &[]) {
        let name = entry.name.to_ascii_lowercase();
        if RESERVED.contains(&name.as_str()) || name.starts_with("x-amz-") {
            let what = format!("the header {:?} is set by us and cannot be given", entry.name);
            reader.problem(entry.key, what);
        } else if HeaderName::from_bytes(name.as_bytes()).is_err() {
            reader.problem(entry.key, format!("{:?} is no name of a header", entry.name));
        }
        let Some(value) = reader.text(entry.value, entry.name) else { continue };
        if HeaderValue::from_str(&value).is_err() {
            let what = format!("the header {:?} has characters that none may have", entry.name);
            reader.problem(entry.value, what);
        }
        headers.insert(name, value);
    }
    headers
}

/// A number of 1 or more.
fn positive(reader: &mut Reader, entry: &Entry<'_, '_>, into: &mut usize) {
    match reader.count(entry.value, entry.name) {
        Some(0) => reader.problem(entry.value, format!("{} must be 1 or more", entry.name)),
        Some(count) => *into = usize::try_from(count).unwrap_or(usize::MAX),
        None => {}
    }
}

fn queue(reader: &mut Reader, node: &Node<'_>) -> QueueConfig {
    const KNOWN: [&str; 9] = [
        "capacity",
        "max_shards",
        "min_shards",
        "max_samples_per_send",
        "batch_send_deadline",
        "min_backoff",
        "max_backoff",
        "retry_on_http_429",
        "sample_age_limit",
    ];
    let mut queue = QueueConfig::default();
    let entries = reader.entries(node, "queue_config", &KNOWN);
    let given = |name: &str| entries.iter().any(|e| e.name == name);
    for entry in &entries {
        match entry.name {
            "capacity" => positive(reader, entry, &mut queue.capacity),
            "max_shards" => positive(reader, entry, &mut queue.max_shards),
            "min_shards" => positive(reader, entry, &mut queue.min_shards),
            "max_samples_per_send" => positive(reader, entry, &mut queue.per_send),
            "retry_on_http_429" => set(reader, entry, &mut queue.retry_429),
            name => {
                let zero = reader.text(entry.value, name).is_some_and(|t| t == "0s" || t == "0");
                let value = match zero && name == "sample_age_limit" {
                    true => Some(0),
                    false => duration(reader, entry),
                };
                let field = match name {
                    "batch_send_deadline" => &mut queue.deadline_ms,
                    "min_backoff" => &mut queue.min_backoff_ms,
                    "max_backoff" => &mut queue.max_backoff_ms,
                    _ => &mut queue.age_limit_ms,
                };
                *field = value.unwrap_or(*field);
            }
        }
    }
    if queue.min_shards > queue.max_shards {
        match given("max_shards") {
            true => reader.problem(node, "min_shards must not be greater than max_shards"),
            false => queue.max_shards = queue.min_shards,
        }
    }
    const SHARDS: usize = 1000;
    if queue.max_shards > SHARDS {
        reader.problem(node, format!("max_shards must not be greater than {SHARDS}"));
    }
    if queue.min_backoff_ms > queue.max_backoff_ms {
        reader.problem(node, "min_backoff must not be greater than max_backoff");
    }
    queue
}

fn metadata(reader: &mut Reader, node: &Node<'_>, to: &mut RemoteWrite) {
    let known = ["send", "send_interval", "max_samples_per_send"];
    for entry in reader.entries(node, "metadata_config", &known) {
        match entry.name {
            "send" => set(reader, &entry, &mut to.metadata),
            "send_interval" => {
                to.metadata_interval_ms =
                    duration(reader, &entry).unwrap_or(to.metadata_interval_ms);
            }
            _ => positive(reader, &entry, &mut to.metadata_per_send),
        }
    }
}

fn sigv4(reader: &mut Reader, node: &Node<'_>) -> Sigv4 {
    const KNOWN: [&str; 10] = [
        "region",
        "access_key",
        "secret_key",
        "profile",
        "service_name",
        "use_fips_sts_endpoint",
        "role_arn",
        "external_id",
        "session_name",
        "tags",
    ];
    let mut sigv4 = Sigv4 { service: "aps".into(), ..Sigv4::default() };
    for entry in reader.entries(node, "sigv4", &KNOWN) {
        let field = match entry.name {
            "region" => &mut sigv4.region,
            "access_key" => &mut sigv4.access_key,
            "secret_key" => &mut sigv4.secret_key,
            "profile" => &mut sigv4.profile,
            "service_name" => &mut sigv4.service,
            // Only a role is asked for there.
            "use_fips_sts_endpoint" => continue,
            name => {
                reader.problem(entry.key, format!("{name} is not supported yet"));
                continue;
            }
        };
        *field = reader.text(entry.value, entry.name).unwrap_or_default();
    }
    if sigv4.access_key.is_empty() != sigv4.secret_key.is_empty() {
        reader.problem(node, "access_key and secret_key must be given together");
    }
    if sigv4.service.is_empty() {
        sigv4.service = "aps".into();
    }
    sigv4
}

#[cfg(test)]
mod tests {
    use crate::config::{Auth, Config, Message, QueueConfig, RemoteWrite, Secret};
    use model::yaml::Problems;
    use std::path::Path;

    fn parse(text: &str) -> Result<Config, Problems> {
        Config::parse(text, Path::new("/etc/prometheus/prometheus.yml"))
    }

    #[test]
    fn a_whole_section() {
        let text = r#"
remote_write:
- url: https://far.example/api/v1/write?tenant=a
  name: far
  remote_timeout: 5s
  protobuf_message: io.prometheus.write.v2.Request
  headers: {X-Scope-OrgID: a}
  write_relabel_configs:
  - {source_labels: [__name__, job], regex: "go_.*;(.+)", action: drop}
  - {target_label: zone, replacement: z}
  send_exemplars: true
  send_native_histograms: true
  basic_auth: {username: u, password_file: p}
  tls_config: {ca_file: ca.crt, server_name: s}
  follow_redirects: false
  enable_http2: true
  queue_config:
    capacity: 5
    max_shards: 4
    min_shards: 2
    max_samples_per_send: 3
    batch_send_deadline: 100ms
    min_backoff: 1ms
    max_backoff: 2s
    retry_on_http_429: false
    sample_age_limit: 1h
  metadata_config: {send: false, send_interval: 10s, max_samples_per_send: 7}
- url: http://near:9090/api/v1/write
- url: https://aws.example/write
  sigv4: {region: eu-west-1, access_key: a, secret_key: b}
"#;
        let config = parse(text).expect("reads");
        let [far, near, aws] = &config.remote_write[..] else { panic!("three endpoints") };
        assert_eq!(far.url, "https://far.example/api/v1/write?tenant=a");
        assert_eq!((far.name.as_str(), far.message, far.timeout_ms), ("far", Message::V2, 5000));
        assert_eq!(far.headers["x-scope-orgid"], "a");
        assert_eq!(far.relabel.len(), 2);
        assert!(far.exemplars && far.native_histograms && !far.follow_redirects && !far.metadata);
        let Auth::Basic { password, .. } = &far.auth else { panic!("basic_auth") };
        assert_eq!(*password, Secret::File("/etc/prometheus/p".into()));
        let queue = QueueConfig {
            capacity: 5,
            max_shards: 4,
            min_shards: 2,
            per_send: 3,
            deadline_ms: 100,
            min_backoff_ms: 1,
            max_backoff_ms: 2000,
            retry_429: false,
            age_limit_ms: 3_600_000,
        };
        assert_eq!(far.queue, queue);
        assert_eq!((far.metadata_interval_ms, far.metadata_per_send), (10_000, 7));
        assert_eq!(*near, RemoteWrite::to("http://near:9090/api/v1/write").expect("an address"));
        let sigv4 = aws.sigv4.as_ref().expect("is there");
        assert_eq!((sigv4.region.as_str(), sigv4.service.as_str()), ("eu-west-1", "aps"));
        assert!(!format!("{aws:?}").contains('b') || !format!("{sigv4:?}").contains("secret"));
        assert!(config.notices.is_empty());
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let text = r#"remote_write:
- name: a
- url: ftp://x
- url: http://u:p@x/
- url: http://x/
  name: b
  protobuf_message: other
  remote_timeout: soon
  headers: {Content-Type: x, "a b": c}
  bearer_token: t
  sigv4: {access_key: a, role_arn: r}
  oauth2: {}
  queue_config: {capacity: 0, min_shards: 3, max_shards: 2, shards: 1}
  write_relabel_configs:
  - {action: other}
  - {regex: "("}
  - {action: hashmod, target_label: x, source_labels: [y]}
  -
- url: http://x/
  name: c
- url: http://y/
  name: c
"#;
        let error = parse(text).expect_err("mistakes").to_string();
        for expected in [
            ":2:3: remote_write needs a url",
            ":3:8: url: \"ftp://x\" must be an address like https://HOST:PORT/PATH",
            ":4:8: url: an address with a password in it: use basic_auth",
            ":7:21: protobuf_message must be prometheus.WriteRequest or",
            ":8:19: remote_timeout: not a valid duration string: \"soon\"",
            ":9:13: the header \"Content-Type\" is set by us",
            ":9:30: \"a b\" is no name of a header",
            ":11:3: only one of basic_auth, authorization, bearer_token and sigv4",
            ":11:26: role_arn is not supported yet",
            ":12:3: oauth2 is not supported yet",
            ":13:28: capacity must be 1 or more",
            "unknown field \"shards\" in queue_config",
            "min_shards must not be greater than max_shards",
            ":15:14: unknown relabel action \"other\"",
            ":16:13: regex: ",
            "the action hashmod needs a modulus of 1 or more",
            "an empty relabelling rule",
            ":21:3: the name \"c\" was taken at line 19",
        ] {
            assert!(error.contains(expected), "{expected} is not in\n{error}");
        }
    }
}
