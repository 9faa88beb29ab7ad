//! The two shapes that every answer of the Prometheus API has: success with data, warnings and
//! infos, and an error with its type.

use crate::json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Why a request was not answered with data. Each kind has the status code that Prometheus gives it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A parameter is missing or wrong: 400.
    #[error("{0}")]
    BadData(String),
    /// The query could not be evaluated: 422.
    #[error("{0}")]
    Execution(String),
    /// The client went away: 499.
    #[error("{0}")]
    Canceled(String),
    /// It took longer than allowed: 503.
    #[error("{0}")]
    Timeout(String),
    /// Not able to answer now (the store is opening, memory is short): 503.
    #[error("{0}")]
    Unavailable(String),
    /// Switched off: 500, as Prometheus has it.
    #[error("{0}")]
    Disabled(String),
    /// Our own fault: 500.
    #[error("{0}")]
    Internal(String),
    /// There is no such thing: 404.
    #[error("{0}")]
    NotFound(String),
}

impl Failure {
    /// `invalid parameter "name": why`, as Prometheus words it.
    pub fn parameter(name: &str, why: impl std::fmt::Display) -> Failure {
        Failure::BadData(format!("invalid parameter \"{name}\": {why}"))
    }

    fn kind(&self) -> (&'static str, StatusCode) {
        // 499 is not in the registry of status codes; nginx made it and Prometheus uses it.
        let client_closed = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
        match self {
            Failure::BadData(_) => ("bad_data", StatusCode::BAD_REQUEST),
            Failure::Execution(_) => ("execution", StatusCode::UNPROCESSABLE_ENTITY),
            Failure::Canceled(_) => ("canceled", client_closed),
            Failure::Timeout(_) => ("timeout", StatusCode::SERVICE_UNAVAILABLE),
            Failure::Unavailable(_) => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Failure::Disabled(_) => ("unavailable", StatusCode::INTERNAL_SERVER_ERROR),
            Failure::Internal(_) => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
            Failure::NotFound(_) => ("not_found", StatusCode::NOT_FOUND),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (kind, status) = self.kind();
        let mut body = Vec::new();
        body.extend_from_slice(b"{\"status\":\"error\",\"errorType\":");
        json::string(&mut body, kind);
        body.extend_from_slice(b",\"error\":");
        json::string(&mut body, &self.to_string());
        body.push(b'}');
        let mut response = json_response(Body::from(body));
        *response.status_mut() = status;
        response
    }
}

/// What a reader should know beside the data.
#[derive(Clone, Debug, Default)]
pub struct Remarks {
    /// Something may be wrong with the data.
    pub warnings: Vec<String>,
    /// Something may be wrong with the query.
    pub infos: Vec<String>,
}

impl Remarks {
    /// The warning that a limit cut the answer.
    pub fn truncated(&mut self) {
        self.warnings.push("results truncated due to limit".into());
    }
}

/// Begins a successful answer; its data is to follow.
pub fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"status\":\"success\",\"data\":");
}

/// Ends a successful answer.
pub fn end(out: &mut Vec<u8>, remarks: &Remarks) {
    for (name, list) in [("warnings", &remarks.warnings), ("infos", &remarks.infos)] {
        if !list.is_empty() {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            json::strings(out, list.iter().map(String::as_str));
        }
    }
    out.push(b'}');
}

/// A successful answer whose data `write` appends.
pub fn success(remarks: &Remarks, write: impl FnOnce(&mut Vec<u8>)) -> Response {
    let mut body = Vec::new();
    begin(&mut body);
    write(&mut body);
    end(&mut body, remarks);
    json_response(Body::from(body))
}

/// A successful answer with any data that serde can write.
pub fn success_data(data: &impl serde::Serialize) -> Result<Response, Failure> {
    let data = serde_json::to_vec(data).map_err(|e| Failure::Internal(e.to_string()))?;
    Ok(success(&Remarks::default(), |out| out.extend_from_slice(&data)))
}

/// A body of JSON.
pub fn json_response(body: Body) -> Response {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    let never = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, never);
    response
}
