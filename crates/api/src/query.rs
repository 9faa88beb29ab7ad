//! `query`, `query_range`, `query_exemplars`, `format_query` and `parse_query`.

use crate::answer::{self, Failure, Remarks};
use crate::parameters::{MAX_TIME_MS, MIN_TIME_MS, Parameters};
use crate::queries::{Ended, Evaluated, Origin};
use crate::stream::{Gone, Head, Writer};
use crate::{Api, Shared, json, run, syntax_tree};
use axum::response::Response;
use model::{Value, labels::Quoted};
use promql::{
    Explained, Interrupt, MatrixSeries, QueryError, QueryOptions, QueryResult, QueryValue,
};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// The most points that a series may have in an answer.
const MAX_POINTS: i64 = 11_000;
/// An answer of no more series and points is short.
const SHORT_SERIES: usize = 64;
const SHORT_POINTS: usize = 1024;

/// What is to be evaluated.
struct Asked {
    what: Evaluated,
    origin: Origin,
    limit: usize,
    lookback_ms: Option<i64>,
    stats: String,
    explain: bool,
    /// Whether a kept answer may be gone on from.
    resume: bool,
    timeout: Option<Duration>,
}

/// `GET` and `POST /api/v1/query`.
pub async fn instant(
    api: Shared,
    origin: Origin,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let limit = parameters.limit()?;
    let time_ms = parameters.time_or("time", now_ms())?;
    let asked = Asked::new(&parameters, origin, limit, (time_ms, time_ms, 0))?;
    evaluate(api, asked).await
}

/// `GET` and `POST /api/v1/query_range`.
pub async fn range(
    api: Shared,
    origin: Origin,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let limit = parameters.limit()?;
    let start_ms = parameters.time("start")?;
    let end_ms = parameters.time("end")?;
    if end_ms < start_ms {
        let why = "end timestamp must not be before start time";
        return Err(Failure::parameter("end", why));
    }
    let step = crate::parameters::parse_duration(parameters.get("step"))
        .map_err(|why| Failure::parameter("step", why))?;
    if step <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. \
                   Try a positive integer";
        return Err(Failure::parameter("step", why));
    }
    let length = i128::from(end_ms) - i128::from(start_ms);
    if length * 1_000_000 / i128::from(step) > i128::from(MAX_POINTS) {
        let why = "exceeded maximum resolution of 11,000 points per timeseries. \
                   Try decreasing the query resolution (?step=XX)";
        return Err(Failure::BadData(why.into()));
    }
    let step_ms = (step / 1_000_000).max(1);
    let asked = Asked::new(&parameters, origin, limit, (start_ms, end_ms, step_ms))?;
    evaluate(api, asked).await
}

impl Asked {
    fn new(
        parameters: &Parameters,
        origin: Origin,
        limit: usize,
        (start_ms, end_ms, step_ms): (i64, i64, i64),
    ) -> Result<Asked, Failure> {
        let timeout = parameters.duration("timeout")?;
        let lookback_ms = match parameters.get("lookback_delta") {
            "" => None,
            text => {
                let nanoseconds = crate::parameters::parse_duration(text).map_err(|why| {
                    Failure::BadData(format!("error parsing lookback delta duration: {why}"))
                })?;
                // As upstream: what is not positive means the default.
                Some(nanoseconds / 1_000_000).filter(|ms| *ms > 0)
            }
        };
        let flag = |name: &str| match parameters.get(name) {
            "" | "false" | "0" => Ok(false),
            "true" | "1" => Ok(true),
            other => {
                let why = format!("must be true or false, not {}", Quoted(other));
                Err(Failure::parameter(name, why))
            }
        };
        let stats: String = parameters.get("stats").into();
        Ok(Asked {
            what: Evaluated { text: parameters.get("query").into(), start_ms, end_ms, step_ms },
            origin,
            limit,
            lookback_ms,
            // Whoever asks what a query takes wants to see it taken.
            resume: stats.is_empty() && !flag("nocache")?,
            stats,
            explain: flag("explain")?,
            timeout: timeout.map(|ns| Duration::from_nanos(ns.max(0).unsigned_abs())),
        })
    }
}

/// How long the parts of a query took.
struct Timings {
    queued: Duration,
    evaluated: Duration,
}

