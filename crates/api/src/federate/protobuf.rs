//! Families as protobuf: `io.prometheus.client.MetricFamily` (`client_model`,
//! `io/prometheus/client/metrics.proto`), each with its length before it.

use super::classic;
use model::exposition::Escaping;
use model::histogram::Span;
use model::protobuf::{
    put_bytes, put_double, put_doubles, put_integer, put_message, put_text, put_varint, put_zigzag,
};
use model::{Histogram, Kind, Value};

/// The `Content-Type` of such a body.
pub fn content_type(escaping: Escaping) -> &'static str {
    macro_rules! with_escaping {
        ($escaping:literal) => {
            concat!(
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited; escaping=",
                $escaping
            )
        };
    }
    match escaping {
        Escaping::AllowUtf8 => with_escaping!("allow-utf-8"),
        Escaping::Underscores => with_escaping!("underscores"),
        Escaping::Dots => with_escaping!("dots"),
        Escaping::Values => with_escaping!("values"),
    }
}

/// A sample: its labels, its time in milliseconds since the Unix epoch, its value.
pub type Metric<'a> = (Vec<(&'a str, &'a str)>, i64, &'a Value);

/// Appends a family.
pub fn put_family(
    out: &mut Vec<u8>,
    name: &str,
    kind: Kind,
    metrics: &[Metric<'_>],
    escaping: Escaping,
) {
    let number = match kind {
        Kind::Histogram => 4,
        Kind::GaugeHistogram => 5,
        _ => 3,
    };
    let mut family = Vec::new();
    put_text(&mut family, 1, &escaping.name(name));
    put_integer(&mut family, 3, number);
    for (labels, time_ms, value) in metrics {
        put_message(&mut family, 4, |out| {
            for (name, value) in labels {
                put_message(out, 1, |out| {
                    put_text(out, 1, &escaping.name(name));
                    // Also where it is empty: the label is there.
                    put_bytes(out, 2, value.as_bytes());
                });
            }
            match value {
                Value::Float(value) => put_message(out, 5, |out| put_double(out, 1, *value)),
                Value::Histogram(h) => put_message(out, 7, |out| put_histogram(out, h)),
            }
            put_integer(out, 6, *time_ms);
        });
    }
    put_varint(out, family.len() as u64);
    out.append(&mut family);
}

fn put_histogram(out: &mut Vec<u8>, h: &Histogram) {
    put_double(out, 2, h.sum);
    put_double(out, 4, h.count);
    if h.uses_custom_bounds() {
        for (bound, count) in classic(h) {
            put_message(out, 3, |out| {
                put_double(out, 2, bound);
                put_double(out, 4, count);
            });
        }
        return;
    }
    put_zigzag(out, 5, h.schema.into());
    put_double(out, 6, h.zero_threshold);
    put_double(out, 8, h.zero_count);
    for (number, spans) in [(9, &h.negative_spans), (12, &h.positive_spans)] {
        spans.iter().for_each(|span| put_span(out, number, *span));
    }
    put_doubles(out, 11, &h.negative_buckets);
    put_doubles(out, 14, &h.positive_buckets);
}

fn put_span(out: &mut Vec<u8>, number: u32, span: Span) {
    put_message(out, number, |out| {
        put_zigzag(out, 1, span.offset.into());
        put_integer(out, 2, span.length.into());
    });
}
