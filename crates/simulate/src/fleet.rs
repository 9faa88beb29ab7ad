//! Which nodes, pods and containers there are. No I/O, no clock: everything follows from the shape.

use crate::Error;
use std::net::Ipv4Addr;

/// How many there are, and what is wrong with some.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Nodes.
    pub nodes: usize,
    /// Pods on each node.
    pub pods_per_node: usize,
    /// Containers in each pod.
    pub containers_per_pod: usize,
    /// What everything follows from.
    pub seed: u64,
    /// The address of the first node; the others follow it.
    pub first_address: Ipv4Addr,
    /// Where all kubelets listen.
    pub port: u16,
    /// Every container uses as much CPU and memory at all times, and none restarts.
    pub constant: bool,
    /// How often containers are measured, in milliseconds; cAdvisor does each ten seconds.
    pub housekeeping_ms: i64,
    /// What is wrong with some of the nodes.
    pub faults: Faults,
}

/// What is wrong with nodes: the first so many have the first fault, the next the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Answer after half a minute.
    pub slow: usize,
    /// Answer nonsense: an error, half an answer, a page, bytes without end, values below zero.
    pub broken: usize,
    /// Show a container of each fifth pod without a value.
    pub partial: usize,
    /// Have a clock that is an hour behind.
    pub late: usize,
}

/// All nodes.
#[derive(Clone, Debug)]
pub struct Fleet {
    shape: Shape,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its place among them all, from 0.
    pub at: usize,
    /// `hollow-00000`
    pub name: String,
    /// Where its kubelet listens.
    pub address: Ipv4Addr,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `shop-07`
    pub namespace: String,
    /// `app03-00012-04`
    pub name: String,
    /// The value of its label `app`.
    pub app: String,
    /// What its usage follows from.
    pub seed: u64,
    /// Whether one of its containers has no value.
    pub partial: bool,
}

/// What a node answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Slow,
    Broken(usize),
    Partial,
    Late,
}

/// Namespaces among which the pods lie.
const NAMESPACES: u64 = 20;
/// Names for containers, the first of each pod first.
const CONTAINERS: [&str; 8] =
    ["app", "proxy", "metrics", "cache", "backup", "config", "watch", "spare"];

impl Fleet {
    /// A fleet of this shape.
    ///
    /// # Errors
    /// Where it is too large.
    pub fn new(shape: Shape) -> Result<Fleet, Error> {
        let limits = [
            ("nodes", 100_000, shape.nodes),
            ("pods on a node", 1000, shape.pods_per_node),
            (
                "milliseconds of housekeeping",
                3_600_000,
                shape.housekeeping_ms.unsigned_abs() as usize,
            ),
            ("containers in a pod", CONTAINERS.len(), shape.containers_per_pod),
        ];
        for (what, most, given) in limits {
            if given > most {
                return Err(Error::TooMany { what, most, given });
            }
        }
        let (first, nodes) = (shape.first_address, shape.nodes);
        if u32::from(first).checked_add(nodes as u32).is_none() {
            return Err(Error::Addresses { nodes, first });
        }
        Ok(Fleet { shape })
    }

    /// Its shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// All nodes, in order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        (0..self.shape.nodes).map(|at| self.node(at))
    }

    /// A node by its place.
    pub fn node(&self, at: usize) -> Node {
        let address = Ipv4Addr::from(u32::from(self.shape.first_address) + at as u32);
        Node { at, name: format!("hollow-{at:05}"), address }
    }

    /// The node that has an address.
    pub fn at(&self, address: Ipv4Addr) -> Option<Node> {
        let at = u32::from(address).checked_sub(u32::from(self.shape.first_address))? as usize;
        (at < self.shape.nodes).then(|| self.node(at))
    }

    /// The pods of a node.
    pub fn pods(&self, node: usize) -> impl Iterator<Item = Pod> + '_ {
        let partial_node = self.fault(node) == Fault::Partial;
        (0..self.shape.pods_per_node).map(move |at| {
            let seed = mix(self.shape.seed ^ mix((node as u64) << 20 | at as u64));
            let app = format!("app{:02}", mix(seed) % 50);
            Pod {
                namespace: format!("shop-{:02}", seed % NAMESPACES),
                name: format!("{app}-{node:05}-{at:02}"),
                app,
                seed,
                partial: partial_node && at % 5 == 0,
            }
        })
    }

    /// The names of a pod's containers.
    pub fn containers(&self) -> &'static [&'static str] {
        &CONTAINERS[..self.shape.containers_per_pod]
    }

    pub(crate) fn fault(&self, node: usize) -> Fault {
        let Faults { slow, broken, partial, late } = self.shape.faults;
        let mut at = node;
        for (count, fault) in [
            (slow, Fault::Slow),
            (broken, Fault::Broken(node)),
            (partial, Fault::Partial),
            (late, Fault::Late),
        ] {
            match at.checked_sub(count) {
                None => return fault,
                Some(rest) => at = rest,
            }
        }
        Fault::None
    }
}

/// Mixes the bits of a number (the finaliser of SplitMix64).
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
