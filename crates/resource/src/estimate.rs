//! The estimator: what a workload's containers need, from what they used: peak, p95 and p99 of CPU
//! and memory, kept by workload, so that restarts and new pods lose nothing.
//!
//! Decaying histograms as the Vertical Pod Autoscaler has them (buckets 5 % apart, half-life 24 h),
//! with buckets fine enough for small containers, weighted by time, interpolated; the peak is the
//! greatest of the last 8 days. docs/estimates.md has names, windows and memory. No I/O and no clock
//! here: observations bring their times, and a caller keeps the bytes of [`Estimates::save`].

mod file;
mod histogram;
mod metrics;
mod observe;
mod proposal;
mod usage;

pub use observe::{Images, observe_all, workload_of};
pub use proposal::{Proposal, propose};

use crate::Error;
use hashbrown::{Equivalent, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use usage::Used;

/// How estimates are kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// What was measured so long ago counts half.
    pub half_life: Duration,
    /// A workload that was not seen for so long is forgotten.
    pub forget: Duration,
    /// At most so many containers of workloads are kept; further ones are not estimated.
    pub most: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            half_life: Duration::from_secs(24 * 3600),
            forget: Duration::from_secs(14 * 24 * 3600),
            most: 200_000,
        }
    }
}

/// A container of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Workload<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `CronJob`, …; `Pod` for a pod of its own.
    pub kind: &'a str,
    /// The workload's name.
    pub name: &'a str,
    /// The container's name.
    pub container: &'a str,
}

/// What a container used over a time.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Of which workload it is.
    pub workload: Workload<'a>,
    /// Its image, where known.
    pub image: Option<&'a str>,
    /// The end of the time, in milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// How long the time was, in seconds.
    pub seconds: f64,
    /// Cores, on average over the time.
    pub cpu_cores: f64,
    /// Bytes of the working set.
    pub memory_bytes: f64,
}

/// Statistics of one resource: cores, or bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Half of the time less was used.
    pub p50: f64,
    /// 95 % of the time less was used.
    pub p95: f64,
    /// 99 % of the time less was used.
    pub p99: f64,
    /// The most of the last 8 days.
    pub peak: f64,
}

/// What is known of a container of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Its namespace; empty for an image's.
    pub namespace: String,
    /// The workload's kind; empty for an image's.
    pub kind: String,
    /// The workload's name; empty for an image's.
    pub name: String,
    /// The container's name; empty for an image's.
    pub container: String,
    /// The image that was seen last; empty where unknown.
    pub image: String,
    /// Cores.
    pub cpu: Statistics,
    /// Bytes.
    pub memory: Statistics,
    /// The first observation, in milliseconds since the Unix epoch.
    pub first_ms: i64,
    /// The newest observation.
    pub last_ms: i64,
    /// Container seconds that were observed, all replicas together.
    pub observed_seconds: f64,
}

/// The estimates of all workloads.
pub struct Estimates {
    options: Options,
    all: Mutex<HashMap<Key, Entry>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key([Arc<str>; 4]);

struct Entry {
    image: Option<Arc<str>>,
    used: Used,
}

impl Key {
    fn workload(&self) -> Workload<'_> {
        let [namespace, kind, name, container] = &self.0;
        Workload { namespace, kind, name, container }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.workload().hash(state);
    }
}

impl Equivalent<Key> for Workload<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.workload()
    }
}

