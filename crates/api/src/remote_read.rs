//! `/api/v1/read`: remote read, as samples and as a stream of chunks. Messages are those of
//! `prompb/remote.proto`, frames those of `storage/remote/chunked.go`.

mod request;

/// Fuzz bodies: what must hold for any bytes.
#[doc(hidden)]
pub mod fuzz;

use crate::receive::Refused;
use crate::stream::{Gone, Head, Writer};
use crate::{Api, Failure, Shared, run};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use model::prompb::{put_histogram, put_labels};
use model::protobuf::{put_bytes, put_double, put_integer, put_message, put_varint};
use model::{Columns, Hints, Labels, ReadError, Selection, Storage, chunk};
use request::{Query, Request, Shape};
use tokio::sync::oneshot;

/// Bytes of a request, as sent and as unpacked. Matchers need a few hundred.
const REQUEST_BYTES: usize = 4 << 20;
/// Queries of one request.
const QUERIES: usize = 100;
/// Bytes of a frame, from which on the next chunk begins another.
const FRAME_BYTES: usize = 1 << 20;
/// Bytes of an answer that is one message: who wants more asks for chunks.
const ANSWER_BYTES: usize = 256 << 20;

/// `POST /api/v1/read`
pub async fn read(api: Shared, body: Body) -> Response {
    let request = match parse(body).await {
        Ok(request) => request,
        Err(why) => return Refused::new(400, why).into_response(),
    };
    match answer(api, request).await {
        Ok(response) => response,
        Err(Failure::BadData(why)) => Refused::new(400, why).into_response(),
        Err(failure @ (Failure::Unavailable(_) | Failure::Timeout(_))) => {
            Refused::later(failure.to_string()).into_response()
        }
        Err(failure) => Refused::new(500, failure.to_string()).into_response(),
    }
}

