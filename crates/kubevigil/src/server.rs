//! `kubevigil server`: reads the kubelets of a cluster, answers metrics.k8s.io behind the API
//! server's aggregator, keeps what it reads, and answers questions about it.

mod gate;
mod hub;
pub mod options;
mod pipeline;
mod pipeline_options;
mod why;

use crate::config_file::ConfigFile;
use crate::process::Itself;
use crate::standalone::{
    QUERY_STACK_BYTES, data_dir, engine, limits, milliseconds, queries, range_cache, store_options,
};
use crate::{clock, log};
use anyhow::{Context, bail};
use api::Api;
use api::kubernetes::health::{self, Check, Probe};
use api::kubernetes::{Frame, Group, Merged, ResourceMetrics};
use axum::Router;
use cluster::{AddressType, Cluster, Credentials, Lifetimes, NodeCache, PodCache, Serving};
use disk::Folder;
use gate::Gate;
use http::client::Believe;
use hub::{Fixed, Hub};
use options::{KubeletTls, ServerOptions};
use pipeline::Pipeline;
use pipeline_options::PipelineOptions;
use resource::reader::{self, Credential, Recorder, Round};
use resource::series::Series;
use resource::{Mode, Reader, Store, keep};
use scrape::Config;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tsdb::Db;

/// After SIGTERM: how long requests still come while others learn that we are not ready.
const LAME_DUCK: Duration = Duration::from_millis(2500);
/// And how long those that were begun may still take.
const DRAIN: Duration = Duration::from_millis(1000);
/// How often what survives a restart is written.
const KEEP_EVERY: Duration = Duration::from_secs(30);
/// Older points are of no use after a restart.
const POINTS_AGE: Duration = Duration::from_secs(120);
/// Threads for queries and for what else may block.
const BLOCKING_THREADS: usize = 64;
/// The APIServices that may be ours.
const API_SERVICES: [&str; 5] = [
    "v1beta1.metrics.k8s.io",
    "v1.kubevigil.dev",
    "v1beta1.custom.metrics.k8s.io",
    "v1beta2.custom.metrics.k8s.io",
    "v1beta1.external.metrics.k8s.io",
];

/// Runs until SIGTERM or SIGINT.
pub fn run(options: ServerOptions) -> anyhow::Result<()> {
    log::begin(&options.log);
    if let Err(why) = options.check() {
        bail!(why);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(4))
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(QUERY_STACK_BYTES)
        .thread_keep_alive(Duration::from_secs(5))
        .build()
        .context("cannot start")?;
    let result = runtime.block_on(server(options));
    // Queries that still run are not waited for.
    runtime.shutdown_background();
    result
}

/// What is made before anything runs.
struct Parts {
    options: ServerOptions,
    cluster: Cluster,
    nodes: NodeCache,
    pods: PodCache,
    store: Arc<Store>,
    reader: Arc<Reader>,
    recorder: Arc<Late>,
    pipeline: Arc<Pipeline>,
    hub: Arc<Hub>,
    dir: PathBuf,
    draining: Arc<AtomicBool>,
}