impl Estimates {
    /// Nothing known yet.
    pub fn new(options: Options) -> Estimates {
        Estimates { options, all: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn half_life_ms(&self) -> f64 {
        (self.options.half_life.as_millis() as f64).max(1.0)
    }

    /// Takes an observation in. One that is older than the newest of its workload counts as much as its
    /// age says; one without a length, or with values that are no numbers, is left out.
    pub fn observe(&self, observation: &Observation<'_>) {
        let Observation { workload, image, time_ms, seconds, cpu_cores, memory_bytes } =
            *observation;
        let sane = |value: f64| value.is_finite() && value >= 0.0;
        if !sane(cpu_cores)
            || !sane(memory_bytes)
            || !(0.0..=3600.0).contains(&seconds)
            || seconds == 0.0
        {
            return;
        }
        let mut all = self.lock();
        if !all.contains_key(&workload) {
            if all.len() >= self.options.most {
                return;
            }
            let Workload { namespace, kind, name, container } = workload;
            let key = Key([namespace, kind, name, container].map(Arc::from));
            all.insert(key, Entry { image: None, used: Used::new(time_ms) });
        }
        let Some(entry) = all.get_mut(&workload) else { return };
        if let Some(image) = image
            && entry.image.as_deref() != Some(image)
        {
            entry.image = Some(Arc::from(image));
        }
        entry.used.add(time_ms, seconds, cpu_cores, memory_bytes, self.half_life_ms());
    }

    /// Forgets workloads that were not seen for long.
    pub fn forget(&self, now_ms: i64) {
        let oldest = now_ms.saturating_sub(self.options.forget.as_millis() as i64);
        self.lock().retain(|_, entry| entry.used.last_ms >= oldest);
    }

    /// How many containers of workloads are known.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that all of it takes, about.
    pub fn memory_bytes(&self) -> usize {
        let all = self.lock();
        let text = |key: &Key| key.0.iter().map(|t| t.len() + 16).sum::<usize>();
        let entries: usize = all.iter().map(|(key, e)| text(key) + e.used.heap_bytes()).sum();
        entries + all.capacity() * (size_of::<Key>() + size_of::<Entry>() + 1)
    }

    /// The estimates at a time, of one namespace or of all, sorted by namespace, workload and container.
    pub fn list(&self, namespace: Option<&str>, now_ms: i64) -> Vec<Estimate> {
        let all = self.lock();
        let wanted = |key: &Key| namespace.is_none_or(|n| *key.0[0] == *n);
        let mut found: Vec<(&Key, &Entry)> = all.iter().filter(|e| wanted(e.0)).collect();
        found.sort_by(|a, b| a.0.cmp(b.0));
        found.into_iter().map(|(key, entry)| entry.estimate(key, now_ms)).collect()
    }

    /// What is known of an image, from all workloads that run it: where there is less than a day of the
    /// very image, of its repository whatever the tag. `None` where nothing ran it.
    pub fn of_image(&self, image: &str, now_ms: i64) -> Option<Estimate> {
        const DAY: f64 = 24.0 * 3600.0;
        let exact = self.merged(now_ms, |known| known == image);
        if let Some(exact) = &exact
            && exact.observed_seconds >= DAY
        {
            return Some(exact.clone().of(image));
        }
        let wanted = repository(image);
        let found = self.merged(now_ms, |known| repository(known) == wanted);
        Some(found.or(exact)?.of(image))
    }

    fn merged(&self, now_ms: i64, takes: impl Fn(&str) -> bool) -> Option<Estimate> {
        let all = self.lock();
        let mut merged: Option<Used> = None;
        for entry in all.values().filter(|e| e.image.as_deref().is_some_and(&takes)) {
            match &mut merged {
                None => merged = Some(entry.used.clone()),
                Some(merged) => merged.merge(&entry.used, self.half_life_ms()),
            }
        }
        let used = merged?;
        let none = || Key([""; 4].map(Arc::from));
        Some(Entry { image: None, used }.estimate(&none(), now_ms))
    }

    /// Appends everything as a file: docs/formats/estimates.md.
    pub fn save(&self, out: &mut Vec<u8>) {
        let all = self.lock();
        let mut sorted: Vec<(&Key, &Entry)> = all.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(b.0));
        file::write(&sorted, out);
    }

    /// Takes over what an earlier run saved; what is known already stays as it is. Gives how many
    /// containers of workloads the file had. Nothing is changed where the file is damaged.
    pub fn load(&self, bytes: &[u8]) -> Result<usize, Error> {
        let read = file::read(bytes)?;
        let count = read.len();
        let mut all = self.lock();
        for (key, entry) in read.into_iter().take(self.options.most) {
            all.entry(key).or_insert(entry);
        }
        Ok(count)
    }
}

impl Estimate {
    fn of(mut self, image: &str) -> Estimate {
        image.clone_into(&mut self.image);
        self
    }
}

impl Entry {
    fn estimate(&self, key: &Key, now_ms: i64) -> Estimate {
        let Workload { namespace, kind, name, container } = key.workload();
        Estimate {
            namespace: namespace.into(),
            kind: kind.into(),
            name: name.into(),
            container: container.into(),
            image: self.image.as_deref().unwrap_or("").into(),
            cpu: self.used.cpu(now_ms),
            memory: self.used.memory(now_ms),
            first_ms: self.used.first_ms,
            last_ms: self.used.last_ms,
            observed_seconds: self.used.observed_seconds,
        }
    }
}

/// An image without its tag and its digest.
fn repository(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |i| i.0);
    let path = image.rfind('/').map_or(0, |at| at + 1);
    match image[path..].find(':') {
        Some(colon) => &image[..path + colon],
        None => image,
    }
}

#[cfg(test)]
mod tests;
