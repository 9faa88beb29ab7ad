//! The head's older part becomes a block.
//!
//! Of two samples of a series at one time the one written first counts. Between blocks that is
//! the older log epoch; within a block, where labels come several times, the earlier entry.

use crate::Error;
use crate::block::{BlockError, Page, Writer};
use crate::head::Head;
use crate::head::chunk::Chunk;
use crate::head::run::Run;
use crate::numbers::Numbers;
use crate::open::{BLOCKS, block_name, open_block};
use crate::pace::{Pace, Paced};
use crate::store::{Store, Stored, lock};
use disk::Damage;
use disk::publish::{Publisher, join};
use model::{Labels, Sample, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Writes what the head has of the log epochs up to `through` to a block, then forgets it and
/// its log. Nothing where there is nothing.
pub(crate) fn flush(store: &Store, through: u32, pace: &Pace<'_>) -> Result<(), Error> {
    store.secure_exemplars()?;
    write_head(store, through, pace)?;
    store.log.remove_through(through)?;
    Ok(())
}

/// As [`flush`], but segments that are damaged are set aside instead of deleted.
pub(crate) fn flush_damaged(store: &Store, through: u32, damage: &[Damage]) -> Result<(), Error> {
    store.retell_exemplars()?;
    store.secure_exemplars()?;
    write_head(store, through, &Pace::none())?;
    let mut files: Vec<&Damage> = damage.iter().collect();
    files.dedup_by_key(|d| &d.file);
    for damage in files {
        store.quarantine(&damage.file, &format!("at byte {}: {}", damage.offset, damage.why));
    }
    store.log.remove_through(through)?;
    Ok(())
}

fn write_head(store: &Store, through: u32, pace: &Pace<'_>) -> Result<(), Error> {
    let _one = lock(&store.maintenance);
    seal(store, through);
    let (first, last, source) = {
        let state = store.read();
        let epochs = state.head.epochs.range(..=through);
        let held: Vec<u32> = epochs.filter(|(_, e)| e.samples > 0).map(|(e, _)| *e).collect();
        let (Some(first), Some(last)) = (held.first(), held.last()) else {
            drop(state);
            // Series may have come with nothing but exemplars.
            store.write().head.forget_through(through);
            return Ok(());
        };
        (*first, *last, Source::of(&state.head, through))
    };
    let name = block_name(first, last, 0);
    let mut numbers = Vec::new();
    let mut block =
        write_block(store, &name, pace, |writer| source.write(store, writer, &mut numbers))?;
    let mut state = store.write();
    // None was forgotten meanwhile.
    block.numbers = Numbers::new(state.head.index.generation(), numbers.into_iter());
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
pub(crate) fn write_block(
    store: &Store,
    name: &str,
    pace: &Pace<'_>,
    write: impl FnOnce(&mut Writer<Paced<'_, Publisher<'_>>>) -> Result<(u32, Vec<String>), BlockError>,
) -> Result<Stored, Error> {
    let path = join(BLOCKS, name);
    let failed = |source| Error::Block { file: store.files.place(&path), source };
    let publisher = Publisher::begin(&*store.files, BLOCKS, name)?;
    let mut writer = Writer::new(Paced { inner: publisher, pace }).map_err(failed)?;
    let (level, sources) = write(&mut writer).map_err(failed)?;
    let (paced, _) = writer.finish(level, &sources).map_err(failed)?;
    paced.inner.finish()?;
    open_block(&*store.files, &path)
}

/// What of the head goes to a block: sealed chunks, which nobody changes, and loose samples.
struct Source {
    through: u32,
    /// Stretches of ticks of one group.
    runs: Vec<Vec<Arc<Chunk>>>,
    /// For each group its runs with their epochs.
    of_group: HashMap<u32, Vec<(u32, usize)>>,
    /// All series of the head, sorted by labels. None is forgotten while a block is written.
    series: Vec<u32>,
}

/// Samples of one series.
enum Part {
    /// In a slot of a run.
    Slot {
        run: usize,
        slot: u32,
    },
    Loose(Box<Run>),
}

/// So many series are looked up at once: between, writers get their turn.
const SERIES_AT_ONCE: usize = 512;

impl Source {
    fn of(head: &Head, through: u32) -> Source {
        let mut runs: Vec<Vec<Arc<Chunk>>> = Vec::new();
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
        let series = head.index.sort(head.index.numbers());
        Source { through, runs, of_group, series }
    }

    /// The samples of a series, those that count first before the others.
    fn parts(&self, head: &Head, number: u32) -> Vec<Part> {
        let mut parts: Vec<((u32, bool, i64), Part)> = Vec::new();
        let places = head.index.get(number).map_or(&[][..], |s| &s.places);
        for (group, slot) in places {
            for (epoch, run) in self.of_group.get(group).into_iter().flatten() {
                let has = self.runs[*run].iter().find(|c| c.has(*slot));
                let Some(first) = has else { continue };
                let part = Part::Slot { run: *run, slot: *slot };
                parts.push(((*epoch, false, first.min_ms), part));
            }
        }
        for (epoch, loose) in head.loose.range(..=self.through) {
            if let Some(run) = loose.get(number) {
                parts.push(((*epoch, true, 0), Part::Loose(Box::new(run.clone()))));
            }
        }
        parts.sort_by_key(|p| p.0);
        parts.into_iter().map(|p| p.1).collect()
    }

    /// Writes all of it; `entry_numbers` gets the number of each entry's series.
    fn write<W: std::io::Write>(
        &self,
        store: &Store,
        writer: &mut Writer<W>,
        entry_numbers: &mut Vec<u32>,
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
        let mut batch: Vec<(u32, Labels, Vec<Part>)> = Vec::with_capacity(SERIES_AT_ONCE);
        for numbers in self.series.chunks(SERIES_AT_ONCE) {
            batch.clear();
            {
                let state = store.read();
                let head = &state.head;
                let of = |n: &u32| (*n, head.index.labels(*n), self.parts(head, *n));
                batch.extend(numbers.iter().map(of).filter(|b| !b.2.is_empty()));
            }
            let parts = batch.iter().flat_map(|(n, l, p)| p.iter().map(move |p| (n, l, p)));
            for (number, labels, part) in parts {
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
                    Part::Loose(run) => {
                        let samples = run.samples().map_err(|e| BlockError::decode(0, e))?;
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
                // What has no sample has no entry.
                entry_numbers.resize(writer.entries(), *number);
            }
        }
        Ok((0, Vec::new()))
    }
}

impl Page {
    /// Adds the samples of a page of `ticks` ticks, the first of which is `from`.
    pub fn append(&mut self, page: &Page, from: u32, ticks: u32) {
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

/// Deletes a file; what cannot be deleted now is at the next opening.
pub(crate) fn remove(store: &Store, path: &str) {
    if let Err(e) = store.files.remove(path) {
        tracing::warn!("{}: {e}", store.files.place(path));
    }
}
