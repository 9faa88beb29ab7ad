//! How a series' value changes from one tick of its group to the next: the form in which the log
//! and the open part of the head keep samples. What does not change takes no room.
//!
//! Layout: `docs/formats/log.md`, Changes.

use crate::block::{Page, Points, read_page, write_page};
use crate::codec::{CodecError, put_varint, unzigzag, zigzag};
use crate::cursor::Cursor;
use model::Histogram;
use std::sync::Arc;

const ABSENT: u8 = 0xf1;
const STALE: u8 = 0xf2;
const HISTOGRAM: u8 = 0xf3;
const START: u8 = 0xf4;

/// One step of a change. A change is at most one `Start`, then one of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A float: the bits of the last float of the series, xor these.
    Float(u64),
    /// Not sent, from this tick on.
    Absent,
    /// The stale mark at this tick, absent from the next one on.
    Stale,
    /// A histogram, as a page of one tick.
    Histogram(&'a [u8]),
    /// When the counter began, for the values from this tick on; 0 where unknown.
    Start(i64),
}

/// Appends a step.
pub(crate) fn put(step: Step<'_>, out: &mut Vec<u8>) {
    match step {
        Step::Float(xor) => put_xor(xor, out),
        Step::Absent => out.push(ABSENT),
        Step::Stale => out.push(STALE),
        Step::Histogram(page) => {
            out.push(HISTOGRAM);
            put_varint(page.len() as u64, out);
            out.extend_from_slice(page);
        }
        Step::Start(start) => {
            out.push(START);
            put_varint(zigzag(start), out);
        }
    }
}

/// Reads a step.
pub(crate) fn take<'a>(cursor: &mut Cursor<'a>) -> Result<Step<'a>, CodecError> {
    Ok(match cursor.byte()? {
        ABSENT => Step::Absent,
        STALE => Step::Stale,
        HISTOGRAM => {
            let length = cursor.size(cursor.0.len(), "length of a histogram")?;
            Step::Histogram(cursor.take(length)?)
        }
        START => Step::Start(unzigzag(cursor.varint()?)),
        control => Step::Float(take_xor(control, cursor)?),
    })
}

/// A byte with the number of bytes that are not zero (high four bits) and that of the zero bytes
/// below them (low four bits), then those bytes.
fn put_xor(xor: u64, out: &mut Vec<u8>) {
    if xor == 0 {
        return out.push(0);
    }
    let low = xor.trailing_zeros() / 8;
    let length = 8 - xor.leading_zeros() / 8 - low;
    out.push((length << 4 | low) as u8);
    out.extend_from_slice(&(xor >> (8 * low)).to_le_bytes()[..length as usize]);
}

fn take_xor(control: u8, cursor: &mut Cursor<'_>) -> Result<u64, CodecError> {
    let (length, low) = (usize::from(control >> 4), u32::from(control & 15));
    if length + low as usize > 8 || low > 7 {
        return Err(CodecError::Invalid("step of a change"));
    }
    let mut bytes = [0; 8];
    bytes[..length].copy_from_slice(cursor.take(length)?);
    Ok(u64::from_le_bytes(bytes) << (8 * low))
}

/// A histogram as the page that [`Step::Histogram`] carries.
pub(crate) fn histogram_bytes(histogram: &Arc<Histogram>, out: &mut Vec<u8>) {
    let histograms = [(0, Arc::clone(histogram))];
    let points = Points { floats: &[0.0], histograms: &histograms, ..Points::default() };
    write_page(&points, out);
}

/// The inverse of [`histogram_bytes`].
pub(crate) fn read_histogram(bytes: &[u8]) -> Result<Arc<Histogram>, CodecError> {
    let mut page = Page::default();
    read_page(bytes, 1, &mut page)?;
    page.histograms.pop().map(|h| h.1).ok_or(CodecError::Invalid("histogram"))
}

/// What a series has at one tick, as changes build it up.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// Whether there is a value, and of which kind.
    pub kind: Kind,
    /// The bits of the newest float; kept while the series is absent.
    pub bits: u64,
    /// What most series do not have.
    pub extra: Option<Box<Extra>>,
}

/// What a series has at a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Absent,
    Float,
    Histogram,
}

/// What most series do not have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    pub start_ms: i64,
    pub histogram: Option<Arc<Histogram>>,
}

impl State {
    /// When the counter began; 0 where unknown.
    pub fn start_ms(&self) -> i64 {
        self.extra.as_ref().map_or(0, |e| e.start_ms)
    }

    /// The histogram, where there is one.
    pub fn histogram(&self) -> Option<&Arc<Histogram>> {
        self.extra.as_ref()?.histogram.as_ref()
    }

    /// Takes a step; true where the tick carries the stale mark.
    pub fn step(&mut self, step: Step<'_>) -> Result<bool, CodecError> {
        match step {
            Step::Float(xor) => {
                self.bits ^= xor;
                self.kind = Kind::Float;
                self.drop_histogram();
            }
            Step::Absent | Step::Stale => {
                self.kind = Kind::Absent;
                self.drop_histogram();
            }
            Step::Histogram(bytes) => {
                self.extra.get_or_insert_default().histogram = Some(read_histogram(bytes)?);
                self.kind = Kind::Histogram;
            }
            Step::Start(start) if start != self.start_ms() => {
                self.extra.get_or_insert_default().start_ms = start;
            }
            Step::Start(_) => {}
        }
        Ok(step == Step::Stale)
    }

    fn drop_histogram(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.histogram = None;
            if extra.start_ms == 0 {
                self.extra = None;
            }
        }
    }
}
