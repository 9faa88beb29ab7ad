//! Bits in the order in which Prometheus's chunks have them, highest first; and the numbers of variable
//! width that its encodings share (`tsdb/docs/format/chunks.md`, `varbit_int`, `varbit_xor`).

use crate::bytes::{SHORT, Wrong, put_uvarint, put_varint, unzigzag};

/// Reads bits.
#[derive(Clone, Debug)]
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    /// Bits taken from `bytes`, the lowest `valid` of it not read yet.
    buffer: u64,
    valid: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, buffer: 0, valid: 0 }
    }

    /// The next `count` bits, at most 64, as a number.
    pub fn take(&mut self, count: u32) -> Result<u64, Wrong> {
        if count == 0 {
            return Ok(0);
        }
        if count > 32 {
            let high = self.take(count - 32)?;
            return Ok(high << 32 | self.take(32)?);
        }
        if self.valid < count {
            self.refill();
            if self.valid < count {
                return Err(SHORT);
            }
        }
        self.valid -= count;
        Ok(self.buffer >> self.valid & ((1 << count) - 1))
    }

    pub fn bit(&mut self) -> Result<bool, Wrong> {
        Ok(self.take(1)? == 1)
    }

    fn refill(&mut self) {
        while self.valid <= 56
            && let Some((byte, rest)) = self.bytes.split_first()
        {
            self.buffer = self.buffer << 8 | u64::from(*byte);
            self.valid += 8;
            self.bytes = rest;
        }
    }

    pub fn float(&mut self) -> Result<f64, Wrong> {
        self.take(64).map(f64::from_bits)
    }

    pub fn uvarint(&mut self) -> Result<u64, Wrong> {
        let mut value = 0u64;
        for i in 0..10 {
            let byte = self.take(8)?;
            value |= (byte & 0x7f).checked_shl(7 * i).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number is longer than any")
    }

    pub fn varint(&mut self) -> Result<i64, Wrong> {
        self.uvarint().map(unzigzag)
    }

    /// The width that a prefix of ones stands for.
    fn width(&mut self) -> Result<u32, Wrong> {
        let mut ones = 0;
        while ones < 8 && self.bit()? {
            ones += 1;
        }
        Ok(WIDTHS[ones])
    }

    pub fn varbit(&mut self) -> Result<i64, Wrong> {
        let width = self.width()?;
        let bits = self.take(width)?;
        Ok(signed(bits, width))
    }

    pub fn varbit_unsigned(&mut self) -> Result<u64, Wrong> {
        let width = self.width()?;
        self.take(width)
    }
}

/// Bits that follow a prefix of so many ones.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// A number of `width` bits whose upper half, but for its first value, is negative: -3 to 4 in three bits.
pub(crate) fn signed(bits: u64, width: u32) -> i64 {
    match width {
        1..=63 if bits > 1 << (width - 1) => bits.wrapping_sub(1 << width) as i64,
        _ => bits as i64,
    }
}

/// A value that is told by what differs from the one before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Xor {
    pub bits: u64,
    leading: u32,
    trailing: u32,
    /// For writing: whether there is a window yet.
    known: bool,
}

impl Xor {
    pub fn of(value: f64) -> Xor {
        Xor { bits: value.to_bits(), ..Xor::default() }
    }

    pub fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// The next value, with the bit that says whether it changed.
    pub fn next(&mut self, bits: &mut Bits<'_>) -> Result<(), Wrong> {
        if bits.bit()? { self.changed(bits) } else { Ok(()) }
    }

    /// The next value, which changed.
    pub fn changed(&mut self, bits: &mut Bits<'_>) -> Result<(), Wrong> {
        if bits.bit()? { self.window(bits) } else { self.reuse(bits) }
    }

    /// The next value, in the window of the one before.
    pub fn reuse(&mut self, bits: &mut Bits<'_>) -> Result<(), Wrong> {
        let width = 64 - self.leading - self.trailing;
        self.bits ^= bits.take(width)? << self.trailing;
        Ok(())
    }

    /// The next value, in a window of its own.
    pub fn window(&mut self, bits: &mut Bits<'_>) -> Result<(), Wrong> {
        let leading = bits.take(5)? as u32;
        let width = match bits.take(6)? as u32 {
            0 => 64,
            width => width,
        };
        let trailing = 64u32.checked_sub(leading + width).ok_or("a value has more than 64 bits")?;
        (self.leading, self.trailing) = (leading, trailing);
        self.bits ^= bits.take(width)? << trailing;
        Ok(())
    }

