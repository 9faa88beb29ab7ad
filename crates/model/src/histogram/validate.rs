//! Whether a histogram that came from outside is one. Rules and words are those of Prometheus
//! (`model/histogram`, `Validate`), which senders' logs and people know.

use super::{Histogram, Span};

/// Why a histogram is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidHistogram(String);

const NEGATIVE_BUCKET: &str = "histogram has a bucket whose observation count is negative";
const NEGATIVE_OFFSET: &str = "histogram has a span whose offset is negative";
const OTHER_NUMBER: &str = "histogram spans specify different number of buckets than provided";

impl Histogram {
    /// Checks schema, spans, bounds and counts. `whole` says that its counts came as integers: then
    /// the buckets must hold as many observations as there are.
    pub fn validate(&self, whole: bool) -> Result<(), InvalidHistogram> {
        if self.uses_custom_bounds() {
            self.check_custom().map_err(InvalidHistogram)?;
        } else if (-4..=8).contains(&self.schema) {
            let sides = [
                ("positive side", &self.positive_spans, self.positive_buckets.len()),
                ("negative side", &self.negative_spans, self.negative_buckets.len()),
            ];
            for (side, spans, count) in sides {
                let checked = check_spans(spans, count, 1);
                checked.map_err(|why| InvalidHistogram(format!("{side}: {why}")))?;
            }
            check_counts("negative side", &self.negative_buckets)?;
            if self.zero_count < 0.0 {
                let count = self.zero_count;
                let why =
                    format!("zero bucket has observation count of {count}: {NEGATIVE_BUCKET}");
                return Err(InvalidHistogram(why));
            }
            if !self.custom_bounds.is_empty() {
                let why = "histogram with exponential schema must not have custom bounds";
                return Err(InvalidHistogram(why.into()));
            }
        } else {
            return Err(InvalidHistogram(format!(
                "histogram has an invalid schema, which must be between -4 and 8 for exponential \
                 buckets, or -53 for custom buckets, got schema {}",
                self.schema
            )));
        }
        if self.count < 0.0 {
            return Err(InvalidHistogram(format!(
                "observation count is  {}: histogram's observation count is negative",
                self.count
            )));
        }
        check_counts("positive side", &self.positive_buckets)?;
        if whole { self.check_sum_of_buckets() } else { Ok(()) }
    }

    fn check_sum_of_buckets(&self) -> Result<(), InvalidHistogram> {
        let counts = self.positive_buckets.iter().chain(&self.negative_buckets);
        let sum = counts.sum::<f64>() + self.zero_count;
        let rule = match self.sum.is_nan() {
            true if sum > self.count => {
                "histogram's observation count should be at least the number of observations \
                 found in the buckets"
            }
            false if sum != self.count => {
                "histogram's observation count should equal the number of observations found in \
                 the buckets (in absence of NaN)"
            }
            _ => return Ok(()),
        };
        let count = self.count;
        let why =
            format!("{sum} observations found in buckets, but the Count field is {count}: {rule}");
        Err(InvalidHistogram(why))
    }

    fn check_custom(&self) -> Result<(), String> {
        let prefix = |why: String| format!("custom buckets: {why}");
        let mut previous = f64::NEG_INFINITY;
        for (i, &bound) in self.custom_bounds.iter().enumerate() {
            if bound.is_nan() {
                return Err(prefix("histogram custom bounds must not be NaN".into()));
            }
            if i > 0 && bound <= previous {
                return Err(prefix(format!(
                    "previous bound is {previous:.6} and current is {bound:.6}: histogram custom \
                     bounds must be in strictly increasing order"
                )));
            }
            previous = bound;
        }
        if previous == f64::INFINITY {
            return Err(prefix(
                "last +Inf bound must not be explicitly defined: histogram custom bounds must be \
                 finite"
                    .into(),
            ));
        }
        check_spans(&self.positive_spans, self.positive_buckets.len(), 0).map_err(prefix)?;
        let reach = |s: &Span| i64::from(s.offset) + i64::from(s.length);
        let reach: i64 = self.positive_spans.iter().map(reach).sum();
        let bounds = self.custom_bounds.len();
        if (bounds as i64) + 1 < reach {
            return Err(prefix(format!(
                "only {bounds} custom bounds defined which is insufficient to cover total span \
                 length of {reach}: histogram custom bounds are too few"
            )));
        }
        let refused = [
            (self.zero_count != 0.0, "must have zero count of 0"),
            (self.zero_threshold != 0.0, "must have zero threshold of 0"),
            (!self.negative_spans.is_empty(), "must not have negative spans"),
            (!self.negative_buckets.is_empty(), "must not have negative buckets"),
        ];
        match refused.iter().find(|r| r.0) {
            Some((_, why)) => Err(prefix((*why).into())),
            None => Ok(()),
        }
    }
}

