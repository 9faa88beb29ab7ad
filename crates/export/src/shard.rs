//! A shard: requests in order, one under way at a time, each tried until it is done with.

use crate::backoff::{Backoff, Jitter};
use crate::batch::{Batch, Counts, Resent};
use crate::endpoint::{Endpoint, Lost, Outcome};
use crate::marks::Mark;
use crate::meters::Dropped;
use crate::queue::Shared;
use crate::{lock, now_ms};
use http::client::Session;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What waits in a shard.
pub struct Shard {
    number: usize,
    waiting: Mutex<Waiting>,
    /// Told when a batch is done with.
    room: Condvar,
    /// Told when a batch comes, and when the shard ends.
    more: Notify,
}

#[derive(Default)]
struct Waiting {
    /// The first is the one under way.
    batches: VecDeque<Arc<Batch>>,
    samples: usize,
    ended: bool,
}

/// How long a wait goes on before it is seen whether it still makes sense.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The same trouble is logged so often at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

impl Shard {
    /// An empty shard.
    pub fn new(number: usize) -> Arc<Shard> {
        let (waiting, room, more) = (Mutex::default(), Condvar::new(), Notify::new());
        Arc::new(Shard { number, waiting, room, more })
    }

    /// Whether nothing waits and nothing is under way.
    pub fn is_idle(&self) -> bool {
        lock(&self.waiting).batches.is_empty()
    }

    /// No more comes; what is under way may still end.
    pub fn end(&self) {
        lock(&self.waiting).ended = true;
        self.more.notify_one();
        self.room.notify_all();
    }

    /// Adds a batch, waiting for room while `go_on`; gives it back where that ended.
    pub fn push(
        &self,
        batch: Arc<Batch>,
        capacity: usize,
        shared: &Shared,
        go_on: impl Fn(&Batch) -> bool,
    ) -> Result<(), Arc<Batch>> {
        let mut waiting = lock(&self.waiting);
        let mut waited = false;
        while waiting.samples >= capacity {
            if !std::mem::replace(&mut waited, true) {
                shared.meters.waits.fetch_add(1, Relaxed);
            }
            if waiting.ended || !go_on(&batch) {
                return Err(batch);
            }
            let woken = self.room.wait_timeout(waiting, LOOK_EVERY);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        shared.meters.pending.add(batch.counts);
        waiting.samples += batch.counts.all() as usize;
        waiting.batches.push_back(batch);
        drop(waiting);
        self.more.notify_one();
        Ok(())
    }

    fn first(&self) -> Result<Option<Arc<Batch>>, Ended> {
        let waiting = lock(&self.waiting);
        if waiting.ended {
            return Err(Ended);
        }
        Ok(waiting.batches.front().cloned())
    }

    fn done(&self) {
        let mut waiting = lock(&self.waiting);
        if let Some(batch) = waiting.batches.pop_front() {
            waiting.samples -= batch.counts.all() as usize;
        }
        drop(waiting);
        self.room.notify_all();
    }
}

/// The shard takes nothing more.
struct Ended;

/// Sends what comes to a shard.
pub struct Sender {
    shard: Arc<Shard>,
    shared: Arc<Shared>,
    endpoint: Arc<Endpoint>,
    session: Session,
    jitter: Jitter,
    told: Option<Instant>,
}

/// What became of a request.
enum Fate {
    /// It is done with: what of it was taken.
    Done(Counts),
    /// It was refused.
    Refused {
        /// What was taken all the same.
        taken: Counts,
        /// Why it was refused.
        why: String,
        /// Whether that may be because it arrived before.
        has_it: bool,
    },
    /// It makes no sense any more.
    Dropped(Dropped),
    /// The receiver does not know the protocol.
    Unsupported,
    /// We end.
    Ended,
}

impl Sender {
    /// For a shard.
    pub fn new(
        shard: Arc<Shard>,
        shared: Arc<Shared>,
        endpoint: Arc<Endpoint>,
        seed: u64,
    ) -> Sender {
        let jitter = Jitter::new(seed ^ (shard.number as u64) << 32);
        Sender { shard, shared, endpoint, session: Session::default(), jitter, told: None }
    }

    /// Sends until the shard ends.
    pub async fn run(mut self) {
        loop {
            let batch = match self.shard.first() {
                Err(Ended) => return,
                Ok(None) => {
                    self.shard.more.notified().await;
                    continue;
                }
                Ok(Some(batch)) => batch,
            };
            let marks = &self.shared.marks;
            marks.set(self.shard.number, Mark { done: batch.from, sending: batch.end });
            if !self.deliver(&batch).await {
                return;
            }
            self.shared.marks.set(self.shard.number, Mark::at(batch.end));
            self.shared.meters.pending.sub(batch.counts);
            self.shard.done();
        }
    }

    /// Sends a batch, in parts where that must be; false where we end before it is done with.
    async fn deliver(&mut self, batch: &Batch) -> bool {
        let whole = self.attempts(&batch.body, batch.counts, batch).await;
        let (meters, counts) = (&self.shared.meters, batch.counts);
        match whole {
            Fate::Done(taken) => {
                if taken != counts {
                    self.refused(counts.without(taken), "the receiver says that it took less");
                }
            }
            Fate::Ended => return false,
            Fate::Unsupported => {
                self.shared.unsupported.store(true, Relaxed);
                return false;
            }
            Fate::Dropped(why) => meters.dropped(why, counts),
            Fate::Refused { taken, why, has_it } => {
                let left = counts.without(taken);
                match &batch.parts {
                    Some(parts) if has_it && parts.len() > 1 => {
                        return Box::pin(self.deliver_parts(batch, 0..parts.len())).await;
                    }
                    _ if has_it => self.shared.meters.dropped(Dropped::Resent, left),
                    _ => self.refused(left, &why),
                }
            }
        }
        true
    }

