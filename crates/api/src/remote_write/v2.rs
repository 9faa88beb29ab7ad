//! The message of remote write 2.0, `io.prometheus.write.v2.Request`
//! (`prompb/io/prometheus/write/v2/types.proto`): each text comes once, in a table, and series refer
//! to it by number.

use super::kind;
use crate::receive::{Batch, Pair, Reader as Known, Reason, Series};
use model::prompb::read_histogram;
use model::protobuf::{Field, Malformed, Message};
use model::{Kind, Labels};
use std::collections::HashSet;
use tsdb::{Exemplar, Metadata};

/// Reads a request into a batch. Where the body is malformed nothing of it is to be written.
///
/// Of series that are `known` the labels are not checked again.
pub fn decode(body: &[u8], known: Option<&Known<'_>>, batch: &mut Batch) -> Result<(), Malformed> {
    let (symbols, described) = (Vec::new(), HashSet::new());
    let mut reader = Reader { symbols, described, known, scratch: Vec::new(), batch };
    let mut request = Message::new(body);
    while let Some(field) = request.next()? {
        if field.number == 4 {
            reader.batch.item()?;
            reader.symbols.push(field.bytes()?);
        }
    }
    let (mut refs, mut pairs) = (Vec::new(), Vec::new());
    let mut request = Message::new(body);
    while let Some(field) = request.next()? {
        if field.number == 5 {
            reader.series(field.message()?, &mut refs, &mut pairs)?;
        }
    }
    Ok(())
}

struct Reader<'a, 'b> {
    symbols: Vec<&'a [u8]>,
    /// The families described so far.
    described: HashSet<&'a str>,
    known: Option<&'b Known<'b>>,
    scratch: Vec<u8>,
    batch: &'b mut Batch,
}

