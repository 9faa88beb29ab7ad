//! All targets at once: each on its own clock, started, stopped and told of.

use crate::Error;
use crate::config::{Job, TlsConfig};
use crate::fetch::{Buffers, fetch};
use crate::ingest::family_names;
use crate::negotiate::Body;
use crate::round::{self, Done};
use crate::target::{Health, Target, TargetStatus};
use http::client::{Session, Tls, TlsOptions, Trust};
use model::{Family, Kind, Sink};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tsdb::{Db, Group};

/// How scrapes are made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The system's certificate authorities, for jobs that name none.
    pub system_ca_file: PathBuf,
    /// So many targets are asked at once; more wait, and their wait is part of their time.
    pub concurrency: usize,
}

impl Default for Options {
    fn default() -> Options {
        let system_ca_file = "/etc/ssl/certs/ca-certificates.crt".into();
        Options { system_ca_file, concurrency: 512 }
    }
}

/// The targets of one job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobTargets {
    /// The job.
    pub job: Arc<Job>,
    /// Its targets.
    pub targets: Vec<Target>,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Scrapes.
    pub scrapes: AtomicU64,
    /// Those that gave nothing.
    pub failures: AtomicU64,
    /// Samples kept.
    pub samples: AtomicU64,
    /// Scrapes left out because the one before took too long.
    pub missed: AtomicU64,
    /// Samples that the store refused: too old, or another value at the same time.
    pub refused: AtomicU64,
}

/// Scrapes targets into a store. Dropping it stops all of them; [`Scraper::stop`] also waits.
pub struct Scraper {
    shared: Arc<Shared>,
    /// By where they come from, then by themselves.
    running: Mutex<HashMap<&'static str, HashMap<u64, Running>>>,
    tls: Mutex<Vec<(TlsConfig, Arc<Tls>)>>,
}

struct Shared {
    db: Db,
    options: Options,
    slots: Semaphore,
    /// How many rounds are written at once: more threads than processors would only wait for each other, each
    /// with memory of its own.
    writers: Semaphore,
    counts: Counts,
    /// Buffers that no scrape has at the moment: a few serve all targets, one after the other.
    spare: Mutex<Vec<Buffers>>,
}

/// So many buffers are kept, of so many bytes at most.
const SPARE: usize = 8;
const SPARE_BYTES: usize = 4 << 20;

impl Shared {
    fn take_buffers(&self) -> Buffers {
        lock(&self.spare).pop().unwrap_or_default()
    }

    fn give_buffers(&self, buffers: Buffers) {
        let mut spare = lock(&self.spare);
        if spare.len() < SPARE && buffers.capacity() <= SPARE_BYTES {
            spare.push(buffers);
        }
    }
}

