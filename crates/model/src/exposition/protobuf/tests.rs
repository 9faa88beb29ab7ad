//! The reader beside a naive writer, and protobuf beside the text formats.

use super::*;
use crate::histogram::{CUSTOM_BOUNDS_SCHEMA, ResetHint, Span};
use crate::protobuf::{
    put_bytes, put_double, put_doubles, put_integer, put_message, put_text, put_varint, put_zigzag,
};
use crate::{Histogram, exposition::push_open_float};
use proptest::prelude::*;

/// An exemplar as a naive writer has it: labels, value, seconds and nanoseconds.
type Example = (Vec<(String, String)>, f64, Option<(i64, i32)>);

/// A metric as a naive writer has it.
#[derive(Clone, Debug)]
struct Sent {
    labels: Vec<(String, String)>,
    time_ms: i64,
    started: Option<(i64, i32)>,
    value: f64,
    count: u32,
    quantiles: Vec<(f64, f64)>,
    buckets: Vec<(f64, u32, Option<Example>)>,
    native: Option<Native>,
    example: Option<Example>,
}

#[derive(Clone, Debug)]
struct Native {
    schema: i32,
    zero_threshold: f64,
    zero: u32,
    positive: Vec<(u32, Vec<u32>)>,
    float: bool,
    exemplars: Vec<Example>,
}

fn put_time(out: &mut Vec<u8>, number: u32, time: (i64, i32)) {
    put_message(out, number, |out| {
        put_integer(out, 1, time.0);
        put_integer(out, 2, time.1.into());
    });
}

fn put_label_pairs(out: &mut Vec<u8>, labels: &[(String, String)]) {
    for (name, value) in labels {
        put_message(out, 1, |out| {
            put_text(out, 1, name);
            put_bytes(out, 2, value.as_bytes());
        });
    }
}

fn put_example(out: &mut Vec<u8>, number: u32, example: &Example) {
    put_message(out, number, |out| {
        put_label_pairs(out, &example.0);
        put_double(out, 2, example.1);
        example.2.iter().for_each(|t| put_time(out, 3, *t));
    });
}

fn put_native(out: &mut Vec<u8>, native: &Native) {
    put_zigzag(out, 5, native.schema.into());
    put_double(out, 6, native.zero_threshold);
    match native.float {
        true => put_double(out, 8, f64::from(native.zero)),
        false => put_integer(out, 7, native.zero.into()),
    }
    for (offset, counts) in &native.positive {
        put_message(out, 12, |out| {
            put_zigzag(out, 1, (*offset).into());
            put_integer(out, 2, counts.len() as i64);
        });
    }
    let counts: Vec<i64> =
        native.positive.iter().flat_map(|p| &p.1).map(|c| i64::from(*c)).collect();
    if native.float {
        put_doubles(out, 14, &counts.iter().map(|c| *c as f64).collect::<Vec<_>>());
    } else {
        let mut before = 0;
        for count in counts {
            // One by one, as proto2 writes a repeated field.
            out.push(13 << 3);
            let delta = count - std::mem::replace(&mut before, count);
            put_varint(out, ((delta << 1) ^ (delta >> 63)) as u64);
        }
    }
    native.exemplars.iter().for_each(|e| put_example(out, 16, e));
}

