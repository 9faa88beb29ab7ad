//! `kubevigil standalone`: watches this machine and its containers, keeps what it sees and answers
//! questions about it, until it is told to stop.

use crate::config_file::ConfigFile;
use crate::machine::{Fixed, Machine, standing_notices};
use crate::options::{self, Durability, Options};
use crate::process::Itself;
use crate::sending::Sending;
use crate::{clock, collect, log};
use anyhow::{Context, bail};
use api::queries::Queries;
use api::{Api, Limits};
use disk::Folder;
use promql::{Engine, EngineOptions, RangeCache};
use scrape::Config;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tsdb::{Db, Progress};

/// How long the opening of the data folder is waited for before the address is told, so that a
/// folder that cannot be opened is a plain error.
const OPENING_WAIT: Duration = Duration::from_millis(800);
/// How often a long opening is told on standard error.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How long answers may go on after we were told to stop.
const DRAIN: Duration = Duration::from_secs(2);
/// Threads for queries and for what else may block.
const BLOCKING_THREADS: usize = 64;
/// What answers that are kept may take where nothing is said.
const RANGE_CACHE_BYTES: u64 = 32 << 20;
/// Room for the deepest expression that the parser lets through. Of a stack, only what was used
/// takes memory.
pub const QUERY_STACK_BYTES: usize = 16 << 20;

/// Runs until SIGTERM or SIGINT.
pub fn run(options: Options) -> anyhow::Result<()> {
    log::begin(&options.log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(QUERY_STACK_BYTES)
        .thread_keep_alive(Duration::from_secs(5))
        .thread_name("query")
        .build()
        .context("cannot start")?;
    let result = runtime.block_on(standalone(options));
    // Queries that still run are not waited for.
    runtime.shutdown_background();
    result
}

async fn standalone(options: Options) -> anyhow::Result<()> {
    let server = http::Server::bind(listening(&options)).await?;
    let dir = data_dir(&options.history)?;
    let sending = Sending::new(&options.sending, options.history.exemplars, &dir)?;
    let (file, config, reload) = ConfigFile::open(options.config_file.clone())?;
    tell_without_effect(&config, file.path());
    sending.take(&config);
    tokio::spawn(sending.clone().follow(file.clone(), reload));
    let machine = Arc::new(machine(&options, &dir, &server, file.clone(), sending.clone())?);
    let mut opening = open(machine.clone(), dir, &options);
    let stop = Arc::new(collect::Stop::default());
    let collector =
        collect::start(machine.clone(), stop.clone()).context("cannot start the collector")?;

    // A folder that cannot be opened ends the program before it promises anything.
    let opened = tokio::time::timeout(OPENING_WAIT, &mut opening).await;
    if let Ok(outcome) = &opened {
        check(outcome)?;
    }
    let api = Api::new(
        machine.clone(),
        engine(&options.limits, machine.fixed.memory_limit),
        api::Options {
            limits: limits(&options.limits, machine.fixed.memory_limit),
            receive: options.receiving.options(
                options.history.retention,
                options.limits.lookback,
                machine.fixed.received.clone(),
            ),
            queries: machine.fixed.queries.clone(),
            range_cache: machine.fixed.range_cache.clone(),
            admin: options.administration.enabled,
            lifecycle: file.lifecycle(options.administration.lifecycle),
            users: options.rights.users(),
        },
    );
    println!("Kubevigil watches this machine: open {}", server.url());

    let (failed, failure) = oneshot::channel();
    let shutdown = async {
        let watched = async {
            if opened.is_err()
                && let Err(error) = check(&opening.await)
            {
                return error;
            }
            std::future::pending().await
        };
        tokio::select! {
            () = http::terminated() => {}
            () = file.told_to_quit() => {}
            error = watched => drop(failed.send(error)),
        }
        tracing::info!("stopping");
    };
    server.serve(api.router(), shutdown).await;
    stop.ask();
    let collected = tokio::task::spawn_blocking(move || {
        if collector.join().is_err() {
            tracing::error!("the collector had died");
        }
    });
    collected.await.context("a thread of ours died")?;
    sending.stop().await;
    let end = tokio::task::spawn_blocking(move || machine.store().map(Db::close));
    if let Some(Err(error)) = end.await.context("a thread of ours died")? {
        bail!("the store was not closed well: {error}");
    }
    failure.await.map_or(Ok(()), Err)
}

fn listening(options: &Options) -> http::Options {
    http::Options {
        listen: options.listen.clone(),
        web_config: options.web_config_file.clone(),
        insecure: options.listen_insecure,
        // A query that takes too long is told so before the listener gives up on it.
        request_timeout: options.limits.query_timeout + Duration::from_secs(30),
        max_body_bytes: options.receiving.body_bytes(),
        grace: DRAIN,
        ..http::Options::default()
    }
}

type Opened = Result<Result<(), tsdb::Error>, oneshot::error::RecvError>;

fn check(outcome: &Opened) -> anyhow::Result<()> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            bail!("{error}\nThe history cannot be opened. Another folder is given with --data-dir")
        }
        Err(_) => bail!("the thread that opened the data folder died; the log above says why"),
    }
}

