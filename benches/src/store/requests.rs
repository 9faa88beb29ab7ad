//! The shape of an API server's request durations: a histogram for each resource and verb, most of them idle.

use super::random::Random;
use super::target::Size;
use model::exposition::push_float;

/// The bounds of the API server's request durations, as it has them.
const BOUNDS: [&str; 26] = [
    "0.005", "0.025", "0.05", "0.1", "0.2", "0.4", "0.6", "0.8", "1", "1.25", "1.5", "2", "3", "4",
    "5", "6", "8", "10", "15", "20", "30", "45", "60", "90", "120", "+Inf",
];
const VERBS: [&str; 8] =
    ["GET", "LIST", "WATCH", "POST", "PUT", "PATCH", "DELETE", "DELETECOLLECTION"];
const RESOURCES: [&str; 12] = [
    "pods",
    "nodes",
    "configmaps",
    "secrets",
    "services",
    "endpoints",
    "leases",
    "events",
    "deployments",
    "replicasets",
    "daemonsets",
    "jobs",
];

/// An API server.
pub struct Requests {
    random: Random,
    /// For each resource and verb: how many requests a scrape, and so far by bucket, and their sum.
    series: Vec<(f64, [u64; BOUNDS.len()], f64)>,
}

impl Requests {
    /// The API server of a node, before its first scrape.
    pub fn new(size: Size, node: usize) -> Requests {
        let mut random = Random::new(size.seed.wrapping_mul(13_000_003) ^ ((node as u64) << 2));
        let count = VERBS.len() * RESOURCES.len();
        let rate = |r: &mut Random| if r.unit() < 0.7 { 0.0 } else { 20.0 * r.skewed() };
        let series = (0..count).map(|_| (rate(&mut random), [0; BOUNDS.len()], 0.0)).collect();
        Requests { random, series }
    }

    /// The next scrape's answer; gives how many samples it has.
    pub fn scrape(&mut self, out: &mut Vec<u8>) -> u64 {
        let Requests { random, series } = self;
        let name = "apiserver_request_duration_seconds";
        out.extend_from_slice(format!("# TYPE {name} histogram\n").as_bytes());
        let mut samples = 0;
        for (at, (rate, buckets, sum)) in series.iter_mut().enumerate() {
            let (resource, verb) = (RESOURCES[at / VERBS.len()], VERBS[at % VERBS.len()]);
            let labels = format!(
                "component=\"apiserver\",group=\"\",resource=\"{resource}\",scope=\"namespace\",subresource=\"\",verb=\"{verb}\",version=\"v1\""
            );
            for _ in 0..(*rate * (0.5 + random.unit())) as u64 {
                let first = (random.skewed() * 6.0) as usize;
                buckets.iter_mut().skip(first.min(BOUNDS.len() - 1)).for_each(|b| *b += 1);
                *sum += 0.01 * random.skewed();
            }
            for (bound, count) in BOUNDS.iter().zip(buckets.iter()) {
                let line = format!("{name}_bucket{{{labels},le=\"{bound}\"}} {count}\n");
                out.extend_from_slice(line.as_bytes());
            }
            let count = buckets[BOUNDS.len() - 1];
            out.extend_from_slice(format!("{name}_sum{{{labels}}} ").as_bytes());
            push_float(out, *sum);
            out.extend_from_slice(format!("\n{name}_count{{{labels}}} {count}\n").as_bytes());
            samples += BOUNDS.len() as u64 + 2;
        }
        samples
    }
}
