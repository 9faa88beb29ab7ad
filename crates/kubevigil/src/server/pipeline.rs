//! The monitoring pipeline within `server`: targets are scraped into the store, rules make custom and
//! external metrics of it, and workloads' needs are estimated from what the kubelets tell.
//!
//! Files are read again when their content changes; one with mistakes changes nothing, and all its
//! mistakes are logged and shown.

use super::pipeline_options::PipelineOptions;
use crate::config_file::{ConfigFile, LOOK_EVERY, Reload};
use crate::sending::Sending;
use anyhow::{Context, anyhow};
use api::backend::{Notice, Severity, Target};
use api::kubernetes::{
    Custom, EstimateGroup, External, Forward, ForwardOptions, Group, MetricWorld, Naming, Status,
};
use cluster::{Cluster, FieldSelector, PodAddress, ResourceKind, Selector};
use disk::Folder;
use http::client::{TlsOptions, Trust};
use model::{Labels, Sink, Storage};
use resource::adapter::{ApiResource, ApiResources, Rules};
use resource::custom::{self, Metrics};
use resource::estimate::{self, Estimates, Images};
use resource::keep;
use scrape::annotated::{self, Defaults};
use scrape::{Config, JobTargets, Scraper};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tsdb::Db;

/// How often estimates are written to the store, and to their file.
const ESTIMATES_EVERY: Duration = Duration::from_secs(60);
const KEEP_ESTIMATES_EVERY: u32 = 5;
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The pipeline.
pub struct Pipeline {
    options: PipelineOptions,
    rules_file: Option<PathBuf>,
    config_file: Arc<ConfigFile>,
    cluster: Cluster,
    dir: PathBuf,
    metrics: Arc<Metrics>,
    estimates: Arc<Estimates>,
    custom_forward: Option<Arc<Forward>>,
    external_forward: Option<Arc<Forward>>,
    store: OnceLock<(Db, Scraper)>,
    /// What is sent elsewhere.
    pub sending: Arc<Sending>,
    resources: Mutex<(Arc<Vec<ResourceKind>>, Arc<ApiResources>)>,
    /// By what they are about.
    notices: Mutex<BTreeMap<&'static str, Vec<Notice>>>,
    jobs: Mutex<Vec<JobTargets>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipeline {
    /// Reads the rules; a mistake in them is a reason not to start.
    pub fn new(
        options: PipelineOptions,
        rules_file: Option<PathBuf>,
        config: (Arc<ConfigFile>, Config),
        cluster: Cluster,
        exemplars: usize,
        dir: &Path,
    ) -> anyhow::Result<Arc<Pipeline>> {
        let (config_file, config) = config;
        let forward = |url: &Option<String>| {
            let Some(url) = url else { return Ok(None) };
            Forward::open(forward_options(&options, url)).map(Some).map_err(|e| anyhow!(e))
        };
        let custom_forward =
            forward(&options.custom_forward).context("--custom-metrics.forward")?;
        let external_forward =
            forward(&options.external_forward).context("--external-metrics.forward")?;
        let rules = match &rules_file {
            // A ConfigMap may come later.
            Some(path) if path.exists() => Rules::parse(&read(path)?, &path.display().to_string())?,
            Some(_) | None => Rules::default(),
        };
        let ages = custom::Options { age: options.metrics_max_age, ..custom::Options::default() };
        let estimates = Arc::new(Estimates::new(estimate::Options::default()));
        match keep::restore_estimates(&Folder::new(dir), &estimates) {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!("took over the estimates of {count} containers of workloads")
            }
            Err(error) => tracing::warn!("cannot take over the estimates of before: {error}"),
        }
        let none = Arc::new(Vec::new());
        let pipeline = Arc::new(Pipeline {
            metrics: Arc::new(Metrics::new(rules.clone(), ages)),
            rules_file,
            config_file,
            cluster,
            dir: dir.to_owned(),
            estimates,
            custom_forward,
            external_forward,
            store: OnceLock::new(),
            sending: Sending::new(&options.sending, exemplars, dir)?,
            resources: Mutex::new((none, Arc::new(ApiResources::well_known()))),
            notices: Mutex::default(),
            jobs: Mutex::default(),
            options,
        });
        pipeline.tell_rules(&rules);
        if pipeline.config_file.path().is_some() {
            pipeline.take_config(config);
        }
        Ok(pipeline)
    }

