//! Warnings and infos that come with an answer, worded and merged as Prometheus 3 does.

use crate::ast::Span;
use crate::literal::format_float_short as short;
use model::labels::Quoted;
use std::collections::BTreeMap;

/// All annotations of a query, each text once.
#[derive(Debug, Default)]
pub(crate) struct Annotations(BTreeMap<String, Note>);

/// An annotation: where, and what is added to its text once all of its kind are merged.
#[derive(Debug)]
struct Note {
    warning: bool,
    span: Span,
    detail: Detail,
}

#[derive(Debug)]
enum Detail {
    None,
    Monotonicity(Monotonicity),
    Occurrences(usize),
}

/// Which buckets of classic histograms had to be raised to those below them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Monotonicity {
    pub first_ms: i64,
    pub last_ms: i64,
    pub min_bucket: f64,
    pub max_bucket: f64,
    pub max_diff: f64,
    pub samples: usize,
}

/// What two histograms were being combined for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Operation::Addition => "addition",
            Operation::Subtraction => "subtraction",
            Operation::Aggregation => "aggregation",
        }
    }
}

impl Annotations {
    fn add(&mut self, warning: bool, text: String, span: Span) {
        self.0.insert(text, Note { warning, span, detail: Detail::None });
    }

    fn warning(&mut self, text: String, span: Span) {
        self.add(true, format!("PromQL warning: {text}"), span);
    }

    fn info(&mut self, text: String, span: Span) {
        self.add(false, format!("PromQL info: {text}"), span);
    }

    /// Warnings and infos, with positions in `query`.
    pub fn texts(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for (text, note) in &self.0 {
            let at = note.span.position(query);
            let text = match &note.detail {
                Detail::None => format!("{text} ({at})"),
                Detail::Occurrences(1) => format!("{text} ({at})"),
                Detail::Occurrences(n) => format!("{text} ({n} occurrences) ({at})"),
                Detail::Monotonicity(m) => format!(
                    "{text}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {} ({at})",
                    short(m.min_bucket),
                    short(m.max_bucket),
                    two_digits(m.max_diff),
                    m.samples,
                    crate::calendar::rfc3339(m.first_ms.div_euclid(1000)),
                    crate::calendar::rfc3339(m.last_ms.div_euclid(1000)),
                ),
            };
            if note.warning { &mut warnings } else { &mut infos }.push(text);
        }
        (warnings, infos)
    }

    pub fn invalid_ratio(&mut self, got: f64, cap: f64, span: Span) {
        let (got, cap) = (short(got), short(cap));
        self.warning(
            format!("ratio value should be between -1 and 1, got {got}, capping to {cap}"),
            span,
        );
    }

    pub fn invalid_quantile(&mut self, got: f64, span: Span) {
        let got = short(got);
        self.warning(format!("quantile value should be between 0 and 1, got {got}"), span);
    }

    pub fn bad_bucket_label(&mut self, metric: &str, label: &str, span: Span) {
        let text = format!(
            "bucket label \"le\" is missing or has a malformed value of {}{}",
            Quoted(label),
            for_metric(metric)
        );
        self.warning(text, span);
    }

    pub fn mixed_floats_histograms(&mut self, metric: &str, span: Span) {
        let metric = Quoted(metric);
        self.warning(
            format!("encountered a mix of histograms and floats for metric name {metric}"),
            span,
        );
    }

    pub fn mixed_aggregation(&mut self, span: Span) {
        self.warning("encountered a mix of histograms and floats for aggregation".into(), span);
    }

    pub fn mixed_classic_native(&mut self, metric: &str, span: Span) {
        let metric = for_metric(metric);
        self.warning(
            format!("vector contains a mix of classic and native histograms{metric}"),
            span,
        );
    }

    pub fn not_counter_histogram(&mut self, metric: &str, span: Span) {
        let metric = Quoted(metric);
        self.warning(format!("this native histogram metric is not a counter: {metric}"), span);
    }

    pub fn not_gauge_histogram(&mut self, metric: &str, span: Span) {
        let metric = Quoted(metric);
        self.warning(format!("this native histogram metric is not a gauge: {metric}"), span);
    }

