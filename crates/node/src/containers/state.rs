//! The tree of groups: which there are, what they are, and their newest readings.
//!
//! Groups come and go by inotify events, which [`State::handle_events`] takes in; where inotify is not
//! to be had, or events were lost, the tree is walked. Both the rounds and the thread that waits for
//! events work on it, one at a time.

use super::container::Kind;
use super::entry::{Entry, Key};
use super::labels::LabelSet;
use super::machine::{Devices, Filesystems, Machine};
use super::reading::{FULL_EVERY_MS, How, Outcome, Rates};
use super::runtimes::Runtimes;
use crate::Missing;
use kernel::cgroup::cpu::Cpu;
use kernel::cgroup::{Change, Controller, Event, File, Hierarchies, Mode, Reader, Watch};
use kernel::{Dir, Paths};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// How long an ended group stays on the page.
const ENDED_KEPT_MS: i64 = 5 * 60_000;
/// How many ended groups are kept at most.
const ENDED_MAX: usize = 1000;
/// No machine has more; further groups are counted, not read.
pub(super) const GROUPS_MAX: usize = 50_000;
/// How many groups that ended were read once more when they fell empty, and how many were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FinalReadings {
    /// Read after the last process ended and before the group was removed.
    pub taken: u64,
    /// Removed before they could be read; what they used after the round before is not seen.
    pub late: u64,
}

/// What a watch is on.
#[derive(Debug)]
struct Watched {
    key: Key,
    hierarchy: usize,
    events: bool,
}

/// The tree.
#[derive(Debug)]
pub(super) struct State {
    pub paths: Paths,
    pub hierarchies: Hierarchies,
    /// The places of the hierarchies whose groups are shown.
    shown_hierarchies: Vec<usize>,
    pub(super) reader: Reader,
    pub watch: Option<Arc<Watch>>,
    watched: HashMap<i32, Watched>,
    /// Walk the tree in the next round: events were lost, or there is no watch.
    walk: bool,
    pub entries: BTreeMap<Key, Entry>,
    pub(super) runtimes: Runtimes,
    pub machine: Machine,
    pub devices: Devices,
    pub filesystems: Filesystems,
    pub cpu_names: Vec<String>,
    pub final_readings: FinalReadings,
    /// How long ended groups are written out.
    pub ended_shown_ms: i64,
    /// When the mount table was read.
    mounts_ms: i64,
    pub(super) versions: u64,
    /// As of which version pods were named.
    named: u64,
    /// Whether the BFQ scheduler has the I/O figures.
    pub(super) bfq: bool,
    pub(super) now_ms: i64,
    pub(super) scratch: Cpu,
    pub(super) buffer: Vec<u8>,
    pub(super) pids: Vec<u32>,
    events: Vec<Event>,
    pub error: Option<kernel::Error>,
    failed: bool,
    pub missing: Vec<Missing>,
    left_out: u64,
}

impl State {
    pub fn open(
        paths: &Paths,
        open_files_max: usize,
        ended_shown_ms: i64,
        now_ms: i64,
    ) -> Result<State, kernel::Error> {
        let hierarchies = Hierarchies::detect(paths)?;
        let mut shown_hierarchies: Vec<usize> = [
            Controller::Cpu,
            Controller::Cpuacct,
            Controller::Memory,
            Controller::Io,
            Controller::Pids,
            Controller::Unified,
        ]
        .iter()
        .filter_map(|&c| hierarchies.of(c).map(|(at, _)| at))
        .collect();
        shown_hierarchies.sort_unstable();
        shown_hierarchies.dedup();
        let watch = Watch::new();
        let mut missing = Vec::new();
        if hierarchies.mode() == Mode::Absent {
            let why = format!("no control groups are mounted at {}", paths.cgroupfs.display());
            missing.push(Missing::new("containers and services", why));
        }
        if let Err(e) = &watch {
            missing.push(Missing::new("groups of less than an interval", e.to_string()));
        }
        Ok(State {
            machine: Machine::read(paths, now_ms),
            paths: paths.clone(),
            hierarchies,
            shown_hierarchies,
            reader: Reader::new(open_files_max),
            watch: watch.ok().map(Arc::new),
            watched: HashMap::new(),
            walk: true,
            entries: BTreeMap::new(),
            runtimes: Runtimes::new(&paths.rootfs),
            devices: Devices::default(),
            filesystems: Filesystems::default(),
            cpu_names: Vec::new(),
            final_readings: FinalReadings::default(),
            ended_shown_ms,
            mounts_ms: 0,
            versions: 0,
            named: 0,
            bfq: false,
            now_ms,
            scratch: Cpu::default(),
            buffer: Vec::new(),
            pids: Vec::new(),
            events: Vec::new(),
            error: None,
            failed: false,
            missing,
            left_out: 0,
        })
    }

