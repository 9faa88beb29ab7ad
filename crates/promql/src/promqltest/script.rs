//! Reads a script into commands.

use super::series::{Item, parse_metric, parse_series, parse_starts};
use crate::duration::parse_duration;
use crate::literal::{parse_number, unquote};
use model::matcher::unanchored_regex;
use model::{Labels, Sample, Value};
use regex_automata::meta::Regex;
use std::collections::BTreeMap;

/// A command and its line, from 1.
pub(super) struct Command {
    pub line: usize,
    pub what: What,
}

pub(super) enum What {
    Clear,
    Load {
        series: BTreeMap<Labels, Vec<Sample>>,
        with_custom_histograms: bool,
    },
    Eval(Box<Eval>),
    /// A line that could not be read.
    Unreadable(String),
}

/// A query and what is expected of it.
#[derive(Default)]
pub(super) struct Eval {
    pub query: String,
    /// Times in milliseconds; equal for an instant query that gives no matrix.
    pub start: i64,
    pub end: i64,
    pub step: i64,
    /// When an instant query is evaluated.
    pub at: i64,
    pub is_range: bool,
    pub ordered: bool,
    pub fail: Option<Expected>,
    pub warnings: Vec<Expected>,
    pub infos: Vec<Expected>,
    pub no_warnings: bool,
    pub no_infos: bool,
    pub only_instant: bool,
    pub string: Option<String>,
    pub scalar: Option<f64>,
    pub series: Vec<(Labels, Vec<Item>)>,
}

/// A text that is expected.
pub(super) enum Expected {
    Any,
    Message(String),
    Regex(Box<Regex>, String),
}

impl Expected {
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Expected::Any => true,
            Expected::Message(m) => m == text,
            Expected::Regex(r, _) => r.is_match(text),
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Expected::Any => "anything".into(),
            Expected::Message(m) => format!("{m:?}"),
            Expected::Regex(_, source) => format!("/{source}/"),
        }
    }
}

/// All commands of a script; a line that cannot be read becomes a command that says so.
pub(super) fn parse(text: &str) -> Vec<Command> {
    let lines: Vec<&str> = text
        .split('\n')
        .map(|l| {
            let l = l.trim();
            if l.starts_with('#') { "" } else { l }
        })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = at + 1;
        let first = lines[at];
        at += 1;
        if first.is_empty() {
            continue;
        }
        let word = first.split([' ', '\t']).next().unwrap_or("").to_ascii_lowercase();
        let mut body = Vec::new();
        if word.starts_with("load") || word.starts_with("eval") {
            while at < lines.len() && !lines[at].is_empty() {
                body.push(lines[at]);
                at += 1;
            }
        }
        let parsed = match word.as_str() {
            "clear" => Ok(What::Clear),
            w if w.starts_with("load") => load(first, &body),
            w if w.starts_with("eval") => eval(first, &body).map(|e| What::Eval(Box::new(e))),
            _ => Err(format!("invalid command {first:?}")),
        };
        commands.push(Command { line, what: parsed.unwrap_or_else(What::Unreadable) });
    }
    commands
}

fn milliseconds(text: &str) -> Result<i64, String> {
    Ok(parse_duration(text.trim())? / 1_000_000)
}

fn load(first: &str, body: &[&str]) -> Result<What, String> {
    let (word, step) = first.split_once([' ', '\t']).ok_or("invalid load command")?;
    let with_custom_histograms = match word {
        "load" => false,
        "load_with_nhcb" => true,
        other => return Err(format!("invalid load command {other:?}")),
    };
    let step = milliseconds(step)?;
    let mut series = BTreeMap::new();
    let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
    for line in body {
        let head = line.split([' ', '\t']).next().unwrap_or("");
        if let Some(metric) = head.strip_suffix("@st") {
            if starts.is_some() {
                return Err("@st line has no following sample line".into());
            }
            let (labels, _) = parse_metric(metric)?;
            starts = Some((labels, parse_starts(&line[head.len()..])?));
            continue;
        }
        let (labels, items) = parse_series(line)?;
        let starts = match starts.take() {
            Some((of, _)) if of != labels => {
                return Err("@st metric does not match the following sample line metric".into());
            }
            Some((_, starts)) if starts.len() != items.len() => {
                return Err(format!(
                    "@st line has {} values but sample line has {}",
                    starts.len(),
                    items.len()
                ));
            }
            Some((_, starts)) => starts,
            None => vec![None; items.len()],
        };
        let samples = (0..).zip(items).zip(starts).filter_map(|((i, item), start)| {
            let time_ms = i * step;
            let value = match item {
                Item::Omitted => return None,
                Item::Float(f) => Value::Float(f),
                Item::Histogram(h, _) => Value::Histogram(h),
            };
            Some(Sample { time_ms, start_ms: start.map_or(0, |s| time_ms + s), value })
        });
        series.insert(labels, samples.collect());
    }
    if starts.is_some() {
        return Err("@st line has no following sample line".into());
    }
    Ok(What::Load { series, with_custom_histograms })
}