fn put_metric(out: &mut Vec<u8>, kind: u8, sent: &Sent) {
    put_message(out, 4, |out| {
        put_label_pairs(out, &sent.labels);
        let field = [3, 2, 4, 5, 7, 7][usize::from(kind)];
        put_message(out, field, |out| match kind {
            2 => {
                put_integer(out, 1, sent.count.into());
                put_double(out, 2, sent.value);
                for (quantile, value) in &sent.quantiles {
                    put_message(out, 3, |out| {
                        put_double(out, 1, *quantile);
                        put_double(out, 2, *value);
                    });
                }
                sent.started.iter().for_each(|t| put_time(out, 4, *t));
            }
            4 | 5 => {
                match sent.native.as_ref().is_some_and(|n| n.float) {
                    true => put_double(out, 4, f64::from(sent.count)),
                    false => put_integer(out, 1, sent.count.into()),
                }
                put_double(out, 2, sent.value);
                for (upper, count, example) in &sent.buckets {
                    put_message(out, 3, |out| {
                        put_integer(out, 1, (*count).into());
                        put_double(out, 2, *upper);
                        example.iter().for_each(|e| put_example(out, 3, e));
                    });
                }
                sent.native.iter().for_each(|n| put_native(out, n));
                sent.started.iter().for_each(|t| put_time(out, 15, *t));
            }
            _ => {
                put_double(out, 1, sent.value);
                if kind == 0 {
                    sent.example.iter().for_each(|e| put_example(out, 2, e));
                    sent.started.iter().for_each(|t| put_time(out, 3, *t));
                }
            }
        });
        put_integer(out, 6, sent.time_ms);
    });
}

fn put_family(out: &mut Vec<u8>, name: &str, kind: u8, metrics: &[Sent]) {
    let mut family = Vec::new();
    put_text(&mut family, 1, name);
    put_text(&mut family, 2, "Help.");
    put_integer(&mut family, 3, kind.into());
    metrics.iter().for_each(|m| put_metric(&mut family, kind, m));
    put_text(&mut family, 5, "seconds");
    put_varint(out, family.len() as u64);
    out.append(&mut family);
}

/// `name{labels} value start time` of each sample, and its exemplars, as they are read.
pub(crate) fn read_all(body: &[u8], choice: Choice) -> Result<Vec<String>, ProtobufError> {
    let (mut reader, mut all) = (Reader::new(body), Vec::new());
    let mut pairs = Vec::new();
    while let Some(event) = reader.next()? {
        let metric = match event {
            Event::Family(head) => {
                all.push(format!("{head:?}"));
                continue;
            }
            Event::Metric(metric) => metric,
        };
        metric.labels(&mut pairs)?;
        metric.points(choice, |metric, point| {
            let mut bound = Vec::new();
            if let Some((_, value)) = point.bound {
                push_open_float(&mut bound, value);
            }
            let bound = point.bound.map(|b| (b.0, String::from_utf8(bound).expect("text")));
            let exemplars = point.exemplars.iter().map(|e| {
                let mut labels = Vec::new();
                e.labels(&mut labels).map(|()| (labels, e.value, e.time_ms))
            });
            let exemplars = exemplars.collect::<Result<Vec<_>, _>>()?;
            let (start, time) = (metric.start_ms, metric.time_ms);
            let name = format!("{}{}", metric.family, point.suffix);
            let value = &point.value;
            all.push(format!("{name}{pairs:?}{bound:?} {value:?} {start} {time:?} {exemplars:?}"));
            Ok::<(), ProtobufError>(())
        })?;
    }
    Ok(all)
}

fn milliseconds(time: (i64, i32)) -> i64 {
    time.0 * 1000 + i64::from(time.1) / 1_000_000
}

