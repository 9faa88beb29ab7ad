//! One page: what one series says at up to [`PAGE_TICKS`] ticks of its group. At which ticks it has a
//! sample, the floats, the histograms, and when its counter began.

use crate::codec::{CodecError, encode_floats, encode_ints, put_varint};
use crate::cursor::Cursor;
use model::Histogram;
use model::histogram::{ResetHint, Span};
use std::sync::Arc;

/// Ticks in a page, the last of a group's excepted.
pub const PAGE_TICKS: usize = 1024;

const ALL_TICKS: u8 = 1;
const HAS_HISTOGRAMS: u8 = 2;
const HAS_STARTS: u8 = 4;

/// The samples of one page, or of a whole series.
#[derive(Clone, Copy, Debug, Default)]
pub struct Points<'a> {
    /// The group's ticks at which there is a sample, ascending; `None` for all of them.
    pub ticks: Option<&'a [u32]>,
    /// The floats, one for each of those ticks; 0 where there is a histogram.
    pub floats: &'a [f64],
    /// (index into `floats`, histogram), ascending.
    pub histograms: &'a [(u32, Arc<Histogram>)],
    /// When the counter began, one for each tick; empty where never known.
    pub starts_ms: &'a [i64],
}

/// What a page decodes into; its vectors keep their memory.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Ticks within the page; empty where `all`.
    pub ticks: Vec<u32>,
    pub all: bool,
    pub floats: Vec<f64>,
    pub histograms: Vec<(u32, Arc<Histogram>)>,
    pub starts_ms: Vec<i64>,
}

/// Appends a page of `count` ticks; the ticks of `points` are counted from the page's first.
pub(crate) fn write(points: &Points<'_>, out: &mut Vec<u8>) {
    let mut flags = 0;
    flags |= if points.ticks.is_none() { ALL_TICKS } else { 0 };
    flags |= if points.histograms.is_empty() { 0 } else { HAS_HISTOGRAMS };
    let starts = points.starts_ms.iter().any(|&s| s != 0);
    flags |= if starts { HAS_STARTS } else { 0 };
    out.push(flags);
    if let Some(ticks) = points.ticks {
        let runs = || ticks.chunk_by(|a, b| a + 1 == *b);
        put_varint(runs().count() as u64, out);
        let mut end = 0;
        for run in runs() {
            put_varint(u64::from(run[0] - end), out);
            put_varint(run.len() as u64, out);
            end = run[0] + run.len() as u32;
        }
    }
    encode_floats(points.floats, out);
    if !points.histograms.is_empty() {
        write_histograms(points.histograms, out);
    }
    if starts {
        encode_ints(points.starts_ms, out);
    }
}

/// Decodes a page of `count` ticks.
pub(crate) fn read(bytes: &[u8], count: usize, page: &mut Page) -> Result<(), CodecError> {
    page.ticks.clear();
    page.floats.clear();
    page.histograms.clear();
    page.starts_ms.clear();
    let mut cursor = Cursor(bytes);
    let flags = cursor.byte()?;
    page.all = flags & ALL_TICKS != 0;
    if !page.all {
        let mut end = 0;
        for _ in 0..cursor.size(count, "number of presence runs")? {
            let begin = end + cursor.size(count - end, "gap in presence")?;
            end = begin + cursor.size(count - begin, "run of presence")?;
            page.ticks.extend(begin as u32..end as u32);
        }
    }
    let present = if page.all { count } else { page.ticks.len() };
    cursor.floats(present, &mut page.floats)?;
    if flags & HAS_HISTOGRAMS != 0 {
        read_histograms(&mut cursor, present, &mut page.histograms)?;
    }
    if flags & HAS_STARTS != 0 {
        cursor.ints(present, &mut page.starts_ms)?;
    }
    Ok(())
}

/// Histograms that share their layout are written together, number by number: each bucket is a column.
fn write_histograms(histograms: &[(u32, Arc<Histogram>)], out: &mut Vec<u8>) {
    let runs = || histograms.chunk_by(|a, b| same_layout(&a.1, &b.1));
    put_varint(runs().count() as u64, out);
    let mut column = Vec::new();
    for run in runs() {
        put_varint(run.len() as u64, out);
        let layout = &run[0].1;
        encode_ints(&run.iter().map(|h| i64::from(h.0)).collect::<Vec<_>>(), out);
        encode_ints(&run.iter().map(|h| hint_number(h.1.reset_hint)).collect::<Vec<_>>(), out);
        encode_ints(&[i64::from(layout.schema)], out);
        encode_floats(&[layout.zero_threshold], out);
        write_spans(&layout.positive_spans, out);
        write_spans(&layout.negative_spans, out);
        put_varint(layout.custom_bounds.len() as u64, out);
        encode_floats(&layout.custom_bounds, out);
        put_varint(layout.positive_buckets.len() as u64, out);
        put_varint(layout.negative_buckets.len() as u64, out);
        let mut put = |value: &dyn Fn(&Histogram) -> f64, out: &mut Vec<u8>| {
            column.clear();
            column.extend(run.iter().map(|h| value(&h.1)));
            encode_floats(&column, out);
        };
        put(&|h| h.zero_count, out);
        put(&|h| h.count, out);
        put(&|h| h.sum, out);
        for i in 0..layout.positive_buckets.len() {
            put(&|h| h.positive_buckets[i], out);
        }
        for i in 0..layout.negative_buckets.len() {
            put(&|h| h.negative_buckets[i], out);
        }
    }
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.positive_buckets.len() == b.positive_buckets.len()
        && a.negative_buckets.len() == b.negative_buckets.len()
        && a.custom_bounds.len() == b.custom_bounds.len()
        && a.custom_bounds
            .iter()
            .zip(b.custom_bounds.iter())
            .all(|(a, b)| a.to_bits() == b.to_bits())
}

