//! Protobuf's wire format, read in place and written by hand.
//!
//! Written by us, and not derived: remote write is a hot path, and a message that borrows from the
//! body costs no allocation a label. Messages whose fields are given here by number are those of
//! Prometheus (`prompb`), OpenTelemetry (`opentelemetry/proto`) and `io.prometheus.client`; the
//! encoding is that of protobuf.dev, "Encoding". Fields that a reader does not know are skipped,
//! groups, which proto3 has not, are refused.

use std::fmt;

/// What is wrong with a body, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Bytes before the place, from the beginning of the outermost message.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed protobuf at byte {}: {}", self.at, self.what)
    }
}

impl std::error::Error for Malformed {}

/// The fields of a message, in the order in which they come.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    rest: &'a [u8],
    at: usize,
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Its number.
    pub number: u32,
    at: usize,
    value: Raw<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Message<'a> {
    /// The message that these bytes are.
    pub fn new(bytes: &'a [u8]) -> Message<'a> {
        Message { rest: bytes, at: 0 }
    }

    /// The next field; `None` at the end.
    #[inline]
    #[allow(clippy::should_implement_trait)] // a failure ends it, as it does not end an iterator
    pub fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.at;
        let wrong = |what| Malformed { at, what };
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| wrong("a field number beyond 2^29"))?;
        if number == 0 {
            return Err(wrong("a field number of 0"));
        }
        let value = match key & 7 {
            0 => Raw::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?;
                Raw::Fixed64(u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
            }
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let at = self.at;
                let bytes = self.take(length)?;
                return Ok(Some(Field { number, at, value: Raw::Bytes(bytes) }));
            }
            5 => {
                self.take(4)?;
                Raw::Fixed32
            }
            _ => return Err(wrong("a wire type that proto3 does not have")),
        };
        Ok(Some(Field { number, at, value }))
    }

    /// The next of messages that each have their length before them; `None` at the end.
    pub fn next_delimited(&mut self) -> Result<Option<Message<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let length = self.varint()?;
        let at = self.at;
        let rest = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok(Some(Message { rest, at }))
    }

    /// Bytes before what was not read yet, from the beginning of the outermost message.
    pub fn place(&self) -> usize {
        self.at
    }

    /// The bytes of the fields at the front, keys included, as long as they are of this number (below 16) and
    /// of type bytes; goes past them without a look at what they hold.
    #[inline]
    pub fn leading(&mut self, number: u8) -> Result<&'a [u8], Malformed> {
        let (before, key) = (self.rest, number << 3 | 2);
        while let [first, rest @ ..] = self.rest
            && *first == key
        {
            self.rest = rest;
            self.at += 1;
            let length = self.varint()?;
            self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        }
        Ok(&before[..before.len() - self.rest.len()])
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let short = Malformed { at: self.at, what: "the message ends within a field" };
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(short)?;
        self.rest = rest;
        self.at += length;
        Ok(taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        let (value, length) = varint(self.rest).map_err(|what| Malformed { at: self.at, what })?;
        self.rest = &self.rest[length..];
        self.at += length;
        Ok(value)
    }
}

/// A number of at most ten bytes, and how many it took.
#[inline]
fn varint(bytes: &[u8]) -> Result<(u64, usize), &'static str> {
    match bytes {
        [first, ..] if *first < 0x80 => Ok((u64::from(*first), 1)),
        [first, second, ..] if *second < 0x80 => {
            Ok((u64::from(first & 0x7f) | u64::from(*second) << 7, 2))
        }
        _ => long_varint(bytes),
    }
}

fn long_varint(bytes: &[u8]) -> Result<(u64, usize), &'static str> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().enumerate().take(10) {
        if i == 9 && *byte > 1 {
            return Err("a number beyond 64 bits");
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            return Ok((value, i + 1));
        }
    }
    Err(if bytes.len() < 10 {
        "the message ends within a number"
    } else {
        "a number beyond 64 bits"
    })
}

impl<'a> Field<'a> {
    /// Bytes before it, from the beginning of the outermost message.
    pub fn place(&self) -> usize {
        self.at
    }

    fn wrong(&self) -> Malformed {
        Malformed { at: self.at, what: "a field of another type than its number says" }
    }

