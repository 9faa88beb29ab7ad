//! How columns of numbers become bytes: exact to the last bit, small for what Kubernetes measures.
//!
//! A column of floats is written in the first form that fits best:
//! - one value throughout, or runs of equal values;
//! - integers times a power of ten (a counter of CPU seconds is a whole number of nanoseconds), their
//!   common divisor taken out (memory comes in pages), as differences of order 0, 1 or 2, packed to
//!   the bits that groups of 64 need, with the few that need more set apart;
//! - the bits of each value xor those of the one before, packed likewise.
//!
//! Values that fit no decimal (NaN with its payload, -0, infinities) are set apart with their bits.
//! Never fails to encode; decoding foreign bytes gives an error, never a panic and never more values
//! than were asked for. `docs/formats/block.md` has the layout.

mod packed;

use packed::{GROUP, decode_group, encode_group, width_of};

/// Why bytes are not a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end before the column does.
    #[error("column ends early")]
    Short,
    /// A field holds a value that no column has.
    #[error("column has an impossible {0}")]
    Invalid(&'static str),
}

const CONSTANT: u8 = 0;
const CONSTANT_INTEGER: u8 = 1;
const RUNS: u8 = 2;
const DECIMAL: u8 = 3;
const XOR: u8 = 4;

/// Largest power of ten tried: nanoseconds of a second.
const EXPONENT_MAX: usize = 9;

const POWERS: [f64; EXPONENT_MAX + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Whole numbers up to here are exact as floats.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends the column `values` to `out`.
pub fn encode_floats(values: &[f64], out: &mut Vec<u8>) {
    let Some((first, rest)) = values.split_first() else { return };
    let runs = 1 + values.windows(2).filter(|w| w[0].to_bits() != w[1].to_bits()).count();
    if runs == 1 {
        return encode_constant(*first, out);
    }
    // A run costs its value and its length; from about eight values a run it is the smaller form.
    if runs * 8 <= values.len() {
        return encode_runs(*first, rest, runs, out);
    }
    encode_varied(values, out);
}

/// Appends exactly `count` floats, which [`encode_floats`] wrote, to `out`, and gives the bytes behind them.
pub fn decode_floats<'a>(
    bytes: &'a [u8],
    count: usize,
    out: &mut Vec<f64>,
) -> Result<&'a [u8], CodecError> {
    if count == 0 {
        return Ok(bytes);
    }
    let (&form, rest) = bytes.split_first().ok_or(CodecError::Short)?;
    match form {
        CONSTANT => {
            let (bits, rest) = take_u64(rest)?;
            out.extend(std::iter::repeat_n(f64::from_bits(bits), count));
            Ok(rest)
        }
        CONSTANT_INTEGER => {
            let (value, rest) = take_varint(rest)?;
            out.extend(std::iter::repeat_n(unzigzag(value) as f64, count));
            Ok(rest)
        }
        RUNS => decode_runs(rest, count, out),
        DECIMAL => decode_decimal(rest, count, out),
        XOR => decode_xor(rest, count, out),
        _ => Err(CodecError::Invalid("form")),
    }
}

/// Appends the column `values` to `out`: timestamps, offsets and the like.
pub fn encode_ints(values: &[i64], out: &mut Vec<u8>) {
    let Some(&first) = values.first() else { return };
    let divisor = common_divisor(values);
    put_varint(zigzag(first), out);
    put_varint(divisor, out);
    let scaled: Vec<i64> =
        values.iter().map(|&v| quotient(v.wrapping_sub(first), divisor)).collect();
    encode_differences(scaled, out);
}

/// Appends exactly `count` integers, which [`encode_ints`] wrote, to `out`, and gives the bytes behind them.
pub fn decode_ints<'a>(
    bytes: &'a [u8],
    count: usize,
    out: &mut Vec<i64>,
) -> Result<&'a [u8], CodecError> {
    if count == 0 {
        return Ok(bytes);
    }
    let (first, rest) = take_varint(bytes)?;
    let (divisor, rest) = take_varint(rest)?;
    let scale = (unzigzag(first), divisor as i64);
    decode_differences(rest, count, scale, |integers| out.extend_from_slice(integers))
}

