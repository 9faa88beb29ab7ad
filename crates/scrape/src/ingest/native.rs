//! Native histograms within what a job allows: `native_histogram_min_bucket_factor`, then
//! `native_histogram_bucket_limit`, then whether they are sound, in Prometheus's order.

use crate::config::Exposition;
use crate::{Error, Place};
use model::Histogram;
use std::sync::Arc;

/// The coarsest schema.
const COARSEST: i32 = -4;

/// The histogram as it is kept. `whole` says that its counts came as integers.
pub(super) fn limited(
    mut histogram: Histogram,
    whole: bool,
    exposition: &Exposition,
    at: impl Fn() -> Place,
) -> Result<Arc<Histogram>, Error> {
    let (limit, finest) = (exposition.bucket_limit, exposition.finest_schema());
    if finest < 8 && histogram.schema > finest {
        histogram = coarser(&histogram, finest);
    }
    let buckets = |h: &Histogram| (h.positive_buckets.len() + h.negative_buckets.len()) as u64;
    while limit > 0 && buckets(&histogram) > limit {
        if histogram.uses_custom_bounds() || histogram.schema <= COARSEST {
            return Err(Error::BucketLimit { at: at(), limit });
        }
        // One step at a time; one that is not sound is refused all the same.
        histogram = coarser(&histogram, (histogram.schema - 1).min(8));
    }
    histogram.validate(whole).map_err(|why| Error::Histogram { at: at(), why })?;
    Ok(Arc::new(histogram))
}

fn coarser(histogram: &Histogram, schema: i32) -> Histogram {
    // Another resolution is no reset: what is known of one stays known.
    Histogram { reset_hint: histogram.reset_hint, ..histogram.at_schema(schema) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::histogram::{ResetHint, Span};

    fn histogram() -> Histogram {
        Histogram {
            reset_hint: ResetHint::Gauge,
            schema: 3,
            zero_threshold: 0.001,
            count: 8.0,
            positive_spans: vec![Span { offset: 1, length: 8 }],
            positive_buckets: vec![1.0; 8],
            ..Histogram::default()
        }
    }

    fn told(bucket_limit: u64, min_bucket_factor: f64, h: Histogram) -> Result<Histogram, String> {
        let exposition = Exposition { bucket_limit, min_bucket_factor, ..Exposition::default() };
        let kept = limited(h, true, &exposition, || Place::Line(7));
        kept.map(|h| (*h).clone()).map_err(|e| e.to_string())
    }

    #[test]
    fn resolution_falls_until_the_limits_hold() {
        assert_eq!(told(0, 0.0, histogram()), Ok(histogram()));
        let halved = told(4, 0.0, histogram()).expect("fits");
        assert_eq!((halved.schema, &halved.positive_buckets[..]), (2, &[2.0; 4][..]));
        assert_eq!((halved.reset_hint, halved.count), (ResetHint::Gauge, 8.0));
        let coarse = told(0, 1.9, histogram()).expect("fits");
        assert_eq!((coarse.schema, &coarse.positive_buckets[..]), (0, &[8.0][..]));
    }

    #[test]
    fn what_cannot_be_made_smaller_is_refused_with_its_place() {
        let mut spread = histogram();
        spread.schema = -3;
        spread.positive_spans = (0..8).map(|_| Span { offset: 200, length: 1 }).collect();
        assert_eq!(
            told(4, 0.0, spread),
            Err("line 7: histogram bucket limit of 4 exceeded".into())
        );
        let custom = Histogram {
            schema: -53,
            zero_threshold: 0.0,
            positive_spans: vec![Span { offset: 0, length: 8 }],
            custom_bounds: (0..7).map(f64::from).collect(),
            ..histogram()
        };
        assert_eq!(told(8, 1.9, custom.clone()).map(|h| h.schema), Ok(-53));
        assert_eq!(
            told(7, 0.0, custom),
            Err("line 7: histogram bucket limit of 7 exceeded".into())
        );
        let why = told(0, 0.0, Histogram { count: 9.0, ..histogram() }).expect_err("refused");
        assert!(why.starts_with("line 7: 8 observations found in buckets"), "{why}");
        assert!(told(2, 1.9, Histogram { schema: 9000, ..histogram() }).is_ok());
        assert!(told(0, 0.0, Histogram { schema: 9, ..histogram() }).is_err());
    }
}
