//! The open store: head, log and blocks, and the one way in which a batch becomes visible.
//!
//! One batch at a time is planned against the head, given to the log (which gives it to the
//! kernel) and then applied to the head under the lock that readers take: nobody sees a sample
//! that a crash of the program could take back, nor half a batch.

use crate::batch::Committed;
use crate::block::Block;
use crate::companion::files::Companions;
use crate::exemplars::{Entry, Exemplar, Judge};
use crate::head::Head;
use crate::maintain::Schedule;
use crate::numbers::Numbers;
use crate::plan::{self, Context, Placed, Round};
use crate::receive::{Named, Received, SeriesRef};
use crate::record::Builder;
use crate::stats::Quarantined;
use crate::tombstones::Tombstone;
use crate::{Durability, Error, Metadata, Options};
use disk::{Files, Log};
use model::{Labels, Sample};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Everything that clones of a `Db` share.
pub(crate) struct Store {
    pub files: Arc<dyn Files>,
    pub options: Options,
    pub log: Log,
    pub state: RwLock<State>,
    /// The log epoch into which batches go; held while one is written.
    writer: Mutex<u32>,
    /// A copy of the epoch for those who only want to know.
    epoch: AtomicU32,
    /// Held while blocks are made or deleted.
    pub maintenance: Mutex<()>,
    pub closed: AtomicBool,
    pub refused: Mutex<Option<String>>,
    pub counts: Counts,
    pub folder_lock: Mutex<Option<Box<dyn Send + Sync>>>,
    pub schedule: Mutex<Schedule>,
    /// The families that senders described in this log epoch.
    received: Mutex<(u32, HashMap<String, Metadata>)>,
}

/// Exemplars that an epoch of the log begins with are told in records of so many bytes.
const TOLD_AT_ONCE: usize = 1 << 20;
/// So many exemplars are imported in one record.
const IMPORTED_AT_ONCE: usize = 1000;
/// Senders may describe families while there are fewer than this.
const FAMILIES: usize = 100_000;

/// What readers see.
#[derive(Default)]
pub(crate) struct State {
    pub head: Head,
    /// Oldest log epoch first.
    pub blocks: Vec<Arc<Stored>>,
    pub quarantined: Vec<Quarantined>,
    /// What was deleted of the blocks.
    pub tombstones: Vec<Arc<Tombstone>>,
}

/// A block in the folder.
pub(crate) struct Stored {
    /// The log epochs whose samples it has.
    pub first: u32,
    pub last: u32,
    /// How often it was written anew because it was damaged.
    pub edition: u32,
    pub path: String,
    pub block: Block,
    /// Why it must be written anew, once reading found it damaged.
    pub damage: Mutex<Option<String>>,
    /// Which series of the head its entries are.
    pub numbers: Numbers,
    /// What is kept of it for windows of hours and days.
    pub companions: Companions,
}

/// What was taken in and refused since the folder was opened.
#[derive(Default)]
pub(crate) struct Counts {
    pub appended: AtomicU64,
    pub out_of_order: AtomicU64,
    pub too_old: AtomicU64,
    pub duplicates: AtomicU64,
    pub exemplars: AtomicU64,
    pub exemplars_out_of_order: AtomicU64,
    pub exemplars_too_long: AtomicU64,
    /// Nanoseconds that work in the background slept to stay within its budget.
    pub paused_ns: AtomicU64,
    /// Reads for which companions were read.
    pub companion_reads: Arc<AtomicU64>,
}

/// A record that was given to the log and to the head.
struct Applied {
    /// Its number in the log.
    seq: u64,
    /// The generation of the head's index then.
    generation: u32,
}

