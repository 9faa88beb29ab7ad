//! The series of the head: labels as pairs of integers, and which series carry which label.

use super::matched::Matched;
use super::symbols::Symbols;
use super::unused::Unused;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use model::{Labels, MatchOp, Matcher, ReadError, Stop};
use roaring::RoaringBitmap;
use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

/// A label as the numbers of its name and its value.
pub(crate) type Pair = (u32, u32);

/// One series of the head.
pub(crate) struct Series {
    /// Sorted by the name's text; empty where the number is free.
    pairs: Box<[Pair]>,
    /// The group and slot that take its samples at present.
    pub owner: Option<(u32, u32)>,
    /// The groups and slots that hold samples of it, oldest first, the owner included.
    pub places: Vec<(u32, u32)>,
    /// Its newest sample, those of ticks at which it was present in its owner excepted.
    pub last_ms: i64,
    /// The newest log epoch that defines it.
    pub epoch: u32,
    /// The generation of the index in which it came.
    born: u32,
}

/// All series of the head.
#[derive(Default)]
pub(crate) struct SeriesIndex {
    pub symbols: Symbols,
    list: Vec<Series>,
    unused: Unused,
    by_labels: HashTable<Named>,
    hasher: DefaultHashBuilder,
    /// For each label name the series that carry each of its values.
    carriers: HashMap<u32, HashMap<u32, RoaringBitmap>>,
    live: RoaringBitmap,
    order: Mutex<Order>,
    forgotten: u64,
    /// Grows with each time that series are forgotten: numbers may mean other series from then on.
    generation: u32,
    /// Grows with each series that comes.
    defined: u64,
    /// What matchers of regular expressions found last.
    matched: Matched,
}

/// A series in the table of labels: part of their hash, so that the table can grow without looking at them.
struct Named {
    hash: u32,
    number: u32,
}

