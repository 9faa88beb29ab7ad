//! Prometheus's protobuf messages, as far as more than one protocol has them: labels and
//! histograms of remote write 1.0 and 2.0 and of remote read. Fields are those of
//! `prompb/types.proto` and `prompb/io/prometheus/write/v2/types.proto`, whose histograms agree.

use crate::histogram::{ResetHint, Span};
use crate::protobuf::{
    Field, Malformed, Message, put_double, put_doubles, put_integer, put_message, put_text,
    put_varint, put_zigzag,
};
use crate::{Histogram, Labels};
use std::sync::Arc;

/// A histogram at a time, as it was sent.
#[derive(Clone, Debug)]
pub struct SentHistogram {
    /// Milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// When it began to count, milliseconds since the Unix epoch; 0 where not said.
    pub start_ms: i64,
    /// Whether its counts are integers.
    pub whole: bool,
    /// The counts.
    pub histogram: Histogram,
}

/// More spans, buckets or bounds than any histogram has: those would be a bomb.
pub(crate) const MOST: usize = 1 << 16;

/// Reads a label: a `Label` here, a `LabelPair` of the exposition.
pub fn read_label(mut message: Message<'_>) -> Result<(&str, &str), Malformed> {
    let mut label = ("", "");
    while let Some(field) = message.next()? {
        match field.number {
            1 => label.0 = field.text()?,
            2 => label.1 = field.text()?,
            _ => {}
        }
    }
    Ok(label)
}

/// Reads a `Histogram` of either version. Whether it is a sound one is not judged
/// ([`Histogram::validate`] does).
pub fn read_histogram(mut message: Message<'_>) -> Result<SentHistogram, Malformed> {
    let mut h = Histogram::default();
    let (mut time_ms, mut start_ms, mut whole) = (0, 0, true);
    let mut bounds = Vec::new();
    // Deltas and counts: which of them hold is known only at the end.
    let (mut positive, mut negative) = (Side::default(), Side::default());
    let (mut zero_whole, mut zero_float) = (0, 0.0);
    while let Some(field) = message.next()? {
        match field.number {
            1 => (h.count, whole) = (field.unsigned()? as f64, true),
            2 => (h.count, whole) = (field.double()?, false),
            3 => h.sum = field.double()?,
            4 => h.schema = field.zigzag()? as i32,
            5 => h.zero_threshold = field.double()?,
            6 => zero_whole = field.unsigned()?,
            7 => zero_float = field.double()?,
            8 => h.negative_spans.push(read_span(&field)?),
            9 => field.each_zigzag(|d| negative.add_delta(d))?,
            10 => field.each_double(|c| negative.counts.push(c))?,
            11 => h.positive_spans.push(read_span(&field)?),
            12 => field.each_zigzag(|d| positive.add_delta(d))?,
            13 => field.each_double(|c| positive.counts.push(c))?,
            14 => {
                h.reset_hint = match field.unsigned()? {
                    1 => ResetHint::Reset,
                    2 => ResetHint::NotReset,
                    3 => ResetHint::Gauge,
                    _ => ResetHint::Unknown,
                }
            }
            15 => time_ms = field.integer()?,
            16 => field.each_double(|b| bounds.push(b))?,
            17 => start_ms = field.integer()?,
            _ => {}
        }
        let parts = [
            h.negative_spans.len() + h.positive_spans.len(),
            negative.from_deltas.len() + positive.from_deltas.len(),
            negative.counts.len() + positive.counts.len() + bounds.len(),
        ];
        if parts.iter().any(|p| *p > MOST) {
            let what = "a histogram with more than 65536 spans, buckets or bounds";
            return Err(Malformed { at: field.place(), what });
        }
    }
    h.zero_count = if whole { zero_whole as f64 } else { zero_float };
    h.positive_buckets = if whole { positive.from_deltas } else { positive.counts };
    h.negative_buckets = if whole { negative.from_deltas } else { negative.counts };
    h.custom_bounds = Arc::from(bounds);
    Ok(SentHistogram { time_ms, start_ms, whole, histogram: h })
}

/// The buckets of one side, as both kinds of histogram send them.
#[derive(Debug, Default)]
pub(crate) struct Side {
    last: i64,
    pub(crate) from_deltas: Vec<f64>,
    pub(crate) counts: Vec<f64>,
}

impl Side {
    pub(crate) fn clear(&mut self) {
        self.last = 0;
        self.from_deltas.clear();
        self.counts.clear();
    }

    pub(crate) fn add_delta(&mut self, delta: i64) {
        self.last = self.last.wrapping_add(delta);
        self.from_deltas.push(self.last as f64);
    }
}

/// Reads a `BucketSpan`, whose fields are also those of `io.prometheus.client`.
pub(crate) fn read_span(field: &Field<'_>) -> Result<Span, Malformed> {
    let mut message = field.message()?;
    let mut span = Span { offset: 0, length: 0 };
    while let Some(field) = message.next()? {
        match field.number {
            1 => span.offset = field.zigzag()? as i32,
            2 => span.length = field.unsigned()? as u32,
            _ => {}
        }
    }
    Ok(span)
}