fn encode_constant(value: f64, out: &mut Vec<u8>) {
    if let Some(integer) = as_decimal(value, 1.0).filter(|i| i.abs() < 1 << 48) {
        out.push(CONSTANT_INTEGER);
        put_varint(zigzag(integer), out);
    } else {
        out.push(CONSTANT);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

fn encode_runs(first: f64, rest: &[f64], runs: usize, out: &mut Vec<u8>) {
    let (mut lengths, mut values) = (Vec::with_capacity(runs), Vec::with_capacity(runs));
    let (mut current, mut length) = (first, 1);
    for &value in rest {
        if value.to_bits() == current.to_bits() {
            length += 1;
        } else {
            lengths.push(length);
            values.push(current);
            (current, length) = (value, 1);
        }
    }
    lengths.push(length);
    values.push(current);
    if disk::canary::is(disk::canary::Canary::DropRun) {
        values.swap_remove(runs / 2);
        values.push(current);
    }
    out.push(RUNS);
    put_varint(runs as u64, out);
    encode_ints(&lengths, out);
    encode_varied(&values, out);
}

fn decode_runs<'a>(
    bytes: &'a [u8],
    count: usize,
    out: &mut Vec<f64>,
) -> Result<&'a [u8], CodecError> {
    let (runs, rest) = take_varint(bytes)?;
    let runs = usize::try_from(runs).ok().filter(|r| (1..=count).contains(r));
    let runs = runs.ok_or(CodecError::Invalid("number of runs"))?;
    let mut lengths = Vec::with_capacity(runs);
    let rest = decode_ints(rest, runs, &mut lengths)?;
    if rest.first() == Some(&RUNS) {
        return Err(CodecError::Invalid("run of runs"));
    }
    let mut values = Vec::with_capacity(runs);
    let rest = decode_floats(rest, runs, &mut values)?;
    let mut left = count;
    for (&value, &length) in values.iter().zip(&lengths) {
        let length = usize::try_from(length).ok().filter(|&l| l <= left);
        let length = length.ok_or(CodecError::Invalid("length of a run"))?;
        out.extend(std::iter::repeat_n(value, length));
        left -= length;
    }
    if left == 0 { Ok(rest) } else { Err(CodecError::Invalid("length of all runs")) }
}

/// Values of which neighbours mostly differ: decimal where it fits, else xor.
fn encode_varied(values: &[f64], out: &mut Vec<u8>) {
    let exponent = decimal_exponent(values);
    let mut exceptions: Vec<(usize, u64)> = Vec::new();
    if let Some(exponent) = exponent {
        let mut integers = Vec::with_capacity(values.len());
        let mut last = values.iter().find_map(|&v| as_decimal(v, POWERS[exponent])).unwrap_or(0);
        for (i, &value) in values.iter().enumerate() {
            if let Some(integer) = as_decimal(value, POWERS[exponent]) {
                last = integer;
            } else {
                exceptions.push((i, value.to_bits()));
            }
            integers.push(last);
        }
        // Nine bytes an exception against eight a value: beyond a tenth the form does not pay.
        if exceptions.len() * 10 <= values.len() {
            out.push(DECIMAL);
            out.push(exponent as u8);
            put_varint(exceptions.len() as u64, out);
            let mut at = 0;
            for (i, bits) in exceptions {
                put_varint((i - at) as u64, out);
                out.extend_from_slice(&bits.to_le_bytes());
                at = i;
            }
            return encode_ints(&integers, out);
        }
    }
    out.push(XOR);
    let mut before = 0;
    let mut bits = [0u64; GROUP];
    for group in values.chunks(GROUP) {
        for (slot, value) in bits.iter_mut().zip(group) {
            *slot = value.to_bits() ^ before;
            before = value.to_bits();
        }
        encode_group(&bits[..group.len()], out);
    }
}