    pub fn write(&mut self, value: f64, out: &mut BitWriter) {
        let delta = value.to_bits() ^ self.bits;
        self.bits = value.to_bits();
        if delta == 0 {
            return out.put(0, 1);
        }
        let (leading, trailing) = (delta.leading_zeros().min(31), delta.trailing_zeros());
        if self.known && leading >= self.leading && trailing >= self.trailing {
            out.put(0b10, 2);
            return out.put(delta >> self.trailing, 64 - self.leading - self.trailing);
        }
        (self.leading, self.trailing, self.known) = (leading, trailing, true);
        let width = 64 - leading - trailing;
        out.put(0b11, 2);
        out.put(u64::from(leading), 5);
        // 64 does not fit, and 0 is never needed.
        out.put(u64::from(width) & 63, 6);
        out.put(delta >> trailing, width);
    }
}

/// Writes bits.
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    pub bytes: Vec<u8>,
    /// Bits of the last byte that are not used.
    free: u32,
}

impl BitWriter {
    /// A writer that goes on behind whole bytes.
    pub fn after(bytes: Vec<u8>) -> BitWriter {
        BitWriter { bytes, free: 0 }
    }

    /// Appends the lowest `count` bits of `value`.
    pub fn put(&mut self, value: u64, mut count: u32) {
        while count > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let now = count.min(self.free);
            let part = value >> (count - now) & ((1 << now) - 1);
            self.free -= now;
            if let Some(last) = self.bytes.last_mut() {
                *last |= (part as u8) << self.free;
            }
            count -= now;
        }
    }

    pub fn put_float(&mut self, value: f64) {
        self.put(value.to_bits(), 64);
    }

    pub fn put_uvarint(&mut self, value: u64) {
        let mut bytes = Vec::with_capacity(10);
        put_uvarint(value, &mut bytes);
        bytes.into_iter().for_each(|b| self.put(u64::from(b), 8));
    }

    pub fn put_varint(&mut self, value: i64) {
        let mut bytes = Vec::with_capacity(10);
        put_varint(value, &mut bytes);
        bytes.into_iter().for_each(|b| self.put(u64::from(b), 8));
    }

    pub fn put_varbit(&mut self, value: i64) {
        self.put_prefixed(value as u64, |width| fits(value, width));
    }

    pub fn put_varbit_unsigned(&mut self, value: u64) {
        self.put_prefixed(value, |width| value.leading_zeros() >= 64 - width);
    }

    fn put_prefixed(&mut self, bits: u64, fits: impl Fn(u32) -> bool) {
        let ones =
            (0..8).find(|i| WIDTHS[*i] == 0 && bits == 0 || WIDTHS[*i] > 0 && fits(WIDTHS[*i]));
        match ones {
            Some(ones) => {
                self.put((1 << (ones + 1)) - 2, ones as u32 + 1);
                self.put(bits, WIDTHS[ones]);
            }
            None => {
                self.put(0xff, 8);
                self.put(bits, 64);
            }
        }
    }
}

/// Whether [`signed`] gives the number back from its lowest bits.
pub(crate) fn fits(value: i64, width: u32) -> bool {
    let half = 1i64 << (width - 1);
    (1 - half..=half).contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec((any::<i64>(), 0u32..64), 0..40), floats in prop::collection::vec(any::<u64>(), 1..30)) {
            let mut out = BitWriter::default();
            let values: Vec<i64> = values.iter().map(|(v, s)| v >> s).collect();
            let floats: Vec<f64> = floats.iter().enumerate().map(|(i, f)| match i % 3 {
                0 => 1.5,
                1 => (f % 1000) as f64 / 8.0,
                _ => f64::from_bits(*f),
            }).collect();
            for v in &values {
                out.put_varbit(*v);
                out.put_varbit_unsigned(*v as u64);
                out.put_varint(*v);
                out.put(*v as u64, 11);
            }
            let mut xor = Xor::of(7.0);
            floats.iter().for_each(|f| xor.write(*f, &mut out));
            let mut bits = Bits::new(&out.bytes);
            for v in &values {
                prop_assert_eq!(bits.varbit(), Ok(*v));
                prop_assert_eq!(bits.varbit_unsigned(), Ok(*v as u64));
                prop_assert_eq!(bits.varint(), Ok(*v));
                prop_assert_eq!(bits.take(11), Ok(*v as u64 & 0x7ff));
            }
            let mut xor = Xor::of(7.0);
            for f in &floats {
                xor.next(&mut bits).expect("reads");
                prop_assert_eq!(xor.bits, f.to_bits());
            }
            prop_assert!(bits.take(8).is_err());
        }
    }

    #[test]
    fn three_bits_hold_minus_three_to_four() {
        let all: Vec<i64> = (0..8).map(|b| signed(b, 3)).collect();
        assert_eq!(all, [0, 1, 2, 3, 4, -3, -2, -1]);
        for v in -9..9 {
            assert_eq!(fits(v, 3), (-3..=4).contains(&v), "{v}");
        }
    }
}
