//! Families written as text.

use super::format::{Escaping, Format, Syntax};
use super::number::{push_float, push_integer, push_open_float};
use crate::labels::{is_label_name, is_metric_name};
use crate::{Family, Kind, Sink};
use std::collections::HashMap;
use std::hash::BuildHasher;

/// A [`Sink`] that appends text to a buffer of the caller's, who may reuse it for the next round.
///
/// A family without samples leaves no trace. One that comes a second time, which both formats
/// forbid, keeps its samples and loses its second header; [`Writer::repeated`] names it.
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
    format: Format,
    /// Where the header of the family begins that has had no sample yet.
    header: Option<usize>,
    kind: Kind,
    /// The family's name as given, and whether it needs no quotes and no escaping.
    name: String,
    bare: bool,
    /// Hash of each family's name to where it stands in `out`.
    seen: HashMap<u64, (usize, usize)>,
    repeated: Vec<String>,
    samples: usize,
}

impl<'b> Writer<'b> {
    /// A writer that appends to `out`.
    pub fn new(out: &'b mut Vec<u8>, format: Format) -> Writer<'b> {
        Writer {
            out,
            format,
            header: None,
            kind: Kind::Untyped,
            name: String::new(),
            bare: true,
            seen: HashMap::new(),
            repeated: Vec::new(),
            samples: 0,
        }
    }

    /// Ends the text. Without this call an OpenMetrics body is refused by its readers as cut off.
    /// Gives the number of samples.
    pub fn finish(mut self) -> usize {
        self.drop_empty_family();
        if self.format.syntax == Syntax::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
        self.samples
    }

    /// The families that came more than once: mistakes of those who wrote them.
    pub fn repeated(&self) -> &[String] {
        &self.repeated
    }

    fn drop_empty_family(&mut self) {
        if let Some(start) = self.header.take() {
            self.out.truncate(start);
        }
    }

    /// The name under which the family's header lines run, and its type word.
    fn header_of<'f>(&self, family: &Family<'f>) -> (&'f str, &'static str) {
        let name = family.name;
        if self.format.syntax == Syntax::Text {
            let word = match family.kind {
                Kind::Counter => "counter",
                // Words that the older format does not have.
                Kind::Gauge | Kind::Info | Kind::StateSet => "gauge",
                Kind::Histogram | Kind::GaugeHistogram => "histogram",
                Kind::Summary => "summary",
                Kind::Untyped => "untyped",
            };
            return (name, word);
        }
        let suffixed = |suffix, word| match name.strip_suffix(suffix) {
            Some(base) => (base, word),
            // Valid in the older format only; `unknown` allows any name.
            None => (name, "unknown"),
        };
        match family.kind {
            Kind::Counter => suffixed("_total", "counter"),
            Kind::Info => suffixed("_info", "info"),
            Kind::Gauge => (name, "gauge"),
            Kind::StateSet => (name, "stateset"),
            Kind::Histogram => (name, "histogram"),
            Kind::GaugeHistogram => (name, "gaugehistogram"),
            Kind::Summary => (name, "summary"),
            Kind::Untyped => (name, "unknown"),
        }
    }

    fn push_header(&mut self, family: &Family<'_>) {
        let (name, word) = self.header_of(family);
        let open = self.format.syntax == Syntax::OpenMetrics;
        let start = self.out.len();
        let has_help = !family.help.is_empty();
        self.out.extend_from_slice(if has_help { b"# HELP " } else { b"# TYPE " });
        let name_start = self.out.len();
        self.push_name(name);
        let name_end = self.out.len();
        if self.is_repeated(name_start, name_end) {
            self.out.truncate(start);
            return;
        }
        self.out.push(b' ');
        if has_help {
            push_escaped(self.out, family.help, open);
            self.push_meta(b"\n# TYPE ", name_start, name_end);
        }
        self.out.extend_from_slice(word.as_bytes());
        self.out.push(b'\n');
        // A unit that the name does not end in would make readers refuse the whole body.
        let base = name.strip_suffix(family.unit).and_then(|b| b.strip_suffix('_'));
        if open && !family.unit.is_empty() && base.is_some() {
            self.push_meta(b"# UNIT ", name_start, name_end);
            self.out.extend_from_slice(family.unit.as_bytes());
            self.out.push(b'\n');
        }
        self.header = Some(start);
    }

