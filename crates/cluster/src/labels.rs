//! The labels or annotations of an object.

use crate::pod::Owner;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// An immutable map of strings, sorted by key. Unlike a series' labels, a value may be empty.
///
/// Objects with equal maps share one: the pods of one workload mostly have the same labels.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Option<Arc<[Pair]>>);

type Pair = (Box<str>, Box<str>);

impl Labels {
    /// No labels.
    pub const NONE: Labels = Labels(None);

    /// From pairs in any order; of a key that comes twice the last value stays.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
        Labels::from_owned(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    fn from_owned(mut pairs: Vec<Pair>) -> Labels {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.reverse();
        pairs.dedup_by(|a, b| a.0 == b.0);
        pairs.reverse();
        if pairs.is_empty() { Labels(None) } else { Labels(Some(pairs.into())) }
    }

    fn pairs(&self) -> &[Pair] {
        self.0.as_deref().unwrap_or_default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pairs().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The pairs, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.pairs().iter().map(|(k, v)| (&**k, &**v))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let pairs = self.pairs();
        let at = pairs.binary_search_by(|p| (*p.0).cmp(key)).ok()?;
        Some(&pairs[at].1)
    }

    /// Those pairs whose key is wanted.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Labels {
        Labels::from_pairs(self.iter().filter(|(key, _)| wanted(key)))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_unit<E>(self) -> Result<Labels, E> {
                Ok(Labels::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Labels::from_owned(pairs))
            }
        }
        deserializer.deserialize_any(Map)
    }
}

/// Lets equal maps share their memory. One belongs to each watch.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    known: HashSet<Arc<[Pair]>>,
    texts: HashSet<Arc<str>>,
    owners: HashSet<Arc<Owner>>,
    sweep_at: usize,
}

impl Interner {
    /// The map that equal ones share.
    pub(crate) fn share(&mut self, labels: Labels) -> Labels {
        let Some(pairs) = labels.0 else { return labels };
        if let Some(known) = self.known.get(&*pairs) {
            return Labels(Some(known.clone()));
        }
        self.sweep();
        self.known.insert(pairs.clone());
        Labels(Some(pairs))
    }

    /// The text that equal ones share.
    pub(crate) fn share_text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        self.sweep();
        let text: Arc<str> = text.into();
        self.texts.insert(text.clone());
        text
    }

    /// The owner that its objects share.
    pub(crate) fn share_owner(&mut self, kind: &str, name: &str) -> Arc<Owner> {
        let owner = Owner { kind: kind.into(), name: name.into() };
        if let Some(known) = self.owners.get(&owner) {
            return known.clone();
        }
        self.sweep();
        let owner = Arc::new(owner);
        self.owners.insert(owner.clone());
        owner
    }

    /// Forgets what nobody else holds, once that may be half of it.
    fn sweep(&mut self) {
        let len = |i: &Interner| i.known.len() + i.texts.len() + i.owners.len();
        if len(self) >= self.sweep_at {
            self.known.retain(|pairs| Arc::strong_count(pairs) > 1);
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.owners.retain(|owner| Arc::strong_count(owner) > 1);
            self.sweep_at = 64 + 2 * len(self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_looked_up() {
        let labels = Labels::from_pairs([("b", "2"), ("a", ""), ("b", "3")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", ""), ("b", "3")]);
        assert_eq!(
            (labels.get("a"), labels.get("b"), labels.get("c")),
            (Some(""), Some("3"), None)
        );
        assert_eq!(labels.only(|k| k == "a").len(), 1);
        assert!(Labels::from_pairs([]).is_empty());
    }

    #[test]
    fn reads_json_with_null() {
        let read = |text| serde_json::from_str::<Labels>(text).unwrap();
        assert_eq!(read(r#"{"x":"y"}"#), Labels::from_pairs([("x", "y")]));
        assert_eq!(read("null"), Labels::default());
    }

    #[test]
    fn equal_maps_are_shared_and_dead_ones_go() {
        let mut interner = Interner::default();
        let make = |i: usize| Labels::from_pairs([("n", i.to_string().as_str())]);
        let (one, other) = (interner.share(make(1)), interner.share(make(1)));
        assert!(std::ptr::eq(one.pairs(), other.pairs()));
        for i in 0..10_000 {
            interner.share(make(i));
        }
        assert!(interner.known.len() < 1000, "{}", interner.known.len());
        assert!(std::ptr::eq(one.pairs(), interner.share(make(1)).pairs()));
    }
}
