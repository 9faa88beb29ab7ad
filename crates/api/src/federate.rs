//! `/federate`: the newest sample of each series that matches, as text or protobuf with times, for a
//! server above (`web/federate.go`). Native histograms have no text and are left out of it; those
//! with explicit bounds become classic ones.

mod protobuf;

use crate::parameters::Parameters;
use crate::series::failed;
use crate::{Api, Failure, Shared, metrics, query, run};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::exposition::{Escaping, Format, Syntax, Writer, push_float};
use model::histogram::ResetHint;
use model::labels::METRIC_NAME;
use model::value::is_stale;
use model::{Columns, Family, Histogram, Kind, Labels, Matcher, Selection, Sink, Storage, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The newest sample of each series, by name first, as both formats have it.
type Newest = BTreeMap<(String, Labels), (i64, Value)>;

/// `GET /federate`
pub async fn federate(api: Shared, headers: HeaderMap, parameters: Parameters) -> Response {
    let mut sets = Vec::new();
    for text in parameters.all("match[]") {
        match promql::parse_selector(text) {
            Ok(matchers) => sets.push(matchers),
            Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
        }
    }
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let (as_protobuf, escaping) = Format::negotiate_protobuf(accept);
    let format = Format { syntax: Syntax::Text, escaping };
    let body = run::read(api, move |api, storage| {
        let newest = newest(api, storage, &sets)?;
        Ok(if as_protobuf {
            write_protobuf(&newest, escaping)
        } else {
            write_text(&newest, format)
        })
    });
    match body.await {
        Ok(body) if as_protobuf => {
            let kind = HeaderValue::from_static(protobuf::content_type(escaping));
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Ok(body) => metrics::text(format, body),
        Err(error @ (Failure::Unavailable(_) | Failure::Timeout(_))) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn newest(api: &Api, storage: &dyn Storage, sets: &[Vec<Matcher>]) -> Result<Newest, Failure> {
    let end_ms = query::now_ms();
    let start_ms = end_ms - api.engine.options().lookback_ms;
    let mut newest = Newest::new();
    let mut columns = Columns::default();
    for matchers in sets {
        let selection = Selection { matchers, start_ms, end_ms, ..Selection::default() };
        let mut set = storage.select(&selection).map_err(failed)?;
        while let Some(labels) = set.next().map_err(failed)? {
            set.read(&mut columns).map_err(failed)?;
            let Some((time_ms, value)) = last(&columns) else { continue };
            if !labels.metric().is_empty() {
                newest.insert((labels.metric().to_owned(), labels), (time_ms, value));
            }
        }
    }
    Ok(newest)
}

/// The last sample, unless it says that the series ended.
fn last(columns: &Columns) -> Option<(i64, Value)> {
    let at = columns.times_ms.len().checked_sub(1)?;
    let (time_ms, float) = (columns.times_ms[at], *columns.floats.get(at)?);
    let histogram = columns.histograms.last().filter(|h| h.0 as usize == at).map(|h| &h.1);
    match histogram {
        Some(h) => (!is_stale(h.sum)).then(|| (time_ms, Value::Histogram(h.clone()))),
        None => (!is_stale(float)).then_some((time_ms, Value::Float(float))),
    }
}

/// What a family is whose samples are like this one.
fn kind(value: &Value) -> Kind {
    match value {
        Value::Float(_) => Kind::Untyped,
        Value::Histogram(h) if h.reset_hint == ResetHint::Gauge => Kind::GaugeHistogram,
        Value::Histogram(_) => Kind::Histogram,
    }
}

/// The labels without the name, with an empty `instance` where there is none, so that the server
/// above does not put its own in the place.
fn pairs(labels: &Labels) -> Vec<(&str, &str)> {
    let mut pairs: Vec<_> = labels.iter().filter(|l| l.0 != METRIC_NAME).collect();
    if labels.get("instance").is_none() {
        pairs.push(("instance", ""));
        pairs.sort_unstable();
    }
    pairs
}

fn write_text(newest: &Newest, format: Format) -> Vec<u8> {
    let mut body = Vec::new();
    let mut writer = Writer::new(&mut body, format);
    let mut family = ("", Kind::Untyped);
    for ((name, labels), (time_ms, value)) in newest {
        // Text has one type for both kinds of histograms.
        let kind = if let Value::Float(_) = value { Kind::Untyped } else { Kind::Histogram };
        if let Value::Histogram(h) = value
            && !h.uses_custom_bounds()
        {
            continue;
        }
        if family != (name.as_str(), kind) {
            family = (name, kind);
            writer.family(&Family { name, help: "", kind, unit: "" });
        }
        let pairs = pairs(labels);
        match value {
            Value::Float(value) => writer.sample(name, &pairs, *value, Some(*time_ms)),
            Value::Histogram(h) => write_classic(&mut writer, name, &pairs, *time_ms, h),
        }
    }
    writer.finish();
    body
}

/// Upper bounds and cumulative counts of a histogram with explicit bounds, +Inf excepted.
fn classic(h: &Histogram) -> impl Iterator<Item = (f64, f64)> + '_ {
    let mut buckets = h.positive().peekable();
    let mut cumulative = 0.0;
    h.custom_bounds.iter().map(move |bound| {
        while let Some(bucket) = buckets.next_if(|b| b.upper <= *bound) {
            cumulative += bucket.count;
        }
        (*bound, cumulative)
    })
}

fn write_classic(
    writer: &mut Writer<'_>,
    name: &str,
    pairs: &[(&str, &str)],
    time_ms: i64,
    h: &Arc<Histogram>,
) {
    let bucket = format!("{name}_bucket");
    for (bound, count) in classic(h).chain([(f64::INFINITY, h.count)]) {
        let mut le = Vec::new();
        push_float(&mut le, bound);
        let le = String::from_utf8_lossy(&le);
        let mut pairs = pairs.to_vec();
        pairs.push(("le", &*le));
        pairs.sort_unstable();
        writer.sample(&bucket, &pairs, count, Some(time_ms));
    }
    writer.sample(&format!("{name}_sum"), pairs, h.sum, Some(time_ms));
    writer.sample(&format!("{name}_count"), pairs, h.count, Some(time_ms));
}

fn write_protobuf(newest: &Newest, escaping: Escaping) -> Vec<u8> {
    let mut body = Vec::new();
    let mut of_family: Vec<protobuf::Metric<'_>> = Vec::new();
    let mut all = newest.iter().peekable();
    while let Some(((name, labels), (time_ms, value))) = all.next() {
        of_family.push((pairs(labels), *time_ms, value));
        let next = all.peek().map(|(key, sample)| (key.0.as_str(), kind(&sample.1)));
        if next != Some((name.as_str(), kind(value))) {
            protobuf::put_family(&mut body, name, kind(value), &of_family, escaping);
            of_family.clear();
        }
    }
    body
}
