//! Brings head and blocks together: which entries of which blocks and which pieces of the head belong to one
//! series, in the order of labels. What the head knows is compared by numbers; only series that ended, which
//! blocks alone still have, by their labels.

use super::pieces::{Groups, Pieces};
use crate::block::{BlockError, Scratch};
use crate::head::Head;
use crate::head::series::{Pair, Ranks, SeriesIndex};
use crate::numbers::Which;
use crate::store::Stored;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use model::labels::is_metadata;
use model::sort::sort_by;
use model::{Labels, ReadError, Selection, Stop};
use roaring::RoaringBitmap;
use std::hash::BuildHasher;
use std::ops::Range;

/// A series of a read.
pub(super) struct Entry {
    pub labels: Labels,
    /// The end of its pieces of the head; they begin where those of the entry before end.
    pub pieces_end: u32,
    /// As [`model::Columns::nameless_id`].
    pub nameless: u32,
}

/// All series of a read, and for each block its entries by the place of their series.
pub(super) struct Gathered {
    pub entries: Vec<Entry>,
    pub pieces: Pieces,
    pub blocks: Vec<Vec<(u32, u32)>>,
}

/// Series of blocks beside those of the head.
pub(super) struct Gather<'a> {
    head: &'a Head,
    /// The head's series that match, each with its place, in order.
    order: Vec<(u32, u32)>,
    /// The place of each number.
    ranks: Ranks,
    /// For each block the places and entries of the head's series.
    known: Vec<Vec<(u32, u32)>>,
    others: Vec<Other>,
    scratch: Scratch,
    stop: Stop<'a>,
}

/// An entry of a block whose series the head does not have.
#[derive(Default)]
struct Other {
    labels: Labels,
    block: usize,
    entry: u32,
}

impl<'a> Gather<'a> {
    /// Begins with what was found in the head.
    pub fn new(
        head: &'a Head,
        found: &RoaringBitmap,
        stop: Stop<'a>,
    ) -> Result<Gather<'a>, ReadError> {
        let (order, ranks) = head.index.sort_ranked(found, stop)?;
        stop.check()?;
        let (known, others, scratch) = (Vec::new(), Vec::new(), Scratch::default());
        Ok(Gather { head, order, ranks, known, others, scratch, stop })
    }

    /// Adds the entries of a block, the oldest block first; gives why some could not be read.
    pub fn add(&mut self, stored: &Stored, found: &RoaringBitmap) -> Result<(), BlockError> {
        let (block, mut known) = (self.known.len(), Vec::with_capacity(found.len() as usize));
        let mut failed = None;
        for entry in found {
            if self.stop.asked() {
                break; // told by `finish`
            }
            let index = &self.head.index;
            match stored.numbers.which(&stored.block, entry, index, &mut self.scratch) {
                Ok(Which::Number(number)) => {
                    known.push((self.ranks.of(number).unwrap_or(u32::MAX), entry));
                }
                Ok(Which::Other(labels)) => self.others.push(Other { labels, block, entry }),
                Err(e) => failed = Some(e),
            }
        }
        self.known.push(known);
        failed.map_or(Ok(()), Err)
    }

    /// Puts all in order, and takes what the head has of it.
    pub fn finish(mut self, selection: &Selection<'_>) -> Result<Gathered, ReadError> {
        self.stop.check()?;
        let index = &self.head.index;
        let stop = self.stop;
        sort_by(
            &mut self.others,
            || stop.check(),
            |a, b| (&a.labels, a.block, a.entry).cmp(&(&b.labels, b.block, b.entry)),
        )?;
        let mut groups = Groups::new(self.head, selection.start_ms, selection.end_ms);
        let mut names = Names::new(index, selection);
        let mut gathered = Gathered {
            entries: Vec::with_capacity(self.order.len() + self.others.len()),
            pieces: Pieces::default(),
            blocks: self.known.iter().map(|k| Vec::with_capacity(k.len())).collect(),
        };
        let mut known: Vec<_> = self.known.iter().map(|k| k.iter().peekable()).collect();
        let mut others = self.others.chunk_by(|a, b| a.labels == b.labels).map(|same| {
            let before = |o: &(u32, u32)| index.compare_with(o.1, &same[0].labels).is_lt();
            (self.order.partition_point(before), same)
        });
        let mut other = others.next();
        for (place, (rank, number)) in self.order.iter().enumerate() {
            self.stop.check()?;
            while let Some((_, same)) = other.take_if(|o| o.0 <= place) {
                gathered.other(same, &mut names);
                other = others.next();
            }
            let here = gathered.entries.len() as u32;
            let one = selection.hints.labels_only;
            let mut any = groups.take(*number, one, &mut gathered.pieces);
            for (known, entries) in known.iter_mut().zip(&mut gathered.blocks) {
                while let Some((_, entry)) = known.next_if(|k| k.0 == *rank) {
                    entries.push((here, *entry));
                    any = true;
                }
            }
            if any {
                let (labels, nameless) = names.of(*number);
                let pieces_end = gathered.pieces.list.len() as u32;
                gathered.entries.push(Entry { labels, pieces_end, nameless });
            }
        }
        while let Some((_, same)) = other {
            self.stop.check()?;
            gathered.other(same, &mut names);
            other = others.next();
        }
        Ok(gathered)
    }
}

