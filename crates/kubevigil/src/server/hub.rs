//! What all parts of `server` share, as the API sees it: the store of series once it is open, the
//! reader of kubelets, and what is known about the program itself.

use super::pipeline::Pipeline;
use crate::config_file::ConfigFile;
use crate::ourselves;
use crate::process::{Itself, Memory, Usage};
use api::Failure;
use api::backend::{
    self, Backend, Configuration, Families, Flag, Metadata, Notice, Opening, Round, Severity,
    Status, Store, Target,
};
use cluster::NodeCache;
use model::{Sink, Storage};
use promql::RangeCache;
use resource::Reader;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tsdb::Db;

/// How old our own figures may be.
const USAGE_AGE: Duration = Duration::from_secs(1);

/// What does not change while the program runs.
pub struct Fixed {
    /// The pod's name, or the machine's.
    pub hostname: String,
    /// The kernel's release.
    pub kernel: String,
    /// When the program was started, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Between two reads of a kubelet.
    pub resolution_ms: i64,
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
    /// Whether history is kept.
    pub keeps_history: bool,
}

/// What series mean, and when it was gathered last.
type KnownMetadata = (Option<Instant>, Arc<BTreeMap<String, Metadata>>);

/// What all parts share.
pub struct Hub {
    /// What does not change.
    pub fixed: Fixed,
    nodes: NodeCache,
    reader: Arc<Reader>,
    pipeline: Arc<Pipeline>,
    store: OnceLock<Db>,
    opening: Mutex<Option<Opening>>,
    itself: Mutex<(Itself, Usage, Option<Instant>)>,
    metadata: Mutex<KnownMetadata>,
}

/// A lock whose holder panicked still holds plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Before the store is open.
    pub fn new(
        fixed: Fixed,
        nodes: NodeCache,
        reader: Arc<Reader>,
        itself: Itself,
        pipeline: Arc<Pipeline>,
    ) -> Hub {
        Hub {
            fixed,
            nodes,
            reader,
            pipeline,
            store: OnceLock::new(),
            opening: Mutex::default(),
            itself: Mutex::new((itself, Usage::default(), None)),
            metadata: Mutex::default(),
        }
    }

    /// The store, once it is open.
    pub fn store(&self) -> Option<&Db> {
        self.store.get()
    }

    /// The store is open.
    pub fn opened(&self, db: Db) {
        self.pipeline.opened(db.clone());
        let _ = self.store.set(db); // it is opened once
        *lock(&self.opening) = None;
    }

    /// How far the opening is.
    pub fn opening(&self, progress: tsdb::Progress) {
        *lock(&self.opening) = Some(Opening {
            what: progress.what.into(),
            done: progress.done,
            total: progress.total,
        });
    }

    fn usage(&self) -> Usage {
        let mut kept = lock(&self.itself);
        let (itself, usage, at) = &mut *kept;
        if at.is_none_or(|at| at.elapsed() > USAGE_AGE) {
            (*usage, *at) = (itself.usage(), Some(Instant::now()));
        }
        *usage
    }

    /// Whether there is memory enough.
    pub fn memory(&self) -> Memory {
        Memory::judge(self.usage().resident_bytes, self.fixed.memory_limit)
    }

    fn closed(&self) -> Failure {
        Failure::Unavailable(match self.fixed.keeps_history {
            true => "the data folder is being opened".into(),
            false => "no history is kept: --core-metrics-only is set".into(),
        })
    }

    fn known_notices(&self) -> Vec<Notice> {
        let unread = |node: &Arc<cluster::Node>| {
            let failure = self.reader.node(&node.name)?.failure?;
            Some(Notice {
                severity: Severity::Warning,
                what: format!("Node {} cannot be read", node.name),
                why: failure.what,
                remedy: failure.remedy,
            })
        };
        let mut notices: Vec<Notice> =
            self.nodes.all().iter().filter_map(unread).take(100).collect();
        notices.extend(self.pipeline.notices());
        if let Some(error) = self.nodes.contact().error {
            notices.push(Notice {
                severity: Severity::Warning,
                what: "The watch of nodes is broken; what was known last still holds".into(),
                why: error,
                remedy: None,
            });
        }
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

    fn target(&self, node: &cluster::Node) -> Target {
        let state = self.reader.node(&node.name).unwrap_or_default();
        let interval = promql::duration::format_duration(self.fixed.resolution_ms);
        let address = &state.instance;
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        let path = if state.path.is_empty() { self.reader.path() } else { &state.path };
        let url = format!("https://{address}{path}");
        Target {
            discovered_labels: owned(&[
                ("__address__", address),
                ("__metrics_path__", path),
                ("__scheme__", "https"),
                ("__scrape_interval__", &interval),
                ("__meta_kubernetes_node_name", &node.name),
                ("job", "kubelet"),
            ]),
            labels: owned(&[
                ("endpoint", "https-metrics"),
                ("instance", address),
                ("job", "kubelet"),
                ("metrics_path", path),
                ("node", &node.name),
                ("service", "kubelet"),
            ]),
            scrape_pool: "kubelet".into(),
            global_url: url.clone(),
            scrape_url: url,
            last_error: state.failure.as_ref().map(ToString::to_string).unwrap_or_default(),
            last_scrape: api::parameters::format_time(state.asked_ms),
            last_scrape_duration: state.took.as_secs_f64(),
            health: match (state.asked_ms, &state.failure) {
                (0, _) => "unknown",
                (_, None) => "up",
                (_, Some(_)) => "down",
            },
            scrape_interval: interval.clone(),
            scrape_timeout: interval,
            families: Vec::new(),
            scrape_config: None,
        }
    }
}

