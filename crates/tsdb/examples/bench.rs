//! Figures of the store alone: `cargo run --release -p kubevigil-tsdb --example bench`.
//!
//! One target of 1,500 series, an hour at one second: 55 % constant, 25 % idle counters, 20 %
//! that change each second. Prints what appending, memory, disk and decoding cost.

use model::{Columns, Family, Kind, Labels, Selection, Sink, Storage};
use std::time::Instant;
use tsdb::{Db, Options};

const SERIES: usize = 1500;
const ROUNDS: i64 = 3600;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("kubevigil-bench-{}", std::process::id()));
    let db = Db::open(&dir, Options { background: false, ..Options::default() })?;
    let mut group = db.group(&Labels::from_pairs([("job", "node"), ("instance", "here")]));
    let numbers: Vec<String> = (0..SERIES).map(|n| n.to_string()).collect();
    let begun = Instant::now();
    for round in 0..ROUNDS {
        let mut batch = group.begin(1_700_000_000_000 + round * 1000);
        batch.family(&Family { name: "m", help: "", kind: Kind::Gauge, unit: "" });
        for (n, number) in numbers.iter().enumerate() {
            let value = match n % 20 {
                0..11 => n as f64,
                11..16 => (round / (30 + n as i64)) as f64,
                16 | 17 => (round * 1234 + n as i64 * 77) as f64,
                18 => (round * 250_017 + (round * 7919 + n as i64) % 1009) as f64 / 1e6,
                _ => ((round * 31 + n as i64) % 977 * 4096) as f64,
            };
            batch.sample("m", &[("device", "eth0"), ("n", number)], value, None);
        }
        batch.commit()?;
    }
    let appended = begun.elapsed().as_secs_f64();
    let samples = (SERIES as i64 * ROUNDS) as f64;
    println!("appended: {:.2} M samples/s, log on, not fsynced", samples / appended / 1e6);
    let stats = db.stats();
    println!("head: {:.0} bytes a series", stats.head_bytes as f64 / SERIES as f64);
    println!("log: {:.3} bytes a sample", stats.log_bytes as f64 / samples);
    let read = |what: &str| -> Result<(), Box<dyn std::error::Error>> {
        let selection = Selection { start_ms: 0, end_ms: i64::MAX, ..Selection::default() };
        let begun = Instant::now();
        let mut set = db.select(&selection)?;
        let (mut columns, mut seen) = (Columns::default(), 0);
        while set.next()?.is_some() {
            set.read(&mut columns)?;
            seen += columns.floats.len();
        }
        let nanoseconds = begun.elapsed().as_secs_f64() * 1e9 / seen as f64;
        println!("{what}: {nanoseconds:.2} ns a sample decoded, {seen} samples");
        Ok(())
    };
    read("head")?;
    let begun = Instant::now();
    db.flush()?;
    println!("to a block: {:.2} s", begun.elapsed().as_secs_f64());
    let stats = db.stats();
    println!("block: {:.3} bytes a sample, index included", stats.block_bytes as f64 / samples);
    read("block")?;
    db.close()?;
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
