//! `/-/healthy` (the program works) and `/-/ready` (its store is open).

use crate::Shared;
use axum::http::StatusCode;

/// `GET /-/healthy`
pub async fn healthy(api: Shared) -> (StatusCode, String) {
    match api.backend.sick() {
        None => (StatusCode::OK, "Kubevigil is healthy.\n".into()),
        Some(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("Kubevigil is not healthy: {why}\n"))
        }
    }
}

/// `GET /-/ready`
pub async fn ready(api: Shared) -> (StatusCode, String) {
    match api.backend.storage() {
        Ok(_) => (StatusCode::OK, "Kubevigil is ready.\n".into()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("Kubevigil is not ready: {why}\n")),
    }
}
