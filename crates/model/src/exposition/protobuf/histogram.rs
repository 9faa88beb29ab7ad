//! The `Histogram` of a metric, field by field: its classic buckets and its native parts.

use super::{Exemplar, points, read_time};
use crate::Histogram;
use crate::histogram::{Classic, ResetHint, Span};
use crate::prompb::{MOST, Side, read_span};
use crate::protobuf::{Field, Malformed, Message};

/// A histogram as it was sent.
#[derive(Debug, Default)]
pub(super) struct HistogramFields<'a> {
    count: u64,
    count_float: f64,
    pub(super) sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    /// Classic buckets, in their order.
    pub(super) buckets: Vec<Bucket<'a>>,
    positive: NativeSide,
    negative: NativeSide,
    /// Those of the native histogram.
    exemplars: Vec<Exemplar<'a>>,
    /// Those that belong to the native histogram, in the order of their times.
    dated: Vec<Exemplar<'a>>,
    classic: Classic,
}

/// A classic bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket<'a> {
    pub(super) upper: f64,
    pub(super) count: f64,
    pub(super) exemplar: Option<Exemplar<'a>>,
}

#[derive(Debug, Default)]
struct NativeSide {
    spans: Vec<Span>,
    buckets: Side,
}

/// Appends, unless there are more than any histogram or summary has: those would be a bomb.
pub(super) fn push<T>(to: &mut Vec<T>, item: T, field: &Field<'_>) -> Result<(), Malformed> {
    if to.len() >= MOST {
        let what = "more than 65536 spans, buckets, quantiles or exemplars in a metric";
        return Err(Malformed { at: field.place(), what });
    }
    to.push(item);
    Ok(())
}

impl<'a> HistogramFields<'a> {
    pub(super) fn clear(&mut self) {
        (self.count, self.count_float, self.sum) = (0, 0.0, 0.0);
        (self.schema, self.zero_threshold) = (0, 0.0);
        (self.zero_count, self.zero_count_float) = (0, 0.0);
        self.buckets.clear();
        self.exemplars.clear();
        for side in [&mut self.positive, &mut self.negative] {
            side.spans.clear();
            side.buckets.clear();
        }
    }

    /// Gives when it began to count, in milliseconds, where it says so.
    pub(super) fn read(&mut self, mut message: Message<'a>) -> Result<Option<i64>, Malformed> {
        let mut started = None;
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.count = field.unsigned()?,
                2 => self.sum = points::normal(field.double()?),
                3 => push(&mut self.buckets, Bucket::read(&field)?, &field)?,
                4 => self.count_float = field.double()?,
                5 => self.schema = field.zigzag()? as i32,
                6 => self.zero_threshold = field.double()?,
                7 => self.zero_count = field.unsigned()?,
                8 => self.zero_count_float = field.double()?,
                9..=11 => self.negative.read(field.number - 9, &field)?,
                12..=14 => self.positive.read(field.number - 12, &field)?,
                15 => started = Some(read_time(&field)?),
                16 => push(&mut self.exemplars, Exemplar::read(&field)?, &field)?,
                _ => {}
            }
        }
        Ok(started)
    }

    /// Whether it has native parts. One without observations has an empty span to say so.
    pub(super) fn is_native(&self) -> bool {
        !self.positive.spans.is_empty()
            || !self.negative.spans.is_empty()
            || self.zero_threshold > 0.0
            || self.zero_count > 0
    }

    /// The number of all observations, of the classic histogram.
    pub(super) fn observations(&self) -> f64 {
        if self.count_float == 0.0 { self.count as f64 } else { self.count_float }
    }

    /// The native histogram, without empty buckets, and whether its counts are integers.
    pub(super) fn native(&self, gauge: bool) -> Result<(Histogram, bool), String> {
        let float = self.count_float > 0.0 || self.zero_count_float > 0.0;
        let (positive_spans, positive_buckets) = self.positive.take("positive", float)?;
        let (negative_spans, negative_buckets) = self.negative.take("negative", float)?;
        let mut histogram = Histogram {
            reset_hint: hint(gauge),
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: if float { self.zero_count_float } else { self.zero_count as f64 },
            count: if float { self.count_float } else { self.count as f64 },
            sum: self.sum,
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            custom_bounds: Default::default(),
        };
        histogram.compact();
        Ok((histogram, !float))
    }

    /// The classic histogram as a native one with custom bounds.
    pub(super) fn custom(&mut self, gauge: bool) -> Result<(Histogram, bool), String> {
        let count = self.observations();
        let classic = &mut self.classic;
        classic.clear();
        classic.set_count(count);
        classic.set_sum(self.sum);
        self.buckets.iter().for_each(|b| classic.set_bucket(b.upper, b.count));
        let (mut histogram, whole) = classic.to_custom()?;
        histogram.reset_hint = hint(gauge);
        Ok((histogram, whole))
    }

    /// What shows examples of a native histogram: its own exemplars or, where it has none, those of the
    /// classic buckets; only those that state their time.
    pub(super) fn dated_exemplars(&mut self) -> &[Exemplar<'a>] {
        self.dated.clear();
        if !self.exemplars.is_empty() {
            self.dated.extend(self.exemplars.iter().filter(|e| e.time_ms.is_some()));
        } else {
            let of_buckets = self.buckets.iter().filter_map(|b| b.exemplar);
            self.dated.extend(of_buckets.filter(|e| e.time_ms.is_some()));
        }
        self.dated
            .sort_by(|a, b| a.time_ms.cmp(&b.time_ms).then_with(|| a.value.total_cmp(&b.value)));
        &self.dated
    }
}

fn hint(gauge: bool) -> ResetHint {
    if gauge { ResetHint::Gauge } else { ResetHint::Unknown }
}

impl<'a> Bucket<'a> {
    fn read(field: &Field<'a>) -> Result<Bucket<'a>, Malformed> {
        let (mut whole, mut float) = (0, 0.0);
        let mut bucket = Bucket { upper: 0.0, count: 0.0, exemplar: None };
        let mut message = field.message()?;
        while let Some(field) = message.next()? {
            match field.number {
                1 => whole = field.unsigned()?,
                2 => bucket.upper = field.double()?,
                3 => bucket.exemplar = Some(Exemplar::read(&field)?),
                4 => float = field.double()?,
                _ => {}
            }
        }
        bucket.count = if float == 0.0 { whole as f64 } else { float };
        Ok(bucket)
    }
}

impl NativeSide {
    /// Reads spans (0), deltas (1) or counts (2).
    fn read(&mut self, which: u32, field: &Field<'_>) -> Result<(), Malformed> {
        match which {
            0 => push(&mut self.spans, read_span(field)?, field)?,
            1 => field.each_zigzag(|d| self.buckets.add_delta(d))?,
            _ => field.each_double(|c| self.buckets.counts.push(c))?,
        }
        if self.buckets.from_deltas.len().max(self.buckets.counts.len()) > MOST {
            let what = "more than 65536 spans, buckets, quantiles or exemplars in a metric";
            return Err(Malformed { at: field.place(), what });
        }
        Ok(())
    }

    fn take(&self, side: &str, float: bool) -> Result<(Vec<Span>, Vec<f64>), String> {
        let buckets = if float { &self.buckets.counts } else { &self.buckets.from_deltas };
        let needed: u64 = self.spans.iter().map(|s| u64::from(s.length)).sum();
        if needed != buckets.len() as u64 {
            let there = buckets.len();
            return Err(format!("{side} side: spans require {needed} buckets, have {there}"));
        }
        Ok((self.spans.clone(), buckets.clone()))
    }
}