    /// The API groups of custom and external metrics.
    pub fn groups(self: &Arc<Pipeline>, engine: promql::Engine) -> Vec<Arc<dyn Group>> {
        let world: Arc<dyn MetricWorld> = self.clone();
        let (metrics, custom) = (self.metrics.clone(), self.custom_forward.clone());
        let custom = Arc::new(Custom::new(metrics, world.clone(), engine.clone(), custom));
        tokio::spawn(custom.clone().keep_listed());
        let (metrics, external) = (self.metrics.clone(), self.external_forward.clone());
        let external = Arc::new(External::new(metrics, world, engine, external));
        for (forward, group_version) in [
            (&self.custom_forward, "custom.metrics.k8s.io/v1beta2"),
            (&self.external_forward, "external.metrics.k8s.io/v1beta1"),
        ] {
            if let Some(forward) = forward {
                tokio::spawn(forward.clone().keep_listed(group_version));
            }
        }
        vec![custom, external]
    }

    /// The part of our own API group that answers with estimates.
    pub fn estimates(&self) -> Arc<dyn Group> {
        Arc::new(EstimateGroup::new(self.estimates.clone()))
    }

    /// The store is open: scraping begins. Called within the runtime.
    pub fn opened(&self, db: Db) {
        self.sending.opened(db.clone());
        let scraper = Scraper::new(db.clone(), scrape::Options::default());
        let _ = self.store.set((db, scraper)); // it is opened once
        self.scrape_config();
    }

    /// Does everything that is done again and again, for ever.
    pub async fn run(
        self: Arc<Pipeline>,
        reload: Reload,
        store: Arc<resource::Store>,
        resolution: Duration,
    ) {
        tokio::join!(
            self.follow_files(reload),
            self.follow_annotations(),
            self.observe(&store, resolution),
            self.record_estimates(),
        );
    }

    /// Ends all scrapes, their series stale, and writes what is to survive.
    pub async fn stop(&self) {
        if let Some((_, scraper)) = self.store.get() {
            scraper.stop().await;
        }
        self.sending.stop().await;
        self.keep_estimates();
    }

    /// The targets as the API shows them.
    pub fn targets(&self) -> Vec<Target> {
        let Some((_, scraper)) = self.store.get() else { return Vec::new() };
        scraper.targets().iter().map(api::backend::Target::of_scrape).collect()
    }

    /// What a person should know.
    pub fn notices(&self) -> Vec<Notice> {
        let told = lock(&self.notices).values().flatten().cloned().collect::<Vec<_>>();
        told.into_iter().chain(self.sending.notices()).collect()
    }

    /// Our own metrics.
    pub fn write_families(&self, sink: &mut dyn Sink) {
        if let Some((_, scraper)) = self.store.get() {
            scraper.write(sink);
        }
        self.sending.write(sink);
        let mut gauge = |name, help, value| {
            sink.family(&model::Family { name, help, kind: model::Kind::Gauge, unit: "" });
            sink.sample(name, &[], value, None);
        };
        let (count, bytes) = (self.estimates.len(), self.estimates.memory_bytes());
        gauge(
            "kubevigil_resource_estimated_containers",
            "Containers of workloads with estimates.",
            count as f64,
        );
        gauge(
            "kubevigil_resource_estimates_memory_bytes",
            "Memory that estimates take.",
            bytes as f64,
        );
    }

    fn tell(&self, about: &'static str, severity: Severity, what: &str, whys: Vec<String>) {
        let notice = |why: String| Notice { severity, what: what.into(), why, remedy: None };
        let notices: Vec<Notice> = whys.into_iter().take(20).map(notice).collect();
        let mut all = lock(&self.notices);
        if all.get(about) == Some(&notices) || notices.is_empty() && !all.contains_key(about) {
            return;
        }
        for Notice { what, why, .. } in &notices {
            tracing::warn!("{what}: {why}");
        }
        all.insert(about, notices);
    }

    fn tell_rules(&self, rules: &Rules) {
        if self.rules_file.is_some() {
            tracing::info!("{} rules for custom and external metrics", rules.len());
        }
        self.tell("rules", Severity::Info, "Rules of --adapter.config", rules.notices());
    }

    fn take_config(&self, config: Config) {
        let targets = |job: &Arc<scrape::Job>| JobTargets {
            targets: scrape::Target::of_static(job),
            job: job.clone(),
        };
        *lock(&self.jobs) = config.jobs.iter().map(targets).collect();
        self.sending.take(&config);
        self.tell("config", Severity::Info, "--config.file", config.notices);
        self.scrape_config();
    }

