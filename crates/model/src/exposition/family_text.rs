//! Whole families read from a text, as plain data that outlives it.
//!
//! For readers that keep a text and pass it on (text files beside the collectors). Checked here is what
//! spans lines; the checks are those of Prometheus's `expfmt` text parser.

use super::format::Syntax;
use super::parser::{Event, ParseError, Parser};
use crate::{Family, Kind, Sink};
use std::collections::HashMap;

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
    let mut families = Families { syntax, list: Vec::new(), places: HashMap::new(), column: 1 };
    loop {
        let line = parser.line();
        let event = match parser.next()? {
            Some(event) => event,
            None => break,
        };
        if let Err(what) = families.add(event) {
            let line = parser.line().max(line);
            return Err(ParseError { line, column: families.column, what });
        }
    }
    Ok(families.finish())
}

struct Read {
    family: FamilyText,
    typed: bool,
    series: std::collections::HashSet<(String, Vec<(String, String)>, Option<i64>)>,
}

struct Families {
    syntax: Syntax,
    list: Vec<Read>,
    places: HashMap<String, usize>,
    column: usize,
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
