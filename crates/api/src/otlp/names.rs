//! Names of metrics, units and labels, as the module `github.com/prometheus/otlptranslator` 1.0
//! makes them of OpenTelemetry's.

use super::Strategy;
use std::borrow::Cow;

/// What a metric is, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A gauge.
    Gauge,
    /// A sum that only grows.
    Counter,
    /// Anything else.
    Other,
}

/// UCUM's words, and Prometheus's for them.
const UNITS: [(&str, &str); 27] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
    ("", ""),
];

/// The same behind a slash.
const PER: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// The name of a metric; fails where nothing is left of it.
pub fn metric(name: &str, unit: &str, shape: Shape, strategy: Strategy) -> Result<String, String> {
    if !strategy.escapes() {
        return Ok(match strategy.suffixes() {
            true => with_suffixes(name, unit, shape),
            false => name.to_owned(),
        });
    }
    let made = match strategy.suffixes() {
        true => normalized(name, unit, shape),
        false => {
            let parts = name.split(|c| !is_plain(c) && c != '_').filter(|p| !p.is_empty());
            not_a_digit_first(parts.collect::<Vec<_>>().join("_"))
        }
    };
    let quoted = model::labels::Quoted(name);
    if made.is_empty() {
        return Err(format!("normalization for metric {quoted} resulted in empty name"));
    }
    if made != name && made.bytes().all(|b| b == b'_') {
        let made = model::labels::Quoted(&made);
        return Err(format!("normalization for metric {quoted} resulted in invalid name {made}"));
    }
    Ok(made)
}

fn not_a_digit_first(name: String) -> String {
    match name.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("_{name}"),
        false => name,
    }
}

/// Words joined by single underscores, then the unit, then what the type adds.
fn normalized(name: &str, unit: &str, shape: Shape) -> String {
    let (main, per) = suffixes_of(unit);
    let (main, per) = (cleaned(main), cleaned(&per));
    let mut words: Vec<&str> = name.split(|c| !is_plain(c)).filter(|w| !w.is_empty()).collect();
    let mut main = if words.contains(&main.as_str()) { "" } else { &main };
    let mut per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(&per) };
    if words.contains(&per) {
        per = "";
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    words.extend([main, per].into_iter().filter(|w| !w.is_empty()));
    let last = match shape {
        Shape::Counter => Some("total"),
        Shape::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(last) = last {
        words.retain(|w| *w != last);
        words.push(last);
    }
    not_a_digit_first(words.join("_"))
}

/// The name as it is, with the unit and what the type adds.
fn with_suffixes(name: &str, unit: &str, shape: Shape) -> String {
    let last = match shape {
        Shape::Counter => "total",
        Shape::Gauge if unit == "1" => "ratio",
        _ => "",
    };
    let (main, per) = suffixes_of(unit);
    let mut name = name;
    for suffix in [last, per.as_str()].into_iter().filter(|s| !s.is_empty()) {
        name = without(name, suffix);
    }
    let mut made = name.to_owned();
    if !main.is_empty() && !name.ends_with(main) {
        made = format!("{made}_{main}");
    }
    for suffix in [per.as_str(), last].into_iter().filter(|s| !s.is_empty()) {
        made = format!("{made}_{suffix}");
    }
    made
}

/// A name without a suffix and the character before it.
fn without<'a>(name: &'a str, suffix: &str) -> &'a str {
    let Some(rest) = name.strip_suffix(suffix) else { return name };
    match rest.char_indices().next_back() {
        Some((at, _)) if rest.len() > 1 => &rest[..at],
        _ => name,
    }
}

