//! A plain reader of the text exposition format, for holding two programs' answers against each other.
//!
//! Written apart from the programs' own reader on purpose. Format: Prometheus's "Exposition formats", text
//! format 0.0.4. Reads what a correct writer writes, and refuses the rest by line.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;

/// Labels by name, without those whose value is empty (the format's "absent").
pub type Labels = BTreeMap<String, String>;

/// What one answer says.
#[derive(Default)]
pub struct Exposition {
    /// HELP and TYPE of each family.
    pub families: BTreeMap<String, (String, String)>,
    /// Every sample, by name and labels.
    pub samples: BTreeMap<(String, Labels), Sample>,
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Its value.
    pub value: f64,
    /// Its own time in milliseconds since the epoch, if it states one.
    pub time_ms: Option<i64>,
}

impl Exposition {
    /// Reads a whole answer. Errors name the line.
    pub fn read(text: &str) -> Result<Exposition> {
        let mut read = Exposition::default();
        for (at, line) in text.lines().enumerate() {
            read.line(line).with_context(|| format!("line {}: {line:?}", at + 1))?;
        }
        Ok(read)
    }

    /// The samples of one name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Labels, Sample)> {
        self.samples
            .iter()
            .filter(move |((n, _), _)| n == name)
            .map(|((_, labels), sample)| (labels, *sample))
    }

    /// The one sample of a name that has all of the labels given.
    pub fn one(&self, name: &str, labels: &[(&str, &str)]) -> Result<Sample> {
        let all = self.all(name, labels);
        match all[..] {
            [sample] => Ok(sample),
            _ => bail!("{} samples of {name} with {labels:?}, not one", all.len()),
        }
    }

    /// All samples of a name that have all of the labels given.
    pub fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<Sample> {
        let has =
            |l: &Labels| labels.iter().all(|(k, v)| l.get(*k).map_or("", String::as_str) == *v);
        self.named(name).filter(|(l, _)| has(l)).map(|(_, s)| s).collect()
    }

    fn line(&mut self, line: &str) -> Result<()> {
        for (keyword, is_help) in [("# HELP ", true), ("# TYPE ", false)] {
            if let Some(rest) = line.strip_prefix(keyword) {
                let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
                let family = self.families.entry(name.into()).or_default();
                let field = if is_help { &mut family.0 } else { &mut family.1 };
                if !field.is_empty() {
                    bail!("a second {keyword}line");
                }
                *field = text.into();
                return Ok(());
            }
        }
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let name_end = line.find(['{', ' ']).context("no value")?;
        let (name, mut rest) = line.split_at(name_end);
        let mut labels = Labels::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = read_labels(inside, &mut labels)?;
        }
        let mut fields = rest.split_whitespace();
        let value = match fields.next().context("no value")? {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            text => text.parse().with_context(|| format!("value {text:?}"))?,
        };
        let time_ms = fields.next().map(str::parse).transpose().context("time")?;
        if self.samples.insert((name.into(), labels), Sample { value, time_ms }).is_some() {
            bail!("a second sample of the same series");
        }
        Ok(())
    }
}

/// Reads `name="value",…}` and gives what follows.
fn read_labels<'a>(mut rest: &'a str, labels: &mut Labels) -> Result<&'a str> {
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        let (name, after) = rest.split_once("=\"").context("no value of a label")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            let (at, character) = characters.next().context("a label's value does not end")?;
            match character {
                '"' => break at,
                '\\' => {
                    value.push(match characters.next().context("a label's value does not end")?.1 {
                        'n' => '\n',
                        other => other,
                    })
                }
                other => value.push(other),
            }
        };
        if !value.is_empty() {
            labels.insert(name.trim_start_matches(',').trim().into(), value);
        }
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}