fn decode_decimal<'a>(
    bytes: &'a [u8],
    count: usize,
    out: &mut Vec<f64>,
) -> Result<&'a [u8], CodecError> {
    let (&exponent, rest) = bytes.split_first().ok_or(CodecError::Short)?;
    let power = *POWERS.get(exponent as usize).ok_or(CodecError::Invalid("exponent"))?;
    let (exceptions, mut rest) = take_varint(rest)?;
    if exceptions > count as u64 {
        return Err(CodecError::Invalid("number of exceptions"));
    }
    let marked = rest;
    for _ in 0..exceptions {
        let (_, after) = take_varint(rest)?;
        (_, rest) = take_u64(after)?;
    }
    let begin = out.len();
    let (first, rest) = take_varint(rest)?;
    let (divisor, rest) = take_varint(rest)?;
    let scale = (unzigzag(first), divisor as i64);
    let rest = if exponent == 0 {
        decode_differences(rest, count, scale, |i| out.extend(i.iter().map(|&i| i as f64)))?
    } else {
        let divided = |i: &i64| *i as f64 / power;
        decode_differences(rest, count, scale, |i| out.extend(i.iter().map(divided)))?
    };
    let (mut at, mut marked) = (0u64, marked);
    for _ in 0..exceptions {
        let (gap, after) = take_varint(marked)?;
        let (bits, after) = take_u64(after)?;
        at = at.saturating_add(gap);
        let slot = usize::try_from(at).ok().and_then(|at| out[begin..].get_mut(at));
        *slot.ok_or(CodecError::Invalid("place of an exception"))? = f64::from_bits(bits);
        marked = after;
    }
    Ok(rest)
}

fn decode_xor<'a>(
    mut bytes: &'a [u8],
    count: usize,
    out: &mut Vec<f64>,
) -> Result<&'a [u8], CodecError> {
    let mut before = 0;
    let mut group = [0u64; GROUP];
    let mut left = count;
    while left > 0 {
        let length = left.min(GROUP);
        bytes = decode_group(bytes, length, &mut group)?;
        out.extend(group[..length].iter().map(|bits| {
            before ^= bits;
            f64::from_bits(before)
        }));
        left -= length;
    }
    Ok(bytes)
}

/// The integer that `value` is at this power of ten, where dividing gives back the very same bits.
fn as_decimal(value: f64, power: f64) -> Option<i64> {
    let scaled = (value * power).round();
    if scaled.abs() >= EXACT_MAX || scaled.is_nan() {
        return None;
    }
    let integer = scaled as i64;
    ((integer as f64 / power).to_bits() == value.to_bits()).then_some(integer)
}

/// The smallest power of ten at which all but a tenth of the values are integers.
fn decimal_exponent(values: &[f64]) -> Option<usize> {
    // How many values need each power. A spread of at most 64 values tells enough to give up early.
    let stride = values.len().div_ceil(64);
    let mut needed = [0usize; EXPONENT_MAX + 1];
    let mut seen = 0;
    for &value in values.iter().step_by(stride) {
        seen += 1;
        if let Some(e) = (0..=EXPONENT_MAX).find(|&e| as_decimal(value, POWERS[e]).is_some()) {
            needed[e] += 1;
        }
    }
    let fitting: usize = needed.iter().sum();
    if (seen - fitting) * 10 > seen {
        return None;
    }
    // Few values end in a zero digit, so the largest power needed is the one that most need.
    needed.iter().rposition(|&n| n > 0)
}

/// Integers as differences of the order (0, 1 or 2) that packs smallest.
fn encode_differences(mut values: Vec<i64>, out: &mut Vec<u8>) {
    let cost = |values: &[i64]| -> usize {
        values.chunks(GROUP).map(|g| width_of(spread(g)) as usize * g.len() / 8 + 2).sum()
    };
    let difference = |values: &mut [i64]| {
        for i in (1..values.len()).rev() {
            values[i] = values[i].wrapping_sub(values[i - 1]);
        }
    };
    let mut order = 0u8;
    let mut smallest = cost(&values);
    let mut candidate = values.clone();
    for tried in 1..=2 {
        difference(&mut candidate[tried - 1..]);
        let size = cost(&candidate);
        // A higher order must save something that is worth its decoding.
        if size + size / 16 < smallest {
            smallest = size;
            order = tried as u8;
            values.clone_from(&candidate);
        }
    }
    out.push(order);
    let mut group = [0u64; GROUP];
    for chunk in values.chunks(GROUP) {
        let base = chunk.iter().copied().min().unwrap_or(0);
        put_varint(zigzag(base), out);
        for (slot, value) in group.iter_mut().zip(chunk) {
            *slot = value.wrapping_sub(base) as u64;
        }
        encode_group(&group[..chunk.len()], out);
    }
}

