//! Whole families read from a text, as plain data that outlives it.
//!
//! For readers that keep a text and pass it on (text files beside the collectors). Checked here is what
//! spans lines; the checks are those of Prometheus's `expfmt` text parser.

use super::format::Syntax;
use super::parser::{Event, ParseError, Parser};
use crate::{Family, Kind, Sink};
use std::collections::{HashMap, HashSet};

/// A family with its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct FamilyText {
    /// The name, of a counter with its `_total`.
    pub name: String,
    /// The help text; `None` where the text has none.
    pub help: Option<String>,
    /// The type; untyped where the text does not say.
    pub kind: Kind,
    /// The unit; empty where none is stated.
    pub unit: String,
    /// The samples in the text's order.
    pub samples: Vec<SampleText>,
}

/// A sample of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleText {
    /// The name, with the suffix of a histogram's or summary's parts.
    pub name: String,
    /// The labels, sorted by name.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
    /// Its own time in milliseconds since the Unix epoch, where it states one.
    pub time_ms: Option<i64>,
}

impl FamilyText {
    /// Writes the family into a sink.
    pub fn write(&self, sink: &mut dyn Sink) {
        sink.family(&Family {
            name: &self.name,
            help: self.help.as_deref().unwrap_or(""),
            kind: self.kind,
            unit: &self.unit,
        });
        let mut labels = Vec::new();
        for sample in &self.samples {
            labels.clear();
            labels.extend(sample.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            sink.sample(&sample.name, &labels, sample.value, sample.time_ms);
        }
    }
}

/// Reads a whole text into its families, in the order in which they first appear.
///
/// Errors, besides the parser's: a second type or help of one family, a type after the family's first
/// sample, a label name twice in one sample, a series twice.
pub fn read(input: &[u8], syntax: Syntax) -> Result<Vec<FamilyText>, ParseError> {
    let mut parser = Parser::new(input, syntax);
    let mut families = Families { syntax, list: Vec::new(), places: HashMap::new() };
    while let Some(event) = parser.next()? {
        let added = families.add(event);
        added.map_err(|what| ParseError { line: parser.line(), column: 1, what })?;
    }
    Ok(families.finish())
}

/// What names a sample: metric name, sorted labels, time.
type Series = (String, Vec<(String, String)>, Option<i64>);

struct Read {
    family: FamilyText,
    typed: bool,
    series: HashSet<Series>,
}

struct Families {
    syntax: Syntax,
    list: Vec<Read>,
    places: HashMap<String, usize>,
}

impl Families {
    fn add(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Help { name, text } => {
                let read = self.at(&name);
                if read.family.help.is_some() {
                    return Err(format!("second HELP line for metric {name:?}"));
                }
                read.family.help = Some(text.into_owned());
            }
            Event::Type { name, kind } => {
                let read = self.at(&name);
                if read.typed {
                    return Err(format!("second TYPE line for metric {name:?}"));
                }
                if !read.family.samples.is_empty() {
                    return Err(format!("TYPE line for metric {name:?} after its first sample"));
                }
                read.typed = true;
                read.family.kind = kind;
            }
            Event::Unit { name, unit } => self.at(&name).family.unit = unit.into(),
            Event::Sample(line) => {
                let pairs = line.labels.iter().map(|l| (l.name.to_string(), l.value.to_string()));
                let mut labels: Vec<_> = pairs.collect();
                labels.sort();
                if let Some(twice) = labels.windows(2).find(|w| w[0].0 == w[1].0) {
                    return Err(format!("label {:?} stands twice", twice[0].0));
                }
                let place = self.of_sample(&line.name);
                let read = &mut self.list[place];
                let name = line.name.into_owned();
                if !read.series.insert((name.clone(), labels.clone(), line.time_ms)) {
                    return Err(format!("a second sample of series {:?}", line.series));
                }
                let (value, time_ms) = (line.value, line.time_ms);
                read.family.samples.push(SampleText { name, labels, value, time_ms });
            }
        }
        Ok(())
    }

