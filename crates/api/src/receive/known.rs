//! The series that senders sent lately, by a digest of the bytes that named them: their labels are neither
//! read nor checked nor looked up a second time. Only a series that was found good and taken is here, and
//! the limits by which that was found are those of the process, so the same bytes are good again.
//!
//! A digest stands for its bytes alone, so nobody may find two texts with one: it is SipHash-1-3 of 128 bits
//! under keys that this process draws and never shows. Of two generations the older one is dropped when the
//! younger is full or old; what is used meanwhile goes over to the younger.
//!
//! Senders name their series in the same order again and again, so each is looked for behind the one that
//! was found before, which costs no jump through memory.

use hashbrown::HashTable;
use siphasher::sip128::SipHasher13;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use tsdb::SeriesRef;

/// What stands for the bytes that named a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u64; 2]);

/// So many series are in a generation, at most.
const MOST: usize = 1 << 20;
/// So long a generation is the younger one, at most: what no sender sends any more is gone after two.
const YOUNG_MS: i64 = 10 * 60_000;

/// The series that were sent lately.
pub struct Known {
    labels: SipHasher13,
    texts: SipHasher13,
    generations: RwLock<Generations>,
    most: usize,
}

/// Series in the order in which they came.
#[derive(Default)]
struct Generation {
    list: Vec<(Digest, SeriesRef)>,
    /// Places in the list.
    table: HashTable<u32>,
}

#[derive(Default)]
struct Generations {
    young: Generation,
    old: Generation,
    /// When the younger one began.
    since_ms: i64,
}

/// The series as they are while a request is read.
pub struct Reader<'a> {
    known: &'a Known,
    generations: RwLockReadGuard<'a, Generations>,
    /// The places in the younger and the older generation behind what was found last.
    behind: [Cell<usize>; 2],
}

/// A series that was found.
pub struct Found {
    /// What names it in the store.
    pub series: SeriesRef,
    /// Whether it is to be [remembered](Known::remember) again, so that it stays.
    pub fading: bool,
}

impl Default for Known {
    fn default() -> Known {
        Known::new(MOST)
    }
}

impl Known {
    /// None yet, and at most so many in each of two generations.
    pub fn new(most: usize) -> Known {
        let hasher = || {
            let random = RandomState::new();
            SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1))
        };
        Known { labels: hasher(), texts: hasher(), generations: RwLock::default(), most }
    }

    /// To look series up. Nothing can be remembered as long as this is held.
    pub fn read(&self) -> Reader<'_> {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        Reader { known: self, generations, behind: [const { Cell::new(0) }; 2] }
    }

    /// Remembers series at `now_ms`. How many there are now, and bytes of memory, about.
    pub fn remember(
        &self,
        series: impl Iterator<Item = (Digest, SeriesRef)>,
        now_ms: i64,
    ) -> (usize, usize) {
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        generations.keep_young(now_ms);
        for (digest, series) in series {
            if generations.young.list.len() >= self.most {
                generations.turn(now_ms);
            }
            generations.young.insert(digest, series);
        }
        generations.size()
    }
}

impl Generation {
    /// The place of a digest in the list, `guess` looked at first.
    fn find(&self, digest: &Digest, guess: usize) -> Option<usize> {
        if self.list.get(guess).is_some_and(|l| l.0 == *digest) {
            return Some(guess);
        }
        let same = |at: &u32| self.list[*at as usize].0 == *digest;
        self.table.find(digest.word(), same).map(|at| *at as usize)
    }

    fn insert(&mut self, digest: Digest, series: SeriesRef) {
        if let Some(at) = self.find(&digest, usize::MAX) {
            self.list[at].1 = series;
            return;
        }
        let list = &self.list;
        // `MOST` is far below what a place can say.
        let place = list.len() as u32;
        self.table.insert_unique(digest.word(), place, |at| list[*at as usize].0.word());
        self.list.push((digest, series));
    }

    fn bytes(&self) -> usize {
        // An eighth of the places of a table is never taken, and each has a byte beside it.
        let table = self.table.capacity() * 8 / 7 * (size_of::<u32>() + 1);
        self.list.capacity() * size_of::<(Digest, SeriesRef)>() + table
    }
}

impl Digest {
    /// Digests are as good as random already.
    fn word(&self) -> u64 {
        self.0[0]
    }
}

impl Generations {
    fn turn(&mut self, now_ms: i64) {
        self.old = std::mem::take(&mut self.young);
        self.since_ms = now_ms;
    }

