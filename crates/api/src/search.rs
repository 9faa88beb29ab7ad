//! `search/*`: names and values that look like what someone is typing, as a stream of JSON lines:
//! batches of results, then a line that says how it ended. Parameters, words and scores are those of
//! Prometheus's `web/api/v1/search.go`, where this is experimental.

mod score;

use crate::answer::Failure;
use crate::parameters::{Parameters, parse_integer};
use crate::stream::{Gone, Head, Writer};
use crate::{Api, Shared, query, run};
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use model::labels::{METRIC_NAME, Quoted};
use model::{Matcher, Storage};
use score::{Algorithm, Filter};
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use tokio::sync::oneshot;

/// What is searched through.
#[derive(Clone, Debug, PartialEq)]
enum Among {
    MetricNames {
        /// Whether type, help and unit are told.
        metadata: bool,
    },
    LabelNames,
    LabelValues(String),
}

/// The order of what is found.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Rising,
    Falling,
    /// The best first.
    Score,
}

/// A search.
struct Asked {
    among: Among,
    sets: Vec<Vec<Matcher>>,
    filter: Option<Filter>,
    order: Order,
    tell_score: bool,
    start_ms: i64,
    end_ms: i64,
    limit: usize,
    batch: usize,
}

/// Terms of one search: each costs a comparison with each value.
const TERMS: usize = 32;
/// How many results there are, and how many to a line, unless said otherwise.
const RESULTS: usize = 100;
/// More are not given.
const MOST_RESULTS: usize = 10_000;
/// How far back is looked, unless said otherwise.
const BACK_MS: i64 = 3_600_000;

/// `GET` and `POST /api/v1/search/metric_names`
pub async fn metric_names(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    let mut asked = Asked::new(&parameters, "metric_names")?;
    let metadata = flag(&parameters, "include_metadata", false)?;
    asked.among = Among::MetricNames { metadata };
    answer(api, asked).await
}

/// `GET` and `POST /api/v1/search/label_names`
pub async fn label_names(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    answer(api, Asked::new(&parameters, "label_names")?).await
}

/// `GET` and `POST /api/v1/search/label_values`
pub async fn label_values(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    let mut asked = Asked::new(&parameters, "label_values")?;
    let label = parameters.get("label");
    if label.is_empty() {
        return Err(Failure::BadData("missing required parameter \"label\"".into()));
    }
    asked.among = Among::LabelValues(label.into());
    answer(api, asked).await
}

impl Asked {
    /// What all three endpoints take; `endpoint` is named in an error.
    fn new(parameters: &Parameters, endpoint: &str) -> Result<Asked, Failure> {
        let bad = |why: String| Err(Failure::BadData(why));
        let now_ms = query::now_ms();
        let start_ms = parameters.plain_time_or("start", now_ms - BACK_MS)?;
        let end_ms = parameters.plain_time_or("end", now_ms)?;
        if end_ms < start_ms {
            return bad("end timestamp must not be before start timestamp".into());
        }
        let sets = parameters.matchers().map_err(Failure::BadData)?;
        let terms: Vec<&str> = parameters.all("search[]").collect();
        if terms.len() > TERMS {
            let count = terms.len();
            return bad(format!("too many search[] terms: got {count}, maximum is {TERMS}"));
        }
        let threshold = match parameters.get("fuzz_threshold") {
            "" => 0,
            text => match parse_integer(text) {
                Ok(percent @ 0..=100) => percent,
                _ => return bad(format!("invalid fuzz_threshold {}: must be 0-100", Quoted(text))),
            },
        };
        let algorithm = match parameters.get("fuzz_alg") {
            "" | "subsequence" => Algorithm::Subsequence,
            "jarowinkler" => Algorithm::JaroWinkler,
            other => {
                return bad(format!(
                    "unsupported fuzz_alg {}: must be one of [subsequence jarowinkler]",
                    Quoted(other)
                ));
            }
        };
        let case_sensitive = flag(parameters, "case_sensitive", true)?;
        let tell_score = flag(parameters, "include_score", false)?;
        let order = order(parameters, endpoint, !terms.is_empty())?;
        let limit = match positive(parameters, "limit")? {
            Some(limit) if limit > MOST_RESULTS => {
                return bad(format!(
                    "limit {limit} exceeds the configured maximum ({MOST_RESULTS}, see \
                     --web.search.max-limit)"
                ));
            }
            limit => limit.unwrap_or(RESULTS),
        };
        let batch = positive(parameters, "batch_size")?.unwrap_or(RESULTS);
        let filter = Filter::new(&terms, threshold as f64 / 100.0, algorithm, case_sensitive);
        let among = Among::LabelNames;
        Ok(Asked { among, sets, filter, order, tell_score, start_ms, end_ms, limit, batch })
    }