    /// One round: takes in what came and went, and reads every group.
    pub fn collect(&mut self, procfs: &Dir, sysfs: Option<&Dir>, now_ms: i64) {
        self.now_ms = now_ms;
        self.error = None;
        self.handle_events(now_ms);
        if self.walk {
            self.walk();
        }
        self.forget_ended();
        self.bfq = self.bfq_has_figures();
        let at = Instant::now();
        let mut entries = std::mem::take(&mut self.entries);
        for entry in entries.values_mut().filter(|e| e.ended_ms.is_none()) {
            self.read(entry, procfs, at);
            self.devices.learn(sysfs, &entry.reading);
        }
        self.entries = entries;
        self.name_pods();
        let since = now_ms - self.mounts_ms;
        let mounts = !(0..FULL_EVERY_MS).contains(&since);
        if mounts {
            self.mounts_ms = now_ms;
        }
        if let Err(e) = self.filesystems.read(procfs, &self.paths, mounts) {
            self.error.get_or_insert(e);
        }
        self.failed = self.error.is_some();
    }

    /// The entries that are written out: those that were read, and for a while those that ended.
    pub fn shown(&self) -> impl Iterator<Item = &Entry> {
        let (now, kept) = (self.now_ms, self.ended_shown_ms);
        self.entries.values().filter(move |e| match e.ended_ms {
            None => e.reading.time_ms > 0,
            Some(ended) => e.reading.time_ms > 0 && (e.ended_rounds <= 1 || now - ended < kept),
        })
    }

    /// Whether something could not be read in the newest round.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Which groups are left out of the tree for their number.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Takes in the events that are there; of a flood, a part, so that nobody can hold a round up.
    pub fn handle_events(&mut self, now_ms: i64) {
        const AT_ONCE: usize = 256;
        const TIMES: usize = 16;
        let Some(watch) = self.watch.clone() else { return };
        let mut events = std::mem::take(&mut self.events);
        for _ in 0..TIMES {
            if let Err(e) = watch.read(AT_ONCE, &mut events) {
                self.error.get_or_insert(e);
                self.walk = true;
                break;
            }
            if events.is_empty() {
                break;
            }
            for event in events.drain(..) {
                self.handle(event, now_ms);
            }
        }
        self.events = events;
    }

    fn handle(&mut self, event: Event, now_ms: i64) {
        if event.change == Change::Lost {
            self.walk = true;
            return;
        }
        if event.change == Change::Gone {
            if let Some(watched) = self.watched.remove(&event.watch)
                && let Some(entry) = self.entries.get_mut(&watched.key)
            {
                entry.watches.retain(|w| *w != event.watch);
                if !watched.events {
                    self.disappeared(&watched.key, watched.hierarchy, now_ms);
                }
            }
            return;
        }
        let Some(watched) = self.watched.get(&event.watch) else { return };
        let (key, hierarchy) = (watched.key.clone(), watched.hierarchy);
        match event.change {
            Change::Appeared(name) => self.appeared(key.child(&name), hierarchy, now_ms),
            Change::Disappeared(name) => self.disappeared(&key.child(&name), hierarchy, now_ms),
            Change::Modified => self.population_changed(&key, now_ms),
            Change::Gone | Change::Lost => {}
        }
    }

