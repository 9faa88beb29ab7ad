//! Everything that is known, node by node, and a way to every pod.
//!
//! Each node has a block that a round of it changes in place as long as its pods stay the same; an index
//! leads from a pod's name to its place. No clock: times are those of the readings.

use crate::block::{Block, Container};
use crate::parse::Reading;
use crate::usage::{Known, Mode, Usage};
use crate::{Error, file};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How decisions are taken.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How often each node is read, in nanoseconds: younger containers need one reading only.
    pub resolution_ns: i64,
    /// Whose decisions.
    pub mode: Mode,
}

impl Default for Options {
    fn default() -> Options {
        Options { resolution_ns: 15_000_000_000, mode: Mode::Lenient }
    }
}

/// The last two points of every node and container.
pub struct Store {
    options: Options,
    inner: RwLock<Inner>,
}

#[derive(Default)]
pub(crate) struct Inner {
    hasher: DefaultHashBuilder,
    /// By name, the place in `blocks`.
    nodes: HashMap<Box<str>, u32>,
    pub(crate) blocks: Vec<Option<Block>>,
    free: Vec<u32>,
    /// Every pod of every block: block and place in it.
    pods: HashTable<(u32, u32)>,
}

/// How much is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nodes with two points.
    pub nodes: usize,
    /// Containers with two points.
    pub containers: usize,
}

impl Store {
    /// An empty store.
    pub fn new(options: Options) -> Store {
        Store { options, inner: RwLock::default() }
    }

    /// Takes over what a node's kubelet said. The reading's containers get sorted, and in strict mode
    /// those of broken pods taken out.
    pub fn apply(&self, node: &str, reading: &mut Reading<'_>) {
        let Options { resolution_ns, mode } = self.options;
        self.change(node, |block, before| block.apply(reading, resolution_ns, mode, before));
    }

    /// Takes note that a node's kubelet did not answer this round.
    pub fn miss(&self, node: &str) {
        let known = self.view().inner.nodes.contains_key(node);
        if known {
            self.change(node, |block, before| block.miss(self.options.mode, before));
        }
    }

    /// Forgets a node.
    pub fn remove(&self, node: &str) {
        let known = self.view().inner.nodes.contains_key(node);
        if known {
            self.change(node, |block, before| {
                before(block);
                *block = Block::new(node);
            });
        }
    }

    /// A consistent look at everything; changes wait while it is held.
    pub fn view(&self) -> View<'_> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        View { inner, mode: self.options.mode }
    }

    /// Appends everything as a file (`docs/formats/points.md`).
    pub fn save(&self, out: &mut Vec<u8>) {
        file::write(&self.view().inner, out);
    }

    /// Takes over what [`Store::save`] wrote, as far as it was measured after `oldest_ns`. The node's
    /// next reading is compared with it; it is served until then.
    pub fn load(&self, bytes: &[u8], oldest_ns: i64) -> Result<Counts, Error> {
        let blocks = file::read(bytes, oldest_ns)?;
        let mut inner = self.write();
        for block in blocks {
            if inner.nodes.contains_key(&block.name) || block.is_empty() {
                continue;
            }
            let at = inner.add_block(block);
            inner.index_pods(at);
        }
        drop(inner);
        Ok(self.view().counts())
    }

    /// Changes a node's block; `change` calls its second argument before pods come or go.
    fn change(&self, node: &str, change: impl FnOnce(&mut Block, &mut dyn FnMut(&Block))) {
        let mut inner = self.write();
        let at = match inner.nodes.get(node) {
            Some(&at) => at,
            None => inner.add_block(Block::new(node)),
        };
        let Some(mut block) = inner.blocks.get_mut(at as usize).and_then(Option::take) else {
            return;
        };
        let mut changed = false;
        change(&mut block, &mut |before| {
            changed = true;
            inner.forget_pods(at, before);
        });
        let empty = block.is_empty();
        inner.blocks[at as usize] = Some(block);
        if changed {
            inner.index_pods(at);
        }
        if empty {
            inner.drop_block(at);
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn block(&self, at: u32) -> Option<&Block> {
        self.blocks.get(at as usize)?.as_ref()
    }

    fn add_block(&mut self, block: Block) -> u32 {
        let at = self.free.pop().unwrap_or(self.blocks.len() as u32);
        self.nodes.insert(block.name.clone(), at);
        if at as usize == self.blocks.len() {
            self.blocks.push(None);
        }
        self.blocks[at as usize] = Some(block);
        at
    }

    /// Drops a block whose pods the index has forgotten.
    fn drop_block(&mut self, at: u32) {
        if let Some(block) = self.blocks.get_mut(at as usize).and_then(Option::take) {
            self.nodes.remove(&block.name);
            self.free.push(at);
        }
    }

    fn forget_pods(&mut self, at: u32, block: &Block) {
        for (place, pod) in block.pods.iter().enumerate() {
            let hash = self.hasher.hash_one(block.pod_key(pod));
            let found = self.pods.find_entry(hash, |p| *p == (at, place as u32));
            if let Ok(entry) = found {
                entry.remove();
            }
        }
    }

    fn index_pods(&mut self, at: u32) {
        let Inner { hasher, blocks, pods, .. } = self;
        let hash = |&(at, place): &(u32, u32)| {
            let block = blocks.get(at as usize).and_then(Option::as_ref);
            let key = block.and_then(|b| Some(b.pod_key(b.pods.get(place as usize)?)));
            hasher.hash_one(key.unwrap_or_default())
        };
        let count = blocks.get(at as usize).and_then(Option::as_ref).map_or(0, |b| b.pods.len());
        for place in 0..count as u32 {
            pods.insert_unique(hash(&(at, place)), (at, place), hash);
        }
    }
}

/// A consistent look at a store.
pub struct View<'a> {
    inner: RwLockReadGuard<'a, Inner>,
    mode: Mode,
}

