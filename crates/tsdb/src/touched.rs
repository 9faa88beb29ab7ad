//! From which time on the store's content changed since some moment: what computed from older samples still
//! holds. Knows no samples and no series.

use std::collections::VecDeque;

/// Times are told apart by no less, so that few of them are remembered while samples come in order.
const GRAIN_MS: i64 = 10_000;
/// So many changes are remembered; moments before them are too long ago to say.
const KEPT_MAX: usize = 4096;

/// The changes of a store, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// How many changes there were.
    count: u64,
    /// For each number of changes the oldest time that a later one touched; both rise.
    oldest: VecDeque<(u64, i64)>,
    /// What came up to this number is forgotten.
    forgotten: u64,
}

impl Touched {
    /// Remembers that samples of this time, and maybe later ones, are not what they were.
    #[inline]
    pub fn note(&mut self, time_ms: i64) {
        self.count += 1;
        let time_ms = time_ms.div_euclid(GRAIN_MS).saturating_mul(GRAIN_MS);
        // Whoever asks for a moment before these hears of this one, which is older.
        while self.oldest.back().is_some_and(|(_, oldest)| *oldest >= time_ms) {
            self.oldest.pop_back();
        }
        self.oldest.push_back((self.count, time_ms));
        if self.oldest.len() > KEPT_MAX
            && let Some((number, _)) = self.oldest.pop_front()
        {
            self.forgotten = number;
        }
    }

    /// This moment.
    pub fn mark(&self) -> u64 {
        self.count
    }

    /// The oldest time of which anything changed since a moment, in milliseconds since the Unix epoch, at most
    /// ten seconds too early; `i64::MAX` where nothing did, `i64::MIN` where it is too long ago.
    pub fn oldest_since(&self, mark: u64) -> i64 {
        if mark < self.forgotten {
            return i64::MIN;
        }
        let after = self.oldest.partition_point(|(number, _)| *number <= mark);
        self.oldest.get(after).map_or(i64::MAX, |(_, oldest)| *oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tells_what_a_list_of_all_changes_tells(
            changes in prop::collection::vec(-100_000i64..100_000, 0..100),
            marks in prop::collection::vec(0u64..100, 1..20),
        ) {
            let mut touched = Touched::default();
            changes.iter().for_each(|time| touched.note(*time));
            prop_assert_eq!(touched.mark(), changes.len() as u64);
            for mark in marks {
                let later = changes.get(mark as usize..).unwrap_or_default();
                let oldest = later.iter().min().map(|t| t.div_euclid(GRAIN_MS) * GRAIN_MS);
                prop_assert_eq!(touched.oldest_since(mark), oldest.unwrap_or(i64::MAX));
            }
        }
    }

    #[test]
    fn what_is_too_long_ago_is_not_known() {
        let mut touched = Touched::default();
        let grains = KEPT_MAX as i64 + 10;
        (0..grains).for_each(|i| touched.note(i * GRAIN_MS));
        assert_eq!(touched.oldest.len(), KEPT_MAX);
        assert_eq!(touched.oldest_since(9), i64::MIN);
        assert_eq!(touched.oldest_since(10), 10 * GRAIN_MS);
        touched.note(i64::MIN);
        assert_eq!(touched.oldest_since(20), i64::MIN);
        assert_eq!(touched.oldest_since(touched.mark()), i64::MAX);
    }
}