struct Running {
    target: Arc<Target>,
    status: Arc<Mutex<TargetStatus>>,
    /// Dropped to end the loop.
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scraper {
    /// A scraper without targets.
    pub fn new(db: Db, options: Options) -> Scraper {
        let slots = Semaphore::new(options.concurrency.max(1));
        let (counts, spare) = (Counts::default(), Mutex::default());
        let writers = Semaphore::new(std::thread::available_parallelism().map_or(2, NonZero::get));
        let shared = Arc::new(Shared { db, options, slots, writers, counts, spare });
        Scraper { shared, running: Mutex::default(), tls: Mutex::default() }
    }

    /// Counts since the start.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// These are the targets of `source` (a configuration file, a discovery) from now on: those that
    /// were there go on undisturbed, new ones begin, the others end, their series stale.
    ///
    /// Gives what of the jobs cannot be done, for instance certificates that cannot be read. Must be
    /// called within a tokio runtime.
    pub fn set(&self, source: &'static str, jobs: Vec<JobTargets>) -> Vec<String> {
        let mut notices = Vec::new();
        let mut wanted: HashMap<u64, (Arc<Target>, Option<Arc<Tls>>)> = HashMap::new();
        for JobTargets { job, targets } in jobs {
            let limit = job.limits.targets;
            if limit > 0 && targets.len() as u64 > limit {
                let (name, count) = (&job.name, targets.len());
                notices.push(format!(
                    "job {name:?} has {count} targets, target_limit is {limit}: none is scraped"
                ));
                continue;
            }
            let needs_tls = targets.iter().any(|t| t.https) || job.https;
            let tls = match needs_tls.then(|| self.tls(&job.tls)).transpose() {
                Ok(tls) => tls,
                Err(why) => {
                    notices.push(format!("job {:?}: {why}", job.name));
                    continue;
                }
            };
            for target in targets {
                wanted.insert(target.hash(), (Arc::new(target), tls.clone()));
            }
        }
        let mut running = lock(&self.running);
        let of_source = running.entry(source).or_default();
        // A target whose job changed is another one.
        of_source.retain(|key, r| wanted.get(key).is_some_and(|w| *w.0 == *r.target));
        for (key, (target, tls)) in wanted {
            of_source.entry(key).or_insert_with(|| self.start(target, tls));
        }
        notices
    }

    fn tls(&self, config: &TlsConfig) -> Result<Arc<Tls>, http::client::Error> {
        let mut known = lock(&self.tls);
        if let Some((_, tls)) = known.iter().find(|k| k.0 == *config) {
            tls.reload()?;
            return Ok(tls.clone());
        }
        let ca =
            || config.ca_file.clone().unwrap_or_else(|| self.shared.options.system_ca_file.clone());
        let trust = if config.insecure { Trust::Insecure } else { Trust::Verify(ca()) };
        let options = TlsOptions { trust, identity: config.identity.clone() };
        let tls = Arc::new(Tls::open(options)?);
        known.retain(|k| Arc::strong_count(&k.1) > 1);
        known.push((config.clone(), tls.clone()));
        Ok(tls)
    }

    fn start(&self, target: Arc<Target>, tls: Option<Arc<Tls>>) -> Running {
        let status = Arc::new(Mutex::new(TargetStatus::new(target.clone())));
        let (stop, stopped) = watch::channel(());
        let turn = Loop {
            shared: self.shared.clone(),
            target: target.clone(),
            tls,
            status: status.clone(),
            session: Session::default(),
            buffers: Buffers::default(),
        };
        Running { target, status, stop, task: tokio::spawn(turn.run(stopped)) }
    }

    /// The targets with how they fare, sorted by job and labels.
    pub fn targets(&self) -> Vec<TargetStatus> {
        let running = lock(&self.running);
        let all = running.values().flat_map(HashMap::values);
        let mut statuses: Vec<TargetStatus> = all.map(|r| lock(&r.status).clone()).collect();
        statuses.sort_by(|a, b| {
            let key = |s: &TargetStatus| (s.target.job.name.clone(), s.target.labels.clone());
            key(a).cmp(&key(b))
        });
        statuses
    }

    /// Ends all loops and waits until their series are stale.
    pub async fn stop(&self) {
        let running = std::mem::take(&mut *lock(&self.running));
        for Running { stop, task, .. } in running.into_values().flat_map(HashMap::into_values) {
            drop(stop);
            // A loop that panicked left nothing to wait for.
            let _ = task.await;
        }
    }

    /// Our own metrics.
    pub fn write(&self, sink: &mut dyn Sink) {
        let counts = &self.shared.counts;
        let mut by_job: BTreeMap<String, [u64; 3]> = BTreeMap::new();
        for status in self.targets() {
            let counted = by_job.entry(status.target.job.name.clone()).or_default();
            counted[status.health as usize] += 1;
        }
        let mut family = |name, help, kind| sink.family(&Family { name, help, kind, unit: "" });
        family("kubevigil_scrape_targets", "Targets by job and health.", Kind::Gauge);
        for (job, counted) in &by_job {
            for health in [Health::Unknown, Health::Up, Health::Down] {
                let labels = [("health", health.as_str()), ("job", job.as_str())];
                let value = counted[health as usize] as f64;
                sink.sample("kubevigil_scrape_targets", &labels, value, None);
            }
        }
        for (name, help, count) in [
            ("kubevigil_scrape_scrapes_total", "Scrapes.", &counts.scrapes),
            ("kubevigil_scrape_failures_total", "Scrapes that gave nothing.", &counts.failures),
            ("kubevigil_scrape_samples_total", "Samples kept.", &counts.samples),
            (
                "kubevigil_scrape_missed_total",
                "Scrapes left out because the one before took too long.",
                &counts.missed,
            ),
            (
                "kubevigil_scrape_refused_samples_total",
                "Samples that the store refused.",
                &counts.refused,
            ),
        ] {
            sink.family(&Family { name, help, kind: Kind::Counter, unit: "" });
            sink.sample(name, &[], count.load(Relaxed) as f64, None);
        }
    }
}

/// The loop of one target.
struct Loop {
    shared: Arc<Shared>,
    target: Arc<Target>,
    tls: Option<Arc<Tls>>,
    status: Arc<Mutex<TargetStatus>>,
    session: Session,
    buffers: Buffers,
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

/// When the first scrape is due, in milliseconds from `now_ms`: each target has a place of its own in
/// the interval, the same after each start.
pub(crate) fn first_after(now_ms: u64, hash: u64, interval_ms: u64) -> u64 {
    let (offset, now) = (hash % interval_ms, now_ms % interval_ms);
    (interval_ms + offset - now) % interval_ms
}

impl Loop {
    async fn run(mut self, mut stopped: watch::Receiver<()>) {
        let interval = Duration::from_millis(self.target.interval_ms);
        let now = now_ms().max(0).unsigned_abs();
        let wait = first_after(now, self.target.hash(), self.target.interval_ms);
        let mut due = tokio::time::Instant::now() + Duration::from_millis(wait);
        let mut group = self.shared.db.group(&self.target.labels);
        group.stale_with_own_times(self.target.job.track_timestamps_staleness);
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                () = tokio::time::sleep_until(due) => {}
            }
            let scraped = tokio::select! {
                // Half a scrape is none.
                _ = stopped.changed() => break,
                scraped = self.scrape() => scraped,
            };
            group = match self.keep(group, scraped).await {
                Some(group) => group,
                // The thread died; what it held is gone, and a new group takes its place.
                None => self.shared.db.group(&self.target.labels),
            };
            due += interval;
            let now = tokio::time::Instant::now();
            while due < now {
                due += interval;
                self.shared.counts.missed.fetch_add(1, Relaxed);
            }
        }
        let ended = tokio::task::spawn_blocking(move || group.end(now_ms())).await;
        if let Ok(Err(e)) = ended {
            tracing::warn!("{}: its series are not marked stale: {e}", self.target.url());
        }
    }

