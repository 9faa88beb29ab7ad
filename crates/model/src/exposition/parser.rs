//! Text read: one event a line, names and labels borrowed from the text.
//!
//! Accepted is what Prometheus's scraper accepts (`model/textparse`), with two differences, both on the
//! strict side: a quoted string ends on its line, and the whole text is UTF-8. Never judged here is
//! what spans lines: types that contradict, series that repeat.

use super::format::Syntax;
use super::number::parse_float;
use crate::Kind;
use crate::labels::{is_label_name, is_metric_name};
use std::borrow::Cow;

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'p> {
    /// `# TYPE name kind`
    Type {
        /// The family's name as the line has it (OpenMetrics: without `_total`).
        name: Cow<'p, str>,
        /// Its type.
        kind: Kind,
    },
    /// `# HELP name text`
    Help {
        /// The family's name.
        name: Cow<'p, str>,
        /// The text, unescaped.
        text: Cow<'p, str>,
    },
    /// `# UNIT name unit`, OpenMetrics only.
    Unit {
        /// The family's name.
        name: Cow<'p, str>,
        /// The unit; may be empty.
        unit: &'p str,
    },
    /// A sample.
    Sample(SampleLine<'p>),
}

/// A label as it stands in the text: unsorted, possibly with an empty value.
#[derive(Clone, Debug, PartialEq)]
pub struct Label<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its value, unescaped.
    pub value: Cow<'a, str>,
}

/// A sample as it stands in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleLine<'p> {
    /// Name and labels, raw: the same bytes name the same series round after round.
    pub series: &'p str,
    /// The metric name.
    pub name: Cow<'p, str>,
    /// The labels in the text's order.
    pub labels: &'p [Label<'p>],
    /// The value; any NaN is the one that a scraped NaN becomes.
    pub value: f64,
    /// The sample's own time in milliseconds since the Unix epoch, where it states one.
    pub time_ms: Option<i64>,
    /// The exemplar, OpenMetrics only.
    pub exemplar: Option<Exemplar<'p>>,
}

/// An example of what was counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'p> {
    /// Its labels.
    pub labels: &'p [Label<'p>],
    /// Its value.
    pub value: f64,
    /// Its time in milliseconds since the Unix epoch, where it states one.
    pub time_ms: Option<i64>,
}

/// Why a text could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// In bytes, counted from 1.
    pub column: usize,
    /// What was expected, and what was there.
    pub what: String,
}

/// Reads a text line by line. After an error it gives nothing more.
pub struct Parser<'a> {
    syntax: Syntax,
    /// The part of the input that is UTF-8.
    text: &'a str,
    /// Whether the input goes on behind `text` with bytes that are not UTF-8.
    broken: bool,
    at: usize,
    line: usize,
    ended: bool,
    labels: Vec<Label<'a>>,
    exemplar_labels: Vec<Label<'a>>,
}

