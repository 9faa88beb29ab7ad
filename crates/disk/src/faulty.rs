//! Files in memory that fail as bad disks and power cuts make them fail, from a seed.
//!
//! What the program sees (the kernel's view) and what is safe (the disk's view) are kept apart:
//! [`Faulty::kill`] is a crash of the program, [`Faulty::power_cut`] one of the machine, after
//! which each 512-byte sector and each name that no fsync covered is there or not as the seed has
//! it. A failed fsync forgets which sectors were to be written, as Linux does.

use crate::files::{Entry, File, Files, Map};
use crate::seed::Seed;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

const SECTOR: usize = 512;

/// What goes wrong, and how often.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// After so many more operations each one fails, the one at the limit half done.
    pub crash_after: Option<u64>,
    /// So many of a hundred appends write a part only (which is no error).
    pub short_appends: u64,
    /// So many of a hundred appends fail with EIO, a part written.
    pub failed_appends: u64,
    /// So many of a hundred fsyncs fail with EIO.
    pub failed_syncs: u64,
    /// All files together may have so many bytes; beyond, appends fail with ENOSPC.
    pub capacity: Option<u64>,
    /// For tests that must fail: fsync of a file says that it was done and does nothing.
    pub skip_syncs: bool,
}

/// A folder of faulty files. Clones share it.
#[derive(Clone)]
pub struct Faulty(Arc<Mutex<State>>);

#[derive(Clone)]
struct State {
    seed: Seed,
    faults: Faults,
    crashed: bool,
    operations: u64,
    nodes: Vec<Node>,
    /// Names as the kernel has them, and as the disk has them.
    names: BTreeMap<String, usize>,
    safe_names: BTreeMap<String, usize>,
    /// Changes of names that no fsync of their folder covers, in order.
    pending: Vec<Change>,
}

#[derive(Clone, Default)]
struct Node {
    data: Vec<u8>,
    safe: Vec<u8>,
    /// Sectors that the next fsync writes.
    dirty: BTreeSet<usize>,
}

#[derive(Clone)]
enum Change {
    Put(String, usize),
    Remove(String),
}

impl Change {
    fn name(&self) -> &str {
        match self {
            Change::Put(name, _) | Change::Remove(name) => name,
        }
    }

    fn apply(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Change::Put(name, node) => names.insert(name, node),
            Change::Remove(name) => names.remove(&name),
        };
    }
}

fn dir_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |p| p.0)
}

impl Faulty {
    /// An empty folder whose faults come from `seed`.
    pub fn new(seed: u64) -> Faulty {
        Faulty(Arc::new(Mutex::new(State {
            seed: Seed::new(seed),
            faults: Faults::default(),
            crashed: false,
            operations: 0,
            nodes: Vec::new(),
            names: BTreeMap::new(),
            safe_names: BTreeMap::new(),
            pending: Vec::new(),
        })))
    }

    /// Sets what goes wrong from now on.
    pub fn set(&self, faults: Faults) {
        crate::lock(&self.0).faults = faults;
    }

    /// Whether the crash that was asked for has come.
    pub fn crashed(&self) -> bool {
        crate::lock(&self.0).crashed
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        crate::lock(&self.0).operations
    }

    /// The folder as the next process finds it after the program was killed.
    pub fn kill(&self) -> Faulty {
        let mut state = crate::lock(&self.0).clone();
        state.faults = Faults::default();
        state.crashed = false;
        Faulty(Arc::new(Mutex::new(state)))
    }

    /// The folder as the next boot finds it after the power went.
    pub fn power_cut(&self) -> Faulty {
        let mut state = crate::lock(&self.0).clone();
        state.faults = Faults::default();
        state.crashed = false;
        let mut names = std::mem::take(&mut state.safe_names);
        for change in std::mem::take(&mut state.pending) {
            if state.seed.percent(50) {
                change.apply(&mut names);
            }
        }
        for node in &mut state.nodes {
            node.lose_power(&mut state.seed);
        }
        state.safe_names = names.clone();
        state.names = names;
        Faulty(Arc::new(Mutex::new(state)))
    }

    /// Flips one bit of a file, in both views.
    pub fn flip(&self, path: &str, byte: usize, bit: u8) {
        let mut state = crate::lock(&self.0);
        if let Some(node) = state.names.get(path).copied() {
            let node = &mut state.nodes[node];
            for view in [&mut node.data, &mut node.safe] {
                if let Some(b) = view.get_mut(byte) {
                    *b ^= 1 << (bit % 8);
                }
            }
        }
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<String> {
        crate::lock(&self.0).names.keys().cloned().collect()
    }

    fn operate<T>(&self, run: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = crate::lock(&self.0);
        state.step()?;
        run(&mut state)
    }
}

impl State {
    /// Counts an operation, and fails from the crash on.
    fn step(&mut self) -> io::Result<()> {
        self.operations += 1;
        match &mut self.faults.crash_after {
            _ if self.crashed => Err(crash()),
            Some(0) => {
                self.crashed = true;
                Err(crash())
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn node(&self, path: &str) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.names);
        self.pending.push(change);
    }

    fn used(&self) -> u64 {
        self.names.values().map(|n| self.nodes[*n].data.len() as u64).sum()
    }
}

fn crash() -> io::Error {
    io::Error::other("crashed here")
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl Node {
    fn append(&mut self, bytes: &[u8]) {
        let from = self.data.len();
        self.data.extend_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(from / SECTOR..=(self.data.len() - 1) / SECTOR);
        }
    }

    fn sync(&mut self) {
        self.safe.resize(self.data.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.data.len());
            if from < to {
                self.safe[from..to].copy_from_slice(&self.data[from..to]);
            }
        }
    }