    /// A field of bytes.
    #[inline]
    pub fn bytes(&self) -> Result<&'a [u8], Malformed> {
        match self.value {
            Raw::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong()),
        }
    }

    /// A field of text.
    pub fn text(&self) -> Result<&'a str, Malformed> {
        let what = "text that is not UTF-8";
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed { at: self.at, what })
    }

    /// A message within the message.
    #[inline]
    pub fn message(&self) -> Result<Message<'a>, Malformed> {
        Ok(Message { rest: self.bytes()?, at: self.at })
    }

    /// A field of type `uint64`, `uint32`, `bool` or an enumeration.
    #[inline]
    pub fn unsigned(&self) -> Result<u64, Malformed> {
        match self.value {
            Raw::Varint(value) => Ok(value),
            _ => Err(self.wrong()),
        }
    }

    /// A field of type `int64` or `int32`.
    #[inline]
    pub fn integer(&self) -> Result<i64, Malformed> {
        Ok(self.unsigned()? as i64)
    }

    /// A field of type `sint64` or `sint32`.
    pub fn zigzag(&self) -> Result<i64, Malformed> {
        Ok(unzigzag(self.unsigned()?))
    }

    /// A field of type `double`.
    #[inline]
    pub fn double(&self) -> Result<f64, Malformed> {
        Ok(f64::from_bits(self.fixed64()?))
    }

    /// A field of type `fixed64` or `sfixed64`.
    #[inline]
    pub fn fixed64(&self) -> Result<u64, Malformed> {
        match self.value {
            Raw::Fixed64(bits) => Ok(bits),
            _ => Err(self.wrong()),
        }
    }

    /// The numbers of a repeated field of varints, packed or one by one.
    pub fn each_unsigned(&self, mut each: impl FnMut(u64)) -> Result<(), Malformed> {
        match self.value {
            Raw::Varint(value) => each(value),
            Raw::Bytes(bytes) => {
                let mut packed = Message { rest: bytes, at: self.at };
                while !packed.rest.is_empty() {
                    each(packed.varint()?);
                }
            }
            _ => return Err(self.wrong()),
        }
        Ok(())
    }

    /// The numbers of a repeated field of type `sint64` or `sint32`.
    pub fn each_zigzag(&self, mut each: impl FnMut(i64)) -> Result<(), Malformed> {
        self.each_unsigned(|value| each(unzigzag(value)))
    }

    /// The numbers of a repeated field of type `fixed64`.
    pub fn each_fixed64(&self, mut each: impl FnMut(u64)) -> Result<(), Malformed> {
        match self.value {
            Raw::Fixed64(value) => each(value),
            Raw::Bytes(bytes) => {
                let (whole, rest) = bytes.as_chunks::<8>();
                whole.iter().for_each(|bits| each(u64::from_le_bytes(*bits)));
                if !rest.is_empty() {
                    let what = "packed numbers of 8 bytes that are no multiple of 8";
                    return Err(Malformed { at: self.at, what });
                }
            }
            _ => return Err(self.wrong()),
        }
        Ok(())
    }

    /// The numbers of a repeated field of type `double`.
    pub fn each_double(&self, mut each: impl FnMut(f64)) -> Result<(), Malformed> {
        self.each_fixed64(|bits| each(f64::from_bits(bits)))
    }
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends a number.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field of bytes, also where there are none.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number << 3 | 2));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a field of text, unless it is empty.
pub fn put_text(out: &mut Vec<u8>, number: u32, text: &str) {
    if !text.is_empty() {
        put_bytes(out, number, text.as_bytes());
    }
}

/// Appends a field of type `int64`, `uint64` or an enumeration, unless it is 0.
pub fn put_integer(out: &mut Vec<u8>, number: u32, value: i64) {
    if value != 0 {
        put_varint(out, u64::from(number << 3));
        put_varint(out, value as u64);
    }
}

/// Appends a field of type `sint64` or `sint32`, unless it is 0.
pub fn put_zigzag(out: &mut Vec<u8>, number: u32, value: i64) {
    put_integer(out, number, (value << 1) ^ (value >> 63));
}

