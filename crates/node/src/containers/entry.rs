//! One group as the tree knows it, and its path as a key that sorts parents before children.

use super::identify::{Guess, identify};
use super::labels::LabelSet;
use super::machine::Filesystem;
use super::reading::{Rates, Reading, Totals};
use super::runtimes::Meta;
use crate::Missing;
use kernel::cgroup::cpu::Throttling;
use kernel::cgroup::{Group, Hierarchies};
use std::cmp::Ordering;
use std::sync::Arc;

/// A path that sorts parents before children and children together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(Arc<str>);

/// One group.
#[derive(Debug)]
pub(super) struct Entry {
    pub group: Group,
    pub guess: Guess,
    pub meta: Meta,
    pub labels: LabelSet,
    /// Changes whenever something changes that is not a figure.
    pub version: u64,
    pub reading: Reading,
    pub rates: Rates,
    pub totals: Totals,
    pub started_ms: i64,
    pub ended_ms: Option<i64>,
    /// Written out once already since it ended.
    pub ended_rounds: u32,
    /// By hierarchy: whether it has the group.
    pub present: u16,
    pub watches: Vec<i32>,
    /// Rounds since it appeared.
    pub age: u64,
    pub asked: usize,
    /// When everything is read again.
    pub full_due_ms: i64,
    /// Whether processes were seen in it since its last final reading.
    pub populated: bool,
    /// One of its processes, for its network.
    pub pid: Option<u32>,
    /// Its own file system, and for which process that was found out.
    pub filesystem: Option<Filesystem>,
    pub filesystem_of: Option<u32>,
    pub missing: Vec<Missing>,
}

impl Entry {
    pub fn new(key: &Key, versions: &mut u64) -> Entry {
        *versions += 1;
        let meta = Meta { health: -1, ..Meta::default() };
        Entry {
            group: Group::new(key.path()),
            guess: identify(key.path()),
            labels: LabelSet::new(key.path(), &meta),
            meta,
            version: *versions,
            reading: Reading::default(),
            rates: Rates::default(),
            totals: Totals::default(),
            started_ms: i64::MAX,
            ended_ms: None,
            ended_rounds: 0,
            present: 0,
            watches: Vec::new(),
            age: 0,
            asked: 0,
            full_due_ms: 0,
            populated: false,
            pid: None,
            filesystem: None,
            filesystem_of: None,
            missing: Vec::new(),
        }
    }

    pub fn is_root(&self) -> bool {
        self.group.path() == "/"
    }

    /// The throttling, where there is a quota.
    pub fn throttling(&self) -> Option<Throttling> {
        self.reading
            .throttling
            .filter(|_| self.reading.cpu_limits.is_some_and(|l| l.quota_us.is_some_and(|q| q > 0)))
    }

    /// Seconds in which all tasks were stalled for CPU, memory or I/O.
    pub fn stalled(&self, resource: usize) -> Option<f64> {
        let pressure = self.reading.pressure[resource]?;
        Some(pressure.full?.total_us as f64 / 1e6)
    }

    /// Seconds in which some task was.
    pub fn waiting(&self, resource: usize) -> Option<f64> {
        Some(self.reading.pressure[resource]?.some.total_us as f64 / 1e6)
    }

    /// The oldest of the modification times of its folders and of a file in each that is not modified
    /// later (a folder is, by a new child), but not before the machine booted.
    pub fn notice_start(&mut self, h: &Hierarchies, hierarchy: usize, boot_ms: i64, now_ms: i64) {
        let file = match h.all()[hierarchy].is_v2 {
            true => "cgroup.events",
            false => "cgroup.clone_children",
        };
        let path = self.group.path();
        let times = [
            h.modified_ms(hierarchy, path),
            h.modified_ms(hierarchy, &format!("{}/{file}", path.trim_end_matches('/'))),
            Some(now_ms),
        ];
        let oldest = times.into_iter().flatten().min().unwrap_or(now_ms);
        self.started_ms = self.started_ms.min(oldest).max(boot_ms);
    }
}

impl Key {
    pub fn new(path: &str) -> Key {
        Key(path.into())
    }

    pub fn path(&self) -> &str {
        &self.0
    }

    pub fn child(&self, name: &str) -> Key {
        Key(format!("{}/{name}", self.0.trim_end_matches('/')).into())
    }

    /// The path of the group above; none for the root.
    pub fn parent(&self) -> Option<&str> {
        let (parent, name) = self.0.rsplit_once('/')?;
        if name.is_empty() { None } else { Some(if parent.is_empty() { "/" } else { parent }) }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        // The slash before all else, so that a group's children follow it at once.
        let rank = |b: u8| if b == b'/' { 0 } else { b };
        self.0.bytes().map(rank).cmp(other.0.bytes().map(rank))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