impl<'a> Parser<'a> {
    /// A parser of a whole body.
    pub fn new(input: &'a [u8], syntax: Syntax) -> Parser<'a> {
        let (text, broken) = match std::str::from_utf8(input) {
            Ok(text) => (text, false),
            Err(e) => (std::str::from_utf8(&input[..e.valid_up_to()]).unwrap_or(""), true),
        };
        Parser {
            syntax,
            text,
            broken,
            at: 0,
            line: 0,
            ended: false,
            labels: Vec::new(),
            exemplar_labels: Vec::new(),
        }
    }

    /// The number of the line read last, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The next line that says something; `None` at the end. Comments and (in text 0.0.4) blank lines
    /// are passed over.
    #[allow(clippy::should_implement_trait)] // an iterator could not lend the labels
    pub fn next(&mut self) -> Result<Option<Event<'_>>, ParseError> {
        let parsed = loop {
            if self.ended {
                return Ok(None);
            }
            match self.next_line() {
                Ok(None) => return Ok(None),
                Ok(Some(Parsed::Nothing)) => {}
                Ok(Some(parsed)) => break parsed,
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        };
        Ok(Some(match parsed {
            Parsed::Meta(event) => event,
            Parsed::Sample { series, name, value, time_ms, exemplar } => {
                Event::Sample(SampleLine {
                    series,
                    name,
                    labels: &self.labels,
                    value,
                    time_ms,
                    exemplar: exemplar.map(|(value, time_ms)| Exemplar {
                        labels: &self.exemplar_labels,
                        value,
                        time_ms,
                    }),
                })
            }
            // The loop above ends with neither.
            Parsed::Nothing => return Ok(None),
        }))
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        if self.ended { &[] } else { &self.text.as_bytes()[self.at..] }
    }

    /// Reads value and time of the next line, of which the first `length` bytes name a series just as
    /// they did in a line that was read before. `None`, and nothing is read, where [`Parser::next`] has to
    /// look at the line: it names another series, has an exemplar, or is wrong.
    pub fn next_known(&mut self, length: usize) -> Option<(f64, Option<i64>)> {
        let rest = self.text.get(self.at..)?;
        let (series, after) = (rest.get(..length)?, rest.get(length..)?);
        let end = memchr::memchr(b'\n', after.as_bytes())?;
        let after = after[..end].strip_prefix(' ')?;
        // What a line of text starts is not always what it says: `a {b="c"} 1`.
        let (value, time) = match after.split_once(' ') {
            Some((value, time)) => (value, Some(time)),
            None => (after, None),
        };
        let open = self.syntax == Syntax::OpenMetrics;
        let time_ms = match time {
            None => None,
            Some(_) if open => return None,
            Some(time) => Some(milliseconds(time)?),
        };
        let bare = !series.ends_with('}');
        let value = parse_float(value).filter(|_| !bare || !value.starts_with('{'))?;
        self.line += 1;
        self.at += length + end + 1;
        Some((value, time_ms))
    }

    fn next_line(&mut self) -> Result<Option<Parsed<'a>>, ParseError> {
        let rest = &self.text[self.at..];
        if rest.is_empty() && !self.broken {
            self.ended = true;
            return match self.syntax {
                Syntax::Text => Ok(None),
                Syntax::OpenMetrics => Err(ParseError {
                    line: self.line + 1,
                    column: 1,
                    what: "the text does not end with # EOF: it was cut off".into(),
                }),
            };
        }
        self.line += 1;
        let (line, ends) = match memchr::memchr(b'\n', rest.as_bytes()) {
            Some(end) => (&rest[..end], true),
            None => (rest, false),
        };
        if !ends && self.broken {
            let what = "not UTF-8".to_string();
            return Err(ParseError { line: self.line, column: line.len() + 1, what });
        }
        self.at += line.len() + usize::from(ends);
        let mut reader =
            LineReader { line, at: 0, number: self.line, open: self.syntax == Syntax::OpenMetrics };
        if reader.open && line == "# EOF" {
            self.ended = true;
            if self.at < self.text.len() || self.broken {
                return Err(ParseError {
                    line: self.line + 1,
                    column: 1,
                    what: "text after # EOF".into(),
                });
            }
            return Ok(None);
        }
        if reader.open && !ends {
            return Err(
                reader.error(line.len(), "the text does not end with # EOF: it was cut off")
            );
        }
        reader.read(&mut self.labels, &mut self.exemplar_labels).map(Some)
    }
}

enum Parsed<'a> {
    Nothing,
    Meta(Event<'a>),
    Sample {
        series: &'a str,
        name: Cow<'a, str>,
        value: f64,
        time_ms: Option<i64>,
        exemplar: Option<(f64, Option<i64>)>,
    },
}

/// One line, without its end.
struct LineReader<'a> {
    line: &'a str,
    at: usize,
    number: usize,
    open: bool,
}

impl<'a> LineReader<'a> {
    fn error(&self, at: usize, what: impl Into<String>) -> ParseError {
        ParseError { line: self.number, column: at + 1, what: what.into() }
    }

    /// An error that says what was expected and quotes what is there.
    fn expected(&self, what: &str) -> ParseError {
        let rest: String = self.line[self.at..].chars().take(40).collect();
        let got = if rest.is_empty() { "the end of the line".into() } else { format!("{rest:?}") };
        self.error(self.at, format!("expected {what}, got {got}"))
    }

    fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// Passes over blanks, which only text 0.0.4 allows everywhere.
    fn blanks(&mut self) {
        if !self.open {
            while matches!(self.peek(), Some(b' ' | b'\t')) {
                self.at += 1;
            }
        }
    }