async fn evaluate(api: Shared, asked: Asked) -> Result<Response, Failure> {
    // A query that is none is told so even where no query could run.
    promql::parse_with(&asked.what.text, api.engine.options().parse)
        .map_err(|e| Failure::parameter("query", e))?;
    let slot = run::slot(&api, asked.timeout).await?;
    let (head, answered) = oneshot::channel();
    run::interruptible(slot.deadline, move |interrupt| {
        let writer = Writer::json(head);
        let start = Instant::now();
        let (what, origin) = (asked.what.clone(), asked.origin.clone());
        let ticket = api.queries.begin(what, origin, interrupt.clone());
        let outcome = compute(&api, &asked, interrupt);
        drop(ticket);
        let timings = Timings { queued: slot.queued, evaluated: start.elapsed() };
        let ended = Ended {
            error: outcome.as_ref().err().map(ToString::to_string),
            queued: timings.queued,
            evaluated: timings.evaluated,
            stats: outcome.as_ref().ok().map(|result| &result.stats),
        };
        api.queries.log(&asked.what, &asked.origin, &ended);
        // The result may be sent slowly; others need not wait for that.
        drop(slot.permit);
        match outcome {
            Ok(result) if is_short(&result.value) => {
                // Another thread would take longer to begin than this takes.
                let _ = write(writer.whole(), &asked, result, &timings); // the client has gone
            }
            Ok(result) => {
                // The writing outlives this call where the answer is long.
                tokio::task::spawn_blocking(move || {
                    let _ = write(writer, &asked, result, &timings); // as above
                });
            }
            Err(failure) => writer.fail(failure),
        }
    })
    .await?;
    let answer: Head = answered
        .await
        .map_err(|_| Failure::Internal("the query's thread died without an answer".into()))?;
    answer
}

fn compute(api: &Api, asked: &Asked, interrupt: Interrupt) -> Result<QueryResult, Failure> {
    let storage = api.backend.storage()?;
    let (lookback_ms, memory) = (asked.lookback_ms, api.memory.clone());
    let cache = api.range_cache.clone().filter(|_| asked.resume);
    let options = QueryOptions { lookback_ms, interrupt, memory, explain: asked.explain, cache };
    let Evaluated { text, start_ms, end_ms, step_ms } = &asked.what;
    let outcome = match *step_ms {
        0 => api.engine.instant(&*storage, text, *start_ms, &options),
        step_ms => api.engine.range(&*storage, text, *start_ms, *end_ms, step_ms, &options),
    };
    outcome.map_err(|error| match error {
        QueryError::Parse(_) | QueryError::BadData(_) => Failure::parameter("query", error),
        QueryError::Execution(_)
        | QueryError::TooManySamples(_)
        | QueryError::TooMuchMemory { .. } => Failure::Execution(error.to_string()),
        QueryError::NoMemory { .. } => Failure::Unavailable(error.to_string()),
        QueryError::Timeout(_) => Failure::Timeout(error.to_string()),
        QueryError::Canceled(_) => Failure::Canceled(error.to_string()),
        QueryError::Storage(_) => Failure::Internal(error.to_string()),
    })
}

/// Whether an answer is written in less time than a thread needs to begin.
fn is_short(value: &QueryValue) -> bool {
    match value {
        QueryValue::Scalar(..) | QueryValue::String(..) => true,
        QueryValue::Vector(samples) => samples.len() <= SHORT_SERIES,
        QueryValue::Matrix(series) => {
            let points = |s: &MatrixSeries| s.floats.len() + s.histograms.len();
            series.len() <= SHORT_SERIES && series.iter().map(points).sum::<usize>() <= SHORT_POINTS
        }
    }
}

