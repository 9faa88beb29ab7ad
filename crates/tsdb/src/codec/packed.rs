//! Groups of 64 numbers packed to the bits that most of them need; the few that need more are set apart.
//! Never knows what the numbers stand for.

use super::{CodecError, put_varint, take_varint};

/// Numbers in a group, the last of a column excepted.
pub(super) const GROUP: usize = 64;

/// Bytes that are read with a number: it lies within them, wherever in a byte it begins.
const ROOM: usize = 8;

/// Wider numbers are read from twice as many bytes.
const NARROW_MAX: usize = 56;

/// How many bits a number has.
pub(super) fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// At most [`GROUP`] numbers: a width, the low bits of each, and what stands out.
pub(super) fn encode_group(values: &[u64], out: &mut Vec<u8>) {
    let mut widths = [0usize; 65];
    for &value in values {
        widths[width_of(value) as usize] += 1;
    }
    let widest = widths.iter().rposition(|&n| n > 0).unwrap_or(0);
    let (mut width, mut smallest) = (widest, usize::MAX);
    let mut above = 0;
    for candidate in (0..=widest).rev() {
        let size = (values.len() * candidate).div_ceil(8)
            + if above > 0 { 1 + above * (1 + (widest - candidate).div_ceil(7)) } else { 0 };
        if size < smallest {
            (width, smallest) = (candidate, size);
        }
        above += widths[candidate];
    }
    let exceptions = values.iter().filter(|&&v| width_of(v) as usize > width).count();
    out.push(width as u8 | if exceptions > 0 { 0x80 } else { 0 });
    let (mut buffer, mut filled) = (0u128, 0);
    for &value in values {
        buffer |= u128::from(value & low_bits(width)) << filled;
        filled += width;
        while filled >= 8 {
            out.push(buffer as u8);
            buffer >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(buffer as u8);
    }
    if exceptions > 0 {
        out.push(exceptions as u8);
        for (i, &value) in values.iter().enumerate().filter(|(_, v)| width_of(**v) as usize > width)
        {
            out.push(i as u8);
            put_varint(value >> width, out);
        }
    }
}

/// Reads a group of `length` numbers into the first of `values`; what lies behind them there is of no account.
pub(super) fn decode_group<'a>(
    bytes: &'a [u8],
    length: usize,
    values: &mut [u64; GROUP],
) -> Result<&'a [u8], CodecError> {
    let (&head, body) = bytes.split_first().ok_or(CodecError::Short)?;
    let width = (head & 0x7f) as usize;
    let packed = (length * width).div_ceil(8);
    let (packed, mut rest) = body.split_at_checked(packed).ok_or(CodecError::Short)?;
    match UNPACK.get(width) {
        // All are unpacked, whatever the length: what is not the column's is not looked at.
        Some(unpack) => match body.get(..GROUP / 8 * width + ROOM) {
            Some(bytes) => unpack(bytes, values),
            None => {
                let mut bytes = [0u8; GROUP / 8 * NARROW_MAX + ROOM];
                bytes[..packed.len()].copy_from_slice(packed);
                unpack(&bytes, values);
            }
        },
        None if width <= 64 => unpack_wide(packed, width, &mut values[..length]),
        None => return Err(CodecError::Invalid("width")),
    }
    if head & 0x80 != 0 {
        let (&count, after) = rest.split_first().ok_or(CodecError::Short)?;
        rest = after;
        for _ in 0..count {
            let (&place, after) = rest.split_first().ok_or(CodecError::Short)?;
            let (high, after) = take_varint(after)?;
            let slot = values[..length].get_mut(place as usize);
            *slot.ok_or(CodecError::Invalid("place in a group"))? |=
                high.checked_shl(width as u32).unwrap_or(0);
            rest = after;
        }
    }
    Ok(rest)
}

/// Reads 64 numbers of `WIDTH` bits: eight of them lie in `WIDTH` bytes, always at the same bits, so that the
/// compiler knows every shift.
fn unpack<const WIDTH: usize>(bytes: &[u8], values: &mut [u64; GROUP]) {
    let mask = low_bits(WIDTH);
    let (eights, _) = values.as_chunks_mut::<8>();
    for (eight, at) in eights.iter_mut().zip((0..).step_by(WIDTH.max(1))) {
        let bytes = &bytes[at..at + WIDTH + ROOM];
        for (i, value) in eight.iter_mut().enumerate() {
            let mut word = [0u8; ROOM];
            word.copy_from_slice(&bytes[i * WIDTH / 8..i * WIDTH / 8 + ROOM]);
            *value = u64::from_le_bytes(word) >> (i * WIDTH % 8) & mask;
        }
    }
}

type Unpack = fn(&[u8], &mut [u64; GROUP]);

/// [`unpack`] for each width.
const UNPACK: [Unpack; NARROW_MAX + 1] = {
    macro_rules! of_widths {
        ($($width:literal)*) => { [|_, values| values.fill(0), $(unpack::<$width>),*] };
    }
    of_widths!(
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38
        39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56
    )
};

/// Reads numbers of more bits than [`NARROW_MAX`].
fn unpack_wide(packed: &[u8], width: usize, values: &mut [u64]) {
    let mut bytes = [0u8; GROUP * 8 + 2 * ROOM];
    bytes[..packed.len()].copy_from_slice(packed);
    for (i, value) in values.iter_mut().enumerate() {
        let at = i * width;
        let mut word = [0u8; 2 * ROOM];
        word.copy_from_slice(&bytes[at / 8..at / 8 + 2 * ROOM]);
        *value = (u128::from_le_bytes(word) >> (at % 8)) as u64 & low_bits(width);
    }
}

fn low_bits(width: usize) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}
