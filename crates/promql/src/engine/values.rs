//! What expressions evaluate to: columns over the evaluation times.

use crate::query::MatrixSeries;
pub(crate) use model::labels::is_metadata as is_metadata_label;
use model::{Histogram, Labels, Value};
use std::sync::Arc;

/// The times at which an expression is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub start: i64,
    /// Not 0, even for a single time.
    pub step: i64,
    pub count: usize,
    /// Whether it begins and ends at the same time; one of a single step may end later.
    pub single: bool,
}

impl Grid {
    pub fn time(&self, i: usize) -> i64 {
        self.start + self.step * i as i64
    }

    pub fn end(&self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }

    /// The first time alone.
    pub fn first(&self) -> Grid {
        Grid { count: 1, single: true, ..*self }
    }
}

/// The values of one series over a grid; at some times there may be none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Points {
    /// At each time: no value, a float or a histogram.
    pub kinds: Vec<Kind>,
    /// 0 where there is no float.
    pub floats: Vec<f64>,
    /// Empty where there is no histogram at all.
    pub histograms: Vec<Option<Arc<Histogram>>>,
}

/// What there is at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    None,
    Float,
    Histogram,
}

/// A value, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Point<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

impl Points {
    pub fn absent(count: usize) -> Points {
        Points { kinds: vec![Kind::None; count], floats: vec![0.0; count], histograms: Vec::new() }
    }

    /// Empties it for `count` times.
    pub fn reset(&mut self, count: usize) {
        self.kinds.clear();
        self.kinds.resize(count, Kind::None);
        self.floats.clear();
        self.floats.resize(count, 0.0);
        self.histograms.clear();
    }

    pub fn get(&self, i: usize) -> Option<Point<'_>> {
        match self.kinds[i] {
            Kind::None => None,
            Kind::Float => Some(Point::Float(self.floats[i])),
            Kind::Histogram => self.histograms[i].as_ref().map(Point::Histogram),
        }
    }

    pub fn float(&self, i: usize) -> Option<f64> {
        (self.kinds[i] == Kind::Float).then(|| self.floats[i])
    }

    pub fn set_float(&mut self, i: usize, value: f64) {
        self.kinds[i] = Kind::Float;
        self.floats[i] = value;
    }

    pub fn set_histogram(&mut self, i: usize, value: Arc<Histogram>) {
        if self.histograms.is_empty() {
            self.histograms.resize(self.kinds.len(), None);
        }
        self.kinds[i] = Kind::Histogram;
        self.floats[i] = 0.0;
        self.histograms[i] = Some(value);
    }

    pub fn set(&mut self, i: usize, value: Value) {
        match value {
            Value::Float(f) => self.set_float(i, f),
            Value::Histogram(h) => self.set_histogram(i, h),
        }
    }

    pub fn set_point(&mut self, i: usize, point: Point<'_>) {
        match point {
            Point::Float(f) => self.set_float(i, f),
            Point::Histogram(h) => self.set_histogram(i, h.clone()),
        }
    }

    pub fn clear(&mut self, i: usize) {
        self.kinds[i] = Kind::None;
    }

    pub fn is_absent(&self) -> bool {
        self.kinds.iter().all(|k| *k == Kind::None)
    }

    /// How many samples it weighs.
    pub fn weight(&self) -> usize {
        let present = self.kinds.iter().filter(|k| **k == Kind::Float).count();
        present + self.histograms.iter().flatten().map(|h| h.weight()).sum::<usize>()
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        let histograms: usize = self.histograms.iter().flatten().map(|h| 16 * h.weight()).sum();
        self.kinds.capacity() + 8 * self.floats.capacity() + histograms
    }

    /// Takes what `other` has, true where both have a value at the same time.
    pub fn merge(&mut self, other: &Points) -> bool {
        for i in 0..self.kinds.len() {
            let Some(point) = other.get(i) else { continue };
            if self.kinds[i] != Kind::None {
                return true;
            }
            self.set_point(i, point);
        }
        false
    }
}

/// One series of an instant vector over the grid.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    pub labels: Labels,
    /// The name goes at the end of the query (delayed name removal).
    pub drop_name: bool,
    pub points: Points,
}

impl Series {
    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        self.labels.bytes() + self.points.bytes()
    }
}

/// Raw samples of a series over a range: a range vector's element.
#[derive(Clone, Debug, Default)]
pub(crate) struct RangeSeries {
    pub drop_name: bool,
    pub series: MatrixSeries,
}

/// The value of an expression.
#[derive(Debug)]
pub(crate) enum Evaluated {
    /// One number a time.
    Scalar(Vec<f64>),
    String(String),
    Vector(Vec<Series>),
    Matrix(Vec<RangeSeries>),
}
