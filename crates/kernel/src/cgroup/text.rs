//! The shapes that most of these files have: one number, or a key and a number a line.

use crate::Unexpected;
pub(super) use crate::parse::{fields as words, number, trim};

/// What a number file holds where there is no limit.
const MAX: &[u8] = b"max";

/// A file of one whole number, or `max`.
pub(super) fn single(bytes: &[u8]) -> Result<u64, Unexpected> {
    match trim(bytes) {
        MAX => Ok(super::UNLIMITED),
        value => number(value).ok_or_else(|| Unexpected::new(1, value, "a whole number or max")),
    }
}

/// The lines, counted from 1, without empty ones.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    bytes.split(|&b| b == b'\n').enumerate().map(|(i, l)| (i + 1, l)).filter(|(_, l)| !l.is_empty())
}

/// Calls `take` with each key and number of a file of `key number` lines. A line of another shape that
/// a kernel may add is passed over; a key that is followed by something else than a number is an
/// error only where `take` wants that key, which it says by returning true.
pub(super) fn pairs(
    bytes: &[u8],
    mut take: impl FnMut(&[u8], u64) -> bool,
) -> Result<(), Unexpected> {
    for (i, line) in lines(bytes) {
        let Some(space) = line.iter().position(|&b| b == b' ') else { continue };
        let (key, value) = (&line[..space], trim(&line[space + 1..]));
        match number(value) {
            Some(n) => {
                take(key, n);
            }
            None => {
                if take(key, 0) {
                    return Err(Unexpected::new(i, line, "a key and a whole number"));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pairs_as_a_naive_reader(pairs_ in prop::collection::vec(("[a-z_]{1,6}", any::<u64>()), 0..20)) {
            let text: String = pairs_.iter().map(|(k, v)| format!("{k} {v}\n")).collect();
            let mut seen = Vec::new();
            pairs(text.as_bytes(), |k, v| { seen.push((String::from_utf8_lossy(k).into_owned(), v)); true }).unwrap();
            prop_assert_eq!(seen, pairs_);
        }

        #[test]
        fn any_bytes_return(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            super::super::fuzz::parse(&bytes);
        }
    }

    #[test]
    fn a_wanted_key_with_a_wrong_value_names_its_line() {
        let e = pairs(b"a 1\nb -\n", |k, _| k == b"b").unwrap_err();
        assert_eq!(e.to_string(), "line 2: \"b -\" is not a key and a whole number");
        assert!(pairs(b"a 1\nb -\n", |k, _| k == b"a").is_ok());
        assert_eq!(single(b"max\n"), Ok(u64::MAX));
        assert!(single(b"18446744073709551616\n").is_err());
    }
}
