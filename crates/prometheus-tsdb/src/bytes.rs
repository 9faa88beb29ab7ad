//! Fields out of bytes and into them, as Go's `encoding/binary` has them: big-endian words, varints of seven
//! bits a byte, signed ones in zigzag. Reading checks every step; none can panic.

/// Why bytes cannot be read.
pub(crate) type Wrong = &'static str;

/// What is said where the bytes end before the field does.
pub(crate) const SHORT: Wrong = "it is cut short";

/// A varint has at most so many bytes.
const VARINT_MAX: usize = 10;

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// The bytes from `at` on.
    pub fn at(bytes: &'a [u8], at: usize) -> Result<Bytes<'a>, Wrong> {
        bytes.get(at..).map(Bytes).ok_or(SHORT)
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Wrong> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, Wrong> {
        Ok(self.take(1)?[0])
    }

    pub fn be16(&mut self) -> Result<u16, Wrong> {
        let (word, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*word))
    }

    pub fn be32(&mut self) -> Result<u32, Wrong> {
        let (word, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*word))
    }

    pub fn be64(&mut self) -> Result<u64, Wrong> {
        let (word, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*word))
    }

    pub fn float(&mut self) -> Result<f64, Wrong> {
        self.be64().map(f64::from_bits)
    }

    pub fn uvarint(&mut self) -> Result<u64, Wrong> {
        let mut value = 0u64;
        for i in 0..VARINT_MAX {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number is longer than any")
    }

    pub fn varint(&mut self) -> Result<i64, Wrong> {
        Ok(unzigzag(self.uvarint()?))
    }

    /// A number of things, each of which takes at least a byte of what is left.
    pub fn count(&mut self) -> Result<usize, Wrong> {
        let count = self.uvarint()?;
        usize::try_from(count)
            .ok()
            .filter(|&c| c <= self.0.len())
            .ok_or("a count is beyond the end")
    }

    pub fn text(&mut self) -> Result<&'a str, Wrong> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| "a text is not UTF-8")
    }
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

pub(crate) fn put_uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_varint(value: i64, out: &mut Vec<u8>) {
    put_uvarint((value << 1 ^ value >> 63) as u64, out);
}

pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_uvarint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value in any::<u64>(), shift in 0u32..64, text in "\\PC{0,20}") {
            let value = value >> shift;
            let mut out = Vec::new();
            put_uvarint(value, &mut out);
            put_varint(value as i64, &mut out);
            put_varint((value as i64).wrapping_neg(), &mut out);
            put_text(&text, &mut out);
            let mut bytes = Bytes(&out);
            prop_assert_eq!(bytes.uvarint(), Ok(value));
            prop_assert_eq!(bytes.varint(), Ok(value as i64));
            prop_assert_eq!(bytes.varint(), Ok((value as i64).wrapping_neg()));
            prop_assert_eq!(bytes.text(), Ok(text.as_str()));
            prop_assert!(bytes.0.is_empty() && bytes.byte().is_err());
        }
    }
}