    fn push_meta(&mut self, what: &[u8], name_start: usize, name_end: usize) {
        self.out.extend_from_slice(what);
        self.out.extend_from_within(name_start..name_end);
        self.out.push(b' ');
    }

    /// Notes the family whose name stands there; true when it stood somewhere before.
    fn is_repeated(&mut self, start: usize, end: usize) -> bool {
        let hash = self.seen.hasher().hash_one(&self.out[start..end]);
        if let Some(&(a, b)) = self.seen.get(&hash) {
            let same = self.out[a..b] == self.out[start..end];
            if same {
                self.repeated.push(self.name.clone());
            }
            return same;
        }
        self.seen.insert(hash, (start, end));
        false
    }

    /// A metric name where it is not followed by labels.
    fn push_name(&mut self, name: &str) {
        if self.bare || is_metric_name(name) {
            self.out.extend_from_slice(name.as_bytes());
            return;
        }
        match self.format.escaping {
            Escaping::AllowUtf8 => push_quoted(self.out, name),
            scheme => self.out.extend_from_slice(scheme.name(name).as_bytes()),
        }
    }

    fn push_label_name(&mut self, name: &str) {
        let scheme = self.format.escaping;
        if is_label_name(name) && scheme != Escaping::Dots {
            self.out.extend_from_slice(name.as_bytes());
        } else if scheme == Escaping::AllowUtf8 {
            push_quoted(self.out, name);
        } else {
            // A colon is legal in the names of metrics only.
            let escaped = scheme.name(name).replace(':', "_");
            self.out.extend_from_slice(escaped.as_bytes());
        }
    }

    fn push_value(&mut self, name: &str, value: f64) {
        let open = self.format.syntax == Syntax::OpenMetrics;
        if !open {
            return push_float(self.out, value);
        }
        let suffix = name.get(self.name.len()..).unwrap_or("");
        let counts = match self.kind {
            Kind::Histogram | Kind::Summary => matches!(suffix, "_bucket" | "_count"),
            Kind::GaugeHistogram => matches!(suffix, "_bucket" | "_gcount" | "_count"),
            _ => false,
        };
        // Counts of observations are whole numbers and are written as such.
        if counts && (0.0..9e15).contains(&value) && value.trunc() == value {
            push_integer(self.out, value as i64);
        } else {
            push_open_float(self.out, value);
        }
    }
}

impl Sink for Writer<'_> {
    fn family(&mut self, family: &Family<'_>) {
        self.drop_empty_family();
        self.kind = family.kind;
        self.name.clear();
        self.name.push_str(family.name);
        self.bare = is_metric_name(family.name) && self.format.escaping != Escaping::Dots;
        self.push_header(family);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, time_ms: Option<i64>) {
        self.header = None;
        self.samples += 1;
        let open = self.format.syntax == Syntax::OpenMetrics;
        // Suffixes are plain, so a sample's name needs quotes where its family's does.
        let quoted = !self.bare && self.format.escaping == Escaping::AllowUtf8;
        let mut separator = b'{';
        if quoted && !is_metric_name(name) {
            self.out.push(separator);
            separator = b',';
        }
        self.push_name(name);
        for &(label, value) in labels {
            self.out.push(separator);
            separator = b',';
            self.push_label_name(label);
            self.out.extend_from_slice(b"=\"");
            let bound = match self.kind {
                Kind::Histogram | Kind::GaugeHistogram => label == "le",
                Kind::Summary => label == "quantile",
                _ => false,
            };
            push_escaped(self.out, value, true);
            // OpenMetrics writes bounds as floats: "1" is "1.0".
            if bound && open && value.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
                self.out.extend_from_slice(b".0");
            }
            self.out.push(b'"');
        }
        if separator == b',' {
            self.out.push(b'}');
        }
        self.out.push(b' ');
        self.push_value(name, value);
        if let Some(time_ms) = time_ms {
            self.out.push(b' ');
            if open {
                push_open_float(self.out, time_ms as f64 / 1000.0);
            } else {
                push_integer(self.out, time_ms);
            }
        }
        self.out.push(b'\n');
    }
}

