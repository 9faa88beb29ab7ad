//! All queues: begun, changed and ended as a configuration says, with limits that hold for each.

use crate::meters::{self, Shown};
use crate::queue::{Parts, Queue};
use crate::{Error, lock};
use disk::{Files, Folder};
use model::Sink;
use scrape::config::RemoteWrite;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tsdb::Db;

/// What holds for all queues.
#[derive(Clone, Debug)]
pub struct Options {
    /// So many bytes of the store's log may be kept for a queue; the oldest are dropped first.
    pub queue_bytes: u64,
    /// Certificate authorities, where an endpoint names none.
    pub system_ca_file: PathBuf,
}

impl Default for Options {
    fn default() -> Options {
        Options { queue_bytes: 1 << 30, system_ca_file: scrape::Options::default().system_ca_file }
    }
}

/// Sends what a store takes in.
pub struct Exporter {
    db: Db,
    folder: PathBuf,
    files: Arc<dyn Files>,
    options: Options,
    runtime: Handle,
    queues: Mutex<BTreeMap<String, Queue>>,
    /// Held while queues come and go: until then it is not known what of the log is needed.
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Every endpoint has its queue.
    Complete,
    /// One could not be begun; what it has not sent must stay.
    Incomplete,
    /// All have ended.
    Stopped,
}

/// How often the log's size is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Exporter {
    /// For a store, with what is to survive in `folder`. Called within a tokio runtime, on which
    /// requests run.
    pub fn new(db: Db, folder: &Path, options: Options) -> Arc<Exporter> {
        let exporter = Arc::new(Exporter {
            db,
            folder: folder.to_owned(),
            files: Arc::new(Folder::new(folder)),
            options,
            runtime: Handle::current(),
            queues: Mutex::default(),
            // Until the first endpoints are set nothing of the log may go.
            state: Mutex::new(State::Incomplete),
        });
        let weak = Arc::downgrade(&exporter);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let Some(exporter) = weak.upgrade() else { return };
                // Lists folders; logged within.
                let _ = tokio::task::spawn_blocking(move || {
                    let state = lock(&exporter.state);
                    exporter.look(*state);
                })
                .await;
            }
        });
        exporter
    }

    /// These are the endpoints from now on: queues of others end, and what they have not sent is
    /// gone; a queue whose endpoint changed goes on where it is. Gives what cannot be done.
    ///
    /// Blocks for about a second where queues end; not for a runtime's own thread.
    pub fn set(
        &self,
        endpoints: &[RemoteWrite],
        external: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        let mut state = lock(&self.state);
        if let Err(error) = self.db.keep_log(!endpoints.is_empty()) {
            problems.push(format!("the log cannot be kept for remote write: {error}"));
            return problems;
        }
        let wanted = keyed(endpoints);
        let ending = self.take_out(|key, queue| {
            let shared = &queue.shared;
            let same = wanted.iter().any(|(k, config)| {
                k == key && shared.config == **config && shared.external == *external
            });
            !same || !queue.is_alive()
        });
        ending.iter().for_each(Queue::end);
        ending.into_iter().for_each(Queue::join);
        self.forget_others(&wanted);
        *state = State::Complete;
        for (key, config) in wanted {
            if lock(&self.queues).contains_key(&key) {
                continue;
            }
            match self.begin(&key, config, external) {
                Ok(queue) => drop(lock(&self.queues).insert(key, queue)),
                Err(error) => {
                    *state = State::Incomplete;
                    problems.push(format!("remote write to {}: {error}", config.url));
                }
            }
        }
        self.look(*state);
        problems
    }

    /// The queues that are to end.
    fn take_out(&self, ends: impl Fn(&str, &Queue) -> bool) -> Vec<Queue> {
        let mut queues = lock(&self.queues);
        let keys: Vec<String> =
            queues.iter().filter(|(key, queue)| ends(key, queue)).map(|q| q.0.clone()).collect();
        keys.iter().filter_map(|key| queues.remove(key)).collect()
    }

    fn begin(
        &self,
        key: &str,
        config: &RemoteWrite,
        external: &BTreeMap<String, String>,
    ) -> Result<Queue, Error> {
        tracing::info!("remote write to {}", config.url);
        Queue::begin(Parts {
            db: self.db.clone(),
            files: self.files.clone(),
            dir: dir_of(key),
            config: config.clone(),
            external: external.clone(),
            system_ca_file: self.options.system_ca_file.clone(),
            runtime: self.runtime.clone(),
            seed: RandomState::new().hash_one(key),
        })
    }

    /// Deletes the marks of endpoints that are not there any more.
    fn forget_others(&self, wanted: &[(String, &RemoteWrite)]) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let ours = name.strip_prefix(PREFIX).is_some_and(|n| n.len() == 16);
            if !ours || wanted.iter().any(|(key, _)| dir_of(key) == name) {
                continue;
            }
            tracing::info!("a remote write endpoint is gone; what was not sent to it is dropped");
            if let Err(error) = std::fs::remove_dir_all(entry.path()) {
                tracing::warn!("{}: {error}", entry.path().display());
            }
        }
    }

    /// Gives up what takes too much room, and deletes what of the log nobody needs.
    fn look(&self, state: State) {
        if state == State::Stopped {
            return;
        }
        let sizes = match self.db.log_sizes() {
            Ok(sizes) => sizes,
            Err(error) => return tracing::warn!("{error}"),
        };
        let queues = lock(&self.queues);
        let mut needed = u32::MAX;
        for queue in queues.values() {
            let from = queue.needed();
            needed = needed.min(from);
            let behind: u64 = sizes.iter().filter(|s| s.0 >= from).map(|s| s.1).sum();
            queue.shared.meters.behind_bytes.store(behind, Relaxed);
            if let Some(epoch) = beyond(&sizes, self.options.queue_bytes).filter(|e| *e > from) {
                queue.skip_to(epoch);
            }
        }
        drop(queues);
        if state == State::Complete
            && let Err(error) = self.db.forget_log(needed)
        {
            tracing::warn!("{error}");
        }
    }

    /// Ends all queues; what they have not sent, they send when they begin again.
    pub async fn stop(self: &Arc<Exporter>) {
        let exporter = self.clone();
        let stopped = tokio::task::spawn_blocking(move || {
            let mut state = lock(&exporter.state);
            *state = State::Stopped;
            let queues = exporter.take_out(|_, _| true);
            queues.iter().for_each(Queue::end);
            queues.into_iter().for_each(Queue::join);
        });
        if stopped.await.is_err() {
            tracing::error!("a queue of remote write could not be ended");
        }
    }

    /// What is wrong at present: an endpoint each.
    pub fn troubles(&self) -> Vec<String> {
        let queues = lock(&self.queues);
        let told = queues.values().filter_map(|q| {
            Some(format!("remote write to {}: {}", q.shared.config.url, q.trouble()?))
        });
        told.collect()
    }

    /// Our own metrics.
    pub fn write(&self, sink: &mut dyn Sink) {
        let queues = lock(&self.queues);
        if queues.is_empty() {
            return;
        }
        let shown = queues.values().map(|q| {
            let queue = &q.shared.config.queue;
            Shown {
                name: &q.shared.name,
                url: &q.shared.config.url,
                meters: &q.shared.meters,
                limits: [queue.capacity, queue.max_shards, queue.min_shards, queue.per_send],
            }
        });
        meters::write(&shown.collect::<Vec<_>>(), sink);
    }
}

