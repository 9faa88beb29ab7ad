//! `/api/v1/write`: remote write 1.0 and 2.0, received. Status codes, headers and words are those of
//! the two specifications and of Prometheus's `storage/remote/write_handler.go`; what differs is
//! told in docs/api.md.

mod v1;
mod v2;

use crate::queries::Origin;
use crate::query::now_ms;
use crate::receive::{self, Batch, Charge, Coding, Protocol, Reader, Reason, Refused, Written};
use crate::{Api, Shared};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::Kind;
use model::protobuf::Malformed;
use std::sync::Arc;

/// Fuzz bodies: what must hold for any bytes.
#[doc(hidden)]
pub mod fuzz;

const MEDIA_TYPE: &str = "application/x-protobuf";
const MESSAGES: &str = "prometheus.WriteRequest, io.prometheus.write.v2.Request";

/// `POST /api/v1/write`
pub async fn write(api: Shared, origin: Origin, headers: HeaderMap, body: Body) -> Response {
    if !api.receiver.options.remote_write {
        let why =
            "remote write receiver needs to be enabled with --web.enable-remote-write-receiver";
        return Refused::new(404, why).into_response();
    }
    let protocol = match negotiate(&headers) {
        Ok(protocol) => protocol,
        Err(why) => {
            api.receiver.options.stats.refuse(Reason::Unsupported, 1);
            return Refused::new(415, why).into_response();
        }
    };
    match store(&api, protocol, origin, body).await {
        Ok(written) => answer(protocol, &written),
        Err(refused) => {
            let mut response = refused.into_response();
            tell(protocol, &Written::default(), response.headers_mut());
            response
        }
    }
}

async fn store(
    api: &Arc<Api>,
    protocol: Protocol,
    origin: Origin,
    body: Body,
) -> Result<Written, Refused> {
    let (packed, charge) = api.receiver.read(body).await?;
    receive::take(api, move |api| unpack_and_write(api, protocol, origin, packed, charge)).await?
}

fn unpack_and_write(
    api: &Api,
    protocol: Protocol,
    origin: Origin,
    packed: Vec<u8>,
    mut charge: Charge,
) -> Result<Written, Refused> {
    let body = api.receiver.unpack(packed, Coding::Snappy, &mut charge)?;
    let attempt = |reuse: bool| {
        let mut batch = Batch::new(api, origin.clone(), now_ms());
        let known = reuse.then(|| api.receiver.known.read());
        decode(protocol, &body, known.as_ref(), &mut batch).map_err(|e| {
            api.receiver.options.stats.refuse(Reason::Malformed, 1);
            Refused::new(400, e.to_string())
        })?;
        drop(known);
        batch.write(api, protocol)
    };
    if let Some(written) = attempt(true)? {
        return Ok(written);
    }
    // The store forgot a series that was known: once more, with all labels.
    attempt(false)?.ok_or_else(|| Refused::later("series were forgotten; send it again"))
}

fn decode(
    protocol: Protocol,
    body: &[u8],
    known: Option<&Reader<'_>>,
    batch: &mut Batch,
) -> Result<(), Malformed> {
    match protocol {
        Protocol::RemoteWrite2 => v2::decode(body, known, batch),
        _ => v1::decode(body, known, batch),
    }
}

/// Which message the body is.
fn negotiate(headers: &HeaderMap) -> Result<Protocol, String> {
    let text = |name| headers.get(name).map_or("", |v| v.to_str().unwrap_or("?"));
    let coding = text(header::CONTENT_ENCODING);
    if !matches!(coding, "" | "snappy") {
        return Err(format!(
            "{coding} encoding (compression) is not accepted by this server; only snappy is \
             acceptable"
        ));
    }
    let kind = match text(header::CONTENT_TYPE).trim() {
        "" => MEDIA_TYPE,
        kind => kind,
    };
    let mut parts = kind.split(';');
    let media_type = parts.next().unwrap_or("");
    if media_type != MEDIA_TYPE {
        return Err(format!(
            "expected {MEDIA_TYPE} as the first (media) part, got {kind} content-type"
        ));
    }
    for part in parts {
        let mut halves = part.split('=');
        let (name, value, more) = (halves.next().unwrap_or(""), halves.next(), halves.next());
        let (Some(value), None) = (value, more) else {
            return Err(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be \
                 key-values, got {part} in {kind} content-type"
            ));
        };
        // Some senders put a blank before the parameter, as RFC 9110 allows.
        match (name.trim(), value) {
            ("proto", "prometheus.WriteRequest") => return Ok(Protocol::RemoteWrite1),
            ("proto", "io.prometheus.write.v2.Request") => return Ok(Protocol::RemoteWrite2),
            ("proto", other) => {
                return Err(format!(
                    "got {kind} content type; unknown type for remote write protobuf message \
                     {other}, supported: {MESSAGES}"
                ));
            }
            _ => {}
        }
    }
    Ok(Protocol::RemoteWrite1)
}

fn answer(protocol: Protocol, written: &Written) -> Response {
    let mut response = match written.wrong.is_empty() {
        true => StatusCode::NO_CONTENT.into_response(),
        // The sender does not send again what can never be taken; the rest is written.
        false => Refused::new(400, written.wrong.clone()).into_response(),
    };
    tell(protocol, written, response.headers_mut());
    response
}

/// Says how much was written, as 2.0 has it.
fn tell(protocol: Protocol, written: &Written, headers: &mut HeaderMap) {
    if protocol != Protocol::RemoteWrite2 {
        return;
    }
    for (name, count) in [
        ("x-prometheus-remote-write-samples-written", written.samples),
        ("x-prometheus-remote-write-histograms-written", written.histograms),
        ("x-prometheus-remote-write-exemplars-written", written.exemplars),
    ] {
        headers.insert(name, HeaderValue::from(count));
    }
}

/// The types of metrics, numbered as both versions do.
fn kind(number: u64) -> Kind {
    match number {
        1 => Kind::Counter,
        2 => Kind::Gauge,
        3 => Kind::Histogram,
        4 => Kind::GaugeHistogram,
        5 => Kind::Summary,
        6 => Kind::Info,
        7 => Kind::StateSet,
        _ => Kind::Untyped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, coding: &str) -> Result<Protocol, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::CONTENT_TYPE, kind), (header::CONTENT_ENCODING, coding)] {
            if !value.is_empty() {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        negotiate(&headers)
    }

    #[test]
    fn senders_say_what_they_send() {
        for (kind, protocol) in [
            ("", Protocol::RemoteWrite1),
            ("application/x-protobuf", Protocol::RemoteWrite1),
            ("application/x-protobuf;proto=prometheus.WriteRequest", Protocol::RemoteWrite1),
            ("application/x-protobuf;proto=io.prometheus.write.v2.Request", Protocol::RemoteWrite2),
            (
                "application/x-protobuf; proto=io.prometheus.write.v2.Request",
                Protocol::RemoteWrite2,
            ),
            ("application/x-protobuf;a=b", Protocol::RemoteWrite1),
        ] {
            assert_eq!(of(kind, "snappy"), Ok(protocol), "{kind}");
            assert_eq!(of(kind, ""), Ok(protocol), "{kind}");
        }
        for (kind, coding) in [
            ("application/json", "snappy"),
            ("application/x-protobuf;proto=x", "snappy"),
            ("application/x-protobuf;proto", "snappy"),
            ("application/x-protobuf", "gzip"),
            ("application/x-protobuf", "zstd"),
        ] {
            assert!(of(kind, coding).is_err(), "{kind} {coding}");
        }
    }
}
