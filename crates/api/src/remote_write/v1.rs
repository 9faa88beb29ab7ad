//! The message of remote write 1.0, `prometheus.WriteRequest` (`prompb/remote.proto`).

use super::kind;
use crate::receive::{Batch, Pair, Reader, Series};
use model::Labels;
use model::prompb::{read_histogram, read_label};
use model::protobuf::{Field, Malformed, Message};
use tsdb::{Exemplar, Metadata};

/// A series of one sample takes about as much, or more.
const SERIES_BYTES: usize = 256;

/// Reads a request into a batch. Where the body is malformed nothing of it is to be written. Of series that
/// are `known` the labels are not read.
pub fn decode(body: &[u8], known: Option<&Reader<'_>>, batch: &mut Batch) -> Result<(), Malformed> {
    let mut request = Message::new(body);
    let mut pairs = Vec::new();
    batch.expect(body.len() / SERIES_BYTES);
    while let Some(field) = request.next()? {
        match field.number {
            1 => series(field.message()?, known, &mut pairs, batch)?,
            3 => {
                batch.item()?;
                family(field.message()?, batch)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn series<'a>(
    message: Message<'a>,
    known: Option<&Reader<'_>>,
    pairs: &mut Vec<Pair<'a>>,
    batch: &mut Batch,
) -> Result<(), Malformed> {
    batch.item()?;
    let mut rest = message;
    let labels = rest.leading(1)?;
    let digest = known.filter(|_| !has_label(rest)).map(|known| known.of_fields(labels));
    let found = known.zip(digest.as_ref()).and_then(|(known, digest)| known.find(digest));
    match (found, digest) {
        (Some(found), Some(digest)) => {
            let series = batch.known(digest, &found);
            samples(rest, series, batch)
        }
        (_, digest) => {
            let Some(series) = named(message, pairs, batch)? else { return Ok(()) };
            if let Some(digest) = digest {
                batch.remember(series, digest);
            }
            samples(message, series, batch)
        }
    }
}

/// Whether labels come behind something else; what is malformed is found by who reads it.
fn has_label(mut fields: Message<'_>) -> bool {
    while let Ok(Some(field)) = fields.next() {
        if field.number == 1 {
            return true;
        }
    }
    false
}

/// The series that the labels of a message name; `None` where they are wrong.
fn named<'a>(
    message: Message<'a>,
    pairs: &mut Vec<Pair<'a>>,
    batch: &mut Batch,
) -> Result<Option<Series>, Malformed> {
    pairs.clear();
    let mut samples = 0;
    let mut fields = message;
    while let Some(field) = fields.next()? {
        match field.number {
            // Of a bomb, no more than are looked at.
            1 if pairs.len() < 1 << 16 => pairs.push(pair(&field)?),
            2 | 4 => samples += 1,
            _ => {}
        }
    }
    Ok(batch.series(pairs, samples))
}

/// What a message says of its series, the labels left aside.
fn samples(mut fields: Message<'_>, series: Series, batch: &mut Batch) -> Result<(), Malformed> {
    while let Some(field) = fields.next()? {
        match field.number {
            2 => {
                batch.item()?;
                let (time_ms, value) = sample(field.message()?)?;
                batch.sample(series, time_ms, 0, value);
            }
            3 => exemplar(field.message()?, series, batch)?,
            4 => {
                batch.item()?;
                batch.histogram(series, read_histogram(field.message()?)?);
            }
            _ => {}
        }
    }
    Ok(())
}

fn pair<'a>(field: &Field<'a>) -> Result<Pair<'a>, Malformed> {
    let mut message = field.message()?;
    let mut pair: Pair<'a> = (&[], &[]);
    while let Some(field) = message.next()? {
        match field.number {
            1 => pair.0 = field.bytes()?,
            2 => pair.1 = field.bytes()?,
            _ => {}
        }
    }
    Ok(pair)
}

fn sample(mut message: Message<'_>) -> Result<(i64, f64), Malformed> {
    let (mut time_ms, mut value) = (0, 0.0);
    while let Some(field) = message.next()? {
        match field.number {
            1 => value = field.double()?,
            2 => time_ms = field.integer()?,
            _ => {}
        }
    }
    Ok((time_ms, value))
}

fn exemplar(mut message: Message<'_>, series: Series, batch: &mut Batch) -> Result<(), Malformed> {
    let (mut pairs, mut value, mut time_ms) = (Vec::new(), 0.0, 0);
    while let Some(field) = message.next()? {
        match field.number {
            1 => pairs.push(read_label(field.message()?)?),
            2 => value = field.double()?,
            3 => time_ms = field.integer()?,
            _ => {}
        }
    }
    batch.item()?;
    let labels = Labels::from_pairs(pairs);
    batch.exemplar(series, Exemplar { labels, value, time_ms });
    Ok(())
}

fn family(mut message: Message<'_>, batch: &mut Batch) -> Result<(), Malformed> {
    let (mut number, mut name, mut help, mut unit) = (0, "", "", "");
    while let Some(field) = message.next()? {
        match field.number {
            1 => number = field.unsigned()?,
            2 => name = field.text()?,
            4 => help = field.text()?,
            5 => unit = field.text()?,
            _ => {}
        }
    }
    let (name, help, unit) = (name.into(), help.into(), unit.into());
    batch.family(Metadata { name, kind: kind(number), help, unit });
    Ok(())
}
