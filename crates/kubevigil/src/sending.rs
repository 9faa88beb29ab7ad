//! Remote write out, as both `standalone` and `server` have it: what the command line and a
//! configuration file say, and the exporter once the store is open.

use crate::config_file::{ConfigFile, Reload};
use crate::exemplars::Capacity;
use crate::options::size;
use anyhow::{Context, anyhow};
use api::backend::{Notice, Severity};
use clap::Args;
use export::{Exporter, RemoteWrite};
use model::Sink;
use scrape::Config;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tsdb::Db;

/// Where samples are sent to.
#[derive(Clone, Debug, Args)]
pub struct SendOptions {
    /// Send all samples there by Prometheus remote write 1.0; may be given several times. More can be
    /// said in the remote_write section of --config.file
    #[arg(long = "remote-write", value_name = "URL", help_heading = "Remote write")]
    pub endpoints: Vec<String>,

    /// How much disk samples may take that a receiver has not taken yet, for each receiver
    #[arg(
        long = "remote-write.queue-size",
        value_name = "SIZE",
        default_value = "1GB",
        value_parser = size,
        help_heading = "Remote write"
    )]
    pub queue_size: u64,
}

/// Sends what the store takes in.
pub struct Sending {
    given: Vec<RemoteWrite>,
    options: export::Options,
    dir: PathBuf,
    /// Endpoints and external labels of the file.
    file: Mutex<(Vec<RemoteWrite>, BTreeMap<String, String>)>,
    exporter: OnceLock<Arc<Exporter>>,
    /// How many exemplars the store keeps: the same file says it.
    pub exemplars: Capacity,
    problems: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sending {
    /// Checks the options; what is to survive a restart goes below the data folder `dir`.
    pub fn new(
        options: &SendOptions,
        exemplars: usize,
        dir: &Path,
    ) -> anyhow::Result<Arc<Sending>> {
        let endpoints = options.endpoints.iter().map(|url| RemoteWrite::to(url));
        let given: Result<Vec<RemoteWrite>, String> = endpoints.collect();
        Ok(Arc::new(Sending {
            given: given.map_err(|why| anyhow!(why)).context("--remote-write")?,
            options: export::Options {
                queue_bytes: options.queue_size,
                ..export::Options::default()
            },
            dir: dir.join("remote-write"),
            file: Mutex::default(),
            exporter: OnceLock::new(),
            exemplars: Capacity::new(exemplars),
            problems: Mutex::default(),
        }))
    }

    /// Takes over what a file says.
    pub fn take(self: &Arc<Sending>, config: &Config) {
        *lock(&self.file) = (config.remote_write.clone(), config.external_labels.clone());
        self.exemplars.take(config);
        if self.exporter.get().is_some() {
            let sending = self.clone();
            // Queues that end are waited for.
            tokio::task::spawn_blocking(move || sending.apply());
        }
    }

    /// Whether the store's log must stay until it is sent.
    pub fn is_wanted(&self) -> bool {
        !self.given.is_empty() || !lock(&self.file).0.is_empty()
    }

    /// The store is open: sending begins. Called on a thread of a runtime that may block.
    pub fn opened(&self, db: Db) {
        self.exemplars.opened(db.clone());
        let exporter = Exporter::new(db, &self.dir, self.options.clone());
        let _ = self.exporter.set(exporter); // it is opened once
        self.apply();
    }

    fn apply(&self) {
        let Some(exporter) = self.exporter.get() else { return };
        let (mut endpoints, external) = lock(&self.file).clone();
        endpoints.extend(self.given.iter().cloned());
        let problems = exporter.set(&endpoints, &external);
        problems.iter().for_each(|p| tracing::error!("{p}"));
        *lock(&self.problems) = problems;
    }

    /// Ends sending; what was not sent is sent after the next start.
    pub async fn stop(&self) {
        if let Some(exporter) = self.exporter.get() {
            exporter.stop().await;
        }
    }

    /// What a person should know.
    pub fn notices(&self) -> Vec<Notice> {
        let notice = |what: &str, why: String, remedy: &str| Notice {
            severity: Severity::Warning,
            what: what.into(),
            why,
            remedy: Some(remedy.into()),
        };
        let problems = lock(&self.problems).clone().into_iter();
        let mut notices: Vec<Notice> = problems
            .map(|why| notice("Samples are not sent to an endpoint", why, "Correct its section."))
            .collect();
        let troubles = self.exporter.get().map(|e| e.troubles()).unwrap_or_default();
        notices.extend(troubles.into_iter().map(|why| {
            let remedy = "What the receiver does not answer for is kept and sent later; what it refuses is not.";
            notice("Samples do not arrive at an endpoint", why, remedy)
        }));
        notices
    }

    /// Our own metrics.
    pub fn write(&self, sink: &mut dyn Sink) {
        if let Some(exporter) = self.exporter.get() {
            exporter.write(sink);
        }
    }

    /// Follows a file of which only remote write matters, for ever.
    pub async fn follow(self: Arc<Sending>, file: Arc<ConfigFile>, mut reload: Reload) {
        loop {
            let anyway = reload.wait().await;
            let outcome = match file.again(anyway) {
                None => Ok(()),
                Some(Ok(config)) => {
                    tracing::info!("the configuration file was read again");
                    self.take(&config);
                    Ok(())
                }
                Some(Err(why)) => {
                    tracing::error!("what was read before stays in force: {why}");
                    Err(why)
                }
            };
            reload.done(outcome);
        }
    }
}
