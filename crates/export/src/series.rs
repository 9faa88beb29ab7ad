//! The series of one epoch of the log as they are sent: external labels added, relabelled, their texts
//! kept once.

use model::Labels;
use model::labels::METRIC_NAME;
use model::relabel::{Rule, relabel};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What becomes of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Series {
    /// Relabelling left it out.
    Dropped,
    /// It is sent.
    Sent {
        /// Names and values, as numbers of texts, sorted by name.
        pairs: Box<[(u32, u32)]>,
        /// Decides the shard; the same after a restart.
        hash: u64,
    },
}

/// Series by number.
pub struct Table {
    external: BTreeMap<String, String>,
    rules: Vec<Rule>,
    series: Vec<Option<Series>>,
    texts: Vec<Arc<str>>,
    by_text: HashMap<Arc<str>, u32>,
}

impl Table {
    /// An empty table.
    pub fn new(external: BTreeMap<String, String>, rules: Vec<Rule>) -> Table {
        let (series, texts, by_text) = (Vec::new(), Vec::new(), HashMap::new());
        Table { external, rules, series, texts, by_text }
    }

    /// Forgets all series.
    pub fn clear(&mut self) {
        self.series.clear();
        self.texts.clear();
        self.by_text.clear();
    }

    /// What a number means from now on; whether it meant something else before.
    pub fn define(&mut self, number: u32, labels: &Labels) -> bool {
        let series = self.sent(labels);
        let at = number as usize;
        if self.series.len() <= at {
            self.series.resize(at + 1, None);
        }
        let before = self.series[at].replace(series);
        before.is_some() && before != self.series[at]
    }

    /// What a number means.
    pub fn get(&self, number: u32) -> Option<&Series> {
        self.series.get(number as usize)?.as_ref()
    }

    /// A text by its number.
    pub fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", |t| t)
    }

    /// The number of a text, if a series has it.
    pub fn number_of(&self, text: &str) -> Option<u32> {
        self.by_text.get(text).copied()
    }

    /// The number of the text of a series' metric name.
    pub fn metric(&self, pairs: &[(u32, u32)]) -> Option<u32> {
        pairs.iter().find(|p| self.text(p.0) == METRIC_NAME).map(|p| p.1)
    }

    fn sent(&mut self, labels: &Labels) -> Series {
        let mut builder = labels.builder();
        for (name, value) in &self.external {
            if builder.get(name).is_empty() {
                builder.set(name, value);
            }
        }
        let Some(labels) = relabel(&self.rules, &builder.build()).filter(|l| !l.is_empty()) else {
            return Series::Dropped;
        };
        let mut bytes = Vec::with_capacity(256);
        let mut pairs = Vec::with_capacity(labels.len());
        for (name, value) in labels.iter() {
            for text in [name, value] {
                bytes.extend_from_slice(text.as_bytes());
                bytes.push(0xff); // no UTF-8 has it
            }
            pairs.push((self.intern(name), self.intern(value)));
        }
        Series::Sent { pairs: pairs.into(), hash: xxhash_rust::xxh3::xxh3_64(&bytes) }
    }

    fn intern(&mut self, text: &str) -> u32 {
        if let Some(number) = self.by_text.get(text) {
            return *number;
        }
        let (number, text) = (self.texts.len() as u32, Arc::<str>::from(text));
        self.texts.push(text.clone());
        self.by_text.insert(text, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::relabel::{Action, Expression};

    #[test]
    fn external_labels_come_first_and_rules_see_them() {
        let external =
            [("zone".to_owned(), "z".to_owned()), ("job".to_owned(), "other".to_owned())];
        let drop = Rule {
            action: Action::Drop,
            source_labels: vec!["zone".into(), "__name__".into()],
            regex: Some(Expression::new("z;gone").expect("compiles")),
            ..Rule::default()
        };
        let mut table = Table::new(external.into(), vec![drop]);
        let labels = |name: &str| Labels::from_pairs([("__name__", name), ("job", "a")]);
        assert!(!table.define(5, &labels("up")));
        assert!(!table.define(5, &labels("up")), "the same again");
        assert!(!table.define(0, &labels("gone")));
        let Some(Series::Sent { pairs, hash }) = table.get(5).cloned() else { panic!("is sent") };
        let texts: Vec<_> = pairs.iter().map(|p| (table.text(p.0), table.text(p.1))).collect();
        assert_eq!(texts, [("__name__", "up"), ("job", "a"), ("zone", "z")]);
        assert_eq!(table.metric(&pairs).map(|m| table.text(m)), Some("up"));
        assert_eq!(table.get(0), Some(&Series::Dropped));
        assert!(table.get(3).is_none() && table.get(9).is_none());
        assert!(table.define(5, &labels("other")), "the number means another series now");
        table.clear();
        assert!(table.get(5).is_none());
        table.define(1, &labels("up"));
        let Some(Series::Sent { hash: again, .. }) = table.get(1) else { panic!("is sent") };
        assert_eq!(hash, *again, "a shard is the same whatever the number");
    }
}