fn push_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text, true);
    out.push(b'"');
}

/// Backslash and newline are escaped, a double quote only where asked.
fn push_escaped(out: &mut Vec<u8>, text: &str, quotes: bool) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr3(b'\\', b'\n', b'"', rest) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if !quotes => out.push(b'"'),
            other => out.extend_from_slice(&[b'\\', other]),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(format: Format, into: impl Fn(&mut Writer<'_>)) -> String {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, format);
        into(&mut writer);
        writer.finish();
        String::from_utf8(out).expect("utf-8")
    }

    fn some(writer: &mut Writer<'_>) {
        let family = |name, help, kind, unit| Family { name, help, kind, unit };
        writer.family(&family("a_seconds_total", "It's\n\"a\"\\.", Kind::Counter, "seconds"));
        writer.sample("a_seconds_total", &[("x", "a\"b\\c\nd"), ("y", "")], 1.0, Some(1_500));
        writer.family(&family("empty", "Nothing here.", Kind::Gauge, ""));
        writer.family(&family("h", "H.", Kind::Histogram, ""));
        writer.sample("h_bucket", &[("le", "1")], 3.0, None);
        writer.sample("h_bucket", &[("le", "+Inf")], 2e6, None);
        writer.sample("h_sum", &[], 0.5, None);
        writer.sample("h_count", &[], 2e6, None);
        writer.family(&family("os_info", "O.", Kind::Info, ""));
        writer.sample("os_info", &[("id", "debian")], 1.0, None);
        writer.family(&family("odd", "", Kind::Counter, "bytes"));
        writer.sample("odd", &[], f64::NAN, None);
        writer.family(&family("my.metric", "Dotted.", Kind::Gauge, ""));
        writer.sample("my.metric", &[("l.b", "v")], -1.0, None);
        writer.sample("my.metric", &[], -1.0, None);
        writer.family(&family("h", "Again.", Kind::Gauge, ""));
        writer.sample("h", &[], 1.0, None);
        assert_eq!(writer.repeated(), ["h"]);
    }

    #[test]
    fn text() {
        let expected = r#"# HELP a_seconds_total It's\n"a"\\.
# TYPE a_seconds_total counter
a_seconds_total{x="a\"b\\c\nd",y=""} 1 1500
# HELP h H.
# TYPE h histogram
h_bucket{le="1"} 3
h_bucket{le="+Inf"} 2e+06
h_sum 0.5
h_count 2e+06
# HELP os_info O.
# TYPE os_info gauge
os_info{id="debian"} 1
# TYPE odd counter
odd NaN
# HELP my_metric Dotted.
# TYPE my_metric gauge
my_metric{l_b="v"} -1
my_metric -1
h 1
"#;
        assert_eq!(write(Format::default(), some), expected);
    }

    #[test]
    fn open_metrics() {
        let expected = r#"# HELP a_seconds It's\n\"a\"\\.
# TYPE a_seconds counter
# UNIT a_seconds seconds
a_seconds_total{x="a\"b\\c\nd",y=""} 1.0 1.5
# HELP h H.
# TYPE h histogram
h_bucket{le="1.0"} 3
h_bucket{le="+Inf"} 2000000
h_sum 0.5
h_count 2000000
# HELP os O.
# TYPE os info
os_info{id="debian"} 1.0
# TYPE odd unknown
odd NaN
# HELP "my.metric" Dotted.
# TYPE "my.metric" gauge
{"my.metric","l.b"="v"} -1.0
{"my.metric"} -1.0
h 1.0
# EOF
"#;
        let format = Format { syntax: Syntax::OpenMetrics, escaping: Escaping::AllowUtf8 };
        assert_eq!(write(format, some), expected);
    }

    #[test]
    fn nothing_is_still_a_body() {
        assert_eq!(write(Format::default(), |_| ()), "");
        let open = Format { syntax: Syntax::OpenMetrics, ..Format::default() };
        assert_eq!(write(open, |_| ()), "# EOF\n");
    }
}
