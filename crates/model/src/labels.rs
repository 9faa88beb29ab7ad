//! A label set: what names one series.
//!
//! Sorted by label name, without empty values (an empty value and an absent label are the same
//! thing in Prometheus's data model), cheap to clone and to compare. Never interned here: the
//! store keeps integers of its own.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";

/// Whether a label says what a metric is rather than where it comes from.
pub fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// An immutable, sorted set of labels.
///
/// All names and values lie in one string, so a set costs one allocation and a clone costs none.
#[derive(Clone, Default)]
pub struct Labels(Option<Arc<Text>>);

struct Text {
    /// name, value, name, value, … without separators.
    text: Box<str>,
    /// The end of each of those parts in `text`, in bytes.
    ends: Box<[u32]>,
}

impl Labels {
    /// The set without labels.
    pub const fn empty() -> Labels {
        Labels(None)
    }

    /// A set from pairs in any order; empty values are left out, and of a name that is given
    /// twice the last value stays.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
        let mut pairs: Vec<(&str, &str)> = pairs.into_iter().collect();
        // Stable, so that the last of two equal names is the last of its run.
        pairs.sort_by_key(|p| p.0);
        let last_of_run = |i: usize| pairs.get(i + 1).is_none_or(|next| next.0 != pairs[i].0);
        let kept: Vec<_> = (0..pairs.len()).filter(|&i| last_of_run(i)).map(|i| pairs[i]).collect();
        Labels::from_sorted(kept.into_iter())
    }

    /// A set from pairs that are already sorted by name and hold no name twice.
    pub fn from_sorted<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Labels {
        let pairs = pairs.filter(|p| !p.1.is_empty());
        let (mut bytes, mut count) = (0, 0);
        for (name, value) in pairs.clone() {
            bytes += name.len() + value.len();
            count += 2;
        }
        if count == 0 {
            return Labels(None);
        }
        let mut text = String::with_capacity(bytes);
        let mut ends = Vec::with_capacity(count);
        for (name, value) in pairs {
            for part in [name, value] {
                text.push_str(part);
                ends.push(text.len() as u32);
            }
        }
        Labels(Some(Arc::new(Text { text: text.into(), ends: ends.into() })))
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |t| t.ends.len() / 2)
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes of memory, about; clones share them.
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |t| t.text.len() + 4 * t.ends.len() + 64)
    }

    /// The labels, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        (0..self.len()).map(|i| self.at(i))
    }

    fn at(&self, i: usize) -> (&str, &str) {
        let Some(t) = &self.0 else { return ("", "") };
        let start = if i == 0 { 0 } else { t.ends[2 * i - 1] as usize };
        let (middle, end) = (t.ends[2 * i] as usize, t.ends[2 * i + 1] as usize);
        (&t.text[start..middle], &t.text[middle..end])
    }

    /// The value of a label; `None` where it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|l| l.0 == name).map(|l| l.1)
    }

    /// The metric name; `""` where there is none.
    pub fn metric(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// This set without the labels for which `drop` holds.
    pub fn without(&self, drop: impl Fn(&str) -> bool + Clone) -> Labels {
        if !self.iter().any(|l| drop(l.0)) {
            return self.clone();
        }
        Labels::from_sorted(self.iter().filter(move |l| !drop(l.0)))
    }

    /// A builder that starts from this set.
    pub fn builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Labels) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || (a.text == b.text && a.ends == b.ends),
            _ => false,
        }
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(t) = &self.0 {
            t.text.hash(state);
            t.ends.hash(state);
        }
    }
}

