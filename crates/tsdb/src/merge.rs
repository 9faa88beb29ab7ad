//! Small blocks become larger ones, and a damaged block is written anew without what is damaged.

use crate::block::{Block, BlockError, Page, Scratch, Writer};
use crate::compact::{remove, write_block};
use crate::numbers::Numbers;
use crate::open::block_name;
use crate::pace::Pace;
use crate::store::{Store, Stored, lock};
use crate::tombstones::Hidden;
use crate::{Error, companion};
use model::{Columns, Labels};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Merges neighbouring blocks into one, and deletes them. What cannot be read of a damaged block
/// is left out, and the block set aside instead of deleted.
pub(crate) fn merge(store: &Store, blocks: &[Arc<Stored>], pace: &Pace<'_>) -> Result<(), Error> {
    let _one = lock(&store.maintenance);
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
    let edition = if blocks.len() == 1 { first.edition + 1 } else { 0 };
    let (first, name) = (first.first, block_name(first.first, last.last, edition));
    let tombstones = store.read().tombstones.clone();
    let mut hidden = Vec::new();
    for stored in blocks {
        // What cannot be looked up in a damaged index is written as it is.
        hidden.push(Hidden::of(stored, &tombstones).unwrap_or_else(|e| {
            lock(&stored.damage).get_or_insert(e.to_string());
            Hidden::default()
        }));
    }
    let merge = Merge::new(blocks, hidden);
    let mut sources = Vec::new();
    let mut merged = write_block(store, &name, pace, |writer| merge.write(writer, &mut sources))?;
    {
        let mut state = store.write();
        let index = &state.head.index;
        let number = |(block, entry): &(u32, u32)| {
            let source = blocks.get(*block as usize);
            source.and_then(|b| b.numbers.known(*entry, index)).unwrap_or(u32::MAX)
        };
        merged.numbers = Numbers::new(index.generation(), sources.iter().map(number));
        if blocks.iter().any(|b| lock(&b.damage).is_some()) {
            state.head.touched.note(i64::MIN);
        }
        let gone = |b: &Arc<Stored>| blocks.iter().any(|m| Arc::ptr_eq(m, b));
        state.blocks.retain(|b| !gone(b));
        if merged.block.meta().series > 0 {
            let at = state.blocks.partition_point(|b| b.first < first);
            state.blocks.insert(at, Arc::new(merged));
        }
    }
    for block in blocks {
        companion::files::remove_all(store, block);
        let damage = lock(&block.damage).clone();
        match damage {
            Some(why) => store.quarantine(&block.path, &why),
            None => remove(store, &block.path),
        }
    }
    Ok(())
}

/// Several blocks as one: groups whose series go on in the next block become one group.
struct Merge<'a> {
    blocks: &'a [Arc<Stored>],
    /// For each block what was deleted of it.
    hidden: Vec<Hidden>,
    /// For each block and each of its groups: the chain, and the tick at which it begins there.
    placed: Vec<Vec<(usize, u32)>>,
    /// The times of each chain.
    chains: Vec<Vec<i64>>,
}

