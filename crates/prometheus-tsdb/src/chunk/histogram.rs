//! The encodings of native histograms: a layout that all share, then each one's numbers against those of the
//! one before. Whole counts are written as integers, others as floats; either may be followed by starts.
//!
//! We write the kind with floats alone: it says the same to every query, and our counts are floats.

use super::starts::Starts;
use super::{count, push_histogram};
use crate::bits::{BitWriter, Bits, Xor};
use crate::bytes::Wrong;
use model::histogram::{CUSTOM_BOUNDS_SCHEMA, ResetHint, Span};
use model::value::{STALE, is_stale};
use model::{Columns, Histogram};
use std::sync::Arc;

/// A histogram may have so many spans, bounds or buckets at most.
pub(crate) const PARTS_MAX: usize = 4096;
/// The finest exponential schema; finer ones, reserved for later releases, are made as coarse.
const FINEST: i32 = 8;
const RESERVED: std::ops::RangeInclusive<i32> = -9..=52;

/// The two highest bits of the header's flags.
const RESET: u8 = 0b10;
const NOT_RESET: u8 = 0b01;
const GAUGE: u8 = 0b11;

pub(super) fn decode(
    data: &[u8],
    floats: bool,
    with_starts: bool,
    columns: &mut Columns,
) -> Result<(), Wrong> {
    let (mut count, mut rest) = count(data)?;
    let third = rest.byte()?;
    let (flags, mut starts) = if with_starts {
        let flags = (count >> 14) as u8;
        count &= 0x3fff;
        (flags, Starts::new(third))
    } else {
        (third >> 6, Starts::none())
    };
    if count == 0 {
        return Ok(());
    }
    let mut bits = Bits::new(rest.0);
    let layout = read_layout(&mut bits)?;
    let mut numbers = Numbers::new(&layout, floats);
    let (mut time, mut delta) = (0i64, 0i64);
    for i in 0..count {
        let before = time;
        if i == 0 {
            time = bits.varbit()?;
        } else {
            delta = delta.wrapping_add(bits.varbit()?);
            time = time.wrapping_add(delta);
        }
        let mut histogram = numbers.next(&mut bits, i == 0, &layout)?;
        histogram.reset_hint = match (flags, i) {
            (GAUGE, _) => ResetHint::Gauge,
            // Whether there is a chunk before it nobody knows.
            (_, 0) => ResetHint::Unknown,
            _ => ResetHint::NotReset,
        };
        let start = starts.next(&mut bits, i, time, before)?;
        push_histogram(columns, time, start, Arc::new(histogram));
    }
    Ok(())
}

/// The parts that the histograms of a chunk share; the numbers are empty.
fn read_layout(bits: &mut Bits<'_>) -> Result<Histogram, Wrong> {
    let zero_threshold = match bits.take(8)? {
        0 => 0.0,
        255 => bits.float()?,
        power => 2f64.powi(power as i32 - 244),
    };
    let schema = i32::try_from(bits.varbit()?).map_err(|_| "a schema that nobody knows")?;
    check_schema(schema)?;
    let positive_spans = read_spans(bits)?;
    let negative_spans = read_spans(bits)?;
    let mut bounds = Vec::new();
    if schema == CUSTOM_BOUNDS_SCHEMA {
        let count = bits.varbit_unsigned()?;
        if count > PARTS_MAX as u64 {
            return Err("a histogram has too many bounds");
        }
        for _ in 0..count {
            bounds.push(match bits.varbit_unsigned()? {
                0 => bits.float()?,
                thousandths => (thousandths - 1) as f64 / 1000.0,
            });
        }
    }
    Ok(Histogram {
        schema,
        zero_threshold,
        positive_spans,
        negative_spans,
        custom_bounds: bounds.into(),
        ..Histogram::default()
    })
}

/// Refuses a schema that is neither known nor reserved.
pub(crate) fn check_schema(schema: i32) -> Result<(), Wrong> {
    match schema == CUSTOM_BOUNDS_SCHEMA || RESERVED.contains(&schema) {
        true => Ok(()),
        false => Err("a histogram has a schema that nobody knows"),
    }
}