/// Prometheus's order: label by label, first names, then values; a prefix comes first.
impl Ord for Labels {
    fn cmp(&self, other: &Labels) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `name{a="b"}`, or `{"a.b"="c"}` where a name needs quotes, as Prometheus prints a series.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self.metric();
        let bare_metric = is_metric_name(metric);
        if bare_metric {
            f.write_str(metric)?;
        }
        let quoted_metric = (!bare_metric && !metric.is_empty()).then_some(metric);
        let mut rest = self.iter().filter(|l| l.0 != METRIC_NAME).peekable();
        if quoted_metric.is_none() && rest.peek().is_none() {
            return if bare_metric { Ok(()) } else { f.write_str("{}") };
        }
        f.write_str("{")?;
        if let Some(metric) = quoted_metric {
            write!(f, "{}", Quoted(metric))?;
        }
        for (i, (name, value)) in rest.enumerate() {
            if i > 0 || quoted_metric.is_some() {
                f.write_str(", ")?;
            }
            if is_label_name(name) {
                write!(f, "{name}={}", Quoted(value))?;
            } else {
                write!(f, "{}={}", Quoted(name), Quoted(value))?;
            }
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether `name` can be written without quotes as a label name: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &str) -> bool {
    let first = |b: &u8| b.is_ascii_alphabetic() || *b == b'_';
    name.as_bytes().first().is_some_and(first)
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether `name` can be written without quotes as a metric name: a label name with colons.
pub fn is_metric_name(name: &str) -> bool {
    let first = |b: &u8| b.is_ascii_alphabetic() || matches!(b, b'_' | b':');
    name.as_bytes().first().is_some_and(first)
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
}

/// A string in double quotes, escaped as Go's `strconv.Quote` does it.
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\u{7}' => f.write_str("\\a")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{b}' => f.write_str("\\v")?,
                '\u{c}' => f.write_str("\\f")?,
                c if (c as u32) < 0x20 || c as u32 == 0x7f => write!(f, "\\x{:02x}", c as u32)?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// Builds a [`Labels`] by setting and deleting names.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    /// Sorted by name.
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Sets a label; an empty value deletes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.binary_search_by(|p| p.0.as_str().cmp(name)) {
            Ok(i) if value.is_empty() => {
                self.pairs.remove(i);
            }
            Ok(i) => value.clone_into(&mut self.pairs[i].1),
            Err(_) if value.is_empty() => {}
            Err(i) => self.pairs.insert(i, (name.into(), value.into())),
        }
        self
    }

    /// The value of a label as it stands; empty where it is absent.
    pub fn get(&self, name: &str) -> &str {
        let at = self.pairs.binary_search_by(|p| p.0.as_str().cmp(name));
        at.map_or("", |i| &self.pairs[i].1)
    }

    /// The labels as they stand.
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.pairs.clone()
    }

    /// Deletes a label.
    pub fn del(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// The set as it stands.
    pub fn build(&self) -> Labels {
        Labels::from_sorted(self.pairs.iter().map(|p| (p.0.as_str(), p.1.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn prints_as_prometheus_does() {
        let l = Labels::from_pairs([("b", "2\n"), (METRIC_NAME, "up"), ("a", "1"), ("empty", "")]);
        assert_eq!(l.to_string(), r#"up{a="1", b="2\n"}"#);
        assert_eq!(Labels::from_pairs([("a.b", "c")]).to_string(), r#"{"a.b"="c"}"#);
        let dotted = Labels::from_pairs([(METRIC_NAME, "my.metric"), ("x", "y")]);
        assert_eq!(dotted.to_string(), r#"{"my.metric", x="y"}"#);
        assert_eq!(Labels::empty().to_string(), "{}");
        assert_eq!(Labels::from_pairs([(METRIC_NAME, "up")]).to_string(), "up");
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(pairs in prop::collection::vec(("[a-d]{1,2}", "[x-zé]{0,2}"), 0..8)) {
            let mut map: BTreeMap<&str, &str> = BTreeMap::new();
            for (n, v) in &pairs { map.insert(n, v); }
            map.retain(|_, v| !v.is_empty());
            let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            prop_assert_eq!(labels.iter().collect::<Vec<_>>(), map.clone().into_iter().collect::<Vec<_>>());
            let mut builder = LabelsBuilder::default();
            for (n, v) in &pairs { builder.set(n, v); }
            prop_assert_eq!(builder.build(), labels.clone());
            prop_assert_eq!(labels.get("a"), map.get("a").copied());
        }
    }
}