    fn at(&mut self, name: &str) -> &mut Read {
        let place = self.place(name);
        &mut self.list[place]
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let family = FamilyText {
            name: name.into(),
            help: None,
            kind: Kind::Untyped,
            unit: String::new(),
            samples: Vec::new(),
        };
        self.list.push(Read { family, typed: false, series: Default::default() });
        self.places.insert(name.into(), self.list.len() - 1);
        self.list.len() - 1
    }

    /// The family of a sample: that of its name, or of its name without the suffix of a part.
    fn of_sample(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        const PARTS: [&str; 8] =
            ["_bucket", "_count", "_sum", "_total", "_info", "_gcount", "_gsum", "_created"];
        for part in PARTS {
            let Some(base) = name.strip_suffix(part) else { continue };
            let Some(&place) = self.places.get(base) else { continue };
            let open = self.syntax == Syntax::OpenMetrics;
            let has = match self.list[place].family.kind {
                Kind::Histogram => matches!(part, "_bucket" | "_count" | "_sum"),
                Kind::Summary => matches!(part, "_count" | "_sum"),
                Kind::GaugeHistogram => matches!(part, "_bucket" | "_gcount" | "_gsum"),
                Kind::Counter => open && part == "_total",
                Kind::Info => open && part == "_info",
                _ => false,
            };
            let counts = !matches!(self.list[place].family.kind, Kind::GaugeHistogram);
            if has || open && counts && part == "_created" {
                return place;
            }
        }
        self.place(name)
    }

