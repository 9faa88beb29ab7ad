//! When each node is read.

use super::kubelet::Kubelet;
use super::{Shared, lock};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

/// A new node is read this often at first, so that it has two points soon.
const FIRST_READS: u8 = 3;
/// The first reads of all nodes spread over so much for each node, and at most so much.
const SPREAD_EACH: Duration = Duration::from_millis(4);
const SPREAD_MAX: Duration = Duration::from_secs(4);

struct Rounds {
    shared: Arc<Shared>,
    began: Instant,
    /// Kubelets that wait for their time.
    waiting: HashMap<Arc<str>, Box<Kubelet>>,
    /// Kubelets that are being read.
    reading: HashMap<Arc<str>, Lane>,
    due: BinaryHeap<Reverse<(Instant, Arc<str>)>>,
    lanes: [Queue; 2],
    tasks: JoinSet<Box<Kubelet>>,
    /// Whom each task reads, in case it breaks.
    names: HashMap<Id, Arc<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    Quick,
    Slow,
}

#[derive(Default)]
struct Queue {
    running: usize,
    limit: usize,
    queue: VecDeque<Arc<str>>,
}

/// Reads for ever.
pub(super) async fn run(shared: Arc<Shared>) {
    let limit = shared.options.concurrency.max(1);
    let queue = |limit| Queue { limit, ..Queue::default() };
    let mut rounds = Rounds {
        began: Instant::now(),
        waiting: HashMap::new(),
        reading: HashMap::new(),
        due: BinaryHeap::new(),
        lanes: [queue(limit), queue(2 * limit)],
        tasks: JoinSet::new(),
        names: HashMap::new(),
        shared: shared.clone(),
    };
    let mut generation = shared.nodes.generation();
    rounds.follow();
    loop {
        let next = rounds.due.peek().map(|Reverse((at, _))| *at);
        tokio::select! {
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => rounds.start_due(),
            Some(done) = rounds.tasks.join_next_with_id(), if !rounds.tasks.is_empty() => rounds.done(done),
            seen = shared.nodes.changed_since(generation) => {
                generation = seen;
                rounds.follow();
            }
        }
    }
}

impl Rounds {
    /// Takes over which nodes there are.
    fn follow(&mut self) {
        let nodes = self.shared.nodes.all();
        let mut gone: Vec<Arc<str>> = lock(&self.shared.states).keys().cloned().collect();
        gone.retain(|name| nodes.binary_search_by(|n| (*n.name).cmp(name)).is_err());
        for name in gone {
            self.waiting.remove(&name);
            self.shared.forget(&name);
        }
        let now = Instant::now();
        let spread = (SPREAD_EACH * nodes.len() as u32).min(SPREAD_MAX);
        for node in nodes {
            let known = self.waiting.get(&node.name).is_some_and(|k| k.is(&node));
            if known || self.reading.contains_key(&node.name) {
                continue;
            }
            if self.waiting.remove(&node.name).is_some() {
                // Another node took the name.
                self.shared.forget(&node.name);
            }
            let kubelet = Box::new(self.shared.kubelet(&node));
            let wait = spread.mul_f64(place(&node.name));
            self.due.push(Reverse((now + wait, node.name.clone())));
            self.waiting.insert(node.name.clone(), kubelet);
        }
    }

    /// Starts what is due, as far as the lanes allow.
    fn start_due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, _))) = self.due.peek()
            && *at <= now
        {
            let Some(Reverse((at, name))) = self.due.pop() else { return };
            let Some(kubelet) = self.waiting.get(&name) else { continue };
            let lane = if kubelet.slow { Lane::Slow } else { Lane::Quick };
            if lane == Lane::Quick {
                self.shared.meters.started(now.duration_since(at));
            }
            self.lanes[lane as usize].queue.push_back(name);
        }
        self.start_queued(Lane::Quick);
        self.start_queued(Lane::Slow);
    }

    fn start_queued(&mut self, lane: Lane) {
        loop {
            let queue = &mut self.lanes[lane as usize];
            if queue.running >= queue.limit {
                return;
            }
            let Some(name) = queue.queue.pop_front() else { return };
            let Some(mut kubelet) = self.waiting.remove(&name) else { continue };
            queue.running += 1;
            self.reading.insert(name.clone(), lane);
            let shared = self.shared.clone();
            let task = self.tasks.spawn(async move {
                kubelet.read(&shared).await;
                kubelet
            });
            self.names.insert(task.id(), name);
        }
    }

    fn done(&mut self, done: Result<(Id, Box<Kubelet>), JoinError>) {
        let id = done.as_ref().map_or_else(JoinError::id, |done| done.0);
        let Some(name) = self.names.remove(&id) else { return };
        if let Some(lane) = self.reading.remove(&name) {
            self.lanes[lane as usize].running -= 1;
        }
        self.put_back(name, done.map(|done| done.1));
        self.start_queued(Lane::Quick);
        self.start_queued(Lane::Slow);
    }

    /// Gives a kubelet that was read its next turn.
    fn put_back(&mut self, name: Arc<str>, read: Result<Box<Kubelet>, JoinError>) {
        let kubelet = match read {
            Ok(kubelet) => kubelet,
            Err(error) => {
                tracing::error!(node = %name, %error, "the read of a kubelet broke");
                self.shared.meters.broke();
                return self.follow();
            }
        };
        match self.shared.nodes.get(&name) {
            Some(node) if kubelet.is(&node) => {
                let next = self.next(&kubelet);
                self.due.push(Reverse((next, name.clone())));
                self.waiting.insert(name, kubelet);
            }
            // Gone, or another node of that name, while it was read.
            _ => {
                self.shared.forget(&name);
                self.follow();
            }
        }
    }

    /// The node's next place within the resolution.
    fn next(&self, kubelet: &Kubelet) -> Instant {
        let resolution = self.shared.options.resolution;
        let now = Instant::now();
        if kubelet.reads < FIRST_READS && !kubelet.slow {
            return now + resolution / 3;
        }
        let phase = resolution.mul_f64(place(&kubelet.name));
        let since = now.duration_since(self.began).as_nanos();
        let period = resolution.as_nanos().max(1);
        // At least half the resolution away, so that a late read is not followed at once.
        let earliest = since + period / 2;
        let round = (earliest.saturating_sub(phase.as_nanos())).div_ceil(period);
        let at = round * period + phase.as_nanos();
        self.began + Duration::from_nanos(u64::try_from(at).unwrap_or(u64::MAX))
    }
}

/// Where a name falls between 0 and 1.
fn place(name: &str) -> f64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64
}
