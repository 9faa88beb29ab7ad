//! What Prometheus has no word for: docs/api.md.

use crate::answer::{Failure, json_response};
use crate::{Shared, run};
use axum::body::Body;
use axum::response::Response;

/// `GET /api/vigil/v1/status`
pub async fn status(api: Shared) -> Result<Response, Failure> {
    json(run::ask(&api, |api| serde_json::to_vec(&api.backend.status())).await?)
}

/// `GET /api/vigil/v1/containers`
pub async fn containers(api: Shared) -> Result<Response, Failure> {
    let written = run::ask(&api, |api| {
        let mut written = Ok(Vec::new());
        api.backend.containers(&mut |round| written = serde_json::to_vec(round));
        written
    });
    json(written.await?)
}

fn json(body: serde_json::Result<Vec<u8>>) -> Result<Response, Failure> {
    let body = body.map_err(|e| Failure::Internal(e.to_string()))?;
    Ok(json_response(Body::from(body)))
}
