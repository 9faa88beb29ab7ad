//! One cache for each watch: the newest state of its objects, cheap to read from many threads.
//!
//! A cache never asks the API server by itself; while the watch is broken the last state stays.

use crate::{FieldSelector, Labels, Node, Pod, Selector};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;
use tokio::sync::watch;

/// What can be cached.
pub trait Object: PartialEq + Send + Sync + 'static {
    /// Empty for what belongs to no namespace.
    fn namespace(&self) -> &Arc<str>;
    /// Unique within the namespace.
    fn name(&self) -> &Arc<str>;
    /// Its labels.
    fn labels(&self) -> &Labels;
}

/// The nodes.
pub type NodeCache = Cache<Node>;
/// The running pods.
pub type PodCache = Cache<Pod>;

/// The newest state of all objects of a kind. Clones share it.
pub struct Cache<T>(Arc<Shared<T>>);

struct Shared<T> {
    tree: RwLock<Tree<T>>,
    synced: AtomicBool,
    generation: watch::Sender<u64>,
    contact: Mutex<Contact>,
}

type Named<T> = BTreeMap<Arc<str>, (Arc<T>, u32)>;

/// Objects by namespace, then name; with each the number of the listing that showed it last.
struct Tree<T> {
    namespaces: BTreeMap<Arc<str>, Named<T>>,
    len: usize,
    listing: u32,
}

/// How the watch behind a cache fares.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    /// When the API server last told something (an object, a bookmark, a whole list).
    pub heard: Option<Instant>,
    /// Why the watch is broken; `None` while it is not.
    pub error: Option<String>,
    /// How often the watch broke.
    pub failures: u64,
    /// How often everything was listed.
    pub listings: u64,
}

impl<T> Clone for Cache<T> {
    fn clone(&self) -> Cache<T> {
        Cache(self.0.clone())
    }
}

impl<T> std::fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("synced", &self.0.synced).finish_non_exhaustive()
    }
}

impl<T: Object> Default for Cache<T> {
    fn default() -> Cache<T> {
        let tree = Tree { namespaces: BTreeMap::new(), len: 0, listing: 0 };
        Cache(Arc::new(Shared {
            tree: RwLock::new(tree),
            synced: AtomicBool::new(false),
            generation: watch::Sender::new(0),
            contact: Mutex::default(),
        }))
    }
}

impl<T: Object> Cache<T> {
    /// A cache that holds these objects and is in sync, for who has no API server.
    pub fn holding(objects: impl IntoIterator<Item = T>) -> Cache<T> {
        let cache = Cache::default();
        cache.replace(objects);
        cache
    }

    /// Holds these objects from now on, and no others.
    pub fn replace(&self, objects: impl IntoIterator<Item = T>) {
        self.begin_listing();
        self.apply_all(objects);
        self.end_listing();
    }

