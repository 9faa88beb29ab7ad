//! The metadata of an object, and how times are written.

use super::protobuf;
use crate::json;

const SECOND_NS: i64 = 1_000_000_000;

/// What our objects have of `ObjectMeta`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metadata<'a, L> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace, or empty.
    pub namespace: &'a str,
    /// In nanoseconds since the Unix epoch.
    pub created_ns: i64,
    /// Pairs, sorted by key.
    pub labels: L,
}

impl<'a, L: Iterator<Item = (&'a str, &'a str)>> Metadata<'a, L> {
    /// Appends it as JSON.
    pub fn json(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"name\":");
        json::string(out, self.name);
        if !self.namespace.is_empty() {
            out.extend_from_slice(b",\"namespace\":");
            json::string(out, self.namespace);
        }
        out.extend_from_slice(b",\"creationTimestamp\":");
        timestamp(out, self.created_ns);
        let mut separator: &[u8] = b",\"labels\":{";
        for (key, value) in self.labels {
            out.extend_from_slice(separator);
            separator = b",";
            json::string(out, key);
            out.push(b':');
            json::string(out, value);
        }
        out.extend_from_slice(if separator == b"," { b"}}" } else { b"}" });
    }

    /// Appends it as a protobuf field.
    pub fn protobuf(self, out: &mut Vec<u8>, field: u32) {
        protobuf::message(out, field, |out| {
            protobuf::string(out, 1, self.name);
            for (field, text) in [(2, ""), (3, self.namespace), (4, ""), (5, ""), (6, "")] {
                protobuf::string(out, field, text);
            }
            protobuf::integer(out, 7, 0);
            protobuf::time(out, 8, self.created_ns);
            for (key, value) in self.labels {
                protobuf::entry(out, 11, key, value);
            }
        });
    }
}

/// Appends a time as a JSON string, `"2026-11-21T14:30:47Z"`: whole seconds, as `metav1.Time` has.
pub fn timestamp(out: &mut Vec<u8>, time_ns: i64) {
    let seconds = time_ns.div_euclid(SECOND_NS);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    out.push(b'"');
    for (value, width, end) in
        [(year, 4, b'-'), (month, 2, b'-'), (day, 2, b'T'), (hour, 2, b':'), (minute, 2, b':')]
    {
        digits(out, value, width);
        out.push(end);
    }
    digits(out, second, 2);
    out.extend_from_slice(b"Z\"");
}

fn digits(out: &mut Vec<u8>, value: i64, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10_i64.pow(place) % 10) as u8);
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar: counted in eras of
/// 400 years that begin on the first of March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// A length of time as Go prints it: `15.953s`, `1m0.5s`, `2h0m0s`, `1.5ms`, `0s`.
pub fn duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let n = nanoseconds.unsigned_abs();
    let fraction = |value: u64, unit: u64| {
        let (whole, rest) = (value / unit, value % unit);
        if rest == 0 {
            return whole.to_string();
        }
        let width = unit.ilog10() as usize;
        let rest = format!("{rest:0width$}");
        format!("{whole}.{}", rest.trim_end_matches('0'))
    };
    match n {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{n}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(n, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(n, 1_000_000)),
        _ => {
            const MINUTE: u64 = 60_000_000_000;
            let seconds = fraction(n % MINUTE, 1_000_000_000);
            let minutes = n / MINUTE;
            match minutes {
                0 => format!("{sign}{seconds}s"),
                1..60 => format!("{sign}{minutes}m{seconds}s"),
                _ => format!("{sign}{}h{}m{seconds}s", minutes / 60, minutes % 60),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        let table = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_799, "2024-02-28T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_271_447, "2026-11-21T14:30:47Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ];
        for (seconds, expected) in table {
            let mut out = Vec::new();
            timestamp(&mut out, seconds * SECOND_NS + 999);
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{expected}\""));
        }
    }

    /// Printed by Go 1.26's `time.Duration.String`.
    #[test]
    fn lengths_are_written_as_go_writes_them() {
        let table = [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (1_000_000, "1ms"),
            (999_999_999, "999.999999ms"),
            (15_953_000_000, "15.953s"),
            (60_000_000_000, "1m0s"),
            (61_500_000_000, "1m1.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (9_223_372_036_854_775_807, "2562047h47m16.854775807s"),
            (-15_000_000_000, "-15s"),
        ];
        for (n, expected) in table {
            assert_eq!(duration(n), expected);
        }
    }
}