/// The words for a unit: `By/s` is `bytes` and `per_second`. Annotations in braces are dropped.
fn suffixes_of(unit: &str) -> (&str, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let word = |text: &str| {
        let text = text.trim();
        if text.contains(['{', '}']) { "" } else { text }.to_owned()
    };
    let known =
        |list: &[(&str, &'static str)], text: &str| list.iter().find(|u| u.0 == text).map(|u| u.1);
    let trimmed = main.trim();
    let main = if trimmed.contains(['{', '}']) { "" } else { trimmed };
    let main = known(&UNITS, main).unwrap_or(main);
    let per = word(per);
    let per = known(&PER, &per).map_or(per, str::to_owned);
    (main, if per.is_empty() { per } else { format!("per_{per}") })
}

/// A unit of which nothing but letters, digits and single underscores is left.
fn cleaned(unit: &str) -> String {
    let mut made = String::with_capacity(unit.len());
    for c in unit.chars() {
        let c = if is_plain(c) { c } else { '_' };
        if c != '_' || !made.ends_with('_') {
            made.push(c);
        }
    }
    made.strip_prefix('_').unwrap_or(&made).to_owned()
}

/// The unit of a family, for its description.
pub fn unit(unit: &str) -> String {
    let (main, per) = suffixes_of(unit);
    let (main, per) = (cleaned(main), cleaned(&per));
    let joined = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        (true, _) => per,
    };
    let joined = joined.strip_prefix('_').unwrap_or(&joined);
    joined.strip_suffix('_').unwrap_or(joined).to_owned()
}

/// The name of a label; fails where nothing is left of it.
pub fn label(name: &str, strategy: Strategy) -> Result<Cow<'_, str>, String> {
    let only_underscores = |text: &str| text.bytes().all(|b| b == b'_');
    if name.is_empty() {
        return Err("label name is empty".into());
    }
    let quoted = model::labels::Quoted(name);
    if !strategy.escapes() {
        return match only_underscores(name) {
            true => Err(format!("label name {quoted} contains only underscores")),
            false => Ok(Cow::Borrowed(name)),
        };
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut made = Cow::Borrowed(name);
    if !name.chars().all(plain) {
        made = name.chars().map(|c| if plain(c) { c } else { '_' }).collect::<String>().into();
    }
    if made.starts_with(|c: char| c.is_ascii_digit()) {
        made = format!("key_{made}").into();
    } else if made.starts_with('_') && !made.starts_with("__") {
        made = format!("key{made}").into();
    }
    match only_underscores(&made) {
        true => {
            let made = model::labels::Quoted(&made);
            Err(format!("normalization for label name {quoted} resulted in invalid name {made}"))
        }
        false => Ok(made),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::Strategy as S;
    use proptest::prelude::*;

    #[test]
    fn metrics_get_prometheuss_names() {
        use Shape::{Counter, Gauge, Other};
        for (name, unit_, shape, suffixed, bare, utf8) in [
            (
                "http.server.duration",
                "s",
                Other,
                "http_server_duration_seconds",
                "http_server_duration",
                "http.server.duration_seconds",
            ),
            ("requests", "1", Counter, "requests_total", "requests", "requests_total"),
            ("requests_total", "", Counter, "requests_total", "requests_total", "requests_total"),
            (
                "cpu.utilization",
                "1",
                Gauge,
                "cpu_utilization_ratio",
                "cpu_utilization",
                "cpu.utilization_ratio",
            ),
            (
                "net.io",
                "By/s",
                Gauge,
                "net_io_bytes_per_second",
                "net_io",
                "net.io_bytes_per_second",
            ),
            (
                "system.memory_bytes",
                "By",
                Gauge,
                "system_memory_bytes",
                "system_memory_bytes",
                "system.memory_bytes",
            ),
            ("jobs", "{job}/s", Gauge, "jobs_per_second", "jobs", "jobs_per_second"),
            ("2xx", "{req}", Counter, "_2xx_total", "_2xx", "2xx_total"),
            ("a__b", "", Gauge, "a_b", "a__b", "a__b"),
            ("disk", "%", Gauge, "disk_percent", "disk", "disk_percent"),
            (
                "widgets",
                "furlongs/fortnight",
                Gauge,
                "widgets_furlongs_per_fortnight",
                "widgets",
                "widgets_furlongs_per_fortnight",
            ),
        ] {
            let made = |strategy| metric(name, unit_, shape, strategy).unwrap();
            assert_eq!(made(S::UnderscoreEscapingWithSuffixes), suffixed);
            assert_eq!(made(S::UnderscoreEscapingWithoutSuffixes), bare);
            assert_eq!(made(S::NoUtf8EscapingWithSuffixes), utf8);
            assert_eq!(made(S::NoTranslation), name);
        }
        for name in ["", "...", "é"] {
            assert!(metric(name, "", Gauge, S::UnderscoreEscapingWithSuffixes).is_err(), "{name}");
        }
    }

    #[test]
    fn units() {
        for (from, to) in [
            ("s", "seconds"),
            ("By/s", "bytes_per_second"),
            ("1", ""),
            ("{x}", ""),
            ("k m", "k_m"),
            ("{x}/s", "per_second"),
        ] {
            assert_eq!(unit(from), to);
        }
    }

    #[test]
    fn labels_get_prometheuss_names() {
        for (name, wanted) in [
            ("http.method", "http_method"),
            ("1st", "key_1st"),
            ("_private", "key_private"),
            ("__reserved__", "__reserved__"),
            ("a..b", "a__b"),
            ("é", "key_"),
        ] {
            let made = label(name, S::UnderscoreEscapingWithSuffixes);
            assert_eq!(made.as_deref(), Ok(wanted), "{name}");
            assert_eq!(label(name, S::NoTranslation).as_deref(), Ok(name));
        }
        for name in ["", "__", "..."] {
            assert!(label(name, S::UnderscoreEscapingWithSuffixes).is_err(), "{name}");
        }
        assert!(label("_", S::NoTranslation).is_err());
    }

    proptest! {
        #[test]
        fn escaped_names_are_plain(name in ".{0,12}", unit_ in ".{0,6}") {
            for strategy in [S::UnderscoreEscapingWithSuffixes, S::UnderscoreEscapingWithoutSuffixes] {
                for shape in [Shape::Gauge, Shape::Counter, Shape::Other] {
                    if let Ok(made) = metric(&name, &unit_, shape, strategy) {
                        prop_assert!(model::labels::is_metric_name(&made), "{made}");
                    }
                }
                if let Ok(made) = label(&name, strategy) {
                    prop_assert!(model::labels::is_label_name(&made), "{made}");
                }
            }
            let _ = metric(&name, &unit_, Shape::Counter, S::NoUtf8EscapingWithSuffixes);
            let _ = unit(&unit_);
        }
    }
}
