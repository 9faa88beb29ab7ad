//! A queue: one thread that reads the store's log, and the shards that send what it makes of it.

use crate::batch::Counts;
use crate::desired::{Desired, Load};
use crate::endpoint::Endpoint;
use crate::feed::Feed;
use crate::marks::{Mark, Marks};
use crate::meters::{Dropped, Meters};
use crate::shard::{Sender, Shard};
use crate::{Error, lock, metadata};
use disk::Files;
use scrape::config::{Message, RemoteWrite};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tsdb::{Db, Position, Tail};

/// What the parts of a queue share.
pub struct Shared {
    /// As the file has it.
    pub config: RemoteWrite,
    /// Added to each series that has no such label.
    pub external: BTreeMap<String, String>,
    /// The label `remote_name`.
    pub name: String,
    /// What it counts.
    pub meters: Meters,
    /// How far it is.
    pub marks: Marks,
    /// The receiver does not know the protocol.
    pub unsupported: AtomicBool,
    /// Epochs of the log before it are not sent: there is no room for them.
    skip_to: AtomicU32,
    /// The epoch of the log that is still needed.
    needed: AtomicU32,
    /// The epoch of the log that is being read: what is given up is read to be counted.
    reading: AtomicU32,
    /// What went wrong last, until something goes right.
    trouble: Mutex<Option<String>>,
    ended: AtomicBool,
    end: Notify,
    wake: (Mutex<()>, Condvar),
}