impl Backend for Hub {
    fn storage(&self) -> Result<Arc<dyn Storage>, Failure> {
        Ok(Arc::new(self.database()?))
    }

    fn receiver(&self) -> Result<Db, Failure> {
        if self.memory() == Memory::NothingNew {
            let why = "memory is at its limit; raise --memory-limit or send fewer series";
            return Err(Failure::Unavailable(why.into()));
        }
        self.database()
    }

    fn database(&self) -> Result<Db, Failure> {
        self.store().cloned().ok_or_else(|| self.closed())
    }

    fn admit(&self) -> Result<(), Failure> {
        if self.memory() == Memory::Enough {
            return Ok(());
        }
        let (used, limit) =
            (self.usage().resident_bytes >> 20, self.fixed.memory_limit.unwrap_or(0) >> 20);
        Err(Failure::Unavailable(format!(
            "not enough memory for another query: {used} MiB of {limit} MiB are in use; \
             ask again later, for less, or raise --memory-limit"
        )))
    }

    fn sick(&self) -> Option<String> {
        self.reader.timely().err()
    }

    fn status(&self) -> Status {
        let usage = self.usage();
        let fixed = &self.fixed;
        Status {
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("KUBEVIGIL_REVISION").unwrap_or(""),
            mode: "server",
            hostname: fixed.hostname.clone(),
            kernel: fixed.kernel.clone(),
            boot_ms: None,
            started_ms: fixed.started_ms,
            now_ms: crate::clock::now().wall_ms,
            interval_ms: fixed.resolution_ms,
            opening: lock(&self.opening).clone(),
            process: backend::Process {
                cpu_seconds: usage.cpu_seconds,
                resident_bytes: usage.resident_bytes,
                open_files: usage.open_files,
                memory_limit_bytes: fixed.memory_limit,
            },
            store: self.store_status(),
            collectors: Vec::new(),
            notices: self.known_notices(),
            flags: fixed.flags.clone(),
        }
    }

    fn containers(&self, read: &mut dyn FnMut(&Round<'_>)) {
        // Control groups are an agent's to see.
        let now_ms = crate::clock::now().wall_ms;
        read(&Round { time_ms: now_ms, hostname: &self.fixed.hostname, containers: &[] });
    }

    fn targets(&self) -> Vec<Target> {
        let nodes = self.nodes.all();
        let mut targets: Vec<Target> = nodes.iter().map(|node| self.target(node)).collect();
        targets.extend(self.pipeline.targets());
        targets
    }

    fn metadata(&self) -> Arc<BTreeMap<String, Metadata>> {
        let mut kept = lock(&self.metadata);
        let fresh = kept.0.is_some_and(|at| at.elapsed() < Duration::from_secs(10));
        if !fresh && let Some(db) = self.store() {
            let told = |m: tsdb::Metadata| {
                let kind = backend::kind_name(m.kind);
                (m.name, Metadata { kind, unit: m.unit, help: m.help })
            };
            let all = db.metadata().into_iter().map(told).collect();
            *kept = (Some(Instant::now()), Arc::new(all));
        }
        kept.1.clone()
    }

    fn notices(&self) -> Vec<Notice> {
        self.known_notices()
    }

    fn write_families(&self, of: Families, sink: &mut dyn Sink) {
        if of != Families::Ourselves {
            return; // an agent's to see
        }
        let fixed = &self.fixed;
        ourselves::process(&self.usage(), fixed.started_ms, fixed.memory_limit, sink);
        ourselves::store(self.store(), sink);
        fixed.listener.write(sink);
        fixed.received.write(sink);
        fixed.config_file.write(sink);
        ourselves::range_cache(fixed.range_cache.as_deref(), sink);
        self.reader.write_families(sink);
        self.pipeline.write_families(sink);
    }

    fn configuration(&self) -> Configuration {
        self.fixed.config_file.configuration()
    }
}
