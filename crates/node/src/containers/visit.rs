//! What a round does with one group: asks who it is, reads its files, its processes, its network and
//! its own file system.

use super::container::{Kind, Runtime};
use super::entry::Entry;
use super::labels::LabelSet;
use super::network::parse_net_dev;
use super::reading::{FULL_EVERY_MS, How, Outcome};
use super::runtimes::Found;
use super::state::State;
use crate::Missing;
use kernel::Dir;
use std::time::Instant;

/// In which rounds after it appeared a group's runtime is asked about it, until it knows: its files come
/// after the group.
const ASK_IN_ROUNDS: [u64; 8] = [0, 1, 2, 3, 5, 10, 30, 60];

impl State {
    /// Reads one group.
    pub(super) fn read(&mut self, entry: &mut Entry, procfs: &Dir, at: Instant) {
        // A clock that was set back must not hold this up for as long.
        let until_due = entry.full_due_ms - self.now_ms;
        let full = !(1..=FULL_EVERY_MS).contains(&until_due);
        if full {
            // Groups that came together do not stay together, so that no round has all of it.
            let spread = if entry.age == 0 { (entry.version % 5) as i64 * 1_000 } else { 0 };
            entry.full_due_ms = self.now_ms + FULL_EVERY_MS - spread;
        }
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
            self.read_filesystem(entry, procfs);
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

    /// Reads how much room the container's own file system has, where it has one.
    fn read_filesystem(&mut self, entry: &mut Entry, procfs: &Dir) {
        let Some(pid) = entry.pid.filter(|_| entry.guess.kind == Kind::Container) else { return };
        if entry.filesystem_of != Some(pid) {
            entry.filesystem_of = Some(pid);
            entry.filesystem = self.filesystems.own_root(procfs, pid);
        }
        if let Some(filesystem) = &mut entry.filesystem {
            filesystem.read_space(&procfs.path().join(format!("{pid}/root")));
        }
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
