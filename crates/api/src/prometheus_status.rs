//! `status/{buildinfo,runtimeinfo,flags,config,walreplay}` and `/version`. Fields that speak of Go
//! are there, since clients expect them, and say that this is not Go.

use crate::answer::{self, Failure};
use crate::parameters::format_time;
use crate::{Shared, run};
use axum::body::Body;
use axum::response::Response;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn build(version: &str, revision: &str) -> Value {
    json!({
        "version": version,
        "revision": revision,
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    })
}

/// `GET /api/v1/status/buildinfo`. Grafana takes a version of 2.24 or more as leave to ask for
/// label values with `match[]`; what is told is the version of the API that is followed.
pub async fn buildinfo(api: Shared) -> Result<Response, Failure> {
    let status = run::ask(&api, |api| api.backend.status()).await?;
    let mut build = build(API_VERSION, status.revision);
    build["kubevigilVersion"] = status.version.into();
    answer::success_data(&build)
}

/// The version of Prometheus whose API is followed.
const API_VERSION: &str = "3.15.0";

/// `GET /version`
pub async fn version(api: Shared) -> Result<Response, Failure> {
    let status = run::ask(&api, |api| api.backend.status()).await?;
    Ok(answer::json_response(Body::from(build(status.version, status.revision).to_string())))
}

/// `GET /api/v1/status/runtimeinfo`
pub async fn runtimeinfo(api: Shared) -> Result<Response, Failure> {
    let (status, configuration) =
        run::ask(&api, |api| (api.backend.status(), api.backend.configuration())).await?;
    let directory = std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let retention = match status.store.retention_bytes {
        Some(bytes) => {
            format!("{} or {bytes}B", promql::duration::format_duration(status.store.retention_ms))
        }
        None => promql::duration::format_duration(status.store.retention_ms),
    };
    answer::success_data(&json!({
        "startTime": format_time(status.started_ms),
        "CWD": directory,
        "hostname": status.hostname,
        "serverTime": format_time(status.now_ms),
        "reloadConfigSuccess": configuration.is_current,
        "lastConfigTime": format_time(configuration.read_ms),
        "corruptionCount": status.store.quarantined.len(),
        "goroutineCount": 0,
        "GOMAXPROCS": threads,
        "GOMEMLIMIT": status.process.memory_limit_bytes.unwrap_or(0),
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": retention,
    }))
}

/// `GET /api/v1/status/flags`
pub async fn flags(api: Shared) -> Result<Response, Failure> {
    let status = run::ask(&api, |api| api.backend.status()).await?;
    let flags: BTreeMap<_, _> = status.flags.into_iter().map(|f| (f.name, f.value)).collect();
    answer::success_data(&flags)
}

/// `GET /api/v1/status/config`: what the file says, without what it leaves to defaults.
pub async fn config(api: Shared) -> Result<Response, Failure> {
    let configuration = run::ask(&api, |api| api.backend.configuration()).await?;
    answer::success_data(&json!({ "yaml": configuration.yaml }))
}

/// `GET /api/v1/status/walreplay`
pub async fn walreplay(api: Shared) -> Result<Response, Failure> {
    let opening = run::ask(&api, |api| api.backend.status()).await?.opening;
    let (done, total) = opening.map_or((0, 0), |o| (o.done, o.total));
    answer::success_data(&json!({ "min": 0, "max": total, "current": done }))
}