    fn scrape_config(&self) {
        if let Some((_, scraper)) = self.store.get() {
            let notices = scraper.set("config", lock(&self.jobs).clone());
            self.tell("jobs", Severity::Warning, "Some targets are not scraped", notices);
        }
    }

    /// Reads the files again when their content changes.
    async fn follow_files(&self, mut reload: Reload) {
        let text =
            |path: &Option<PathBuf>| path.as_deref().map(|p| std::fs::read_to_string(p).ok());
        let mut rules_before = text(&self.rules_file);
        loop {
            let anyway = reload.wait().await;
            let mut rules = Ok(());
            if let (Some(path), now) = (&self.rules_file, text(&self.rules_file))
                && (now != rules_before || anyway)
            {
                let content = now.clone().flatten().ok_or_else(|| "cannot be read".to_owned());
                let parsed = content.and_then(|content| {
                    Rules::parse(&content, &path.display().to_string()).map_err(|e| e.to_string())
                });
                match parsed {
                    Ok(read) => {
                        self.tell_rules(&read);
                        self.refused("refused rules", Ok(()));
                        self.metrics.replace(read);
                    }
                    Err(why) => {
                        self.refused("refused rules", Err(why.clone()));
                        rules = Err(why);
                    }
                }
                rules_before = now;
            }
            let config = match self.config_file.again(anyway) {
                None => Ok(()),
                Some(Ok(config)) => {
                    tracing::info!("--config.file: {} jobs", config.jobs.len());
                    self.refused("refused config", Ok(()));
                    self.take_config(config);
                    Ok(())
                }
                Some(Err(why)) => {
                    self.refused("refused config", Err(why.clone()));
                    Err(why)
                }
            };
            reload.done(rules.and(config));
        }
    }

    fn refused(&self, about: &'static str, outcome: Result<(), String>) {
        let whys = outcome.err().map(|why| why.lines().map(str::to_owned).collect());
        let what = "A changed file has mistakes; what was read before stays in force";
        self.tell(about, Severity::Error, what, whys.unwrap_or_default());
    }

