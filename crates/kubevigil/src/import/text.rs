//! Text with a time on each sample: read piece by piece, put in order by the spill.

use super::spill::{Spill, TIMES_MS};
use super::{Damages, Target, TextOptions};
use crate::progress::count;
use anyhow::{Context, bail};
use clap::ValueEnum;
use model::exposition::{Event, ParseError, Parser, SampleLine, Syntax};
use model::labels::METRIC_NAME;
use model::{Labels, Sample, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use tsdb::Exemplar;

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// OpenMetrics 1.0: times in seconds, `# EOF` at the end
    Openmetrics,
    /// Prometheus text 0.0.4: times in milliseconds
    Text,
}

/// So much is read at once.
const PIECE: usize = 1 << 20;
/// Of more exemplars than this the oldest are left out: no more are kept.
const EXEMPLARS_MAX: usize = 100_000;
/// A line has at most so many bytes.
const LINE_MAX: usize = 16 << 20;

/// Imports a file, or standard input.
pub fn run(options: &TextOptions) -> anyhow::Result<ExitCode> {
    let standard = options.file == Path::new("-");
    let (input, size): (Box<dyn Read>, u64) = if standard {
        (Box::new(io::stdin().lock()), 0)
    } else {
        let file = File::open(&options.file);
        let file = file.with_context(|| format!("cannot open {}", options.file.display()))?;
        let size = file.metadata().map_or(0, |m| m.len());
        (Box::new(file), size)
    };
    let mut target = Target::open(&options.into)?;
    let mut spill = Spill::begin(&target.dir)?;
    let mut reader = Reader {
        name: if standard { "standard input".into() } else { options.file.display().to_string() },
        format: options.format,
        keep_going: options.keep_going,
        line: 0,
        ended: false,
        exemplars: Exemplars::default(),
        last: (String::new(), Labels::empty()),
        damage: Damages::default(),
    };
    let line = &mut target.line;
    let result = reader.read(input, &mut spill, &mut |done, samples| {
        line.show(&format!("reading: {} samples", count(samples)), done, size);
    });
    target.line.clear();
    result?;
    let (done, repeated) = spill.finish(&target.db, &mut target.line)?;
    target.done.add(&done);
    let mut notes = Vec::new();
    if repeated > 0 {
        notes.push(format!("{} samples left out: a line before had their time", count(repeated)));
    }
    let Exemplars { newest, total } = reader.exemplars;
    if total > 0 {
        let taken = target.db.import_exemplars(&newest.into_values().collect::<Vec<_>>())?;
        notes.push(format!("{} exemplars", count(taken)));
        if taken < total {
            let text = "exemplars left out: there already, too old or too long";
            notes.push(format!("{} {text}", count(total - taken)));
        }
    }
    target.finish(&options.file, &notes, &reader.damage)
}

struct Reader {
    name: String,
    format: Format,
    keep_going: bool,
    /// Lines that were read.
    line: usize,
    /// Whether the mark of the end came.
    ended: bool,
    exemplars: Exemplars,
    /// The series of the last line, as it stood there: most often the next line's too.
    last: (String, Labels),
    damage: Damages,
}

/// The newest exemplars of the text, each with its series.
#[derive(Default)]
struct Exemplars {
    /// By time, and then in the text's order.
    newest: BTreeMap<(i64, u64), (Labels, Exemplar)>,
    total: u64,
}

impl Exemplars {
    fn add(&mut self, series: &Labels, exemplar: Exemplar) {
        self.total += 1;
        self.newest.insert((exemplar.time_ms, self.total), (series.clone(), exemplar));
        if self.newest.len() > EXEMPLARS_MAX {
            self.newest.pop_first();
        }
    }
}

const END: &[u8] = b"# EOF\n";

impl Reader {
    fn read(
        &mut self,
        mut input: impl Read,
        spill: &mut Spill,
        progress: &mut dyn FnMut(u64, u64),
    ) -> anyhow::Result<()> {
        let (mut buffer, mut done) = (Vec::new(), 0);
        loop {
            let before = buffer.len();
            let read = (&mut input).take(PIECE as u64).read_to_end(&mut buffer);
            let read = read.with_context(|| format!("cannot read {}", self.name))?;
            done += read as u64;
            let whole = buffer.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            if read == 0 {
                // The last line may lack its end.
                if before > 0 {
                    buffer.push(b'\n');
                    self.lines(&buffer, spill)?;
                }
                break;
            }
            if whole == 0 && buffer.len() > LINE_MAX {
                bail!("{}: line {}: is longer than 16 MiB", self.name, self.line + 1);
            }
            self.lines(&buffer[..whole], spill)?;
            buffer.drain(..whole);
            progress(done, spill.total());
        }
        if self.format == Format::Openmetrics && !self.ended {
            let what = "the text does not end with # EOF: it was cut off, or is Prometheus's own \
                        format (--format text)";
            self.wrong(self.line + 1, 1, what)?;
        }
        Ok(())
    }

