//! The store as its users hold it.

use crate::Sealed;
use crate::pace::Pace;
use crate::receive::{Named, Received, SeriesRef};
use crate::store::{Store, Stored, lock};
use crate::{
    BlockInfo, Cardinality, Committed, Durability, Error, Exemplar, ExemplarStats, Finding, Group,
    Metadata, Options, Stats,
};
use crate::{cardinality, maintain, open, plan, read, seal, snapshot, tombstones};
use disk::{Files, Folder, LogOptions};
use model::{Labels, Matcher, ReadError, Sample, Selection, SeriesSet, Storage};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An open data folder; clones share it.
#[derive(Clone)]
pub struct Db {
    /// Dropped with the last clone, before the store: fsyncs and releases the folder.
    _alive: Arc<Alive>,
    pub(crate) store: Arc<Store>,
}

struct Alive(Weak<Store>);

impl Drop for Alive {
    fn drop(&mut self) {
        if let Some(store) = self.0.upgrade() {
            // Who wants to know whether it went well calls `close`.
            let _ = close(&store);
        }
    }
}

/// Scrapes are fsynced this long after they were written, at most twice that.
const SYNC_EVERY: Duration = Duration::from_millis(500);
/// How often the background looks whether something is due.
const TICK_EVERY: Duration = Duration::from_secs(5);

impl Db {
    /// Opens a data folder, creates it where it does not exist, and locks it.
    ///
    /// Fails where another process has it, where a newer release wrote it, and where it cannot be
    /// read or written; damaged files are set aside and never a reason to fail.
    pub fn open(dir: &Path, options: Options) -> Result<Db, Error> {
        Db::open_files(Arc::new(Folder::new(dir)), options, LogOptions::default())
    }

    /// As [`Db::open`], over any files.
    #[doc(hidden)]
    pub fn open_files(
        files: Arc<dyn Files>,
        options: Options,
        log: LogOptions,
    ) -> Result<Db, Error> {
        let background = options.background;
        let store = Arc::new(open::open(files, options, log)?);
        if background {
            for (name, every, run) in [
                ("tsdb-fsync", SYNC_EVERY, run_sync as fn(&Store)),
                ("tsdb-compact", TICK_EVERY, run_tick),
            ] {
                let weak = Arc::downgrade(&store);
                let spawned = thread::Builder::new().name(name.into());
                spawned.spawn(move || repeat(&weak, every, run)).map_err(|source| {
                    disk::Error::Io { place: format!("thread {name}"), source }
                })?;
            }
        }
        let alive = Arc::new(Alive(Arc::downgrade(&store)));
        Ok(Db { _alive: alive, store })
    }

    /// A writer for one target; `target` holds the labels that each of its series carries
    /// (`job`, `instance`, …). A sample's own label of such a name becomes `exported_<name>`.
    pub fn group(&self, target: &Labels) -> Group {
        Group::new(self.clone(), target.clone())
    }

    /// Takes in samples of any series, as one batch; returns once they were given to the kernel.
    pub fn append(&self, samples: &[(Labels, Sample)]) -> Result<Committed, Error> {
        self.append_with(samples, Durability::Kernel).map(|done| done.committed)
    }

    /// As [`Db::append`], but returns when the samples are safe as [`Options::durability`] says.
    pub fn append_acknowledged(&self, samples: &[(Labels, Sample)]) -> Result<Committed, Error> {
        let durability = self.store.options.durability;
        self.append_with(samples, durability).map(|done| done.committed)
    }

    /// Takes in what a sender sends, and returns when it is safe as [`Options::durability`] says: each sample
    /// with the place of its series among those that are `named` (a sample of a place where none is, is left
    /// out), exemplars likewise, and what is said of families. Names what was left out, and says how the series
    /// are named from then on. No series begins that would make them more than `series_limit` in the head.
    ///
    /// [`Error::Forgotten`], and nothing is taken in, where a series that is named by a reference is in the
    /// head no more.
    pub fn receive(
        &self,
        named: &[Named],
        samples: &[(u32, Sample)],
        exemplars: &[(u32, Exemplar)],
        families: &[Metadata],
        series_limit: u64,
    ) -> Result<Received, Error> {
        let samples = samples.iter().map(|(place, sample)| (*place as usize, sample));
        let durability = self.store.options.durability;
        self.store.append(named, samples, exemplars, families, series_limit, durability)
    }

    /// The labels of a series of the head; `None` once it is forgotten.
    pub fn labels_of(&self, series: SeriesRef) -> Option<Labels> {
        let state = self.store.read();
        let index = &state.head.index;
        let known = index.is_since(series.number, series.generation);
        known.then(|| index.labels(series.number))
    }

