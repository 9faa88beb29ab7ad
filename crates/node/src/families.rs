//! Short hands for writing families: one call for each family of one sample.

use model::{Family, Kind, Sink};

/// Writes families into a sink.
pub struct Families<'a>(pub &'a mut dyn Sink);

impl Families<'_> {
    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.begin(name, help, Kind::Gauge);
        self.0.sample(name, &[], value, None);
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.begin(name, help, Kind::Counter);
        self.0.sample(name, &[], value, None);
    }

    /// A metric of no stated type without labels.
    pub fn untyped(&mut self, name: &str, help: &str, value: f64) {
        self.begin(name, help, Kind::Untyped);
        self.0.sample(name, &[], value, None);
    }

    /// Begins a family; its samples follow with [`Families::sample`].
    pub fn begin(&mut self, name: &str, help: &str, kind: Kind) {
        self.0.family(&Family { name, help, kind, unit: "" });
    }

    /// A sample of the family begun last; `labels` sorted by name.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        debug_assert!(labels.is_sorted_by(|a, b| a.0 < b.0), "{name}: labels out of order");
        self.0.sample(name, labels, value, None);
    }
}

/// A sink that only counts.
#[derive(Default)]
pub(crate) struct Counter {
    pub samples: u64,
}

impl Sink for Counter {
    fn family(&mut self, _: &Family<'_>) {}

    fn sample(&mut self, _: &str, _: &[(&str, &str)], _: f64, _: Option<i64>) {
        self.samples += 1;
    }
}