    /// The blank before a value: one space in OpenMetrics, any or none in text 0.0.4.
    fn separator(&mut self) -> Result<(), ParseError> {
        if !self.open {
            self.blanks();
        } else if !self.eat(b' ') {
            return Err(self.expected("a space"));
        }
        Ok(())
    }

    fn while_(&mut self, holds: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        let bytes = self.line.as_bytes();
        while self.at < bytes.len() && holds(bytes[self.at]) {
            self.at += 1;
        }
        // Only ASCII bytes satisfy or end what is asked for here, so both ends are boundaries.
        self.line.get(start..self.at).unwrap_or("")
    }

    fn read(
        &mut self,
        labels: &mut Vec<Label<'a>>,
        exemplar_labels: &mut Vec<Label<'a>>,
    ) -> Result<Parsed<'a>, ParseError> {
        self.blanks();
        match self.peek() {
            None if self.open => Err(self.expected("a sample or a comment")),
            None => Ok(Parsed::Nothing),
            Some(b'#') => self.comment(),
            Some(_) => self.sample(labels, exemplar_labels),
        }
    }

    fn comment(&mut self) -> Result<Parsed<'a>, ParseError> {
        let start = self.at;
        self.at += 1;
        if self.open && self.peek() != Some(b' ') {
            return Err(self.expected("a space after #"));
        }
        let blank = |b: u8| b == b' ' || b == b'\t';
        if self.while_(blank).is_empty() {
            return Ok(Parsed::Nothing);
        }
        let word = self.while_(|b| !blank(b));
        let known = matches!(word, "HELP" | "TYPE") || self.open && word == "UNIT";
        if !known || self.peek().is_none() {
            if self.open {
                self.at = start;
                return Err(self.expected("# HELP, # TYPE, # UNIT or # EOF"));
            }
            return Ok(Parsed::Nothing);
        }
        if self.open {
            self.at += 1;
        } else {
            self.while_(blank);
        }
        let name = match self.peek() {
            Some(b'"') => self.quoted("a metric name")?,
            _ => {
                let name = self.while_(|b| !blank(b));
                if !is_metric_name(name) {
                    self.at -= name.len();
                    return Err(self.expected("a metric name"));
                }
                Cow::Borrowed(name)
            }
        };
        let text_at = self.at + usize::from(self.at < self.line.len());
        let text = self.line.get(text_at..).unwrap_or("");
        self.at = text_at;
        match word {
            "HELP" => Ok(Parsed::Meta(Event::Help { name, text: unescape(text, self.open) })),
            "UNIT" => self.unit(name, text),
            _ => {
                let kind = self.kind(if self.open { text } else { text.trim() })?;
                Ok(Parsed::Meta(Event::Type { name, kind }))
            }
        }
    }

    fn unit(&self, name: Cow<'a, str>, unit: &'a str) -> Result<Parsed<'a>, ParseError> {
        let base = name.strip_suffix(unit).and_then(|b| b.strip_suffix('_'));
        if !unit.is_empty() && base.is_none() {
            let what = format!("unit {unit:?} is not the end of the metric name {name:?}");
            return Err(self.error(self.at, what));
        }
        Ok(Parsed::Meta(Event::Unit { name, unit }))
    }

    fn kind(&self, word: &str) -> Result<Kind, ParseError> {
        Ok(match (word, self.open) {
            ("counter", _) => Kind::Counter,
            ("gauge", _) => Kind::Gauge,
            ("histogram", _) => Kind::Histogram,
            ("summary", _) => Kind::Summary,
            ("untyped", false) | ("unknown", true) => Kind::Untyped,
            ("gaugehistogram", true) => Kind::GaugeHistogram,
            ("info", true) => Kind::Info,
            ("stateset", true) => Kind::StateSet,
            _ => return Err(self.error(self.at, format!("invalid metric type {word:?}"))),
        })
    }

    fn sample(
        &mut self,
        labels: &mut Vec<Label<'a>>,
        exemplar_labels: &mut Vec<Label<'a>>,
    ) -> Result<Parsed<'a>, ParseError> {
        let start = self.at;
        labels.clear();
        let bare = self.while_(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':');
        let mut name = None;
        if !bare.is_empty() {
            if bare.as_bytes()[0].is_ascii_digit() {
                self.at = start;
                return Err(self.expected("a metric name"));
            }
            name = Some(Cow::Borrowed(bare));
        } else if self.peek() != Some(b'{') {
            return Err(self.expected("a metric name"));
        }
        let mut end = self.at;
        self.blanks();
        if self.eat(b'{') {
            self.labels(labels, &mut name, true)?;
            end = self.at;
        }
        let Some(name) = name else { return Err(self.error(start, "no metric name")) };
        let series = self.line.get(start..end).unwrap_or("");
        let value = self.value()?;
        let (mut time_ms, mut exemplar) = (None, None);
        if !self.at_end() {
            if self.open && self.line[self.at..].starts_with(" # {") {
                exemplar = Some(self.exemplar(exemplar_labels)?);
            } else {
                time_ms = Some(self.time()?);
                if self.open && self.line[self.at..].starts_with(" # {") {
                    exemplar = Some(self.exemplar(exemplar_labels)?);
                }
            }
        }
        if !self.at_end() {
            return Err(self.expected("the end of the line"));
        }
        Ok(Parsed::Sample { series, name, value, time_ms, exemplar })
    }

    fn at_end(&mut self) -> bool {
        self.blanks();
        self.at == self.line.len()
    }

    /// Reads from behind `{` to behind `}`.
    fn labels(
        &mut self,
        labels: &mut Vec<Label<'a>>,
        metric: &mut Option<Cow<'a, str>>,
        takes_metric: bool,
    ) -> Result<(), ParseError> {
        loop {
            self.blanks();
            if self.eat(b'}') {
                return Ok(());
            }
            let name_at = self.at;
            let name = match self.peek() {
                Some(b'"') => {
                    let name = self.quoted("a label name")?;
                    self.blanks();
                    if takes_metric && matches!(self.peek(), Some(b',' | b'}')) {
                        if metric.is_some() {
                            return Err(self.error(name_at, "a second metric name"));
                        }
                        *metric = Some(name);
                        self.eat(b',');
                        continue;
                    }
                    name
                }
                _ => {
                    let name = self.while_(|b| b.is_ascii_alphanumeric() || b == b'_');
                    if !is_label_name(name) {
                        self.at = name_at;
                        return Err(self.expected("a label name"));
                    }
                    self.blanks();
                    Cow::Borrowed(name)
                }
            };
            if !self.eat(b'=') {
                return Err(self.expected("="));
            }
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.expected("a label value in double quotes"));
            }
            let value = self.quoted("a label value")?;
            labels.push(Label { name, value });
            self.blanks();
            // A comma at the end is allowed; text 0.0.4 readers let it be left out altogether.
            if !self.eat(b',') && self.open && self.peek() != Some(b'}') {
                return Err(self.expected(", or }"));
            }
        }
    }

    /// A string in double quotes, unescaped.
    fn quoted(&mut self, what: &str) -> Result<Cow<'a, str>, ParseError> {
        let start = self.at + 1;
        let bytes = self.line.as_bytes();
        let (mut at, mut escaped) = (start, false);
        while let Some(found) = bytes.get(at..).and_then(|b| memchr::memchr2(b'"', b'\\', b)) {
            at += found;
            if bytes[at] == b'"' {
                self.at = at + 1;
                let raw = &self.line[start..at];
                return Ok(if escaped { unescape(raw, true) } else { Cow::Borrowed(raw) });
            }
            escaped = true;
            at += 2;
        }
        Err(self.error(start - 1, format!("{what} without its closing quote")))
    }

    fn value(&mut self) -> Result<f64, ParseError> {
        self.separator()?;
        let start = self.at;
        let open = self.open;
        let token = self.while_(|b| b != b' ' && (open || b != b'\t' && b != b'{'));
        parse_float(token).ok_or_else(|| {
            self.at = start;
            self.expected("a number")
        })
    }

    fn time(&mut self) -> Result<i64, ParseError> {
        self.separator()?;
        let start = self.at;
        let token = self.while_(|b| b != b' ' && b != b'\t');
        let time_ms = if self.open {
            let seconds = parse_float(token).filter(|s| s.is_finite());
            // Rounded: to cut would lose a millisecond of what was written from milliseconds.
            seconds.map(|s| (s * 1000.0).round() as i64)
        } else {
            milliseconds(token)
        };
        time_ms.ok_or_else(|| {
            self.at = start;
            self.expected("a timestamp")
        })
    }

    fn exemplar(&mut self, labels: &mut Vec<Label<'a>>) -> Result<(f64, Option<i64>), ParseError> {
        labels.clear();
        self.at += " # {".len();
        self.labels(labels, &mut None, false)?;
        let value = self.value()?;
        let time_ms = if self.at_end() { None } else { Some(self.time()?) };
        Ok((value, time_ms))
    }
}

