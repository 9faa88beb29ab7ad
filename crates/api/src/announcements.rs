//! `notifications` and `notifications/live`: what a person should know now, in the shape of
//! Prometheus's notices to its pages (`util/notifications`), and pushed when it changes.

use crate::answer::{self, Failure};
use crate::backend::Severity;
use crate::parameters::format_time;
use crate::stream::{self, Head};
use crate::{Api, Shared, query, run};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// So many may listen at once: Prometheus's own default.
const LISTENERS: usize = 16;
/// How often is looked whether something changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Texts, and since when each is true.
type Texts = BTreeMap<String, i64>;

/// What is announced, and to how many.
pub struct Announcements {
    known: Mutex<Texts>,
    listeners: Arc<Semaphore>,
}

impl Default for Announcements {
    fn default() -> Announcements {
        Announcements { known: Mutex::default(), listeners: Arc::new(Semaphore::new(LISTENERS)) }
    }
}

impl Announcements {
    fn current(&self, api: &Api) -> Texts {
        let mut texts = Vec::new();
        if let Err(why) = api.backend.database() {
            texts.push(why.to_string());
        }
        for notice in api.backend.notices() {
            if notice.severity != Severity::Info {
                texts.push(format!("{}: {}", notice.what, notice.why));
            }
        }
        self.since(texts, query::now_ms())
    }

    /// Texts that are true at `now_ms`, each with the time since when it is.
    fn since(&self, texts: Vec<String>, now_ms: i64) -> Texts {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let dated = |text: String| {
            let since = known.get(&text).copied().unwrap_or(now_ms);
            (text, since)
        };
        let current: Texts = texts.into_iter().map(dated).collect();
        known.clone_from(&current);
        current
    }
}

fn told(text: &str, since_ms: i64, active: bool) -> Value {
    json!({ "text": text, "date": format_time(since_ms), "active": active })
}

/// `GET /api/v1/notifications`
pub async fn list(api: Shared) -> Result<Response, Failure> {
    let current = run::ask(&api, |api| api.announcements.current(api)).await?;
    let list: Vec<Value> = current.iter().map(|(text, since)| told(text, *since, true)).collect();
    answer::success_data(&list)
}

/// `GET /api/v1/notifications/live`: server-sent events. First all that is true, then each change.
pub async fn live(api: Shared) -> Head {
    let Ok(listening) = api.announcements.listeners.clone().try_acquire_owned() else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let (sender, body) = stream::channel();
    tokio::spawn(async move {
        let _listening = listening;
        let mut sent = Texts::new();
        loop {
            let Ok(current) = run::ask(&api, |api| api.announcements.current(api)).await else {
                return;
            };
            let events = changes(&sent, &current);
            if !events.is_empty() && sender.send(Ok(events.into())).await.is_err() {
                return;
            }
            sent = current;
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    });
    Ok(events_response(body))
}

fn events_response(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The events that lead from what was sent to what is true.
fn changes(sent: &Texts, current: &Texts) -> String {
    let mut events = String::new();
    let ended = sent.iter().filter(|(text, _)| !current.contains_key(*text));
    let begun = current.iter().filter(|(text, _)| !sent.contains_key(*text));
    let ended = ended.map(|(text, since)| told(text, *since, false));
    for event in ended.chain(begun.map(|(text, since)| told(text, *since, true))) {
        events.push_str(&format!("data: {event}\n\n"));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_told_once() {
        let all = Announcements::default();
        let first = all.since(vec!["a".into(), "b".into()], 1000);
        let second = all.since(vec!["b".into(), "c".into()], 2500);
        assert_eq!(second, Texts::from([("b".to_owned(), 1000), ("c".to_owned(), 2500)]));
        let events = changes(&first, &second);
        let wanted = "data: {\"active\":false,\"date\":\"1970-01-01T00:00:01Z\",\"text\":\"a\"}\n\n\
                      data: {\"active\":true,\"date\":\"1970-01-01T00:00:02.500Z\",\"text\":\"c\"}\n\n";
        assert_eq!(events, wanted);
        assert_eq!(changes(&second, &second), "");
    }
}