    fn lose_power(&mut self, seed: &mut Seed) {
        let (short, long) =
            (self.safe.len().min(self.data.len()), self.safe.len().max(self.data.len()));
        if self.data.len() != self.safe.len() && !self.dirty.is_empty() {
            let len = short + seed.below((long - short + 1) as u64) as usize;
            self.safe.resize(len, 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.data.len()).min(self.safe.len());
            if from < to && seed.percent(50) {
                self.safe[from..to].copy_from_slice(&self.data[from..to]);
            }
        }
        self.data.clone_from(&self.safe);
    }
}

struct Handle {
    folder: Faulty,
    node: usize,
}

impl File for Handle {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = crate::lock(&self.folder.0);
        let was_crashed = state.crashed;
        let stepped = state.step();
        let some = state.seed.below(bytes.len() as u64) as usize;
        let room = state.faults.capacity.map(|c| c.saturating_sub(state.used()) as usize);
        let (short, fail) = (state.faults.short_appends, state.faults.failed_appends);
        let (short, fail) = (state.seed.percent(short), state.seed.percent(fail));
        let node = &mut state.nodes[self.node];
        if let Err(e) = stepped {
            if !was_crashed {
                node.append(&bytes[..some]);
            }
            return Err(e);
        }
        if let Some(room) = room.filter(|r| *r < bytes.len()) {
            node.append(&bytes[..room]);
            return if room > 0 { Ok(room) } else { Err(io::Error::from_raw_os_error(28)) };
        }
        if fail {
            node.append(&bytes[..some]);
            return Err(eio());
        }
        let written = if short && some > 0 { some } else { bytes.len() };
        node.append(&bytes[..written]);
        Ok(written)
    }

    fn sync(&self) -> io::Result<()> {
        self.folder.operate(|state| {
            let rate = state.faults.failed_syncs;
            let fail = state.seed.percent(rate);
            let node = &mut state.nodes[self.node];
            if state.faults.skip_syncs {
                return Ok(());
            }
            if fail {
                node.dirty.clear();
                return Err(eio());
            }
            node.sync();
            Ok(())
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.folder.operate(|state| {
            let node = &mut state.nodes[self.node];
            node.data.truncate(len as usize);
            node.dirty.insert(len as usize / SECTOR);
            Ok(())
        })
    }
}

impl Files for Faulty {
    fn place(&self, path: &str) -> String {
        path.into()
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        self.operate(|state| {
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.nodes.push(Node::default());
            let node = state.nodes.len() - 1;
            state.change(Change::Put(path.into(), node));
            Ok(Arc::new(Handle { folder: self.clone(), node }) as Arc<dyn File>)
        })
    }

    fn read(&self, path: &str) -> io::Result<Map> {
        self.operate(|state| {
            let node = state.node(path)?;
            Ok(Map::Owned(Arc::from(state.nodes[node].data.as_slice())))
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.operate(|state| {
            let node = state.node(from)?;
            // A rename within a folder is one change on the disk; ours are two that may come
            // apart, which is worse, except that the new name never comes without the node.
            state.change(Change::Put(to.into(), node));
            state.change(Change::Remove(from.into()));
            Ok(())
        })
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.operate(|state| {
            let node = state.node(from)?;
            if state.names.contains_key(to) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.change(Change::Put(to.into(), node));
            Ok(())
        })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.operate(|state| {
            state.node(path)?;
            state.change(Change::Remove(path.into()));
            Ok(())
        })
    }

    fn list(&self, dir: &str) -> io::Result<Vec<Entry>> {
        self.operate(|state| {
            let inside = state.names.iter().filter(|(path, _)| dir_of(path) == dir);
            Ok(inside
                .map(|(path, node)| Entry {
                    name: path.rsplit('/').next().unwrap_or(path).into(),
                    len: state.nodes[*node].data.len() as u64,
                })
                .collect())
        })
    }

    fn create_dir(&self, _dir: &str) -> io::Result<()> {
        self.operate(|_| Ok(()))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.operate(|state| {
            let rate = state.faults.failed_syncs;
            if state.seed.percent(rate) {
                return Err(eio());
            }
            let (covered, rest) = std::mem::take(&mut state.pending)
                .into_iter()
                .partition(|c| dir_of(c.name()) == dir);
            state.pending = rest;
            let covered: Vec<Change> = covered;
            covered.into_iter().for_each(|c| c.apply(&mut state.safe_names));
            Ok(())
        })
    }

    fn lock(&self, _path: &str, _words: &str) -> io::Result<Box<dyn Send + Sync>> {
        self.operate(|_| Ok(Box::new(()) as Box<dyn Send + Sync>))
    }
}
