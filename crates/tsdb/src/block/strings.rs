//! Sorted strings, front-coded: each says how much of the one before it shares. The ordinal of a
//! string is its place; both directions are a jump to one of every 16 that stand whole, and a short walk.

use crate::codec::{CodecError, put_varint};
use crate::cursor::Cursor;
use std::cmp::Ordering;

/// Of so many strings the first stands whole.
const STRIDE: usize = 16;

/// Appends sorted, distinct strings to `out`.
pub(super) fn write<'a>(strings: impl ExactSizeIterator<Item = &'a str>, out: &mut Vec<u8>) {
    let count = strings.len();
    let (mut body, mut whole) = (Vec::new(), Vec::new());
    let mut before = "";
    for (i, string) in strings.enumerate() {
        if i % STRIDE == 0 {
            whole.push(body.len() as u32);
            before = "";
        }
        let shared = before.bytes().zip(string.bytes()).take_while(|(a, b)| a == b).count();
        put_varint(shared as u64, &mut body);
        put_varint((string.len() - shared) as u64, &mut body);
        body.extend_from_slice(&string.as_bytes()[shared..]);
        before = string;
    }
    out.extend_from_slice(&(count as u32).to_le_bytes());
    for at in whole {
        out.extend_from_slice(&at.to_le_bytes());
    }
    out.extend_from_slice(&body);
}

/// A table that [`write`] wrote.
#[derive(Clone, Copy)]
pub(super) struct Strings<'a> {
    count: usize,
    whole: &'a [u8],
    body: &'a [u8],
}

impl<'a> Strings<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Strings<'a>, CodecError> {
        let mut cursor = Cursor(bytes);
        let count = cursor.u32()? as usize;
        let whole = cursor.take(count.div_ceil(STRIDE) * 4)?;
        Ok(Strings { count, whole, body: cursor.0 })
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// The string at `ordinal`, put into `buffer`.
    pub fn get<'b>(&self, ordinal: usize, buffer: &'b mut Vec<u8>) -> Result<&'b str, CodecError> {
        let mut walk = self.walk(ordinal / STRIDE * STRIDE)?;
        walk.current = std::mem::take(buffer);
        walk.current.clear();
        for _ in 0..=ordinal % STRIDE {
            if !walk.step()? {
                return Err(CodecError::Invalid("ordinal of a string"));
            }
        }
        *buffer = walk.current;
        std::str::from_utf8(buffer).map_err(|_| CodecError::Invalid("string"))
    }

    /// The ordinal of `string`, or that of the first string behind it.
    pub fn find(&self, string: &str) -> Result<Result<usize, usize>, CodecError> {
        // The last stride whose first string is not behind `string`.
        let (mut low, mut high) = (0, self.whole.len() / 4);
        while low < high {
            let middle = low.midpoint(high);
            let mut walk = self.walk(middle * STRIDE)?;
            walk.step()?;
            if walk.current.as_slice() <= string.as_bytes() {
                low = middle + 1
            } else {
                high = middle
            }
        }
        let mut walk = self.walk(low.saturating_sub(1) * STRIDE)?;
        while walk.step()? {
            match walk.current.as_slice().cmp(string.as_bytes()) {
                Ordering::Less => {}
                Ordering::Equal => return Ok(Ok(walk.next - 1)),
                Ordering::Greater => return Ok(Err(walk.next - 1)),
            }
        }
        Ok(Err(self.count))
    }

    /// Calls `see` with ordinal and string of each string that begins with `prefix`, in order.
    pub fn each_with_prefix(
        &self,
        prefix: &str,
        mut see: impl FnMut(usize, &str),
    ) -> Result<(), CodecError> {
        let (Ok(first) | Err(first)) = self.find(prefix)?;
        let mut walk = self.walk(first / STRIDE * STRIDE)?;
        while walk.step()? {
            if walk.next > first {
                if !walk.current.starts_with(prefix.as_bytes()) {
                    break;
                }
                let string = std::str::from_utf8(&walk.current);
                see(walk.next - 1, string.map_err(|_| CodecError::Invalid("string"))?);
            }
        }
        Ok(())
    }

    fn walk(&self, from: usize) -> Result<Walk<'a>, CodecError> {
        let body = if from < self.count {
            let at = Cursor::at(self.whole, from / STRIDE * 4)?.u32()?;
            Cursor::at(self.body, at as usize)?
        } else {
            Cursor(&[])
        };
        Ok(Walk { body, next: from, count: self.count, current: Vec::new() })
    }
}

struct Walk<'a> {
    body: Cursor<'a>,
    next: usize,
    count: usize,
    current: Vec<u8>,
}

impl Walk<'_> {
    /// Moves to the next string; false at the end.
    fn step(&mut self) -> Result<bool, CodecError> {
        if self.next >= self.count {
            return Ok(false);
        }
        // A stride begins anew, so its first string shares nothing.
        let shared = self.body.size(self.current.len(), "shared length")?;
        let rest = self.body.size(usize::MAX, "length of a string")?;
        self.current.truncate(shared);
        self.current.extend_from_slice(self.body.take(rest)?);
        self.next += 1;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_like_a_sorted_list(set in prop::collection::btree_set("[ab]{0,3}é?[ab]{0,3}", 0..80), asked in "[ab]{0,4}") {
            let strings: Vec<&str> = set.iter().map(String::as_str).collect();
            let mut bytes = Vec::new();
            write(strings.iter().copied(), &mut bytes);
            let table = Strings::open(&bytes).expect("opens");
            let mut buffer = Vec::new();
            for (i, string) in strings.iter().enumerate() {
                prop_assert_eq!(table.get(i, &mut buffer), Ok(*string));
                prop_assert_eq!(table.find(string), Ok(Ok(i)));
            }
            prop_assert_eq!(table.find(&asked), Ok(strings.binary_search(&asked.as_str())));
            prop_assert!(table.get(strings.len(), &mut buffer).is_err());
            let mut seen = BTreeSet::new();
            table.each_with_prefix(&asked, |i, s| { assert_eq!(strings[i], s); seen.insert(s.to_owned()); }).expect("walks");
            let expected = set.iter().filter(|s| s.starts_with(&asked)).cloned().collect::<BTreeSet<_>>();
            prop_assert_eq!(seen, expected);
        }
    }
}
