//! The encoding `XOR2`: one prefix says what became of time and value together; a start may follow each
//! sample.

use super::starts::Starts;
use super::{count, push_float};
use crate::bits::{Bits, Xor};
use crate::bytes::Wrong;
use model::Columns;
use model::value::STALE;

pub(super) fn decode(data: &[u8], columns: &mut Columns) -> Result<(), Wrong> {
    let (count, mut rest) = count(data)?;
    let mut starts = Starts::new(rest.byte()?);
    let mut bits = Bits::new(rest.0);
    // What later values differ from: the last one that was no stale mark.
    let (mut time, mut delta, mut base) = (0i64, 0i64, Xor::default());
    for i in 0..count {
        let before = time;
        let mut stale = false;
        match i {
            0 => {
                time = bits.varint()?;
                let first = bits.float()?;
                stale = model::value::is_stale(first);
                if !stale {
                    base = Xor::of(first);
                }
            }
            1 => {
                delta = bits.uvarint()? as i64;
                time = time.wrapping_add(delta);
                stale = next(&mut base, &mut bits)?;
            }
            _ => {
                let mut ones = 0;
                while ones < 5 && bits.bit()? {
                    ones += 1;
                }
                let width = [0, 0, 13, 20, 64, 0][ones];
                delta = delta.wrapping_add(two_complement(bits.take(width)?, width));
                time = time.wrapping_add(delta);
                match ones {
                    0 => {}
                    1 => base.changed(&mut bits)?,
                    2..=4 => stale = next(&mut base, &mut bits)?,
                    _ => stale = true,
                }
            }
        }
        let start = starts.next(&mut bits, i, time, before)?;
        push_float(columns, time, start, if stale { STALE } else { base.value() });
    }
    Ok(())
}

/// The next value; true where it is a stale mark.
fn next(base: &mut Xor, bits: &mut Bits<'_>) -> Result<bool, Wrong> {
    if !bits.bit()? {
        return Ok(false);
    }
    if !bits.bit()? {
        base.reuse(bits)?;
        return Ok(false);
    }
    if bits.bit()? {
        return Ok(true);
    }
    base.window(bits)?;
    Ok(false)
}

fn two_complement(bits: u64, width: u32) -> i64 {
    match width {
        1..=63 if bits >= 1 << (width - 1) => bits.wrapping_sub(1 << width) as i64,
        _ => bits as i64,
    }
}
