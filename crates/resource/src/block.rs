//! What is kept of one node: its points, and those of its containers sorted by namespace, pod and
//! name, 64 bytes each, with all names in one string.

use crate::Mode;
use crate::decide;
use crate::parse::{ContainerSample, Reading};
use crate::usage::Points;

/// How many rounds in a row may be missed before the last good value is no longer served.
pub(crate) const MISSED_MAX: u8 = 2;

/// One node.
pub(crate) struct Block {
    pub name: Box<str>,
    pub own: Option<Points>,
    /// Rounds in which the node itself was not measured.
    own_missed: u8,
    names: Box<str>,
    pub pods: Box<[Pod]>,
    containers: Box<[Container]>,
}

/// A pod: its names in `names` and its first container.
#[derive(Clone, Copy)]
pub(crate) struct Pod {
    at: u32,
    namespace_len: u16,
    name_len: u16,
    first: u32,
}

/// A container: its name in `names` and its points.
#[derive(Clone, Copy)]
pub(crate) struct Container {
    at: u32,
    name_len: u16,
    /// Rounds in which it was not measured whole.
    missed: u8,
    pub points: Points,
}

/// What is kept of one container.
pub(crate) struct Kept<'a> {
    /// Namespace, pod, container.
    pub key: [&'a str; 3],
    pub missed: u8,
    pub points: Points,
}

impl Block {
    pub fn new(name: &str) -> Block {
        Block {
            name: name.into(),
            own: None,
            own_missed: 0,
            names: "".into(),
            pods: Box::default(),
            containers: Box::default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.own.is_none() && self.pods.is_empty()
    }

    /// Takes a round over; calls `before` with the block as it was before pods come or go.
    pub fn apply(
        &mut self,
        reading: &mut Reading<'_>,
        resolution_ns: i64,
        mode: Mode,
        before: &mut dyn FnMut(&Block),
    ) {
        if reading.node.is_whole() {
            self.own = Some(decide::node(self.own.as_ref(), &reading.node));
            self.own_missed = 0;
        } else {
            self.miss_own(mode);
        }
        reading.containers.sort_unstable_by_key(key);
        if mode == Mode::Strict {
            drop_broken_pods(&mut reading.containers);
        }
        let kept = self.decide(&reading.containers, resolution_ns);
        let same = kept.len() == self.containers.len()
            && self.keys().zip(&kept).all(|(old, new)| old == new.key);
        if same {
            for (container, kept) in self.containers.iter_mut().zip(&kept) {
                (container.points, container.missed) = (kept.points, kept.missed);
            }
            return;
        }
        before(self);
        let (names, pods, containers) = layout(&kept);
        (self.names, self.pods, self.containers) = (names, pods, containers);
    }

    /// Takes note of a round in which the node did not answer; calls `before` as [`Block::apply`].
    pub fn miss(&mut self, mode: Mode, before: &mut dyn FnMut(&Block)) {
        self.miss_own(mode);
        for container in &mut self.containers {
            container.missed = container.missed.saturating_add(1);
        }
        let served = |missed| mode == Mode::Lenient && missed <= MISSED_MAX;
        if self.containers.iter().all(|c| served(c.missed)) {
            return;
        }
        before(self);
        let kept: Vec<_> = self.all().filter(|kept| served(kept.missed)).collect();
        let (names, pods, containers) = layout(&kept);
        (self.names, self.pods, self.containers) = (names, pods, containers);
    }

    fn miss_own(&mut self, mode: Mode) {
        self.own_missed = self.own_missed.saturating_add(1);
        if mode == Mode::Strict || self.own_missed > MISSED_MAX {
            self.own = None;
        }
    }

    /// Goes through old and new side by side, both sorted.
    fn decide<'a>(&self, new: &[ContainerSample<'a>], resolution_ns: i64) -> Vec<Kept<'a>> {
        let mut kept = Vec::with_capacity(new.len());
        let mut old = self.keys().zip(&self.containers).peekable();
        for sample in new {
            let key = key(sample);
            // What the kubelet names no more is gone.
            while old.next_if(|(k, _)| *k < key).is_some() {}
            let before = old.next_if(|(k, _)| *k == key).map(|(_, c)| c);
            if sample.sample.is_whole() {
                let points = before.map(|c| &c.points);
                let points = decide::container(points, &sample.sample, resolution_ns);
                kept.push(Kept { key, missed: 0, points });
            } else if let Some(before) = before
                && before.missed < MISSED_MAX
            {
                kept.push(Kept { key, missed: before.missed + 1, points: before.points });
            }
        }
        kept
    }

    /// Namespace and name of a pod.
    pub fn pod_key(&self, pod: &Pod) -> (&str, &str) {
        let at = pod.at as usize;
        let middle = at + usize::from(pod.namespace_len);
        let end = middle + usize::from(pod.name_len);
        (self.names.get(at..middle).unwrap_or(""), self.names.get(middle..end).unwrap_or(""))
    }

    /// The containers of a pod.
    pub fn pod_containers(&self, pod: usize) -> &[Container] {
        let first = |pod: &Pod| pod.first as usize;
        let from = self.pods.get(pod).map_or(0, first);
        let to = self.pods.get(pod + 1).map_or(self.containers.len(), first);
        self.containers.get(from..to).unwrap_or_default()
    }

    pub fn name(&self, container: &Container) -> &str {
        let at = container.at as usize;
        self.names.get(at..at + usize::from(container.name_len)).unwrap_or("")
    }

    /// Everything that is kept of the containers, sorted.
    pub fn all(&self) -> impl Iterator<Item = Kept<'_>> {
        let all = self.keys().zip(&self.containers);
        all.map(|(key, c)| Kept { key, missed: c.missed, points: c.points })
    }

    /// A block with what was kept, sorted by key.
    pub fn restore(name: &str, own: Option<Points>, kept: &[Kept<'_>]) -> Block {
        let (names, pods, containers) = layout(kept);
        Block { name: name.into(), own, own_missed: 0, names, pods, containers }
    }

    /// Containers of which there are two points.
    pub fn ready_containers(&self) -> usize {
        self.containers.iter().filter(|c| c.points.previous.is_there()).count()
    }

    fn keys(&self) -> impl Iterator<Item = [&str; 3]> {
        self.pods.iter().enumerate().flat_map(move |(at, pod)| {
            let (namespace, name) = self.pod_key(pod);
            self.pod_containers(at).iter().map(move |c| [namespace, name, self.name(c)])
        })
    }
}

