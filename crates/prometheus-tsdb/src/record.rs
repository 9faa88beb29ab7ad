//! Records of the write-ahead log, all types that Prometheus 3.15 writes. Format: `tsdb/docs/format/wal.md`;
//! the second versions of samples, which add starts, as `tsdb/record` writes them.

use crate::bytes::{Bytes, Wrong};
use crate::chunk::histogram::{PARTS_MAX, absolute, check_schema, check_spans, settled, stale};
use model::histogram::{CUSTOM_BOUNDS_SCHEMA, ResetHint, Span};
use model::value::is_stale;
use model::{Histogram, Kind, Labels};
use std::sync::Arc;

const SERIES: u8 = 1;
const SAMPLES: u8 = 2;
const TOMBSTONES: u8 = 3;
const EXEMPLARS: u8 = 4;
const MARKERS: u8 = 5;
const METADATA: u8 = 6;
const HISTOGRAMS: u8 = 7;
const FLOAT_HISTOGRAMS: u8 = 8;
const CUSTOM_HISTOGRAMS: u8 = 9;
const CUSTOM_FLOAT_HISTOGRAMS: u8 = 10;
const SAMPLES_2: u8 = 11;
const HISTOGRAMS_2: u8 = 12;
const FLOAT_HISTOGRAMS_2: u8 = 13;

/// What is known of a metric apart from its samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its type.
    pub kind: Kind,
    /// One line for people.
    pub help: String,
    /// Its unit; often empty.
    pub unit: String,
}

/// What a record says, one thing at a time. Series are named by numbers.
#[derive(Clone, Debug)]
pub enum Item {
    /// A series gets a number.
    Series {
        /// The number.
        series: u64,
        /// Its labels.
        labels: Labels,
    },
    /// A sample that is a float.
    Float {
        /// The series.
        series: u64,
        /// Milliseconds since the Unix epoch.
        time_ms: i64,
        /// When the counter began; 0 where unknown.
        start_ms: i64,
        /// The value.
        value: f64,
    },
    /// A sample that is a histogram.
    Histogram {
        /// The series.
        series: u64,
        /// Milliseconds since the Unix epoch.
        time_ms: i64,
        /// When the counter began; 0 where unknown.
        start_ms: i64,
        /// The value.
        value: Arc<Histogram>,
    },
    /// Samples were deleted.
    Deleted {
        /// The series.
        series: u64,
        /// The first time, included.
        start_ms: i64,
        /// The last time, included.
        end_ms: i64,
    },
    /// An example of what a series counted.
    Exemplar {
        /// The series.
        series: u64,
        /// Milliseconds since the Unix epoch.
        time_ms: i64,
        /// What was observed.
        value: f64,
        /// Its own labels.
        labels: Labels,
    },
    /// What is known of the metric of a series.
    Metadata {
        /// The series.
        series: u64,
        /// What it is.
        about: About,
    },
    /// Where late samples went; says nothing by itself.
    Marker,
}

/// Calls `see` with everything that a record says; fails with what is wrong, after what stood before it.
pub fn read_record(record: &[u8], see: &mut dyn FnMut(Item)) -> Result<(), &'static str> {
    let mut bytes = Bytes(record);
    match bytes.byte()? {
        SERIES => {
            while !bytes.0.is_empty() {
                let series = bytes.be64()?;
                let labels = read_labels(&mut bytes)?;
                see(Item::Series { series, labels });
            }
            Ok(())
        }
        SAMPLES => each(&mut bytes, |bytes, series, time_ms, _| {
            let value = bytes.float()?;
            see(Item::Float { series, time_ms, start_ms: 0, value });
            Ok(())
        }),
        SAMPLES_2 => each_2(&mut bytes, |bytes, series, time_ms, start_ms| {
            let value = bytes.float()?;
            see(Item::Float { series, time_ms, start_ms, value });
            Ok(())
        }),
        kind @ (HISTOGRAMS | CUSTOM_HISTOGRAMS | FLOAT_HISTOGRAMS | CUSTOM_FLOAT_HISTOGRAMS) => {
            let floats = matches!(kind, FLOAT_HISTOGRAMS | CUSTOM_FLOAT_HISTOGRAMS);
            each(&mut bytes, histograms(floats, see))
        }
        kind @ (HISTOGRAMS_2 | FLOAT_HISTOGRAMS_2) => {
            each_2(&mut bytes, histograms(kind == FLOAT_HISTOGRAMS_2, see))
        }
        TOMBSTONES => {
            while !bytes.0.is_empty() {
                let series = bytes.be64()?;
                let (start_ms, end_ms) = (bytes.varint()?, bytes.varint()?);
                see(Item::Deleted { series, start_ms, end_ms });
            }
            Ok(())
        }
        EXEMPLARS => each(&mut bytes, |bytes, series, time_ms, _| {
            let value = bytes.float()?;
            let labels = read_labels(bytes)?;
            see(Item::Exemplar { series, time_ms, value, labels });
            Ok(())
        }),
        METADATA => read_metadata(&mut bytes, see),
        MARKERS => {
            while !bytes.0.is_empty() {
                bytes.take(16)?;
                see(Item::Marker);
            }
            Ok(())
        }
        _ => Err("a type of record that Prometheus 3.15 does not know"),
    }
}

fn histograms(
    floats: bool,
    see: &mut dyn FnMut(Item),
) -> impl FnMut(&mut Bytes<'_>, u64, i64, i64) -> Result<(), Wrong> {
    move |bytes, series, time_ms, start_ms| {
        let value = Arc::new(read_histogram(bytes, floats)?);
        see(Item::Histogram { series, time_ms, start_ms, value });
        Ok(())
    }
}

