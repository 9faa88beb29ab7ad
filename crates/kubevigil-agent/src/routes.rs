//! Paths and their answers.

use crate::page;
use crate::rounds::{Rounds, View};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::encoding::{Accepted, Encoding};
use model::exposition::Format;
use std::sync::Arc;

/// All paths.
pub fn router(rounds: Arc<Rounds>) -> Router {
    let metrics = |view| {
        get(
            move |State(rounds): State<Arc<Rounds>>, RawQuery(query), headers: HeaderMap| async move {
                answer(&rounds, view, query.as_deref(), &headers)
            },
        )
    };
    Router::new()
        .route("/", get(index))
        .route("/metrics", metrics(View::All))
        .route("/metrics/node", metrics(View::Node))
        .route("/metrics/cadvisor", metrics(View::Cadvisor))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(rounds)
}

fn answer(rounds: &Rounds, view: View, query: Option<&str>, headers: &HeaderMap) -> Response {
    // node_exporter chooses collectors by the query; to answer with all of them would be wrong.
    let asked = query.unwrap_or("").split('&').find(|q| {
        let name = q.split('=').next().unwrap_or("").replace("%5B%5D", "[]");
        matches!(name.as_str(), "collect[]" | "exclude[]")
    });
    if let Some(asked) = asked {
        let text = format!(
            "{asked:?}: collectors are chosen by --collector.NAME and --no-collector.NAME only\n"
        );
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let format = Format::negotiate(accept);
    let gzip = Accepted::of(headers).choose(&[Encoding::Gzip]) == Encoding::Gzip;
    let body = rounds.answer(view, format, gzip);
    let fixed = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::VARY, "Accept, Accept-Encoding"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let coding = gzip.then_some([(header::CONTENT_ENCODING, Encoding::Gzip.name())]);
    match coding {
        Some(coding) => (fixed, coding, body).into_response(),
        None => (fixed, body).into_response(),
    }
}

async fn index(State(rounds): State<Arc<Rounds>>) -> Html<String> {
    Html(page::index(&rounds.collectors()))
}

async fn ready(State(rounds): State<Arc<Rounds>>) -> Response {
    if rounds.ready() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "the first round is not done\n").into_response()
}