    fn append_with(
        &self,
        samples: &[(Labels, Sample)],
        durability: Durability,
    ) -> Result<Received, Error> {
        let named: Vec<Named> = samples.iter().map(|s| Named::Labels(s.0.clone())).collect();
        let samples = samples.iter().map(|s| &s.1).enumerate();
        self.store.append(&named, samples, &[], &[], u64::MAX, durability)
    }

    /// The exemplars between two times (milliseconds since the Unix epoch, both included) of the series
    /// that any of the matcher sets select; those of a series in the order in which they came.
    pub fn exemplars(
        &self,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> BTreeMap<Labels, Vec<Exemplar>> {
        self.store.read().head.exemplars.select(sets, start_ms, end_ms)
    }

    /// Keeps exemplars of long ago, each with its series, oldest first, as far as they are newer than those
    /// that are kept of their series; gives how many. A [`crate::Tail`] does not tell them.
    pub fn import_exemplars(&self, exemplars: &[(Labels, Exemplar)]) -> Result<u64, Error> {
        self.store.import_exemplars(exemplars)
    }

    /// So many exemplars are kept from now on; the oldest of those beyond go. See [`Options::exemplars`].
    pub fn set_exemplar_capacity(&self, capacity: usize) {
        self.store.write().head.exemplars.set_capacity(capacity);
    }

    /// What is known of the metrics that were written, sorted by name.
    pub fn metadata(&self) -> Vec<Metadata> {
        self.store.read().head.metadata.values().cloned().collect()
    }

    /// Fsyncs what was written. The background does it by itself.
    pub fn sync(&self) -> Result<(), Error> {
        self.store.log.sync()?;
        Ok(())
    }

    /// Does what is due at `now_ms`: blocks, retention, repair. The background does it by itself.
    pub fn tick(&self, now_ms: i64) -> Result<(), Error> {
        maintain::tick(&self.store, now_ms, &Pace::none())
    }

    /// Writes the whole head to a block.
    pub fn flush(&self) -> Result<(), Error> {
        let epoch = self.store.rotate()?;
        crate::compact::flush(&self.store, epoch - 1, &Pace::none())
    }

    /// Writes the whole head to a block and makes all blocks one, as far as blocks may grow.
    pub fn compact(&self) -> Result<(), Error> {
        self.flush()?;
        maintain::merge_all(&self.store)
    }

    /// Deletes the samples between two times (milliseconds since the Unix epoch, both included) of the
    /// series that satisfy all matchers. What is written from then on is not touched.
    ///
    /// Returns once the deletion is safe; the room is given back by and by, or by
    /// [`Db::clean_tombstones`]. Without a matcher nothing is deleted.
    pub fn delete(&self, matchers: &[Matcher], start_ms: i64, end_ms: i64) -> Result<(), Error> {
        if matchers.is_empty() || start_ms > end_ms {
            return Ok(());
        }
        tombstones::delete(&self.store, matchers, start_ms, end_ms)
    }

    /// Writes the blocks anew of which something was deleted, so that it takes no room any more.
    pub fn clean_tombstones(&self) -> Result<(), Error> {
        tombstones::clean(&self.store)
    }

    /// Puts a whole copy of the store at this moment into `snapshots/NAME` of the data folder, and gives the
    /// path of that; files are linked rather than copied where the file system knows links. What the head
    /// holds goes to a block first, unless `with_head` says to leave it out.
    ///
    /// The copy is a data folder: a program opens it as it is. Fails where `name` is taken or is no plain
    /// file name.
    pub fn snapshot(&self, name: &str, with_head: bool) -> Result<String, Error> {
        snapshot::snapshot(&self.store, name, with_head)
    }

    /// Writes series that come sorted by labels, each label set once, straight to blocks: samples of any age,
    /// none of which goes through the log. A sample whose series has one at its time already is left out, so
    /// that handing over the same again changes nothing.
    ///
    /// All samples lie between the two times (milliseconds since the Unix epoch, both included). Returns
    /// once they are safe. A failure leaves whole blocks behind, or none; what they have is left out when
    /// the same is handed over again.
    pub fn seal(
        &self,
        source: &mut dyn SeriesSet,
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Sealed, Error> {
        seal::seal(&self.store, source, start_ms, end_ms)
    }

    /// Reads everything, writes what is damaged anew without the damaged part and sets the original aside.
    /// Gives what was found; [`Stats::quarantined`] names what was set aside.
    pub fn repair(&self) -> Result<Vec<Finding>, Error> {
        crate::check::repair(&self.store)
    }

    /// The state of the store.
    pub fn stats(&self) -> Stats {
        let store = &self.store;
        let log = store.log.state();
        let state = store.read();
        let blocks = || state.blocks.iter().map(|b| b.block.meta()).filter(|m| m.series > 0);
        let epochs = || state.head.epochs.values().filter(|e| e.samples > 0);
        let count = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
        let refused = lock(&store.refused).clone();
        Stats {
            series: state.head.index.len() as u64,
            samples: blocks().map(|m| m.samples).sum::<u64>()
                + epochs().map(|e| e.samples).sum::<u64>(),
            appended: count(&store.counts.appended),
            out_of_order: count(&store.counts.out_of_order),
            too_old: count(&store.counts.too_old),
            duplicates: count(&store.counts.duplicates),
            head_bytes: state.head.memory() as u64,
            log_bytes: log.bytes,
            block_bytes: state.blocks.iter().map(|b| b.block.size_bytes()).sum(),
            block_index_bytes: state.blocks.iter().map(|b| b.block.index_bytes()).sum(),
            companion_bytes: state.blocks.iter().map(|b| b.companions.bytes()).sum(),
            companion_reads: count(&store.counts.companion_reads),
            paused_seconds: count(&store.counts.paused_ns) as f64 / 1e9,
            blocks: state.blocks.len() as u64,
            oldest_ms: blocks().map(|m| m.min_ms).chain(epochs().map(|e| e.min_ms)).min(),
            newest_ms: blocks().map(|m| m.max_ms).chain(epochs().map(|e| e.max_ms)).max(),
            exemplars: ExemplarStats {
                kept: state.head.exemplars.len() as u64,
                capacity: state.head.exemplars.capacity() as u64,
                series: state.head.exemplars.series() as u64,
                newest_ms: state.head.exemplars.newest_ms(),
                appended: count(&store.counts.exemplars),
                out_of_order: count(&store.counts.exemplars_out_of_order),
                too_long: count(&store.counts.exemplars_too_long),
            },
            read_only: log.broken.or(refused),
            quarantined: state.quarantined.clone(),
        }
    }

    /// What takes most room in the head, at most `limit` names a list.
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        cardinality::count(&self.store.read(), limit)
    }

    /// The blocks, oldest first.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        let state = self.store.read();
        let told = |stored: &Arc<Stored>| BlockInfo {
            first: stored.first,
            last: stored.last,
            edition: stored.edition,
            meta: stored.block.meta().clone(),
            bytes: stored.block.size_bytes(),
        };
        state.blocks.iter().map(told).collect()
    }