    /// Reads whole lines.
    fn lines(&mut self, text: &[u8], spill: &mut Spill) -> anyhow::Result<()> {
        if self.format == Format::Openmetrics {
            if self.ended && !text.is_empty() {
                return self.wrong(self.line + 1, 1, "text after # EOF");
            }
            if let Some(at) = find_end(text) {
                self.ended = true;
                let rest = &text[at + END.len()..];
                self.pieces(&text[..at], spill)?;
                self.line += 1;
                return match rest {
                    [] => Ok(()),
                    _ => self.wrong(self.line + 1, 1, "text after # EOF"),
                };
            }
        }
        self.pieces(text, spill)
    }

    /// Reads whole lines among which the end is not.
    fn pieces(&mut self, mut text: &[u8], spill: &mut Spill) -> anyhow::Result<()> {
        while !text.is_empty() {
            let begin = self.line;
            let Some(bad) = self.piece(text, spill)? else { return Ok(()) };
            // Behind the line that was left out.
            let ends = text.iter().enumerate().filter(|(_, b)| **b == b'\n');
            let skipped = ends.map(|(at, _)| at + 1).nth(bad - begin - 1);
            text = skipped.map_or(&[][..], |at| &text[at..]);
            self.line = bad;
        }
        Ok(())
    }

    /// Reads lines up to one that is wrong and is to be left out, whose number it gives.
    fn piece(&mut self, text: &[u8], spill: &mut Spill) -> anyhow::Result<Option<usize>> {
        let begin = self.line;
        let closed;
        let (syntax, text) = match self.format {
            Format::Text => (Syntax::Text, text),
            Format::Openmetrics => {
                closed = [text, END].concat();
                (Syntax::OpenMetrics, closed.as_slice())
            }
        };
        let mut parser = Parser::new(text, syntax);
        loop {
            let event = match parser.next() {
                Ok(None) => break,
                Ok(Some(event)) => event,
                Err(ParseError { line, column, what }) => {
                    self.wrong(begin + line, column, &what)?;
                    return Ok(Some(begin + line));
                }
            };
            let Event::Sample(sample) = event else { continue };
            let wrong = self.take(&sample, spill)?;
            if let Some(what) = wrong {
                let line = begin + parser.line();
                self.wrong(line, 1, what)?;
            }
        }
        let lines = text.iter().filter(|b| **b == b'\n').count();
        self.line = begin + lines - usize::from(self.format == Format::Openmetrics);
        Ok(None)
    }

    /// Adds a sample, or says why it cannot be one.
    fn take(
        &mut self,
        sample: &SampleLine<'_>,
        spill: &mut Spill,
    ) -> anyhow::Result<Option<&'static str>> {
        let Some(time_ms) = sample.time_ms else {
            return Ok(Some("the sample has no time"));
        };
        if !TIMES_MS.contains(&time_ms) {
            return Ok(Some("the time lies outside the years 1 to 9999"));
        }
        if self.last.0 != sample.series {
            let name = (METRIC_NAME, &*sample.name);
            let pairs = sample.labels.iter().map(|l| (&*l.name, &*l.value)).chain([name]);
            self.last = (sample.series.to_owned(), Labels::from_pairs(pairs));
        }
        if let Some(exemplar) = &sample.exemplar {
            let labels = exemplar.labels.iter().map(|l| (&*l.name, &*l.value));
            let (labels, value) = (Labels::from_pairs(labels), exemplar.value);
            let time_ms = exemplar.time_ms.unwrap_or(time_ms);
            if !TIMES_MS.contains(&time_ms) {
                return Ok(Some("the exemplar's time lies outside the years 1 to 9999"));
            }
            self.exemplars.add(&self.last.1, Exemplar { labels, value, time_ms });
        }
        let value = Value::Float(sample.value);
        spill.add(&self.last.1, Sample { time_ms, start_ms: 0, value })?;
        Ok(None)
    }

    /// Fails, or where it is to go on, notes what is wrong.
    fn wrong(&mut self, line: usize, column: usize, what: &str) -> anyhow::Result<()> {
        let text = format!("{}: line {line}, column {column}: {what}", self.name);
        if self.keep_going {
            self.damage.add(text);
            return Ok(());
        }
        bail!("{text}\nNothing was imported; --keep-going leaves such lines out")
    }
}

