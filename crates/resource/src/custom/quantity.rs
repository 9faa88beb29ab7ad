//! Numbers as Kubernetes' quantities: thousandths, in the form that apimachinery calls canonical.

/// The value in thousandths: `10500m`, `7`, `12k`.
///
/// Follows `resource.NewMilliQuantity` as prometheus-adapter uses it, and its NaN, which becomes 0; but
/// where that cuts, so that a rate of 2.9999999 is 2999m, we round. What does not fit an `int64` of thousandths is given in whole units, and
/// what does not fit that is cut to the greatest that does.
pub fn milli(value: f64) -> String {
    if value.is_nan() {
        return "0".into();
    }
    let thousandths = (value * 1000.0).round();
    // Casts of floats saturate.
    if thousandths.abs() < 9e18 {
        return canonical(i128::from(thousandths as i64), -3);
    }
    canonical(i128::from((value as i64).max(-i64::MAX)), 0)
}

/// `number * 10^exponent` with the largest suffix that leaves a whole number.
fn canonical(mut number: i128, mut exponent: i32) -> String {
    if number == 0 {
        return "0".into();
    }
    while number % 1000 == 0 && exponent < 18 {
        number /= 1000;
        exponent += 3;
    }
    let suffix = match exponent {
        -3 => "m",
        3 => "k",
        6 => "M",
        9 => "G",
        12 => "T",
        15 => "P",
        18 => "E",
        _ => "",
    };
    format!("{number}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_apimachinery_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (10.5, "10500m"),
            (7.0, "7"),
            (0.0004, "0"),
            (0.0016, "2m"),
            (-1.5, "-1500m"),
            (1000.0, "1k"),
            (12_000.0, "12k"),
            (1500.0, "1500"),
            (2_000_000.0, "2M"),
            (1_234_567.891, "1234567891m"),
            (1e15, "1P"),
            (1e18, "1E"),
            (f64::INFINITY, "9223372036854775807"),
            (f64::NEG_INFINITY, "-9223372036854775807"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(milli(value), expected, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn reads_back_as_what_it_was(value in -1e12f64..1e12) {
            let text = milli(value);
            let (number, unit) = match text.char_indices().find(|(_, c)| c.is_alphabetic()) {
                Some((at, c)) => (&text[..at], c),
                None => (text.as_str(), ' '),
            };
            let scale = match unit {
                'm' => 1, ' ' => 1000, 'k' => 1_000_000, 'M' => 1_000_000_000, 'G' => 1_000_000_000_000, _ => 0,
            };
            let number: i128 = number.parse().expect("a number");
            proptest::prop_assert_eq!(number * scale, (value * 1000.0).round() as i128);
        }
    }
}