/// Opens the data folder on a thread of its own.
fn open(
    machine: Arc<Machine>,
    dir: PathBuf,
    options: &Options,
) -> oneshot::Receiver<Result<(), tsdb::Error>> {
    let (told, opened) = oneshot::channel();
    let last = Mutex::new(Instant::now());
    let watcher = machine.clone();
    let progress = move |progress: Progress| {
        watcher.opening(progress);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= PROGRESS_EVERY {
            *last = Instant::now();
            let percent = progress.done.saturating_mul(100) / progress.total.max(1);
            tracing::info!("{}: {percent} %", progress.what);
        }
    };
    let store_options = tsdb::Options {
        keep_log: machine.sending.is_wanted(),
        exemplars: machine.sending.exemplars.get(),
        ..store_options(&options.history, Arc::new(progress))
    };
    tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        let outcome = Db::open(&dir, store_options).map(|db| {
            let series = db.stats().series;
            let seconds = start.elapsed().as_secs_f64();
            machine.take_over(&Arc::new(Folder::new(&dir)));
            let dir = dir.display();
            tracing::info!("opened {dir} with {series} series in {seconds:.2} s");
            // First, so that the first round is sent as well.
            machine.sending.opened(db.clone());
            machine.opened(db);
        });
        let _ = told.send(outcome); // the program may be stopping already
    });
    opened
}

/// How the store of series is opened.
pub fn store_options(
    history: &options::History,
    progress: Arc<dyn Fn(Progress) + Send + Sync>,
) -> tsdb::Options {
    let default = tsdb::Options::default();
    tsdb::Options {
        durability: match history.durability {
            Durability::Kernel => tsdb::Durability::Kernel,
            Durability::Fsync => tsdb::Durability::Fsync,
        },
        retention_ms: milliseconds(history.retention),
        retention_bytes: history.retention_size.unwrap_or(0),
        head_ms: milliseconds(history.head_span),
        companions_ms: if history.companions { default.companions_ms } else { Vec::new() },
        budget: tsdb::Budget {
            cpu: history.compaction_cpu,
            bytes_per_second: history.compaction_rate,
        },
        progress: Some(progress),
        ..default
    }
}

fn machine(
    options: &Options,
    dir: &Path,
    server: &http::Server,
    config_file: Arc<ConfigFile>,
    sending: Arc<Sending>,
) -> anyhow::Result<Machine> {
    let mut itself = Itself::open()?;
    let limit = options.limits.memory_limit.or_else(|| itself.memory_limit());
    let uname = kernel::system::uname();
    let now = clock::now();
    let is_root = rustix::process::geteuid().is_root();
    let mut flags = options.flags.clone();
    let effective = [
        ("data-dir", dir.display().to_string()),
        ("memory-limit", limit.map_or_else(|| "none".into(), |l| format!("{l}B"))),
    ];
    for (name, value) in effective {
        if let Some(flag) = flags.iter_mut().find(|f| f.name == name && !f.set) {
            flag.value = value;
        }
    }
    let fixed = Fixed {
        hostname: uname.nodename,
        kernel: uname.release,
        boot_ms: Some(now.wall_ms - now.boot_ms),
        started_ms: now.wall_ms,
        interval_ms: milliseconds(options.interval),
        dir: dir.display().to_string(),
        retention_ms: milliseconds(options.history.retention),
        retention_bytes: options.history.retention_size,
        memory_limit: limit,
        flags,
        url: server.url(),
        listener: server.stats(),
        received: Arc::default(),
        queries: queries(&options.limits)?,
        range_cache: range_cache(&options.limits, limit),
        config_file,
        notices: standing_notices(options, is_root),
    };
    let node = node::Node::open(node_options(options)?).context("cannot read this machine")?;
    Ok(Machine::new(fixed, node, itself, sending))
}