impl<'a> Merge<'a> {
    fn new(blocks: &'a [Arc<Stored>], hidden: Vec<Hidden>) -> Merge<'a> {
        Merge { blocks, hidden, placed: Vec::new(), chains: Vec::new() }
    }

    /// Writes all of it; `sources` gets block and entry of which each entry is made, of several the newest.
    fn write<W: std::io::Write>(
        mut self,
        writer: &mut Writer<W>,
        sources: &mut Vec<(u32, u32)>,
    ) -> Result<(u32, Vec<String>), BlockError> {
        self.chain()?;
        let groups: Result<Vec<_>, _> = self.chains.iter().map(|t| writer.group(t)).collect();
        let groups = groups?;
        let (mut columns, mut page) = (Columns::default(), Page::default());
        let mut entries = Entries::new(self.blocks);
        let mut parts: Vec<(usize, Page)> = Vec::new();
        while let Some((labels, of)) = entries.next()? {
            parts.clear();
            let newest = of.last().map_or((0, 0), |(b, s)| (*b as u32, *s));
            for (block, series) in of {
                let stored = &self.blocks[block];
                let Ok(group) = stored.block.group_of(series) else { continue };
                columns.clear();
                let read = stored.block.read(
                    series,
                    i64::MIN,
                    i64::MAX,
                    &mut entries.scratch[block],
                    &mut columns,
                );
                if let Err(e) = read {
                    lock(&stored.damage).get_or_insert(e.to_string());
                }
                self.hidden[block].cut(series, &mut columns, 0);
                let (chain, from) = self.placed[block][group as usize];
                page.clear();
                page.take(&columns, &self.chains[chain], from);
                if page.floats.is_empty() {
                    continue;
                }
                match parts.last_mut().filter(|p| p.0 == chain) {
                    Some((_, whole)) => whole.append(&page, 0, 0),
                    None => parts.push((chain, std::mem::take(&mut page))),
                }
            }
            for (chain, part) in &parts {
                writer.series(&labels, groups[*chain], part.points())?;
            }
            sources.resize(writer.entries(), newest);
        }
        let level = self.blocks.iter().map(|b| b.block.meta().level).max().unwrap_or(0) + 1;
        Ok((level, self.blocks.iter().map(|b| b.path.clone()).collect()))
    }

    /// Links each group to the one in a later block in which one of its series goes on.
    fn chain(&mut self) -> Result<(), BlockError> {
        let mut times = Vec::new();
        for stored in self.blocks {
            let groups = 0..stored.block.group_count();
            let read = |g| match stored.block.group_times(g) {
                Ok(times) => times,
                Err(e) => {
                    // Its samples cannot be read either.
                    lock(&stored.damage).get_or_insert(e.to_string());
                    Vec::new()
                }
            };
            times.push(groups.map(read).collect::<Vec<Vec<i64>>>());
        }
        let mut next: HashMap<(usize, u32), (usize, u32)> = HashMap::new();
        let mut has_before: HashSet<(usize, u32)> = HashSet::new();
        let mut entries = Entries::new(self.blocks);
        while let Some((_, of)) = entries.next()? {
            let groups: Vec<(usize, u32)> = of
                .iter()
                .filter_map(|(b, s)| Some((*b, self.blocks[*b].block.group_of(*s).ok()?)))
                .collect();
            for pair in groups.windows(2) {
                let ((b, g), (c, h)) = (pair[0], pair[1]);
                let ends = times[b][g as usize].last();
                let follows = ends.zip(times[c][h as usize].first()).is_some_and(|(e, s)| e < s);
                if b < c
                    && follows
                    && !next.contains_key(&pair[0])
                    && !has_before.contains(&pair[1])
                {
                    next.insert(pair[0], pair[1]);
                    has_before.insert(pair[1]);
                }
            }
        }
        self.placed = times.iter().map(|t| vec![(0, 0); t.len()]).collect();
        for (block, groups) in times.iter().enumerate() {
            for group in 0..groups.len() as u32 {
                if has_before.contains(&(block, group)) {
                    continue;
                }
                let (mut chain, mut at) = (Vec::new(), Some((block, group)));
                while let Some((b, g)) = at {
                    self.placed[b][g as usize] = (self.chains.len(), chain.len() as u32);
                    chain.extend_from_slice(&times[b][g as usize]);
                    at = next.get(&(b, g)).copied();
                }
                self.chains.push(chain);
            }
        }
        Ok(())
    }
}

impl Page {
    /// Takes samples for those of a group with these times; all lie from the tick `from` on.
    fn take(&mut self, columns: &Columns, times: &[i64], from: u32) {
        let mut tick = from as usize;
        for time in &columns.times_ms {
            while times.get(tick).is_some_and(|t| t < time) {
                tick += 1;
            }
            if times.get(tick) != Some(time) {
                // The times of a damaged group: its samples have none.
                return self.clear();
            }
            self.ticks.push(tick as u32);
        }
        self.floats.extend_from_slice(&columns.floats);
        self.histograms.extend_from_slice(&columns.histograms);
        self.starts_ms.extend_from_slice(&columns.starts_ms);
    }
}

/// A label set, and (block, series) of each of its entries, oldest first.
type Entry = (Labels, Vec<(usize, u32)>);

/// The entries of several blocks by labels: for each label set (block, series), oldest first.
struct Entries<'a> {
    blocks: &'a [Arc<Stored>],
    scratch: Vec<Scratch>,
    next: Vec<(u32, Option<Labels>)>,
    begun: bool,
}

impl<'a> Entries<'a> {
    fn new(blocks: &'a [Arc<Stored>]) -> Entries<'a> {
        let scratch = blocks.iter().map(|_| Scratch::default()).collect();
        Entries { blocks, scratch, next: vec![(0, None); blocks.len()], begun: false }
    }

    fn load(&mut self, block: usize) -> Result<(), BlockError> {
        let whole: &Block = &self.blocks[block].block;
        let at = self.next[block].0;
        let labels = if u64::from(at) < whole.meta().series {
            Some(whole.labels(at, &mut self.scratch[block])?)
        } else {
            None
        };
        self.next[block].1 = labels;
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Entry>, BlockError> {
        if !self.begun {
            self.begun = true;
            (0..self.blocks.len()).try_for_each(|b| self.load(b))?;
        }
        let least = self.next.iter().filter_map(|n| n.1.as_ref()).min();
        let Some(labels) = least.cloned() else { return Ok(None) };
        let mut found = Vec::new();
        for block in 0..self.blocks.len() {
            while self.next[block].1.as_ref() == Some(&labels) {
                found.push((block, self.next[block].0));
                self.next[block].0 += 1;
                self.load(block)?;
            }
        }
        Ok(Some((labels, found)))
    }
}
