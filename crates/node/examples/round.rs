//! What a round costs on this machine: `cargo run --release -p kubevigil-node --example round [ROUNDS]`.
//!
//! Prints CPU nanoseconds (user and kernel) of collecting and of writing the host's families, and the time
//! of each collector.

use model::{Family, Sink};
use node::{Collectors, Node, Options};

#[derive(Default)]
struct Count(u64);

impl Sink for Count {
    fn family(&mut self, _: &Family<'_>) {}

    fn sample(&mut self, _: &str, _: &[(&str, &str)], _: f64, _: Option<i64>) {
        self.0 += 1;
    }
}

/// Clock ticks of 10 ms would be too coarse: schedstat counts nanoseconds on a processor.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), node::Error> {
    let rounds: u32 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1000);
    let mut node = Node::open(Options::default())?;
    let per = |ns: u64| ns / u64::from(rounds.max(1));
    for round in 0..10 {
        node.collect(round);
    }
    let start = cpu_ns();
    for round in 0..rounds {
        // A second apart by the clock that is given, so that what is read seldom is read as seldom.
        node.collect(i64::from(round) * 1000);
    }
    let collected = cpu_ns();
    let mut count = Count::default();
    for _ in 0..rounds {
        node.write_node(&mut count);
    }
    let written = cpu_ns();
    println!("collect {:>9} ns a round", per(collected - start));
    println!("write   {:>9} ns a round, {} samples", per(written - collected), per(count.0));
    let mut seconds: Vec<(&str, f64)> = Collectors::names().map(|name| (name, 0.0)).collect();
    for round in 0..rounds {
        node.collect(i64::from(round) * 1000);
        for status in node.collectors() {
            if let Some(sum) = seconds.iter_mut().find(|s| s.0 == status.name) {
                sum.1 += status.seconds;
            }
        }
    }
    seconds.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (name, sum) in seconds {
        println!("{name:>14} {:>9.0} ns", sum * 1e9 / f64::from(rounds.max(1)));
    }
    Ok(())
}