/// What `read_all` has to give for a metric, said in other words.
fn expected(name: &str, kind: u8, sent: &Sent, choice: Choice) -> Vec<String> {
    let mut all = Vec::new();
    let pairs: Vec<(&str, &str)> = sent.labels.iter().map(|l| (&*l.0, &*l.1)).collect();
    let start = if matches!(kind, 1 | 3) { None } else { sent.started };
    let start = start.map_or(0, milliseconds);
    let time = Some(sent.time_ms).filter(|t| *t != 0);
    let show = |e: &Example| {
        let labels: Vec<(&str, &str)> = e.0.iter().map(|l| (&*l.0, &*l.1)).collect();
        format!("({labels:?}, {:?}, {:?})", e.1, e.2.map(milliseconds))
    };
    let mut line = |suffix: &str, bound: Option<(&str, String)>, value: Reading, e: Vec<String>| {
        let e = e.join(", ");
        all.push(format!("{name}{suffix}{pairs:?}{bound:?} {value:?} {start} {time:?} [{e}]"));
    };
    let open = |v: f64| match v {
        f64::INFINITY => "+Inf".to_owned(),
        v if v.trunc() == v => format!("{v}.0"),
        v => v.to_string(),
    };
    if kind < 2 || kind == 3 {
        let example = sent.example.iter().filter(|_| kind == 0).map(show).collect();
        line("", None, Reading::Float(sent.value), example);
        return all;
    }
    let count = f64::from(sent.count);
    let mut series = |buckets: bool| {
        line("_count", None, Reading::Float(count), vec![]);
        line("_sum", None, Reading::Float(sent.value), vec![]);
        for (upper, value) in sent.quantiles.iter().filter(|_| !buckets) {
            line("", Some(("quantile", open(*upper))), Reading::Float(*value), vec![]);
        }
        for (upper, value, e) in sent.buckets.iter().filter(|_| buckets) {
            let e = e.iter().map(show).collect();
            line("_bucket", Some(("le", open(*upper))), Reading::Float(f64::from(*value)), e);
        }
        let last = sent.buckets.last().map(|b| b.0);
        if buckets && last != Some(f64::INFINITY) {
            line("_bucket", Some(("le", "+Inf".into())), Reading::Float(count), vec![]);
        }
    };
    if kind == 2 {
        series(false);
        return all;
    }
    let native = sent.native.as_ref().filter(|_| choice.native);
    if native.is_none() && (choice.classic_too || !choice.custom) {
        series(true);
    }
    let reset_hint = if kind == 5 { ResetHint::Gauge } else { ResetHint::Unknown };
    let plain = Histogram { reset_hint, count, sum: sent.value, ..Histogram::default() };
    let (histogram, whole) = match native {
        Some(native) => {
            let counts = native.positive.iter().flat_map(|p| &p.1);
            let h = Histogram {
                schema: native.schema,
                zero_threshold: native.zero_threshold,
                zero_count: native.zero.into(),
                positive_spans: native
                    .positive
                    .iter()
                    .map(|p| Span { offset: p.0 as i32, length: p.1.len() as u32 })
                    .collect(),
                positive_buckets: counts.map(|c| f64::from(*c)).collect(),
                ..plain
            };
            (h, !native.float || sent.count == 0 && native.zero == 0)
        }
        None if choice.custom => {
            let mut bounds: Vec<f64> = sent.buckets.iter().map(|b| b.0).collect();
            bounds.retain(|b| b.is_finite());
            let mut before = 0;
            let cumulative =
                sent.buckets.iter().map(|b| b.1).take(bounds.len()).chain([sent.count]);
            let counts = cumulative.map(|c| f64::from(c - std::mem::replace(&mut before, c)));
            let h = Histogram {
                schema: CUSTOM_BOUNDS_SCHEMA,
                positive_spans: vec![Span { offset: 0, length: bounds.len() as u32 + 1 }],
                positive_buckets: counts.collect(),
                custom_bounds: bounds.into(),
                ..plain
            };
            (h, true)
        }
        None => return all,
    };
    let mut histogram = histogram;
    histogram.compact();
    let own = sent.native.iter().flat_map(|n| &n.exemplars).collect::<Vec<_>>();
    let of_buckets = sent.buckets.iter().filter_map(|b| b.2.as_ref()).collect();
    let mut exemplars = if own.is_empty() { of_buckets } else { own };
    exemplars.retain(|e| e.2.is_some());
    exemplars.sort_by(|a, b| {
        a.2.map(milliseconds).cmp(&b.2.map(milliseconds)).then(a.1.total_cmp(&b.1))
    });
    line(
        "",
        None,
        Reading::Histogram { histogram, whole },
        exemplars.into_iter().map(show).collect(),
    );
    if native.is_some() && choice.classic_too && !sent.buckets.is_empty() {
        let mut series = |suffix: &str, bound: Option<(&str, String)>, v: f64, e: Vec<String>| {
            line(suffix, bound, Reading::Float(v), e);
        };
        series("_count", None, count, vec![]);
        series("_sum", None, sent.value, vec![]);
        for (upper, value, e) in &sent.buckets {
            let e = e.iter().map(show).collect();
            series("_bucket", Some(("le", open(*upper))), f64::from(*value), e);
        }
        if sent.buckets.last().map(|b| b.0) != Some(f64::INFINITY) {
            series("_bucket", Some(("le", "+Inf".into())), count, vec![]);
        }
    }
    all
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[a-c]{1,2}", "[x-zé]{0,2}"), 0..3)
}