impl Named {
    /// By what the table places it.
    fn place(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// The places of series among others that are sorted by labels.
pub(crate) enum Ranks {
    /// Of all series, by number.
    All(Arc<Vec<u32>>),
    /// Of some.
    Some(HashMap<u32, u32>),
}

impl Ranks {
    /// The place of a series.
    pub fn of(&self, number: u32) -> Option<u32> {
        match self {
            Ranks::All(ranks) => ranks.get(number as usize).copied(),
            Ranks::Some(ranks) => ranks.get(&number).copied(),
        }
    }
}

/// So many new series are sorted between two looks at whether the reader stopped.
const SORTED_AT_ONCE: usize = 0x8000;

/// All series in the order of their labels, and for each series its place there.
type Ordered = (Arc<Vec<u32>>, Arc<Vec<u32>>);

/// All series sorted by labels, as of some time.
#[derive(Default)]
struct Order {
    sorted: Arc<Vec<u32>>,
    /// The place in `sorted` of each number.
    ranks: Arc<Vec<u32>>,
    /// Series that came since.
    added: Vec<u32>,
    /// Series that were sorted by themselves because `added` is not sorted in.
    put_off: usize,
    /// Whether `ranks` is not that of `sorted`.
    stale: bool,
}

impl Order {
    /// Whether to sort so many by themselves: to sort all that came takes longer than these are worth, unless
    /// that was said often already.
    fn puts_off(&mut self, count: usize) -> bool {
        self.put_off += count;
        self.put_off * 16 < self.added.len()
    }
}

impl SeriesIndex {
    /// The number of the series with these labels.
    pub fn find(&self, labels: &Labels) -> Option<u32> {
        let hash = self.hash(labels);
        let same = |named: &Named| {
            let pairs = &self.list[named.number as usize].pairs;
            named.hash == hash && pairs.len() == labels.len() && self.texts(pairs).eq(labels.iter())
        };
        self.by_labels.find(Named::place(hash), same).map(|n| n.number)
    }

    fn hash(&self, labels: &Labels) -> u32 {
        (self.hasher.hash_one(labels) >> 32) as u32
    }

    /// The series with a number.
    pub fn get(&self, number: u32) -> Option<&Series> {
        self.list.get(number as usize).filter(|s| !s.pairs.is_empty())
    }

    /// The series with a number, to be changed.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Series> {
        self.list.get_mut(number as usize).filter(|s| !s.pairs.is_empty())
    }

    /// The numbers that the next new series get.
    pub fn next_numbers(&self) -> impl Iterator<Item = u32> {
        self.unused.iter()
    }

    /// Adds a series with a number that is free; one that has other labels is replaced.
    pub fn define(&mut self, number: u32, labels: &Labels, epoch: u32) {
        if let Some(known) = self.get(number) {
            if self.texts(&known.pairs).eq(labels.iter()) {
                self.list[number as usize].epoch = epoch;
                return;
            }
            self.forget(&RoaringBitmap::from_iter([number]));
        }
        let pairs: Box<[Pair]> =
            labels.iter().map(|(n, v)| (self.symbols.add(n), self.symbols.add(v))).collect();
        for (name, value) in &pairs {
            let values = self.carriers.entry(*name).or_default();
            values.entry(*value).or_insert_with(|| {
                self.matched.value_came(*name, *value);
                RoaringBitmap::new()
            });
            if let Some(set) = values.get_mut(value) {
                set.insert(number);
            }
        }
        self.defined += 1;
        if self.list.len() <= number as usize {
            self.list.resize_with(number as usize + 1, Series::none);
        }
        self.unused.take(number);
        let born = self.generation;
        self.list[number as usize] = Series { pairs, epoch, born, ..Series::none() };
        let hash = self.hash(labels);
        let rehash = |named: &Named| Named::place(named.hash);
        self.by_labels.insert_unique(Named::place(hash), Named { hash, number }, rehash);
        self.live.insert(number);
        self.order().added.push(number);
    }

    /// Forgets series.
    pub fn forget(&mut self, numbers: &RoaringBitmap) {
        if numbers.is_empty() {
            return;
        }
        self.generation += 1;
        numbers.iter().for_each(|n| self.remove(n));
        let mut order = self.order();
        order.added.retain(|n| !numbers.contains(*n));
        Arc::make_mut(&mut order.sorted).retain(|n| !numbers.contains(*n));
        order.stale = true;
    }

    /// Takes a series out of everything but the order.
    fn remove(&mut self, number: u32) {
        self.forgotten += 1;
        let hash = self.hash(&self.labels(number));
        let place = Named::place(hash);
        if let Ok(entry) = self.by_labels.find_entry(place, |n| n.number == number) {
            entry.remove();
        }
        let Some(series) = self.list.get_mut(number as usize) else { return };
        let pairs = std::mem::replace(series, Series::none()).pairs;
        for (name, value) in &pairs {
            if let Some(values) = self.carriers.get_mut(name) {
                if let Some(set) = values.get_mut(value) {
                    set.remove(number);
                    if set.is_empty() {
                        values.remove(value);
                        self.matched.value_went(*name);
                    }
                }
                if values.is_empty() {
                    self.carriers.remove(name);
                }
            }
            self.symbols.release(*name);
            self.symbols.release(*value);
        }
        self.live.remove(number);
        self.unused.give_back(number);
    }

    /// Grows with each time that series are forgotten.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether a number has meant the same series since a generation.
    pub fn is_since(&self, number: u32, generation: u32) -> bool {
        self.get(number).is_some_and(|s| s.born <= generation)
    }

    /// The labels of a series as numbers, sorted by the texts of their names.
    pub fn pairs(&self, number: u32) -> &[Pair] {
        self.get(number).map_or(&[], |s| &s.pairs)
    }

    /// Labels of numbers.
    pub fn labels_of(&self, pairs: &[Pair]) -> Labels {
        labels_of(pairs, &self.symbols)
    }

    /// How the labels of a series compare with others.
    pub fn compare_with(&self, number: u32, labels: &Labels) -> Ordering {
        self.texts(self.pairs(number)).cmp(labels.iter())
    }

    /// The labels of a series; none where there is no such series.
    pub fn labels(&self, number: u32) -> Labels {
        self.get(number).map_or(Labels::empty(), |s| labels_of(&s.pairs, &self.symbols))
    }

    /// The value of a label of a series, both as numbers of their texts.
    pub fn value(&self, number: u32, name: u32) -> Option<u32> {
        self.get(number)?.pairs.iter().find(|p| p.0 == name).map(|p| p.1)
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.live.len() as usize
    }

    /// All series.
    pub fn numbers(&self) -> &RoaringBitmap {
        &self.live
    }

    /// The series that satisfy all matchers; some of them where the reader stopped.
    pub fn select(&self, matchers: &[Matcher], stop: Stop<'_>) -> RoaringBitmap {
        let mut found: Option<RoaringBitmap> = None;
        // Equality is cheap and usually narrow: what it leaves out need not be asked again.
        let (equal, rest): (Vec<_>, Vec<_>) =
            matchers.iter().partition(|m| m.op == MatchOp::Equal && !m.value.is_empty());
        for matcher in equal.into_iter().chain(rest) {
            if found.as_ref().is_some_and(RoaringBitmap::is_empty) {
                break;
            }
            match &mut found {
                None => found = Some(self.select_one(matcher, &self.live, stop)),
                Some(found) => *found = self.select_one(matcher, found, stop),
            }
        }
        found.unwrap_or_else(|| self.live.clone())
    }

    fn select_one(
        &self,
        matcher: &Matcher,
        within: &RoaringBitmap,
        stop: Stop<'_>,
    ) -> RoaringBitmap {
        let empty_matches = matcher.matches("");
        let name = self.symbols.find(&matcher.name);
        let Some((name, values)) = name.and_then(|n| Some((n, self.carriers.get(&n)?))) else {
            return if empty_matches { within.clone() } else { RoaringBitmap::new() };
        };
        // Where an absent label matches, what does not match is taken away; else what matches is
        // gathered.
        let direct = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual if !matcher.value.is_empty() => {
                Some(vec![matcher.value.as_str()])
            }
            _ => crate::block::literals(matcher).map(Iterator::collect),
        };
        let of_texts;
        let of_regex;
        let carriers = match direct {
            Some(texts) => {
                let mut carriers = RoaringBitmap::new();
                let sets = texts.into_iter().filter_map(|t| self.symbols.find(t));
                sets.filter_map(|v| values.get(&v)).for_each(|set| carriers |= set);
                of_texts = carriers;
                &of_texts
            }
            None => {
                let now = (self.defined, self.forgotten);
                let differs = |v: u32| matcher.matches(self.symbols.text(v)) != empty_matches;
                of_regex = self.matched.carriers(matcher, name, now, values, differs, stop);
                &*of_regex
            }
        };
        if empty_matches { within - carriers } else { carriers & within }
    }

