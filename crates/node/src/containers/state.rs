//! The tree of groups: which there are, what they are, and their newest readings.
//!
//! Groups come and go by inotify events, which [`State::handle_events`] takes in; where inotify is not
//! to be had, or events were lost, the tree is walked. Both the rounds and the thread that waits for
//! events work on it, one at a time.

use super::container::{Kind, Runtime};
use super::identify::{Guess, identify};
use super::labels::LabelSet;
use super::machine::{Devices, Filesystems, Machine};
use super::network::parse_net_dev;
use super::reading::{FULL_EVERY, How, Outcome, Rates, Reading, Totals};
use super::runtimes::{Found, Meta, Runtimes};
use crate::Missing;
use kernel::cgroup::cpu::{Cpu, Throttling};
use kernel::cgroup::{Change, Controller, Event, File, Group, Hierarchies, Mode, Reader, Watch};
use kernel::{Dir, Paths};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// How long an ended group stays on the page.
const ENDED_KEPT_MS: i64 = 5 * 60_000;
/// How many ended groups are kept at most.
const ENDED_MAX: usize = 1000;
/// No machine has more; further groups are counted, not read.
pub(super) const GROUPS_MAX: usize = 50_000;
/// In which rounds after it appeared a group's runtime is asked about it, until it knows: its files come
/// after the group.
const ASK_IN_ROUNDS: [u64; 8] = [0, 1, 2, 3, 5, 10, 30, 60];

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
    totals: Totals,
    pub started_ms: i64,
    pub ended_ms: Option<i64>,
    /// Written out once already since it ended.
    ended_rounds: u32,
    /// By hierarchy: whether it has the group.
    present: u16,
    watches: Vec<i32>,
    /// Rounds since it appeared.
    age: u64,
    asked: usize,
    /// Whether processes were seen in it since its last final reading.
    populated: bool,
    /// One of its processes, for its network.
    pid: Option<u32>,
    pub missing: Vec<Missing>,
}

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
    reader: Reader,
    pub watch: Option<Arc<Watch>>,
    watched: HashMap<i32, Watched>,
    /// Walk the tree in the next round: events were lost, or there is no watch.
    walk: bool,
    pub entries: BTreeMap<Key, Entry>,
    runtimes: Runtimes,
    pub machine: Machine,
    pub devices: Devices,
    pub filesystems: Filesystems,
    pub cpu_names: Vec<String>,
    pub final_readings: FinalReadings,
    /// How long ended groups are written out.
    pub ended_shown_ms: i64,
    round: u64,
    versions: u64,
    /// As of which version pods were named.
    named: u64,
    /// Whether the BFQ scheduler has the I/O figures.
    bfq: bool,
    now_ms: i64,
    scratch: Cpu,
    buffer: Vec<u8>,
    pids: Vec<u32>,
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
            round: 0,
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
        let mounts = self.round.is_multiple_of(FULL_EVERY);
        if let Err(e) = self.filesystems.read(procfs, &self.paths, mounts) {
            self.error.get_or_insert(e);
        }
        self.round += 1;
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

    /// Reads one group.
    fn read(&mut self, entry: &mut Entry, procfs: &Dir, at: Instant) {
        let full = entry.age == 0 || (self.round + entry.version).is_multiple_of(FULL_EVERY);
        let how = How {
            time_ms: self.now_ms,
            full,
            bfq: self.bfq,
            last: false,
            is_root: entry.is_root(),
        };
        if ASK_IN_ROUNDS.get(entry.asked).is_some_and(|&round| entry.age >= round) {
            entry.asked += 1;
            self.ask(entry);
        }
        entry.age += 1;
        let outcome = entry.reading.take(
            &self.hierarchies,
            &mut self.reader,
            &mut entry.group,
            &mut self.scratch,
            how,
            &mut self.error,
        );
        if matches!(outcome, Outcome::Vanished) {
            return;
        }
        if full {
            self.count_processes(entry);
        }
        if entry.is_root() {
            self.machine.complete(&mut entry.reading);
        }
        self.read_network(entry, procfs);
        entry.rates = entry.totals.advance(&entry.reading, at);
        let cpus = entry.reading.cpu.per_cpu_ns.len();
        while self.cpu_names.len() < cpus {
            self.cpu_names.push(format!("cpu{:02}", self.cpu_names.len()));
        }
    }

    /// Asks the runtimes who the group is.
    fn ask(&mut self, entry: &mut Entry) {
        let path = entry.group.path();
        let found = match entry.guess.id {
            Some(_) => self.runtimes.find(&entry.guess, path),
            None => Found::No,
        };
        entry.missing.clear();
        match found {
            Found::Yes(meta) => {
                entry.asked = ASK_IN_ROUNDS.len();
                entry.guess.kind = meta.kind;
                entry.guess.runtime = meta.runtime;
                entry.meta = *meta;
            }
            Found::No if entry.guess.kind == Kind::Container => {
                let why = "no runtime's files on this machine name it";
                entry.missing.push(Missing::new("name, image and labels", why));
            }
            Found::No => {}
            Found::Unreadable(missing) => entry.missing.push(missing),
        }
        if entry.guess.runtime == Some(Runtime::Docker) && entry.meta.runtime.is_none() {
            entry.meta.network = true;
        }
        entry.labels = LabelSet::new(path, &entry.meta);
        self.versions += 1;
        entry.version = self.versions;
    }

    /// Counts processes, and remembers one for the network.
    fn count_processes(&mut self, entry: &mut Entry) {
        let mut pids = std::mem::take(&mut self.pids);
        match self.reader.procs(&self.hierarchies, &mut entry.group, &mut pids) {
            Ok(true) => {
                entry.reading.processes = Some(pids.len() as u64);
                if !entry.pid.is_some_and(|pid| pids.contains(&pid)) {
                    entry.pid = pids.first().copied();
                }
            }
            Ok(false) => (entry.reading.processes, entry.pid) = (None, None),
            Err(e) => {
                self.error.get_or_insert(e);
            }
        }
        self.pids = pids;
    }

    /// Reads the interfaces of a group that has some of its own.
    fn read_network(&mut self, entry: &mut Entry, procfs: &Dir) {
        let pid = match (entry.is_root(), entry.meta.network, entry.pid) {
            (true, ..) => 1,
            (false, true, Some(pid)) => pid,
            _ => {
                entry.reading.network = None;
                return;
            }
        };
        if !entry.is_root() && !entry.meta.network_of_host && !own_network(procfs, pid) {
            entry.reading.network = None;
            return;
        }
        let mut interfaces = entry.reading.network.take().unwrap_or_default();
        match procfs.read(&format!("{pid}/net/dev"), &mut self.buffer) {
            Ok(true) => match parse_net_dev(&self.buffer, &mut interfaces) {
                Ok(()) => entry.reading.network = Some(interfaces),
                Err(e) => {
                    let path = procfs.path().join(format!("{pid}/net/dev"));
                    self.error.get_or_insert(e.at(&path));
                }
            },
            Ok(false) => {}
            Err(e) => {
                self.error.get_or_insert(e);
            }
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

/// Whether a process has another network namespace than the machine's first process. Where that may
/// not be known (without root), no: the machine's interfaces must not be counted twice.
fn own_network(procfs: &Dir, pid: u32) -> bool {
    let namespace = |pid: u32| procfs.link(&format!("{pid}/ns/net")).ok().flatten();
    match (namespace(pid), namespace(1)) {
        (Some(own), Some(machine)) => own != machine,
        _ => false,
    }
}

impl Entry {
    fn new(key: &Key, versions: &mut u64) -> Entry {
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
            populated: false,
            pid: None,
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
    fn notice_start(&mut self, h: &Hierarchies, hierarchy: usize, boot_ms: i64, now_ms: i64) {
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

    fn child(&self, name: &str) -> Key {
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
