//! The protobuf exposition, read: `io.prometheus.client.MetricFamily` (`client_model`,
//! `io/prometheus/client/metrics.proto`), each with its length before it.
//!
//! Everything is borrowed from the body, and what a metric holds is kept in buffers that the next one
//! uses again: a body of a hundred thousand samples costs no allocation a sample. What becomes of a
//! metric ([`Metric::points`]) is what Prometheus makes of it (`model/textparse`). Never judged here is
//! what spans metrics: series that repeat.

mod histogram;
mod points;

pub use points::{Choice, Point, Reading};

use crate::prompb::read_label;
use crate::protobuf::{Field, Malformed, Message};
use crate::{Family, Kind};
use histogram::HistogramFields;

/// The media type of such a body, as it is asked for.
pub const MEDIA_TYPE: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

/// Why a body could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The encoding.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// What a family says.
    #[error("metric family {family:?} at byte {at}: {what}")]
    Family {
        /// Its name.
        family: String,
        /// Bytes before the place, from the beginning of the body.
        at: usize,
        /// What is wrong.
        what: String,
    },
}

/// What comes next.
#[derive(Debug)]
pub enum Event<'r, 'a> {
    /// A family begins: the metrics until the next one are its own.
    Family(Family<'a>),
    /// A metric.
    Metric(&'r mut Metric<'a>),
}

/// An example of what was counted.
#[derive(Clone, Copy, Debug)]
pub struct Exemplar<'a> {
    message: Message<'a>,
    /// Its value.
    pub value: f64,
    /// Its time in milliseconds since the Unix epoch, where it states one.
    pub time_ms: Option<i64>,
}

/// A metric: one set of labels, and under it a value or a whole summary or histogram.
#[derive(Debug, Default)]
pub struct Metric<'a> {
    /// The family's name.
    pub family: &'a str,
    kind: Option<Kind>,
    /// Bytes before it, from the beginning of the body.
    pub at: usize,
    /// The bytes of its labels, as far as they are at its front.
    labels: &'a [u8],
    /// Those that are not, which no known writer does.
    later_labels: Vec<&'a [u8]>,
    /// Its own time in milliseconds since the Unix epoch, where it states one.
    pub time_ms: Option<i64>,
    /// When it began to count, in milliseconds since the Unix epoch; 0 where it does not say.
    pub start_ms: i64,
    /// Of a counter, a gauge and what is neither.
    value: f64,
    /// Of a counter, at most one.
    exemplars: Vec<Exemplar<'a>>,
    count: u64,
    sum: f64,
    /// Quantiles and their values.
    quantiles: Vec<(f64, f64)>,
    histogram: HistogramFields<'a>,
}

/// Reads a body metric by metric. After an error it gives nothing more.
#[derive(Debug)]
pub struct Reader<'a> {
    body: Message<'a>,
    family: Family<'a>,
    rest: Message<'a>,
    metric: Metric<'a>,
}