fn example() -> impl Strategy<Value = Example> {
    (pairs(), -9i32..9, prop::option::of((0i64..99, 0i32..999_999_999)))
        .prop_map(|(labels, value, time)| (labels, f64::from(value), time))
}

fn native() -> impl Strategy<Value = Native> {
    let side = prop::collection::vec((1u32..5, prop::collection::vec(0u32..9, 1..4)), 1..3);
    (-4i32..9, 0u32..3, side, any::<bool>(), prop::collection::vec(example(), 0..3)).prop_map(
        |(schema, zero, positive, float, exemplars)| Native {
            schema,
            zero_threshold: 0.001,
            zero,
            positive,
            float,
            exemplars,
        },
    )
}

fn sent() -> impl Strategy<Value = Sent> {
    let started = prop::option::of((0i64..2_000_000_000, 0i32..999_999_999));
    let bucket = (0u32..4, prop::option::of(example()));
    let parts = (pairs(), 0i64..3, started, -99i32..99, 1u32..9, prop::option::of(example()));
    let buckets = (prop::collection::vec(bucket, 0..5), any::<bool>());
    (parts, buckets, prop::option::of(native())).prop_map(|(parts, (counts, infinite), native)| {
        let (labels, time_ms, started, value, count, example) = parts;
        let (mut all, mut buckets) = (0, Vec::new());
        for (i, (count, example)) in counts.into_iter().enumerate() {
            all += count;
            buckets.push((i as f64 / 4.0, all, example));
        }
        let count = if native.is_some() { count } else { count + all };
        if infinite {
            buckets.push((f64::INFINITY, count, None));
        }
        // A native histogram says nothing of its classic buckets; those only add up.
        let buckets = if native.is_some() {
            buckets.into_iter().map(|b| (b.0, b.1.min(count), b.2)).collect()
        } else {
            buckets
        };
        let quantiles = vec![(0.5, f64::from(value)), (0.99, 2.0)];
        let value = f64::from(value) / 8.0;
        Sent { labels, time_ms, started, value, count, quantiles, buckets, native, example }
    })
}

fn choice() -> impl Strategy<Value = Choice> {
    any::<(bool, bool, bool)>().prop_map(|(native, classic_too, custom)| Choice {
        native,
        classic_too,
        custom,
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        families in prop::collection::vec((0u8..6, prop::collection::vec(sent(), 1..4)), 0..4),
        choice in choice(),
    ) {
        let (mut body, mut wanted) = (Vec::new(), Vec::new());
        for (i, (kind, metrics)) in families.iter().enumerate() {
            let name = format!("f{i}");
            // Empty families are passed over.
            put_family(&mut body, "empty", 1, &[]);
            put_family(&mut body, &name, *kind, metrics);
            let kinds = [Kind::Counter, Kind::Gauge, Kind::Summary, Kind::Untyped,
                         Kind::Histogram, Kind::GaugeHistogram];
            let kind_read = kinds[usize::from(*kind)];
            let head = Family { name: &name, help: "Help.", kind: kind_read, unit: "seconds" };
            wanted.push(format!("{head:?}"));
            metrics.iter().for_each(|m| wanted.extend(expected(&name, *kind, m, choice)));
        }
        let read = read_all(&body, choice).expect("reads");
        prop_assert_eq!(&read, &wanted);
        // Cut off anywhere, it is an error or ends between two families.
        let cut = body.len() / 2;
        if let Ok(read) = read_all(&body[..cut], choice) {
            prop_assert!(read.len() <= wanted.len());
        }
    }

    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        super::super::fuzz::read_protobuf(&bytes);
    }

    #[test]
    fn no_almost_right_bytes_break_it(
        metrics in prop::collection::vec(sent(), 1..3), kind in 0u8..6,
        at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut body = Vec::new();
        put_family(&mut body, "f", kind, &metrics);
        let at = at.index(body.len());
        body[at] = byte;
        super::super::fuzz::read_protobuf(&body);
    }
}