/// The folder of a queue begins so.
const PREFIX: &str = "queue-";

/// Tells endpoints apart, over changes of everything else: by name, or else by address.
fn keyed(endpoints: &[RemoteWrite]) -> Vec<(String, &RemoteWrite)> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut key = |endpoint: &RemoteWrite| {
        let key = match endpoint.name.is_empty() {
            true => format!("url {}", endpoint.url),
            false => format!("name {}", endpoint.name),
        };
        let count = seen.entry(key.clone()).or_default();
        *count += 1;
        if *count > 1 { format!("{key} {count}") } else { key }
    };
    endpoints.iter().map(|e| (key(e), e)).collect()
}

fn dir_of(key: &str) -> String {
    format!("{PREFIX}{:016x}", xxhash_rust::xxh3::xxh3_64(key.as_bytes()))
}

/// The first epoch of those that fit within `limit` bytes, the newest always among them; `None` where
/// all fit.
fn beyond(sizes: &[(u32, u64)], limit: u64) -> Option<u32> {
    let mut bytes = 0;
    let mut fits = None;
    for (epoch, size) in sizes.iter().rev() {
        bytes += size;
        if bytes > limit && fits.is_some() {
            return fits;
        }
        fits = Some(*epoch);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_epochs_go_first_and_the_newest_never() {
        assert_eq!(beyond(&[], 10), None);
        assert_eq!(beyond(&[(1, 5), (2, 5)], 10), None);
        assert_eq!(beyond(&[(1, 6), (2, 5), (4, 5)], 10), Some(2));
        assert_eq!(beyond(&[(1, 6), (2, 5), (4, 50)], 10), Some(4));
        assert_eq!(beyond(&[(4, 50)], 10), None);
    }

    #[test]
    fn endpoints_are_told_apart() {
        let to = |url: &str, name: &str| RemoteWrite {
            name: name.into(),
            ..RemoteWrite::to(url).expect("an address")
        };
        let all =
            [to("http://a/", ""), to("http://a/", ""), to("http://a/", "x"), to("http://b/", "")];
        let keys: Vec<String> = keyed(&all).into_iter().map(|k| dir_of(&k.0)).collect();
        let mut distinct = keys.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), 4);
        let moved = [to("http://other/", "x")];
        assert_eq!(dir_of(&keyed(&moved)[0].0), keys[2], "a name stays, wherever it sends");
    }
}
