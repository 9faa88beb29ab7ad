//! A whole data folder of Prometheus: which files there are, and the head that they hold.
//!
//! The head is read as Prometheus reads it when it starts: the newest checkpoint, the log's segments behind
//! it, the log of late samples, and the chunks that were full. Samples come one by one, in the order in which
//! they were written; of a series at one time the first counts.

use crate::block::put_in_order;
use crate::error::{Damage, Error};
use crate::head_chunks::read_head_chunks;
use crate::record::{About, Item, read_record};
use crate::segment::read_segment;
use model::labels::METRIC_NAME;
use model::{Kind, Labels, Sample, Value};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of a data folder.
#[derive(Debug, Default)]
pub struct Folder {
    dir: PathBuf,
    blocks: Vec<PathBuf>,
    /// Segments of the newest checkpoint, then those of the log behind it.
    log: Vec<PathBuf>,
    /// The log of late samples.
    late: Vec<PathBuf>,
    head_chunks: Vec<PathBuf>,
}

/// An example of what a series counted.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadExemplar {
    /// The series.
    pub series: Labels,
    /// Its own labels.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    pub time_ms: i64,
}

/// What reading the head came to.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Series that the log names.
    pub series: u64,
    /// Samples given.
    pub samples: u64,
    /// Samples left out because blocks have their time.
    pub older: u64,
    /// Samples left out because they were deleted.
    pub deleted: u64,
    /// Samples of series whose labels could not be read.
    pub unknown: u64,
    /// The newest exemplars, at most a hundred thousand, in the order in which they were written.
    pub exemplars: VecDeque<HeadExemplar>,
    /// What is known of metrics, by the name of their family; what was said last counts.
    pub families: BTreeMap<String, About>,
    /// What could not be read; of many the first thousand.
    pub damage: Vec<Damage>,
    /// How many parts could not be read.
    pub damaged: u64,
}

const DAMAGE_MAX: usize = 1000;
/// Of more exemplars than this the oldest are left out.
const EXEMPLARS_MAX: usize = 100_000;
/// Of more families than this nothing is known.
const FAMILIES_MAX: usize = 100_000;

/// The name of the family to which a series belongs.
fn family(name: &str, kind: Kind) -> &str {
    let suffixes: &[&str] = match kind {
        Kind::Histogram | Kind::GaugeHistogram => {
            &["_bucket", "_count", "_sum", "_gcount", "_gsum"]
        }
        Kind::Summary => &["_count", "_sum"],
        _ => &[],
    };
    suffixes.iter().find_map(|s| name.strip_suffix(s)).filter(|n| !n.is_empty()).unwrap_or(name)
}

impl Head {
    fn note(&mut self, file: &Path, offset: usize, what: &str) {
        self.damaged += 1;
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(Damage::new(&file.display().to_string(), offset, what));
        }
    }
}

