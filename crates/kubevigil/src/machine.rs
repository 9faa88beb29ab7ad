//! What all parts of `standalone` share: the machine's newest round, the store once it is open, and
//! what is known about the program itself. The API reads it, the collector writes it.

use crate::config_file::ConfigFile;
use crate::options::Options;
use crate::process::{Itself, Memory, Usage};
use crate::sending::Sending;
use crate::{collect, ourselves};
use api::Failure;
use api::backend::{
    self, Backend, Configuration, Families, Flag, Metadata, Notice, Opening, Round, Severity,
    Status, Store, Target,
};
use model::{Sink, Storage};
use node::Node;
use promql::RangeCache;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use tsdb::Db;

/// So many notices of what happened are kept; the oldest go first.
const NOTICES: usize = 20;

/// What does not change while the program runs.
pub struct Fixed {
    /// This machine's name: the label `instance`.
    pub hostname: String,
    /// The kernel's release.
    pub kernel: String,
    /// When the machine was booted, in milliseconds since the Unix epoch.
    pub boot_ms: Option<i64>,
    /// When the program was started.
    pub started_ms: i64,
    /// Between two rounds.
    pub interval_ms: i64,
    /// The data folder.
    pub dir: String,
    /// How long samples are kept.
    pub retention_ms: i64,
    /// How many bytes they may take.
    pub retention_bytes: Option<u64>,
    /// How much memory we may take.
    pub memory_limit: Option<u64>,
    /// The options.
    pub flags: Vec<Flag>,
    /// Where we answer.
    pub url: String,
    /// What the listener counts.
    pub listener: Arc<http::Stats>,
    /// What is counted of those who send to us.
    pub received: Arc<api::receive::Stats>,
    /// The queries that run.
    pub queries: Arc<api::queries::Queries>,
    /// Answers that later queries go on from.
    pub range_cache: Option<Arc<RangeCache>>,
    /// The configuration file.
    pub config_file: Arc<ConfigFile>,
    /// What root would add and the like: true from the start.
    pub notices: Vec<Notice>,
}

/// One target in the newest round.
#[derive(Clone, Debug, Default)]
pub struct TargetRound {
    /// When, in milliseconds since the Unix epoch; 0 for never.
    pub time_ms: i64,
    /// How long it took.
    pub seconds: f64,
    /// How many samples it gave.
    pub samples: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Rounds.
    pub rounds: AtomicU64,
    /// Rounds that were left out because the one before took too long.
    pub missed: AtomicU64,
    /// Rounds whose samples could not be kept.
    pub not_kept: AtomicU64,
    /// Samples handed to the store.
    pub samples: AtomicU64,
    /// Times that the wall clock was set.
    pub clock_steps: AtomicU64,
    /// Microseconds that rounds took.
    pub round_us: AtomicU64,
    /// Queries and rounds refused for want of memory.
    pub refused: AtomicU64,
}

/// What all parts share.
pub struct Machine {
    /// What does not change.
    pub fixed: Fixed,
    /// Counts since the start.
    pub counts: Counts,
    /// What is sent elsewhere.
    pub sending: Arc<Sending>,
    node: Mutex<Node>,
    /// The time of the newest round.
    round_ms: AtomicU64,
    targets: Mutex<[TargetRound; collect::JOBS.len()]>,
    store: OnceLock<Db>,
    opening: Mutex<Option<Opening>>,
    happened: Mutex<VecDeque<Notice>>,
    /// Why nothing is kept at present.
    not_keeping: Mutex<Option<String>>,
    itself: Mutex<Itself>,
    usage: Mutex<Usage>,
    heartbeat: Mutex<Instant>,
    dead: AtomicBool,
    metadata: Mutex<(u64, Arc<BTreeMap<String, Metadata>>)>,
}