async fn server(options: ServerOptions) -> anyhow::Result<()> {
    let cluster = Cluster::connect(options.kubeconfig.as_deref()).await?;
    let identity = http::Identity::default();
    let listener = http::Server::bind(http::Options {
        listen: options.listen.clone(),
        identity: Some(identity.clone()),
        // A query that takes too long is told so before the listener gives up on it.
        request_timeout: options.limits.query_timeout + Duration::from_secs(30),
        max_body_bytes: options.receiving.body_bytes(),
        max_connections: 4096,
        grace: DRAIN,
        ..http::Options::default()
    })
    .await?;
    let (file, config, reload) = ConfigFile::open(options.pipeline.config_file.clone())?;
    let parts = Arc::new(parts(options, cluster, &listener, (file.clone(), config))?);
    parts.cluster.serve_as(serving(&parts.options), identity);
    restore(&parts);
    let opening = open(parts.clone());
    let reading = tokio::spawn({
        let reader = parts.reader.clone();
        async move { reader.run().await }
    });
    let keeping = tokio::spawn(keep_for_ever(parts.clone()));
    let store = parts.store.clone();
    let pipeline = parts.pipeline.clone();
    let monitoring = tokio::spawn(pipeline.run(reload, store, parts.options.metric_resolution));
    println!("Kubevigil reads this cluster's kubelets and answers at {}", listener.url());

    let router = router(&parts);
    let draining = parts.draining.clone();
    let (failed, failure) = tokio::sync::oneshot::channel::<anyhow::Error>();
    let shutdown = async move {
        let watched = async {
            match opening.await {
                Ok(Err(error)) => error,
                Err(_) => anyhow::anyhow!("the thread that opened the data folder died"),
                Ok(Ok(())) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = http::terminated() => {}
            () = file.told_to_quit() => {}
            error = watched => return drop(failed.send(error)),
        }
        tracing::info!("not ready any more; stopping");
        draining.store(true, Ordering::Release);
        tokio::time::sleep(LAME_DUCK).await;
    };
    listener.serve(router, shutdown).await;
    reading.abort();
    keeping.abort();
    monitoring.abort();
    parts.pipeline.stop().await;
    let end = tokio::task::spawn_blocking(move || {
        keep_now(&parts);
        parts.hub.store().map(Db::close)
    });
    if let Some(Err(error)) = end.await.context("a thread of ours died")? {
        bail!("the store was not closed well: {error}");
    }
    failure.await.map_or(Ok(()), Err)
}

fn parts(
    options: ServerOptions,
    cluster: Cluster,
    listener: &http::Server,
    config: (Arc<ConfigFile>, Config),
) -> anyhow::Result<Parts> {
    let dir = data_dir(&options.history)?;
    std::fs::create_dir_all(&dir).with_context(|| {
        format!("cannot make the data folder {}; choose another with --data-dir", dir.display())
    })?;
    let nodes = cluster.nodes(&options.node_selector);
    let pods = cluster.pods();
    let resolution_ns = i64::try_from(options.metric_resolution.as_nanos()).unwrap_or(i64::MAX);
    let mode = if options.strict { Mode::Strict } else { Mode::Lenient };
    let store = Arc::new(Store::new(resource::Options { resolution_ns, mode }));
    let recorder = Arc::new(Late::default());
    let recording: Option<Arc<dyn Recorder>> = match options.core_metrics_only {
        true => None,
        false => Some(recorder.clone()),
    };
    let credential = credential(&options, cluster.clone());
    let reader =
        Reader::new(reading(&options), nodes.clone(), store.clone(), credential, recording)?;
    let reader = Arc::new(reader);
    let mut itself = Itself::open()?;
    let uname = kernel::system::uname();
    let memory_limit = options.limits.memory_limit.or_else(|| itself.memory_limit());
    let fixed = Fixed {
        hostname: uname.nodename,
        kernel: uname.release,
        started_ms: clock::now().wall_ms,
        resolution_ms: milliseconds(options.metric_resolution),
        dir: dir.display().to_string(),
        retention_ms: milliseconds(options.history.retention),
        retention_bytes: options.history.retention_size,
        memory_limit,
        flags: options.flags.clone(),
        listener: listener.stats(),
        received: Arc::default(),
        queries: queries(&options.limits)?,
        range_cache: range_cache(&options.limits, memory_limit),
        config_file: config.0.clone(),
        keeps_history: !options.core_metrics_only,
    };
    let pipeline =
        PipelineOptions { keeps_history: !options.core_metrics_only, ..options.pipeline.clone() };
    let (rules, exemplars) = (options.adapter_config.clone(), options.history.exemplars);
    let pipeline = Pipeline::new(pipeline, rules, config, cluster.clone(), exemplars, &dir)?;
    let hub = Hub::new(fixed, nodes.clone(), reader.clone(), itself, pipeline.clone());
    let hub = Arc::new(hub);
    let draining = Arc::default();
    Ok(Parts {
        options,
        cluster,
        nodes,
        pods,
        store,
        reader,
        recorder,
        pipeline,
        hub,
        dir,
        draining,
    })
}

fn reading(options: &ServerOptions) -> reader::Options {
    let types = options.kubelet_preferred_address_types.iter();
    let believe = match options.kubelet_tls {
        _ if options.kubelet_completely_insecure => None,
        _ if options.kubelet_insecure_tls => Some(Believe::Anybody),
        KubeletTls::Verify => Some(Believe::Verified),
        KubeletTls::Pin => Some(Believe::Pinned),
        KubeletTls::Insecure => Some(Believe::Anybody),
    };
    reader::Options {
        resolution: options.metric_resolution,
        timeout: options.kubelet_request_timeout.min(options.metric_resolution.mul_f64(0.9)),
        port: options.kubelet_port,
        path: options.kubelet_source.path(),
        use_node_status_port: options.kubelet_use_node_status_port,
        address_types: types.map(|t| AddressType::from_name(t)).collect(),
        believe,
        ..reader::Options::default()
    }
}

/// What speaks for us before kubelets: what the options name, and for the rest what speaks for us
/// before the API server.
fn credential(options: &ServerOptions, cluster: Cluster) -> Credential {
    let authority = options.kubelet_certificate_authority.clone();
    let own = options.kubelet_client_certificate.clone().zip(options.kubelet_client_key.clone());
    Box::new(move || {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|e| format!("{}: cannot read it: {e}", path.display()))
        };
        let mut credentials: Credentials = cluster.credentials().map_err(|e| e.to_string())?;
        if let Some(path) = &authority {
            credentials.authorities = Some(read(path)?);
        }
        if let Some((certificate, key)) = &own {
            credentials.certificate = Some((read(certificate)?, read(key)?));
            credentials.token = None;
        }
        Ok(credentials)
    })
}

