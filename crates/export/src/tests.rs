//! Queues against a receiver that is naive, or hostile.

mod hostile;
mod lossless;
mod messages;
mod receiver;
mod signed_in;

use crate::{Exporter, Options};
use model::{Kind, Labels, Sample, Sink, Value};
use scrape::config::RemoteWrite;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tsdb::Db;

/// A store, and what sends its samples.
struct World {
    folder: TempDir,
    runtime: Runtime,
    db: Db,
    exporter: Arc<Exporter>,
}

fn open_db(folder: &Path) -> Db {
    let options = tsdb::Options { background: false, keep_log: true, ..tsdb::Options::default() };
    Db::open(&folder.join("data"), options).expect("opens")
}

impl World {
    fn new() -> World {
        World::with(Options::default())
    }

    fn with(options: Options) -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Runtime::new().expect("a runtime");
        let db = open_db(folder.path());
        let exporter = World::exporter(&runtime, &db, folder.path(), options);
        World { folder, runtime, db, exporter }
    }

    fn exporter(runtime: &Runtime, db: &Db, folder: &Path, options: Options) -> Arc<Exporter> {
        let _within = runtime.enter();
        Exporter::new(db.clone(), &folder.join("remote-write"), options)
    }

    fn set(&self, endpoints: &[RemoteWrite]) {
        assert_eq!(self.exporter.set(endpoints, &BTreeMap::new()), Vec::<String>::new());
    }

    /// Ends everything and begins again; `kill`: without a word to the store.
    fn restart(&mut self, endpoints: &[RemoteWrite]) {
        self.runtime.block_on(self.exporter.stop());
        self.db.close().expect("closes");
        self.db = open_db(self.folder.path());
        let options = Options::default();
        self.exporter = World::exporter(&self.runtime, &self.db, self.folder.path(), options);
        self.set(endpoints);
    }

    fn append(&self, samples: &[(Labels, Sample)]) {
        let done = self.db.append(samples).expect("appends");
        assert_eq!((done.too_old, done.duplicates), (0, 0));
    }

    /// A metric of ours, all series of it together.
    fn metric(&self, name: &str) -> f64 {
        let mut seen = Seen(Vec::new());
        self.exporter.write(&mut seen);
        seen.0.iter().filter(|s| s.0 == name).map(|s| s.1).sum()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.runtime.block_on(self.exporter.stop());
    }
}

/// The families written, `NAME` or `NAME{REASON}`.
struct Seen(Vec<(String, f64)>);

impl Sink for Seen {
    fn family(&mut self, family: &model::Family<'_>) {
        assert!(family.help.ends_with('.') && family.kind != Kind::Untyped, "{}", family.name);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, _time_ms: Option<i64>) {
        let reason = labels.iter().find(|l| l.0 == "reason");
        let name = reason.map_or(name.to_owned(), |r| format!("{name}{{{}}}", r.1));
        self.0.push((name, value));
    }
}

/// An endpoint that loses no time.
fn quick(url: &str) -> RemoteWrite {
    let mut to = RemoteWrite::to(url).expect("an address");
    to.queue.deadline_ms = 20;
    to.queue.min_backoff_ms = 1;
    to.queue.max_backoff_ms = 10;
    to.queue.per_send = 7;
    to.queue.capacity = 30;
    to.queue.min_shards = 3;
    to.metadata = false;
    to
}

fn series(n: u64) -> Labels {
    let n = n.to_string();
    Labels::from_pairs([("__name__", "m"), ("n", n.as_str())])
}

fn sample(n: u64, time_ms: i64, value: f64) -> (Labels, Sample) {
    (series(n), Sample { time_ms, start_ms: 0, value: Value::Float(value) })
}

/// Waits (60 s) until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 60 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}