    /// How many series carry each value of each label.
    pub fn each_label(&self, mut see: impl FnMut(&str, &str, u64)) {
        for (name, values) in &self.carriers {
            for (value, set) in values {
                see(self.symbols.text(*name), self.symbols.text(*value), set.len());
            }
        }
    }

    /// Sorts series by their labels.
    pub fn sort(&self, found: &RoaringBitmap) -> Vec<u32> {
        let sorted = self.sort_ranked(found, Stop::default());
        sorted.map(|s| s.0.into_iter().map(|r| r.1).collect()).unwrap_or_default()
    }

    /// Series sorted by their labels, each with its place; and the places by number. Fails where the reader
    /// stopped alone.
    pub fn sort_ranked(
        &self,
        found: &RoaringBitmap,
        stop: Stop<'_>,
    ) -> Result<(Vec<(u32, u32)>, Ranks), ReadError> {
        let count = found.len() as usize;
        if self.order().puts_off(count) {
            let mut own: Vec<u32> = found.iter().collect();
            own.sort_unstable_by(|a, b| self.compare(*a, *b));
            let ranked: Vec<(u32, u32)> = (0..).zip(own).collect();
            let ranks = ranked.iter().map(|(place, number)| (*number, *place)).collect();
            return Ok((ranked, Ranks::Some(ranks)));
        }
        let (sorted, ranks) = self.ranks(stop)?;
        if count * 16 >= sorted.len() {
            let mut wanted = vec![false; self.list.len()];
            found.iter().for_each(|n| wanted[n as usize] = true);
            let all = (0..).zip(sorted.iter().copied()).filter(|(_, n)| wanted[*n as usize]);
            return Ok((all.collect(), Ranks::All(ranks)));
        }
        let mut places: Vec<u32> = found.iter().map(|n| ranks[n as usize]).collect();
        places.sort_unstable();
        let places = places.into_iter().map(|p| (p, sorted[p as usize]));
        Ok((places.collect(), Ranks::All(ranks)))
    }