/// A lock whose holder panicked still holds plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Machine {
    /// Before the first round.
    pub fn new(fixed: Fixed, node: Node, itself: Itself, sending: Arc<Sending>) -> Machine {
        Machine {
            fixed,
            counts: Counts::default(),
            sending,
            node: Mutex::new(node),
            round_ms: AtomicU64::new(0),
            targets: Mutex::default(),
            store: OnceLock::new(),
            opening: Mutex::new(Some(Opening {
                what: "opening the data folder".into(),
                ..Opening::default()
            })),
            happened: Mutex::default(),
            not_keeping: Mutex::default(),
            itself: Mutex::new(itself),
            usage: Mutex::default(),
            heartbeat: Mutex::new(Instant::now()),
            dead: AtomicBool::new(false),
            metadata: Mutex::default(),
        }
    }

    /// The machine, to collect or to read.
    pub fn node(&self) -> MutexGuard<'_, Node> {
        lock(&self.node)
    }

    /// The store, once it is open.
    pub fn store(&self) -> Option<&Db> {
        self.store.get()
    }

    /// The store is open.
    pub fn opened(&self, db: Db) {
        let _ = self.store.set(db); // it is opened once
        *lock(&self.opening) = None;
    }

    /// Takes over what else is kept in the data folder: the queries that ran when the program was killed
    /// the last time, which are named.
    pub fn take_over(&self, folder: &Arc<disk::Folder>) {
        for query in self.fixed.queries.keep_in(folder) {
            self.happened(Notice {
                severity: Severity::Warning,
                what: "A query ran when the program ended the last time".into(),
                why: query,
                remedy: Some("If it took the memory, ask for less, or set --memory-limit.".into()),
            });
        }
    }

    /// How far the opening is.
    pub fn opening(&self, progress: tsdb::Progress) {
        *lock(&self.opening) = Some(Opening {
            what: progress.what.into(),
            done: progress.done,
            total: progress.total,
        });
    }

    /// The newest round is complete.
    pub fn collected(&self, time_ms: i64, targets: [TargetRound; collect::JOBS.len()]) {
        self.round_ms.store(time_ms.max(0).unsigned_abs(), Ordering::Relaxed);
        *lock(&self.targets) = targets;
        *lock(&self.usage) = lock(&self.itself).usage();
        *lock(&self.heartbeat) = Instant::now();
    }

    /// How each job went in the newest round.
    pub fn targets(&self) -> [TargetRound; collect::JOBS.len()] {
        lock(&self.targets).clone()
    }

    /// What the process took at the newest round.
    pub fn usage(&self) -> Usage {
        *lock(&self.usage)
    }

    /// Whether there is memory enough.
    pub fn memory(&self) -> Memory {
        Memory::judge(self.usage().resident_bytes, self.fixed.memory_limit)
    }

    /// Remembers something that happened, for the status page, and logs it.
    pub fn happened(&self, notice: Notice) {
        tracing::warn!("{}: {}", notice.what, notice.why);
        let mut happened = lock(&self.happened);
        if happened.len() == NOTICES {
            happened.pop_front();
        }
        happened.push_back(notice);
    }

    /// Whether what is collected is kept, and why not; logged when it changes.
    pub fn keeping(&self, trouble: Option<String>) {
        let mut before = lock(&self.not_keeping);
        match (&*before, &trouble) {
            (None, Some(why)) => tracing::error!("nothing is kept at present: {why}"),
            (Some(_), None) => tracing::info!("what is collected is kept again"),
            _ => {}
        }
        *before = trouble;
    }

    /// The collector's thread ended though nobody asked it to.
    pub fn collector_died(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    fn known_notices(&self) -> Vec<Notice> {
        let mut notices = self.fixed.notices.clone();
        if let Some(why) = lock(&self.not_keeping).clone() {
            notices.push(Notice {
                severity: Severity::Error,
                what: "What is collected is not kept".into(),
                why,
                remedy: Some(
                    "Pages show the present; history goes on when the cause is gone.".into(),
                ),
            });
        }
        for file in self.store().map(|db| db.stats().quarantined).unwrap_or_default() {
            notices.push(Notice {
                severity: Severity::Warning,
                what: format!("A damaged file was set aside: {}", file.file),
                why: file.why,
                remedy: Some("What it held is missing from answers; the file is kept.".into()),
            });
        }
        notices.extend(self.sending.notices());
        notices.extend(lock(&self.happened).iter().cloned());
        notices
    }

    fn store_status(&self) -> Store {
        let fixed = &self.fixed;
        let mut store = Store {
            dir: fixed.dir.clone(),
            retention_ms: fixed.retention_ms,
            retention_bytes: fixed.retention_bytes,
            ..Store::default()
        };
        if let Some(stats) = self.store().map(Db::stats) {
            store.series = stats.series;
            store.samples = stats.samples;
            store.head_bytes = stats.head_bytes;
            store.log_bytes = stats.log_bytes;
            store.block_bytes = stats.block_bytes;
            store.blocks = stats.blocks;
            store.oldest_ms = stats.oldest_ms;
            store.newest_ms = stats.newest_ms;
            store.read_only = stats.read_only;
            let told = |q: tsdb::Quarantined| backend::Quarantined { file: q.file, why: q.why };
            store.quarantined = stats.quarantined.into_iter().map(told).collect();
        }
        store
    }
}