type Layout = (Box<str>, Box<[Pod]>, Box<[Container]>);

/// Lays out what is kept, which is sorted by key.
fn layout(kept: &[Kept<'_>]) -> Layout {
    let mut names = String::new();
    let mut pods: Vec<Pod> = Vec::new();
    let mut containers = Vec::with_capacity(kept.len());
    let mut of = None;
    for Kept { key: [namespace, pod, container], missed, points } in kept {
        if of != Some((namespace, pod)) {
            of = Some((namespace, pod));
            pods.push(Pod {
                at: names.len() as u32,
                namespace_len: namespace.len() as u16,
                name_len: pod.len() as u16,
                first: containers.len() as u32,
            });
            names.push_str(namespace);
            names.push_str(pod);
        }
        let at = names.len() as u32;
        names.push_str(container);
        let name_len = container.len() as u16;
        containers.push(Container { at, name_len, missed: *missed, points: *points });
    }
    (names.into(), pods.into(), containers.into())
}

fn key<'a>(sample: &ContainerSample<'a>) -> [&'a str; 3] {
    [sample.namespace, sample.pod, sample.container]
}

/// One container that was not measured whole takes its pod with it.
fn drop_broken_pods(containers: &mut Vec<ContainerSample<'_>>) {
    let mut from = 0;
    let mut write = 0;
    while from < containers.len() {
        let pod = (containers[from].namespace, containers[from].pod);
        let rest = &containers[from..];
        let len = rest.iter().take_while(|c| (c.namespace, c.pod) == pod).count();
        if rest[..len].iter().all(|c| c.sample.is_whole()) {
            containers.copy_within(from..from + len, write);
            write += len;
        }
        from += len;
    }
    containers.truncate(write);
}