    /// A group came into being in one hierarchy: adds it and what is below it.
    fn appeared(&mut self, key: Key, hierarchy: usize, now_ms: i64) {
        if !self.entries.contains_key(&key) && self.entries.len() >= GROUPS_MAX {
            self.left_out += 1;
            return;
        }
        let versions = &mut self.versions;
        let entry = self.entries.entry(key.clone()).or_insert_with(|| Entry::new(&key, versions));
        if entry.ended_ms.is_some() {
            // Another one by the same name.
            *entry = Entry::new(&key, &mut self.versions);
        }
        if entry.present & (1 << hierarchy) != 0 {
            return;
        }
        entry.present |= 1 << hierarchy;
        entry.notice_start(&self.hierarchies, hierarchy, self.machine.boot_ms, now_ms);
        self.add_watches(&key, hierarchy);
        let mut names = Vec::new();
        match self.hierarchies.children(hierarchy, key.path(), &mut names) {
            Ok(_) => {}
            Err(e) => {
                self.error.get_or_insert(e);
            }
        }
        for name in names {
            self.appeared(key.child(&name), hierarchy, now_ms);
        }
    }

    /// Watches a group's children in one hierarchy, and on a v2 side whether it is empty.
    fn add_watches(&mut self, key: &Key, hierarchy: usize) {
        let Some(watch) = self.watch.clone() else { return };
        let is_v2 = self.hierarchies.all()[hierarchy].is_v2;
        let folder = watch.add_group(&self.hierarchies, hierarchy, key.path());
        let events = match is_v2 && key.path() != "/" {
            true => watch.add_events(&self.hierarchies, hierarchy, key.path()),
            false => Ok(None),
        };
        for (added, events) in [(folder, false), (events, true)] {
            match added {
                Ok(Some(number)) => {
                    let watched = Watched { key: key.clone(), hierarchy, events };
                    self.watched.insert(number, watched);
                    if let Some(entry) = self.entries.get_mut(key) {
                        entry.watches.push(number);
                    }
                }
                Ok(None) => {}
                Err(e) => self.give_up_watching(&e),
            }
        }
        if is_v2 && let Some(entry) = self.entries.get_mut(key) {
            let populated = self.reader.populated(&self.hierarchies, &mut entry.group);
            entry.populated = populated.ok().flatten().unwrap_or(false);
        }
    }

    /// This user's watches are used up: half a watch would miss groups without a word.
    fn give_up_watching(&mut self, error: &kernel::Error) {
        let missing = Missing::new("groups of less than an interval", error.to_string())
            .with_remedy("raise fs.inotify.max_user_watches (sysctl) and start anew");
        self.missing.push(missing);
        self.watch = None;
        self.watched.clear();
        self.walk = true;
    }