/// A histogram as we can keep it: not finer than the finest schema.
pub(crate) fn settled(histogram: Histogram) -> Histogram {
    if histogram.schema > FINEST { histogram.at_schema(FINEST) } else { histogram }
}

fn read_spans(bits: &mut Bits<'_>) -> Result<Vec<Span>, Wrong> {
    let count = bits.varbit_unsigned()?;
    if count > PARTS_MAX as u64 {
        return Err("a histogram has too many spans");
    }
    let mut spans = Vec::new();
    for _ in 0..count {
        let length = u32::try_from(bits.varbit_unsigned()?).map_err(|_| "a span is too long")?;
        let offset = i32::try_from(bits.varbit()?).map_err(|_| "a span lies too far")?;
        spans.push(Span { offset, length });
    }
    check_spans(&spans)?;
    Ok(spans)
}

/// How many buckets the spans have, where that is not too many.
pub(crate) fn check_spans(spans: &[Span]) -> Result<usize, Wrong> {
    let buckets = spans.iter().try_fold(0usize, |sum, s| sum.checked_add(s.length as usize));
    let reach = spans.iter().try_fold(0i32, |at, s| {
        at.checked_add(s.offset)?.checked_add(i32::try_from(s.length).ok()?)
    });
    match buckets {
        Some(buckets) if buckets <= PARTS_MAX && reach.is_some() => Ok(buckets),
        _ => Err("a histogram has too many buckets"),
    }
}

/// The numbers of the histogram read last: counts, the sum, the buckets.
enum Numbers {
    /// Each with its last difference; the sum by itself. Buckets are differences to their neighbours.
    Whole {
        numbers: Vec<(i64, i64)>,
        sum: Xor,
    },
    Floats(Vec<Xor>),
}

impl Numbers {
    fn new(layout: &Histogram, floats: bool) -> Numbers {
        let buckets = |spans: &[Span]| spans.iter().map(|s| s.length as usize).sum::<usize>();
        let count = buckets(&layout.positive_spans) + buckets(&layout.negative_spans);
        if floats {
            return Numbers::Floats(vec![Xor::default(); 3 + count]);
        }
        Numbers::Whole { numbers: vec![(0, 0); 2 + count], sum: Xor::default() }
    }

    fn next(
        &mut self,
        bits: &mut Bits<'_>,
        first: bool,
        layout: &Histogram,
    ) -> Result<Histogram, Wrong> {
        let positive = check_spans(&layout.positive_spans)?;
        let (count, zero_count, sum, buckets) = match self {
            Numbers::Floats(numbers) => {
                // What a stale mark leaves out stays as it was; nothing follows it in a chunk.
                for (i, number) in numbers.iter_mut().enumerate() {
                    match first {
                        true => *number = Xor::of(bits.float()?),
                        false => number.next(bits)?,
                    }
                    if i == 2 && !first && is_stale(number.value()) {
                        break;
                    }
                }
                let buckets = numbers[3..].iter().map(Xor::value).collect::<Vec<f64>>();
                (numbers[0].value(), numbers[1].value(), numbers[2].value(), buckets)
            }
            Numbers::Whole { numbers, sum } => {
                let (counts, buckets) = numbers.split_at_mut(2);
                for number in counts.iter_mut() {
                    match first {
                        true => number.0 = bits.varbit_unsigned()? as i64,
                        false => go_on(number, bits)?,
                    }
                }
                match first {
                    true => *sum = Xor::of(bits.float()?),
                    false => sum.next(bits)?,
                }
                if !first && is_stale(sum.value()) {
                    return Ok(stale());
                }
                for number in buckets.iter_mut() {
                    match first {
                        true => number.0 = bits.varbit()?,
                        false => go_on(number, bits)?,
                    }
                }
                let differences: Vec<i64> = buckets.iter().map(|b| b.0).collect();
                let (p, n) = differences.split_at(positive);
                let buckets = [absolute(p), absolute(n)].concat();
                (counts[0].0 as u64 as f64, counts[1].0 as u64 as f64, sum.value(), buckets)
            }
        };
        if is_stale(sum) {
            return Ok(stale());
        }
        let (positive_buckets, negative_buckets) = buckets.split_at(positive);
        Ok(settled(Histogram {
            count,
            zero_count,
            sum,
            positive_buckets: positive_buckets.to_vec(),
            negative_buckets: negative_buckets.to_vec(),
            ..layout.clone()
        }))
    }
}