/// Numbers and times against those of the first.
fn each(
    bytes: &mut Bytes<'_>,
    mut read: impl FnMut(&mut Bytes<'_>, u64, i64, i64) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    if bytes.0.is_empty() {
        return Ok(());
    }
    let (series, time) = (bytes.be64()?, bytes.be64()? as i64);
    while !bytes.0.is_empty() {
        let own = series.wrapping_add(bytes.varint()? as u64);
        let own_time = time.wrapping_add(bytes.varint()?);
        read(bytes, own, own_time, 0)?;
    }
    Ok(())
}

/// Numbers against those before, times and starts against those of the first.
fn each_2(
    bytes: &mut Bytes<'_>,
    mut read: impl FnMut(&mut Bytes<'_>, u64, i64, i64) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    if bytes.0.is_empty() {
        return Ok(());
    }
    let mut series = bytes.varint()?;
    let (first_time, first_start) = (bytes.varint()?, bytes.varint()?);
    let (mut time, mut start) = (first_time, first_start);
    loop {
        read(bytes, series as u64, time, start)?;
        if bytes.0.is_empty() {
            return Ok(());
        }
        series = series.wrapping_add(bytes.varint()?);
        time = first_time.wrapping_add(bytes.varint()?);
        start = match bytes.byte()? {
            0 => 0,
            1 => start,
            _ => first_start.wrapping_add(bytes.varint()?),
        };
    }
}

fn read_labels(bytes: &mut Bytes<'_>) -> Result<Labels, Wrong> {
    let count = bytes.count()?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push((bytes.text()?, bytes.text()?));
    }
    Ok(Labels::from_pairs(pairs))
}

fn read_metadata(bytes: &mut Bytes<'_>, see: &mut dyn FnMut(Item)) -> Result<(), Wrong> {
    while !bytes.0.is_empty() {
        let series = bytes.uvarint()?;
        let kind = match bytes.byte()? {
            1 => Kind::Counter,
            2 => Kind::Gauge,
            3 => Kind::Histogram,
            4 => Kind::GaugeHistogram,
            5 => Kind::Summary,
            6 => Kind::Info,
            7 => Kind::StateSet,
            _ => Kind::Untyped,
        };
        let (help, unit) = (String::new(), String::new());
        let mut about = About { kind, help, unit };
        for _ in 0..bytes.count()? {
            let mut text = || -> Result<String, Wrong> {
                let length = bytes.count()?;
                Ok(String::from_utf8_lossy(bytes.take(length)?).into_owned())
            };
            match (text()?.as_str(), text()?) {
                ("HELP", help) => about.help = help,
                ("UNIT", unit) => about.unit = unit,
                _ => {}
            }
        }
        see(Item::Metadata { series, about });
    }
    Ok(())
}

fn read_histogram(bytes: &mut Bytes<'_>, floats: bool) -> Result<Histogram, Wrong> {
    let reset_hint = match bytes.byte()? {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    let schema = i32::try_from(bytes.varint()?).map_err(|_| "a schema that nobody knows")?;
    check_schema(schema)?;
    let zero_threshold = bytes.float()?;
    let number = |bytes: &mut Bytes<'_>| match floats {
        true => bytes.float(),
        false => bytes.uvarint().map(|n| n as f64),
    };
    let (zero_count, count) = (number(bytes)?, number(bytes)?);
    let sum = bytes.float()?;
    let (positive_spans, negative_spans) = (read_spans(bytes)?, read_spans(bytes)?);
    let mut buckets = |spans: &[Span]| -> Result<Vec<f64>, Wrong> {
        let count = bytes.count()?;
        if count != check_spans(spans)? {
            return Err("a histogram has other buckets than its spans say");
        }
        if floats {
            return (0..count).map(|_| bytes.float()).collect();
        }
        let differences: Result<Vec<i64>, Wrong> = (0..count).map(|_| bytes.varint()).collect();
        Ok(absolute(&differences?))
    };
    // A mark that the series ended has spans without buckets.
    let (positive_buckets, negative_buckets) = if is_stale(sum) {
        for _ in 0..2 {
            for _ in 0..bytes.count()? {
                if floats { bytes.float().map(drop)? } else { bytes.varint().map(drop)? }
            }
        }
        (Vec::new(), Vec::new())
    } else {
        (buckets(&positive_spans)?, buckets(&negative_spans)?)
    };
    let mut bounds = Vec::new();
    if schema == CUSTOM_BOUNDS_SCHEMA {
        let count = bytes.count()?;
        if count > PARTS_MAX {
            return Err("a histogram has too many bounds");
        }
        for _ in 0..count {
            bounds.push(bytes.float()?);
        }
    }
    if is_stale(sum) {
        return Ok(stale());
    }
    Ok(settled(Histogram {
        reset_hint,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        custom_bounds: bounds.into(),
    }))
}

fn read_spans(bytes: &mut Bytes<'_>) -> Result<Vec<Span>, Wrong> {
    let count = bytes.count()?;
    let mut spans = Vec::with_capacity(count.min(PARTS_MAX));
    for _ in 0..count {
        let offset = i32::try_from(bytes.varint()?).map_err(|_| "a span lies too far")?;
        let length = u32::try_from(bytes.uvarint()?).map_err(|_| "a span is too long")?;
        spans.push(Span { offset, length });
    }
    check_spans(&spans)?;
    Ok(spans)
}