impl View<'_> {
    /// What a node used; `None` while there are no two points of it that belong together.
    pub fn node(&self, name: &str) -> Option<Usage> {
        let block = self.inner.block(*self.inner.nodes.get(name)?)?;
        match block.own?.known() {
            Known::Usage(usage) => Some(usage),
            Known::TooNew | Known::Broken => None,
        }
    }

    /// What a pod used; `None` where it is not to be served. Of two nodes that know a pod of this name
    /// the one that measured it last is asked.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<PodView<'_>> {
        let key = (namespace, name);
        let newest = |p: &PodView<'_>| p.all.iter().map(|c| c.points.last.time_ns).max();
        let hash = self.inner.hasher.hash_one(key);
        let candidates = self.inner.pods.iter_hash(hash).filter_map(|&(at, place)| {
            let block = self.inner.block(at)?;
            let pod = block.pods.get(place as usize)?;
            (block.pod_key(pod) == key)
                .then(|| PodView { block, all: block.pod_containers(place as usize) })
        });
        let pod = candidates.max_by_key(newest)?;
        let served = match self.mode {
            Mode::Strict => pod.all.iter().all(|c| c.points.previous.is_there()),
            Mode::Lenient => pod.containers().next().is_some(),
        };
        served.then_some(pod)
    }

    /// The node that measured a pod last, whether the pod is served or not, and how many of its
    /// containers have how many points: two that belong together, one, two that do not.
    pub fn pod_points(&self, namespace: &str, name: &str) -> Option<PodPoints> {
        let key = (namespace, name);
        let hash = self.inner.hasher.hash_one(key);
        let mut found = self.inner.pods.iter_hash(hash).filter_map(|&(at, place)| {
            let block = self.inner.block(at)?;
            (block.pod_key(block.pods.get(place as usize)?) == key).then_some((block, place))
        });
        let (block, place) = found.next()?;
        let mut points = PodPoints { node: block.name.to_string(), ..PodPoints::default() };
        for container in block.pod_containers(place as usize) {
            let list = match container.points.known() {
                Known::Usage(_) => &mut points.served,
                Known::TooNew => &mut points.too_new,
                Known::Broken => &mut points.broken,
            };
            list.push(block.name(container).to_owned());
        }
        Some(points)
    }

    /// How much is known.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for block in self.inner.blocks.iter().flatten() {
            counts.nodes += usize::from(block.own.is_some_and(|own| own.previous.is_there()));
            counts.containers += block.ready_containers();
        }
        counts
    }
}

/// The containers of a pod, by what is known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodPoints {
    /// The node that measured them.
    pub node: String,
    /// Two points that belong together.
    pub served: Vec<String>,
    /// One point.
    pub too_new: Vec<String>,
    /// Two points between which a counter went backwards.
    pub broken: Vec<String>,
}

/// A pod that is served.
pub struct PodView<'a> {
    block: &'a Block,
    all: &'a [Container],
}

impl<'a> PodView<'a> {
    /// Its containers that have a value, sorted by name. In strict mode there can be none.
    pub fn containers(&self) -> impl Iterator<Item = (&'a str, Usage)> + use<'a> {
        let block = self.block;
        self.all.iter().filter_map(move |container| match container.points.known() {
            Known::Usage(usage) => Some((block.name(container), usage)),
            Known::TooNew | Known::Broken => None,
        })
    }

    /// The end and the length of the window that stands for the pod, in nanoseconds: those of the
    /// container that was measured first. `None` where no container has a value.
    pub fn window(&self) -> Option<(i64, i64)> {
        let earliest = self.containers().map(|c| c.1).min_by_key(|usage| usage.time_ns)?;
        Some((earliest.time_ns, earliest.window_ns))
    }
}
