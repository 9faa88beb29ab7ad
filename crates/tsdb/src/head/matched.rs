//! What regular expressions matched among the values of the head's labels: a value is looked at once, not with
//! every query. Series come and go, so what is kept is checked against what came and went since.

use hashbrown::HashMap;
use model::{MatchOp, Matcher, Stop};
use roaring::RoaringBitmap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The answers that are kept.
#[derive(Default)]
pub(crate) struct Matched {
    /// What came and went of each label's values.
    names: HashMap<u32, Values>,
    answers: Mutex<HashMap<Key, Answer>>,
}

/// The number of a label's name, and how which values match.
type Key = (u32, MatchOp, String);

/// The values of a label.
#[derive(Default)]
struct Values {
    /// In the order in which they came, since one went last.
    came: Vec<u32>,
    /// How often one went: their numbers may mean other texts from then on.
    went: u64,
}

/// What a matcher found.
#[derive(Clone, Default)]
struct Answer {
    /// As of which coming and going of series `carriers` holds.
    as_of: (u64, u64),
    carriers: Arc<RoaringBitmap>,
    /// How often values had gone, and how many had come, when `values` was made.
    went: u64,
    came: usize,
    values: Arc<Vec<u32>>,
}

/// Answers kept; at this number they are forgotten and begin anew.
const ANSWERS_MAX: usize = 512;

impl Matched {
    /// A label has a value that it did not have.
    pub fn value_came(&mut self, name: u32, value: u32) {
        self.names.entry(name).or_default().came.push(value);
    }

    /// A label has lost a value.
    pub fn value_went(&mut self, name: u32) {
        let values = self.names.entry(name).or_default();
        values.went += 1;
        values.came.clear();
    }

    /// The series that carry a value of a label for which `takes` holds. `now` says how often series came and
    /// went so far, `sets` has the carriers of each value. Where the reader stops, it is some of them.
    pub fn carriers(
        &self,
        matcher: &Matcher,
        name: u32,
        now: (u64, u64),
        sets: &HashMap<u32, RoaringBitmap>,
        takes: impl Fn(u32) -> bool,
        stop: Stop<'_>,
    ) -> Arc<RoaringBitmap> {
        let takes = |value: u32| !stop.asked() && takes(value);
        let key = (name, matcher.op, matcher.value.clone());
        let known = self.answers().get(&key).cloned();
        if let Some(known) = known.as_ref().filter(|k| k.as_of == now) {
            return known.carriers.clone();
        }
        let (went, came) = self.names.get(&name).map_or((0, &[][..]), |v| (v.went, &v.came));
        let values = match known.filter(|k| k.went == went) {
            // Only what came since has to be looked at.
            Some(known) => {
                let fresh = came[known.came.min(came.len())..].iter().copied();
                let fresh: Vec<u32> = fresh.filter(|v| takes(*v)).collect();
                match fresh.is_empty() {
                    true => known.values,
                    false => Arc::new([known.values.as_slice(), &fresh].concat()),
                }
            }
            None => Arc::new(sets.keys().copied().filter(|v| takes(*v)).collect()),
        };
        let mut carriers = RoaringBitmap::new();
        let sets = values.iter().filter_map(|v| sets.get(v));
        sets.take_while(|_| !stop.asked()).for_each(|set| carriers |= set);
        let carriers = Arc::new(carriers);
        if stop.asked() {
            return carriers; // not all of them
        }
        let answer =
            Answer { as_of: now, carriers: carriers.clone(), went, came: came.len(), values };
        let mut answers = self.answers();
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(key, answer);
        carriers
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<Key, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
