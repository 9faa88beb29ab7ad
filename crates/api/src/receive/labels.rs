//! The labels of a series as a sender gives them: checked, put in order, without empty values.

use model::Labels;
use model::labels::{METRIC_NAME, Quoted, is_label_name};
use std::fmt::Write;

/// How many labels a series may have, and how long they may be.
#[derive(Clone, Copy, Debug)]
pub struct LabelLimits {
    /// Labels, the metric name among them.
    pub count: usize,
    /// Bytes of a name.
    pub name_bytes: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
}

impl Default for LabelLimits {
    fn default() -> LabelLimits {
        LabelLimits { count: 256, name_bytes: 1024, value_bytes: 64 << 10 }
    }
}

/// Why the labels of a series were not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// They name no series.
    Invalid(String),
    /// There are too many, or one is too long.
    Limit(String),
}

/// So much of a series is shown in an error.
const SHOWN_BYTES: usize = 512;

/// Checks labels and makes a set of them; sorts `pairs`.
pub fn check(pairs: &mut [(&[u8], &[u8])], limits: &LabelLimits) -> Result<Labels, Wrong> {
    if !pairs.is_sorted_by(|a, b| a.0 <= b.0) {
        pairs.sort_by(|a, b| a.0.cmp(b.0));
    }
    if pairs.len() > limits.count {
        let (count, most) = (pairs.len(), limits.count);
        let series = show(pairs);
        return Err(Wrong::Limit(format!(
            "{count} labels, and not more than {most} may be, got {series}"
        )));
    }
    for (name, value) in pairs.iter() {
        let (long, bytes, most) = match (name.len(), value.len()) {
            (n, _) if n > limits.name_bytes => ("name", n, limits.name_bytes),
            (_, v) if v > limits.value_bytes => ("value", v, limits.value_bytes),
            _ => continue,
        };
        let series = show(pairs);
        return Err(Wrong::Limit(format!(
            "a label {long} of {bytes} bytes, and not more than {most} may be, got {series}"
        )));
    }
    let mut texts = Vec::with_capacity(pairs.len());
    for (name, value) in pairs.iter() {
        match (std::str::from_utf8(name), std::str::from_utf8(value)) {
            (Ok(name), Ok(value)) if !name.is_empty() => texts.push((name, value)),
            _ => return Err(invalid(pairs)),
        }
    }
    let metric = texts.iter().find(|p| p.0 == METRIC_NAME);
    if metric.is_none_or(|m| m.1.is_empty()) {
        return Err(invalid(pairs));
    }
    if let Some(twice) = texts.windows(2).find(|w| w[0].0 == w[1].0) {
        let (series, name) = (show(pairs), twice[0].0);
        let why = format!("invalid labels for series, labels {series}, duplicated label {name}");
        return Err(Wrong::Invalid(why));
    }
    Ok(Labels::from_sorted(texts.iter().copied()))
}

fn invalid(pairs: &[(&[u8], &[u8])]) -> Wrong {
    Wrong::Invalid(format!("invalid metric name or labels, got {}", show(pairs)))
}

/// A series as Prometheus prints it in such errors: the metric name is a label as others are.
fn show(pairs: &[(&[u8], &[u8])]) -> String {
    let mut shown = String::from("{");
    for (i, (name, value)) in pairs.iter().enumerate() {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        let between = if i > 0 { ", " } else { "" };
        // Writing to a string cannot fail.
        let _ = match is_label_name(&name) {
            true => write!(shown, "{between}{}={}", cut(&name), Quoted(cut(&value))),
            false => write!(shown, "{between}{}={}", Quoted(cut(&name)), Quoted(cut(&value))),
        };
        if shown.len() > SHOWN_BYTES && i + 1 < pairs.len() {
            shown.push_str(", …");
            break;
        }
    }
    shown.push('}');
    shown
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(SHOWN_BYTES / 2);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A series as Prometheus prints it in errors.
pub fn text(labels: &Labels) -> String {
    show(&labels.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Labels, Wrong> {
        let mut pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        check(&mut pairs, &LabelLimits { count: 3, name_bytes: 10, value_bytes: 10 })
    }

    #[test]
    fn good_ones_are_put_in_order() {
        let labels = of(&[("b", "1"), ("__name__", "é.x"), ("a", "")]);
        assert_eq!(labels, Ok(Labels::from_pairs([("b", "1"), ("__name__", "é.x")])));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let invalid = |why: &str| Err(Wrong::Invalid(why.into()));
        assert_eq!(of(&[("a", "b")]), invalid("invalid metric name or labels, got {a=\"b\"}"));
        let empty = "invalid metric name or labels, got {\"\"=\"b\", __name__=\"m\"}";
        assert_eq!(of(&[("__name__", "m"), ("", "b")]), invalid(empty));
        let twice = "invalid labels for series, labels {__name__=\"m\", a=\"1\", a=\"2\"}, \
                     duplicated label a";
        assert_eq!(of(&[("a", "1"), ("__name__", "m"), ("a", "2")]), invalid(twice));
        assert!(matches!(of(&[("a", "1"); 4]), Err(Wrong::Limit(_))));
        let long = of(&[("__name__", "12345678901")]);
        let why = "a label value of 11 bytes, and not more than 10 may be, got \
                   {__name__=\"12345678901\"}";
        assert_eq!(long, Err(Wrong::Limit(why.into())));
        let mut broken = [(&b"__name__"[..], &b"a\xff"[..])];
        assert!(matches!(check(&mut broken, &LabelLimits::default()), Err(Wrong::Invalid(_))));
        // A bomb does not come back whole.
        let bomb = "x".repeat(1 << 20);
        let Err(Wrong::Limit(why)) = of(&[("a", &bomb)]) else { panic!("too long") };
        assert!(why.len() < 2 * SHOWN_BYTES, "{}", why.len());
        let Err(Wrong::Limit(why)) = of(&[(&bomb, "a")]) else { panic!("too long") };
        assert!(why.len() < 2 * SHOWN_BYTES, "{}", why.len());
    }
}
