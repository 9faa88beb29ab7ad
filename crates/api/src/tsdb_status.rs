//! `status/tsdb`: which metrics and labels have the most series.

use crate::answer::{self, Failure};
use crate::parameters::{Parameters, parse_integer};
use crate::{Shared, run};
use axum::response::Response;
use serde_json::{Value, json};
use tsdb::Count;

const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 10_000;

/// `GET /api/v1/status/tsdb`
pub async fn tsdb(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    let limit = match parameters.get("limit") {
        "" => DEFAULT_LIMIT,
        text => {
            let number = parse_integer(text).ok().and_then(|n| usize::try_from(n).ok());
            number
                .filter(|n| *n > 0)
                .ok_or_else(|| Failure::BadData("limit must be a positive number".into()))?
        }
    };
    if limit > MAX_LIMIT {
        return Err(Failure::BadData(format!("limit must not exceed {MAX_LIMIT}")));
    }
    let data = run::ask(&api, move |api| -> Result<_, Failure> {
        let counted = api.backend.cardinality(limit)?;
        let store = api.backend.status().store;
        Ok(json!({
            "headStats": {
                "numSeries": store.series,
                "numLabelPairs": counted.label_pairs,
                // Prometheus's chunks have no counterpart here.
                "chunkCount": 0,
                "minTime": store.oldest_ms.unwrap_or(i64::MAX),
                "maxTime": store.newest_ms.unwrap_or(i64::MIN),
            },
            "seriesCountByMetricName": list(counted.series_by_metric),
            "labelValueCountByLabelName": list(counted.values_by_label),
            "memoryInBytesByLabelName": list(counted.bytes_by_label),
            "seriesCountByLabelValuePair": list(counted.series_by_label_pair),
        }))
    })
    .await??;
    answer::success_data(&data)
}

fn list(counts: Vec<Count>) -> Vec<Value> {
    counts.into_iter().map(|c| json!({ "name": c.name, "value": c.count })).collect()
}