    /// Fsyncs everything and releases the folder. Writing fails from then on.
    pub fn close(&self) -> Result<(), Error> {
        close(&self.store)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn commit(
        &self,
        round: &plan::Round<'_>,
    ) -> Result<(Committed, plan::Placed), Error> {
        self.store.commit(round)
    }

    pub(crate) fn read_head(&self, read: impl FnOnce(&crate::head::Head)) {
        read(&self.store.read().head);
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.store.epoch()
    }

    pub(crate) fn detach(&self, groups: impl Iterator<Item = u32>) {
        let mut state = self.store.write();
        for group in groups {
            if let Some(group) = state.head.group_mut(group) {
                group.attached = false;
            }
        }
    }
}

fn close(store: &Store) -> Result<(), Error> {
    if store.closed.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let synced = store.log.sync();
    *lock(&store.folder_lock) = None;
    synced?;
    Ok(())
}

/// Runs something again and again until the store is closed.
fn repeat(store: &Weak<Store>, every: Duration, run: fn(&Store)) {
    loop {
        thread::sleep(every);
        match store.upgrade().filter(|s| !s.closed.load(Ordering::Relaxed)) {
            Some(store) => run(&store),
            None => return,
        }
    }
}

fn run_sync(store: &Store) {
    let log = store.log.state();
    if log.written > log.durable
        && let Err(e) = store.log.sync()
    {
        tracing::error!("{e}");
    }
}

fn run_tick(store: &Store) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
    if let Err(e) = maintain::tick(store, now, &Pace::of(store)) {
        tracing::warn!("{e}");
    }
}

impl Storage for Db {
    fn mark(&self) -> Option<u64> {
        Some(self.store.read().head.touched.mark())
    }

    fn oldest_change_since(&self, mark: u64) -> i64 {
        self.store.read().head.touched.oldest_since(mark)
    }

    fn select<'a>(
        &'a self,
        selection: &Selection<'_>,
    ) -> Result<Box<dyn SeriesSet + 'a>, ReadError> {
        Ok(Box::new(read::select(&self.store, selection)?))
    }

    fn label_names(
        &self,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        read::label_names(&self.store, sets, start_ms, end_ms)
    }

    fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<String>, ReadError> {
        read::label_values(&self.store, name, sets, start_ms, end_ms)
    }
}
