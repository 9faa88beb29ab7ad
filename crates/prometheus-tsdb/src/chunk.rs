//! Chunks: the samples of one series over a stretch of time, in one of six encodings.
//!
//! [`decode`] reads all of them; [`xor`] and [`histogram`] also write. Format: `tsdb/docs/format/chunks.md`.

pub(crate) mod histogram;
mod starts;
pub(crate) mod xor;
mod xor2;

use crate::bytes::{Bytes, Wrong};
use model::{Columns, Histogram};
use std::sync::Arc;

/// The encodings by number.
pub(crate) const XOR: u8 = 1;
pub(crate) const HISTOGRAM: u8 = 2;
pub(crate) const FLOAT_HISTOGRAM: u8 = 3;
const XOR2: u8 = 4;
const HISTOGRAM_STARTS: u8 = 5;
const FLOAT_HISTOGRAM_STARTS: u8 = 6;

/// Appends the samples of a chunk to `columns`; where it cannot be read, they stay as they were.
pub(crate) fn decode(encoding: u8, data: &[u8], columns: &mut Columns) -> Result<(), Wrong> {
    let before = columns.times_ms.len();
    let decoded = match encoding {
        XOR => xor::decode(data, columns),
        XOR2 => xor2::decode(data, columns),
        HISTOGRAM => histogram::decode(data, false, false, columns),
        FLOAT_HISTOGRAM => histogram::decode(data, true, false, columns),
        HISTOGRAM_STARTS => histogram::decode(data, false, true, columns),
        FLOAT_HISTOGRAM_STARTS => histogram::decode(data, true, true, columns),
        _ => Err("an encoding that Prometheus 3.15 does not know"),
    };
    if decoded.is_err() {
        columns.times_ms.truncate(before);
        columns.floats.truncate(before);
        columns.starts_ms.truncate(before);
        columns.histograms.retain(|h| (h.0 as usize) < before);
    }
    decoded
}

/// How many samples a chunk says that it has.
fn count(data: &[u8]) -> Result<(u16, Bytes<'_>), Wrong> {
    let mut bytes = Bytes(data);
    Ok((bytes.be16()?, bytes))
}

pub(crate) fn push_float(columns: &mut Columns, time_ms: i64, start_ms: i64, value: f64) {
    push_start(columns, start_ms);
    columns.times_ms.push(time_ms);
    columns.floats.push(value);
}

pub(crate) fn push_histogram(
    columns: &mut Columns,
    time_ms: i64,
    start_ms: i64,
    histogram: Arc<Histogram>,
) {
    push_start(columns, start_ms);
    columns.histograms.push((columns.times_ms.len() as u32, histogram));
    columns.times_ms.push(time_ms);
    columns.floats.push(0.0);
}

/// The column of starts is empty until one is known.
fn push_start(columns: &mut Columns, start_ms: i64) {
    if start_ms != 0 || !columns.starts_ms.is_empty() {
        columns.starts_ms.resize(columns.times_ms.len(), 0);
        columns.starts_ms.push(start_ms);
    }
}
