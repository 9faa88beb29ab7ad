//! `status/tsdb`: which metrics, labels and targets have the most series, and whose end; and
//! `status/tsdb/blocks`. Fields that Prometheus has are named as there, ours follow behind them.

use crate::answer::{self, Failure};
use crate::parameters::{Parameters, parse_integer};
use crate::{Shared, run};
use axum::response::Response;
use serde_json::{Value, json};
use tsdb::{BlockInfo, Count};

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
    // Counting a large head takes a while: it is a query as others are.
    let data = run::read(api, move |api, _| {
        let db = api.backend.database()?;
        let (counted, stats) = (db.cardinality(limit), db.stats());
        Ok(json!({
            "headStats": {
                "numSeries": stats.series,
                "numLabelPairs": counted.label_pairs,
                // Prometheus's chunks have no counterpart here.
                "chunkCount": 0,
                "minTime": stats.oldest_ms.unwrap_or(i64::MAX),
                "maxTime": stats.newest_ms.unwrap_or(i64::MIN),
                "numEndedSeries": counted.ended,
            },
            "seriesCountByMetricName": list(counted.series_by_metric),
            "labelValueCountByLabelName": list(counted.values_by_label),
            "memoryInBytesByLabelName": list(counted.bytes_by_label),
            "seriesCountByLabelValuePair": list(counted.series_by_label_pair),
            "seriesCountByTarget": list(counted.series_by_target),
            "seriesCreatedByMetricName": list(counted.begun_by_metric),
            "seriesEndedByMetricName": list(counted.ended_by_metric),
            "seriesEndedByTarget": list(counted.ended_by_target),
        }))
    })
    .await?;
    answer::success_data(&data)
}

fn list(counts: Vec<Count>) -> Vec<Value> {
    counts.into_iter().map(|c| json!({ "name": c.name, "value": c.count })).collect()
}

/// `GET /api/v1/status/tsdb/blocks`
pub async fn blocks(api: Shared) -> Result<Response, Failure> {
    let blocks = run::ask(&api, |api| Ok(api.backend.database()?.blocks())).await??;
    let blocks: Vec<Value> = blocks.iter().map(block).collect();
    answer::success_data(&json!({ "blocks": blocks }))
}

fn block(info: &BlockInfo) -> Value {
    let meta = &info.meta;
    json!({
        "ulid": ulid(info),
        "minTime": meta.min_ms,
        // Prometheus's blocks end before their `maxTime`.
        "maxTime": meta.max_ms.saturating_add(1),
        "stats": { "numSamples": meta.samples, "numSeries": meta.series },
        // A head's block has level 1 there.
        "compaction": { "level": u64::from(meta.level) + 1 },
        "version": tsdb::block::VERSION,
        "sizeBytes": info.bytes,
        "logEpochs": [info.first, info.last],
    })
}

/// A name in the form of a ULID (github.com/ulid/spec): its time is that of the oldest sample, the
/// rest says which log epochs it has and how often it was written anew.
fn ulid(info: &BlockInfo) -> String {
    /// Crockford's base 32.
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let time = u128::from(info.meta.min_ms.max(0).unsigned_abs() & 0xffff_ffff_ffff);
    let number = time << 80
        | u128::from(info.first) << 48
        | u128::from(info.last) << 16
        | u128::from(info.edition as u16);
    (0..26).rev().map(|i| char::from(DIGITS[(number >> (5 * i)) as usize & 31])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_blocks_sort_by_time() {
        let of = |min_ms, first, edition| {
            let meta = tsdb::block::Meta { min_ms, ..Default::default() };
            ulid(&BlockInfo { first, last: first, edition, meta, bytes: 0 })
        };
        assert_eq!(of(0, 0, 0), "0".repeat(26));
        assert_eq!(of(1_469_918_176_385, 0, 31), "01ARYZ6S41000000000000000Z");
        assert!(of(1, 9, 0) < of(2, 1, 0) && of(1, 1, 0) < of(1, 2, 0));
    }
}
