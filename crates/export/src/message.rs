//! The messages of remote write: `prometheus.WriteRequest` (`prompb/remote.proto`, `types.proto`) and
//! `io.prometheus.write.v2.Request` (`prompb/io/prometheus/write/v2/types.proto`), written field by
//! field. One sample or exemplar makes one `TimeSeries`, as Prometheus sends them; but 2.0 asks for a
//! sample in each, so there exemplars go with theirs.

use crate::series::{Series, Table};
use model::prompb::put_histogram;
use model::protobuf::{put_bytes, put_double, put_integer, put_message, put_text, put_varint};
use model::{Kind, Sample, Value};
use std::collections::HashMap;
use tsdb::{Exemplar, Metadata};

/// What is to be sent of a series.
#[derive(Clone, Debug)]
pub struct Raw {
    /// The number of its series in the table.
    pub series: u32,
    /// What it has.
    pub point: Point,
}

/// A sample or an exemplar.
#[derive(Clone, Debug)]
pub enum Point {
    /// A sample.
    Sample(Sample),
    /// An exemplar, and for 2.0 a sample of its series: the one it came with.
    Exemplar(Exemplar, Option<Box<Sample>>),
}

impl Point {
    /// When, in milliseconds since the Unix epoch.
    pub fn time_ms(&self) -> i64 {
        match self {
            Point::Sample(sample) => sample.time_ms,
            Point::Exemplar(exemplar, _) => exemplar.time_ms,
        }
    }
}

/// What is known of families.
#[derive(Default)]
pub struct Families(HashMap<String, Metadata>);

impl Families {
    /// Takes or replaces a family.
    pub fn tell(&mut self, family: Metadata) {
        self.0.insert(family.name.clone(), family);
    }

    /// The family of a metric; the parts of a histogram or summary, and counters, have suffixes.
    pub fn of(&self, metric: &str) -> Option<&Metadata> {
        const SUFFIXES: [&str; 6] = ["_bucket", "_count", "_sum", "_total", "_created", "_info"];
        let stem = || SUFFIXES.iter().find_map(|s| metric.strip_suffix(s));
        self.0.get(metric).or_else(|| self.0.get(stem()?))
    }
}

/// A request of 1.0 before compression; gives where each of its series ends.
pub fn put_v1(table: &Table, raws: &[Raw], out: &mut Vec<u8>) -> Vec<u32> {
    let mut ends = Vec::with_capacity(raws.len());
    for Raw { series, point } in raws {
        let Some(Series::Sent { pairs, .. }) = table.get(*series) else { continue };
        put_message(out, 1, |out| {
            let pairs = pairs.iter().map(|(name, value)| (table.text(*name), table.text(*value)));
            put_pairs(out, pairs);
            match point {
                Point::Sample(Sample { time_ms, value: Value::Float(value), .. }) => {
                    put_message(out, 2, |out| {
                        put_double(out, 1, *value);
                        put_integer(out, 2, *time_ms);
                    });
                }
                Point::Sample(Sample { time_ms, value: Value::Histogram(h), .. }) => {
                    put_histogram(out, 4, *time_ms, 0, h);
                }
                Point::Exemplar(exemplar, _) => put_message(out, 3, |out| {
                    put_pairs(out, exemplar.labels.iter());
                    put_double(out, 2, exemplar.value);
                    put_integer(out, 3, exemplar.time_ms);
                }),
            }
        });
        ends.push(out.len() as u32);
    }
    ends
}

/// Labels of 1.0, each a `Label` in field 1.
fn put_pairs<'a>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, value) in pairs {
        put_message(out, 1, |out| {
            put_text(out, 1, name);
            put_text(out, 2, value);
        });
    }
}

/// A request of 2.0 before compression.
pub fn put_v2<'a>(table: &Table, raws: &'a [Raw], families: &Families, out: &'a mut Vec<u8>) {
    let mut symbols = Symbols { numbers: HashMap::new(), others: HashMap::new(), next: 1, out };
    // The empty text is the first, always.
    put_bytes(symbols.out, 4, b"");
    let mut described: HashMap<u32, [u32; 3]> = HashMap::new();
    let mut body = Vec::with_capacity(64 * raws.len());
    let mut refs = Vec::new();
    let carried = Carried::of(raws);
    for (at, Raw { series, point }) in raws.iter().enumerate() {
        let Some(Series::Sent { pairs, .. }) = table.get(*series) else { continue };
        let sample = match point {
            Point::Sample(sample) => sample,
            Point::Exemplar(_, Some(sample)) if carried.carries(at) => sample,
            Point::Exemplar(..) => continue,
        };
        refs.clear();
        for (name, value) in pairs {
            for text in [*name, *value] {
                let number = symbols.number(text, table.text(text));
                put_varint(&mut refs, number.into());
            }
        }
        let about = table.metric(pairs).map_or([0; 3], |metric| {
            *described.entry(metric).or_insert_with(|| {
                families.of(table.text(metric)).map_or([0; 3], |family| {
                    let (help, unit) = (symbols.other(&family.help), symbols.other(&family.unit));
                    [kind(family.kind) as u32, help, unit]
                })
            })
        });
        put_message(&mut body, 5, |out| {
            put_bytes(out, 1, &refs);
            let Sample { time_ms, start_ms, value } = sample;
            match value {
                Value::Float(value) => put_message(out, 2, |out| {
                    put_double(out, 1, *value);
                    put_integer(out, 2, *time_ms);
                    put_integer(out, 3, *start_ms);
                }),
                Value::Histogram(h) => put_histogram(out, 3, *time_ms, *start_ms, h),
            }
            for exemplar in carried.by(at, raws) {
                put_exemplar_v2(table, exemplar, &mut symbols, out);
            }
            put_message(out, 5, |out| {
                for (field, value) in [1, 3, 4].into_iter().zip(about) {
                    put_integer(out, field, value.into());
                }
            });
        });
    }
    out.extend_from_slice(&body);
}

