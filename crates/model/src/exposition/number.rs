//! Numbers as Go prints and reads them, which is what every reader of the formats expects.
//!
//! Printing follows `strconv.AppendFloat(f, 'g', -1, 64)`: the fewest digits that read back to the
//! same bits, with an exponent (of two digits at least) where the decimal one is below -4 or above 5.

/// Up to here every whole number is a float of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends a float as text 0.0.4 has it: `1`, `0.5`, `1e+06`, `NaN`, `+Inf`.
pub fn push_float(out: &mut Vec<u8>, value: f64) {
    if value == 0.0 {
        // As client_golang: the sign of a zero is not written.
        out.push(b'0');
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value.abs() < EXACT && value.trunc() == value {
        push_whole(out, value);
    } else {
        push_shortest(out, value);
    }
}

/// Appends a float as OpenMetrics has it: as [`push_float`], but never without a point or an exponent.
pub fn push_open_float(out: &mut Vec<u8>, value: f64) {
    let start = out.len();
    push_float(out, value);
    let plain = |b: &u8| b.is_ascii_digit() || *b == b'-';
    if out[start..].iter().all(plain) {
        out.extend_from_slice(b".0");
    }
}

/// Appends a whole number in plain decimal digits.
pub fn push_integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Reads a float as Go's `strconv.ParseFloat` does in its plain forms: no hexadecimal, no
/// underscores, `Inf` and `NaN` in any case (a NaN takes no sign); too large is an error.
pub fn parse_float(text: &str) -> Option<f64> {
    if let Some(small) = small_whole(text.as_bytes()) {
        return Some(small);
    }
    let value: f64 = text.parse().ok()?;
    if value.is_finite() {
        return Some(value);
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    if value.is_nan() {
        // One NaN for all: the stale marker's bits cannot come in from outside.
        return (unsigned.len() == text.len())
            .then(|| f64::from_bits(crate::value::NORMAL_NAN_BITS));
    }
    unsigned.starts_with(['i', 'I']).then_some(value)
}

/// A number of up to 15 digits and nothing else, the most common by far.
fn small_whole(text: &[u8]) -> Option<f64> {
    if text.is_empty() || text.len() > 15 {
        return None;
    }
    let mut value = 0_u64;
    for b in text {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    Some(value as f64)
}

fn push_whole(out: &mut Vec<u8>, value: f64) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value as i64).as_bytes();
    if value.abs() < 1e6 {
        out.extend_from_slice(text);
        return;
    }
    let digits = if value < 0.0 {
        out.push(b'-');
        &text[1..]
    } else {
        text
    };
    let exponent = digits.len() as i32 - 1;
    let kept = digits.iter().rposition(|b| *b != b'0').map_or(1, |last| last + 1);
    push_scientific(out, &digits[..kept], exponent);
}

/// Prints what `zmij` found to be the shortest digits in Go's layout.
fn push_shortest(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let mut text = buffer.format_finite(value).as_bytes();
    if let [b'-', rest @ ..] = text {
        out.push(b'-');
        text = rest;
    }
    let (mantissa, mut exponent) = match text.iter().position(|b| *b == b'e') {
        Some(at) => (&text[..at], signed(&text[at + 1..])),
        None => (text, 0),
    };
    // All digits without the point, and where the point stood.
    let mut digits = [0_u8; 32];
    let (mut len, mut point) = (0, mantissa.len());
    for (i, b) in mantissa.iter().enumerate() {
        if *b == b'.' {
            point = i;
        } else if len < digits.len() {
            digits[len] = *b;
            len += 1;
        }
    }
    let leading = digits[..len].iter().take_while(|b| **b == b'0').count();
    let trailing = digits[leading..len].iter().rev().take_while(|b| **b == b'0').count();
    let digits = &digits[leading..len - trailing];
    exponent += point as i32 - leading as i32 - 1;
    if !(-4..6).contains(&exponent) {
        push_scientific(out, digits, exponent);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.extend_from_slice(digits);
            out.resize(out.len() + whole - digits.len(), b'0');
        } else {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

fn push_scientific(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    let exponent = exponent.unsigned_abs();
    if exponent < 10 {
        out.push(b'0');
    }
    push_integer(out, i64::from(exponent));
}

fn signed(text: &[u8]) -> i32 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let value = digits.iter().fold(0, |n, b| n * 10 + i32::from(b.wrapping_sub(b'0')));
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printed(value: f64) -> String {
        let mut out = Vec::new();
        push_float(&mut out, value);
        String::from_utf8(out).expect("ascii")
    }

    /// Printed by Go 1.26's strconv.FormatFloat(f, 'g', -1, 64).
    #[test]
    fn prints_as_go_does() {
        let table = [
            (1.0, "1"),
            (-1.0, "-1"),
            (100_000.0, "100000"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (-2.1e6, "-2.1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (1e20, "1e+20"),
            (1e22, "1e+22"),
            (123_456_789_012_345_678.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.000123, "0.000123"),
            (1.5e-5, "1.5e-05"),
            (1_234_567.5, "1.2345675e+06"),
            (12_345_678.25, "1.234567825e+07"),
            (100_000.5, "100000.5"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (-0.25, "-0.25"),
            (0.0, "0"),
            (-0.0, "0"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, expected) in table {
            assert_eq!(printed(value), expected);
        }
    }

    #[test]
    fn open_metrics_always_shows_a_float() {
        for (value, expected) in [(1.0, "1.0"), (0.0, "0.0"), (-7.0, "-7.0"), (1e6, "1e+06")] {
            let mut out = Vec::new();
            push_open_float(&mut out, value);
            assert_eq!(String::from_utf8(out).expect("ascii"), expected);
        }
        for value in [f64::NAN, f64::INFINITY] {
            let mut out = Vec::new();
            push_open_float(&mut out, value);
            assert!(!out.ends_with(b".0"));
        }
    }

    #[test]
    fn reads_what_go_reads() {
        for good in
            ["1", "+1", "-.5", "5.", "1e3", "1E-3", "inf", "+Inf", "-Infinity", "NaN", "nan"]
        {
            assert!(parse_float(good).is_some(), "{good}");
        }
        for bad in ["", "-", ".", "+NaN", "-nan", "1e999", "0x1p3", "1_000", "1 ", "١", "infinit"]
        {
            assert!(parse_float(bad).is_none(), "{bad}");
        }
        assert_eq!(parse_float("1e-999"), Some(0.0));
    }

    proptest! {
        #[test]
        fn any_float_reads_back_to_the_same_bits(bits: u64, whole in -(1_i64 << 60)..1_i64 << 60) {
            for value in [f64::from_bits(bits), whole as f64, whole as f64 / 1000.0] {
                let text = printed(value);
                let back = parse_float(&text).expect("reads back");
                prop_assert!(
                    back.to_bits() == value.to_bits() || value.is_nan() && back.is_nan() || value == 0.0,
                    "{value:?} printed as {text}"
                );
                // The naive printer agrees on how few digits suffice.
                let naive = format!("{:e}", value.abs());
                let count = |s: &str| {
                    let s = s.split(['e', 'E']).next().unwrap_or("").replace(['.', '-'], "");
                    s.trim_matches('0').len()
                };
                if value.is_finite() {
                    prop_assert_eq!(count(&text), count(&naive), "{} {}", text, naive);
                }
            }
        }
    }
}
