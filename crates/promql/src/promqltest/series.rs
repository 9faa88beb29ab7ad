//! Series descriptions: `metric{a="b"} 1 2x3 _ stale 1+2x5 {{schema:0 sum:1 buckets:[1 2]}}x2`.

use crate::literal::{parse_number, unquote};
use model::histogram::{CUSTOM_BOUNDS_SCHEMA, ResetHint, Span};
use model::labels::METRIC_NAME;
use model::value::STALE;
use model::{Histogram, Labels};
use std::sync::Arc;

/// One place in a sequence.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Omitted,
    Float(f64),
    /// A histogram, and whether its hint was stated.
    Histogram(Arc<Histogram>, bool),
}

/// A series and its values.
pub(super) fn parse_series(text: &str) -> Result<(Labels, Vec<Item>), String> {
    let (labels, rest) = parse_metric(text)?;
    let mut items = Vec::new();
    for word in words(rest)? {
        parse_item(word, &mut items).map_err(|e| format!("{e} in {word:?}"))?;
    }
    Ok((labels, items))
}

/// A metric at the start of a text, and what follows it.
pub(super) fn parse_metric(text: &str) -> Result<(Labels, &str), String> {
    let end = text.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut pairs: Vec<(String, String)> = Vec::new();
    if !name.is_empty() {
        pairs.push((METRIC_NAME.into(), name.into()));
    }
    // Two braces begin a histogram.
    if rest.starts_with('{') && !rest.starts_with("{{") {
        rest = rest[1..].trim_start();
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let quoted = rest.starts_with(['"', '\'', '`']);
            let (name, after) = if quoted {
                string(rest)?
            } else {
                let end = rest
                    .find(|c: char| !(c == '_' || c.is_ascii_alphanumeric()))
                    .unwrap_or(rest.len());
                (rest[..end].to_string(), &rest[end..])
            };
            let after = after.trim_start();
            rest = match after.strip_prefix('=') {
                Some(value) => {
                    let (value, after) = string(value.trim_start())?;
                    pairs.push((name, value));
                    after
                }
                None if quoted => {
                    pairs.push((METRIC_NAME.into(), name));
                    after
                }
                None => return Err(format!("expected \"=\" in label set at {after:?}")),
            }
            .trim_start();
            if let Some(after) = rest.strip_prefix(',') {
                rest = after.trim_start();
            } else if !rest.starts_with('}') {
                return Err(format!("expected \",\" or \"}}\" in label set at {rest:?}"));
            }
        }
    }
    let labels = Labels::from_pairs(pairs.iter().map(|p| (p.0.as_str(), p.1.as_str())));
    Ok((labels, rest))
}