impl<'a> Reader<'a> {
    /// A reader of a whole body.
    pub fn new(body: &'a [u8]) -> Reader<'a> {
        let family = Family { name: "", help: "", kind: Kind::Untyped, unit: "" };
        let (body, rest) = (Message::new(body), Message::new(&[]));
        Reader { body, family, rest, metric: Metric::default() }
    }

    /// The next family or metric; `None` at the end. Families without metrics are passed over.
    #[allow(clippy::should_implement_trait)] // an iterator could not lend the metric
    pub fn next(&mut self) -> Result<Option<Event<'_, 'a>>, ProtobufError> {
        let read = self.advance();
        if read.is_err() {
            (self.body, self.rest) = (Message::new(&[]), Message::new(&[]));
        }
        Ok(match read? {
            Next::End => None,
            Next::Family => Some(Event::Family(self.family)),
            Next::Metric => Some(Event::Metric(&mut self.metric)),
        })
    }

    fn advance(&mut self) -> Result<Next, ProtobufError> {
        loop {
            while let Some(field) = self.rest.next()? {
                if field.number == 4 {
                    self.metric.read(&self.family, &field)?;
                    return Ok(Next::Metric);
                }
            }
            let Some(message) = self.body.next_delimited()? else { return Ok(Next::End) };
            self.rest = message;
            // The unit comes behind the metrics: what they belong to is read first.
            if let Some(family) = read_family(message)? {
                self.family = family;
                return Ok(Next::Family);
            }
            self.rest = Message::new(&[]);
        }
    }
}

enum Next {
    End,
    Family,
    Metric,
}

/// What a family says of itself; `None` where it has no metrics.
fn read_family(mut family: Message<'_>) -> Result<Option<Family<'_>>, ProtobufError> {
    let at = family.place();
    let (mut name, mut help, mut kind, mut unit) = ("", "", 0, "");
    let mut is_empty = true;
    while let Some(field) = family.next()? {
        match field.number {
            1 => name = field.text()?,
            2 => help = field.text()?,
            3 => kind = field.unsigned()?,
            4 => is_empty = false,
            5 => unit = field.text()?,
            _ => {}
        }
    }
    if is_empty {
        return Ok(None);
    }
    let wrong = |what| ProtobufError::Family { family: name.to_owned(), at, what };
    if name.is_empty() {
        return Err(wrong("invalid metric name".into()));
    }
    let kind = match kind {
        0 => Kind::Counter,
        1 => Kind::Gauge,
        2 => Kind::Summary,
        3 => Kind::Untyped,
        4 => Kind::Histogram,
        5 => Kind::GaugeHistogram,
        other => return Err(wrong(format!("unknown metric type {other}"))),
    };
    Ok(Some(Family { name, help, kind, unit }))
}

impl<'a> Metric<'a> {
    fn read(&mut self, family: &Family<'a>, field: &Field<'a>) -> Result<(), Malformed> {
        let mut message = field.message()?;
        self.clear();
        (self.family, self.kind, self.at) = (family.name, Some(family.kind), field.place());
        self.labels = message.leading(1)?;
        while let Some(field) = message.next()? {
            match (field.number, family.kind) {
                (1, _) => self.later_labels.push(field.bytes()?),
                (6, _) => self.time_ms = Some(field.integer()?).filter(|t| *t != 0),
                (2, Kind::Gauge) | (5, Kind::Untyped) => self.read_value(field.message()?)?,
                (3, Kind::Counter) => self.read_value(field.message()?)?,
                (4, Kind::Summary) => self.read_summary(field.message()?)?,
                (7, Kind::Histogram | Kind::GaugeHistogram) => {
                    let started = self.histogram.read(field.message()?)?;
                    self.start_ms = started.unwrap_or(self.start_ms);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.later_labels.clear();
        (self.time_ms, self.start_ms) = (None, 0);
        (self.value, self.count, self.sum) = (0.0, 0, 0.0);
        self.exemplars.clear();
        self.quantiles.clear();
        self.histogram.clear();
    }

    /// A `Counter`, a `Gauge` or an `Untyped`, of which the latter two have a value only.
    fn read_value(&mut self, mut message: Message<'a>) -> Result<(), Malformed> {
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.value = field.double()?,
                2 => {
                    self.exemplars.clear();
                    self.exemplars.push(Exemplar::read(&field)?);
                }
                3 => self.start_ms = read_time(&field)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_summary(&mut self, mut message: Message<'a>) -> Result<(), Malformed> {
        while let Some(field) = message.next()? {
            match field.number {
                1 => self.count = field.unsigned()?,
                2 => self.sum = field.double()?,
                3 => {
                    let mut quantile = (0.0, 0.0);
                    let mut message = field.message()?;
                    while let Some(field) = message.next()? {
                        match field.number {
                            1 => quantile.0 = field.double()?,
                            2 => quantile.1 = field.double()?,
                            _ => {}
                        }
                    }
                    histogram::push(&mut self.quantiles, quantile, &field)?;
                }
                4 => self.start_ms = read_time(&field)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Appends bytes that name the metric within its family: the same ones round after round.
    pub fn push_key(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.labels);
        for label in &self.later_labels {
            key.push(0);
            key.extend_from_slice(label);
        }
    }

    /// Its labels, in the order in which they come: unsorted, possibly with empty values.
    pub fn labels(&self, labels: &mut Vec<(&'a str, &'a str)>) -> Result<(), Malformed> {
        labels.clear();
        let at = |e: Malformed| Malformed { at: self.at + e.at, ..e };
        read_labels(Message::new(self.labels), labels).map_err(at)?;
        for label in &self.later_labels {
            labels.push(read_label(Message::new(label)).map_err(at)?);
        }
        Ok(())
    }
}

impl<'a> Exemplar<'a> {
    fn read(field: &Field<'a>) -> Result<Exemplar<'a>, Malformed> {
        let message = field.message()?;
        let mut exemplar = Exemplar { message, value: 0.0, time_ms: None };
        let mut fields = message;
        while let Some(field) = fields.next()? {
            match field.number {
                2 => exemplar.value = field.double()?,
                3 => exemplar.time_ms = Some(read_time(&field)?),
                _ => {}
            }
        }
        Ok(exemplar)
    }

    /// Its labels, in the order in which they come.
    pub fn labels(&self, labels: &mut Vec<(&'a str, &'a str)>) -> Result<(), Malformed> {
        labels.clear();
        read_labels(self.message, labels)
    }
}

/// A `google.protobuf.Timestamp` in milliseconds.
fn read_time(field: &Field<'_>) -> Result<i64, Malformed> {
    let mut message = field.message()?;
    let (mut seconds, mut nanos) = (0i64, 0i32);
    while let Some(field) = message.next()? {
        match field.number {
            1 => seconds = field.integer()?,
            2 => nanos = field.integer()? as i32,
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(i64::from(nanos / 1_000_000)))
}

/// The `LabelPair`s of a message.
fn read_labels<'a>(
    mut message: Message<'a>,
    labels: &mut Vec<(&'a str, &'a str)>,
) -> Result<(), Malformed> {
    while let Some(field) = message.next()? {
        if field.number == 1 {
            labels.push(read_label(field.message()?)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
