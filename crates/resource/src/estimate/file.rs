//! The file in which estimates survive a restart: `docs/formats/estimates.md`.

use super::histogram::{CPU, Histogram, MEMORY, Scale};
use super::usage::{DAYS, Used};
use super::{Entry, Key};
use crate::Error;
use std::sync::Arc;

const MAGIC: &[u8] = b"kubevigil estimates 1\n";
/// The most that a name or an image may be long, in bytes.
const TEXT_MAX: usize = 4096;

/// Appends the file.
pub(super) fn write(all: &[(&Key, &Entry)], out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(all.len() as u32).to_le_bytes());
    for (key, entry) in all {
        for text in key.0.iter().map(|t| &**t).chain([entry.image.as_deref().unwrap_or("")]) {
            let end = text.floor_char_boundary(TEXT_MAX);
            out.extend_from_slice(&(end as u16).to_le_bytes());
            out.extend_from_slice(&text.as_bytes()[..end]);
        }
        let used = &entry.used;
        for time in [used.reference_ms, used.first_ms, used.last_ms] {
            out.extend_from_slice(&time.to_le_bytes());
        }
        out.extend_from_slice(&used.observed_seconds.to_le_bytes());
        out.extend_from_slice(&used.day.to_le_bytes());
        for value in used.peaks.as_flattened() {
            out.extend_from_slice(&value.to_le_bytes());
        }
        for histogram in [&used.cpu, &used.memory] {
            out.extend_from_slice(&histogram.first.to_le_bytes());
            out.extend_from_slice(&(histogram.weights.len() as u16).to_le_bytes());
            for weight in &histogram.weights {
                out.extend_from_slice(&weight.to_le_bytes());
            }
        }
    }
    let sum = crc32c::crc32c(&out[from..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<(Key, Entry)>, Error> {
    let damaged = |what| Error::Damaged { what };
    let body = bytes.strip_prefix(MAGIC).ok_or(damaged("it does not begin as one"))?;
    let (body, sum) = body.split_last_chunk::<4>().ok_or(damaged("it was cut off"))?;
    if crc32c::crc32c(&bytes[..bytes.len() - 4]) != u32::from_le_bytes(*sum) {
        return Err(damaged("its checksum is wrong"));
    }
    read_body(body).ok_or(damaged("its content makes no sense"))
}

/// Reads what lies between magic and checksum.
pub(crate) fn read_body(body: &[u8]) -> Option<Vec<(Key, Entry)>> {
    let mut cursor = Cursor(body);
    let count = u32::from_le_bytes(cursor.take()?) as usize;
    // The shortest entry, so that a lie about the count costs nothing.
    let mut all = Vec::with_capacity(count.min(body.len() / 118));
    for _ in 0..count {
        let (namespace, kind, name, container) =
            (cursor.text()?, cursor.text()?, cursor.text()?, cursor.text()?);
        let image = cursor.text()?;
        let mut time = || Some(i64::from_le_bytes(cursor.take()?));
        let (reference_ms, first_ms, last_ms) = (time()?, time()?, time()?);
        let observed_seconds = f64::from_le_bytes(cursor.take()?);
        let day = i32::from_le_bytes(cursor.take()?);
        let mut peaks = [[0.0; 2]; DAYS];
        for value in peaks.as_flattened_mut() {
            *value = cursor.float()?;
        }
        let (cpu, memory) = (cursor.histogram(CPU)?, cursor.histogram(MEMORY)?);
        let sane = observed_seconds.is_finite() && observed_seconds >= 0.0;
        if !sane {
            return None;
        }
        let used =
            Used { cpu, memory, peaks, day, reference_ms, first_ms, last_ms, observed_seconds };
        let image = Some(image).filter(|i| !i.is_empty()).map(Arc::from);
        let key = Key([namespace, kind, name, container].map(Arc::from));
        all.push((key, Entry { image, used }));
    }
    cursor.0.is_empty().then_some(all)
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(u16::from_le_bytes(self.take()?));
        let (text, rest) = self.0.split_at_checked(length).filter(|_| length <= TEXT_MAX)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn float(&mut self) -> Option<f32> {
        Some(f32::from_le_bytes(self.take()?)).filter(|f| f.is_finite() && *f >= 0.0)
    }

    fn histogram(&mut self, scale: Scale) -> Option<Histogram> {
        let first = u16::from_le_bytes(self.take()?);
        let length = u16::from_le_bytes(self.take()?);
        if first.checked_add(length)? > scale.buckets {
            return None;
        }
        let weights = (0..length).map(|_| self.float()).collect::<Option<Vec<f32>>>()?;
        Some(Histogram { first, weights })
    }
}