    /// The families that have samples, named as text 0.0.4 names them.
    fn finish(self) -> Vec<FamilyText> {
        let mut families: Vec<_> = self.list.into_iter().map(|r| r.family).collect();
        families.retain(|f| !f.samples.is_empty());
        if self.syntax == Syntax::OpenMetrics {
            for family in &mut families {
                match family.kind {
                    Kind::Counter => family.name.push_str("_total"),
                    Kind::Info => family.name.push_str("_info"),
                    _ => {}
                }
            }
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{Escaping, Format, Writer};
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        read(text.as_bytes(), Syntax::Text).expect_err(text).to_string()
    }

    #[test]
    fn samples_find_their_families() {
        let text = "# TYPE h histogram\n# HELP h Help.\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 1\n\
                    lonely 5 -7\n# TYPE c counter\nc_total 3\nc 4\n# TYPE never gauge\n";
        let families = read(text.as_bytes(), Syntax::Text).expect("reads");
        let shape: Vec<_> =
            families.iter().map(|f| (f.name.as_str(), f.kind, f.samples.len())).collect();
        let expected = [
            ("h", Kind::Histogram, 3),
            ("lonely", Kind::Untyped, 1),
            ("c", Kind::Counter, 1),
            ("c_total", Kind::Untyped, 1),
        ];
        assert_eq!(shape, expected);
        assert_eq!(families[0].help.as_deref(), Some("Help."));
        assert_eq!(families[1].samples[0].time_ms, Some(-7));

        let open = "# TYPE c counter\nc_total 3.0\nc_created 1.5\n# TYPE i info\ni_info{a=\"b\"} 1.0\n# EOF\n";
        let families = read(open.as_bytes(), Syntax::OpenMetrics).expect("reads");
        let shape: Vec<_> = families.iter().map(|f| (f.name.as_str(), f.samples.len())).collect();
        assert_eq!(shape, [("c_total", 2), ("i_info", 1)]);
    }

    #[test]
    fn what_spans_lines_is_checked() {
        assert_eq!(
            error("# HELP a x\n# HELP a y\n"),
            "line 2, column 1: second HELP line for metric \"a\""
        );
        assert!(
            error("# TYPE a gauge\n# TYPE a gauge\n").contains("line 2, column 1: second TYPE")
        );
        assert!(error("a 1\n\n# TYPE a gauge\n").starts_with("line 3, column 1: TYPE line"));
        assert!(error("a{x=\"1\",x=\"2\"} 1\n").contains("label \"x\" stands twice"));
        assert!(
            error("a{x=\"1\"} 1\nb 1\na{x=\"1\"} 2\n").starts_with("line 3, column 1: a second")
        );
        // The order of labels does not make another series.
        assert!(error("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n").contains("second sample"));
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![3 => "[a-z_:][a-z0-9_:]{0,8}", 1 => "[a-z][a-zé. \\n\"\\\\]{1,6}"]
    }

    fn family(i: usize) -> impl Strategy<Value = FamilyText> {
        let label = prop_oneof![3 => "[a-z_][a-z0-9_]{0,4}", 1 => "[a-zé.=\"\\\\ ]{1,4}"];
        let labels = prop::collection::btree_map(label, "[a-z\"\\\\\nü{},=# ]{0,6}", 0..4);
        let value = prop_oneof![any::<f64>(), (-1000_i32..1000).prop_map(f64::from)];
        let time = proptest::option::of(-1_000_000_i64..4_000_000_000_000);
        let samples = prop::collection::btree_map(labels, (value, time), 1..5);
        let kinds = [Kind::Counter, Kind::Gauge, Kind::Untyped, Kind::Info, Kind::StateSet];
        let kind = prop::sample::select(kinds.to_vec());
        let help = proptest::option::of("[a-z\"\\\\\nü#]([ a-z\"\\\\\nü#]{0,8}[a-z])?");
        (name(), kind, help, samples).prop_map(move |(name, kind, help, samples)| {
            let suffix = match kind {
                Kind::Counter => "_total",
                Kind::Info => "_info",
                _ => "",
            };
            let name = format!("{name}{i}{suffix}");
            let samples = samples.into_iter().map(|(labels, (value, time_ms))| SampleText {
                name: name.clone(),
                labels: labels.into_iter().collect(),
                value: if value == 0.0 { 0.0 } else { value },
                time_ms,
            });
            let samples = samples.collect();
            FamilyText { name, help, kind, unit: String::new(), samples }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            families in (1..5_usize).prop_flat_map(|n| (0..n).map(family).collect::<Vec<_>>()),
            open: bool,
        ) {
            let syntax = if open { Syntax::OpenMetrics } else { Syntax::Text };
            let mut out = Vec::new();
            let format = Format { syntax, escaping: Escaping::AllowUtf8 };
            let mut writer = Writer::new(&mut out, format);
            families.iter().for_each(|f| f.write(&mut writer));
            prop_assert!(writer.repeated().is_empty());
            writer.finish();
            let text = String::from_utf8_lossy(&out).into_owned();
            let back = read(&out, syntax);
            prop_assert!(back.is_ok(), "{:?} in {}", back, text);
            let mut expected = families.clone();
            if !open {
                for f in &mut expected {
                    let lost = matches!(f.kind, Kind::Info | Kind::StateSet);
                    f.kind = if lost { Kind::Gauge } else { f.kind };
                }
            }
            // NaN is not equal to itself.
            let plain = |f: &[FamilyText]| format!("{f:?}");
            prop_assert_eq!(plain(&back.unwrap_or_default()), plain(&expected), "{}", text);
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            crate::exposition::fuzz::read_write_read(&bytes);
        }

        #[test]
        fn no_almost_right_text_breaks_it(
            parts in prop::collection::vec(prop::sample::select(vec![
                "a", "b_total", "{", "}", "\"", "x=", "x=\"1\"", ",", " ", " 1", " 1e3", " NaN", "\n", "# ",
                "# TYPE a counter\n", "# TYPE a gauge\n", "# HELP a b\n", "# UNIT a a\n", "# EOF\n",
                " # {", "\\", "\\n", "é", "\t", "# TYPE b counter\n", " 12345", "{\"m.n\"}", "-",
            ]), 0..40),
        ) {
            crate::exposition::fuzz::read_write_read(parts.concat().as_bytes());
        }
    }
}