fn serving(options: &ServerOptions) -> Serving {
    let of_pod = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
    let in_pod = options.kubeconfig.is_none();
    let own = || std::fs::read_to_string(of_pod).ok().filter(|_| in_pod);
    let namespace = options.namespace.clone().or_else(own);
    Serving {
        namespace: namespace.unwrap_or_else(|| "kubevigil-system".into()).trim().to_owned(),
        secret: options.certificate_secret.clone(),
        service: options.service.clone(),
        api_services: API_SERVICES.map(str::to_owned).to_vec(),
        lifetimes: Lifetimes {
            authority: options.authority_lifetime,
            serving: options.certificate_lifetime,
            overlap: options.certificate_overlap,
        },
    }
}

/// Everything that is answered.
fn router(parts: &Parts) -> Router {
    let gate = Gate::new(parts.cluster.clone());
    let observer = parts.reader.clone();
    let resource =
        ResourceMetrics::new(parts.store.clone(), parts.nodes.clone(), parts.pods.clone())
            .observed(move |age_ns| observer.served(age_ns));
    let why = why::Why {
        cluster: parts.cluster.clone(),
        serving: serving(&parts.options),
        nodes: parts.nodes.clone(),
        pods: parts.pods.clone(),
        reader: parts.reader.clone(),
        store: parts.store.clone(),
    };
    let rules = engine(&parts.options.limits, parts.hub.fixed.memory_limit);
    let own: Vec<Arc<dyn Group>> = vec![Arc::new(why), parts.pipeline.estimates()];
    let mut groups: Vec<Arc<dyn Group>> = vec![Arc::new(resource)];
    groups.extend(parts.pipeline.groups(rules));
    groups.push(Arc::new(Merged::new("kubevigil.dev", &["v1"], own)));
    let frame = Frame::new(groups, gate.clone()).router();
    let backend: Arc<dyn api::Backend> = parts.hub.clone();
    let engine = engine(&parts.options.limits, parts.hub.fixed.memory_limit);
    let received = parts.hub.fixed.received.clone();
    let options = &parts.options;
    let receive =
        options.receiving.options(options.history.retention, options.limits.lookback, received);
    let options = api::Options {
        limits: limits(&options.limits, parts.hub.fixed.memory_limit),
        receive,
        queries: parts.hub.fixed.queries.clone(),
        range_cache: parts.hub.fixed.range_cache.clone(),
        admin: options.administration.enabled,
        lifecycle: parts.hub.fixed.config_file.lifecycle(options.administration.lifecycle),
        // The cluster says who may do what.
        users: api::access::Users::default(),
    };
    let series = Api::new(backend, engine, options).router();
    let series = series.layer(axum::middleware::from_fn_with_state(gate, gate::by_path));
    Router::new().merge(health::router(checks(parts))).merge(frame).fallback_service(series)
}

/// The checks of metrics-server, under its names and in its order.
fn checks(parts: &Parts) -> Vec<Check> {
    const HOOKS: [&str; 2] =
        ["poststarthook/max-in-flight-filter", "poststarthook/storage-object-count-tracker-hook"];
    let (ready, timely) = (parts.reader.clone(), parts.reader.clone());
    let (cluster, nodes, pods) = (parts.cluster.clone(), parts.nodes.clone(), parts.pods.clone());
    let draining = parts.draining.clone();
    let mut checks: Vec<Check> =
        ["ping", "log"].into_iter().chain(HOOKS).map(Check::passing).collect();
    let named = |name, probes, test| Check { name, probes, test };
    checks.extend([
        named("metric-storage-ready", &[Probe::Ready][..], Box::new(move || ready.ready())),
        named("metric-collection-timely", &[Probe::Live], Box::new(move || timely.timely())),
        named("metric-informer-sync", &[Probe::Ready], {
            Box::new(move || {
                if !cluster.knows_whom_to_trust() {
                    return Err("the ConfigMap kube-system/extension-apiserver-authentication, \
                                which says whom to trust, was not read yet"
                        .into());
                }
                synced("nodes", nodes.synced(), nodes.contact().error)
            })
        }),
        named("metadata-informer-sync", &[Probe::Ready, Probe::Live], {
            Box::new(move || synced("pods", pods.synced(), pods.contact().error))
        }),
        named("shutdown", &[Probe::Ready], {
            Box::new(move || match draining.load(Ordering::Acquire) {
                true => Err("process is shutting down".into()),
                false => Ok(()),
            })
        }),
    ]);
    checks
}