/// The 26 digits that name a block.
fn is_block_name(name: &str) -> bool {
    name.len() == 26 && name.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

impl Folder {
    /// Looks which files there are. A single block is a folder, too.
    ///
    /// Fails where nothing in it is Prometheus's.
    pub fn open(dir: &Path) -> Result<Folder, Error> {
        let mut folder = Folder { dir: dir.to_owned(), ..Folder::default() };
        if dir.join("index").is_file() && dir.join("chunks").is_dir() {
            folder.blocks.push(dir.to_owned());
            return Ok(folder);
        }
        for path in entries(dir)? {
            if path.is_dir() && is_block_name(&name(&path)) {
                folder.blocks.push(path);
            }
        }
        // A checkpoint has what the segments up to its number had.
        let log = optional(&dir.join("wal"))?;
        let number = |name: &str| name.parse::<u64>().ok();
        let checkpoint = log
            .iter()
            .filter_map(|p| Some((number(name(p).strip_prefix("checkpoint.")?)?, p)))
            .max();
        if let Some((_, path)) = checkpoint {
            folder.log.extend(segments(&entries(path)?, 0));
        }
        folder.log.extend(segments(&log, checkpoint.map_or(0, |c| c.0 + 1)));
        folder.late = segments(&optional(&dir.join("wbl"))?, 0);
        folder.head_chunks = segments(&optional(&dir.join("chunks_head"))?, 0);
        if folder.blocks.is_empty() && folder.log.is_empty() && folder.head_chunks.is_empty() {
            let why = "neither blocks nor a log of Prometheus are in there";
            return Err(Error::Foreign { place: dir.display().to_string(), why });
        }
        Ok(folder)
    }

    /// The folders of the blocks, oldest first.
    pub fn blocks(&self) -> &[PathBuf] {
        &self.blocks
    }

    /// Whether a process, Prometheus as a rule, has the folder locked.
    pub fn in_use(&self) -> bool {
        disk::Folder::new(&self.dir).holder("lock").is_ok_and(|h| h.is_some())
    }

    /// Whether there is a head.
    pub fn has_head(&self) -> bool {
        !self.log.is_empty() || !self.head_chunks.is_empty()
    }

    /// Reads the head. Samples before `from_ms` that came in order are left out: blocks have them.
    /// `progress` is told bytes done and in all; what `take` fails with ends the reading.
    pub fn read_head<E: From<Error>>(
        &self,
        from_ms: i64,
        progress: &mut dyn FnMut(u64, u64),
        take: &mut dyn FnMut(&Labels, Sample) -> Result<(), E>,
    ) -> Result<Head, E> {
        let files = || self.log.iter().chain(&self.late).chain(&self.head_chunks);
        let size = |p: &PathBuf| p.metadata().map_or(0, |m| m.len());
        let log_bytes: u64 = self.log.iter().chain(&self.late).map(size).sum();
        let total = files().map(size).sum::<u64>() + log_bytes;
        let mut reader = Reader { from_ms, ..Reader::default() };
        let mut done = 0;
        // Once for the names of the series and for what was deleted, once for the samples.
        for file in self.log.iter().chain(&self.late) {
            let bytes = read(file)?;
            reader.names(file, &bytes);
            done += bytes.len() as u64;
            progress(done, total);
        }
        reader.newest = vec![i64::MIN; reader.labels.len()];
        for (file, late) in
            self.log.iter().map(|f| (f, false)).chain(self.late.iter().map(|f| (f, true)))
        {
            let bytes = read(file)?;
            reader.samples(&bytes, late, take)?;
            done += bytes.len() as u64;
            progress(done, total);
        }
        for file in &self.head_chunks {
            let bytes = read(file)?;
            reader.chunks(file, &bytes, take)?;
            done += bytes.len() as u64;
            progress(done, total);
        }
        reader.done.series = reader.labels.len() as u64;
        Ok(reader.done)
    }
}

#[derive(Default)]
struct Reader {
    from_ms: i64,
    /// Numbers of the log to places in `labels`.
    numbers: HashMap<u64, u32>,
    places: HashMap<Labels, u32>,
    labels: Vec<Labels>,
    deleted: HashMap<u32, Vec<(i64, i64)>>,
    /// The newest time of each series, which only later samples of the log go beyond: earlier ones were
    /// refused, or are in the log of late samples.
    newest: Vec<i64>,
    done: Head,
}

impl Reader {
    /// Names of series and what was deleted, out of a segment.
    fn names(&mut self, file: &Path, bytes: &[u8]) {
        let (mut wrong, mut torn, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
        read_segment(
            bytes,
            &mut |at, record| {
                let read = read_record(record, &mut |item| match item {
                    Item::Series { series, labels } => {
                        let fresh = self.labels.len() as u32;
                        let place = *self.places.entry(labels).or_insert_with_key(|labels| {
                            self.labels.push(labels.clone());
                            fresh
                        });
                        self.numbers.insert(series, place);
                    }
                    Item::Deleted { series, start_ms, end_ms } => {
                        deleted.push((series, start_ms, end_ms));
                    }
                    Item::Exemplar { series, time_ms, value, labels } => {
                        let place = self.numbers.get(&series).map(|p| *p as usize);
                        let Some(series) = place.and_then(|p| self.labels.get(p)) else { return };
                        if self.done.exemplars.len() >= EXEMPLARS_MAX {
                            self.done.exemplars.pop_front();
                        }
                        let series = series.clone();
                        let exemplar = HeadExemplar { series, labels, value, time_ms };
                        self.done.exemplars.push_back(exemplar);
                    }
                    Item::Metadata { series, about } => {
                        let place = self.numbers.get(&series).map(|p| *p as usize);
                        let name = place.and_then(|p| self.labels.get(p)?.get(METRIC_NAME));
                        if let Some(name) = name {
                            let family = family(name, about.kind).to_owned();
                            if self.done.families.len() < FAMILIES_MAX
                                || self.done.families.contains_key(&family)
                            {
                                self.done.families.insert(family, about);
                            }
                        }
                    }
                    _ => {}
                });
                if let Err(what) = read {
                    wrong.push((at, format!("record: {what}")));
                }
            },
            &mut |at, what| torn.push((at, what.to_owned())),
        );
        for (series, start_ms, end_ms) in deleted {
            if let Some(place) = self.numbers.get(&series) {
                self.deleted.entry(*place).or_default().push((start_ms, end_ms));
            }
        }
        for (at, what) in torn.into_iter().chain(wrong) {
            self.done.note(file, at, &what);
        }
    }

    /// Samples out of a segment; what is wrong with it was noted before.
    fn samples<E>(
        &mut self,
        bytes: &[u8],
        late: bool,
        take: &mut dyn FnMut(&Labels, Sample) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut failed = None;
        let mut see = |series, sample: Sample| {
            if failed.is_none() {
                failed = self.give(series, late, true, sample, take).err();
            }
        };
        read_segment(
            bytes,
            &mut |_, record| {
                // An error was noted, and what stood before it was read, the first time.
                let _ = read_record(record, &mut |item| match item {
                    Item::Float { series, time_ms, start_ms, value } => {
                        see(series, Sample { time_ms, start_ms, value: Value::Float(value) });
                    }
                    Item::Histogram { series, time_ms, start_ms, value } => {
                        see(series, Sample { time_ms, start_ms, value: Value::Histogram(value) });
                    }
                    _ => {}
                });
            },
            &mut |_, _| {},
        );
        failed.map_or(Ok(()), Err)
    }

    /// Samples out of a file of chunks.
    fn chunks<E>(
        &mut self,
        file: &Path,
        bytes: &[u8],
        take: &mut dyn FnMut(&Labels, Sample) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut chunks, mut wrong) = (Vec::new(), Vec::new());
        read_head_chunks(bytes, &mut |c| chunks.push(c), &mut |at, what| {
            wrong.push((at, what.to_owned()));
        });
        wrong.into_iter().for_each(|(at, what)| self.done.note(file, at, &what));
        for mut chunk in chunks {
            put_in_order(&mut chunk.columns);
            let columns = &chunk.columns;
            let mut histograms = columns.histograms.iter().peekable();
            for (i, &time_ms) in columns.times_ms.iter().enumerate() {
                let value = match histograms.next_if(|h| h.0 as usize == i) {
                    Some((_, histogram)) => Value::Histogram(Arc::clone(histogram)),
                    None => Value::Float(columns.floats[i]),
                };
                let start_ms = columns.starts_ms.get(i).copied().unwrap_or(0);
                let sample = Sample { time_ms, start_ms, value };
                self.give(chunk.series, chunk.late, false, sample, take)?;
            }
        }
        Ok(())
    }

    /// Passes a sample on, unless it is deleted or too old; `in_order` says that a time that is not beyond
    /// the newest is one that the log has for nothing.
    fn give<E>(
        &mut self,
        series: u64,
        late: bool,
        in_order: bool,
        sample: Sample,
        take: &mut dyn FnMut(&Labels, Sample) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(&place) = self.numbers.get(&series) else {
            self.done.unknown += 1;
            return Ok(());
        };
        let time = sample.time_ms;
        if !late && time < self.from_ms {
            self.done.older += 1;
            return Ok(());
        }
        if !late && in_order {
            let newest = &mut self.newest[place as usize];
            if time <= *newest {
                return Ok(());
            }
            *newest = time;
        }
        let deleted = self.deleted.get(&place);
        if deleted.is_some_and(|d| d.iter().any(|d| (d.0..=d.1).contains(&time))) {
            self.done.deleted += 1;
            return Ok(());
        }
        self.done.samples += 1;
        take(&self.labels[place as usize], sample)
    }
}

fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(Error::io(file.display()))
}

/// What a folder has, sorted by name.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = || -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(dir)?.map(|e| Ok(e?.path())).collect()
    };
    let mut found = listed().map_err(Error::io(dir.display()))?;
    found.sort();
    Ok(found)
}

/// As [`entries`], nothing where there is no such folder.
fn optional(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    if dir.is_dir() { entries(dir) } else { Ok(Vec::new()) }
}

/// The files that are named by numbers, from one of them on, in order.
fn segments(paths: &[PathBuf], from: u64) -> Vec<PathBuf> {
    let mut found: Vec<(u64, &PathBuf)> =
        paths.iter().filter_map(|p| Some((name(p).parse().ok()?, p))).collect();
    found.retain(|f| f.0 >= from && f.1.is_file());
    found.sort();
    found.into_iter().map(|f| f.1.clone()).collect()
}