impl Gathered {
    /// Adds a series that the head does not have.
    fn other(&mut self, same: &[Other], names: &mut Names<'_>) {
        let here = self.entries.len() as u32;
        for other in same {
            self.blocks[other.block].push((here, other.entry));
        }
        let (labels, nameless) = names.of_labels(&same[0].labels);
        let pieces_end = self.pieces.list.len() as u32;
        self.entries.push(Entry { labels, pieces_end, nameless });
    }
}

/// The labels that a reader gets, as far as they matter to it.
struct Names<'a> {
    index: &'a SeriesIndex,
    /// The names of those that matter as numbers, and the texts.
    wanted: Option<(Vec<u32>, &'a [String])>,
    /// Labels made so far.
    made: HashMap<Vec<Pair>, Labels>,
    key: Vec<Pair>,
    nameless: Option<Nameless>,
}

/// Numbers for sets of labels without those that say what a metric is.
struct Nameless {
    metadata: Vec<u32>,
    /// Of all sets so far, one after the other.
    pairs: Vec<Pair>,
    sets: Vec<Range<u32>>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Texts that the head does not know.
    foreign: HashMap<String, u32>,
}

impl<'a> Names<'a> {
    fn new(index: &'a SeriesIndex, selection: &Selection<'a>) -> Names<'a> {
        let find = |name: &str| index.symbols.find(name);
        let hints = &selection.hints;
        let wanted = hints.labels.map(|l| (l.iter().filter_map(|n| find(n)).collect(), l));
        let nameless = hints.nameless.then(|| Nameless {
            metadata: ["__name__", "__type__", "__unit__"].into_iter().filter_map(find).collect(),
            pairs: Vec::new(),
            sets: Vec::new(),
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            foreign: HashMap::new(),
        });
        Names { index, wanted, made: HashMap::new(), key: Vec::new(), nameless }
    }

    /// Of a series of the head: its labels, and its number without its name.
    fn of(&mut self, number: u32) -> (Labels, u32) {
        let pairs = self.index.pairs(number);
        let nameless = self.nameless.as_mut().map_or(0, |n| n.of(pairs.iter().copied()));
        let Some((wanted, _)) = &self.wanted else { return (self.index.labels(number), nameless) };
        self.key.clear();
        self.key.extend(pairs.iter().filter(|p| wanted.contains(&p.0)));
        if let Some(made) = self.made.get(&self.key) {
            return (made.clone(), nameless);
        }
        let labels = self.index.labels_of(&self.key);
        self.made.insert(self.key.clone(), labels.clone());
        (labels, nameless)
    }

    /// As [`Names::of`], of labels that the head does not have together.
    fn of_labels(&mut self, labels: &Labels) -> (Labels, u32) {
        let symbols = &self.index.symbols;
        let nameless = self.nameless.as_mut().map_or(0, |nameless| {
            let mut pairs = Vec::with_capacity(labels.len());
            for (name, value) in labels.iter().filter(|l| !is_metadata(l.0)) {
                let mut number = |text: &str| {
                    symbols.find(text).unwrap_or_else(|| nameless.foreign_number(text))
                };
                pairs.push((number(name), number(value)));
            }
            nameless.of(pairs.into_iter())
        });
        let wanted = self.wanted.as_ref().map(|w| w.1);
        let labels = match wanted {
            Some(wanted) => labels.without(|n| !wanted.iter().any(|w| w == n)),
            None => labels.clone(),
        };
        (labels, nameless)
    }
}

impl Nameless {
    fn foreign_number(&mut self, text: &str) -> u32 {
        // The head's numbers grow from the other end.
        let fresh = u32::MAX - self.foreign.len() as u32;
        *self.foreign.entry_ref(text).or_insert(fresh)
    }

    fn of(&mut self, pairs: impl Iterator<Item = Pair>) -> u32 {
        let begin = self.pairs.len();
        let Nameless { metadata, pairs: all, sets, table, hasher, .. } = self;
        all.extend(pairs.filter(|p| !metadata.contains(&p.0)));
        let of = |s: &Range<u32>| s.start as usize..s.end as usize;
        let hash = hasher.hash_one(&all[begin..]);
        let same = |i: &u32| all[of(&sets[*i as usize])] == all[begin..];
        if let Some(known) = table.find(hash, same) {
            let known = *known;
            all.truncate(begin);
            return known + 1;
        }
        let fresh = sets.len() as u32;
        sets.push(begin as u32..all.len() as u32);
        table.insert_unique(hash, fresh, |i| hasher.hash_one(&all[of(&sets[*i as usize])]));
        fresh + 1
    }
}