fn synced(what: &str, synced: bool, error: Option<String>) -> Result<(), String> {
    match (synced, error) {
        (true, _) => Ok(()),
        (false, None) => Err(format!("{what} were not listed yet")),
        (false, Some(why)) => Err(format!("{what} cannot be listed: {why}")),
    }
}

/// Records once the store is open.
#[derive(Default)]
struct Late {
    series: OnceLock<Series>,
    hub: OnceLock<Arc<Hub>>,
}

impl Recorder for Late {
    fn record(&self, node: &cluster::Node, round: &Round<'_>) {
        let full = self.hub.get().is_some_and(|h| h.memory() == crate::process::Memory::NothingNew);
        if let Some(series) = self.series.get().filter(|_| !full) {
            series.record(node, round);
        }
    }

    fn gone(&self, node: &str, time_ms: i64) {
        if let Some(series) = self.series.get() {
            series.gone(node, time_ms);
        }
    }
}

/// Opens the store of series on a thread of its own.
fn open(parts: Arc<Parts>) -> tokio::sync::oneshot::Receiver<anyhow::Result<()>> {
    let (told, opened) = tokio::sync::oneshot::channel();
    if parts.options.core_metrics_only {
        let _ = told.send(Ok(())); // the receiver is below
        return opened;
    }
    tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        let watcher = parts.hub.clone();
        let progress = Arc::new(move |progress| watcher.opening(progress));
        let dir = parts.dir.join("series");
        let options = tsdb::Options {
            keep_log: parts.pipeline.sending.is_wanted(),
            exemplars: parts.pipeline.sending.exemplars.get(),
            ..store_options(&parts.options.history, progress)
        };
        let outcome = Db::open(&dir, options);
        let outcome = outcome.map(|db| {
            let folder = Arc::new(Folder::new(&dir));
            for query in parts.hub.fixed.queries.keep_in(&folder) {
                tracing::warn!("a query ran when the program ended the last time: {query}");
            }
            let (seconds, dir) = (start.elapsed().as_secs_f64(), dir.display());
            tracing::info!("opened {dir} with {} series in {seconds:.2} s", db.stats().series);
            // First, so that the first samples are sent as well.
            parts.hub.opened(db.clone());
            let _ = parts.recorder.hub.set(parts.hub.clone()); // once, as the next
            let _ = parts.recorder.series.set(Series::new(db));
        });
        let hint = "the history cannot be opened; another folder is given with --data-dir";
        let _ = told.send(outcome.context(hint)); // the program may be stopping already
    });
    opened
}

fn restore(parts: &Parts) {
    let files = Folder::new(&parts.dir);
    let now_ns = clock::now().wall_ms.saturating_mul(1_000_000);
    let age_ns = i64::try_from(POINTS_AGE.as_nanos()).unwrap_or(i64::MAX);
    match keep::restore_points(&files, &parts.store, now_ns - age_ns) {
        Ok(counts) if counts.nodes > 0 => tracing::info!(
            "took over the points of {} nodes and {} containers",
            counts.nodes,
            counts.containers
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!("cannot take over the points of before: {error}"),
    }
    if let Err(error) = keep::restore_pins(&files, &parts.reader) {
        tracing::error!("cannot take over the kubelets' pinned certificates: {error}");
    }
}

async fn keep_for_ever(parts: Arc<Parts>) {
    loop {
        tokio::time::sleep(KEEP_EVERY).await;
        let parts = parts.clone();
        let _ = tokio::task::spawn_blocking(move || keep_now(&parts)).await; // logged there
    }
}

fn keep_now(parts: &Parts) {
    let files = Folder::new(&parts.dir);
    let points = keep::keep_points(&files, &parts.store);
    let pins = keep::keep_pins(&files, &parts.reader);
    if let Err(error) = points.and(pins) {
        tracing::warn!("what is to survive a restart was not written: {error}");
    }
}
