//! Kubelets' answers as series, under the labels that kube-prometheus gives them: what is read for the
//! core pipeline is kept in the store of series too.

use crate::reader::{Recorder, Round};
use cluster::Node;
use model::exposition::{Syntax, read};
use model::{Family, Kind, Labels, Sink};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tsdb::{Db, Group};

/// The labels of samples that do not have them themselves, as those of containers do.
const OWN: [(&str, &str); 1] = [("namespace", "kube-system")];

/// Writes answers to a store of series.
pub struct Series {
    db: Db,
    groups: Mutex<HashMap<Arc<str>, Arc<Mutex<Target>>>>,
}

struct Target {
    instance: String,
    path: String,
    group: Group,
    had: usize,
}

impl Series {
    /// Into this store.
    pub fn new(db: Db) -> Series {
        Series { db, groups: Mutex::default() }
    }

    fn target(&self, node: &Node, round: &Round<'_>) -> Arc<Mutex<Target>> {
        let mut groups = lock(&self.groups);
        if let Some(target) = groups.get(&node.name) {
            let known = lock(target);
            let same = known.instance == round.instance && known.path == round.path;
            drop(known);
            if same {
                return target.clone();
            }
            // At another address it is another target: the old series end.
            end(target, round.time_ms);
        }
        let labels = Labels::from_pairs([
            ("endpoint", "https-metrics"),
            ("instance", round.instance),
            ("job", "kubelet"),
            ("metrics_path", round.path),
            ("node", &node.name),
            ("service", "kubelet"),
        ]);
        let target = Arc::new(Mutex::new(Target {
            instance: round.instance.into(),
            path: round.path.into(),
            group: self.db.group(&labels),
            had: 0,
        }));
        groups.insert(node.name.clone(), target.clone());
        target
    }
}

impl Recorder for Series {
    fn record(&self, node: &Node, round: &Round<'_>) {
        let target = self.target(node, round);
        let mut target = lock(&target);
        let families = round.body.and_then(|body| read(body, Syntax::Text).ok());
        let Target { group, had, .. } = &mut *target;
        let mut batch = group.begin(round.time_ms);
        let mut sink = Labelled { inner: &mut batch, samples: 0 };
        for family in families.iter().flatten() {
            family.write(&mut sink);
        }
        let samples = sink.samples;
        let own = [
            ("up", f64::from(u8::from(families.is_some()))),
            ("scrape_duration_seconds", round.took.as_secs_f64()),
            ("scrape_samples_scraped", samples as f64),
            ("scrape_samples_post_metric_relabeling", samples as f64),
            ("scrape_series_added", samples.saturating_sub(*had) as f64),
        ];
        for (name, value) in own {
            sink.family(&Family { name, help: "", kind: Kind::Gauge, unit: "" });
            sink.sample(name, &[], value, None);
        }
        *had = samples;
        if let Err(error) = batch.commit() {
            tracing::warn!(node = %node.name, %error, "cannot keep what a kubelet said");
        }
    }

    fn gone(&self, node: &str, time_ms: i64) {
        if let Some(target) = lock(&self.groups).remove(node) {
            end(&target, time_ms);
        }
    }
}

fn end(target: &Mutex<Target>, time_ms: i64) {
    if let Err(error) = lock(target).group.end(time_ms) {
        tracing::warn!(%error, "cannot end the series of a kubelet");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds the labels that a sample lacks.
struct Labelled<'a> {
    inner: &'a mut dyn Sink,
    samples: usize,
}

impl Sink for Labelled<'_> {
    fn family(&mut self, family: &Family<'_>) {
        self.inner.family(family);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, time_ms: Option<i64>) {
        self.samples += 1;
        if labels.iter().any(|l| l.0 == OWN[0].0) {
            return self.inner.sample(name, labels, value, time_ms);
        }
        let mut all: Vec<(&str, &str)> = labels.iter().chain(&OWN).copied().collect();
        all.sort_unstable();
        self.inner.sample(name, &all, value, time_ms);
    }
}
