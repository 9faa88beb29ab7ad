//! Texts of a target as remote-write 1.0 requests: all its samples at one time, the stale mark for each series
//! that is gone. Written by hand: two messages, three kinds of fields.

use anyhow::{Context, Result};
use model::Labels;
use model::exposition::{Event, Parser, Syntax, parse_float};
use model::labels::METRIC_NAME;
use model::value::STALE;
use std::collections::HashMap;

/// What a target said last, and what is sent for each of its lines.
pub struct Layout {
    target: Labels,
    lines: Vec<Line>,
    request: Vec<u8>,
}

struct Line {
    /// Name and labels, as they stand in the text.
    text: Vec<u8>,
    /// The labels as fields of a `TimeSeries`.
    labels: Vec<u8>,
}

impl Layout {
    /// Of a target that said nothing yet.
    pub fn new(target: Labels) -> Layout {
        Layout { target, lines: Vec::new(), request: Vec::new() }
    }

    /// The `WriteRequest` for a text.
    pub fn request(&mut self, body: &[u8], time_ms: i64) -> Result<&[u8]> {
        self.request.clear();
        if !self.as_before(body, time_ms) {
            self.request.clear();
            self.anew(body, time_ms)?;
        }
        Ok(&self.request)
    }

    /// Whether all lines are those of the last time, in the same order; then the request is made.
    fn as_before(&mut self, body: &[u8], time_ms: i64) -> bool {
        let mut known = self.lines.iter();
        for line in body.split(|b| *b == b'\n').filter(|l| !l.is_empty() && l[0] != b'#') {
            let Some(expected) = known.next() else { return false };
            let value = line.strip_prefix(&*expected.text).and_then(|v| v.strip_prefix(b" "));
            let value = value.and_then(|v| parse_float(std::str::from_utf8(v).ok()?));
            let Some(value) = value else { return false };
            put_series(&expected.labels, value, time_ms, &mut self.request);
        }
        known.next().is_none()
    }

    fn anew(&mut self, body: &[u8], time_ms: i64) -> Result<()> {
        let mut old: HashMap<Vec<u8>, Line> =
            self.lines.drain(..).map(|l| (l.text.clone(), l)).collect();
        let mut parser = Parser::new(body, Syntax::Text);
        while let Some(event) = parser.next().context("a text of ours")? {
            let Event::Sample(sample) = event else { continue };
            let line = old.remove(sample.series.as_bytes()).unwrap_or_else(|| Line {
                text: sample.series.into(),
                labels: self.labels(
                    &sample.name,
                    sample.labels.iter().map(|l| (l.name.as_ref(), l.value.as_ref())),
                ),
            });
            put_series(&line.labels, sample.value, time_ms, &mut self.request);
            self.lines.push(line);
        }
        for gone in old.into_values() {
            put_series(&gone.labels, STALE, time_ms, &mut self.request);
        }
        Ok(())
    }

    fn labels<'a>(&self, name: &str, own: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
        let mut labels = self.target.builder();
        labels.set(METRIC_NAME, name);
        for (name, value) in own {
            match self.target.get(name) {
                Some(_) => labels.set(&format!("exported_{name}"), value),
                None => labels.set(name, value),
            };
        }
        let mut fields = Vec::new();
        for (name, value) in labels.build().iter() {
            let mut label = Vec::new();
            put_bytes(1, name.as_bytes(), &mut label);
            put_bytes(2, value.as_bytes(), &mut label);
            put_bytes(1, &label, &mut fields);
        }
        fields
    }
}

/// Adds a `TimeSeries` of one sample.
fn put_series(labels: &[u8], value: f64, time_ms: i64, out: &mut Vec<u8>) {
    let mut sample = [0; 20];
    sample[0] = 1 << 3 | 1;
    sample[1..9].copy_from_slice(&value.to_le_bytes());
    sample[9] = 2 << 3;
    let (mut length, mut rest) = (10, time_ms as u64);
    while rest >= 0x80 {
        sample[length] = rest as u8 | 0x80;
        (length, rest) = (length + 1, rest >> 7);
    }
    sample[length] = rest as u8;
    let sample = &sample[..=length];
    out.push(1 << 3 | 2);
    put_varint((labels.len() + 2 + sample.len()) as u64, out);
    out.extend_from_slice(labels);
    put_bytes(2, sample, out);
}

fn put_bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(field << 3 | 2);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