/// What is true from the start and worth a word.
pub fn standing_notices(options: &Options, is_root: bool) -> Vec<Notice> {
    let mut notices = Vec::new();
    if !is_root {
        notices.push(Notice {
            severity: Severity::Info,
            what: "Not running as root".into(),
            why: "Some files are for root only: the runtime's names and images of containers, the \
                  network counters of other users' processes, some sensors."
                .into(),
            remedy: Some("Start it as root to see them; nothing else changes.".into()),
        });
    }
    if options.listen_insecure {
        notices.push(Notice {
            severity: Severity::Warning,
            what: "Anyone who reaches this address may read everything".into(),
            why: "--listen-insecure is set.".into(),
            remedy: Some("Give --web.config.file with TLS and users instead.".into()),
        });
    }
    notices
}

impl Backend for Machine {
    fn storage(&self) -> Result<Arc<dyn Storage>, Failure> {
        Ok(Arc::new(self.database()?))
    }

    fn receiver(&self) -> Result<Db, Failure> {
        if self.memory() == Memory::NothingNew {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            let why = "memory is at its limit; raise --memory-limit or send fewer series";
            return Err(Failure::Unavailable(why.into()));
        }
        self.database()
    }

    fn database(&self) -> Result<Db, Failure> {
        let closed = || Failure::Unavailable("the data folder is being opened".into());
        self.store().cloned().ok_or_else(closed)
    }

    fn admit(&self) -> Result<(), Failure> {
        if self.memory() == Memory::Enough {
            return Ok(());
        }
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        let (used, limit) =
            (self.usage().resident_bytes >> 20, self.fixed.memory_limit.unwrap_or(0) >> 20);
        Err(Failure::Unavailable(format!(
            "not enough memory for another query: {used} MiB of {limit} MiB are in use; \
             ask again later, for less, or raise --memory-limit"
        )))
    }

    fn sick(&self) -> Option<String> {
        if self.dead.load(Ordering::Relaxed) {
            return Some("the collector has stopped".into());
        }
        let silent = lock(&self.heartbeat).elapsed().as_millis();
        let allowed = 30_000.max(10 * u128::from(self.fixed.interval_ms.unsigned_abs()));
        (silent > allowed).then(|| format!("no round was completed for {} s", silent / 1000))
    }

