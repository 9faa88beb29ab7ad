//! The targets of the load: what each of them is called, and what it says at each scrape. Values follow from
//! a seed and from how often a target was asked, never from a clock, so that every engine is told the same.

use super::containers::Containers;
use super::random::Random;
use super::requests::Requests;
use super::state::State;
use super::values::{Recording, Value};
use model::Labels;
use model::exposition::push_float;

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Nodes, of three targets each: containers, the node itself, what is known of its pods; and on every tenth
    /// an API server.
    pub nodes: usize,
    /// Containers of each node.
    pub containers: usize,
    /// What everything follows from.
    pub seed: u64,
    /// Every value is a float that changes each time.
    pub floats: bool,
}

/// A kind of target.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// As rules and dashboards call it.
    pub name: &'static str,
    /// Where it answers.
    pub path: &'static str,
    /// One node in so many has one.
    pub every: usize,
}

/// All kinds of targets.
pub const JOBS: [Job; 4] = [
    Job { name: "kubelet", path: "/metrics/cadvisor", every: 1 },
    Job { name: "node-exporter", path: "/metrics", every: 1 },
    Job { name: "kube-state-metrics", path: "/metrics/state", every: 1 },
    Job { name: "apiserver", path: "/metrics/apiserver", every: 10 },
];

impl Size {
    /// The kinds of targets that there are.
    pub fn jobs(&self) -> &'static [Job] {
        if self.floats { &JOBS[..2] } else { &JOBS }
    }

    /// Kind and node of all targets, by kind.
    pub fn targets(self) -> impl Iterator<Item = (usize, usize)> {
        let of_kind = move |(kind, job): (usize, &'static Job)| {
            (0..self.nodes).step_by(job.every).map(move |node| (kind, node))
        };
        self.jobs().iter().enumerate().flat_map(of_kind)
    }
}

/// The labels that scraping adds to the series of a target.
pub fn labels(kind: usize, node: usize) -> Labels {
    let instance = address(node);
    let job = JOBS[kind];
    Labels::from_pairs([
        ("cluster", "bench"),
        ("instance", instance.as_str()),
        ("job", job.name),
        ("metrics_path", job.path),
    ])
}

/// Where a node's targets are served.
pub fn address(node: usize) -> String {
    let (high, low) = (node / 250, node % 250 + 1);
    format!("127.9.{high}.{low}:{}", super::served::PORT)
}

/// A target and where it is in its course.
pub struct Target {
    /// How often it was asked.
    pub ticks: u64,
    kind: Kind,
}

enum Kind {
    Containers(Box<Containers>),
    /// A node: the place in the recording and last value of each series.
    Node(Random, Vec<(usize, Value)>),
    State(State),
    Requests(Requests),
}

impl Target {
    /// A target before its first scrape.
    pub fn new(size: Size, kind: usize, node: usize, recording: &Recording) -> Target {
        let kind = match kind {
            0 => Kind::Containers(Box::new(Containers::new(size, node))),
            1 => Target::node(size, node, recording),
            2 => Kind::State(State::new(size, node)),
            _ => Kind::Requests(Requests::new(size, node)),
        };
        Target { ticks: 0, kind }
    }

    fn node(size: Size, node: usize, recording: &Recording) -> Kind {
        let mut random = Random::new(size.seed.wrapping_mul(7_000_003) ^ ((node as u64) << 1));
        let phase = (random.unit() * 1e6) as usize;
        let mut values = Vec::new();
        for (i, series) in recording.series.iter().enumerate() {
            let at = phase % series.values.len();
            let value = Value::Recorded(series.values[0], i, at);
            values.push((i, value.or_walk(size.floats, &mut random)));
        }
        Kind::Node(random, values)
    }

    /// The next scrape's answer; gives how many samples it has.
    pub fn scrape(&mut self, recording: &Recording, out: &mut Vec<u8>) -> u64 {
        out.clear();
        self.ticks += 1;
        out.extend_from_slice(format!("bench_tick {}\n", self.ticks).as_bytes());
        let samples = match &mut self.kind {
            Kind::Containers(containers) => containers.scrape(recording, out),
            Kind::State(state) => state.scrape(recording, out),
            Kind::Requests(requests) => requests.scrape(out),
            Kind::Node(random, values) => {
                for (i, value) in values.iter_mut() {
                    let series = &recording.series[*i];
                    out.extend_from_slice(series.head.as_bytes());
                    out.extend_from_slice(series.name.as_bytes());
                    out.push(b' ');
                    push_float(out, value.step(random, recording));
                    out.push(b'\n');
                }
                values.len() as u64
            }
        };
        samples + 1
    }
}
