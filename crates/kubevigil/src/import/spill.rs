//! Samples in any order of series and times, put in order on disk: full batches go to a store of their own
//! below the data folder, and from there day by day to the blocks of the data folder.

use crate::progress::{Line, count};
use anyhow::Context;
use model::{Columns, Labels, ReadError, Sample, Selection, SeriesSet, Storage, Value};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use tsdb::{Db, Sealed};

/// Where the store lies meanwhile; what a crash leaves there goes when the next import begins.
const DIR: &str = "importing";
/// A batch has so many samples at most: some 40 bytes each.
const SAMPLES_MAX: usize = 3 << 20;
/// A batch has so many bytes of labels at most.
const LABEL_BYTES_MAX: usize = 64 << 20;
const DAY_MS: i64 = 86_400_000;
/// There are so many blocks at most for one import; beyond, each has more than a day.
const WINDOWS_MAX: usize = 4000;
/// Times are accepted between the years 1 and 9999, in milliseconds since the Unix epoch.
pub const TIMES_MS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// Puts samples in order.
pub struct Spill {
    dir: PathBuf,
    db: Db,
    places: HashMap<Labels, u32>,
    labels: Vec<Labels>,
    label_bytes: usize,
    samples: Vec<(u32, Sample)>,
    /// The days of which there are samples.
    days: BTreeSet<i64>,
    total: u64,
    /// Samples of which the input has another at their time.
    repeated: u64,
}

impl Spill {
    /// Begins in a data folder.
    pub fn begin(data_dir: &Path) -> anyhow::Result<Spill> {
        let dir = data_dir.join(DIR);
        remove(&dir)?;
        let options = tsdb::Options { background: false, retention_ms: 0, ..Default::default() };
        let db = Db::open(&dir, options)?;
        Ok(Spill {
            dir,
            db,
            places: HashMap::new(),
            labels: Vec::new(),
            label_bytes: 0,
            samples: Vec::new(),
            days: BTreeSet::new(),
            total: 0,
            repeated: 0,
        })
    }

    /// Adds a sample whose time is within [`TIMES_MS`].
    pub fn add(&mut self, labels: &Labels, sample: Sample) -> anyhow::Result<()> {
        let place = match self.places.get(labels) {
            Some(place) => *place,
            None => {
                let place = self.labels.len() as u32;
                self.label_bytes += labels.iter().map(|l| l.0.len() + l.1.len() + 8).sum::<usize>();
                self.places.insert(labels.clone(), place);
                self.labels.push(labels.clone());
                place
            }
        };
        self.days.insert(sample.time_ms.div_euclid(DAY_MS));
        self.samples.push((place, sample));
        self.total += 1;
        if self.samples.len() >= SAMPLES_MAX || self.label_bytes >= LABEL_BYTES_MAX {
            self.write()?;
        }
        Ok(())
    }

    /// How many samples came.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Writes the batch to the store.
    fn write(&mut self) -> anyhow::Result<()> {
        let mut order: Vec<u32> = (0..self.labels.len() as u32).collect();
        order.sort_unstable_by(|a, b| self.labels[*a as usize].cmp(&self.labels[*b as usize]));
        let mut ranks = vec![0u32; order.len()];
        order.iter().enumerate().for_each(|(rank, place)| ranks[*place as usize] = rank as u32);
        // Stable: of two at one time the first stays.
        self.samples.sort_by_key(|(place, s)| (ranks[*place as usize], s.time_ms));
        let before = self.samples.len();
        self.samples.dedup_by_key(|(place, s)| (*place, s.time_ms));
        self.repeated += (before - self.samples.len()) as u64;
        let times = || self.samples.iter().map(|s| s.1.time_ms);
        if let (Some(min), Some(max)) = (times().min(), times().max()) {
            let mut batch = Batch { labels: &self.labels, rest: &self.samples, current: &[] };
            let done = self.db.seal(&mut batch, min, max).context("cannot put samples in order")?;
            self.repeated += done.present + done.conflicts;
        }
        self.places.clear();
        self.labels.clear();
        self.label_bytes = 0;
        self.samples.clear();
        Ok(())
    }

    /// Moves everything to the blocks of a store; gives what became of it, and of how many samples the input
    /// had another at their time.
    pub fn finish(mut self, db: &Db, line: &mut Line) -> anyhow::Result<(Sealed, u64)> {
        self.write()?;
        // What is still in memory is not needed twice.
        self.samples = Vec::new();
        let mut length = 1;
        let windows = |length: i64| -> BTreeSet<i64> {
            self.days.iter().map(|d| d.div_euclid(length)).collect()
        };
        while windows(length).len() > WINDOWS_MAX {
            length *= 2;
        }
        let mut all = Sealed::default();
        let (windows, mut moved) = (windows(length), 0);
        for window in &windows {
            let start_ms = window * length * DAY_MS;
            let end_ms = start_ms + length * DAY_MS - 1;
            let selection = Selection { matchers: &[], start_ms, end_ms, ..Selection::default() };
            let mut set = self.db.select(&selection).map_err(|e| anyhow::anyhow!("{e}"))?;
            let done = db.seal(&mut *set, start_ms, end_ms)?;
            all.add(&done);
            moved += done.samples + done.present + done.conflicts;
            line.show(&format!("writing blocks: {} samples", count(moved)), moved, self.total);
        }
        Ok((all, self.repeated))
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        // What cannot be removed now goes when the next import begins.
        let _ = self.db.close();
        let _ = remove(&self.dir);
    }
}

fn remove(dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Samples that are sorted by series and time.
struct Batch<'a> {
    labels: &'a [Labels],
    rest: &'a [(u32, Sample)],
    current: &'a [(u32, Sample)],
}

impl SeriesSet for Batch<'_> {
    fn next(&mut self) -> Result<Option<Labels>, ReadError> {
        let Some((place, _)) = self.rest.first() else { return Ok(None) };
        let length = self.rest.iter().take_while(|s| s.0 == *place).count();
        (self.current, self.rest) = self.rest.split_at(length);
        Ok(Some(self.labels[*place as usize].clone()))
    }

    fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError> {
        columns.clear();
        let starts = self.current.iter().any(|s| s.1.start_ms != 0);
        for (_, sample) in self.current {
            match &sample.value {
                Value::Float(value) => columns.floats.push(*value),
                Value::Histogram(histogram) => {
                    columns.histograms.push((columns.times_ms.len() as u32, histogram.clone()));
                    columns.floats.push(0.0);
                }
            }
            columns.times_ms.push(sample.time_ms);
            if starts {
                columns.starts_ms.push(sample.start_ms);
            }
        }
        Ok(())
    }
}
