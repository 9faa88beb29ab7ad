//! The encoding `XOR`: times as differences of differences, floats as what differs from the one before.

use super::{count, push_float};
use crate::bits::{BitWriter, Bits, Xor, fits, signed};
use crate::bytes::Wrong;
use model::Columns;

/// Bits of a difference of differences, by the number of ones before it.
const WIDTHS: [u32; 5] = [0, 14, 17, 20, 64];

pub(super) fn decode(data: &[u8], columns: &mut Columns) -> Result<(), Wrong> {
    let (count, rest) = count(data)?;
    let mut bits = Bits::new(rest.0);
    let (mut time, mut delta, mut value) = (0i64, 0i64, Xor::default());
    for i in 0..count {
        match i {
            0 => {
                time = bits.varint()?;
                value = Xor::of(bits.float()?);
            }
            1 => {
                delta = bits.uvarint()? as i64;
                time = time.wrapping_add(delta);
                value.next(&mut bits)?;
            }
            _ => {
                let mut ones = 0;
                while ones < 4 && bits.bit()? {
                    ones += 1;
                }
                let width = WIDTHS[ones];
                delta = delta.wrapping_add(signed(bits.take(width)?, width));
                time = time.wrapping_add(delta);
                value.next(&mut bits)?;
            }
        }
        push_float(columns, time, 0, value.value());
    }
    Ok(())
}

/// Encodes floats; times ascend, and there are at most 65,535.
pub(crate) fn encode(times_ms: &[i64], floats: &[f64]) -> Vec<u8> {
    let mut out = BitWriter::after((times_ms.len() as u16).to_be_bytes().to_vec());
    let (mut last, mut last_delta, mut xor) = (0i64, 0i64, Xor::default());
    for (i, (&time, &float)) in times_ms.iter().zip(floats).enumerate() {
        let delta = time.wrapping_sub(last);
        match i {
            0 => {
                out.put_varint(time);
                out.put_float(float);
                xor = Xor::of(float);
            }
            1 => {
                out.put_uvarint(delta as u64);
                xor.write(float, &mut out);
            }
            _ => {
                put_difference(delta.wrapping_sub(last_delta), &mut out);
                xor.write(float, &mut out);
            }
        }
        last = time;
        last_delta = if i == 0 { 0 } else { delta };
    }
    out.bytes
}

fn put_difference(difference: i64, out: &mut BitWriter) {
    match difference {
        0 => out.put(0, 1),
        d if fits(d, 14) => out.put(0b10 << 14 | d as u64 & 0x3fff, 16),
        d if fits(d, 17) => out.put(0b110 << 17 | d as u64 & 0x1_ffff, 20),
        d if fits(d, 20) => out.put(0b1110 << 20 | d as u64 & 0xf_ffff, 24),
        d => {
            out.put(0b1111, 4);
            out.put(d as u64, 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(samples in prop::collection::vec((1i64..40, any::<bool>(), any::<u64>()), 1..150), begin in any::<i32>()) {
            let (mut time, mut times, mut floats) = (i64::from(begin), Vec::new(), Vec::new());
            for (step, far, bits) in samples {
                time += if far { 15_000 + step } else { step * step * step * step * step };
                times.push(time);
                floats.push(if bits % 3 == 0 { 1.0 } else { f64::from_bits(bits) });
            }
            let mut columns = Columns::default();
            decode(&encode(&times, &floats), &mut columns).expect("decodes");
            prop_assert_eq!(columns.times_ms, times);
            let bits = |f: &[f64]| f.iter().map(|f| f.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&columns.floats), bits(&floats));
            prop_assert!(columns.starts_ms.is_empty());
        }
    }
}
