//! The pages: the files of the built UI, which are part of the program.

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use http::files::{Entry, Files};
use std::sync::LazyLock;

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

static FILES: LazyLock<Files> = LazyLock::new(|| Files::new(ASSETS, "assets/"));

/// What is no endpoint is a file or a page.
pub async fn page(request: Request) -> Response {
    if FILES.has_index() { FILES.serve(&request) } else { not_built() }
}

fn not_built() -> Response {
    const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
        <title>Kubevigil</title></head><body><h1>Kubevigil is running</h1>\
        <p>Its pages are not in this program, since the UI had not been built when it was compiled. \
        To have them, run <code>make ui</code> in the source folder and compile again.</p>\
        <p>Everything else works: <a href=\"/api/v1/query?query=up\">the Prometheus API</a>, \
        <a href=\"/api/vigil/v1/status\">the status</a>, \
        <a href=\"/metrics/node\">this machine's metrics</a> and \
        <a href=\"/metrics/cadvisor\">its containers' metrics</a>.</p></body></html>\n";
    let mut response = Html(PAGE).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