/// The offsets from span number `from` (0 for the first) on must not be negative.
fn check_spans(spans: &[Span], buckets: usize, from: usize) -> Result<(), String> {
    for (i, span) in spans.iter().enumerate().skip(from) {
        if span.offset < 0 {
            return Err(format!(
                "span number {} with offset {}: {NEGATIVE_OFFSET}",
                i + 1,
                span.offset
            ));
        }
    }
    let needed: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    if needed != buckets as u64 {
        return Err(format!("spans need {needed} buckets, have {buckets} buckets: {OTHER_NUMBER}"));
    }
    Ok(())
}

fn check_counts(side: &str, counts: &[f64]) -> Result<(), InvalidHistogram> {
    match counts.iter().position(|c| *c < 0.0) {
        Some(at) => Err(InvalidHistogram(format!(
            "{side}: bucket number {} has observation count of {}: {NEGATIVE_BUCKET}",
            at + 1,
            counts[at]
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::CUSTOM_BOUNDS_SCHEMA;

    fn good() -> Histogram {
        Histogram {
            count: 4.0,
            sum: 5.0,
            zero_count: 1.0,
            zero_threshold: 0.001,
            positive_spans: vec![Span { offset: -3, length: 1 }, Span { offset: 2, length: 1 }],
            positive_buckets: vec![1.0, 2.0],
            ..Histogram::default()
        }
    }

    fn custom() -> Histogram {
        Histogram {
            schema: CUSTOM_BOUNDS_SCHEMA,
            count: 3.0,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            custom_bounds: [0.5].into(),
            ..Histogram::default()
        }
    }

    #[test]
    fn each_rule_has_prometheuss_words() {
        assert_eq!(good().validate(true), Ok(()));
        assert_eq!(custom().validate(true), Ok(()));
        type Case = (fn() -> Histogram, fn(&mut Histogram), &'static str);
        let broken: [Case; 12] = [
            (good, |h| h.schema = 9, "got schema 9"),
            (good, |h| h.schema = -5, "got schema -5"),
            (good, |h| h.count = 5.0, "4 observations found in buckets, but the Count field is 5"),
            (
                good,
                |h| h.positive_buckets[1] = -2.0,
                "positive side: bucket number 2 has observation count of -2",
            ),
            (
                good,
                |h| h.positive_spans[1].offset = -1,
                "positive side: span number 2 with offset -1",
            ),
            (
                good,
                |h| h.positive_spans[0].length = u32::MAX,
                "spans need 4294967296 buckets, have 2",
            ),
            (good, |h| h.custom_bounds = [1.0].into(), "must not have custom bounds"),
            (custom, |h| h.custom_bounds = [].into(), "only 0 custom bounds defined"),
            (
                custom,
                |h| h.custom_bounds = [1.0, 1.0].into(),
                "previous bound is 1.000000 and current is 1.000000",
            ),
            (custom, |h| h.custom_bounds = [f64::INFINITY].into(), "last +Inf bound"),
            (custom, |h| h.zero_count = 1.0, "custom buckets: must have zero count of 0"),
            (
                custom,
                |h| h.positive_spans[0].offset = -1,
                "custom buckets: span number 1 with offset -1",
            ),
        ];
        for (make, spoil, words) in broken {
            let mut histogram = make();
            spoil(&mut histogram);
            let why = histogram.validate(true).expect_err(words).to_string();
            assert!(why.contains(words), "{why}");
        }
        // Of float histograms the buckets need not add up.
        let mut float = good();
        float.count = 5.5;
        assert_eq!(float.validate(false), Ok(()));
        float.count = -1.0;
        assert!(float.validate(false).is_err());
        // Observations of NaN are in no bucket.
        let mut nan = good();
        (nan.sum, nan.count) = (f64::NAN, 9.0);
        assert_eq!(nan.validate(true), Ok(()));
        nan.count = 3.0;
        assert!(nan.validate(true).is_err());
    }
}
