//! The queries that run: a list in which each can be cancelled, a file that tells after a crash
//! which ones ran then, and a log of those that ended, a line of JSON each, as Prometheus's
//! `query_log_file` has it.

use crate::Shared;
use crate::answer::Failure;
use crate::parameters::format_time;
use crate::query::now_ms;
use axum::extract::{FromRequestParts, OriginalUri, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use disk::{File, Files, Folder};
use promql::Interrupt;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The file in the data folder that names the queries that run.
const FILE: &str = "queries.active";
/// When it is longer and nothing runs, it begins anew.
const FILE_BYTES: u64 = 64 << 10;
/// So much of a query is written to it.
const TEXT_BYTES: usize = 4096;

/// Who asks, and for what.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The client's address, without its port.
    pub client: String,
    /// The user who signed in; empty for none.
    pub user: String,
    /// The request's method.
    pub method: String,
    /// The request's path.
    pub path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Origin, Infallible> {
        let original = parts.extensions.get::<OriginalUri>();
        let path = original.map_or(parts.uri.path(), |uri| uri.path()).to_owned();
        let client = parts.extensions.get::<http::Peer>().map(|p| p.0.ip().to_string());
        let user = parts.extensions.get::<http::User>().map(|u| u.0.clone());
        Ok(Origin {
            client: client.unwrap_or_default(),
            user: user.unwrap_or_default(),
            method: parts.method.to_string(),
            path,
        })
    }
}

/// What is evaluated.
#[derive(Clone, Debug, Default)]
pub struct Evaluated {
    /// The query.
    pub text: String,
    /// The first time, in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// The last time.
    pub end_ms: i64,
    /// The distance of the times; 0 for a single one.
    pub step_ms: i64,
}

struct Running {
    what: Evaluated,
    origin: Origin,
    began_ms: i64,
    began: Instant,
    interrupt: Interrupt,
}

/// All queries that run.
#[derive(Default)]
pub struct Queries {
    state: Mutex<State>,
    log: Option<Arc<dyn File>>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<u64, Running>,
    next: u64,
    file: Option<Arc<dyn File>>,
    written: u64,
}

/// How a query went.
pub struct Ended<'a> {
    /// Why it failed.
    pub error: Option<String>,
    /// How long it waited for its turn.
    pub queued: Duration,
    /// How long it was evaluated.
    pub evaluated: Duration,
    /// What it looked at.
    pub stats: Option<&'a promql::QueryStats>,
}

/// A query that runs until this is dropped.
pub struct Ticket {
    queries: Arc<Queries>,
    id: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.queries.end(self.id);
    }
}

impl Queries {
    /// With a log of those that end.
    pub fn new(log: Option<Arc<dyn File>>) -> Arc<Queries> {
        Arc::new(Queries { state: Mutex::default(), log })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes from now on which queries run, into a folder that is ours; gives those that ran when
    /// the program ended the last time without an end of its own.
    pub fn keep_in(&self, folder: &Folder) -> Vec<String> {
        let unfinished = folder.read(FILE).map(|bytes| unfinished(&bytes)).unwrap_or_default();
        match folder.remove(FILE) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                tracing::warn!("{}: cannot be removed: {e}", folder.place(FILE));
            }
            _ => {}
        }
        match folder.create(FILE) {
            Ok(file) => {
                let mut state = self.state();
                (state.file, state.written) = (Some(file), 0);
            }
            Err(e) => tracing::warn!("{}: cannot be created: {e}", folder.place(FILE)),
        }
        unfinished
    }

    /// A query begins.
    pub fn begin(
        self: &Arc<Queries>,
        what: Evaluated,
        origin: Origin,
        interrupt: Interrupt,
    ) -> Ticket {
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        let (began_ms, began) = (now_ms(), Instant::now());
        let text = cut(&what.text, TEXT_BYTES);
        state.write(&json!({ "id": id, "query": text, "timestamp_sec": began_ms / 1000 }));
        state.running.insert(id, Running { what, origin, began_ms, began, interrupt });
        Ticket { queries: self.clone(), id }
    }

    fn end(&self, id: u64) {
        let mut state = self.state();
        state.running.remove(&id);
        let empty = state.running.is_empty() && state.written > FILE_BYTES;
        if empty && state.file.as_ref().is_some_and(|f| f.truncate(0).is_ok()) {
            state.written = 0;
        } else {
            state.write(&json!({ "ended": id }));
        }
    }

    /// Writes a line to the log of queries, if there is one.
    pub fn log(&self, what: &Evaluated, origin: &Origin, ended: &Ended<'_>) {
        let Some(log) = &self.log else { return };
        let (queued, evaluated) = (ended.queued.as_secs_f64(), ended.evaluated.as_secs_f64());
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| line.insert(name.into(), value);
        put("time", format_time(now_ms()).into());
        put("level", "INFO".into());
        put("msg", "promql query logged".into());
        put(
            "params",
            json!({
                "query": what.text,
                "start": date(what.start_ms),
                "end": date(what.end_ms),
                "step": what.step_ms / 1000,
            }),
        );
        if let Some(error) = &ended.error {
            put("error", error.as_str().into());
        }
        let (total, peak) = ended.stats.map_or((0, 0), |s| (s.total_samples, s.peak_samples));
        put(
            "stats",
            json!({
                "timings": {
                    "evalTotalTime": evaluated,
                    "execQueueTime": queued,
                    "execTotalTime": evaluated + queued,
                },
                "samples": { "totalQueryableSamples": total, "peakSamples": peak },
            }),
        );
        let Origin { client, method, path, user } = origin;
        let mut request = json!({ "clientIP": client, "method": method, "path": path });
        if !user.is_empty() {
            request["user"] = user.as_str().into();
        }
        put("httpRequest", request);
        let mut line = Value::Object(line).to_string();
        line.push('\n');
        if let Err(e) = log.append_all(line.as_bytes()) {
            tracing::warn!("a query could not be written to the query log: {e}");
        }
    }
}