async fn parse(body: Body) -> Result<Request, String> {
    let packed = to_bytes(body, REQUEST_BYTES).await.map_err(|e| e.to_string())?;
    let length = snap::raw::decompress_len(&packed).map_err(|e| e.to_string())?;
    if length > REQUEST_BYTES {
        return Err(format!("snappy: decoded length {length} exceeds limit {REQUEST_BYTES}"));
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(&packed).map_err(|e| e.to_string())?;
    let request = Request::read(&bytes)?;
    match request.queries.len() > QUERIES {
        true => Err(format!(
            "{} queries in a request, and not more than {QUERIES} may be",
            request.queries.len()
        )),
        false => Ok(request),
    }
}

async fn answer(api: Shared, request: Request) -> Head {
    let slot = run::slot(&api, None).await?;
    let (head, answered) = oneshot::channel();
    let shape = request.shape;
    // The stream outlives the handler, and ends when the client has gone.
    tokio::task::spawn_blocking(move || {
        let permit = slot.permit;
        let writer = match shape {
            Shape::Samples => Writer::new(head, samples_response),
            Shape::Chunks => Writer::new(head, chunks_response),
        };
        let _ = write(&api, &request, writer, slot.deadline); // the client has gone
        drop(permit);
    });
    let died = |_| Failure::Internal("the read's thread died without an answer".into());
    answered.await.map_err(died)?
}

fn samples_response(body: Body) -> Response {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/x-protobuf");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    let snappy = HeaderValue::from_static("snappy");
    response.headers_mut().insert(header::CONTENT_ENCODING, snappy);
    response
}

fn chunks_response(body: Body) -> Response {
    let mut response = Response::new(body);
    let kind = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// What may be read, and until when.
struct Reading<'a> {
    storage: &'a dyn Storage,
    samples_left: usize,
    most_samples: usize,
    deadline: std::time::Instant,
}

fn write(
    api: &Api,
    request: &Request,
    mut writer: Writer,
    deadline: std::time::Instant,
) -> Result<(), Gone> {
    let storage = match api.backend.storage() {
        Ok(storage) => storage,
        Err(failure) => {
            writer.fail(failure);
            return Ok(());
        }
    };
    let most_samples = api.engine.options().max_samples;
    let mut reading =
        Reading { storage: &*storage, samples_left: most_samples, most_samples, deadline };
    let outcome = match request.shape {
        Shape::Samples => samples(&mut reading, request, &mut writer.buffer).map_err(Ended::Failed),
        Shape::Chunks => chunks(&mut reading, request, &mut writer),
    };
    match outcome {
        Ok(()) => writer.finish(),
        Err(Ended::Failed(failure)) => writer.fail(failure),
        Err(Ended::Gone) => return Err(Gone),
    }
    Ok(())
}

/// Why writing ended early.
enum Ended {
    Failed(Failure),
    Gone,
}

impl Reading<'_> {
    /// Hands over each series of a query with its samples.
    fn each<E: From<Failure>>(
        &mut self,
        query: &Query,
        mut each: impl FnMut(&Labels, &Columns) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |e: ReadError| E::from(crate::series::failed(e));
        let hints = Hints {
            step_ms: query.step_ms,
            range_ms: query.range_ms,
            func: &query.func,
            ..Hints::default()
        };
        let (start_ms, end_ms) = (query.start_ms, query.end_ms);
        let selection = Selection { matchers: &query.matchers, start_ms, end_ms, hints };
        let mut set = self.storage.select(&selection).map_err(failed)?;
        let mut columns = Columns::default();
        while let Some(labels) = set.next().map_err(failed)? {
            if std::time::Instant::now() > self.deadline {
                return Err(Failure::Timeout("the read took longer than it may".into()).into());
            }
            set.read(&mut columns).map_err(failed)?;
            if columns.times_ms.is_empty() {
                continue;
            }
            let Some(left) = self.samples_left.checked_sub(columns.times_ms.len()) else {
                let most = self.most_samples;
                return Err(Failure::BadData(format!("exceeded sample limit ({most})")).into());
            };
            self.samples_left = left;
            each(&labels, &columns)?;
        }
        Ok(())
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Ended {
        Ended::Failed(failure)
    }
}

/// One `ReadResponse`, packed.
fn samples(reading: &mut Reading<'_>, request: &Request, out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut response = Vec::new();
    for query in &request.queries {
        let mut result = Vec::new();
        reading.each(query, |labels, columns| {
            put_message(&mut result, 1, |out| put_series(out, labels, columns));
            match result.len() + response.len() > ANSWER_BYTES {
                true => Err(Failure::BadData(format!(
                    "the answer has more than {ANSWER_BYTES} bytes; ask for less, or for chunks"
                ))),
                false => Ok(()),
            }
        })?;
        put_bytes(&mut response, 1, &result);
    }
    let packed = snap::raw::Encoder::new().compress_vec(&response);
    *out = packed.map_err(|e| Failure::Internal(e.to_string()))?;
    Ok(())
}

fn put_series(out: &mut Vec<u8>, labels: &Labels, columns: &Columns) {
    put_labels(out, 1, labels);
    let mut histograms = columns.histograms.iter().peekable();
    for (i, (&time_ms, &value)) in columns.times_ms.iter().zip(&columns.floats).enumerate() {
        match histograms.next_if(|h| h.0 as usize == i) {
            Some((_, histogram)) => put_histogram(out, 4, time_ms, 0, histogram),
            None => put_message(out, 2, |out| {
                put_double(out, 1, value);
                put_integer(out, 2, time_ms);
            }),
        }
    }
}

/// A `ChunkedReadResponse` a frame, at most one series each.
fn chunks(reading: &mut Reading<'_>, request: &Request, writer: &mut Writer) -> Result<(), Ended> {
    let (mut series, mut pending, mut frame) = (Vec::new(), Vec::new(), Vec::new());
    for (index, query) in request.queries.iter().enumerate() {
        reading.each(query, |labels, columns| {
            series.clear();
            put_labels(&mut series, 1, labels);
            pending.clear();
            let mut gone = false;
            let mut send = |pending: &mut Vec<u8>| {
                frame.clear();
                put_varint(&mut frame, 1 << 3 | 2);
                put_varint(&mut frame, (series.len() + pending.len()) as u64);
                frame.extend_from_slice(&series);
                frame.append(pending);
                put_integer(&mut frame, 2, index as i64);
                put_varint(&mut writer.buffer, frame.len() as u64);
                writer.buffer.extend_from_slice(&crc32c::crc32c(&frame).to_be_bytes());
                writer.buffer.extend_from_slice(&frame);
                gone |= writer.next().is_err();
            };
            chunk::encode(columns, |chunk| {
                put_message(&mut pending, 2, |out| {
                    put_integer(out, 1, chunk.min_ms);
                    put_integer(out, 2, chunk.max_ms);
                    put_integer(out, 3, chunk.encoding as i64);
                    put_bytes(out, 4, &chunk.data);
                });
                if pending.len() > FRAME_BYTES {
                    send(&mut pending);
                }
            });
            if !pending.is_empty() {
                send(&mut pending);
            }
            if gone { Err(Ended::Gone) } else { Ok(()) }
        })?;
    }
    Ok(())
}
