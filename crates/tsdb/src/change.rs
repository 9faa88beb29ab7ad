//! How a series' value changes from one tick of its group to the next: the form in which the log
//! and the open part of the head keep samples. What does not change takes no room.
//!
//! Layout: `docs/formats/log.md`, Changes.

use crate::block::{Page, Points, read_page, write_page};
use crate::codec::{CodecError, put_varint, unzigzag, zigzag};
use crate::cursor::Cursor;
use model::Histogram;
use std::sync::Arc;

/// With the number of bytes in the low four bits; 16 apart for each of [`POWERS`].
const ADD: u8 = 0x90;
const ABSENT: u8 = 0xf1;
const STALE: u8 = 0xf2;
const HISTOGRAM: u8 = 0xf3;
const START: u8 = 0xf4;

/// One step of a change. A change is at most one `Start`, then one of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A float: the bits of the last float of the series, xor these.
    Float(u64),
    /// A float: the last float of the series and so many more of a power's parts ([`POWERS`]).
    Add(Power, i64),
    /// Not sent, from this tick on.
    Absent,
    /// The stale mark at this tick, absent from the next one on.
    Stale,
    /// A histogram, as a page of one tick.
    Histogram(&'a [u8]),
    /// When the counter began, for the values from this tick on; 0 where unknown.
    Start(i64),
}

/// A place in [`POWERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Power(u8);

/// What values are whole numbers of: wholes, thousandths, millionths, billionths.
const POWERS: [f64; 4] = [1e0, 1e3, 1e6, 1e9];

/// Beyond this a whole number may not be exact as a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The shortest step from the bits of one float to those of another.
pub(crate) fn float_step<'a>(before: u64, now: u64) -> Step<'a> {
    let xor = before ^ now;
    // Of one byte, or of none.
    if xor_bytes(xor).0 < 2 {
        return Step::Float(xor);
    }
    let (from, to) = (f64::from_bits(before), f64::from_bits(now));
    for (number, power) in POWERS.into_iter().enumerate() {
        let (a, b) = ((from * power).round(), (to * power).round());
        let exact = a.abs() < EXACT && b.abs() < EXACT && (b / power).to_bits() == now;
        if exact {
            let step = b as i64 - a as i64;
            let shorter = add_bytes(step) < xor_bytes(xor).0 as usize;
            return if shorter { Step::Add(Power(number as u8), step) } else { Step::Float(xor) };
        }
    }
    Step::Float(xor)
}

/// What [`Step::Add`] makes of the bits of a float.
fn added(before: u64, power: Power, step: i64) -> u64 {
    let power = POWERS[usize::from(power.0 & 3)];
    let from = (f64::from_bits(before) * power).round() as i64;
    (from.wrapping_add(step) as f64 / power).to_bits()
}

fn add_bytes(step: i64) -> usize {
    (8 - zigzag(step).leading_zeros() as usize / 8).max(1)
}

/// Appends a step.
pub(crate) fn put(step: Step<'_>, out: &mut Vec<u8>) {
    match step {
        Step::Float(xor) => put_xor(xor, out),
        Step::Add(power, step) => {
            let length = add_bytes(step);
            out.push(ADD + 16 * power.0 + length as u8);
            out.extend_from_slice(&zigzag(step).to_le_bytes()[..length]);
        }
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
        control if (ADD..ADD + 64).contains(&control) => {
            let length = usize::from(control & 15);
            if !(1..=8).contains(&length) {
                return Err(CodecError::Invalid("step of a change"));
            }
            let mut bytes = [0; 8];
            bytes[..length].copy_from_slice(cursor.take(length)?);
            Step::Add(Power((control - ADD) / 16), unzigzag(u64::from_le_bytes(bytes)))
        }
        control => Step::Float(take_xor(control, cursor)?),
    })
}

/// A byte with the number of bytes that are not zero (high four bits) and that of the zero bytes
/// below them (low four bits), then those bytes.
fn put_xor(xor: u64, out: &mut Vec<u8>) {
    if xor == 0 {
        return out.push(0);
    }
    let (length, low) = xor_bytes(xor);
    out.push((length << 4 | low) as u8);
    out.extend_from_slice(&(xor >> (8 * low)).to_le_bytes()[..length as usize]);
}

/// How many bytes are not zero, and how many below them are.
fn xor_bytes(xor: u64) -> (u32, u32) {
    if xor == 0 {
        return (0, 0);
    }
    let low = xor.trailing_zeros() / 8;
    (8 - xor.leading_zeros() / 8 - low, low)
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
            Step::Add(power, step) => {
                self.bits = added(self.bits, power, step);
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn through(before: f64, now: f64) -> usize {
        let mut bytes = Vec::new();
        put(float_step(before.to_bits(), now.to_bits()), &mut bytes);
        let mut state = State { bits: before.to_bits(), kind: Kind::Float, extra: None };
        let mut cursor = Cursor(&bytes);
        let stale = state.step(take(&mut cursor).expect("reads")).expect("applies");
        assert_eq!(
            (state.bits, stale, cursor.0.len()),
            (now.to_bits(), false, 0),
            "{before} {now}"
        );
        bytes.len()
    }

    #[test]
    fn steps_of_counters_are_short() {
        assert_eq!(through(1_000_003.0, 1_000_103.0), 2);
        assert_eq!(through(123_456.789_012, 123_456.799_013), 3);
        assert_eq!(through(4096.0, 4096.0), 1);
        assert!(through(0.1, f64::NAN) <= 9);
    }

    proptest! {
        #[test]
        fn every_step_leads_from_one_float_to_the_other(
            a in any::<u64>(), b in any::<u64>(), c in -1e12f64..1e12, n in -1_000_000i64..1_000_000, e in 0u32..11,
        ) {
            through(f64::from_bits(a), f64::from_bits(b));
            through(f64::from_bits(a), c);
            through(c, f64::from_bits(b));
            let power = 10f64.powi(e as i32);
            let decimal = (c * power).round() / power;
            through(decimal, ((decimal * power).round() + n as f64) / power);
        }
    }
}