/// The mark that a series of histograms ended.
pub(crate) fn stale() -> Histogram {
    Histogram { sum: STALE, ..Histogram::default() }
}

fn go_on(number: &mut (i64, i64), bits: &mut Bits<'_>) -> Result<(), Wrong> {
    number.1 = number.1.wrapping_add(bits.varbit()?);
    number.0 = number.0.wrapping_add(number.1);
    Ok(())
}

/// Counts from differences between neighbours.
pub(crate) fn absolute(differences: &[i64]) -> Vec<f64> {
    let mut count = 0i64;
    differences
        .iter()
        .map(|d| {
            count = count.wrapping_add(*d);
            count as f64
        })
        .collect()
}

/// Whether a histogram may stand in one chunk behind another.
pub(crate) fn goes_on(before: &Histogram, next: &Histogram) -> bool {
    let gauge = |h: &Histogram| h.reset_hint == ResetHint::Gauge;
    let same_layout = before.schema == next.schema
        && before.zero_threshold.to_bits() == next.zero_threshold.to_bits()
        && before.positive_spans == next.positive_spans
        && before.negative_spans == next.negative_spans
        && before.custom_bounds == next.custom_bounds;
    same_layout
        && !is_stale(before.sum)
        && !is_stale(next.sum)
        && gauge(before) == gauge(next)
        && (gauge(next) || next.reset_hint != ResetHint::Reset && !next.is_reset_after(before))
}

/// Encodes histograms that [`goes_on`] allows in one chunk; times ascend, and there are at most 65,535.
pub(crate) fn encode(times_ms: &[i64], histograms: &[Arc<Histogram>]) -> Vec<u8> {
    let mut out = (times_ms.len() as u16).to_be_bytes().to_vec();
    let Some(first) = histograms.first() else { return out };
    out.push(
        match first.reset_hint {
            ResetHint::Gauge => GAUGE,
            ResetHint::Reset => RESET,
            ResetHint::NotReset => NOT_RESET,
            ResetHint::Unknown => 0,
        } << 6,
    );
    let mut out = BitWriter::after(out);
    let marker;
    let layout: &Histogram = if is_stale(first.sum) {
        marker = stale();
        &marker
    } else {
        first
    };
    write_layout(layout, &mut out);
    let (mut last, mut delta) = (0i64, 0i64);
    let mut numbers: Vec<Xor> = Vec::new();
    for (i, (&time, histogram)) in times_ms.iter().zip(histograms).enumerate() {
        let own = [histogram.count, histogram.zero_count, histogram.sum].into_iter();
        let own = own.chain(histogram.positive_buckets.iter().copied());
        let own = own.chain(histogram.negative_buckets.iter().copied());
        if i == 0 {
            out.put_varbit(time);
            if is_stale(histogram.sum) {
                [0.0, 0.0, STALE].into_iter().for_each(|f| out.put_float(f));
                break;
            }
            own.clone().for_each(|f| out.put_float(f));
            numbers = own.map(Xor::of).collect();
        } else {
            let now = time.wrapping_sub(last);
            out.put_varbit(now.wrapping_sub(delta));
            delta = now;
            numbers.iter_mut().zip(own).for_each(|(n, f)| n.write(f, &mut out));
        }
        last = time;
    }
    out.bytes
}