fn write(
    mut writer: Writer,
    asked: &Asked,
    result: QueryResult,
    timings: &Timings,
) -> Result<(), Gone> {
    let mut remarks = Remarks { warnings: result.warnings, infos: result.infos };
    // The value's memory counts until it is written.
    let _memory = result.memory;
    let out = &mut writer.buffer;
    answer::begin(out);
    out.extend_from_slice(b"{\"resultType\":");
    json::string(out, result.value.type_name());
    out.extend_from_slice(b",\"result\":");
    let truncated = write_value(&mut writer, result.value, asked.limit)?;
    if truncated {
        remarks.truncated();
    }
    if !asked.stats.is_empty() {
        write_stats(&mut writer.buffer, &result.stats, timings, asked.stats == "all");
        if !matches!(asked.stats.as_str(), "true" | "all") {
            remarks.warnings.push(format!(
                "value {} for parameter \"stats\" is deprecated and will be rejected in the next \
                 major release, use \"true\" or \"all\"",
                Quoted(&asked.stats)
            ));
        }
    }
    if let Some(explained) = &result.explain {
        writer.buffer.extend_from_slice(b",\"explain\":");
        write_explained(&mut writer.buffer, explained);
    }
    writer.buffer.push(b'}');
    answer::end(&mut writer.buffer, &remarks);
    writer.finish();
    Ok(())
}

/// Writes a value; says whether `limit` cut it.
fn write_value(writer: &mut Writer, value: QueryValue, limit: usize) -> Result<bool, Gone> {
    let shown = |length: usize| if limit == 0 { length } else { length.min(limit) };
    match value {
        QueryValue::Scalar(time_ms, value) => {
            json::point(&mut writer.buffer, time_ms, value);
            Ok(false)
        }
        QueryValue::String(time_ms, text) => {
            writer.buffer.push(b'[');
            json::time(&mut writer.buffer, time_ms);
            writer.buffer.push(b',');
            json::string(&mut writer.buffer, &text);
            writer.buffer.push(b']');
            Ok(false)
        }
        QueryValue::Vector(samples) => {
            let (all, count) = (samples.len(), shown(samples.len()));
            writer.buffer.push(b'[');
            for (i, sample) in samples.into_iter().take(count).enumerate() {
                begin_series(&mut writer.buffer, i, &sample.labels);
                let out = &mut writer.buffer;
                match &sample.value {
                    Value::Float(value) => {
                        out.extend_from_slice(b",\"value\":");
                        json::point(out, sample.time_ms, *value);
                    }
                    Value::Histogram(histogram) => {
                        out.extend_from_slice(b",\"histogram\":");
                        json::histogram_point(out, sample.time_ms, histogram);
                    }
                }
                out.push(b'}');
                writer.next()?;
            }
            writer.buffer.push(b']');
            Ok(count < all)
        }
        QueryValue::Matrix(series) => {
            let (all, count) = (series.len(), shown(series.len()));
            writer.buffer.push(b'[');
            for (i, series) in series.into_iter().take(count).enumerate() {
                begin_series(&mut writer.buffer, i, &series.labels);
                write_points(writer, "values", &series.floats, |out, (time_ms, value)| {
                    json::point(out, *time_ms, *value);
                })?;
                write_points(writer, "histograms", &series.histograms, |out, (time_ms, value)| {
                    json::histogram_point(out, *time_ms, value);
                })?;
                writer.buffer.push(b'}');
            }
            writer.buffer.push(b']');
            Ok(count < all)
        }
    }
}

fn begin_series(out: &mut Vec<u8>, index: usize, labels: &model::Labels) {
    if index > 0 {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"metric\":");
    json::labels(out, labels);
}

fn write_points<P>(
    writer: &mut Writer,
    name: &str,
    points: &[P],
    write: impl Fn(&mut Vec<u8>, &P),
) -> Result<(), Gone> {
    if points.is_empty() {
        return Ok(());
    }
    writer.buffer.extend_from_slice(format!(",\"{name}\":[").as_bytes());
    for (i, point) in points.iter().enumerate() {
        if i > 0 {
            writer.buffer.push(b',');
        }
        write(&mut writer.buffer, point);
        writer.next()?;
    }
    writer.buffer.push(b']');
    Ok(())
}

/// Where the time of a query went, as a tree.
fn write_explained(out: &mut Vec<u8>, explained: &Explained) {
    let Explained { expr, seconds, series, samples, children } = explained;
    out.extend_from_slice(b"{\"expr\":");
    json::string(out, expr);
    let figures =
        format!(",\"seconds\":{seconds},\"series\":{series},\"samples\":{samples},\"children\":[");
    out.extend_from_slice(figures.as_bytes());
    for (i, child) in children.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_explained(out, child);
    }
    out.extend_from_slice(b"]}");
}

