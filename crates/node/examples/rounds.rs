//! What rounds cost on this machine: makes some, and prints the processor time of each part.
//!
//! `cargo run --release -p kubevigil-node --example rounds -- [ROUNDS] [MILLISECONDS BETWEEN]`

use model::{Family, Sink};
use node::{Files, Options, containers::Tree};
use std::time::{Duration, Instant};

/// A sink that looks at everything and keeps nothing.
#[derive(Default)]
struct Look {
    samples: u64,
    bytes: u64,
}

impl Sink for Look {
    fn family(&mut self, family: &Family<'_>) {
        self.bytes += family.name.len() as u64;
    }

    fn sample(&mut self, _: &str, labels: &[(&str, &str)], _: f64, _: Option<i64>) {
        self.samples += 1;
        self.bytes += labels.iter().map(|l| (l.0.len() + l.1.len()) as u64).sum::<u64>();
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let rounds = arguments.next().transpose()?.unwrap_or(100).max(1);
    let between = Duration::from_millis(arguments.next().transpose()?.unwrap_or(0));
    let options = Options::default();
    let mut files = Files::open(&options.paths)?;
    let mut tree = Tree::open(&options)?;
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let first = Instant::now();
    tree.collect(&mut files, now()?.as_millis() as i64)?;
    let first = first.elapsed();
    let (mut collect, mut write) = (Duration::ZERO, Duration::ZERO);
    let mut look = Look::default();
    for _ in 0..rounds {
        std::thread::sleep(between);
        let begun = cpu()?;
        tree.collect(&mut files, now()?.as_millis() as i64)?;
        let read = cpu()?;
        look = Look::default();
        tree.write(&mut look);
        collect += read - begun;
        write += cpu()? - read;
    }
    let groups = tree.containers().iter().filter(|c| c.ended_ms.is_none()).count();
    let each = |d: Duration| d / rounds as u32;
    println!("{groups} groups, {} samples of {} bytes of labels", look.samples, look.bytes);
    println!("first round {first:?} (by the clock), then {rounds} rounds, processor time of each:");
    println!("  read  {:?} a round, {:?} a group", each(collect), each(collect) / groups as u32);
    println!("  write {:?} a round, {:?} a group", each(write), each(write) / groups as u32);
    Ok(())
}

/// Processor time of this thread so far.
fn cpu() -> Result<Duration, Box<dyn std::error::Error>> {
    // The kernel brings the figure up to date when a thread makes room.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().unwrap_or("").parse()?))
}