    /// Scrapes annotated pods and services.
    async fn follow_annotations(&self) {
        if !self.options.scrape_annotations || !self.options.keeps_history {
            return;
        }
        let (pods, services) = (self.cluster.pod_addresses(), self.cluster.services());
        let slices = self.cluster.endpoint_slices();
        let interval_ms = u64::try_from(self.options.scrape_interval.as_millis()).unwrap_or(30_000);
        let defaults =
            Defaults { interval_ms, timeout_ms: interval_ms.min(10_000), ..Defaults::default() };
        let mut before = None;
        loop {
            let now = (pods.generation(), services.generation(), slices.generation());
            if let Some((_, scraper)) = self.store.get()
                && before != Some(now)
                && pods.synced()
            {
                let found = annotated::targets(
                    &pods.all().iter().filter_map(|p| pod(p)).collect::<Vec<_>>(),
                    &endpoints(&services.all(), &slices.all()),
                    &defaults,
                );
                let notices = scraper.set("kubernetes", found);
                self.tell(
                    "annotated",
                    Severity::Warning,
                    "Some annotated targets are not scraped",
                    notices,
                );
                before = Some(now);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Takes in what containers used, once a round.
    async fn observe(&self, store: &resource::Store, resolution: Duration) {
        if !self.options.keeps_history {
            return; // --core-metrics-only promises little memory
        }
        let pods = self.cluster.pods();
        let images =
            ImagesOf(self.options.scrape_annotations.then(|| self.cluster.pod_addresses()));
        // What was taken in before a restart is not taken in again.
        let mut since_ns = crate::clock::now().wall_ms.saturating_mul(1_000_000);
        loop {
            tokio::time::sleep(resolution).await;
            let all = pods.all();
            // A few milliseconds for ten thousand pods.
            since_ns =
                estimate::observe_all(&self.estimates, &store.view(), &all, &images, since_ns);
        }
    }

    async fn record_estimates(&self) {
        let target = Labels::from_pairs([("job", "kubevigil-estimates")]);
        let (mut group, mut rounds) = (None, 0);
        loop {
            tokio::time::sleep(ESTIMATES_EVERY).await;
            let now_ms = crate::clock::now().wall_ms;
            self.estimates.forget(now_ms);
            if let Some((db, _)) = self.store.get() {
                let mut batch = group.get_or_insert_with(|| db.group(&target)).begin(now_ms);
                self.estimates.write(now_ms, &mut batch);
                if let Err(error) = batch.commit() {
                    tracing::debug!("estimates were not kept as series: {error}");
                }
            }
            rounds += 1;
            if rounds % KEEP_ESTIMATES_EVERY == 0 {
                self.keep_estimates();
            }
        }
    }

    fn keep_estimates(&self) {
        if let Err(error) = keep::keep_estimates(&Folder::new(&self.dir), &self.estimates) {
            tracing::warn!("estimates were not kept: {error}");
        }
    }
}

impl MetricWorld for Pipeline {
    fn storage(&self) -> Result<Arc<dyn Storage>, Status> {
        match self.store.get() {
            Some((db, _)) => Ok(Arc::new(db.clone())),
            None if self.options.keeps_history => {
                Err(Status::unavailable("the data folder is being opened"))
            }
            None => Err(Status::unavailable("no history is kept: --core-metrics-only is set")),
        }
    }

    fn resources(&self) -> Arc<ApiResources> {
        let kinds = self.cluster.resources().all();
        let mut known = lock(&self.resources);
        if !kinds.is_empty() && !Arc::ptr_eq(&kinds, &known.0) {
            *known = (kinds.clone(), Arc::new(ApiResources::of_cluster(&kinds)));
        }
        known.1.clone()
    }

    fn names<'a>(
        &'a self,
        resource: &'a ApiResource,
        namespace: Option<&'a str>,
        selector: &'a Selector,
    ) -> Naming<'a> {
        Box::pin(async move {
            if resource.group.is_empty() && resource.plural == "pods" {
                let found =
                    self.cluster.pods().list(namespace, selector, &FieldSelector::default());
                return Ok(found.iter().map(|pod| pod.name.to_string()).collect());
            }
            let kind = resource.of_cluster();
            let found = self.cluster.names(&kind, namespace, selector).await;
            found.map_err(|e| Status::unavailable(format!("cannot list {}: {e}", resource.plural)))
        })
    }

    fn now_ms(&self) -> i64 {
        crate::clock::now().wall_ms
    }
}

/// Images by the watch of whole pods, where there is one.
struct ImagesOf(Option<cluster::Cache<PodAddress>>);

impl Images for ImagesOf {
    fn image(&self, namespace: &str, pod: &str, container: &str) -> Option<Arc<str>> {
        let pod = self.0.as_ref()?.named(namespace, pod)?;
        pod.images.get(container).map(Arc::from)
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}: cannot read it", path.display()))
}

fn forward_options(options: &PipelineOptions, url: &str) -> ForwardOptions {
    let trust = match (&options.forward_ca_file, options.forward_insecure) {
        (_, true) => Trust::Insecure,
        (Some(path), false) => Trust::Verify(path.clone()),
        (None, false) => {
            Trust::Verify("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt".into())
        }
    };
    let token_file = Some(PathBuf::from(TOKEN)).filter(|path| path.exists());
    ForwardOptions { url: url.into(), tls: TlsOptions { trust, identity: None }, token_file }
}

fn owned(labels: &cluster::Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn pod(pod: &PodAddress) -> Option<annotated::Pod> {
    (!pod.annotations.is_empty()).then(|| annotated::Pod {
        namespace: pod.namespace.to_string(),
        name: pod.name.to_string(),
        ip: pod.ip.to_string(),
        // Only running pods are watched.
        phase: "Running".into(),
        node: pod.node.to_string(),
        labels: owned(&pod.labels),
        annotations: owned(&pod.annotations),
        ports: pod.ports.to_vec(),
    })
}

fn endpoints(
    services: &[Arc<cluster::Service>],
    slices: &[Arc<cluster::EndpointSlice>],
) -> Vec<annotated::Endpoint> {
    let annotated: HashMap<(&str, &str), &cluster::Service> = services
        .iter()
        .filter(|s| !s.annotations.is_empty())
        .map(|s| ((&*s.namespace, &*s.name), &**s))
        .collect();
    let mut found = Vec::new();
    for slice in slices {
        let Some(service) = annotated.get(&(&*slice.namespace, &*slice.service)) else { continue };
        for (ip, node) in &slice.addresses {
            found.extend(slice.ports.iter().map(|port| annotated::Endpoint {
                namespace: service.namespace.to_string(),
                service: service.name.to_string(),
                labels: owned(&service.labels),
                annotations: owned(&service.annotations),
                ip: ip.to_string(),
                port: *port,
                node: node.to_string(),
            }));
        }
    }
    found
}