    /// What is found, in order, one more than asked for where there are more.
    fn find(&self, storage: &dyn Storage) -> Result<Vec<(String, f64)>, Failure> {
        let (start_ms, end_ms) = (self.start_ms, self.end_ms);
        let all = match &self.among {
            Among::MetricNames { .. } => {
                storage.label_values(METRIC_NAME, &self.sets, start_ms, end_ms)
            }
            Among::LabelNames => storage.label_names(&self.sets, start_ms, end_ms),
            Among::LabelValues(name) => storage.label_values(name, &self.sets, start_ms, end_ms),
        };
        let mut all = all.map_err(crate::series::failed)?;
        if self.order == Order::Falling {
            all.reverse();
        }
        let scored = all.into_iter().filter_map(|value| {
            let score = self.filter.as_ref().map_or(Some(1.0), |f| f.score(&value))?;
            Some((value, score))
        });
        let wanted = self.limit.saturating_add(1);
        if self.order != Order::Score {
            return Ok(scored.take(wanted).collect());
        }
        let mut found: Vec<_> = scored.collect();
        // Stable: of equal scores the first by name.
        found.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal));
        found.truncate(wanted);
        Ok(found)
    }
}

fn order(parameters: &Parameters, endpoint: &str, has_terms: bool) -> Result<Order, Failure> {
    let (by, direction) = (parameters.get("sort_by"), parameters.get("sort_dir"));
    let bad = |why: String| Err(Failure::BadData(why));
    match (by, direction) {
        ("", "") => {}
        ("", _) => return bad("sort_dir is only valid when sort_by is set".into()),
        ("score", "") if !has_terms => {
            return bad("sort_by=score requires search[] to be set".into());
        }
        (_, "") => {}
        ("score", _) => return bad("sort_dir is not supported for sort_by=score".into()),
        (_, "asc" | "dsc") => {}
        (_, other) => {
            let other = Quoted(other);
            return bad(format!("invalid sort_dir {other}: must be \"asc\" or \"dsc\""));
        }
    }
    match by {
        "score" => Ok(Order::Score),
        "alpha" if direction == "dsc" => Ok(Order::Falling),
        "" | "alpha" => Ok(Order::Rising),
        other => bad(format!(
            "invalid sort_by {} for {endpoint}: must be \"alpha\" or \"score\"",
            Quoted(other)
        )),
    }
}

fn positive(parameters: &Parameters, name: &str) -> Result<Option<usize>, Failure> {
    let text = parameters.get(name);
    if text.is_empty() {
        return Ok(None);
    }
    let number = parse_integer(text).ok().and_then(|n| usize::try_from(n).ok());
    number.filter(|n| *n > 0).map(Some).ok_or_else(|| {
        let text = Quoted(text);
        Failure::BadData(format!("invalid {name} {text}: must be a positive integer"))
    })
}

/// A truth, in any of Go's spellings.
fn flag(parameters: &Parameters, name: &str, default: bool) -> Result<bool, Failure> {
    let text = parameters.get(name);
    if text.is_empty() {
        return Ok(default);
    }
    crate::parameters::parse_bool(text)
        .map_err(|_| Failure::BadData(format!("invalid {name} {}: must be boolean", Quoted(text))))
}

async fn answer(api: Shared, asked: Asked) -> Head {
    let slot = run::slot(&api, None).await?;
    let (head, answered) = oneshot::channel();
    // The stream outlives the handler, and ends when the client has gone.
    tokio::task::spawn_blocking(move || {
        let found = api.backend.storage().and_then(|storage| asked.find(&*storage));
        drop(slot.permit);
        let writer = Writer::new(head, lines);
        match found {
            Ok(found) => {
                let _ = write(&api, &asked, &found, writer); // the client has gone
            }
            Err(failure) => writer.fail(failure),
        }
    });
    let died = |_| Failure::Internal("the search's thread died without an answer".into());
    answered.await.map_err(died)?
}

fn lines(body: Body) -> Response {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/x-ndjson; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn write(
    api: &Api,
    asked: &Asked,
    found: &[(String, f64)],
    mut writer: Writer,
) -> Result<(), Gone> {
    let shown = &found[..found.len().min(asked.limit)];
    let metadata = match asked.among {
        Among::MetricNames { metadata: true } => Some(api.backend.metadata()),
        _ => None,
    };
    let field = match asked.among {
        Among::LabelValues(_) => "value",
        _ => "name",
    };
    let result = |(name, score): &(String, f64)| {
        let mut result = Map::new();
        result.insert(field.into(), name.as_str().into());
        if asked.tell_score {
            result.insert("score".into(), json!(score));
        }
        if let Some(known) = metadata.as_ref().and_then(|all| all.get(name)) {
            let told = [
                ("type", known.kind),
                ("help", known.help.as_str()),
                ("unit", known.unit.as_str()),
            ];
            for (name, text) in told.into_iter().filter(|t| !t.1.is_empty()) {
                result.insert(name.into(), text.into());
            }
        }
        Value::Object(result)
    };
    let line = |writer: &mut Writer, value: Value| {
        writer.buffer.extend_from_slice(value.to_string().as_bytes());
        writer.buffer.push(b'\n');
        writer.next()
    };
    // There is a first line also where nothing was found.
    let batches = shown.chunks(asked.batch).chain(shown.is_empty().then_some(shown));
    for batch in batches {
        let results: Vec<Value> = batch.iter().map(result).collect();
        line(&mut writer, json!({ "results": results }))?;
    }
    let has_more = found.len() > asked.limit;
    line(&mut writer, json!({ "status": "success", "has_more": has_more }))?;
    writer.finish();
    Ok(())
}