/// Gives `count` integers, at most [`GROUP`] at a time: the differences undone, times the second of `scale`
/// plus the first.
fn decode_differences(
    bytes: &[u8],
    count: usize,
    scale: (i64, i64),
    give: impl FnMut(&[i64]),
) -> Result<&[u8], CodecError> {
    let (&order, rest) = bytes.split_first().ok_or(CodecError::Short)?;
    match order {
        0 => undo(rest, count, scale, |_, value| value, give),
        1 => {
            let mut sum = 0i64;
            let add = |_, value| {
                sum = sum.wrapping_add(value);
                sum
            };
            undo(rest, count, scale, add, give)
        }
        2 => {
            let (mut step, mut sum) = (0i64, 0i64);
            let add = |first, value: i64| {
                // The first is the value itself, no step to it.
                step = if first { 0 } else { step.wrapping_add(value) };
                sum = sum.wrapping_add(if first { value } else { step });
                sum
            };
            undo(rest, count, scale, add, give)
        }
        _ => Err(CodecError::Invalid("order of differences")),
    }
}

/// Unpacks group by group, and makes of each number what it stands for: `value` gets whether it is the first.
fn undo(
    mut rest: &[u8],
    count: usize,
    (first, divisor): (i64, i64),
    mut value: impl FnMut(bool, i64) -> i64,
    mut give: impl FnMut(&[i64]),
) -> Result<&[u8], CodecError> {
    let (mut group, mut integers) = ([0u64; GROUP], [0i64; GROUP]);
    let mut left = count;
    while left > 0 {
        let length = left.min(GROUP);
        let (base, after) = take_varint(rest)?;
        let base = unzigzag(base);
        rest = decode_group(after, length, &mut group)?;
        let mut is_first = left == count;
        for (integer, &number) in integers.iter_mut().zip(&group[..length]) {
            let undone = value(is_first, base.wrapping_add(number as i64));
            *integer = undone.wrapping_mul(divisor).wrapping_add(first);
            is_first = false;
        }
        give(&integers[..length]);
        left -= length;
    }
    Ok(rest)
}

fn spread(values: &[i64]) -> u64 {
    let (min, max) = values.iter().fold((i64::MAX, i64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
    max.wrapping_sub(min) as u64
}

/// The largest number that divides the distance of every value to the first; at least 1.
fn common_divisor(values: &[i64]) -> u64 {
    let mut divisor = 0u64;
    for pair in values.windows(2) {
        let (mut a, mut b) = (pair[1].wrapping_sub(pair[0]).unsigned_abs(), divisor);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        divisor = a;
        if divisor == 1 {
            return 1;
        }
    }
    // Distances that wrapped would not come back: leave extreme columns as they are.
    let extreme = values.iter().any(|v| v.unsigned_abs() > 1 << 61);
    if extreme || divisor == 0 { 1 } else { divisor }
}

fn quotient(distance: i64, divisor: u64) -> i64 {
    if divisor == 1 { distance } else { distance / divisor as i64 }
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn take_varint(bytes: &[u8]) -> Result<(u64, &[u8]), CodecError> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Ok((value, &bytes[i + 1..]));
        }
    }
    Err(if bytes.len() < 10 { CodecError::Short } else { CodecError::Invalid("varint") })
}

fn take_u64(bytes: &[u8]) -> Result<(u64, &[u8]), CodecError> {
    let (word, rest) = bytes.split_first_chunk::<8>().ok_or(CodecError::Short)?;
    Ok((u64::from_le_bytes(*word), rest))
}

#[cfg(test)]
mod tests;