    /// All series in order; what came since the last call is sorted in, a piece after the other: what was
    /// done when a reader stops is done for the next one.
    fn ranks(&self, stop: Stop<'_>) -> Result<Ordered, ReadError> {
        let mut order = self.order();
        while !order.added.is_empty() {
            stop.check()?;
            let rest = order.added.len().saturating_sub(SORTED_AT_ONCE);
            let mut piece = order.added.split_off(rest);
            let compare = |a: &u32, b: &u32| self.compare(*a, *b);
            piece.sort_unstable_by(compare);
            let old = &order.sorted;
            let mut merged = Vec::with_capacity(old.len() + piece.len());
            let mut from = 0;
            for number in piece {
                let to = from + old[from..].partition_point(|o| compare(o, &number).is_lt());
                merged.extend_from_slice(&old[from..to]);
                merged.push(number);
                from = to;
            }
            merged.extend_from_slice(&old[from..]);
            order.sorted = Arc::new(merged);
            order.stale = true;
        }
        order.put_off = 0;
        if std::mem::take(&mut order.stale) {
            let mut ranks = vec![u32::MAX; self.list.len()];
            for (place, number) in order.sorted.iter().enumerate() {
                ranks[*number as usize] = place as u32;
            }
            order.ranks = Arc::new(ranks);
        }
        Ok((Arc::clone(&order.sorted), Arc::clone(&order.ranks)))
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let pairs = |n: u32| self.get(n).map_or(&[] as &[Pair], |s| &s.pairs);
        self.texts(pairs(a)).cmp(self.texts(pairs(b)))
    }

    fn texts<'a>(&'a self, pairs: &'a [Pair]) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        pairs.iter().map(|(n, v)| (self.symbols.text(*n), self.symbols.text(*v)))
    }

    fn order(&self) -> std::sync::MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of memory, about.
    pub fn memory(&self) -> usize {
        let labels: usize = self.list.iter().map(|s| s.pairs.len()).sum();
        let sets = self.carriers.values().flat_map(HashMap::values);
        let sets: usize = sets.map(|s| s.serialized_size() + 64).sum();
        self.symbols.memory()
            + self.list.len() * (size_of::<Series>() + 8 + 8 + 12)
            + labels * size_of::<Pair>()
            + sets
    }
}

impl Series {
    fn none() -> Series {
        Series {
            pairs: Box::default(),
            owner: None,
            places: Vec::new(),
            last_ms: i64::MIN,
            epoch: 0,
            born: 0,
        }
    }
}

fn labels_of(pairs: &[Pair], symbols: &Symbols) -> Labels {
    Labels::from_sorted(pairs.iter().map(|(n, v)| (symbols.text(*n), symbols.text(*v))))
}
