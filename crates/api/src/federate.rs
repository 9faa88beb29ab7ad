//! `/federate`: the newest sample of each series that matches, as text with times, for a server
//! above (`web/federate.go`). Native histograms have no text and are left out.

use crate::parameters::Parameters;
use crate::series::failed;
use crate::{Api, Failure, Shared, metrics, query, run};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use model::exposition::{Format, Writer};
use model::{Columns, Family, Kind, Labels, Matcher, Selection, Sink, Storage, value::is_stale};
use std::collections::BTreeMap;

/// `GET /federate`
pub async fn federate(api: Shared, headers: HeaderMap, parameters: Parameters) -> Response {
    let mut sets = Vec::new();
    for text in parameters.all("match[]") {
        match promql::parse_selector(text) {
            Ok(matchers) => sets.push(matchers),
            Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
        }
    }
    let format = metrics::negotiate(&headers);
    let body = run::read(api, move |api, storage| expose(api, storage, &sets, format)).await;
    match body {
        Ok(body) => metrics::text(format, body),
        Err(error @ (Failure::Unavailable(_) | Failure::Timeout(_))) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn expose(
    api: &Api,
    storage: &dyn Storage,
    sets: &[Vec<Matcher>],
    format: Format,
) -> Result<Vec<u8>, Failure> {
    let end_ms = query::now_ms();
    let start_ms = end_ms - api.engine.options().lookback_ms;
    // By name first, as the text has it.
    let mut newest: BTreeMap<(String, Labels), (i64, f64)> = BTreeMap::new();
    let mut columns = Columns::default();
    for matchers in sets {
        let selection = Selection { matchers, start_ms, end_ms, ..Selection::default() };
        let mut set = storage.select(&selection).map_err(failed)?;
        while let Some(labels) = set.next().map_err(failed)? {
            set.read(&mut columns).map_err(failed)?;
            let last = columns.times_ms.len().wrapping_sub(1);
            let (Some(&time_ms), Some(&value)) =
                (columns.times_ms.get(last), columns.floats.get(last))
            else {
                continue;
            };
            let is_histogram = columns.histograms.last().is_some_and(|h| h.0 as usize == last);
            if is_stale(value) || is_histogram || labels.metric().is_empty() {
                continue;
            }
            newest.insert((labels.metric().to_owned(), labels), (time_ms, value));
        }
    }
    let mut body = Vec::new();
    let mut writer = Writer::new(&mut body, format);
    let mut family = "";
    for ((name, labels), (time_ms, value)) in &newest {
        if name != family {
            family = name;
            writer.family(&Family { name, help: "", kind: Kind::Untyped, unit: "" });
        }
        let mut pairs: Vec<_> =
            labels.iter().filter(|l| l.0 != model::labels::METRIC_NAME).collect();
        if labels.get("instance").is_none() {
            // So that the server above does not put its own in the place.
            pairs.push(("instance", ""));
            pairs.sort_unstable();
        }
        writer.sample(name, &pairs, *value, Some(*time_ms));
    }
    writer.finish();
    Ok(body)
}
