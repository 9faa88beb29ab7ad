//! The messages of OTLP (`opentelemetry/proto/metrics/v1/metrics.proto`), as far as series are made
//! of them.

use super::attributes::{self, Attributes};
use model::Labels;
use model::protobuf::{Field, Malformed, Message};
use tsdb::Exemplar;

/// A metric; its points are read when they are needed.
#[derive(Default)]
pub struct Metric<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is, for people.
    pub description: &'a str,
    /// Its unit, in UCUM's words.
    pub unit: &'a str,
    /// Its points.
    pub data: Option<Data<'a>>,
}

/// The points of a metric.
#[derive(Clone, Copy)]
pub struct Data<'a> {
    /// What they are.
    pub kind: DataKind,
    /// The message in which they are; each is a field 1.
    pub points: Message<'a>,
    /// 1 for deltas, 2 for sums since a start.
    pub temporality: u64,
    /// Whether a sum only grows.
    pub monotonic: bool,
}

/// What points are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are OTLP's
pub enum DataKind {
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

impl<'a> Metric<'a> {
    /// Reads a `Metric`.
    pub fn read(mut message: Message<'a>) -> Result<Metric<'a>, Malformed> {
        let mut metric = Metric::default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => metric.name = field.text()?,
                2 => metric.description = field.text()?,
                3 => metric.unit = field.text()?,
                5 => metric.data = Some(Data::read(DataKind::Gauge, &field)?),
                7 => metric.data = Some(Data::read(DataKind::Sum, &field)?),
                9 => metric.data = Some(Data::read(DataKind::Histogram, &field)?),
                10 => metric.data = Some(Data::read(DataKind::ExponentialHistogram, &field)?),
                11 => metric.data = Some(Data::read(DataKind::Summary, &field)?),
                _ => {}
            }
        }
        Ok(metric)
    }
}

impl<'a> Data<'a> {
    fn read(kind: DataKind, field: &Field<'a>) -> Result<Data<'a>, Malformed> {
        let points = field.message()?;
        let mut data = Data { kind, points, temporality: 0, monotonic: false };
        let mut fields = points;
        while let Some(field) = fields.next()? {
            match field.number {
                2 => data.temporality = field.unsigned()?,
                3 => data.monotonic = field.unsigned()? != 0,
                _ => {}
            }
        }
        Ok(data)
    }

    /// Hands over each point.
    pub fn each(
        &self,
        mut each: impl FnMut(Point<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut fields = self.points;
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                each(Point::read(self.kind, field.message()?)?)?;
            }
        }
        Ok(())
    }
}

/// A point of any kind; what its kind does not have is empty.
#[derive(Default)]
pub struct Point<'a> {
    /// Its attributes.
    pub attributes: Attributes<'a>,
    /// When it began to count, in milliseconds since the Unix epoch; 0 where not said.
    pub start_ms: i64,
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// Whether there was nothing to record: the series ends.
    pub ended: bool,
    /// Of gauges and sums.
    pub value: f64,
    /// Observations.
    pub count: u64,
    /// Their sum, where it is told.
    pub sum: Option<f64>,
    /// Of histograms with explicit bounds.
    pub bounds: Vec<f64>,
    /// The same, one more than bounds.
    pub counts: Vec<u64>,
    /// Of exponential histograms.
    pub scale: i64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// The positive buckets.
    pub positive: Buckets,
    /// The negative buckets.
    pub negative: Buckets,
    /// Of summaries: quantile and value.
    pub quantiles: Vec<(f64, f64)>,
    /// Examples.
    pub exemplars: Vec<Exemplar>,
}

/// One side of an exponential histogram.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    /// The index of the first.
    pub offset: i64,
    /// The counts.
    pub counts: Vec<u64>,
}

/// More buckets than any histogram has: those would be a bomb.
const MOST: usize = 1 << 16;

