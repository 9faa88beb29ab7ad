//! Durations as Prometheus writes them: `1y2w3d4h5m6s7ms`.

use model::labels::Quoted;

/// Units from the longest to the shortest, in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3600 * 1_000_000_000),
    ("w", 7 * 24 * 3600 * 1_000_000_000),
    ("d", 24 * 3600 * 1_000_000_000),
    ("h", 3600 * 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Parses a duration into nanoseconds; fails with Prometheus's message.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("empty duration string".into());
    }
    let invalid = || format!("not a valid duration string: {}", Quoted(text));
    let out_of_range = || "duration out of range".to_string();
    let (mut rest, mut total, mut next_unit) = (text, 0u64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        if letters == 0 {
            return Err(invalid());
        }
        let unit = &rest[..letters];
        rest = &rest[letters..];
        let Some(at) = UNITS.iter().position(|u| u.0 == unit) else {
            return Err(format!("unknown unit {} in duration {}", Quoted(unit), Quoted(text)));
        };
        if at < next_unit {
            return Err(invalid());
        }
        next_unit = at + 1;
        let ns = count.checked_mul(UNITS[at].1).ok_or_else(out_of_range)?;
        total =
            total.checked_add(ns).filter(|t| i64::try_from(*t).is_ok()).ok_or_else(out_of_range)?;
    }
    i64::try_from(total).map_err(|_| out_of_range())
}

/// Prints several, as a text has them: `5m and 1h`.
pub(crate) fn format_durations(all_ms: &[i64]) -> String {
    all_ms.iter().map(|ms| format_duration(*ms)).collect::<Vec<_>>().join(" and ")
}

/// Prints milliseconds, which must not be negative.
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".into();
    }
    let mut out = String::new();
    let mut rest = ms as u64;
    for (unit, ns) in UNITS {
        let unit_ms = ns / 1_000_000;
        // Years and weeks only where nothing remains.
        let exact = matches!(unit, "y" | "w");
        if exact && !rest.is_multiple_of(unit_ms) {
            continue;
        }
        let count = rest / unit_ms;
        if count > 0 {
            out.push_str(&format!("{count}{unit}"));
            rest -= count * unit_ms;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_name_what_is_wrong() {
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(parse_duration(""), Err("empty duration string".into()));
        assert_eq!(parse_duration("1m1h"), Err(r#"not a valid duration string: "1m1h""#.into()));
        assert_eq!(parse_duration("3x"), Err(r#"unknown unit "x" in duration "3x""#.into()));
        assert_eq!(parse_duration("300y"), Err("duration out of range".into()));
        assert_eq!(format_duration(8 * 24 * 3_600_000), "8d");
        assert_eq!(format_duration(14 * 24 * 3_600_000), "2w");
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(ms in 0i64..9_000_000_000_000) {
            prop_assert_eq!(parse_duration(&format_duration(ms)), Ok(ms * 1_000_000));
        }
    }
}