    pub fn mixed_schemas(&mut self, metric: &str, span: Span) {
        let metric = Quoted(metric);
        self.warning(
            format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {metric}"
            ),
            span,
        );
    }

    pub fn incompatible_layout(&mut self, operator: &str, span: Span) {
        self.warning(
            format!("incompatible bucket layout encountered for binary operator {operator}"),
            span,
        );
    }

    pub fn sort_in_range_query(&mut self, span: Span) {
        self.warning(
            "sort is ineffective for range queries since results are always ordered by labels"
                .into(),
            span,
        );
    }

    pub fn reset_collision(&mut self, span: Span, operation: Operation) {
        let operation = operation.as_str();
        self.warning(format!("conflicting counter resets during histogram {operation}"), span);
    }

    pub fn start_time_overlap(&mut self, metric: &str, span: Span) {
        let text = format!(
            "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric {}",
            Quoted(metric)
        );
        let note = self.0.entry(text).or_insert(Note {
            warning: true,
            span,
            detail: Detail::Occurrences(0),
        });
        if let Detail::Occurrences(n) = &mut note.detail {
            *n += 1;
        }
    }

    pub fn summarized(&mut self, metric: &str, widths_ms: &[i64], span: Span) {
        let widths = crate::duration::format_durations(widths_ms);
        let metric = for_metric(metric);
        self.info(
            format!("downsampled companions of {widths} were read in place of samples{metric}"),
            span,
        );
    }

    pub fn possibly_no_counter(&mut self, metric: &str, span: Span) {
        let metric = Quoted(metric);
        self.info(
            format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric}"
            ),
            span,
        );
    }

    pub fn possibly_no_counter_type(&mut self, metric: &str, got: &str, span: Span) {
        let (metric, got) = (Quoted(metric), Quoted(got));
        self.info(
            format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {got}: {metric}"
            ),
            span,
        );
    }

    pub fn forced_monotonicity(&mut self, metric: &str, span: Span, m: Monotonicity) {
        let text = format!(
            "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
            for_metric(metric)
        );
        match self.0.get_mut(&text).map(|n| &mut n.detail) {
            Some(Detail::Monotonicity(o)) => {
                o.first_ms = o.first_ms.min(m.first_ms);
                o.last_ms = o.last_ms.max(m.last_ms);
                o.min_bucket = o.min_bucket.min(m.min_bucket);
                o.max_bucket = o.max_bucket.max(m.max_bucket);
                o.max_diff = o.max_diff.max(m.max_diff);
                o.samples += m.samples;
            }
            _ => {
                let detail = Detail::Monotonicity(m);
                self.0.insert(text, Note { warning: false, span, detail });
            }
        }
    }

    pub fn incompatible_types(&mut self, left: &str, operator: &str, right: &str, span: Span) {
        let quoted = Quoted(operator);
        self.info(
            format!(
                "incompatible sample types encountered for binary operator {quoted}: {left} {operator} {right}"
            ),
            span,
        );
    }

    pub fn histogram_ignored_in_aggregation(&mut self, aggregation: &str, span: Span) {
        self.info(format!("ignored histogram in {aggregation} aggregation"), span);
    }

    pub fn histogram_ignored_in_mixed_range(&mut self, metric: &str, span: Span) {
        let metric = Quoted(metric);
        self.info(
            format!(
                "ignored histograms in a range containing both floats and histograms for metric name {metric}"
            ),
            span,
        );
    }

    pub fn quantile_of_nans(&mut self, metric: &str, span: Span) {
        let metric = for_metric(metric);
        self.info(
            format!("input to histogram_quantile has NaN observations, result is NaN{metric}"),
            span,
        );
    }

    pub fn quantile_skewed_by_nans(&mut self, metric: &str, span: Span) {
        let metric = for_metric(metric);
        self.info(
            format!(
                "input to histogram_quantile has NaN observations, result is skewed higher{metric}"
            ),
            span,
        );
    }

    pub fn fraction_without_nans(&mut self, metric: &str, span: Span) {
        let metric = for_metric(metric);
        self.info(
            format!(
                "input to histogram_fraction has NaN observations, which are excluded from all fractions{metric}"
            ),
            span,
        );
    }

    pub fn bounds_reconciled(&mut self, span: Span, operation: Operation) {
        let operation = operation.as_str();
        self.info(format!("mismatched custom buckets were reconciled during {operation}"), span);
    }

    /// What the store said about what it read.
    pub fn storage(&mut self, text: String) {
        self.0.insert(text, Note { warning: true, span: Span::default(), detail: Detail::None });
    }
}

fn for_metric(metric: &str) -> String {
    if metric.is_empty() { String::new() } else { format!(" for metric name {}", Quoted(metric)) }
}

/// As Go's `%.2g` prints a number.
fn two_digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return short(value);
    }
    let scientific = format!("{value:.1e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    if (-4..2).contains(&exponent) {
        return short(scientific.parse().unwrap_or(value));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_as_go_prints_them() {
        for (value, want) in [
            (0.123, "0.12"),
            (1234.0, "1.2e+03"),
            (10.0, "10"),
            (100.0, "1e+02"),
            (0.00001, "1e-05"),
        ] {
            assert_eq!(two_digits(value), want);
        }
    }

    #[test]
    fn forced_monotonicity_is_told_once() {
        let mut all = Annotations::default();
        for (ms, diff) in [(0, 1.0), (60_000, 3.0)] {
            let (min_bucket, max_bucket) = (1.0, 2.0);
            let m = Monotonicity {
                first_ms: ms,
                last_ms: ms,
                min_bucket,
                max_bucket,
                max_diff: diff,
                samples: 1,
            };
            all.forced_monotonicity("x", Span { start: 3, end: 4 }, m);
        }
        let (warnings, infos) = all.texts("0123456");
        assert!(warnings.is_empty());
        assert_eq!(infos.len(), 1);
        assert!(infos[0].ends_with(
            "for metric name \"x\", from buckets 1 to 2, with a max diff of 3, over 2 samples from 1970-01-01T00:00:00Z to 1970-01-01T00:01:00Z (1:4)"
        ), "{}", infos[0]);
    }
}