fn hint_number(hint: ResetHint) -> i64 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    }
}

fn hint_of(number: i64) -> Result<ResetHint, CodecError> {
    Ok(match number {
        0 => ResetHint::Unknown,
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => return Err(CodecError::Invalid("counter reset hint")),
    })
}

fn write_spans(spans: &[Span], out: &mut Vec<u8>) {
    put_varint(spans.len() as u64, out);
    encode_ints(&spans.iter().map(|s| i64::from(s.offset)).collect::<Vec<_>>(), out);
    encode_ints(&spans.iter().map(|s| i64::from(s.length)).collect::<Vec<_>>(), out);
}

/// A histogram may have so many spans, bounds or buckets at most; Prometheus's own limits are lower.
const PARTS_MAX: usize = 1 << 12;

fn read_spans(cursor: &mut Cursor<'_>) -> Result<Vec<Span>, CodecError> {
    let count = cursor.size(PARTS_MAX, "number of spans")?;
    let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
    cursor.ints(count, &mut offsets)?;
    cursor.ints(count, &mut lengths)?;
    let wrong = CodecError::Invalid("span");
    let span = |(&offset, &length): (&i64, &i64)| {
        Ok(Span {
            offset: i32::try_from(offset).map_err(|_| wrong)?,
            length: u32::try_from(length).map_err(|_| wrong)?,
        })
    };
    offsets.iter().zip(&lengths).map(span).collect()
}

fn read_histograms(
    cursor: &mut Cursor<'_>,
    present: usize,
    out: &mut Vec<(u32, Arc<Histogram>)>,
) -> Result<(), CodecError> {
    let one_int = |cursor: &mut Cursor<'_>| -> Result<i64, CodecError> {
        let mut one = Vec::new();
        cursor.ints(1, &mut one)?;
        Ok(one[0])
    };
    for _ in 0..cursor.size(present, "number of histogram layouts")? {
        let count = cursor.size(present, "number of histograms")?;
        let (mut places, mut hints, mut column) = (Vec::new(), Vec::new(), Vec::new());
        cursor.ints(count, &mut places)?;
        cursor.ints(count, &mut hints)?;
        let schema = i32::try_from(one_int(cursor)?).map_err(|_| CodecError::Invalid("schema"))?;
        cursor.floats(1, &mut column)?;
        let zero_threshold = column[0];
        let positive_spans = read_spans(cursor)?;
        let negative_spans = read_spans(cursor)?;
        let mut bounds = Vec::new();
        let bound_count = cursor.size(PARTS_MAX, "number of bounds")?;
        cursor.floats(bound_count, &mut bounds)?;
        let custom_bounds: Arc<[f64]> = bounds.into();
        let positive = cursor.size(PARTS_MAX, "number of buckets")?;
        let negative = cursor.size(PARTS_MAX, "number of buckets")?;
        let mut histograms: Vec<Histogram> = Vec::new();
        for &hint in &hints {
            histograms.push(Histogram {
                reset_hint: hint_of(hint)?,
                schema,
                zero_threshold,
                positive_spans: positive_spans.clone(),
                negative_spans: negative_spans.clone(),
                custom_bounds: custom_bounds.clone(),
                ..Histogram::default()
            });
        }
        for part in 0..3 + positive + negative {
            column.clear();
            cursor.floats(count, &mut column)?;
            for (histogram, &value) in histograms.iter_mut().zip(&column) {
                match part {
                    0 => histogram.zero_count = value,
                    1 => histogram.count = value,
                    2 => histogram.sum = value,
                    i if i < 3 + positive => histogram.positive_buckets.push(value),
                    _ => histogram.negative_buckets.push(value),
                }
            }
        }
        for (histogram, &place) in histograms.into_iter().zip(&places) {
            let place = u32::try_from(place).ok().filter(|&p| (p as usize) < present);
            let place = place.ok_or(CodecError::Invalid("place of a histogram"))?;
            if out.last().is_some_and(|last| last.0 >= place) {
                return Err(CodecError::Invalid("order of histograms"));
            }
            out.push((place, Arc::new(histogram)));
        }
    }
    Ok(())
}