    fn read(&self) -> RwLockReadGuard<'_, Tree<T>> {
        self.0.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tree<T>> {
        self.0.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all objects were seen once. It stays true while the watch is broken.
    pub fn synced(&self) -> bool {
        self.0.synced.load(Ordering::Acquire)
    }

    /// Waits until [`Cache::synced`].
    pub async fn wait_synced(&self) {
        let mut generation = self.0.generation.subscribe();
        while !self.synced() {
            if generation.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// A number that grows with every change of an object. What did not change need not be done again.
    pub fn generation(&self) -> u64 {
        *self.0.generation.borrow()
    }

    /// Waits until the generation is another than `seen`, and returns it.
    pub async fn changed_since(&self, seen: u64) -> u64 {
        let mut generation = self.0.generation.subscribe();
        loop {
            let now = *generation.borrow_and_update();
            if now != seen {
                return now;
            }
            if generation.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// How the watch fares.
    pub fn contact(&self) -> Contact {
        self.0.contact.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read().len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The object of a name; the namespace is empty for what belongs to none.
    pub fn named(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.find(namespace, name)
    }

    fn find(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        Some(self.read().namespaces.get(namespace)?.get(name)?.0.clone())
    }

    /// All objects, sorted by namespace and name.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.list(None, &Selector::default(), &FieldSelector::default())
    }

    /// The objects of a namespace (of all, where none is given) that both selectors select, sorted
    /// by namespace and name. Fields are `metadata.name` and `metadata.namespace`.
    pub fn list(
        &self,
        namespace: Option<&str>,
        labels: &Selector,
        fields: &FieldSelector,
    ) -> Vec<Arc<T>> {
        let selected = |object: &T| {
            let field = |name: &str| match name {
                "metadata.name" => &**object.name(),
                _ => &**object.namespace(),
            };
            let by_labels = labels.is_empty() || labels.matches(object.labels());
            by_labels && (fields.is_empty() || fields.matches(field))
        };
        let tree = self.read();
        let mut found = Vec::new();
        let mut take = |of: &Named<T>| {
            if let Some(name) = fields.exact("metadata.name") {
                found.extend(of.get(name).filter(|o| selected(&o.0)).map(|o| o.0.clone()));
                return;
            }
            found.extend(of.values().filter(|o| selected(&o.0)).map(|o| o.0.clone()));
        };
        match namespace.or(fields.exact("metadata.namespace")) {
            Some(namespace) => {
                if let Some(of) = tree.namespaces.get(namespace) {
                    take(of);
                }
            }
            None => tree.namespaces.values().for_each(take),
        }
        found
    }

    /// The beginning of a listing: what it does not show is gone at its end.
    pub(crate) fn begin_listing(&self) {
        let mut tree = self.write();
        tree.listing = tree.listing.wrapping_add(1);
    }

    /// Takes over objects that are new or were changed.
    pub(crate) fn apply_all(&self, objects: impl IntoIterator<Item = T>) {
        let mut changed = false;
        let mut tree = self.write();
        for object in objects {
            changed |= tree.apply(object);
        }
        drop(tree);
        self.heard(changed);
    }

    /// The end of a listing.
    pub(crate) fn end_listing(&self) {
        let mut tree = self.write();
        let changed = tree.forget_unlisted();
        drop(tree);
        self.told(|contact| contact.listings += 1);
        let first = !self.0.synced.swap(true, Ordering::AcqRel);
        self.heard(changed || first);
    }

    /// An object is gone.
    pub(crate) fn remove(&self, namespace: &str, name: &str) {
        let mut tree = self.write();
        let removed = tree.remove(namespace, name);
        drop(tree);
        self.heard(removed);
    }

    /// The API server told something.
    pub(crate) fn heard(&self, changed: bool) {
        self.told(|contact| {
            contact.heard = Some(Instant::now());
            contact.error = None;
        });
        if changed {
            self.0.generation.send_modify(|g| *g += 1);
        }
    }

    /// The watch broke.
    pub(crate) fn failed(&self, why: String) {
        self.told(|contact| {
            contact.failures += 1;
            contact.error = Some(why);
        });
    }

    fn told(&self, change: impl FnOnce(&mut Contact)) {
        change(&mut self.0.contact.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<T: Object> Tree<T> {
    /// True where something changed.
    fn apply(&mut self, object: T) -> bool {
        let listing = self.listing;
        let of = match self.namespaces.get_mut(&**object.namespace()) {
            Some(of) => of,
            None => self.namespaces.entry(object.namespace().clone()).or_default(),
        };
        if let Some((known, seen)) = of.get_mut(&**object.name()) {
            *seen = listing;
            if **known == object {
                return false;
            }
            // The key shares the object's memory, so it goes with the old object.
            of.remove(&**object.name());
            self.len -= 1;
        }
        of.insert(object.name().clone(), (Arc::new(object), listing));
        self.len += 1;
        true
    }

    fn remove(&mut self, namespace: &str, name: &str) -> bool {
        let Some(of) = self.namespaces.get_mut(namespace) else { return false };
        let removed = of.remove(name).is_some();
        self.len -= usize::from(removed);
        if of.is_empty() {
            self.namespaces.remove(namespace);
        }
        removed
    }

    fn forget_unlisted(&mut self) -> bool {
        let (listing, before) = (self.listing, self.len);
        let mut len = 0;
        self.namespaces.retain(|_, of| {
            of.retain(|_, (_, seen)| *seen == listing);
            len += of.len();
            !of.is_empty()
        });
        self.len = len;
        len != before
    }
}

impl Cache<Node> {
    /// A node.
    pub fn get(&self, name: &str) -> Option<Arc<Node>> {
        self.find("", name)
    }
}

impl Cache<Pod> {
    /// A running pod.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.find(namespace, name)
    }
}
