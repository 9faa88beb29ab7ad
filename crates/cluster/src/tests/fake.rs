//! A fake API server: answers that a test scripted, without a network.

use crate::connection::Connection;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// A request as the fake got it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) uri: String,
    pub(crate) accept: String,
    pub(crate) body: Value,
}

/// What a script answers.
pub(crate) enum Answer {
    Json(u16, Value),
    /// Lines of a watch, after which the stream ends, or stays open.
    Lines(Vec<Value>, bool),
    /// No answer at all: the connection is refused.
    Refused,
}

/// Every request that was made.
pub(crate) type Log = Arc<Mutex<Vec<Asked>>>;

/// A connection to a fake that answers by `script`.
pub(crate) fn server(
    script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
) -> (Arc<Connection>, Log) {
    let log = Log::default();
    let (script, seen) = (Arc::new(script), log.clone());
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let (script, seen) = (script.clone(), seen.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let header = parts.headers.get("accept");
            let asked = Asked {
                method: parts.method.to_string(),
                uri: parts.uri.to_string(),
                accept: header.map(|h| h.to_str().unwrap().to_owned()).unwrap_or_default(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            seen.lock().unwrap().push(asked.clone());
            let (code, body) = match script(&asked) {
                Answer::Json(code, value) => (code, Body::from(value.to_string())),
                Answer::Lines(lines, open) => (200, lines_of(lines, open)),
                Answer::Refused => return Err("connection refused".into()),
            };
            let mut response = Response::new(body);
            *response.status_mut() = StatusCode::from_u16(code).unwrap();
            Ok::<_, tower::BoxError>(response)
        }
    });
    (Arc::new(Connection::given(kube::Client::new(service, "default"))), log)
}

fn lines_of(lines: Vec<Value>, open: bool) -> Body {
    use futures_util::StreamExt;
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let first = futures_util::stream::once(async move { Ok::<_, std::io::Error>(text) });
    match open {
        true => Body::from_stream(first.chain(futures_util::stream::pending())),
        false => Body::from_stream(first),
    }
}