/// Timings are those of Prometheus's phases; `peakBytes` is ours.
fn write_stats(out: &mut Vec<u8>, stats: &promql::QueryStats, timings: &Timings, per_step: bool) {
    let (eval, queue) = (timings.evaluated.as_secs_f64(), timings.queued.as_secs_f64());
    let seconds = |d: Duration| d.as_secs_f64();
    out.extend_from_slice(
        format!(
            ",\"stats\":{{\"timings\":{{\"evalTotalTime\":{eval},\"resultSortTime\":{},\
             \"queryPreparationTime\":{},\"innerEvalTime\":{},\"execQueueTime\":{queue},\
             \"execTotalTime\":{}}},\"samples\":{{",
            seconds(stats.sorting),
            seconds(stats.preparing),
            seconds(stats.evaluating),
            eval + queue
        )
        .as_bytes(),
    );
    let counts = [
        ("totalQueryableSamples", stats.total_samples, &stats.samples_per_step),
        ("samplesRead", stats.read_samples, &stats.read_per_step),
    ];
    for (name, count, by_step) in counts {
        if per_step {
            write_counts(out, name, by_step);
        }
        out.extend_from_slice(format!("\"{name}\":{count},").as_bytes());
    }
    let (peak, bytes) = (stats.peak_samples, stats.peak_bytes);
    out.extend_from_slice(format!("\"peakSamples\":{peak},\"peakBytes\":{bytes}}}}}").as_bytes());
}

fn write_counts(out: &mut Vec<u8>, name: &str, by_step: &[(i64, u64)]) {
    out.extend_from_slice(format!("\"{name}PerStep\":[").as_bytes());
    for (i, (time_ms, count)) in by_step.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b",[" } else { b"[" });
        json::time(out, *time_ms);
        out.push(b',');
        json::integer(out, *count);
        out.push(b']');
    }
    out.extend_from_slice(b"],");
}

/// `GET` and `POST /api/v1/query_exemplars`.
pub async fn exemplars(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    let start_ms = parameters.time_or("start", MIN_TIME_MS)?;
    let end_ms = parameters.time_or("end", MAX_TIME_MS)?;
    if end_ms < start_ms {
        return Err(Failure::BadData("end timestamp must not be before start timestamp".into()));
    }
    let expr = promql::parse_with(parameters.get("query"), api.engine.options().parse)
        .map_err(|e| Failure::BadData(e.to_string()))?;
    let mut sets = Vec::new();
    expr.selectors(&mut |selector| sets.push(selector.matchers.clone()));
    let db = api.backend.database()?;
    let found = run::ask(&api, move |_| db.exemplars(&sets, start_ms, end_ms)).await?;
    Ok(answer::success(&Remarks::default(), |out| {
        out.push(b'[');
        for (i, (series, list)) in found.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b"," } else { b"" });
            out.extend_from_slice(b"{\"seriesLabels\":");
            json::labels(out, series);
            out.extend_from_slice(b",\"exemplars\":[");
            for (i, exemplar) in list.iter().enumerate() {
                out.extend_from_slice(if i > 0 { b"," } else { b"" });
                out.extend_from_slice(b"{\"labels\":");
                json::labels(out, &exemplar.labels);
                out.extend_from_slice(b",\"value\":");
                json::value(out, exemplar.value);
                out.extend_from_slice(b",\"timestamp\":");
                json::time(out, exemplar.time_ms);
                out.push(b'}');
            }
            out.extend_from_slice(b"]}");
        }
        out.push(b']');
    }))
}

/// `GET` and `POST /api/v1/format_query`.
pub async fn format(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    let expr = promql::parse_with(parameters.get("query"), api.engine.options().parse)
        .map_err(|e| Failure::parameter("query", e))?;
    Ok(answer::success(&Remarks::default(), |out| json::string(out, &expr.pretty())))
}

/// `GET` and `POST /api/v1/parse_query`.
pub async fn parse(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    let expr = promql::parse_with(parameters.get("query"), api.engine.options().parse)
        .map_err(|e| Failure::parameter("query", e))?;
    answer::success_data(&syntax_tree::translate(&expr))
}

/// The wall clock, in milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