impl<'a> Point<'a> {
    fn read(kind: DataKind, mut message: Message<'a>) -> Result<Point<'a>, Malformed> {
        let mut point = Point::default();
        while let Some(field) = message.next()? {
            match (kind, field.number) {
                (_, 2) => point.start_ms = milliseconds(&field)?,
                (_, 3) => point.time_ms = milliseconds(&field)?,
                (DataKind::Gauge | DataKind::Sum, number) => point.read_number(number, &field)?,
                (DataKind::Histogram, number) => point.read_histogram(number, &field)?,
                (DataKind::ExponentialHistogram, number) => {
                    point.read_exponential(number, &field)?;
                }
                (DataKind::Summary, number) => point.read_summary(number, &field)?,
            }
            let parts = [
                point.bounds.len(),
                point.counts.len(),
                point.positive.counts.len() + point.negative.counts.len(),
                point.quantiles.len(),
                point.attributes.len(),
                point.exemplars.len(),
            ];
            if parts.iter().any(|p| *p > MOST) {
                let what =
                    "a point with more than 65536 buckets, quantiles, attributes or exemplars";
                return Err(Malformed { at: field.place(), what });
            }
        }
        Ok(point)
    }

    fn read_number(&mut self, number: u32, field: &Field<'a>) -> Result<(), Malformed> {
        match number {
            4 => self.value = field.double()?,
            5 => self.exemplars.push(exemplar(field.message()?)?),
            6 => self.value = field.fixed64()? as i64 as f64,
            7 => attributes::read(field.message()?, &mut self.attributes)?,
            8 => self.ended = has_no_value(field)?,
            _ => {}
        }
        Ok(())
    }

    fn read_histogram(&mut self, number: u32, field: &Field<'a>) -> Result<(), Malformed> {
        match number {
            4 => self.count = field.fixed64()?,
            5 => self.sum = Some(field.double()?),
            6 => field.each_fixed64(|c| self.counts.push(c))?,
            7 => field.each_double(|b| self.bounds.push(b))?,
            8 => self.exemplars.push(exemplar(field.message()?)?),
            9 => attributes::read(field.message()?, &mut self.attributes)?,
            10 => self.ended = has_no_value(field)?,
            _ => {}
        }
        Ok(())
    }

    fn read_exponential(&mut self, number: u32, field: &Field<'a>) -> Result<(), Malformed> {
        match number {
            1 => attributes::read(field.message()?, &mut self.attributes)?,
            4 => self.count = field.fixed64()?,
            5 => self.sum = Some(field.double()?),
            6 => self.scale = field.zigzag()?,
            7 => self.zero_count = field.fixed64()?,
            8 => self.positive = buckets(field.message()?)?,
            9 => self.negative = buckets(field.message()?)?,
            10 => self.ended = has_no_value(field)?,
            11 => self.exemplars.push(exemplar(field.message()?)?),
            _ => {}
        }
        Ok(())
    }

    fn read_summary(&mut self, number: u32, field: &Field<'a>) -> Result<(), Malformed> {
        match number {
            4 => self.count = field.fixed64()?,
            5 => self.sum = Some(field.double()?),
            6 => {
                let (mut quantile, mut value) = (0.0, 0.0);
                let mut fields = field.message()?;
                while let Some(field) = fields.next()? {
                    match field.number {
                        1 => quantile = field.double()?,
                        2 => value = field.double()?,
                        _ => {}
                    }
                }
                self.quantiles.push((quantile, value));
            }
            7 => attributes::read(field.message()?, &mut self.attributes)?,
            8 => self.ended = has_no_value(field)?,
            _ => {}
        }
        Ok(())
    }
}

fn milliseconds(field: &Field<'_>) -> Result<i64, Malformed> {
    Ok((field.fixed64()? / 1_000_000) as i64)
}

/// The flag that there was nothing to record.
fn has_no_value(field: &Field<'_>) -> Result<bool, Malformed> {
    Ok(field.unsigned()? & 1 == 1)
}

fn buckets(mut message: Message<'_>) -> Result<Buckets, Malformed> {
    let mut buckets = Buckets::default();
    while let Some(field) = message.next()? {
        match field.number {
            1 => buckets.offset = field.zigzag()?,
            2 => field.each_unsigned(|c| {
                // One more than may be tells that there are too many.
                if buckets.counts.len() <= MOST {
                    buckets.counts.push(c);
                }
            })?,
            _ => {}
        }
    }
    Ok(buckets)
}

/// An exemplar. Its filtered attributes are labels where there is room for all of them beside
/// trace and span.
fn exemplar(mut message: Message<'_>) -> Result<Exemplar, Malformed> {
    let (mut filtered, mut time_ms, mut value) = (Attributes::new(), 0, 0.0);
    let (mut trace, mut span) = (String::new(), String::new());
    while let Some(field) = message.next()? {
        match field.number {
            2 => time_ms = milliseconds(&field)?,
            3 => value = field.double()?,
            4 => span = hexadecimal(field.bytes()?),
            5 => trace = hexadecimal(field.bytes()?),
            6 => value = field.fixed64()? as i64 as f64,
            7 => attributes::read(field.message()?, &mut filtered)?,
            _ => {}
        }
    }
    let mut pairs: Vec<(&str, &str)> = vec![("trace_id", &trace), ("span_id", &span)];
    pairs.retain(|p| !p.1.is_empty());
    let all = pairs.iter().copied().chain(filtered.iter().map(|a| (a.0, a.1.as_str())));
    let characters: usize = all.map(|(n, v)| n.chars().count() + v.chars().count()).sum();
    if characters <= 128 {
        pairs.extend(filtered.iter().map(|a| (a.0, a.1.as_str())));
    }
    Ok(Exemplar { labels: Labels::from_pairs(pairs), value, time_ms })
}

/// Identifiers as hexadecimal digits; one that is all zeros is none.
fn hexadecimal(bytes: &[u8]) -> String {
    if bytes.iter().all(|b| *b == 0) || bytes.len() > 16 {
        return String::new();
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
