//! `admin/tsdb/*`: what changes or copies what is kept, where it is switched on. Parameters and words
//! are those of Prometheus's `web/api/v1/api.go`.

use crate::access::administration;
use crate::answer::{self, Failure};
use crate::parameters::{MAX_TIME_MS, MIN_TIME_MS, Parameters, format_time, parse_bool};
use crate::query::now_ms;
use crate::{Api, Shared, run};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use std::hash::{BuildHasher, Hasher, RandomState};

/// `POST` and `PUT /api/v1/admin/tsdb/delete_series`
pub async fn delete_series(api: Shared, parameters: Parameters) -> Result<StatusCode, Failure> {
    administration(api.admin)?;
    if parameters.all("match[]").next().is_none() {
        return Err(Failure::BadData("no match[] parameter provided".into()));
    }
    let start_ms = parameters.time_or("start", MIN_TIME_MS)?;
    let end_ms = parameters.time_or("end", MAX_TIME_MS)?;
    let mut sets = Vec::new();
    for text in parameters.all("match[]") {
        let matchers = promql::parse_selector(text);
        sets.push(matchers.map_err(|e| Failure::parameter("match[]", e))?);
    }
    change(api, move |db| {
        for matchers in &sets {
            db.delete(matchers, start_ms, end_ms)?;
        }
        Ok(())
    })
    .await
}

/// `POST` and `PUT /api/v1/admin/tsdb/clean_tombstones`
pub async fn clean_tombstones(api: Shared) -> Result<StatusCode, Failure> {
    administration(api.admin)?;
    change(api, tsdb::Db::clean_tombstones).await
}

/// `POST` and `PUT /api/v1/admin/tsdb/snapshot`: the copy lies in `snapshots/` of the data folder.
pub async fn snapshot(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    administration(api.admin)?;
    let skip_head = match parameters.get("skip_head") {
        "" => false,
        text => parse_bool(text).map_err(|why| {
            Failure::parameter("skip_head", format!("unable to parse boolean: {why}"))
        })?,
    };
    // The time, and what keeps two of the same second apart.
    let time: String =
        format_time(now_ms()).chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    let number = RandomState::new().build_hasher().finish() >> 1;
    let name = format!("{time}Z-{number:016x}");
    let made = run::ask(&api, move |api: &Api| {
        let snapshot = api.backend.database()?.snapshot(&name, !skip_head);
        snapshot.map_err(|e| Failure::Internal(format!("create snapshot: {e}")))?;
        Ok(name)
    });
    answer::success_data(&json!({ "name": made.await?? }))
}

async fn change(
    api: Shared,
    work: impl FnOnce(&tsdb::Db) -> Result<(), tsdb::Error> + Send + 'static,
) -> Result<StatusCode, Failure> {
    run::ask(&api, move |api: &Api| {
        let db = api.backend.database()?;
        work(&db).map_err(|e| Failure::Internal(e.to_string()))
    })
    .await??;
    Ok(StatusCode::NO_CONTENT)
}