/// Where the line that ends the text begins.
fn find_end(text: &[u8]) -> Option<usize> {
    if text.starts_with(END) {
        return Some(0);
    }
    let begins = text.windows(END.len() + 1);
    begins.enumerate().find(|(_, w)| w[0] == b'\n' && &w[1..] == END).map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Columns, Selection, Storage};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Content = BTreeMap<(String, i64), u64>;

    fn content(db: &tsdb::Db) -> Content {
        let selection = Selection { start_ms: i64::MIN, end_ms: i64::MAX, ..Selection::default() };
        let mut set = db.select(&selection).unwrap();
        let (mut all, mut columns) = (Content::new(), Columns::default());
        while let Some(labels) = set.next().unwrap() {
            set.read(&mut columns).unwrap();
            for (time, value) in columns.times_ms.iter().zip(&columns.floats) {
                all.insert((labels.to_string(), *time), value.to_bits());
            }
        }
        all
    }

    fn open(dir: &Path) -> tsdb::Db {
        let options = tsdb::Options { background: false, retention_ms: 0, ..Default::default() };
        tsdb::Db::open(dir, options).unwrap()
    }

    fn read(
        text: &[u8],
        format: Format,
        keep_going: bool,
    ) -> (anyhow::Result<()>, Content, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path());
        let mut spill = Spill::begin(dir.path()).unwrap();
        let mut reader = Reader {
            name: "text".into(),
            format,
            keep_going,
            line: 0,
            ended: false,
            exemplars: Exemplars::default(),
            last: (String::new(), Labels::empty()),
            damage: Damages::default(),
        };
        let result = reader.read(text, &mut spill, &mut |_, _| {});
        if result.is_ok() {
            spill.finish(&db, &mut crate::progress::Line::new()).unwrap();
        }
        (result, content(&db), reader.damage.list)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_order_of_times_gives_the_same(lines in prop::collection::vec((0u8..5, -40i64..4000, 0u32..9), 0..60)) {
            let (mut text, mut expected) = (String::new(), Content::new());
            for (series, step, value) in &lines {
                // Weeks, with several samples a day.
                let time = step * 17_000_000;
                text += &format!("m{{s=\"{series}\"}} {value} {}\n", time as f64 / 1000.0);
                let key = (format!("m{{s=\"{series}\"}}"), time);
                expected.entry(key).or_insert(f64::from(*value).to_bits());
            }
            text += "# EOF\n";
            let (result, found, damage) = read(text.as_bytes(), Format::Openmetrics, false);
            prop_assert!(result.is_ok() && damage.is_empty(), "{:?} {:?}", result, damage);
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn wrong_lines_are_named_and_left_out_where_that_is_asked_for() {
        let text = "# TYPE a gauge\na 1 1.5\nb{x=\"y\" 2 2\nc 3\nd 4 4\nd 5 1e15\n# EOF\nmore\n";
        let expected = [
            "text: line 3, column ",
            "text: line 4, column 1: the sample has no time",
            "text: line 6, column 1: the time lies outside the years 1 to 9999",
            "text: line 8, column 1: text after # EOF",
        ];
        let (result, found, damage) = read(text.as_bytes(), Format::Openmetrics, true);
        result.unwrap();
        assert_eq!(damage.len(), expected.len(), "{damage:?}");
        for (damage, expected) in damage.iter().zip(expected) {
            assert!(damage.starts_with(expected), "{damage}");
        }
        let keys: Vec<_> = found.keys().map(|k| (k.0.as_str(), k.1)).collect();
        assert_eq!(keys, [("a", 1500), ("d", 4000)]);
        let (result, found, _) = read(text.as_bytes(), Format::Openmetrics, false);
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with("text: line 3, column "), "{error}");
        assert!(found.is_empty());
    }

    #[test]
    fn exemplars_come_along_in_the_order_of_their_times() {
        let text = "a 1 10 # {t=\"x\"} 0.5 9\nb 1 10\na 2 20 # {t=\"y\"} 0.6\n\
                    a 3 5 # {t=\"w\"} 0.7\nb 2 20 # {t=\"z\"} 0.8 1e15\n# EOF\n";
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("text.om");
        std::fs::write(&file, text).unwrap();
        let options = |keep_going| TextOptions {
            file: file.clone(),
            format: Format::Openmetrics,
            keep_going,
            into: super::super::Destination { data_dir: Some(dir.path().join("data")) },
        };
        assert!(run(&options(false)).is_err(), "a time far away");
        assert_eq!(run(&options(true)).unwrap(), ExitCode::FAILURE, "the line is named");
        let kept = || -> Vec<String> {
            let found = open(&dir.path().join("data")).exemplars(&[vec![]], 0, i64::MAX);
            let one = |labels: &Labels, e: &Exemplar| {
                format!("{labels} {} {} {}", e.labels, e.value, e.time_ms)
            };
            found.iter().flat_map(|(l, list)| list.iter().map(move |e| one(l, e))).collect()
        };
        let expected = ["a {t=\"w\"} 0.7 5000", "a {t=\"x\"} 0.5 9000", "a {t=\"y\"} 0.6 20000"];
        assert_eq!(kept(), expected);
        run(&options(true)).unwrap();
        assert_eq!(kept(), expected, "again");
    }

    #[test]
    fn each_format_has_its_times() {
        let (result, found, _) = read(b"a 1 1500\r", Format::Text, false);
        assert!(result.is_err() && found.is_empty());
        let (result, found, _) = read(b"\n# any\na 1 1500\nb 2 -7", Format::Text, false);
        result.unwrap();
        assert_eq!(found.keys().map(|k| k.1).collect::<Vec<_>>(), [1500, -7]);
        let (result, _, _) = read(b"a 1 1500\n", Format::Openmetrics, false);
        let error = result.unwrap_err().to_string();
        assert!(
            error.starts_with("text: line 2, column 1: the text does not end with # EOF"),
            "{error}"
        );
    }
}
