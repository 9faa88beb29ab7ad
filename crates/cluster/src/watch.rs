//! Keeps a cache equal to what the API server holds: lists in pages, watches from there on, and
//! goes on after every interruption, from where it was if the server still knows that place.
//!
//! Follows the Kubernetes API's rules for lists and watches: `continue` tokens, bookmarks, 410 for
//! what was forgotten. A broken watch never empties a cache.

use crate::Error;
use crate::cache::{Cache, Object};
use crate::connection::{Connection, explain};
use crate::labels::{Interner, Labels};
use axum::http::{Request, header};
use futures_util::io::{AsyncBufRead, AsyncBufReadExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Objects in one page of a list.
const PAGE: usize = 500;
/// The largest object that is read, in bytes; etcd holds none of this size.
const LONGEST: usize = 16 << 20;
/// How long one page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server keeps a watch open, at least.
const WATCH_SECONDS: u64 = 240;
/// A server that is there sends a bookmark about once a minute.
const SILENCE: Duration = Duration::from_secs(100);
/// Between two attempts, at first and at most.
pub(crate) const BACK_OFF: (Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(5));

/// How an object is kept.
pub(crate) trait Kept: Object + Sized {
    /// What the API server writes.
    type Wire: DeserializeOwned;

    /// What is kept of it.
    fn keep(wire: Self::Wire, interner: &mut Interner) -> Self;
}

/// What is watched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// For instance `/api/v1/nodes`.
    pub(crate) path: Cow<'static, str>,
    pub(crate) labels: String,
    pub(crate) fields: String,
    /// Only the metadata is sent.
    pub(crate) metadata_only: bool,
}

/// An object's metadata, as far as somebody keeps something of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) owner_references: Vec<OwnerReference>,
    pub(crate) managed_fields: Vec<Managed>,
    creation_timestamp: Option<String>,
}

/// Who wrote some of an object's fields.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Managed {
    pub(crate) manager: String,
    pub(crate) subresource: String,
    pub(crate) time: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OwnerReference {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) controller: bool,
}

impl Meta {
    /// Milliseconds since the Unix epoch; 0 where it is not told.
    pub(crate) fn created_ms(&self) -> i64 {
        let text = self.creation_timestamp.as_deref().unwrap_or_default();
        text.parse::<k8s_openapi::jiff::Timestamp>().map_or(0, |t| t.as_millisecond())
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMeta {
    resource_version: String,
    r#continue: String,
}

/// Keeps `cache` as the API server has it, for ever.
pub(crate) async fn run<T: Kept>(
    connection: Arc<Connection>,
    source: Source,
    cache: Cache<T>,
    waits: (Duration, Duration),
) {
    let mut watcher = Watcher { connection, source, cache, interner: Interner::default() };
    let mut back_off = BackOff { waits, next: waits.0 };
    let mut version: Option<String> = None;
    loop {
        let outcome = match version.take() {
            None => watcher.list().await,
            Some(from) => watcher.watch(from, &mut back_off).await,
        };
        match outcome {
            Ok(next) => {
                version = next;
                back_off.reset();
            }
            Err(Broken { error, resume }) => {
                let what = &watcher.source.path;
                let why = explain(&error);
                if watcher.cache.contact().error.is_none() {
                    tracing::warn!("the watch of {what} broke: {why}; the last state stays");
                } else {
                    tracing::debug!("the watch of {what} is still broken: {why}");
                }
                watcher.cache.failed(why);
                version = resume;
                tokio::time::sleep(back_off.next()).await;
            }
        }
    }
}

struct Watcher<T> {
    connection: Arc<Connection>,
    source: Source,
    cache: Cache<T>,
    interner: Interner,
}

/// What went wrong, and the version from which the watch can go on.
struct Broken {
    error: Error,
    resume: Option<String>,
}

impl<T: Kept> Watcher<T> {
    fn request(&self, query: &str) -> Request<Vec<u8>> {
        let Source { path, labels, fields, metadata_only } = &self.source;
        let mut uri = format!("{path}?{query}");
        for (name, value) in [("labelSelector", labels), ("fieldSelector", fields)] {
            if !value.is_empty() {
                uri.push_str(&format!("&{name}={}", escape(value)));
            }
        }
        let kind = if query.starts_with("watch") { "" } else { "List" };
        let accept = match metadata_only {
            true => format!("application/json;as=PartialObjectMetadata{kind};g=meta.k8s.io;v=v1"),
            false => "application/json".to_owned(),
        };
        let mut request = Request::new(Vec::new());
        // Path and query are ours or escaped, so neither can be refused.
        *request.uri_mut() = uri.parse().unwrap_or_default();
        if let Ok(accept) = accept.parse() {
            request.headers_mut().insert(header::ACCEPT, accept);
        }
        request
    }

    /// Lists everything; returns the version from which to watch.
    async fn list(&mut self) -> Result<Option<String>, Broken> {
        let broken = |error| Broken { error, resume: None };
        let mut next = String::new();
        self.cache.begin_listing();
        loop {
            let request = self.request(&format!("limit={PAGE}&continue={}", escape(&next)));
            let client = self.connection.client();
            let page = tokio::time::timeout(PAGE_TIMEOUT, client.request::<Page>(request));
            let page = match page.await {
                Ok(page) => page.map_err(|e| broken(Error::api(&self.source.path, e)))?,
                Err(_) => return Err(broken(Error::Silent(self.source.path.to_string()))),
            };
            let items = page.items.unwrap_or_default();
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                match serde_json::from_str(item.get()) {
                    Ok(wire) => kept.push(T::keep(wire, &mut self.interner)),
                    Err(error) => {
                        let brief = serde_json::from_str::<OnlyMeta<'_>>(item.get());
                        self.unreadable(&brief.map(|b| b.metadata).unwrap_or_default(), &error);
                    }
                }
            }
            self.cache.apply_all(kept);
            if page.metadata.r#continue.is_empty() {
                self.cache.end_listing();
                return Ok(Some(page.metadata.resource_version));
            }
            next = page.metadata.r#continue;
        }
    }

