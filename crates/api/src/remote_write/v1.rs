//! The message of remote write 1.0, `prometheus.WriteRequest` (`prompb/remote.proto`).

use super::kind;
use crate::exemplars::Exemplar;
use crate::receive::{Batch, Pair};
use model::Labels;
use model::prompb::read_histogram;
use model::protobuf::{Field, Malformed, Message};
use tsdb::Metadata;

/// Reads a request into a batch. Where the body is malformed nothing of it is to be written.
pub fn decode(body: &[u8], batch: &mut Batch) -> Result<(), Malformed> {
    let mut request = Message::new(body);
    let mut pairs = Vec::new();
    while let Some(field) = request.next()? {
        match field.number {
            1 => series(field.message()?, &mut pairs, batch)?,
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
    pairs: &mut Vec<Pair<'a>>,
    batch: &mut Batch,
) -> Result<(), Malformed> {
    pairs.clear();
    batch.item()?;
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
    let Some(labels) = batch.labels(pairs, samples) else { return Ok(()) };
    let mut fields = message;
    while let Some(field) = fields.next()? {
        match field.number {
            2 => {
                batch.item()?;
                let (time_ms, value) = sample(field.message()?)?;
                batch.sample(&labels, time_ms, 0, value);
            }
            3 => exemplar(field.message()?, &labels, batch)?,
            4 => {
                batch.item()?;
                batch.histogram(&labels, read_histogram(field.message()?)?);
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

fn exemplar(mut message: Message<'_>, series: &Labels, batch: &mut Batch) -> Result<(), Malformed> {
    let (mut pairs, mut value, mut time_ms) = (Vec::new(), 0.0, 0);
    while let Some(field) = message.next()? {
        match field.number {
            1 => {
                let mut label = field.message()?;
                let mut pair = ("", "");
                while let Some(field) = label.next()? {
                    match field.number {
                        1 => pair.0 = field.text()?,
                        2 => pair.1 = field.text()?,
                        _ => {}
                    }
                }
                pairs.push(pair);
            }
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