/// Appends a field of type `double`, unless all its bits are 0.
pub fn put_double(out: &mut Vec<u8>, number: u32, value: f64) {
    if value.to_bits() != 0 {
        put_varint(out, u64::from(number << 3 | 1));
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

/// Appends a repeated field of type `double`, packed, unless there is none.
pub fn put_doubles(out: &mut Vec<u8>, number: u32, values: &[f64]) {
    if !values.is_empty() {
        put_varint(out, u64::from(number << 3 | 2));
        put_varint(out, 8 * values.len() as u64);
        values.iter().for_each(|v| out.extend_from_slice(&v.to_bits().to_le_bytes()));
    }
}

/// Appends a message, also an empty one, whose fields `write` appends.
pub fn put_message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, u64::from(number << 3 | 2));
    let start = out.len();
    write(out);
    // The length goes before the content: it is appended and turned round.
    let end = out.len();
    put_varint(out, (end - start) as u64);
    let length = out.len() - end;
    out[start..].rotate_right(length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Result<usize, Malformed> {
        let mut message = Message::new(bytes);
        let mut count = 0;
        while let Some(field) = message.next()? {
            let _ = (field.text(), field.unsigned(), field.double());
            let _ = field.each_unsigned(|_| count += 1);
            let _ = field.each_double(|_| count += 1);
            if let Ok(inner) = field.bytes().map(<[u8]>::to_vec)
                && let Ok(inner) = all(&inner)
            {
                count += inner;
            }
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let read = |bytes: &[u8]| all(bytes).map_err(|e| e.to_string());
        let place = |at, what: &str| Err(format!("malformed protobuf at byte {at}: {what}"));
        assert_eq!(read(&[0x08]), place(1, "the message ends within a number"));
        assert_eq!(read(&[0x08, 0x80]), place(1, "the message ends within a number"));
        assert_eq!(read(&[0x08, 1, 0x12, 5, 1]), place(4, "the message ends within a field"));
        assert_eq!(read(&[0x00, 1]), place(0, "a field number of 0"));
        assert_eq!(read(&[0x0b]), place(0, "a wire type that proto3 does not have"));
        let long = [&[0x08][..], &[0xff; 10]].concat();
        assert_eq!(read(&long), place(1, "a number beyond 64 bits"));
        let huge = [&[0x0a][..], &[0xff; 9], &[1]].concat();
        assert_eq!(read(&huge), place(11, "the message ends within a field"));
    }

    proptest! {
        #[test]
        fn leading_fields_are_those_that_come_first(
            fields in prop::collection::vec((1u32..4, prop::collection::vec(0u8..20, 0..200)), 0..6),
            cut in 0usize..20,
        ) {
            let mut bytes = Vec::new();
            fields.iter().for_each(|(number, value)| put_bytes(&mut bytes, *number, value));
            bytes.truncate(bytes.len().saturating_sub(cut));
            let (mut message, mut naive) = (Message::new(&bytes), Message::new(&bytes));
            let expected = loop {
                let before = naive;
                match naive.next() {
                    Ok(Some(field)) if field.number == 1 => {}
                    // A field of another number is not looked at.
                    Err(wrong) if before.rest.first() == Some(&0x0a) => break Err(wrong),
                    _ => break Ok(bytes.len() - before.rest.len()),
                }
            };
            let found = message.leading(1);
            prop_assert_eq!(found.map(<[u8]>::len), expected);
            if let Ok(length) = expected {
                prop_assert_eq!((message.rest, message.at), (&bytes[length..], length));
            }
        }

        #[test]
        fn what_is_written_is_read(
            whole: i64,
            float: f64,
            text in ".{0,300}",
            floats in prop::collection::vec(any::<f64>(), 0..40),
        ) {
            let mut out = Vec::new();
            put_message(&mut out, 3, |out| {
                put_integer(out, 1, whole);
                put_zigzag(out, 2, whole);
                put_double(out, 3, float);
                put_text(out, 4, &text);
                put_doubles(out, 5, &floats);
            });
            let mut outer = Message::new(&out);
            let field = outer.next().unwrap().unwrap();
            prop_assert_eq!(field.number, 3);
            prop_assert!(outer.next().unwrap().is_none());
            let mut inner = field.message().unwrap();
            let (mut seen, mut list) = ((0, 0, 0.0, ""), Vec::new());
            while let Some(field) = inner.next().unwrap() {
                match field.number {
                    1 => seen.0 = field.integer().unwrap(),
                    2 => seen.1 = field.zigzag().unwrap(),
                    3 => seen.2 = field.double().unwrap(),
                    4 => seen.3 = field.text().unwrap(),
                    _ => field.each_double(|v| list.push(v)).unwrap(),
                }
            }
            prop_assert_eq!((seen.0, seen.1, seen.3), (whole, whole, text.as_str()));
            prop_assert_eq!(seen.2.to_bits(), float.to_bits());
            let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&list), bits(&floats));
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(e) = all(&bytes) {
                prop_assert!(e.at <= bytes.len());
            }
        }
    }
}
