//! Numbers and fields out of bytes, without going through `str`.

/// The lines of a text, without their ends.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        Some(line)
    })
}

/// The fields of a line: what stands between blanks (spaces, tabs, line ends).
pub fn fields(line: &[u8]) -> Fields<'_> {
    Fields { rest: line }
}

/// See [`fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// What is left of the line after the fields taken so far.
    pub fn rest(&self) -> &'a [u8] {
        trim(self.rest)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|b| !is_blank(*b))?;
        let rest = &self.rest[start..];
        let end = rest.iter().position(|b| is_blank(*b)).unwrap_or(rest.len());
        self.rest = &rest[end..];
        Some(&rest[..end])
    }
}

#[inline]
fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

/// Without blanks at both ends.
pub fn trim(text: &[u8]) -> &[u8] {
    let Some(start) = text.iter().position(|b| !is_blank(*b)) else { return &[] };
    let end = text.iter().rposition(|b| !is_blank(*b)).unwrap_or(start);
    &text[start..=end]
}

/// A whole number of decimal digits; `None` for anything else and for what does not fit.
#[inline]
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &b in digits {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// A whole number that may have a minus sign.
#[inline]
pub fn signed(text: &[u8]) -> Option<i64> {
    match text.strip_prefix(b"-") {
        Some(digits) => 0i64.checked_sub_unsigned(number(digits)?),
        None => i64::try_from(number(text)?).ok(),
    }
}

/// A number in hexadecimal digits, with or without `0x`.
pub fn hex(digits: &[u8]) -> Option<u64> {
    let digits = digits.strip_prefix(b"0x").unwrap_or(digits);
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits
        .iter()
        .try_fold(0u64, |value, b| Some(value << 4 | u64::from(char::from(*b).to_digit(16)?)))
}

/// A decimal number with a fraction.
pub fn float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_agree_with_the_standard_library(text in "[-+0-9a-fx.]{0,22}") {
            let plain = !text.starts_with('+');
            let bytes = text.as_bytes();
            prop_assert_eq!(number(bytes), text.parse::<u64>().ok().filter(|_| plain));
            let simple = plain && text != "-";
            prop_assert_eq!(signed(bytes), text.parse::<i64>().ok().filter(|_| simple));
            let digits = text.strip_prefix("0x").unwrap_or(&text);
            let naive = (digits.len() <= 16 && !digits.starts_with('+'))
                .then(|| u64::from_str_radix(digits, 16).ok()).flatten();
            prop_assert_eq!(hex(bytes), naive);
        }

        #[test]
        fn fields_and_lines_agree_with_the_standard_library(text in "[ a\t\n]{0,30}") {
            let ours: Vec<&[u8]> = fields(text.as_bytes()).collect();
            let naive: Vec<&[u8]> = text.split_ascii_whitespace().map(str::as_bytes).collect();
            prop_assert_eq!(ours, naive);
            let ours: Vec<&[u8]> = lines(text.as_bytes()).collect();
            let naive: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
            prop_assert_eq!(ours, naive);
            prop_assert_eq!(trim(text.as_bytes()), text.trim().as_bytes());
        }
    }
}
