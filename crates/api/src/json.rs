//! Writes JSON by hand: query answers are millions of numbers, and Prometheus has rules of its own
//! for how a number looks in JSON.
//!
//! Numbers follow `util/jsonutil/marshal.go` of Prometheus: values are strings, formatted without
//! an exponent between 1e-6 and 1e21, times are seconds with at most three decimals.

use model::{Histogram, Labels};

/// Appends a JSON string.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain = 0;
    let bytes = text.as_bytes();
    for (i, &b) in bytes.iter().enumerate() {
        let escape: &[u8] = match b {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..i]);
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{b:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        plain = i + 1;
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

/// Appends a time in milliseconds as seconds: `1435781451.781`.
pub fn time(out: &mut Vec<u8>, time_ms: i64) {
    if time_ms < 0 {
        out.push(b'-');
    }
    let ms = time_ms.unsigned_abs();
    integer(out, ms / 1000);
    let fraction = ms % 1000;
    if fraction != 0 {
        out.push(b'.');
        for digit in [fraction / 100, fraction / 10 % 10, fraction % 10] {
            out.push(b'0' + digit as u8);
        }
    }
}

/// Appends a value as a JSON string: `"0.25"`, `"+Inf"`, `"1e-07"`.
pub fn value(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    float(out, value);
    out.push(b'"');
}

/// Appends a float as Prometheus prints it in JSON, without quotes.
pub fn float(out: &mut Vec<u8>, value: f64) {
    /// Above it not every whole number is a float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let magnitude = value.abs();
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if magnitude < EXACT && value.trunc() == value {
        if value.is_sign_negative() {
            out.push(b'-');
        }
        integer(out, magnitude as u64);
    } else if !(1e-6..1e21).contains(&magnitude) {
        // Go writes a sign and at least two digits into an exponent.
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        out.extend_from_slice(format!("{mantissa}e{sign}{digits:0>2}").as_bytes());
    } else {
        use std::io::Write;
        let _ = write!(out, "{value}"); // writing to a vector cannot fail
    }
}

/// Appends a whole number.
pub fn integer(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a label set as an object.
pub fn labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        string(out, value);
    }
    out.push(b'}');
}

/// Appends `[time,"value"]`.
pub fn point(out: &mut Vec<u8>, time_ms: i64, sample: f64) {
    out.push(b'[');
    time(out, time_ms);
    out.push(b',');
    value(out, sample);
    out.push(b']');
}

/// Appends `[time,{"count":…,"sum":…,"buckets":[[boundaries,"lower","upper","count"],…]}]`.
///
/// Of the boundaries, 0 says that only the upper one belongs to the bucket, 1 only the lower one,
/// 2 neither and 3 both. Buckets without observations are left out.
pub fn histogram_point(out: &mut Vec<u8>, time_ms: i64, histogram: &Histogram) {
    out.push(b'[');
    time(out, time_ms);
    out.extend_from_slice(b",{\"count\":");
    value(out, histogram.count);
    out.extend_from_slice(b",\"sum\":");
    value(out, histogram.sum);
    let mut any = false;
    for bucket in histogram.buckets().iter().filter(|b| b.count != 0.0) {
        out.extend_from_slice(if any { b",[" } else { b",\"buckets\":[[" });
        any = true;
        let boundaries = match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => b'0',
            (true, false) => b'1',
            (false, false) => b'2',
            (true, true) => b'3',
        };
        out.push(boundaries);
        for number in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            value(out, number);
        }
        out.push(b']');
    }
    if any {
        out.push(b']');
    }
    out.extend_from_slice(b"}]");
}

/// Appends an array of strings.
pub fn strings<'a>(out: &mut Vec<u8>, texts: impl IntoIterator<Item = &'a str>) {
    out.push(b'[');
    for (i, text) in texts.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        string(out, text);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn float_text(value: f64) -> String {
        let mut out = Vec::new();
        float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    fn time_text(time_ms: i64) -> String {
        let mut out = Vec::new();
        time(&mut out, time_ms);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_look_like_gos() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (9.99e-7, "9.99e-07"),
            (1e-7, "1e-07"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (5e-324, "5e-324"),
            (9007199254740993.0, "9007199254740992"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(float_text(value), text);
        }
    }

    #[test]
    fn times_have_at_most_three_decimals() {
        for (ms, text) in [
            (0, "0"),
            (1, "0.001"),
            (20, "0.020"),
            (1_435_781_451_781, "1435781451.781"),
            (1_000, "1"),
            (-1_500, "-1.500"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(time_text(ms), text);
        }
    }

    proptest! {
        #[test]
        fn floats_come_back(value in any::<f64>()) {
            let back: f64 = float_text(value).parse().unwrap();
            prop_assert!(back.to_bits() == value.to_bits() || (back.is_nan() && value.is_nan()));
        }

        #[test]
        fn strings_come_back(text in any::<String>()) {
            let mut out = Vec::new();
            string(&mut out, &text);
            let back: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(back, text);
        }

        #[test]
        fn times_come_back(ms in -9_007_199_254_740i64..9_007_199_254_740) {
            let seconds: f64 = time_text(ms).parse().unwrap();
            prop_assert_eq!((seconds * 1000.0).round() as i64, ms);
        }
    }
}