/// Locks, also after a panic elsewhere: readers must go on.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    pub fn new(
        files: Arc<dyn Files>,
        options: Options,
        log: Log,
        state: State,
        epoch: u32,
        folder_lock: Box<dyn Send + Sync>,
    ) -> Store {
        Store {
            files,
            options,
            log,
            state: RwLock::new(state),
            writer: Mutex::new(epoch),
            epoch: AtomicU32::new(epoch),
            maintenance: Mutex::new(()),
            closed: AtomicBool::new(false),
            refused: Mutex::new(None),
            counts: Counts::default(),
            folder_lock: Mutex::new(Some(folder_lock)),
            schedule: Mutex::default(),
            received: Mutex::default(),
        }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log epoch into which batches go.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Takes in a round of a group.
    pub fn commit(&self, round: &Round<'_>) -> Result<(Committed, Placed), Error> {
        let mut epoch = lock(&self.writer);
        if self.set_back(round, *epoch) {
            self.begin_epoch(&mut epoch)?;
        }
        let (record, done, mut placed) = {
            let state = self.read();
            if !round.is_sound(&state.head) {
                return Err(Error::Forgotten);
            }
            plan::round(&self.context(&state, *epoch), round)
        };
        self.log_and_apply(&record, *epoch)?;
        if placed.rows.is_some() || placed.main != round.main {
            let mut state = self.write();
            let head = &mut state.head;
            let held = |g: &u32| head.group(*g).is_some_and(|g| g.slots.iter().any(|s| s.open));
            let (kept, left) = std::mem::take(&mut placed.others).into_iter().partition(held);
            placed.others = kept;
            let left: Vec<u32> = left;
            for group in left {
                if let Some(group) = head.group_mut(group) {
                    group.attached = false;
                }
            }
            for group in placed.main.iter().chain(&placed.others) {
                if let Some(group) = head.group_mut(*group) {
                    group.attached = true;
                }
            }
        }
        self.count(&done);
        Ok((done, placed))
    }

    /// Takes in samples and exemplars, each with the place of its series in `named`, and returns when they are as safe as
    /// `durability` says.
    pub fn append<'s>(
        &self,
        named: &[Named],
        samples: impl Iterator<Item = (usize, &'s Sample)>,
        exemplars: &[(u32, Exemplar)],
        families: &[Metadata],
        series_limit: u64,
        durability: Durability,
    ) -> Result<Received, Error> {
        let (received, seq) = {
            let epoch = lock(&self.writer);
            let told = self.untold(families, *epoch);
            let planned = {
                let state = self.read();
                let context = self.context(&state, *epoch);
                plan::loose::plan(&context, named, samples, exemplars, &told, series_limit)?
            };
            let applied = self.log_and_apply(&planned.record, *epoch)?;
            let references = planned.series.iter().map(|series| {
                let series = (*series)?;
                let generation =
                    if series.is_new { applied.generation } else { planned.generation };
                Some(SeriesRef { number: series.number, generation })
            });
            let references = references.collect();
            let (committed, refused) = (planned.done, planned.refused);
            let refused_exemplars = planned.refused_exemplars;
            (Received { committed, refused, refused_exemplars, references }, applied.seq)
        };
        self.count(&received.committed);
        if durability == Durability::Fsync {
            self.log.sync_to(seq)?;
        }
        Ok(received)
    }

    /// What the log does not know yet of families that a sender describes again and again. Each log
    /// epoch is told anew, since the log of the one before goes when its samples are in a block.
    fn untold(&self, families: &[Metadata], epoch: u32) -> Vec<Metadata> {
        if families.is_empty() {
            return Vec::new();
        }
        let mut received = lock(&self.received);
        if received.0 != epoch {
            *received = (epoch, HashMap::new());
        }
        let state = self.read();
        let mut told = Vec::new();
        for family in families {
            let known = &state.head.metadata;
            let room = known.len() + told.len() < FAMILIES || known.contains_key(&family.name);
            if room && received.1.get(&family.name) != Some(family) {
                received.1.insert(family.name.clone(), family.clone());
                told.push(family.clone());
            }
        }
        told
    }

    /// Begins a log epoch: what is in the head so far can go to a block.
    pub fn rotate(&self) -> Result<u32, Error> {
        let mut epoch = lock(&self.writer);
        self.begin_epoch(&mut epoch)?;
        Ok(*epoch)
    }

    /// A log epoch into which nothing was written and nothing ever will be: a block may take its number once
    /// the epochs before it are in blocks.
    pub fn reserve(&self) -> Result<u32, Error> {
        let mut epoch = lock(&self.writer);
        self.next_epoch(&mut epoch)?;
        let reserved = *epoch;
        self.begin_epoch(&mut epoch)?;
        Ok(reserved)
    }

    fn next_epoch(&self, epoch: &mut u32) -> Result<(), Error> {
        self.log.roll(*epoch + 1)?;
        *epoch += 1;
        self.epoch.store(*epoch, Ordering::Relaxed);
        Ok(())
    }

    /// Begins a log epoch that explains itself. Where that fails, the epochs before it must stay.
    fn begin_epoch(&self, epoch: &mut u32) -> Result<(), Error> {
        self.next_epoch(epoch)?;
        self.tell_exemplars()
    }

    /// Writes the exemplars that are kept to the epoch of the log that is written now.
    pub fn retell_exemplars(&self) -> Result<(), Error> {
        let _epoch = lock(&self.writer);
        self.tell_exemplars()
    }

    fn tell_exemplars(&self) -> Result<(), Error> {
        let all: Vec<(Labels, Entry)> = {
            let state = self.read();
            state.head.exemplars.in_order().map(|(l, e)| (l.clone(), e.clone())).collect()
        };
        let mut record = Builder::default();
        for (series, entry) in &all {
            record.kept_exemplar(series, entry);
            if record.items().len() >= TOLD_AT_ONCE {
                self.log(&std::mem::take(&mut record))?;
            }
        }
        if record.is_empty() { Ok(()) } else { self.log(&record).map(|_| ()) }
    }

    /// Makes safe the exemplars with which the epoch of the log begins, before older ones go: no block
    /// has them.
    pub fn secure_exemplars(&self) -> Result<(), Error> {
        if self.read().head.exemplars.len() > 0 {
            self.log.sync()?;
        }
        Ok(())
    }

    /// Keeps exemplars that are no news, as far as they go with those that are kept; how many.
    pub fn import_exemplars(&self, exemplars: &[(Labels, Exemplar)]) -> Result<u64, Error> {
        let epoch = lock(&self.writer);
        let mut taken = 0;
        for some in exemplars.chunks(IMPORTED_AT_ONCE) {
            let mut record = Builder::default();
            {
                let state = self.read();
                let mut judge = Judge::new(&state.head.exemplars);
                for (series, exemplar) in some.iter().filter(|e| !e.0.is_empty()) {
                    let entry = Entry::stated(exemplar.clone());
                    if judge.judge(series, &entry) == Ok(true) {
                        record.kept_exemplar(series, &entry);
                        taken += 1;
                    }
                }
            }
            self.log_and_apply(&record, *epoch)?;
        }
        Ok(taken)
    }

    /// Whether the clock was set back further than the window since the group's newest tick.
    fn set_back(&self, round: &Round<'_>, epoch: u32) -> bool {
        let state = self.read();
        let main = round.main.and_then(|g| state.head.group(g));
        let limit = round.time_ms.saturating_add(self.options.out_of_order_ms);
        main.is_some_and(|g| g.epoch == epoch && limit < g.last_ms)
    }

    fn context<'a>(&self, state: &'a State, epoch: u32) -> Context<'a> {
        Context { head: &state.head, epoch, window_ms: self.options.out_of_order_ms }
    }

    /// Gives a record to the log and then to the head.
    fn log_and_apply(&self, record: &Builder, epoch: u32) -> Result<Applied, Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        if record.is_empty() {
            // Samples that are there already were written before, and may not be safe yet.
            let generation = self.read().head.index.generation();
            return Ok(Applied { seq: self.log.state().written, generation });
        }
        let seq = self.log(record)?;
        let mut state = self.write();
        if let Err(e) = state.head.apply_items(record.items(), epoch) {
            tracing::error!("a record that was just written cannot be applied: {e}");
        }
        Ok(Applied { seq, generation: state.head.index.generation() })
    }

    /// Gives a record to the log; its number there.
    fn log(&self, record: &Builder) -> Result<u64, Error> {
        let appended = self.log.append(&record.finish());
        *lock(&self.refused) = appended.as_ref().err().map(disk::Error::to_string);
        appended.map_err(|e| Error::ReadOnly(e.to_string()))
    }

    fn count(&self, done: &Committed) {
        let add = |count: &AtomicU64, n: u64| count.fetch_add(n, Ordering::Relaxed);
        add(&self.counts.appended, done.samples);
        add(&self.counts.out_of_order, done.out_of_order);
        add(&self.counts.too_old, done.too_old);
        add(&self.counts.duplicates, done.duplicates);
        add(&self.counts.exemplars, done.exemplars);
        add(&self.counts.exemplars_out_of_order, done.exemplars_out_of_order);
        add(&self.counts.exemplars_too_long, done.exemplars_too_long);
    }

    /// Sets a damaged file aside and remembers it for the status.
    pub fn quarantine(&self, path: &str, why: &str) {
        let entry = quarantine(&*self.files, path, why);
        self.write().quarantined.push(entry);
    }
}

/// Sets a damaged file aside.
pub(crate) fn quarantine(files: &dyn Files, path: &str, why: &str) -> Quarantined {
    match disk::publish::quarantine(files, path, why) {
        Ok(file) => {
            tracing::warn!("{path} is damaged ({why}); it is kept as {file}");
            Quarantined { file, why: why.into() }
        }
        Err(e) => {
            tracing::warn!("{path} is damaged ({why}) and cannot be set aside: {e}");
            Quarantined { file: path.into(), why: format!("{why}; not set aside: {e}") }
        }
    }
}