fn write_layout(layout: &Histogram, out: &mut BitWriter) {
    let threshold = layout.zero_threshold;
    let power = (1..255u64).find(|p| 2f64.powi(*p as i32 - 244) == threshold);
    match power {
        _ if threshold == 0.0 => out.put(0, 8),
        Some(power) => out.put(power, 8),
        None => {
            out.put(255, 8);
            out.put_float(threshold);
        }
    }
    out.put_varbit(i64::from(layout.schema));
    for spans in [&layout.positive_spans, &layout.negative_spans] {
        out.put_varbit_unsigned(spans.len() as u64);
        for span in spans {
            out.put_varbit_unsigned(u64::from(span.length));
            out.put_varbit(i64::from(span.offset));
        }
    }
    if layout.schema == CUSTOM_BOUNDS_SCHEMA {
        out.put_varbit_unsigned(layout.custom_bounds.len() as u64);
        for &bound in layout.custom_bounds.iter() {
            let thousandths = (bound * 1000.0).round();
            // The very same float must come back.
            if (0.0..=33_554_430.0).contains(&thousandths)
                && (thousandths / 1000.0).to_bits() == bound.to_bits()
            {
                out.put_varbit_unsigned(thousandths as u64 + 1);
            } else {
                out.put_varbit_unsigned(0);
                out.put_float(bound);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn histogram(
        schema: i32,
        spans: Vec<(i32, u32)>,
        threshold: f64,
        numbers: &[f64],
    ) -> Histogram {
        let spans: Vec<Span> =
            spans.into_iter().map(|(offset, length)| Span { offset, length }).collect();
        let buckets: u32 = spans.iter().map(|s| s.length).sum();
        let number = |i: usize| numbers[i % numbers.len()];
        let custom = schema == CUSTOM_BOUNDS_SCHEMA;
        Histogram {
            reset_hint: ResetHint::Gauge,
            schema,
            zero_threshold: threshold,
            zero_count: number(0),
            count: number(1),
            sum: number(2),
            positive_buckets: (0..buckets as usize).map(|i| number(i + 3)).collect(),
            negative_buckets: (0..buckets as usize).map(|i| number(i + 4)).collect(),
            positive_spans: spans.clone(),
            negative_spans: spans,
            custom_bounds: if custom { [0.25, 1.0, 33.333, 1e9].into() } else { [].into() },
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            schema in prop_oneof![-4i32..=8, Just(CUSTOM_BOUNDS_SCHEMA)],
            spans in prop::collection::vec((0i32..5, 1u32..4), 0..4),
            threshold in prop_oneof![Just(0.0), Just(2f64.powi(-128)), Just(1e-3), Just(2f64.powi(10))],
            rounds in prop::collection::vec((1i64..100_000, prop::collection::vec(-9i32..1000, 1..9)), 1..30),
        ) {
            let mut time = 1_700_000_000_000;
            let (mut times, mut all) = (Vec::new(), Vec::new());
            for (step, numbers) in &rounds {
                time += step;
                times.push(time);
                let numbers: Vec<f64> = numbers.iter().map(|n| f64::from(*n) / 4.0).collect();
                all.push(Arc::new(histogram(schema, spans.clone(), threshold, &numbers)));
            }
            let mut columns = Columns::default();
            decode(&encode(&times, &all), true, false, &mut columns).expect("decodes");
            prop_assert_eq!(&columns.times_ms, &times);
            for ((_, found), expected) in columns.histograms.iter().zip(&all) {
                prop_assert!(found.same_value(expected), "{:?} {:?}", found, expected);
                prop_assert_eq!(found.reset_hint, ResetHint::Gauge);
            }
            prop_assert_eq!(columns.histograms.len(), all.len());
        }
    }

    #[test]
    fn a_stale_mark_stands_alone() {
        let mark = Arc::new(stale());
        let other = Arc::new(histogram(1, vec![(0, 2)], 0.0, &[1.0]));
        assert!(!goes_on(&mark, &other) && !goes_on(&other, &mark) && goes_on(&other, &other));
        let mut columns = Columns::default();
        decode(&encode(&[5], &[mark]), true, false, &mut columns).expect("decodes");
        assert!(is_stale(columns.histograms[0].1.sum));
    }
}
