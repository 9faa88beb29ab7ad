//! What a metric comes to: a sample, the samples of a classic histogram or a summary, a native
//! histogram; in the order in which Prometheus's `protobufparse.go` gives them.

use super::{Exemplar, Metric, ProtobufError};
use crate::value::NORMAL_NAN_BITS;
use crate::{Histogram, Kind};

/// What is made of histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Native parts are read (`scrape_native_histograms`).
    pub native: bool,
    /// The classic histogram is kept beside the native one that is made of the same metric
    /// (`always_scrape_classic_histograms`).
    pub classic_too: bool,
    /// Classic histograms become native ones with custom bounds
    /// (`convert_classic_histograms_to_nhcb`).
    pub custom: bool,
}

/// A sample of a metric.
#[derive(Debug)]
pub struct Point<'p, 'a> {
    /// What follows the family's name: nothing, `_count`, `_sum` or `_bucket`.
    pub suffix: &'static str,
    /// A label besides the metric's own: `le` or `quantile`, and its value, to be printed as OpenMetrics
    /// prints a float.
    pub bound: Option<(&'static str, f64)>,
    /// The value.
    pub value: Reading,
    /// Exemplars; of a histogram each with its time.
    pub exemplars: &'p [Exemplar<'a>],
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// A float; any NaN is the one that a scraped NaN becomes.
    Float(f64),
    /// A native histogram, not judged yet ([`Histogram::validate`] does).
    Histogram {
        /// It.
        histogram: Histogram,
        /// Whether its counts are integers.
        whole: bool,
    },
}

impl<'a> Metric<'a> {
    /// Gives each sample of the metric to `each`.
    pub fn points<E: From<ProtobufError>>(
        &mut self,
        choice: Choice,
        mut each: impl FnMut(&Metric<'a>, Point<'_, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.kind {
            Some(Kind::Summary) => self.summary(&mut each),
            Some(Kind::Histogram | Kind::GaugeHistogram) => self.histogram(choice, &mut each),
            _ => {
                let exemplars = std::mem::take(&mut self.exemplars);
                let mut point = float("", None, self.value);
                point.exemplars = &exemplars;
                let done = each(self, point);
                self.exemplars = exemplars;
                done
            }
        }
    }

    fn summary<E>(
        &self,
        each: &mut impl FnMut(&Metric<'a>, Point<'_, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        each(self, float("_count", None, self.count as f64))?;
        each(self, float("_sum", None, self.sum))?;
        for (quantile, value) in &self.quantiles {
            each(self, float("", Some(("quantile", *quantile)), *value))?;
        }
        Ok(())
    }

    fn histogram<E: From<ProtobufError>>(
        &mut self,
        choice: Choice,
        each: &mut impl FnMut(&Metric<'a>, Point<'_, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let gauge = self.kind == Some(Kind::GaugeHistogram);
        let native = choice.native && self.histogram.is_native();
        let has_buckets = !self.histogram.buckets.is_empty();
        if native {
            let read = self.histogram.native(gauge);
            self.give_native(read, each)?;
            return if choice.classic_too && has_buckets { self.classic(each) } else { Ok(()) };
        }
        if !choice.custom || choice.classic_too {
            self.classic(each)?;
        }
        if choice.custom {
            let read = self.histogram.custom(gauge);
            self.give_native(read, each)?;
        }
        Ok(())
    }

    fn give_native<E: From<ProtobufError>>(
        &mut self,
        read: Result<(Histogram, bool), String>,
        each: &mut impl FnMut(&Metric<'a>, Point<'_, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (histogram, whole) = read.map_err(|what| {
            let (family, at) = (self.family.to_owned(), self.at);
            ProtobufError::Family { family, at, what: format!("histogram: {what}") }
        })?;
        let value = Reading::Histogram { histogram, whole };
        // Lent out while the rest of the metric is, too.
        let mut fields = std::mem::take(&mut self.histogram);
        let exemplars = fields.dated_exemplars();
        let done = each(self, Point { suffix: "", bound: None, value, exemplars });
        self.histogram = fields;
        done
    }

    fn classic<E>(
        &self,
        each: &mut impl FnMut(&Metric<'a>, Point<'_, 'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let count = self.histogram.observations();
        each(self, float("_count", None, count))?;
        each(self, float("_sum", None, self.histogram.sum))?;
        for bucket in &self.histogram.buckets {
            let mut point = float("_bucket", Some(("le", bucket.upper)), bucket.count);
            point.exemplars = bucket.exemplar.as_slice();
            each(self, point)?;
            if bucket.upper == f64::INFINITY {
                return Ok(());
            }
        }
        each(self, float("_bucket", Some(("le", f64::INFINITY)), count))
    }
}

fn float(
    suffix: &'static str,
    bound: Option<(&'static str, f64)>,
    value: f64,
) -> Point<'static, 'static> {
    Point { suffix, bound, value: Reading::Float(normal(value)), exemplars: &[] }
}

/// One NaN for all: the stale marker's bits cannot come in from outside.
pub(super) fn normal(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NORMAL_NAN_BITS) } else { value }
}
