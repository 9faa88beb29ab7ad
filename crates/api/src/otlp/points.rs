//! Points as samples: histograms with explicit bounds become series of buckets, or native
//! histograms, as exponential ones do.

use super::message::{Buckets, Point};
use model::Histogram;
use model::histogram::{CUSTOM_BOUNDS_SCHEMA, ResetHint, Span};
use model::prompb::SentHistogram;
use model::value::STALE;

/// What counts as zero, since OTLP's threshold came later: Prometheus's own choice.
const ZERO_THRESHOLD: f64 = 1e-128;
/// Gaps of at most so many buckets are filled with empty ones, as Prometheus's clients do.
const GAP: i64 = 2;

/// An exponential histogram; an error where its buckets are too wide for Prometheus.
pub fn exponential(point: &Point<'_>, delta: bool) -> Result<SentHistogram, String> {
    if point.scale < -4 {
        return Err(format!(
            "cannot convert exponential to native histogram. Scale must be >= -4, was {}",
            point.scale
        ));
    }
    let down = (point.scale - 8).clamp(0, 62) as u32;
    let (positive_spans, positive_buckets) = side(&point.positive, down)?;
    let (negative_spans, negative_buckets) = side(&point.negative, down)?;
    let histogram = Histogram {
        schema: point.scale.min(8) as i32,
        zero_threshold: ZERO_THRESHOLD,
        zero_count: point.zero_count as f64,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..common(point, delta)
    };
    Ok(sent(point, histogram))
}

/// A histogram with explicit bounds as a native one with custom bounds.
pub fn custom(point: &Point<'_>, delta: bool) -> SentHistogram {
    let cells = point.counts.iter().enumerate().map(|(i, c)| (i as i64, *c));
    let (positive_spans, positive_buckets) = spans(cells.filter(|c| c.1 > 0));
    let histogram = Histogram {
        schema: CUSTOM_BOUNDS_SCHEMA,
        positive_spans,
        positive_buckets,
        custom_bounds: point.bounds.as_slice().into(),
        ..common(point, delta)
    };
    sent(point, histogram)
}

fn common(point: &Point<'_>, delta: bool) -> Histogram {
    Histogram {
        // Deltas have no resets.
        reset_hint: if delta { ResetHint::Gauge } else { ResetHint::Unknown },
        count: if point.ended { 0.0 } else { point.count as f64 },
        sum: if point.ended { STALE } else { point.sum.unwrap_or(0.0) },
        ..Histogram::default()
    }
}

fn sent(point: &Point<'_>, histogram: Histogram) -> SentHistogram {
    let Point { time_ms, start_ms, .. } = *point;
    SentHistogram { time_ms, start_ms, whole: true, histogram }
}

/// The buckets of a side, 2^`down` of them in one. OTLP's bucket 0 is Prometheus's bucket 1.
fn side(buckets: &Buckets, down: u32) -> Result<(Vec<Span>, Vec<f64>), String> {
    let far = buckets.offset.unsigned_abs() > 1 << 30;
    if far && !buckets.counts.is_empty() {
        return Err(format!("a bucket offset of {} is beyond any float", buckets.offset));
    }
    let mut cells: Vec<(i64, u64)> = Vec::new();
    for (i, count) in buckets.counts.iter().enumerate().filter(|c| *c.1 > 0) {
        let index = ((buckets.offset + i as i64) >> down) + 1;
        match cells.last_mut().filter(|c| c.0 == index) {
            Some(cell) => cell.1 = cell.1.saturating_add(*count),
            None => cells.push((index, *count)),
        }
    }
    Ok(spans(cells.into_iter()))
}

/// Spans and counts of buckets that are not empty, in order.
fn spans(cells: impl Iterator<Item = (i64, u64)>) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut counts): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut next = 0;
    for (index, count) in cells {
        let gap = index - next;
        match spans.last_mut() {
            Some(span) if gap <= GAP => {
                span.length += gap as u32 + 1;
                counts.extend((0..gap).map(|_| 0.0));
            }
            _ => spans.push(Span { offset: gap as i32, length: 1 }),
        }
        counts.push(count as f64);
        next = index + 1;
    }
    (spans, counts)
}

/// A number as Go's `strconv.FormatFloat(number, 'f', -1, 64)` prints it.
pub fn bound(number: f64) -> String {
    match number {
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        n => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(offset: i64, counts: &[u64]) -> Buckets {
        Buckets { offset, counts: counts.into() }
    }

    #[test]
    fn buckets_become_spans() {
        let span = |offset, length| Span { offset, length };
        let of = |offset, counts: &[u64], down| side(&buckets(offset, counts), down).unwrap();
        assert_eq!(of(0, &[], 0), (vec![], vec![]));
        assert_eq!(of(0, &[4, 3], 0), (vec![span(1, 2)], vec![4.0, 3.0]));
        assert_eq!(of(-3, &[0, 1, 0, 0, 2], 0), (vec![span(-1, 4)], vec![1.0, 0.0, 0.0, 2.0]));
        assert_eq!(of(0, &[1, 0, 0, 0, 2], 0), (vec![span(1, 1), span(3, 1)], vec![1.0, 2.0]));
        // (1,2] (2,3] in halves: index -1 goes alone, 0 and 1 together.
        assert_eq!(of(-1, &[1, 2, 3, 4], 1), (vec![span(0, 3)], vec![1.0, 5.0, 4.0]));
        assert!(side(&buckets(i64::MAX, &[1]), 0).is_err());
    }

    #[test]
    fn scales_are_bounded() {
        let point = |scale| Point {
            scale,
            positive: buckets(7, &[1; 600]),
            count: 600,
            ..Point::default()
        };
        assert!(exponential(&point(-5), false).is_err());
        for scale in [-4, 0, 8, 9, 20, i64::MAX] {
            let sent = exponential(&point(scale), false).unwrap();
            assert_eq!(sent.histogram.validate(true), Ok(()), "{scale}");
            assert_eq!(sent.histogram.positive_buckets.iter().sum::<f64>(), 600.0);
        }
    }

    #[test]
    fn bounds_have_no_exponent() {
        for (number, text) in [
            (0.005, "0.005"),
            (10.0, "10"),
            (1e21, "1000000000000000000000"),
            (f64::INFINITY, "+Inf"),
            (1e-7, "0.0000001"),
        ] {
            assert_eq!(bound(number), text);
        }
    }
}
