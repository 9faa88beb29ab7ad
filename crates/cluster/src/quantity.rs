//! Kubernetes' quantities, `1500m`, `16Gi`, `1e3`, as exact numbers.
//!
//! Follows `k8s.io/apimachinery/pkg/api/resource`: what is finer than a billionth is rounded up,
//! away from zero.

/// A quantity in billionths; `None` where the text is none.
pub fn nano(text: &str) -> Option<i128> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let end = rest.bytes().position(|b| !b.is_ascii_digit() && b != b'.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    // More digits than any machine has bytes; what is longer is refused rather than overflown.
    if whole.trim_start_matches('0').len() > 19 || suffix.len() > 4 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Ten digits behind the point, and whether anything beyond them is not zero.
    let mut tenths_of_nano: i128 = 0;
    for i in 0..10 {
        let digit = fraction.as_bytes().get(i).map_or(0, |b| i128::from(b - b'0'));
        tenths_of_nano = tenths_of_nano * 10 + digit;
    }
    let inexact = fraction.bytes().skip(10).any(|b| b != b'0');
    let scaled = whole * 10_000_000_000 + tenths_of_nano;
    let (times, divided) = scale(suffix)?;
    let product = scaled.checked_mul(times)?;
    let divisor = divided * 10;
    let rounded = product / divisor + i128::from(product % divisor != 0 || inexact);
    Some(sign * rounded)
}

/// In thousandths, rounded up: how CPU is asked for.
pub fn milli(text: &str) -> Option<i64> {
    rounded_up(nano(text)?, 1_000_000)
}

/// In whole units, rounded up: bytes, or a number of pods.
pub fn whole(text: &str) -> Option<i64> {
    rounded_up(nano(text)?, 1_000_000_000)
}

fn rounded_up(nano: i128, unit: i128) -> Option<i64> {
    let away = if nano % unit == 0 { 0 } else { nano.signum() };
    i64::try_from(nano / unit + away).ok()
}

/// What a suffix multiplies by, and what it divides by.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    const K: i128 = 1000;
    const KI: i128 = 1024;
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, K * K * K),
        "u" => (1, K * K),
        "m" => (1, K),
        "k" => (K, 1),
        "M" => (K.pow(2), 1),
        "G" => (K.pow(3), 1),
        "T" => (K.pow(4), 1),
        "P" => (K.pow(5), 1),
        "E" => (K.pow(6), 1),
        "Ki" => (KI, 1),
        "Mi" => (KI.pow(2), 1),
        "Gi" => (KI.pow(3), 1),
        "Ti" => (KI.pow(4), 1),
        "Pi" => (KI.pow(5), 1),
        "Ei" => (KI.pow(6), 1),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let exponent: i32 = exponent.parse().ok()?;
            match exponent {
                0..=18 => (10_i128.pow(exponent.unsigned_abs()), 1),
                -18..0 => (1, 10_i128.pow(exponent.unsigned_abs())),
                _ => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kubernetes_reads_them() {
        for (text, expected) in [
            ("0", 0),
            ("4", 4_000_000_000),
            ("3920m", 3_920_000_000),
            ("1n", 1),
            ("0.1n", 1),
            ("1.5", 1_500_000_000),
            (".5", 500_000_000),
            ("5.", 5_000_000_000),
            ("-2m", -2_000_000),
            ("+1k", 1_000_000_000_000),
            ("1Ki", 1_024_000_000_000),
            ("1.5Gi", 1_610_612_736_000_000_000),
            ("1e3", 1_000_000_000_000),
            ("1E3", 1_000_000_000_000),
            ("1E", 1_000_000_000_000_000_000_000_000_000),
            ("12e-3", 12_000_000),
        ] {
            assert_eq!(nano(text), Some(expected), "{text}");
        }
        for text in
            ["", "-", ".", "m", "1.2.3", "1x", "1 ", "1KiB", "1ee3", "99999999999999999999", "1e99"]
        {
            assert_eq!(nano(text), None, "{text}");
        }
    }

    #[test]
    fn rounded_away_from_zero() {
        assert_eq!((milli("1500u"), milli("2"), milli("-1500u")), (Some(2), Some(2000), Some(-2)));
        assert_eq!((whole("1500m"), whole("16Gi")), (Some(2), Some(16 << 30)));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9.eEmunkKMGTPi]{0,24}") {
            let _ = (nano(&text), milli(&text), whole(&text));
        }
    }
}