    fn disappeared(&mut self, key: &Key, hierarchy: usize, now_ms: i64) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.present &= !(1 << hierarchy);
        if entry.present != 0 || entry.ended_ms.is_some() {
            return;
        }
        entry.ended_ms = Some(now_ms);
        entry.rates = Rates::default();
        self.versions += 1;
        entry.version = self.versions;
        // One that came and went without a look at it may have run as well.
        if entry.populated || entry.reading.time_ms == 0 {
            self.final_readings.late += 1;
        }
        self.reader.release(&mut entry.group);
        for number in std::mem::take(&mut entry.watches) {
            self.watched.remove(&number);
        }
    }

    /// cgroup.events changed: a group that fell empty is read once more before it is removed.
    fn population_changed(&mut self, key: &Key, now_ms: i64) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        match self.reader.populated(&self.hierarchies, &mut entry.group) {
            Ok(Some(true)) => entry.populated = true,
            // No answer: its v2 folder is gone already, so it is empty; v1's may still be there.
            Ok(Some(false) | None) if entry.populated && entry.ended_ms.is_none() => {
                let how =
                    How { time_ms: now_ms, full: true, bfq: self.bfq, last: true, is_root: false };
                let outcome = entry.reading.take(
                    &self.hierarchies,
                    &mut self.reader,
                    &mut entry.group,
                    &mut self.scratch,
                    how,
                    &mut self.error,
                );
                // A reading without CPU time came after that hierarchy's folder had gone.
                let whole = entry.reading.cpu.usage_ns.is_some();
                if matches!(outcome, Outcome::Read) && whole {
                    entry.populated = false;
                    self.final_readings.taken += 1;
                }
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Brings the tree in line with all hierarchies by walking them.
    fn walk(&mut self) {
        self.walk = self.watch.is_none();
        let now_ms = self.now_ms;
        let mut names = Vec::new();
        for at in self.shown_hierarchies.clone() {
            let known: Vec<Key> = self.entries.keys().cloned().collect();
            for key in known {
                let has = self.entries.get(&key).is_some_and(|e| e.present & (1 << at) != 0);
                if !has {
                    continue;
                }
                match self.hierarchies.children(at, key.path(), &mut names) {
                    Ok(true) => {
                        for name in &names {
                            self.appeared(key.child(name), at, now_ms);
                        }
                    }
                    Ok(false) => self.disappeared(&key, at, now_ms),
                    Err(e) => {
                        self.error.get_or_insert(e);
                    }
                }
            }
            self.appeared(Key::new("/"), at, now_ms);
        }
        self.walk |= self.watch.is_none();
    }

    /// Lets go of groups that ended long ago, and of the oldest where very many did.
    fn forget_ended(&mut self) {
        let mut oldest = self.now_ms - ENDED_KEPT_MS;
        let mut ended: Vec<i64> = Vec::new();
        for entry in self.entries.values_mut() {
            if let Some(ended_ms) = entry.ended_ms {
                entry.ended_rounds += 1;
                ended.push(ended_ms);
            }
        }
        if ended.len() > ENDED_MAX {
            let at = ended.len() - ENDED_MAX;
            oldest = oldest.max(*ended.select_nth_unstable(at).1);
        }
        if ended.iter().any(|&e| e <= oldest) {
            self.entries.retain(|_, entry| entry.ended_ms.is_none_or(|e| e > oldest));
        }
    }

    /// On v1, whether the BFQ scheduler has the I/O figures: then the root group shows some.
    fn bfq_has_figures(&mut self) -> bool {
        let root = self.entries.get_mut(&Key::new("/"));
        let Some(root) = root.filter(|_| self.hierarchies.mode() != Mode::V2) else { return false };
        let read = self.reader.read(&self.hierarchies, &mut root.group, File::BfqBytes);
        // The sum line alone is no figure.
        read.is_ok_and(|r| r.is_some_and(|(bytes, _)| bytes.contains(&b':')))
    }

    /// A pod's own group gets the names that its sandbox and containers know.
    fn name_pods(&mut self) {
        if self.named == self.versions {
            return;
        }
        let mut names: Vec<(Key, String, String)> = Vec::new();
        for (key, entry) in &self.entries {
            if entry.meta.pod.is_empty() || entry.guess.kind == Kind::Pod {
                continue;
            }
            let Some(parent) = key.parent().map(Key::new) else { continue };
            let unnamed = |e: &Entry| e.guess.kind == Kind::Pod && e.meta.pod.is_empty();
            if self.entries.get(&parent).is_some_and(unnamed) {
                names.push((parent, entry.meta.namespace.clone(), entry.meta.pod.clone()));
            }
        }
        for (key, namespace, pod) in names {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            (entry.meta.namespace, entry.meta.pod) = (namespace, pod);
            entry.labels = LabelSet::new(key.path(), &entry.meta);
            self.versions += 1;
            entry.version = self.versions;
        }
        self.named = self.versions;
    }
}
