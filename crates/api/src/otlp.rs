//! `/api/v1/otlp/v1/metrics`: OpenTelemetry's metrics, received as protobuf or JSON over HTTP
//! (OTLP 1.x) and translated to series as Prometheus does it
//! (`storage/remote/otlptranslator/prometheusremotewrite`, and the module `otlptranslator` for
//! names).
//!
//! What differs from Prometheus: points that cannot be taken are left out and told in the answer's
//! `partial_success`, as OTLP has it, and the others are kept.

mod attributes;
mod json;
mod message;
mod names;
mod points;
mod translate;

/// Fuzz bodies: what must hold for any bytes.
#[doc(hidden)]
pub mod fuzz;

use crate::queries::Origin;
use crate::query::now_ms;
use crate::receive::{self, Batch, Charge, Coding, Protocol, Reason, Refused, Written};
use crate::{Api, Shared};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::protobuf::{put_integer, put_message, put_text};
use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Arc;

/// How names are translated; the words are Prometheus's (`otlp.translation_strategy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Other characters become underscores; units and `_total` are added.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Other characters become underscores.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay as they are; units and `_total` are added.
    NoUtf8EscapingWithSuffixes,
    /// Names stay as they are.
    NoTranslation,
}

impl Strategy {
    /// All words.
    pub const NAMES: [&str; 4] = [
        "UnderscoreEscapingWithSuffixes",
        "UnderscoreEscapingWithoutSuffixes",
        "NoUTF8EscapingWithSuffixes",
        "NoTranslation",
    ];

    fn escapes(self) -> bool {
        use Strategy::{UnderscoreEscapingWithSuffixes, UnderscoreEscapingWithoutSuffixes};
        matches!(self, UnderscoreEscapingWithSuffixes | UnderscoreEscapingWithoutSuffixes)
    }

    fn suffixes(self) -> bool {
        use Strategy::{NoUtf8EscapingWithSuffixes, UnderscoreEscapingWithSuffixes};
        matches!(self, UnderscoreEscapingWithSuffixes | NoUtf8EscapingWithSuffixes)
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Strategy, String> {
        Ok(match text {
            "UnderscoreEscapingWithSuffixes" => Strategy::UnderscoreEscapingWithSuffixes,
            "UnderscoreEscapingWithoutSuffixes" => Strategy::UnderscoreEscapingWithoutSuffixes,
            "NoUTF8EscapingWithSuffixes" => Strategy::NoUtf8EscapingWithSuffixes,
            "NoTranslation" => Strategy::NoTranslation,
            _ => {
                return Err(format!(
                    "not a strategy: {text}; one of {}",
                    Strategy::NAMES.join(", ")
                ));
            }
        })
    }
}

/// Which attributes of a resource become labels of its series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promoted {
    /// These.
    These(HashSet<String>),
    /// All but these.
    AllBut(HashSet<String>),
}

impl Promoted {
    fn has(&self, name: &str) -> bool {
        match self {
            Promoted::These(names) => names.contains(name),
            Promoted::AllBut(names) => !names.contains(name),
        }
    }
}

/// How metrics are translated: the settings of Prometheus's `otlp` block.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How names are translated.
    pub strategy: Strategy,
    /// Which attributes of a resource become labels.
    pub promoted: Promoted,
    /// Whether `target_info` carries the attributes that `job` and `instance` are made of.
    pub keep_identifying: bool,
    /// Whether histograms with explicit bounds become native ones with custom bounds.
    pub native_histograms: bool,
    /// Whether the scope's name, version and attributes become labels.
    pub scope_labels: bool,
    /// Whether deltas are taken as they are; otherwise they are refused.
    pub deltas: bool,
    /// How far queries look back; `target_info` gets a sample twice in that time, in milliseconds.
    pub lookback_ms: i64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            strategy: Strategy::default(),
            promoted: Promoted::These(HashSet::new()),
            keep_identifying: false,
            native_histograms: false,
            scope_labels: false,
            deltas: false,
            lookback_ms: 5 * 60_000,
        }
    }
}

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// `POST /api/v1/otlp/v1/metrics`
pub async fn metrics(api: Shared, origin: Origin, headers: HeaderMap, body: Body) -> Response {
    if api.receiver.options.otlp.is_none() {
        let why = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver";
        return Refused::new(404, why).into_response();
    }
    let (is_json, coding) = match negotiate(&headers) {
        Ok(negotiated) => negotiated,
        Err(why) => {
            api.receiver.options.stats.refuse(Reason::Unsupported, 1);
            return Refused::new(400, why).into_response();
        }
    };
    match store(&api, (is_json, coding), origin, body).await {
        Ok(written) => answer(is_json, &written),
        Err(refused) => refused.into_response(),
    }
}