/// A time of text 0.0.4.
fn milliseconds(token: &str) -> Option<i64> {
    let digits = token.strip_prefix('-').unwrap_or(token);
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    if plain { token.parse().ok() } else { None }
}

/// `\\`, `\n` and, where asked, `\"` undone; any other backslash stands for itself.
fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('\\') => out.push('\\'),
            Some('"') if quotes => out.push('"'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, syntax: Syntax) -> Result<Vec<String>, ParseError> {
        let mut parser = Parser::new(text.as_bytes(), syntax);
        let mut lines = Vec::new();
        while let Some(event) = parser.next()? {
            lines.push(match event {
                Event::Type { name, kind } => format!("type {name} {kind:?}"),
                Event::Help { name, text } => format!("help {name} {text:?}"),
                Event::Unit { name, unit } => format!("unit {name} {unit}"),
                Event::Sample(s) => {
                    let labels = |l: &[Label<'_>]| -> String {
                        l.iter().map(|l| format!(" {}={:?}", l.name, l.value)).collect()
                    };
                    let time = s.time_ms.map_or(String::new(), |t| format!(" at {t}"));
                    let exemplar = s.exemplar.map_or(String::new(), |e| {
                        format!(" #{} {} {:?}", labels(e.labels), e.value, e.time_ms)
                    });
                    format!("{}{} {}{time}{exemplar}", s.name, labels(s.labels), s.value)
                }
            });
        }
        Ok(lines)
    }

    /// What Prometheus's own parser takes from the same text.
    #[test]
    fn text_as_prometheus_reads_it() {
        let text = "# HELP go_gc A summary.\\n\\\\ \"quoted\"\n#\tTYPE go_gc summary\n\
            go_gc{quantile=\"0\"} 4.9351e-05\ngo_gc { quantile = \"0.25\" , } 7.424100000000001e-05\t 99\n\
            # just a comment\n#no blank\n# HELP\n\n \t\nwind{a=\"b\\\"c\\\\d\\ne\\x\",empty=\"\"} +Inf\n\
            {\"dotted.name\",\"l.b\"=\"v\" x=\"y\"} -0\n  lead:ing_0 NaN 1\n# TYPE \"q.t\" gauge  \nlast{} 1";
        let expected = [
            "help go_gc \"A summary.\\n\\\\ \\\"quoted\\\"\"",
            "type go_gc Summary",
            "go_gc quantile=\"0\" 0.000049351",
            "go_gc quantile=\"0.25\" 0.00007424100000000001 at 99",
            "wind a=\"b\\\"c\\\\d\\ne\\\\x\" empty=\"\" inf",
            "dotted.name l.b=\"v\" x=\"y\" -0",
            "lead:ing_0 NaN at 1",
            "type q.t Gauge",
            "last 1",
        ];
        assert_eq!(all(text, Syntax::Text).expect("reads"), expected);
    }

    /// Lines read by their known beginning say what they say when they are read whole; of any others
    /// nothing is read.
    #[test]
    fn known_lines_say_what_whole_lines_say() {
        for (syntax, line) in [
            (Syntax::Text, "a{b=\"c\"} 1\n"),
            (Syntax::Text, "a{b=\"}\"} -1.5e3 1234\n"),
            (Syntax::Text, "a 1\n"),
            (Syntax::Text, "a NaN -5\n"),
            (Syntax::Text, "a  1\n"),
            (Syntax::Text, "a{b=\"c\"}\t1\n"),
            (Syntax::Text, "a 1 \n"),
            (Syntax::Text, "a one\n"),
            (Syntax::Text, "a 1 2 3\n"),
            (Syntax::Text, "a 1"),
            (Syntax::OpenMetrics, "a_total{b=\"c\"} 1.0\n# EOF\n"),
            (Syntax::OpenMetrics, "a_total 1.0 1.5\n# EOF\n"),
            (Syntax::OpenMetrics, "a_total 1.0 # {x=\"y\"} 1\n# EOF\n"),
        ] {
            let length = line.find([' ', '\t']).expect("a blank");
            let mut whole = Parser::new(line.as_bytes(), syntax);
            let whole = match whole.next() {
                Ok(Some(Event::Sample(s))) => Some((s.value.to_bits(), s.time_ms)),
                _ => None,
            };
            let mut known = Parser::new(line.as_bytes(), syntax);
            let before = (known.rest(), known.line());
            match known.next_known(length) {
                Some((value, time)) => {
                    assert_eq!(Some((value.to_bits(), time)), whole, "{line}");
                    assert_eq!(known.line(), 1);
                    assert!(known.rest().is_empty() || known.rest() == b"# EOF\n");
                }
                None => assert_eq!((known.rest(), known.line()), before, "{line}"),
            }
        }
        // The beginning of a longer name, and of labels behind a blank.
        assert_eq!(Parser::new(b"ab 1\n", Syntax::Text).next_known(1), None);
        assert_eq!(Parser::new(b"a {b=\"c\"} 1\n", Syntax::Text).next_known(1), None);
    }

    #[test]
    fn open_metrics_as_prometheus_reads_it() {
        let text = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds It's.\n\
            a_seconds_total{x=\"y\",} 17.0 1520879607.789 # {id=\"a b\"} 5.0 123.456\n\
            a_seconds_total 1 # {} 2\n# TYPE b unknown\nb 1e3\n{\"c.d\"} 1\n# EOF\n";
        let expected = [
            "type a_seconds Counter",
            "unit a_seconds seconds",
            "help a_seconds \"It's.\"",
            "a_seconds_total x=\"y\" 17 at 1520879607789 # id=\"a b\" 5 Some(123456)",
            "a_seconds_total 1 # 2 None",
            "type b Untyped",
            "b 1000",
            "c.d 1",
        ];
        assert_eq!(all(text, Syntax::OpenMetrics).expect("reads"), expected);
        assert_eq!(all("# EOF", Syntax::OpenMetrics).expect("reads").len(), 0);
    }

    #[test]
    fn errors_name_line_and_column() {
        let text = |t: &str| all(t, Syntax::Text).expect_err(t).to_string();
        let open = |t: &str| all(t, Syntax::OpenMetrics).expect_err(t).to_string();
        assert_eq!(
            text("a 1\n\nb{x=\"1\"\n"),
            "line 3, column 8: expected a label name, got the end of the line"
        );
        assert_eq!(text("a one\n"), "line 1, column 3: expected a number, got \"one\"");
        assert_eq!(text("a 1 2 3\n"), "line 1, column 7: expected the end of the line, got \"3\"");
        assert!(text("a 1 1.5\n").contains("expected a timestamp"));
        assert!(text("a\n").contains("expected a number, got the end of the line"));
        assert!(text("1a 1\n").contains("column 1: expected a metric name"));
        assert!(text("a{b=\"c} 1\n").contains("column 5: a label value without its closing quote"));
        assert!(text("a{\"b\"} 1\n").contains("a second metric name"));
        assert!(text("{x=\"b\"} 1\n").contains("no metric name"));
        assert!(text("# TYPE a info\n").contains("invalid metric type \"info\""));
        assert!(text("a{b=c} 1\n").contains("a label value in double quotes"));
        let mut parser = Parser::new(b"a 1\nb{c=\"\xff\"} 1\n", Syntax::Text);
        assert!(matches!(parser.next(), Ok(Some(_))));
        let error = parser.next().expect_err("not UTF-8").to_string();
        assert_eq!(error, "line 2, column 6: not UTF-8");
        assert_eq!(parser.next(), Ok(None));

        assert!(open("a 1\n").contains("line 2, column 1: the text does not end with # EOF"));
        assert!(open("a 1").contains("does not end with # EOF"));
        assert!(open("# EOF\na 1\n").contains("line 2, column 1: text after # EOF"));
        assert!(open("\n# EOF\n").contains("expected a sample or a comment"));
        assert!(open("a  1\n# EOF\n").contains("expected a number"));
        assert!(open("# UNIT a s\n# EOF\n").contains("not the end of the metric name"));
        assert!(open("# foo\n# EOF\n").contains("expected # HELP"));
        assert!(open("a 1 nan\n# EOF\n").contains("expected a timestamp"));
    }
}