/// Splits at the last `separator` before which something stands and after which comes a duration.
fn eval(first: &str, body: &[&str]) -> Result<Eval, String> {
    let invalid = || format!("invalid evaluation command {first:?}");
    let (word, rest) = first.split_once([' ', '\t']).ok_or_else(invalid)?;
    let (mode, rest) = rest.trim_start().split_once([' ', '\t']).ok_or_else(invalid)?;
    let mut e = Eval::default();
    match mode {
        "instant" => {
            let rest = rest.trim_start().strip_prefix("at ").ok_or_else(invalid)?.trim_start();
            let (at, query) = rest.split_once([' ', '\t']).ok_or_else(invalid)?;
            e.at = milliseconds(at)?;
            (e.start, e.end) = (e.at, e.at);
            e.query = query.trim().into();
        }
        "range" => {
            e.is_range = true;
            let query;
            (e.start, e.end, e.step, query) = range(rest).ok_or_else(invalid)?;
            e.query = query.trim().into();
        }
        _ => return Err(invalid()),
    }
    match word {
        "eval" => {}
        "eval_ordered" => e.ordered = true,
        "eval_fail" => e.fail = Some(Expected::Any),
        "eval_warn" => e.warnings.push(Expected::Any),
        "eval_info" => e.infos.push(Expected::Any),
        other => return Err(format!("invalid evaluation command {other:?}")),
    }
    for line in body {
        if e.fail.is_some()
            && let Some(message) = line.strip_prefix("expected_fail_message")
        {
            e.fail = Some(Expected::Message(message.trim().into()));
            break;
        }
        if e.fail.is_some()
            && let Some(regex) = line.strip_prefix("expected_fail_regexp")
        {
            e.fail = Some(regex_of(regex.trim())?);
            break;
        }
        if line.split(' ').next() == Some("expect") {
            expect(line, &mut e)?;
            continue;
        }
        if let Some(value) = scalar(line) {
            e.scalar = Some(value);
            break;
        }
        e.series.push(parse_series(line)?);
    }
    Ok(e)
}

/// `from DUR to DUR step DUR REST`
fn range(text: &str) -> Option<(i64, i64, i64, &str)> {
    let mut rest = text;
    let mut values = [0; 3];
    for (value, name) in values.iter_mut().zip(["from", "to", "step"]) {
        rest = rest.trim_start().strip_prefix(name)?.trim_start();
        let end = rest.find([' ', '\t']).unwrap_or(rest.len());
        *value = milliseconds(&rest[..end]).ok()?;
        rest = &rest[end..];
    }
    Some((values[0], values[1], values[2], rest))
}

fn scalar(line: &str) -> Option<f64> {
    let (negative, body) = match line.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, line.strip_prefix('+').unwrap_or(line)),
    };
    let value = parse_number(body)?;
    Some(if negative { -value } else { value })
}

fn regex_of(source: &str) -> Result<Expected, String> {
    let regex = unanchored_regex(source).map_err(|e| format!("invalid regex {source:?}: {e}"))?;
    Ok(Expected::Regex(Box::new(regex), source.into()))
}

fn expect(line: &str, e: &mut Eval) -> Result<(), String> {
    let invalid = || format!("invalid expect line {line:?}");
    let rest = line.strip_prefix("expect").ok_or_else(invalid)?.trim_start();
    if let Some(range_text) = rest.strip_prefix("range vector") {
        let after;
        (e.start, e.end, e.step, after) = range(range_text).ok_or_else(invalid)?;
        if !after.trim().is_empty() {
            return Err(invalid());
        }
        e.at = e.end;
        e.only_instant = true;
        return Ok(());
    }
    if let Some(text) = rest.strip_prefix("string") {
        e.string = Some(unquote(text.trim()).ok_or_else(invalid)?);
        e.only_instant = true;
        return Ok(());
    }
    let (mode, text) = match rest.split_once([' ', '\t']) {
        Some((mode, text)) => (mode, text.trim()),
        None => (rest, ""),
    };
    let expected = if text.is_empty() {
        Expected::Any
    } else if let Some(message) = text.strip_prefix("msg:") {
        Expected::Message(message.trim().into())
    } else if let Some(regex) = text.strip_prefix("regex:") {
        regex_of(regex.trim())?
    } else {
        return Err(invalid());
    };
    match mode {
        "ordered" => e.ordered = true,
        "fail" if e.fail.is_some() => {
            return Err("invalid expect lines, multiple expect fail lines are not allowed".into());
        }
        "fail" => e.fail = Some(expected),
        "warn" => e.warnings.push(expected),
        "info" => e.infos.push(expected),
        "no_warn" => e.no_warnings = true,
        "no_info" => e.no_infos = true,
        _ => return Err(invalid()),
    }
    if e.no_warnings && !e.warnings.is_empty() || e.no_infos && !e.infos.is_empty() {
        return Err("invalid expect lines, some annotations are expected and not expected".into());
    }
    Ok(())
}