/// A quoted string at the start of a text, and what follows it.
fn string(text: &str) -> Result<(String, &str), String> {
    let invalid = || format!("no string at {text:?}");
    let quote =
        text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')).ok_or_else(invalid)?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote != '`' {
            escaped = true;
        } else if c == quote {
            let end = at + c.len_utf8();
            return Ok((unquote(&text[..end]).ok_or_else(invalid)?, &text[end..]));
        }
    }
    Err(invalid())
}

/// Splits at spaces outside of histograms.
fn words(text: &str) -> Result<Vec<&str>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut depth = 0i32;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                depth += i32::from(*c == '{') - i32::from(*c == '}');
                depth == 0 && c.is_whitespace()
            })
            .map_or(rest.len(), |c| c.0);
        if depth != 0 {
            return Err(format!("unclosed histogram in {rest:?}"));
        }
        out.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    Ok(out)
}

fn times(text: &str) -> Result<usize, String> {
    let count: usize = text.parse().map_err(|_| format!("invalid repetition {text:?}"))?;
    if count > 1_000_000 { Err(format!("too many repetitions: {count}")) } else { Ok(count) }
}

fn parse_item(word: &str, items: &mut Vec<Item>) -> Result<(), String> {
    if word == "_" {
        items.push(Item::Omitted);
    } else if let Some(count) = word.strip_prefix("_x") {
        items.extend(vec![Item::Omitted; times(count)?]);
    } else if word == "stale" {
        items.push(Item::Float(STALE));
    } else if word.starts_with("{{") {
        histograms(word, items)?;
    } else {
        let (start, rest) = number(word)?;
        if rest.is_empty() {
            items.push(Item::Float(start));
        } else if let Some(count) = rest.strip_prefix('x') {
            items.extend(vec![Item::Float(start); times(count)? + 1]);
        } else {
            let (step, rest) = number(rest)?;
            let count = rest.strip_prefix('x').ok_or("expected \"x\" and a count")?;
            let mut value = start;
            for _ in 0..=times(count)? {
                items.push(Item::Float(value));
                value += step;
            }
        }
    }
    Ok(())
}

/// A number with an optional sign at the start of a text, and what follows it.
fn number(text: &str) -> Result<(f64, &str), String> {
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let bytes = body.as_bytes();
    let mut end = 0;
    if body.get(..3).is_some_and(|w| w.eq_ignore_ascii_case("inf") || w.eq_ignore_ascii_case("nan"))
    {
        end = 3;
    } else {
        while end < bytes.len() {
            let exponent_sign = matches!(bytes[end], b'+' | b'-')
                && end > 0
                && matches!(bytes[end - 1], b'e' | b'E');
            let part =
                bytes[end].is_ascii_digit() || matches!(bytes[end], b'.' | b'e' | b'E' | b'_');
            if !part && !exponent_sign {
                break;
            }
            end += 1;
        }
    }
    let value = parse_number(&body[..end]).ok_or_else(|| format!("no number at {text:?}"))?;
    Ok((if negative { -value } else { value }, &body[end..]))
}

fn histograms(word: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let (first, hinted, rest) = histogram(word)?;
    if rest.is_empty() {
        items.push(Item::Histogram(Arc::new(first), hinted));
        return Ok(());
    }
    if let Some(count) = rest.strip_prefix('x') {
        items.extend(vec![Item::Histogram(Arc::new(first), hinted); times(count)? + 1]);
        return Ok(());
    }
    let minus = rest.starts_with('-');
    let (step, hinted, rest) = histogram(&rest[1..])?;
    let count = times(rest.strip_prefix('x').ok_or("expected \"x\" and a count")?)?;
    let mut value = first;
    for i in 0..=count {
        if i > 0 {
            if value.schema > step.schema {
                return Err(format!(
                    "error combining histograms: cannot merge from schema {} to {}",
                    step.schema, value.schema
                ));
            }
            let combined = if minus { value.sub(&step) } else { value.add(&step) };
            combined.map_err(|e| e.to_string())?;
        }
        items.push(Item::Histogram(Arc::new(value.clone()), hinted));
    }
    Ok(())
}

/// A histogram at the start of a text, whether its hint is stated, and what follows it.
fn histogram(text: &str) -> Result<(Histogram, bool, &str), String> {
    let end = text.find("}}").ok_or("unclosed histogram")?;
    let body = text[..end].strip_prefix("{{").ok_or("no histogram")?;
    let mut h = Histogram::default();
    let (mut offset, mut negative_offset, mut hinted) = (0, 0, false);
    let mut rest = body.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':').ok_or_else(|| format!("no value for {rest:?}"))?;
        let after = after.trim_start();
        let end = if after.starts_with('[') {
            after.find(']').map(|e| e + 1).ok_or("unclosed list")?
        } else {
            after.find(char::is_whitespace).unwrap_or(after.len())
        };
        let (value, after) = after.split_at(end);
        rest = after.trim_start();
        let float = || match number(value)? {
            (v, "") => Ok::<f64, String>(v),
            _ => Err(format!("no number: {value:?}")),
        };
        let int = || value.parse::<i32>().map_err(|_| format!("no whole number: {value:?}"));
        let list = || -> Result<Vec<f64>, String> {
            let inner = value.trim_matches(['[', ']']);
            inner
                .split_whitespace()
                .map(|v| match number(v)? {
                    (v, "") => Ok(v),
                    _ => Err(format!("no number: {v:?}")),
                })
                .collect()
        };
        match key.trim() {
            "schema" => h.schema = int()?,
            "sum" => h.sum = float()?,
            "count" => h.count = float()?,
            "z_bucket" => h.zero_count = float()?,
            "z_bucket_w" => h.zero_threshold = float()?,
            "custom_values" => h.custom_bounds = list()?.into(),
            "buckets" => h.positive_buckets = list()?,
            "n_buckets" => h.negative_buckets = list()?,
            "offset" => offset = int()?,
            "n_offset" => negative_offset = int()?,
            "counter_reset_hint" => {
                hinted = true;
                h.reset_hint = match value {
                    "unknown" => ResetHint::Unknown,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NotReset,
                    "gauge" => ResetHint::Gauge,
                    other => return Err(format!("unknown hint {other:?}")),
                };
            }
            other => return Err(format!("unknown key {other:?}")),
        }
    }
    let spans = |buckets: &[f64], offset| match buckets.len() {
        0 => Vec::new(),
        length => vec![Span { offset, length: length as u32 }],
    };
    h.positive_spans = spans(&h.positive_buckets, offset);
    h.negative_spans = spans(&h.negative_buckets, negative_offset);
    if h.schema == CUSTOM_BOUNDS_SCHEMA {
        h.negative_spans.clear();
        h.negative_buckets.clear();
    }
    Ok((h, hinted, &text[end + 2..]))
}

/// Offsets of start timestamps: `metric@st -1m 0s_x2 …`, in milliseconds.
pub(super) fn parse_starts(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut out = Vec::new();
    for word in text.split_whitespace() {
        if word == "_" {
            out.push(None);
        } else if let Some(count) = word.strip_prefix("_x") {
            out.extend(vec![None; times(count)?]);
        } else {
            let (base, rest) = signed_duration(word)?;
            if rest.is_empty() {
                out.push(Some(base));
            } else if let Some(count) = rest.strip_prefix('x') {
                out.extend(vec![Some(base); times(count)? + 1]);
            } else {
                let minus = rest.starts_with('-');
                let (step, rest) = signed_duration(&rest[1..])?;
                let count = rest.strip_prefix('x').ok_or("expected \"x\" and a count")?;
                let step = if minus { -step } else { step };
                out.extend((0..=times(count)? as i64).map(|i| Some(base + i * step)));
            }
        }
    }
    Ok(out)
}

fn signed_duration(text: &str) -> Result<(i64, &str), String> {
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
    let unit = &body[digits..];
    let end =
        digits + unit.find(|c: char| !c.is_ascii_alphabetic() || c == 'x').unwrap_or(unit.len());
    let ms = crate::duration::parse_duration(&body[..end])? / 1_000_000;
    Ok((if negative { -ms } else { ms }, &body[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str) -> Vec<Option<f64>> {
        let (_, items) = parse_series(text).expect("parses");
        items
            .into_iter()
            .map(|i| match i {
                Item::Float(f) => Some(f),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn sequences() {
        let some = |v: &[f64]| v.iter().map(|f| Some(*f)).collect::<Vec<_>>();
        assert_eq!(floats("a 1 2x1 1-1x2"), some(&[1.0, 2.0, 2.0, 1.0, 0.0, -1.0]));
        assert_eq!(floats(r#"a{b="c d"} _ _x2 -1e+3"#), [None, None, None, Some(-1000.0)]);
        assert_eq!(floats("{} Inf"), [Some(f64::INFINITY)]);
        assert!(parse_series("a 1y").is_err());
    }

    #[test]
    fn histograms_with_steps() {
        let text =
            "h {{schema:1 sum:1 count:2 buckets:[1 2] offset:3}}+{{schema:1 sum:1 buckets:[1]}}x2";
        let (_, items) = parse_series(text).expect("parses");
        assert_eq!(items.len(), 3);
        let Item::Histogram(h, false) = &items[2] else { panic!("no histogram") };
        assert_eq!(h.sum, 3.0);
        assert_eq!(h.positive_buckets, [2.0, 1.0, 2.0]);
    }

    #[test]
    fn start_timestamps() {
        assert_eq!(
            parse_starts("-1m _ 0s+10sx2"),
            Ok(vec![Some(-60_000), None, Some(0), Some(10_000), Some(20_000)])
        );
    }
}