    /// Watches until the server ends it; returns the version from which to go on, `None` where the
    /// server has forgotten it.
    async fn watch(
        &mut self,
        mut version: String,
        back_off: &mut BackOff,
    ) -> Result<Option<String>, Broken> {
        let seconds = WATCH_SECONDS + jitter() % WATCH_SECONDS;
        let query = format!(
            "watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={}",
            escape(&version)
        );
        let request = self.request(&query);
        let path = self.source.path.clone();
        let client = self.connection.client();
        let stream = match tokio::time::timeout(PAGE_TIMEOUT, client.request_stream(request)).await
        {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if is_gone(&error) => return Ok(None),
            Ok(Err(error)) => {
                return Err(Broken { error: Error::api(&path, error), resume: Some(version) });
            }
            Err(_) => {
                let error = Error::Silent(path.to_string());
                return Err(Broken { error, resume: Some(version) });
            }
        };
        self.cache.heard(false);
        let mut stream = pin!(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            match tokio::time::timeout(SILENCE, read_line(&mut stream, &mut line)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Ok(Some(version)),
                Ok(Err(error)) => {
                    let error =
                        Error::Api { what: path.to_string(), why: error.to_string(), code: 0 };
                    return Err(Broken { error, resume: Some(version) });
                }
                // Asking again is cheap, and shows whether the server is still there.
                Err(_) => return Ok(Some(version)),
            }
            back_off.reset();
            match self.event(&line) {
                Ok(at) => version = at,
                Err(None) => return Ok(None),
                Err(Some(error)) => return Err(Broken { error, resume: Some(version) }),
            }
        }
    }

    /// Takes one event over; returns its version. No error means that the version was forgotten.
    fn event(&mut self, line: &[u8]) -> Result<String, Option<Error>> {
        let wrong = |e: serde_json::Error| {
            let why = format!("not an event of a watch: {e}");
            Some(Error::Api { what: self.source.path.to_string(), why, code: 0 })
        };
        let event: Event<'_> = serde_json::from_slice(line).map_err(wrong)?;
        if event.r#type == "ERROR" {
            let status: Refusal = serde_json::from_str(event.object.get()).unwrap_or_default();
            if status.code == 410 {
                return Err(None);
            }
            let Refusal { message: why, code } = status;
            return Err(Some(Error::Api { what: self.source.path.to_string(), why, code }));
        }
        let OnlyMeta { metadata } = serde_json::from_str(event.object.get()).map_err(wrong)?;
        match event.r#type {
            "ADDED" | "MODIFIED" => match serde_json::from_str(event.object.get()) {
                Ok(wire) => self.cache.apply_all([T::keep(wire, &mut self.interner)]),
                Err(error) => self.unreadable(&metadata, &error),
            },
            "DELETED" => self.cache.remove(metadata.namespace, metadata.name),
            _ => self.cache.heard(false),
        }
        Ok(metadata.resource_version.to_owned())
    }

    /// One object that cannot be read takes no other with it.
    fn unreadable(&self, metadata: &MetaInBrief<'_>, error: &serde_json::Error) {
        let MetaInBrief { namespace, name, .. } = metadata;
        tracing::warn!("{}: cannot read {namespace}/{name}: {error}", self.source.path);
    }
}

/// A line of a watch.
#[derive(Deserialize)]
struct Event<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    message: String,
    code: u16,
}

#[derive(Deserialize)]
struct OnlyMeta<'a> {
    #[serde(borrow, default)]
    metadata: MetaInBrief<'a>,
}

/// None of these fields needs an escape in JSON: names are names of DNS, versions are numbers.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MetaInBrief<'a> {
    namespace: &'a str,
    name: &'a str,
    resource_version: &'a str,
}

/// Reads a line without its end; false where there is none.
async fn read_line(
    stream: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    loop {
        let chunk = stream.fill_buf().await?;
        if chunk.is_empty() {
            // A line that was cut off is asked for again.
            return Ok(false);
        }
        let end = chunk.iter().position(|b| *b == b'\n');
        line.extend_from_slice(&chunk[..end.unwrap_or(chunk.len())]);
        let used = end.map_or(chunk.len(), |at| at + 1);
        stream.consume_unpin(used);
        if end.is_some() {
            return Ok(true);
        }
        if line.len() > LONGEST {
            return Err(std::io::Error::other(format!("an object larger than {LONGEST} bytes")));
        }
    }
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

/// Percent-encodes all but letters, digits and `-_.~`.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte.into());
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Any number.
fn jitter() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

/// Waits that double, each shortened by chance by up to a half.
struct BackOff {
    waits: (Duration, Duration),
    next: Duration,
}

impl BackOff {
    fn reset(&mut self) {
        self.next = self.waits.0;
    }

    fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.waits.1);
        wait / 2 + wait.mul_f64((jitter() % 512) as f64 / 1024.0)
    }
}
