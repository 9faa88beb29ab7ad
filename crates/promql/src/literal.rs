//! Literals: numbers and strings as Go reads them, numbers as Go prints them.

use model::labels::Quoted;
use std::borrow::Cow;

/// A number as PromQL writes it: Go's integers of any base, else Go's floats.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    if let Some(n) = parse_go_int(text) {
        return Some(n as f64);
    }
    let plain: Cow<str> =
        if text.contains('_') { text.replace('_', "").into() } else { text.into() };
    match plain.to_ascii_lowercase().as_str() {
        "inf" | "+inf" | "infinity" | "+infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        lower if lower.starts_with("0x") => None,
        lower if lower.contains("inf") || lower.contains("nan") => None,
        // Go refuses what is too large; ours gives infinity.
        lower => lower.parse().ok().filter(|f: &f64| f.is_finite()),
    }
}

fn parse_go_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, body) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    let body = body.replace('_', "");
    if !body.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    let value = i128::from_str_radix(&body, base).ok()?;
    i64::try_from(if negative { -value } else { value }).ok()
}

/// A float as Go's `ParseFloat` reads it, for label values such as `le`.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "+inf" | "infinity" | "+infinity" => return Some(f64::INFINITY),
        "-inf" | "-infinity" => return Some(f64::NEG_INFINITY),
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    let plausible =
        lower.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e'));
    if plausible { lower.parse().ok() } else { None }
}

/// A float as Go's `FormatFloat(v, 'f', -1, 64)` prints it.
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        format!("{value}")
    }
}

/// A float as Go's `%g` and `%v` print it: with an exponent where that is shorter to read.
pub fn format_float_short(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return if value == 0.0 && value.is_sign_negative() {
            "-0".into()
        } else {
            format_float(value)
        };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Where the precision is the shortest that reads back, Go decides as if it were 6.
    if (-4..6).contains(&exponent) {
        return format_float(value);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// The value of a quoted string; what is not UTF-8 is replaced.
pub(crate) fn unquote(text: &str) -> Option<String> {
    unquote_bytes(text).map(|b| String::from_utf8_lossy(&b).into_owned())
}

/// Bytes in double quotes, as Go's `strconv.Quote` prints them.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let quoted = Quoted(chunk.valid()).to_string();
        out.push_str(&quoted[1..quoted.len() - 1]);
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out.push('"');
    out
}

/// The bytes of a quoted string: double or single quotes with escapes, back quotes without.
pub(crate) fn unquote_bytes(text: &str) -> Option<Vec<u8>> {
    let quote = text.chars().next()?;
    let body = text.strip_prefix(quote)?.strip_suffix(quote)?;
    if quote == '`' {
        return (!body.contains('`')).then(|| body.replace('\r', "").into_bytes());
    }
    if !matches!(quote, '"' | '\'') || body.contains('\n') {
        return None;
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            if c == quote {
                return None;
            }
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let simple = match chars.next()? {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            '\\' => b'\\',
            c @ ('"' | '\'') if c == quote => c as u8,
            c @ '0'..='7' => {
                let rest: String = chars.by_ref().take(2).collect();
                u8::try_from(u32::from_str_radix(&format!("{c}{rest}"), 8).ok()?).ok()?
            }
            'x' => {
                let digits: String = chars.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).ok()?
            }
            u @ ('u' | 'U') => {
                let digits: String = chars.by_ref().take(if u == 'u' { 4 } else { 8 }).collect();
                let c = char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        bytes.push(simple);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_go_reads_them() {
        for (text, want) in [
            ("0x1F", 31.0),
            ("010", 8.0),
            ("08", 8.0),
            ("1_000", 1000.0),
            ("1e3", 1000.0),
            (".5", 0.5),
        ] {
            assert_eq!(parse_number(text), Some(want), "{text}");
        }
        assert_eq!(parse_number("Inf"), Some(f64::INFINITY));
        assert!(parse_number("nan").is_some_and(f64::is_nan));
        assert_eq!(parse_number("1e400"), None);
        assert_eq!(parse_number("0xg"), None);
    }

    #[test]
    fn floats_as_go_prints_them() {
        assert_eq!(format_float(1e21), "1000000000000000000000");
        assert_eq!(format_float_short(1e21), "1e+21");
        assert_eq!(format_float_short(0.00001), "1e-05");
        assert_eq!(format_float_short(1.5), "1.5");
        assert_eq!(format_float_short(f64::NEG_INFINITY), "-Inf");
    }

    #[test]
    fn strings() {
        assert_eq!(unquote(r#""a\n\x41\u00e9\101""#).as_deref(), Some("a\nAéA"));
        assert_eq!(unquote(r"`a\n`").as_deref(), Some(r"a\n"));
        assert_eq!(unquote(r"'a\'b'").as_deref(), Some("a'b"));
        assert_eq!(unquote(r#""a"#), None);
    }
}