/// Whether the body is JSON, and how it is packed.
fn negotiate(headers: &HeaderMap) -> Result<(bool, Coding), String> {
    let text = |name| headers.get(name).map_or("", |v| v.to_str().unwrap_or("?"));
    let kind = text(header::CONTENT_TYPE);
    // Some clients add a character set, which JSON does not need.
    let is_json = match kind.split(';').next().unwrap_or("").trim() {
        PROTOBUF => false,
        JSON => true,
        _ => {
            return Err(format!(
                "unsupported content type: {kind}, supported: [{JSON}, {PROTOBUF}]"
            ));
        }
    };
    let coding = match text(header::CONTENT_ENCODING) {
        "" | "identity" => Coding::Identity,
        "gzip" => Coding::Gzip,
        "zstd" => Coding::Zstd,
        "snappy" => Coding::Snappy,
        other => {
            return Err(format!(
                "unsupported compression: {other}. Only \"gzip\", \"zstd\", \"snappy\" or no \
                 compression supported"
            ));
        }
    };
    Ok((is_json, coding))
}

async fn store(
    api: &Arc<Api>,
    form: (bool, Coding),
    origin: Origin,
    body: Body,
) -> Result<Written, Refused> {
    let (packed, charge) = api.receiver.read(body).await?;
    receive::take(api, move |api| unpack_and_write(api, form, origin, packed, charge)).await?
}

fn unpack_and_write(
    api: &Api,
    (is_json, coding): (bool, Coding),
    origin: Origin,
    packed: Vec<u8>,
    mut charge: Charge,
) -> Result<Written, Refused> {
    let malformed = |why: String| {
        api.receiver.options.stats.refuse(Reason::Malformed, 1);
        Refused::new(400, why)
    };
    let mut body = api.receiver.unpack(packed, coding, &mut charge)?;
    if is_json {
        body = json::to_protobuf(&body).map_err(malformed)?;
    }
    let mut batch = Batch::new(api, origin, now_ms());
    let defaults = Settings::default();
    let settings = api.receiver.options.otlp.as_ref().unwrap_or(&defaults);
    translate::translate(&body, settings, &mut batch).map_err(|e| malformed(e.to_string()))?;
    // All series have their labels along, so that none can be forgotten.
    batch.write(api, Protocol::Otlp)?.ok_or_else(|| Refused::later("send it again"))
}

/// `ExportMetricsServiceResponse`, in the form of the request.
fn answer(is_json: bool, written: &Written) -> Response {
    if written.refused > 0 && written.samples + written.histograms == 0 {
        return Refused::new(400, written.wrong.clone()).into_response();
    }
    let body = match (is_json, written.wrong.is_empty()) {
        (true, true) => b"{}".to_vec(),
        (true, false) => {
            let partial = serde_json::json!({ "partialSuccess": {
                // A number of 64 bits is a string in protobuf's JSON.
                "rejectedDataPoints": written.refused.to_string(),
                "errorMessage": written.wrong,
            } });
            partial.to_string().into_bytes()
        }
        (false, true) => Vec::new(),
        (false, false) => {
            let mut out = Vec::new();
            put_message(&mut out, 1, |out| {
                put_integer(out, 1, i64::try_from(written.refused).unwrap_or(i64::MAX));
                put_text(out, 2, &written.wrong);
            });
            out
        }
    };
    let kind = HeaderValue::from_static(if is_json { JSON } else { PROTOBUF });
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response()
}
