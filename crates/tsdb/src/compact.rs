//! The head's older part becomes a block, and small blocks become larger ones.
//!
//! Of two samples of a series at one time the one written first counts. Between blocks that is
//! the older log epoch; within a block, where labels come several times, the earlier entry.

use crate::Error;
use crate::block::{Block, BlockError, Page, Scratch, Writer};
use crate::head::Head;
use crate::head::chunk::Chunk;
use crate::open::{BLOCKS, block_name, open_block};
use crate::store::{Store, Stored, lock};
use disk::Damage;
use disk::publish::{Publisher, join};
use model::{Columns, Labels, Sample, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Writes what the head has of the log epochs up to `through` to a block, then forgets it and
/// its log. Nothing where there is nothing.
pub(crate) fn flush(store: &Store, through: u32) -> Result<(), Error> {
    write_head(store, through)?;
    store.log.remove_through(through)?;
    Ok(())
}

/// As [`flush`], but segments that are damaged are set aside instead of deleted.
pub(crate) fn flush_damaged(store: &Store, through: u32, damage: &[Damage]) -> Result<(), Error> {
    write_head(store, through)?;
    let mut files: Vec<&Damage> = damage.iter().collect();
    files.dedup_by_key(|d| &d.file);
    for damage in files {
        store.quarantine(&damage.file, &format!("at byte {}: {}", damage.offset, damage.why));
    }
    store.log.remove_through(through)?;
    Ok(())
}

fn write_head(store: &Store, through: u32) -> Result<(), Error> {
    let _one = lock(&store.maintenance);
    seal(store, through);
    let (first, last, source) = {
        let state = store.read();
        let epochs = state.head.epochs.range(..=through);
        let held: Vec<u32> = epochs.filter(|(_, e)| e.samples > 0).map(|(e, _)| *e).collect();
        let (Some(first), Some(last)) = (held.first(), held.last()) else { return Ok(()) };
        (*first, *last, Source::of(&state.head, through))
    };
    let name = block_name(first, last, 0);
    let block = write_block(store, &name, |writer| source.write(writer))?;
    let mut state = store.write();
    let at = state.blocks.partition_point(|b| b.first < first);
    state.blocks.insert(at, Arc::new(block));
    state.head.forget_through(through);
    Ok(())
}

/// Seals the groups that have had no tick since the epoch, one at a time.
fn seal(store: &Store, through: u32) {
    let mut number = 0;
    loop {
        let mut state = store.write();
        let open = |g: &crate::head::group::Group| g.epoch <= through && !g.times_ms.is_empty();
        let end = state.head.group_count();
        let Some(found) = (number..end).find(|n| state.head.group(*n).is_some_and(open)) else {
            return;
        };
        if let Some(group) = state.head.group_mut(found) {
            group.seal();
        }
        number = found + 1;
    }
}

/// Publishes a block and opens it.
fn write_block(
    store: &Store,
    name: &str,
    write: impl FnOnce(&mut Writer<Publisher<'_>>) -> Result<(u32, Vec<String>), BlockError>,
) -> Result<Stored, Error> {
    let path = join(BLOCKS, name);
    let failed = |source| Error::Block { file: store.files.place(&path), source };
    let publisher = Publisher::begin(&*store.files, BLOCKS, name)?;
    let mut writer = Writer::new(publisher).map_err(failed)?;
    let (level, sources) = write(&mut writer).map_err(failed)?;
    let (publisher, _) = writer.finish(level, &sources).map_err(failed)?;
    publisher.finish()?;
    open_block(&*store.files, &path)
}

/// What of the head goes to a block: sealed chunks, which nobody changes, and loose samples.
struct Source {
    /// Stretches of ticks of one group.
    runs: Vec<Vec<Arc<Chunk>>>,
    series: Vec<(Labels, Vec<Part>)>,
}

/// Samples of one series.
enum Part {
    /// In a slot of a run.
    Slot {
        run: usize,
        slot: u32,
    },
    Loose(Vec<Sample>),
}

impl Source {
    fn of(head: &Head, through: u32) -> Source {
        let mut runs: Vec<Vec<Arc<Chunk>>> = Vec::new();
        // For each group the runs with their epochs.
        let mut of_group: HashMap<u32, Vec<(u32, usize)>> = HashMap::new();
        for number in 0..head.group_count() {
            let chunks = head.group(number).map_or(&[][..], |g| &g.chunks);
            let own = of_group.entry(number).or_default();
            for (epoch, chunk) in chunks.iter().filter(|c| c.0 <= through) {
                let goes_on = own.last().is_some_and(|(e, run)| {
                    e == epoch && runs[*run].last().is_some_and(|c| c.max_ms < chunk.min_ms)
                });
                if !goes_on {
                    own.push((*epoch, runs.len()));
                    runs.push(Vec::new());
                }
                if let Some((_, run)) = own.last() {
                    runs[*run].push(Arc::clone(chunk));
                }
            }
        }
        let mut series = Vec::new();
        for number in head.index.sort(head.index.numbers()) {
            let mut parts: Vec<((u32, bool, i64), Part)> = Vec::new();
            let places = head.index.get(number).map_or(&[][..], |s| &s.places);
            for (group, slot) in places {
                for (epoch, run) in of_group.get(group).into_iter().flatten() {
                    let has = runs[*run].iter().find(|c| c.has(*slot));
                    let Some(first) = has else { continue };
                    let part = Part::Slot { run: *run, slot: *slot };
                    parts.push(((*epoch, false, first.min_ms), part));
                }
            }
            for (epoch, loose) in head.loose.range(..=through) {
                if let Some(samples) = loose.get(&number) {
                    parts.push(((*epoch, true, 0), Part::Loose(samples.clone())));
                }
            }
            parts.sort_by_key(|p| p.0);
            if !parts.is_empty() {
                let parts = parts.into_iter().map(|p| p.1).collect();
                series.push((head.index.labels(number), parts));
            }
        }
        Source { runs, series }
    }

    fn write<W: std::io::Write>(
        &self,
        writer: &mut Writer<W>,
    ) -> Result<(u32, Vec<String>), BlockError> {
        let mut groups = Vec::with_capacity(self.runs.len());
        let mut times = Vec::new();
        for run in &self.runs {
            times.clear();
            for chunk in run {
                chunk.read_times(&mut times).map_err(|e| BlockError::decode(0, e))?;
            }
            groups.push(writer.group(&times)?);
        }
        let mut loose_groups = HashMap::new();
        let (mut page, mut whole) = (Page::default(), Page::default());
        for (labels, parts) in &self.series {
            for part in parts {
                match part {
                    Part::Slot { run, slot } => {
                        whole.clear();
                        let mut from = 0;
                        for chunk in &self.runs[*run] {
                            chunk.read(*slot, &mut page).map_err(|e| BlockError::decode(0, e))?;
                            whole.append(&page, from, chunk.ticks);
                            from += chunk.ticks;
                        }
                        writer.series(labels, groups[*run], whole.points())?;
                    }
                    Part::Loose(samples) => {
                        let times: Vec<i64> = samples.iter().map(|s| s.time_ms).collect();
                        let group = match loose_groups.get(&times) {
                            Some(group) => *group,
                            None => {
                                let group = writer.group(&times)?;
                                loose_groups.insert(times, group);
                                group
                            }
                        };
                        whole.clear();
                        samples.iter().for_each(|s| whole.push_sample(s));
                        writer.series(labels, group, whole.points())?;
                    }
                }
            }
        }
        Ok((0, Vec::new()))
    }
}

impl Page {
    /// Adds the samples of a page of `ticks` ticks, the first of which is `from`.
    fn append(&mut self, page: &Page, from: u32, ticks: u32) {
        let at = self.floats.len();
        if page.all {
            self.ticks.extend(from..from + ticks);
        } else {
            self.ticks.extend(page.ticks.iter().map(|t| t + from));
        }
        self.floats.extend_from_slice(&page.floats);
        let moved = page.histograms.iter().map(|(i, h)| (i + at as u32, Arc::clone(h)));
        self.histograms.extend(moved);
        if !page.starts_ms.is_empty() || !self.starts_ms.is_empty() {
            self.starts_ms.resize(at, 0);
            self.starts_ms.extend_from_slice(&page.starts_ms);
            self.starts_ms.resize(self.floats.len(), 0);
        }
    }

    /// Adds a sample at the next tick.
    fn push_sample(&mut self, sample: &Sample) {
        let at = self.floats.len() as u32;
        self.ticks.push(at);
        self.starts_ms.push(sample.start_ms);
        match &sample.value {
            Value::Float(v) => self.floats.push(*v),
            Value::Histogram(h) => {
                self.histograms.push((at, Arc::clone(h)));
                self.floats.push(0.0);
            }
        }
    }
}

/// Merges neighbouring blocks into one, and deletes them. What cannot be read of a damaged block
/// is left out, and the block set aside instead of deleted.
pub(crate) fn merge(store: &Store, blocks: &[Arc<Stored>]) -> Result<(), Error> {
    let _one = lock(&store.maintenance);
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
    let edition = if blocks.len() == 1 { first.edition + 1 } else { 0 };
    let (first, name) = (first.first, block_name(first.first, last.last, edition));
    let merged = write_block(store, &name, |writer| Merge::new(blocks).write(writer))?;
    {
        let mut state = store.write();
        let gone = |b: &Arc<Stored>| blocks.iter().any(|m| Arc::ptr_eq(m, b));
        state.blocks.retain(|b| !gone(b));
        if merged.block.meta().series > 0 {
            let at = state.blocks.partition_point(|b| b.first < first);
            state.blocks.insert(at, Arc::new(merged));
        }
    }
    for block in blocks {
        let damage = lock(&block.damage).clone();
        match damage {
            Some(why) => store.quarantine(&block.path, &why),
            None => remove(store, &block.path),
        }
    }
    Ok(())
}

/// Deletes a file; what cannot be deleted now is at the next opening.
pub(crate) fn remove(store: &Store, path: &str) {
    if let Err(e) = store.files.remove(path) {
        tracing::warn!("{}: {e}", store.files.place(path));
    }
}

/// Several blocks as one: groups whose series go on in the next block become one group.
struct Merge<'a> {
    blocks: &'a [Arc<Stored>],
    /// For each block and each of its groups: the chain, and the tick at which it begins there.
    placed: Vec<Vec<(usize, u32)>>,
    /// The times of each chain.
    chains: Vec<Vec<i64>>,
}

impl<'a> Merge<'a> {
    fn new(blocks: &'a [Arc<Stored>]) -> Merge<'a> {
        Merge { blocks, placed: Vec::new(), chains: Vec::new() }
    }

    fn write<W: std::io::Write>(
        mut self,
        writer: &mut Writer<W>,
    ) -> Result<(u32, Vec<String>), BlockError> {
        self.chain()?;
        let groups: Result<Vec<_>, _> = self.chains.iter().map(|t| writer.group(t)).collect();
        let groups = groups?;
        let (mut columns, mut page) = (Columns::default(), Page::default());
        let mut entries = Entries::new(self.blocks);
        let mut parts: Vec<(usize, Page)> = Vec::new();
        while let Some((labels, of)) = entries.next()? {
            parts.clear();
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
        }
        let level = self.blocks.iter().map(|b| b.block.meta().level).max().unwrap_or(0) + 1;
        let sources = self.blocks.iter().map(|b| b.path.clone()).collect();
        Ok((level, sources))
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
        let mut has_before: HashMap<(usize, u32), ()> = HashMap::new();
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
                    && !has_before.contains_key(&pair[1])
                {
                    next.insert(pair[0], pair[1]);
                    has_before.insert(pair[1], ());
                }
            }
        }
        self.placed = times.iter().map(|t| vec![(0, 0); t.len()]).collect();
        for (block, groups) in times.iter().enumerate() {
            for group in 0..groups.len() as u32 {
                if has_before.contains_key(&(block, group)) {
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

    fn next(&mut self) -> Result<Option<(Labels, Vec<(usize, u32)>)>, BlockError> {
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