impl Shared {
    /// Whether the queue ends.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Relaxed) || self.unsupported.load(Relaxed)
    }

    /// Returns when the queue ends.
    pub async fn ended(&self) {
        let told = self.end.notified();
        tokio::pin!(told);
        // Registered before the look, so that nothing is missed between the two.
        told.as_mut().enable();
        if !self.ended.load(Relaxed) {
            told.await;
        }
    }

    /// Whether samples of that epoch of the log are not sent for want of room.
    pub fn is_skipped(&self, epoch: u32) -> bool {
        epoch < self.skip_to.load(Relaxed)
    }

    /// `sample_age_limit`, 0 for none.
    pub fn age_limit_ms(&self) -> i64 {
        i64::try_from(self.config.queue.age_limit_ms).unwrap_or(i64::MAX)
    }

    /// Something went wrong, or right again.
    pub fn trouble(&self, what: Option<String>) {
        *lock(&self.trouble) = what;
    }

    fn wait(&self, time: Duration) {
        let guard = lock(&self.wake.0);
        if !self.ended.load(Relaxed) {
            drop(self.wake.1.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// A running queue.
pub struct Queue {
    /// What its parts share.
    pub shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a queue is made of.
pub struct Parts {
    /// The store whose log is read.
    pub db: Db,
    /// Where the marks are kept.
    pub files: Arc<dyn Files>,
    /// The folder of this queue.
    pub dir: String,
    /// As the file has it.
    pub config: RemoteWrite,
    /// `global.external_labels`
    pub external: BTreeMap<String, String>,
    /// Certificate authorities, where the file names none.
    pub system_ca_file: PathBuf,
    /// Where requests run.
    pub runtime: Handle,
    /// For jitter.
    pub seed: u64,
}

/// How often the log is looked at when there was nothing new.
const POLL: Duration = Duration::from_millis(100);
/// How often what is idle is marked as being where the others are.
const MARK_EVERY: Duration = Duration::from_secs(5);
/// How often the number of shards is thought over, as Prometheus does.
const SHARDS_EVERY: Duration = Duration::from_secs(10);
/// How long it may take until everything that was read is sent, where there are to be other shards.
const DRAIN: Duration = Duration::from_secs(60);
/// How long what is under way may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// More shards than this a marks file does not bring back.
const SHARDS: usize = 1000;

impl Queue {
    /// Begins one. Where it has no marks it begins with what is taken in from now on.
    pub fn begin(parts: Parts) -> Result<Queue, Error> {
        let Parts { db, files, dir, config, external, system_ca_file, runtime, seed } = parts;
        let endpoint = Endpoint::open(&config, system_ca_file)?;
        let marks = Marks::open(files, &dir)?;
        let known = marks.all();
        if known.is_empty() || known.len() > SHARDS {
            marks.reset(vec![Mark::at(db.position()); config.queue.min_shards]);
        } else if known.iter().any(|m| m.sending > db.position()) {
            tracing::warn!(
                "remote write to {}: the store is another than the one that was sent from: all of its \
                 log is sent",
                config.url
            );
            marks.reset(vec![Mark::default(); known.len()]);
        }
        let oldest = marks.oldest().unwrap_or_default();
        let needed = oldest.epoch;
        let meters = Meters::default();
        if oldest == db.position() {
            // Nothing waits: what the store has was sent, or is not to be.
            let newest_ms = db.stats().newest_ms.unwrap_or(0);
            meters.newest_sent_ms.store(newest_ms, Relaxed);
            meters.newest_read_ms.store(newest_ms, Relaxed);
        }
        let name = match config.name.is_empty() {
            true => format!("{:06x}", xxhash_rust::xxh3::xxh3_64(config.url.as_bytes()) >> 40),
            false => config.name.clone(),
        };
        let shared = Arc::new(Shared {
            config,
            external,
            name,
            meters,
            marks,
            unsupported: AtomicBool::new(false),
            skip_to: AtomicU32::new(0),
            needed: AtomicU32::new(needed),
            reading: AtomicU32::new(needed),
            trouble: Mutex::default(),
            ended: AtomicBool::new(false),
            end: Notify::new(),
            wake: (Mutex::default(), Condvar::new()),
        });
        let reader = Reader { shared: shared.clone(), db, endpoint, runtime, seed };
        let thread = std::thread::Builder::new().name("remote-write".into());
        let thread = thread.spawn(move || reader.run()).map_err(Error::Thread)?;
        Ok(Queue { shared, thread: Some(thread) })
    }

    /// Asks it to end; [`Queue::join`] waits for that.
    pub fn end(&self) {
        self.shared.ended.store(true, Relaxed);
        self.shared.end.notify_waiters();
        drop(lock(&self.shared.wake.0));
        self.shared.wake.1.notify_all();
    }

    /// Ends it, and waits; not within a runtime's own thread.
    pub fn join(mut self) {
        self.end();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of remote write to {} had died", self.shared.config.url);
        }
    }

    /// Whether its thread runs.
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|t| !t.is_finished())
    }

    /// The epoch of the log that it still needs.
    pub fn needed(&self) -> u32 {
        let needed = self.shared.needed.load(Relaxed).max(self.shared.skip_to.load(Relaxed));
        match self.is_alive() {
            true => needed.min(self.shared.reading.load(Relaxed)),
            false => needed,
        }
    }

    /// What is before `epoch` is given up.
    pub fn skip_to(&self, epoch: u32) {
        if self.shared.skip_to.fetch_max(epoch, Relaxed) < epoch {
            tracing::warn!(
                "remote write to {}: what is not sent takes more room than it may; the oldest is dropped",
                self.shared.config.url
            );
        }
    }

    /// What is wrong with it, in words.
    pub fn trouble(&self) -> Option<String> {
        let marks = || {
            let why = self.shared.marks.failed()?;
            Some(format!("how far it is cannot be written down: {why}"))
        };
        let dead = || (!self.is_alive()).then(|| "its thread died".to_owned());
        lock(&self.shared.trouble).clone().or_else(marks).or_else(dead)
    }
}

struct Reader {
    shared: Arc<Shared>,
    db: Db,
    endpoint: Endpoint,
    runtime: Handle,
    seed: u64,
}

/// Shards and the tasks that send.
struct Shards {
    list: Vec<Arc<Shard>>,
    tasks: JoinSet<()>,
}

impl Reader {
    fn run(mut self) {
        let began = self.db.position();
        let mut message = self.shared.config.message;
        loop {
            self.endpoint.speak(message);
            self.send(message, began);
            if self.shared.ended.load(Relaxed) {
                return;
            }
            // What is in no receiver's hands is encoded anew.
            message = Message::V1;
            let marks = self.shared.marks.all();
            self.shared.marks.reset(marks.iter().map(|m| Mark::at(m.done)).collect());
            self.shared.unsupported.store(false, Relaxed);
        }
    }

    /// Reads and sends until the queue ends, or the receiver does not know the protocol.
    fn send(&self, message: Message, began: Position) {
        let shared = &self.shared;
        let marks = shared.marks.all();
        let endpoint = Arc::new(self.endpoint.clone());
        let mut shards = self.begin_shards(&endpoint, marks.len());
        let oldest = shared.marks.oldest().unwrap_or_default();
        shared.reading.store(oldest.epoch, Relaxed);
        let mut tail = self.db.tail(oldest);
        let families = self.db.metadata().into_iter();
        let mut feed = Feed::new(shared.clone(), message, &shards.list, &marks, began, families);
        if message == Message::V1 && shared.config.metadata {
            let task = metadata::send(self.db.clone(), shared.clone(), endpoint.clone());
            shards.tasks.spawn_on(task, &self.runtime);
        }
        let mut chores = Chores::new(shared);
        while !shared.is_ended() && !feed.ended() {
            feed.look_at_clock();
            let more = match tail.read(&mut feed) {
                Ok(more) => more,
                Err(error) => {
                    shared.trouble(Some(error.to_string()));
                    tracing::warn!("remote write to {}: {error}", shared.config.url);
                    shared.wait(Duration::from_secs(1));
                    false
                }
            };
            shared.reading.store(tail.epoch(), Relaxed);
            feed.told(tail.position());
            if feed.ended() {
                break;
            }
            chores.mark(shared, &feed, &tail);
            if let Some(count) = chores.shards(shared, &tail, shards.list.len()) {
                self.reshard(&mut shards, &mut feed, &tail, &endpoint, count);
            }
            if !more {
                shared.wait(POLL);
            }
        }
        self.finish(shards);
    }

    fn begin_shards(&self, endpoint: &Arc<Endpoint>, count: usize) -> Shards {
        let list: Vec<Arc<Shard>> = (0..count).map(Shard::new).collect();
        let mut tasks = JoinSet::new();
        for shard in &list {
            let sender =
                Sender::new(shard.clone(), self.shared.clone(), endpoint.clone(), self.seed);
            tasks.spawn_on(sender.run(), &self.runtime);
        }
        self.shared.meters.shards.store(count as u64, Relaxed);
        Shards { list, tasks }
    }

    /// Goes on with another number of shards, once everything that was read was sent.
    fn reshard(
        &self,
        shards: &mut Shards,
        feed: &mut Feed,
        tail: &Tail,
        endpoint: &Arc<Endpoint>,
        count: usize,
    ) {
        let position = tail.position();
        feed.flush(position);
        if feed.ended() {
            return;
        }
        let until = Instant::now() + DRAIN;
        while feed.idle().len() < shards.list.len() {
            if self.shared.is_ended() || feed.ended() || Instant::now() > until {
                return; // the next look tries again
            }
            self.shared.wait(Duration::from_millis(10));
        }
        tracing::debug!("remote write to {}: {count} shards", self.shared.config.url);
        shards.list.iter().for_each(|s| s.end());
        let marks = vec![Mark::at(position); count];
        self.shared.marks.reset(marks.clone());
        let new = self.begin_shards(endpoint, count);
        feed.set_shards(&new.list, &marks);
        // The old tasks, and that of metadata, go on in the old set until they end by themselves.
        let mut old = std::mem::replace(shards, new);
        old.tasks.detach_all();
    }

    /// Lets what is under way end, for a moment.
    fn finish(&self, mut shards: Shards) {
        let meters = &self.shared.meters;
        shards.list.iter().for_each(|s| s.end());
        self.runtime.block_on(async {
            let all = async { while shards.tasks.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(LAST_WORDS, all).await; // the rest is aborted below
            shards.tasks.shutdown().await;
        });
        meters.pending.sub(meters.pending.get());
        meters.shards.store(0, Relaxed);
    }
}

/// What is done now and then.
struct Chores {
    marked: Instant,
    looked: Instant,
    desired: Desired,
    last: (Counts, Counts, Counts, f64),
}

impl Chores {
    fn new(shared: &Shared) -> Chores {
        let now = Instant::now();
        let last = Chores::totals(shared);
        Chores { marked: now, looked: now, desired: Desired::default(), last }
    }

    fn totals(shared: &Shared) -> (Counts, Counts, Counts, f64) {
        let meters = &shared.meters;
        let dropped = meters.dropped_for(Dropped::Series);
        (meters.read.get(), meters.sent.get(), dropped, meters.seconds())
    }

    /// Marks what is idle as being where the reader is, and says which part of the log is needed.
    fn mark(&mut self, shared: &Shared, feed: &Feed, tail: &Tail) {
        if self.marked.elapsed() < MARK_EVERY {
            return;
        }
        self.marked = Instant::now();
        shared.marks.advance(&feed.idle(), tail.position());
        if let Some(oldest) = shared.marks.oldest() {
            shared.needed.store(oldest.epoch, Relaxed);
        }
    }

    /// Another number of shards, where the load asks for one.
    fn shards(&mut self, shared: &Shared, tail: &Tail, now: usize) -> Option<usize> {
        let seconds = self.looked.elapsed();
        if seconds < SHARDS_EVERY {
            return None;
        }
        self.looked = Instant::now();
        let meters = &shared.meters;
        // While nothing arrives, how fast it would is not known.
        if lock(&shared.trouble).is_some() {
            return None;
        }
        let totals = Chores::totals(shared);
        let since = |now: Counts, last: Counts| now.all().saturating_sub(last.all()) as f64;
        // What is not read is taken to be like what was.
        let per_byte = meters.read.get().all() as f64 / tail.read_bytes().max(1) as f64;
        let unread = tail.behind().unwrap_or(0) as f64 * per_byte;
        let load = Load {
            seconds: seconds.as_secs_f64(),
            samples_in: since(totals.0, self.last.0),
            samples_out: since(totals.1, self.last.1),
            dropped: since(totals.2, self.last.2),
            sending_seconds: totals.3 - self.last.3,
            pending: unread + meters.pending.get().all() as f64,
        };
        self.last = totals;
        let queue = &shared.config.queue;
        let count = self.desired.next(&load, now, queue.min_shards, queue.max_shards);
        meters.desired.store(self.desired.wanted.to_bits(), Relaxed);
        (count != now).then_some(count)
    }
}
