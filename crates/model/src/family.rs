//! Metric families, and the sink into which they are written.
//!
//! A producer (a collector, the server's own metrics) writes families one after the other into a
//! [`Sink`]; text for a scraper and the store are two sinks. No sample is allocated on the way.

/// The type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the exposition formats' own
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
    Untyped,
}

/// What a family is, apart from its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family<'a> {
    /// The metric name as the text format 0.0.4 prints it (counters with their `_total`).
    pub name: &'a str,
    /// One line for people.
    pub help: &'a str,
    /// The type.
    pub kind: Kind,
    /// The OpenMetrics unit; empty where none is stated.
    pub unit: &'a str,
}

/// Takes families and their samples, in order.
pub trait Sink {
    /// Begins a family: the samples until the next call belong to it. A family comes once.
    fn family(&mut self, family: &Family<'_>);

    /// Adds a sample to the family begun last.
    ///
    /// `name` is the family's name, with a suffix (`_bucket`, `_sum`, `_count`) where the kind has
    /// them. `labels` are sorted by name, each once, without the metric name; empty values are
    /// passed on, since exposition prints them (a store leaves them out). `time_ms` is the sample's own time in
    /// milliseconds since the Unix epoch, `None` for the time at which the reader reads.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, time_ms: Option<i64>);
}