    async fn scrape(&mut self) -> Scraped {
        let time_ms = now_ms();
        let start = Instant::now();
        self.buffers = self.shared.take_buffers();
        let timeout = Duration::from_millis(self.target.timeout_ms);
        let asked = tokio::time::timeout(timeout, async {
            // The semaphore is never closed.
            let _slot = self.shared.slots.acquire().await.ok();
            fetch(&self.target, self.tls.as_deref(), &mut self.session, &mut self.buffers).await
        });
        let answer = asked.await.unwrap_or(Err(Error::Timeout(timeout)));
        Scraped { time_ms, took: start.elapsed(), answer }
    }

    /// Writes the round on a thread that may block.
    async fn keep(&mut self, mut group: Group, scraped: Scraped) -> Option<Group> {
        let target = self.target.clone();
        let body = std::mem::take(&mut self.buffers.body);
        let Scraped { time_ms, took, answer } = scraped;
        let work = move || {
            let read = answer.map(|kind| (body.as_slice(), kind));
            let kind = read.as_ref().ok().map(|r| r.1);
            let done = round::write(&mut group, &target.job, &target.labels, time_ms, took, read);
            (group, done, body, kind)
        };
        // The semaphore is never closed.
        let turn = self.shared.writers.acquire().await.ok();
        let ended = tokio::task::spawn_blocking(work).await;
        drop(turn);
        let (group, done, body, kind) = match ended {
            Ok(ended) => ended,
            Err(e) => {
                tracing::error!("{}: a thread of ours died: {e}", self.target.url());
                return None;
            }
        };
        self.tell(time_ms, took, done, &body, kind);
        self.buffers.body = body;
        self.shared.give_buffers(std::mem::take(&mut self.buffers));
        Some(group)
    }

    fn tell(
        &self,
        time_ms: i64,
        took: Duration,
        done: Result<Done, tsdb::Error>,
        body: &[u8],
        kind: Option<Body>,
    ) {
        let counts = &self.shared.counts;
        counts.scrapes.fetch_add(1, Relaxed);
        let (ingested, error) = match done {
            Ok(done) => {
                counts.samples.fetch_add(done.committed.samples, Relaxed);
                let refused = done.committed.too_old + done.committed.duplicates;
                counts.refused.fetch_add(refused, Relaxed);
                (done.ingested, done.error)
            }
            Err(e) => (Default::default(), Some(Error::Store(e))),
        };
        let mut status = lock(&self.status);
        status.last_scrape_ms = time_ms;
        status.last_duration = took.as_secs_f64();
        status.samples = ingested.samples;
        match error {
            None => {
                status.health = Health::Up;
                status.last_error.clear();
                if status.families.len() as u64 != ingested.families
                    && let Some(kind) = kind
                {
                    status.families = family_names(body, kind).into();
                }
            }
            Some(error) => {
                counts.failures.fetch_add(1, Relaxed);
                let text = error.to_string();
                if status.last_error != text {
                    tracing::warn!("{}: {text}", self.target.url());
                }
                status.health = Health::Down;
                status.last_error = text;
            }
        }
    }
}

/// A scrape that was made.
struct Scraped {
    time_ms: i64,
    took: Duration,
    answer: Result<Body, Error>,
}