/// What of a Prometheus configuration file means nothing for one machine.
fn tell_without_effect(config: &Config, path: Option<&Path>) {
    if let Some(path) = path.filter(|_| !config.jobs.is_empty()) {
        let path = path.display();
        tracing::warn!("{path}: scrape_configs have no effect here: `kubevigil server` scrapes");
    }
}

fn node_options(options: &Options) -> anyhow::Result<node::Options> {
    let mut chosen = node::Options {
        paths: kernel::Paths {
            procfs: options.procfs.clone(),
            sysfs: options.sysfs.clone(),
            rootfs: options.rootfs.clone(),
            cgroupfs: options.cgroupfs.clone().unwrap_or_else(|| options.sysfs.join("fs/cgroup")),
        },
        textfile_directories: options.textfile_directories.clone(),
        ..node::Options::default()
    };
    if options.disable_defaults {
        chosen.collectors.disable_defaults();
    }
    for (name, on) in &options.collectors {
        chosen.collectors.set(name, *on)?;
    }
    Ok(chosen)
}

/// What evaluates queries within the memory that there is.
pub fn engine(options: &options::Limits, memory_limit: Option<u64>) -> Engine {
    /// What a sample takes in a query, with what is around it.
    const SAMPLE_BYTES: u64 = 32;
    let defaults = EngineOptions::default();
    let limit = memory_limit.unwrap_or(u64::MAX);
    // One query may take a quarter of the memory.
    let affordable = usize::try_from(limit / 4 / SAMPLE_BYTES).unwrap_or(usize::MAX);
    Engine::new(EngineOptions {
        lookback_ms: milliseconds(options.lookback),
        max_samples: options.query_samples.unwrap_or(defaults.max_samples.min(affordable)),
        ..defaults
    })
}

/// The queries that run, with their log.
pub fn queries(options: &options::Limits) -> anyhow::Result<Arc<Queries>> {
    let log = match &options.query_log {
        None => None,
        Some(path) => Some(
            disk::append_to(path)
                .with_context(|| format!("{}: the query log cannot be opened", path.display()))?,
        ),
    };
    Ok(Queries::new(log))
}

/// What queries may take.
pub fn limits(options: &options::Limits, memory_limit: Option<u64>) -> Limits {
    Limits {
        timeout: options.query_timeout,
        concurrency: options.query_concurrency.into(),
        query_bytes: options.query_memory.or(memory_limit.map(|l| l / 4)),
        total_bytes: options.queries_memory.or(memory_limit.map(|l| l / 2)),
    }
}

/// The cache of answers; `None` where it may take nothing.
pub fn range_cache(
    options: &options::Limits,
    memory_limit: Option<u64>,
) -> Option<Arc<RangeCache>> {
    let affordable = memory_limit.map_or(RANGE_CACHE_BYTES, |l| (l / 8).min(RANGE_CACHE_BYTES));
    let bytes = options.cache_memory.unwrap_or(affordable);
    (bytes > 0).then(|| Arc::new(RangeCache::new(bytes)))
}

/// The folder of the option, or the one that the system sets aside for such things.
pub fn data_dir(history: &options::History) -> anyhow::Result<PathBuf> {
    given_or_default(history.data_dir.as_deref())
}

/// The folder that was given, or the one that the system sets aside for such things.
pub fn given_or_default(dir: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(dir) = dir {
        return Ok(dir.to_owned());
    }
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/kubevigil".into());
    }
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|h| h.join(".local/state")));
    match state {
        Some(state) => Ok(state.join("kubevigil")),
        None => bail!(
            "neither XDG_STATE_HOME nor HOME says where the history may be kept; \
             give a folder with --data-dir"
        ),
    }
}

/// As the store counts.
pub fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