impl State {
    fn write(&mut self, line: &Value) {
        let Some(file) = &self.file else { return };
        let line = format!("{line}\n");
        self.written += line.len() as u64;
        if let Err(e) = file.append_all(line.as_bytes()) {
            tracing::warn!("{FILE} cannot be written, and is not from now on: {e}");
            self.file = None;
        }
    }
}

/// The queries that begin in a file and do not end in it; what cannot be read is left out.
fn unfinished(bytes: &[u8]) -> Vec<String> {
    let mut running = BTreeMap::new();
    for line in bytes.split(|b| *b == b'\n') {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { continue };
        if let Some(id) = line["ended"].as_u64() {
            running.remove(&id);
        } else if let (Some(id), Some(query)) = (line["id"].as_u64(), line["query"].as_str()) {
            running.insert(id, query.to_owned());
        }
    }
    running.into_values().collect()
}

/// A time with three decimals, also where they are zeros.
fn date(time_ms: i64) -> String {
    let text = format_time(time_ms);
    if text.contains('.') { text } else { text.replace('Z', ".000Z") }
}

/// At most so many bytes of a text.
fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// `GET /api/vigil/v1/queries`
pub async fn list(api: Shared) -> Response {
    let state = api.queries.state();
    let running: Vec<Value> = state.running.iter().map(|(id, r)| shown(*id, r)).collect();
    let body = json!({ "queries": running }).to_string();
    crate::answer::json_response(body.into())
}

fn shown(id: u64, running: &Running) -> Value {
    let Running { what, origin, began_ms, began, .. } = running;
    json!({
        "id": id,
        "query": what.text,
        "start_ms": what.start_ms,
        "end_ms": what.end_ms,
        "step_ms": what.step_ms,
        "began_ms": began_ms,
        "seconds": began.elapsed().as_secs_f64(),
        "client": origin.client,
        "user": origin.user,
        "path": origin.path,
    })
}

/// `DELETE /api/vigil/v1/queries/ID`: the query ends as one whose client went away.
pub async fn cancel(api: Shared, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    let none = || Failure::NotFound(format!("no query {id} runs"));
    let number: u64 = id.parse().map_err(|_| none())?;
    let state = api.queries.state();
    state.running.get(&number).ok_or_else(none)?.interrupt.cancel();
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(text: &str) -> Evaluated {
        Evaluated { text: text.into(), ..Evaluated::default() }
    }

    #[test]
    fn a_crash_leaves_the_names_of_those_that_ran() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let queries = Queries::new(None);
        assert!(queries.keep_in(&folder).is_empty());
        let begin = |text| queries.begin(what(text), Origin::default(), Interrupt::default());
        let (first, second) = (begin("up"), begin("é\"\n"));
        drop(first);
        let third = begin(&"x".repeat(10_000));
        // Another program's start, as after a crash of this one.
        let again = Queries::new(None).keep_in(&folder);
        assert_eq!(again, ["é\"\n".to_owned(), "x".repeat(4096)]);
        drop((second, third));
        assert!(Queries::new(None).keep_in(&folder).is_empty());
    }

    #[test]
    fn the_file_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let queries = Queries::new(None);
        queries.keep_in(&folder);
        for _ in 0..3000 {
            drop(queries.begin(what("sum(up)"), Origin::default(), Interrupt::default()));
        }
        assert!(std::fs::metadata(dir.path().join(FILE)).unwrap().len() < 2 * FILE_BYTES);
    }

    #[test]
    fn any_file_is_read() {
        assert!(unfinished(b"").is_empty());
        assert_eq!(unfinished(b"{\"id\":1,\"query\":\"a\"}\nrubbish\n{\"id\":2,\"que"), ["a"]);
    }
}