fn plain(labels: &[(&str, &str)]) -> Sent {
    let labels = labels.iter().map(|l| (l.0.to_owned(), l.1.to_owned())).collect();
    Sent {
        labels,
        time_ms: 0,
        started: None,
        value: 0.0,
        count: 0,
        quantiles: vec![],
        buckets: vec![],
        native: None,
        example: None,
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    let mut body = Vec::new();
    put_family(&mut body, "good", 1, &[plain(&[])]);
    let good = body.len();
    put_family(&mut body, "x", 9, &[]);
    assert_eq!(read_all(&body, Choice::default()).expect("an empty family").len(), 2);
    let told = |body: &[u8]| {
        let choice = Choice { native: true, ..Choice::default() };
        read_all(body, choice).expect_err("refused").to_string()
    };
    // The kind is the eleventh of twelve bytes or so: written anew, not poked.
    let mut kind = body[..good].to_vec();
    let mut family = Vec::new();
    put_text(&mut family, 1, "x");
    put_integer(&mut family, 3, 9);
    put_message(&mut family, 4, |_| {});
    put_varint(&mut kind, family.len() as u64);
    kind.extend_from_slice(&family);
    let at = good + 1;
    assert_eq!(told(&kind), format!("metric family \"x\" at byte {at}: unknown metric type 9"));
    assert!(told(&body[..good - 1]).contains("the message ends within a field"));
    let mut spans = plain(&[]);
    let positive = vec![(1, vec![1, 2])];
    let native = Native {
        schema: 0,
        zero_threshold: 1.0,
        zero: 0,
        positive,
        float: false,
        exemplars: vec![],
    };
    spans.native = Some(native);
    let mut broken = Vec::new();
    put_family(&mut broken, "h", 4, &[spans]);
    let last = broken.len() - 1;
    // The length of the span: 2 becomes 9.
    let length = broken.windows(4).position(|w| w == [8, 2, 16, 2]).expect("a span");
    broken[length + 3] = 9;
    assert!(last > length);
    let why = told(&broken);
    assert!(why.ends_with("positive side: spans require 9 buckets, have 2"), "{why}");
    assert!(why.starts_with("metric family \"h\" at byte"), "{why}");
}

#[test]
fn a_name_that_is_no_text_is_refused_and_a_key_stays_the_same() {
    let mut body = Vec::new();
    put_family(&mut body, "a", 1, &[plain(&[("l", "v")]), plain(&[("l", "w")])]);
    let mut reader = Reader::new(&body);
    let mut keys = Vec::new();
    while let Some(event) = reader.next().expect("reads") {
        if let Event::Metric(metric) = event {
            let mut key = Vec::new();
            metric.push_key(&mut key);
            keys.push(key);
        }
    }
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
    let at = body.windows(1).rposition(|w| w == b"w").expect("the value");
    body[at] = 0xff;
    let why = read_all(&body, Choice::default()).expect_err("refused").to_string();
    assert!(why.contains("text that is not UTF-8"), "{why}");
}