fn put_exemplar_v2<'a>(
    table: &Table,
    exemplar: &'a Exemplar,
    symbols: &mut Symbols<'a>,
    out: &mut Vec<u8>,
) {
    let mut refs = Vec::new();
    for text in exemplar.labels.iter().flat_map(|(name, value)| [name, value]) {
        let number = match table.number_of(text) {
            Some(known) => symbols.number(known, text),
            None => symbols.own(text),
        };
        put_varint(&mut refs, number.into());
    }
    put_message(out, 4, |out| {
        put_bytes(out, 1, &refs);
        put_double(out, 2, exemplar.value);
        put_integer(out, 3, exemplar.time_ms);
    });
}

/// Which exemplars of a request of 2.0 go with which of its samples.
#[derive(Default)]
struct Carried(HashMap<usize, Vec<usize>>);

impl Carried {
    /// Those whose sample is in the request go with that; of the others of one sample the first brings it.
    fn of(raws: &[Raw]) -> Carried {
        let mut carried = Carried::default();
        if !raws.iter().any(|r| matches!(r.point, Point::Exemplar(..))) {
            return carried;
        }
        let mut samples: HashMap<(u32, i64), usize> = HashMap::new();
        for (at, raw) in raws.iter().enumerate() {
            match &raw.point {
                Point::Sample(sample) => {
                    samples.insert((raw.series, sample.time_ms), at);
                }
                Point::Exemplar(_, Some(sample)) => {
                    let by = *samples.entry((raw.series, sample.time_ms)).or_insert(at);
                    carried.0.entry(by).or_default().push(at);
                }
                Point::Exemplar(_, None) => {}
            }
        }
        carried
    }

    /// Whether some go with what is at a place.
    fn carries(&self, at: usize) -> bool {
        self.0.contains_key(&at)
    }

    /// Those that go with what is at a place.
    fn by<'a>(&self, at: usize, raws: &'a [Raw]) -> impl Iterator<Item = &'a Exemplar> {
        let places = self.0.get(&at).into_iter().flatten();
        places.filter_map(|place| match &raws[*place].point {
            Point::Exemplar(exemplar, _) => Some(exemplar),
            Point::Sample(_) => None,
        })
    }
}

/// The texts of a request of 2.0, each once.
struct Symbols<'a> {
    /// By the table's number.
    numbers: HashMap<u32, u32>,
    /// Those of exemplars that are not in the table.
    others: HashMap<&'a str, u32>,
    next: u32,
    out: &'a mut Vec<u8>,
}

impl<'a> Symbols<'a> {
    /// A text of an exemplar.
    fn own(&mut self, text: &'a str) -> u32 {
        if let Some(number) = self.others.get(text) {
            return *number;
        }
        let number = self.other(text);
        self.others.insert(text, number);
        number
    }

    fn number(&mut self, text_number: u32, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(&text_number) {
            return *number;
        }
        let number = self.other(text);
        self.numbers.insert(text_number, number);
        number
    }

    /// A text that comes once in a request, or is not in the table.
    fn other(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        put_bytes(self.out, 4, text.as_bytes());
        self.next += 1;
        self.next - 1
    }
}

/// A request of 1.0 with families alone.
pub fn put_metadata(families: &[Metadata], out: &mut Vec<u8>) {
    for family in families {
        put_message(out, 3, |out| {
            put_integer(out, 1, kind(family.kind));
            put_text(out, 2, &family.name);
            put_text(out, 4, &family.help);
            put_text(out, 5, &family.unit);
        });
    }
}

/// `MetricType`, which both versions number alike.
fn kind(kind: Kind) -> i64 {
    match kind {
        Kind::Untyped => 0,
        Kind::Counter => 1,
        Kind::Gauge => 2,
        Kind::Histogram => 3,
        Kind::GaugeHistogram => 4,
        Kind::Summary => 5,
        Kind::Info => 6,
        Kind::StateSet => 7,
    }
}