impl<'a> Reader<'a, '_> {
    fn series(
        &mut self,
        message: Message<'a>,
        refs: &mut Vec<u64>,
        pairs: &mut Vec<Pair<'a>>,
    ) -> Result<(), Malformed> {
        refs.clear();
        self.batch.item()?;
        let (mut samples, mut about) = (0, About::default());
        let mut fields = message;
        while let Some(field) = fields.next()? {
            match field.number {
                1 => each_ref(&field, refs)?,
                2 | 3 => samples += 1,
                5 => about = About::read(field.message()?)?,
                _ => {}
            }
        }
        if let Err(why) = self.resolve(refs, pairs) {
            let why = format!("parsing labels for series {}: {why}", list(refs));
            self.batch.mistake(Reason::InvalidLabels, samples, why);
            return Ok(());
        }
        let (help, unit) =
            match (self.text("help_ref", about.help), self.text("unit_ref", about.unit)) {
                (Ok(help), Ok(unit)) => (help, unit),
                (_, Err(why)) | (Err(why), _) => {
                    let why = format!("parsing metadata for series {}: {why}", list(refs));
                    self.batch.mistake(Reason::InvalidLabels, samples, why);
                    return Ok(());
                }
            };
        let Some(labels) = self.named(pairs, samples) else { return Ok(()) };
        if samples == 0 {
            let series = self.batch.text(labels);
            let why = format!(
                "TimeSeries must contain at least one sample or histogram for series {series}"
            );
            self.batch.mistake(Reason::InvalidLabels, 0, why);
            return Ok(());
        }
        self.samples(message, labels)?;
        let name = pairs.iter().find(|p| p.0 == model::labels::METRIC_NAME.as_bytes());
        self.family(name.map_or(&[], |n| n.1), kind(about.kind), help, unit);
        Ok(())
    }

    /// The series that texts name; `None` where they are wrong.
    fn named(&mut self, pairs: &mut [Pair<'a>], samples: usize) -> Option<Series> {
        let Some(known) = self.known else { return self.batch.series(pairs, samples) };
        let digest = known.of_pairs(pairs, &mut self.scratch);
        if let Some(found) = known.find(&digest) {
            return Some(self.batch.known(digest, &found));
        }
        let series = self.batch.series(pairs, samples)?;
        self.batch.remember(series, digest);
        Some(series)
    }

    fn samples(&mut self, mut fields: Message<'a>, series: Series) -> Result<(), Malformed> {
        while let Some(field) = fields.next()? {
            match field.number {
                2 => {
                    self.batch.item()?;
                    let (mut value, mut time_ms, mut start_ms) = (0.0, 0, 0);
                    let mut sample = field.message()?;
                    while let Some(field) = sample.next()? {
                        match field.number {
                            1 => value = field.double()?,
                            2 => time_ms = field.integer()?,
                            3 => start_ms = field.integer()?,
                            _ => {}
                        }
                    }
                    self.batch.sample(series, time_ms, start_ms, value);
                }
                3 => {
                    self.batch.item()?;
                    self.batch.histogram(series, read_histogram(field.message()?)?);
                }
                4 => {
                    self.batch.item()?;
                    self.exemplar(field.message()?, series)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn exemplar(&mut self, mut fields: Message<'a>, series: Series) -> Result<(), Malformed> {
        let (mut refs, mut pairs, mut value, mut time_ms) = (Vec::new(), Vec::new(), 0.0, 0);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => each_ref(&field, &mut refs)?,
                2 => value = field.double()?,
                3 => time_ms = field.integer()?,
                _ => {}
            }
        }
        if let Err(why) = self.resolve(&refs, &mut pairs) {
            let why = format!("parsing exemplar for series {}: {why}", self.batch.text(series));
            self.batch.mistake(Reason::Exemplar, 1, why);
            return Ok(());
        }
        let texts =
            pairs.iter().map(|p| (String::from_utf8_lossy(p.0), String::from_utf8_lossy(p.1)));
        let texts: Vec<_> = texts.collect();
        let labels = Labels::from_pairs(texts.iter().map(|p| (&*p.0, &*p.1)));
        self.batch.exemplar(series, Exemplar { labels, value, time_ms });
        Ok(())
    }

    /// The texts to which label references refer.
    fn resolve(&self, refs: &[u64], pairs: &mut Vec<Pair<'a>>) -> Result<(), String> {
        pairs.clear();
        let (twos, rest) = refs.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(format!("invalid labelRefs length {}", refs.len()));
        }
        for [name, value] in twos {
            let (Some(a), Some(b)) = (self.symbol(*name), self.symbol(*value)) else {
                let size = self.symbols.len();
                return Err(format!(
                    "labelRefs {name} (name) = {value} (value) outside of symbols table (size {size})"
                ));
            };
            pairs.push((a, b));
        }
        Ok(())
    }

    fn symbol(&self, number: u64) -> Option<&'a [u8]> {
        self.symbols.get(usize::try_from(number).ok()?).copied()
    }

    fn text(&self, what: &str, number: u64) -> Result<&'a str, String> {
        let size = self.symbols.len();
        let symbol = self.symbol(number).ok_or_else(|| {
            format!("metadata {what} {number} outside of symbols table (size {size})")
        })?;
        std::str::from_utf8(symbol).map_err(|_| format!("metadata {what} {number} is not UTF-8"))
    }

    /// Describes the family of a metric, once a request.
    fn family(&mut self, metric: &'a [u8], kind: Kind, help: &str, unit: &str) {
        let Ok(metric) = std::str::from_utf8(metric) else { return };
        if kind == Kind::Untyped && help.is_empty() && unit.is_empty() {
            return;
        }
        let suffixes: &[&str] = match kind {
            Kind::Histogram => &["_bucket", "_sum", "_count"],
            Kind::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
            Kind::Summary => &["_sum", "_count"],
            _ => &[],
        };
        let name = suffixes.iter().find_map(|s| metric.strip_suffix(s)).unwrap_or(metric);
        if self.described.insert(name) {
            let (name, help, unit) = (name.into(), help.into(), unit.into());
            self.batch.family(Metadata { name, kind, help, unit });
        }
    }
}

/// What is said of the family of a series.
#[derive(Default)]
struct About {
    kind: u64,
    help: u64,
    unit: u64,
}

impl About {
    fn read(mut message: Message<'_>) -> Result<About, Malformed> {
        let mut about = About::default();
        while let Some(field) = message.next()? {
            match field.number {
                1 => about.kind = field.unsigned()?,
                3 => about.help = field.unsigned()?,
                4 => about.unit = field.unsigned()?,
                _ => {}
            }
        }
        Ok(about)
    }
}

/// Adds the references of a field; of a bomb, no more than are looked at.
fn each_ref(field: &Field<'_>, refs: &mut Vec<u64>) -> Result<(), Malformed> {
    const MOST: usize = 1 << 16;
    field.each_unsigned(|n| {
        if refs.len() < MOST {
            refs.push(n);
        }
    })
}

/// References as Go prints a slice, the first of them where there are many.
fn list(refs: &[u64]) -> String {
    const SHOWN: usize = 64;
    let shown: Vec<String> = refs.iter().take(SHOWN).map(u64::to_string).collect();
    let more = if refs.len() > SHOWN { " …" } else { "" };
    format!("[{}{more}]", shown.join(" "))
}