/// Appends a `Histogram` as field `number`: with integer counts where all of them are whole, as
/// floats otherwise.
pub fn put_histogram(out: &mut Vec<u8>, number: u32, time_ms: i64, start_ms: i64, h: &Histogram) {
    let whole = is_whole(h);
    put_message(out, number, |out| {
        // A count is written even where it is 0: which one it is says what the others are.
        if whole {
            out.push(1 << 3);
            put_varint(out, h.count as u64);
        } else {
            out.push(2 << 3 | 1);
            out.extend_from_slice(&h.count.to_bits().to_le_bytes());
        }
        put_double(out, 3, h.sum);
        put_zigzag(out, 4, h.schema.into());
        put_double(out, 5, h.zero_threshold);
        if whole {
            out.push(6 << 3);
            put_varint(out, h.zero_count as u64);
        } else {
            out.push(7 << 3 | 1);
            out.extend_from_slice(&h.zero_count.to_bits().to_le_bytes());
        }
        let sides = [
            (8, &h.negative_spans, &h.negative_buckets),
            (11, &h.positive_spans, &h.positive_buckets),
        ];
        for (field, spans, buckets) in sides {
            for span in spans {
                put_message(out, field, |out| {
                    put_zigzag(out, 1, span.offset.into());
                    put_integer(out, 2, span.length.into());
                });
            }
            if whole && !buckets.is_empty() {
                put_message(out, field + 1, |out| {
                    let mut last = 0;
                    for count in buckets {
                        let delta = *count as i64 - last;
                        last = *count as i64;
                        put_varint(out, ((delta << 1) ^ (delta >> 63)) as u64);
                    }
                });
            } else if !whole {
                put_doubles(out, field + 2, buckets);
            }
        }
        let hint = match h.reset_hint {
            ResetHint::Unknown => 0,
            ResetHint::Reset => 1,
            ResetHint::NotReset => 2,
            ResetHint::Gauge => 3,
        };
        put_integer(out, 14, hint);
        put_integer(out, 15, time_ms);
        put_doubles(out, 16, &h.custom_bounds);
        put_integer(out, 17, start_ms);
    });
}

/// Whether all counts are whole numbers that a float holds exactly.
pub fn is_whole(h: &Histogram) -> bool {
    let whole = |c: f64| (0.0..9e15).contains(&c) && c.trunc() == c;
    let mut buckets = h.positive_buckets.iter().chain(&h.negative_buckets);
    whole(h.count) && whole(h.zero_count) && buckets.all(|c| whole(*c))
}

/// Appends each label as a `Label` in field `number`.
pub fn put_labels(out: &mut Vec<u8>, number: u32, labels: &Labels) {
    for (name, value) in labels.iter() {
        put_message(out, number, |out| {
            put_text(out, 1, name);
            put_text(out, 2, value);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn histogram() -> impl Strategy<Value = Histogram> {
        let side = || prop::collection::vec((0i32..9, prop::collection::vec(0u32..99, 1..4)), 0..3);
        (side(), side(), any::<bool>(), -4i32..9, 0u32..9).prop_map(
            |(p, n, whole, schema, zero)| {
                let part = |side: &Vec<(i32, Vec<u32>)>| {
                    let spans = side.iter().map(|(offset, counts)| Span {
                        offset: *offset,
                        length: counts.len() as u32,
                    });
                    let scale = if whole { 1.0 } else { 0.25 };
                    let counts = side.iter().flat_map(|s| &s.1).map(|c| f64::from(*c) * scale);
                    (spans.collect(), counts.collect())
                };
                let (positive_spans, positive_buckets) = part(&p);
                let (negative_spans, negative_buckets) = part(&n);
                Histogram {
                    schema,
                    reset_hint: ResetHint::Gauge,
                    zero_threshold: 0.5,
                    zero_count: f64::from(zero),
                    count: f64::from(zero) + if whole { 3.0 } else { 3.5 },
                    sum: -1.5,
                    positive_spans,
                    positive_buckets,
                    negative_spans,
                    negative_buckets,
                    ..Histogram::default()
                }
            },
        )
    }

    proptest! {
        #[test]
        fn histograms_come_back(h in histogram(), time_ms: i64, start_ms: i64) {
            let mut out = Vec::new();
            put_histogram(&mut out, 4, time_ms, start_ms, &h);
            let field = Message::new(&out).next().unwrap().unwrap();
            let back = read_histogram(field.message().unwrap()).unwrap();
            prop_assert_eq!((back.time_ms, back.start_ms), (time_ms, start_ms));
            prop_assert_eq!(back.whole, is_whole(&h));
            prop_assert_eq!(back.histogram, h);
        }
    }
}