    /// Some parts of the request may be there already, for which a receiver of 1.0 refuses it whole.
    async fn deliver_parts(&mut self, batch: &Batch, all: Range<usize>) -> bool {
        let Some(parts) = &batch.parts else { return true };
        let middle = all.start + all.len() / 2;
        let mut ranges = vec![middle..all.end, all.start..middle];
        while let Some(range) = ranges.pop() {
            let (body, counts) = parts.request(range.clone());
            match self.attempts(&body, counts, batch).await {
                Fate::Done(_) => {}
                Fate::Ended | Fate::Unsupported => return false,
                Fate::Dropped(why) => self.shared.meters.dropped(why, counts),
                Fate::Refused { has_it: true, .. } if range.len() > 1 => {
                    let middle = range.start + range.len() / 2;
                    ranges.push(middle..range.end);
                    ranges.push(range.start..middle);
                }
                Fate::Refused { has_it: true, .. } => {
                    self.shared.meters.dropped(Dropped::Resent, counts);
                }
                Fate::Refused { why, .. } => self.refused(counts, &why),
            }
        }
        true
    }

    fn refused(&mut self, counts: Counts, why: &str) {
        if counts.all() == 0 {
            return;
        }
        self.shared.meters.failed.add(counts);
        let what = match (counts.exemplars, counts.all() - counts.exemplars) {
            (exemplars, 0) => format!("{exemplars} exemplars"),
            (0, samples) => format!("{samples} samples"),
            (exemplars, samples) => format!("{samples} samples and {exemplars} exemplars"),
        };
        self.tell(&format!("{what} were refused and are not sent again: {why}"));
    }

    /// Tells a trouble, not too often.
    fn tell(&mut self, what: &str) {
        self.shared.trouble(Some(what.to_owned()));
        if self.told.is_none_or(|t| t.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            tracing::warn!("remote write to {}: {what}", self.shared.config.url);
        }
    }

    /// Sends a request again and again until it is done with.
    async fn attempts(&mut self, body: &[u8], counts: Counts, batch: &Batch) -> Fate {
        let queue = self.shared.config.queue.clone();
        let (min, max) = (queue.min_backoff_ms, queue.max_backoff_ms);
        let mut backoff = Backoff::new(Duration::from_millis(min), Duration::from_millis(max));
        let (mut attempt, mut fresh, mut unsure) = (0, false, batch.resent != Resent::No);
        loop {
            if let Some(why) = self.pointless(batch) {
                return Fate::Dropped(why);
            }
            let (begun, kept) = (Instant::now(), self.session.is_connected());
            let outcome = self.endpoint.send(&mut self.session, body, attempt).await;
            let meters = &self.shared.meters;
            if attempt == 0 && !fresh {
                meters.sent.add(counts);
            }
            let (why, asked) = match outcome {
                Outcome::Taken(written) => {
                    meters.took(begun.elapsed().as_secs_f64());
                    meters.bytes.fetch_add(body.len() as u64, Relaxed);
                    meters.newest_sent_ms.fetch_max(batch.newest_ms, Relaxed);
                    self.shared.trouble(None);
                    return Fate::Done(written.unwrap_or(counts));
                }
                Outcome::Unsupported(why) => {
                    tracing::warn!("remote write to {}: {why}", self.shared.config.url);
                    return Fate::Unsupported;
                }
                Outcome::Refused { why, status, written } => {
                    meters.took(begun.elapsed().as_secs_f64());
                    meters.newest_sent_ms.fetch_max(batch.newest_ms, Relaxed);
                    let has_it = unsure && status == Some(400);
                    return Fate::Refused { taken: written.unwrap_or_default(), why, has_it };
                }
                Outcome::Later { lost: Some(Lost::Closed), .. }
                    if kept && !std::mem::replace(&mut fresh, true) =>
                {
                    unsure = true;
                    // The connection was idle, and the receiver may have closed it.
                    self.session.close();
                    continue;
                }
                Outcome::Later { why, after, lost } => {
                    unsure |= lost.is_some();
                    (why, after)
                }
            };
            meters.retried.add(counts);
            attempt += 1;
            let wait = backoff.wait(asked, self.jitter.next());
            self.tell(&format!("it is tried again: {why}"));
            if !self.wait(wait, batch).await {
                return Fate::Ended;
            }
        }
    }

    /// Why there is no sense in sending a batch.
    fn pointless(&self, batch: &Batch) -> Option<Dropped> {
        let limit = self.shared.age_limit_ms();
        if limit > 0 && batch.newest_ms < now_ms().saturating_sub(limit) {
            return Some(Dropped::TooOld);
        }
        self.shared.is_skipped(batch.end.epoch).then_some(Dropped::QueueFull)
    }

    /// Waits; false where we end meanwhile.
    async fn wait(&self, wait: Duration, batch: &Batch) -> bool {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() || self.pointless(batch).is_some() {
                return true;
            }
            tokio::select! {
                () = tokio::time::sleep(left.min(LOOK_EVERY)) => {}
                () = self.shared.ended() => return false,
            }
        }
    }
}
