//! `/metrics` (ourselves), `/metrics/node` and `/metrics/cadvisor`: text for any scraper, in the
//! format that it accepts.

use crate::{Failure, Families, Shared, run};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use model::exposition::{Format, Writer};

/// `GET /metrics`
pub async fn ourselves(api: Shared, headers: HeaderMap) -> Result<Response, Failure> {
    expose(api, &headers, Families::Ourselves).await
}

/// `GET /metrics/node`
pub async fn node(api: Shared, headers: HeaderMap) -> Result<Response, Failure> {
    expose(api, &headers, Families::Node).await
}

/// `GET /metrics/cadvisor`
pub async fn cadvisor(api: Shared, headers: HeaderMap) -> Result<Response, Failure> {
    expose(api, &headers, Families::Cadvisor).await
}

async fn expose(api: Shared, headers: &HeaderMap, of: Families) -> Result<Response, Failure> {
    let format = negotiate(headers);
    let body = run::ask(&api, move |api| {
        let mut body = Vec::new();
        let mut writer = Writer::new(&mut body, format);
        api.backend.write_families(of, &mut writer);
        writer.finish();
        body
    })
    .await?;
    Ok(text(format, body))
}

/// The format that the reader asks for.
pub fn negotiate(headers: &HeaderMap) -> Format {
    Format::negotiate(headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or(""))
}

/// A body in `format`.
pub fn text(format: Format, body: Vec<u8>) -> Response {
    let kind = HeaderValue::from_static(format.content_type());
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}
