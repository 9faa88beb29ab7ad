//! `os`: the distribution (os-release(5)).

use super::Collector;
use super::every::Every;
use crate::{Failure, Families, Files, Missing};
use kernel::Dir;
use model::Kind;

const PERIOD_MS: i64 = 60_000;

const FILES: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// Label and field, sorted by label.
const INFO: [(&str, &str); 12] = [
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
];

#[derive(Default)]
pub(super) struct Os {
    refresh: Every,
    /// (field, value); empty where there is no file.
    fields: Vec<(String, String)>,
}

impl Os {
    fn get(&self, name: &str) -> &str {
        self.fields.iter().rev().find(|f| f.0 == name).map_or("", |f| f.1.as_str())
    }
}

impl Collector for Os {
    fn read(&mut self, files: &mut Files) -> Result<(), Failure> {
        if self.refresh.is_due(files.now_ms(), PERIOD_MS) {
            self.fields.clear();
            let root = Dir::open(&files.paths().rootfs)?;
            let mut text = Vec::new();
            for path in FILES {
                if root.read(path, &mut text)? {
                    self.fields = parse(&String::from_utf8_lossy(&text));
                    break;
                }
            }
        }
        if self.fields.is_empty() {
            let missing = Missing::new("distribution", "there is no /etc/os-release");
            return Err(Failure::Missing(missing));
        }
        Ok(())
    }

    fn write(&self, out: &mut Families<'_>) {
        if self.fields.is_empty() {
            return;
        }
        out.begin(
            "node_os_info",
            "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, \
             image_version, name, pretty_name, variant, variant_id, version, version_codename, version_id.",
            Kind::Gauge,
        );
        out.sample("node_os_info", &INFO.map(|(label, field)| (label, self.get(field))), 1.0);
        if let Some(version) = major_minor(self.get("VERSION_ID")).filter(|v| *v > 0.0) {
            let help = "Metric containing the major.minor part of the OS version.";
            out.begin("node_os_version", help, Kind::Gauge);
            let labels = [
                ("id", self.get("ID")),
                ("id_like", self.get("ID_LIKE")),
                ("name", self.get("NAME")),
            ];
            out.sample("node_os_version", &labels, version);
        }
        if let Some(seconds) = day_seconds(self.get("SUPPORT_END")) {
            out.gauge(
                "node_os_support_end_timestamp_seconds",
                "Metric containing the end-of-life date timestamp of the OS.",
                seconds as f64,
            );
        }
    }
}

/// Lines of `NAME=value`, the value in quotes or not.
fn parse(text: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let value = value.trim();
        let quoted = |q: char| value.strip_prefix(q).and_then(|v| v.strip_suffix(q));
        let value = match (quoted('"'), quoted('\'')) {
            (Some(inner), _) => unescape(inner),
            (None, Some(inner)) => inner.into(),
            (None, None) => value.into(),
        };
        fields.push((name.trim().into(), value));
    }
    fields
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or('\\') } else { c });
    }
    out
}

/// `24.04.1` is 24.04.
fn major_minor(version: &str) -> Option<f64> {
    let digits = |t: &str| t.find(|c: char| !c.is_ascii_digit()).unwrap_or(t.len());
    let major = digits(version);
    let rest = version[major..].strip_prefix('.').map_or(0, |minor| 1 + digits(minor));
    version[..major + rest].parse().ok()
}

/// Seconds between the Unix epoch and a day written `2030-05-31`.
fn day_seconds(day: &str) -> Option<i64> {
    let mut parts = day.splitn(3, '-').map(|p| p.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(0..=9999).contains(&year) {
        return None;
    }
    Some(super::time_zone::days_from_civil(year, month, day) * 86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_versions_and_days() {
        let fields = parse("# x\nNAME=\"A \\\"B\\\"\"\nID=debian\nV='a b'\nodd\n");
        let expected = [("NAME", "A \"B\""), ("ID", "debian"), ("V", "a b")];
        assert_eq!(fields, expected.map(|(n, v)| (n.to_string(), v.to_string())));
        assert_eq!(major_minor("24.04.1"), Some(24.04));
        assert_eq!(
            (major_minor("12"), major_minor("12-x"), major_minor("x")),
            (Some(12.0), Some(12.0), None)
        );
        assert_eq!(day_seconds("1970-01-02"), Some(86_400));
        assert_eq!(day_seconds("2024-03-01"), Some(1_709_251_200));
        assert_eq!((day_seconds("2024-13-01"), day_seconds("")), (None, None));
    }
}