    fn status(&self) -> Status {
        let usage = self.usage();
        let fixed = &self.fixed;
        Status {
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("KUBEVIGIL_REVISION").unwrap_or(""),
            mode: "standalone",
            hostname: fixed.hostname.clone(),
            kernel: fixed.kernel.clone(),
            boot_ms: fixed.boot_ms,
            started_ms: fixed.started_ms,
            now_ms: crate::clock::now().wall_ms,
            interval_ms: fixed.interval_ms,
            opening: lock(&self.opening).clone(),
            process: backend::Process {
                cpu_seconds: usage.cpu_seconds,
                resident_bytes: usage.resident_bytes,
                open_files: usage.open_files,
                memory_limit_bytes: fixed.memory_limit,
            },
            store: self.store_status(),
            collectors: self.node().collectors().to_vec(),
            notices: self.known_notices(),
            flags: fixed.flags.clone(),
        }
    }

    fn containers(&self, read: &mut dyn FnMut(&Round<'_>)) {
        let node = self.node();
        let time_ms = self.round_ms.load(Ordering::Relaxed).cast_signed();
        read(&Round { time_ms, hostname: &self.fixed.hostname, containers: node.containers() });
    }

    fn targets(&self) -> Vec<Target> {
        let rounds = Machine::targets(self);
        let jobs = collect::JOBS.iter().zip(rounds);
        jobs.map(|(job, round)| self.target(job, &round)).collect()
    }

    fn metadata(&self) -> Arc<BTreeMap<String, Metadata>> {
        let mut kept = lock(&self.metadata);
        let rounds = self.counts.rounds.load(Ordering::Relaxed);
        if kept.0 != rounds
            && let Some(db) = self.store()
        {
            let told = |m: tsdb::Metadata| {
                let kind = backend::kind_name(m.kind);
                (m.name, Metadata { kind, unit: m.unit, help: m.help })
            };
            *kept = (rounds, Arc::new(db.metadata().into_iter().map(told).collect()));
        }
        kept.1.clone()
    }

    fn notices(&self) -> Vec<Notice> {
        self.known_notices()
    }

    fn write_families(&self, of: Families, sink: &mut dyn Sink) {
        match of {
            Families::Ourselves => ourselves::write(self, sink),
            Families::Node => self.node().write_node(sink),
            Families::Cadvisor => self.node().write_cadvisor(sink),
        }
    }

    fn configuration(&self) -> Configuration {
        self.fixed.config_file.configuration()
    }
}

impl Machine {
    fn target(&self, job: &collect::Job, round: &TargetRound) -> Target {
        let interval = promql::duration::format_duration(self.fixed.interval_ms);
        let labels = job.labels(&self.fixed.hostname);
        let (scheme, address) = self.fixed.url.split_once("://").unwrap_or(("http", ""));
        let url = format!("{scheme}://{address}{}", job.path);
        let discovered = [
            ("__address__", address),
            ("__metrics_path__", job.path),
            ("__scheme__", scheme),
            ("__scrape_interval__", &interval),
            ("__scrape_timeout__", &interval),
            ("job", job.name),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut names = FamilyNames::default();
        Backend::write_families(self, job.families, &mut names);
        Target {
            discovered_labels: discovered.into_iter().map(owned).collect(),
            labels: labels.iter().map(owned).collect(),
            scrape_pool: job.name.into(),
            global_url: url.replace("127.0.0.1", &self.fixed.hostname),
            scrape_url: url,
            last_error: round.error.clone().unwrap_or_default(),
            last_scrape: api::parameters::format_time(round.time_ms),
            last_scrape_duration: round.seconds,
            health: match (round.time_ms, &round.error) {
                (0, _) => "unknown",
                (_, None) => "up",
                (_, Some(_)) => "down",
            },
            scrape_interval: interval.clone(),
            scrape_timeout: interval,
            families: names.0,
            scrape_config: None,
        }
    }
}

/// Takes down the names of families alone.
#[derive(Default)]
struct FamilyNames(Vec<String>);

impl Sink for FamilyNames {
    fn family(&mut self, family: &model::Family<'_>) {
        self.0.push(family.name.to_owned());
    }

    fn sample(&mut self, _: &str, _: &[(&str, &str)], _: f64, _: Option<i64>) {}
}