    /// Turns when it is time; also where the clock was set back.
    fn keep_young(&mut self, now_ms: i64) {
        if !(0..YOUNG_MS).contains(&now_ms.saturating_sub(self.since_ms)) {
            self.turn(now_ms);
        }
    }

    fn size(&self) -> (usize, usize) {
        let Generations { young, old, .. } = self;
        (young.list.len() + old.list.len(), young.bytes() + old.bytes())
    }
}

impl Reader<'_> {
    /// The digest of the label fields of a message, as they came.
    pub fn of_fields(&self, bytes: &[u8]) -> Digest {
        let hash = self.known.labels.hash(bytes);
        Digest([hash.h1, hash.h2])
    }

    /// The digest of names and values; `scratch` is overwritten.
    pub fn of_pairs(&self, pairs: &[(&[u8], &[u8])], scratch: &mut Vec<u8>) -> Digest {
        scratch.clear();
        for (name, value) in pairs {
            for text in [name, value] {
                // With their lengths, so that no other texts are the same bytes.
                scratch.extend_from_slice(&(text.len() as u64).to_le_bytes());
                scratch.extend_from_slice(text);
            }
        }
        let hash = self.known.texts.hash(scratch);
        Digest([hash.h1, hash.h2])
    }

    /// The series that was named by the bytes of a digest.
    pub fn find(&self, digest: &Digest) -> Option<Found> {
        let Generations { young, old, .. } = &*self.generations;
        for ((generation, behind), fading) in
            [young, old].into_iter().zip(&self.behind).zip([false, true])
        {
            if let Some(at) = generation.find(digest, behind.get()) {
                behind.set(at + 1);
                return Some(Found { series: generation.list[at].1, fading });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Labels, Sample, Value};
    use tsdb::{Db, Named, Options};

    /// References of so many series.
    fn references(count: usize) -> Vec<SeriesRef> {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path(), Options { background: false, ..Options::default() }).unwrap();
        let named = |n: usize| Named::Labels(Labels::from_pairs([("n", n.to_string().as_str())]));
        let named: Vec<Named> = (0..count).map(named).collect();
        let sample = Sample { time_ms: 1, start_ms: 0, value: Value::Float(1.0) };
        let samples: Vec<_> = (0..count as u32).map(|n| (n, sample.clone())).collect();
        let received = db.receive(&named, &samples, &[], &[], u64::MAX).unwrap();
        received.references.into_iter().map(Option::unwrap).collect()
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let known = Known::new(4);
        let series = references(12);
        let digest = |n: usize| known.read().of_fields(n.to_string().as_bytes());
        let remember =
            |n: usize, now_ms| known.remember([(digest(n), series[n])].into_iter(), now_ms);
        for n in 0..12 {
            let (count, bytes) = remember(n, YOUNG_MS);
            assert!(count <= 8 && bytes > 0);
            let found = known.read().find(&digest(0)).map(|f| (f.series, f.fading));
            assert_eq!(found.map(|f| f.0), Some(series[0]), "{n}");
            if found.is_some_and(|f| f.1) {
                remember(0, YOUNG_MS);
            }
        }
        assert!(known.read().find(&digest(1)).is_none());
        assert_eq!(known.read().find(&digest(11)).map(|f| f.series), Some(series[11]));
        // By and by they go, though others do not push them out.
        remember(11, 2 * YOUNG_MS);
        remember(11, 3 * YOUNG_MS);
        assert!(known.read().find(&digest(0)).is_none());
        assert!(known.read().find(&digest(11)).is_some());
    }

    #[test]
    fn no_other_texts_have_the_same_digest() {
        let (known, mut scratch) = (Known::default(), Vec::new());
        let mut of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|p| (p.0.as_bytes(), p.1.as_bytes())).collect();
            known.read().of_pairs(&pairs, &mut scratch)
        };
        let first = of(&[("a", "bc"), ("d", "e")]);
        assert_eq!(first, of(&[("a", "bc"), ("d", "e")]));
        for other in [&[("ab", "c"), ("d", "e")][..], &[("d", "e"), ("a", "bc")], &[("a", "bc")]] {
            assert_ne!(first, of(other));
        }
        // Fields and texts are not taken for each other.
        assert_ne!(known.read().of_fields(b""), of(&[]));
        let other = Known::default();
        assert_ne!(known.read().of_fields(b"a"), other.read().of_fields(b"a"));
    }
}
