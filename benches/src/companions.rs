//! Queries over weeks, from companions of blocks and from all samples, in one process.

use anyhow::{Result, ensure};
use clap::Args;
use model::{Columns, Labels, ReadError, SeriesSet};
use promql::{Engine, QueryOptions};
use std::time::{Duration, Instant};
use tsdb::{Db, Options};

/// What is written.
#[derive(Debug, Args)]
pub struct Companions {
    /// Series, half of them counters.
    #[arg(long, default_value_t = 200)]
    series: u64,
    /// Days, each in a block of its own, a sample every 15 s.
    #[arg(long, default_value_t = 21)]
    days: i64,
    /// How often each query is asked; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// A midnight.
const BEGIN: i64 = 1_750_032_000_000;

const COUNTER: &str = "requests_total";

/// A day of made-up series.
struct Source<'a> {
    /// All series, in the order of their labels.
    series: &'a [(Labels, u64)],
    next: usize,
    from_ms: i64,
}

fn labels(n: u64, series: u64) -> Labels {
    let name = if n < series / 2 { "bytes" } else { COUNTER };
    let instance = format!("i{:03}", n % 10);
    let pod = format!("p{n:05}");
    Labels::from_pairs([("__name__", name), ("instance", instance.as_str()), ("pod", pod.as_str())])
}

fn chance(a: i64, b: u64) -> u64 {
    let x = (a as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xff51_afd7_ed55_8ccd);
    let x = (x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ x >> 32
}

impl SeriesSet for Source<'_> {
    fn next(&mut self) -> Result<Option<Labels>, ReadError> {
        self.next += 1;
        Ok(self.series.get(self.next - 1).map(|s| s.0.clone()))
    }

    fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError> {
        columns.clear();
        let n = self.series[self.next - 1].1;
        let is_counter = self.series[self.next - 1].0.metric() == COUNTER;
        let mut counter = ((self.from_ms - BEGIN) / 15_000 * 3) as f64;
        for tick in 0..DAY / 15_000 {
            // The target's own jitter, the same for all of its series.
            let time = self.from_ms + tick * 15_000 + (chance(tick, n % 10) % 20) as i64;
            let random = chance(time, n);
            counter += (random % 7) as f64;
            // Memory: pages, which change now and then.
            let pages = 20_000 + chance(tick / 4, n) % 3000;
            columns.times_ms.push(time);
            columns.floats.push(if is_counter { counter } else { (pages * 4096) as f64 });
        }
        Ok(())
    }
}

/// Expressions and steps.
const QUERIES: [(&str, i64); 5] = [
    ("sum by (instance) (rate(requests_total[1h]))", HOUR),
    ("max by (instance) (max_over_time(bytes[1h]))", HOUR),
    ("avg by (instance) (avg_over_time(bytes[1d]))", DAY),
    ("sum(bytes)", HOUR),
    ("sum(rate(requests_total[10m]))", HOUR / 2),
];

/// Writes, asks, and prints.
pub fn run(options: &Companions) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let open = |companions_ms: Vec<i64>| {
        let store =
            Options { companions_ms, background: false, retention_ms: 0, ..Options::default() };
        Db::open(folder.path(), Options { companion_span_ms: DAY - HOUR, ..store })
    };
    let end = BEGIN + options.days * DAY;
    let both = Options::default().companions_ms;
    let mut series: Vec<_> = (0..options.series).map(|n| (labels(n, options.series), n)).collect();
    series.sort_unstable();
    {
        let db = open(both.clone())?;
        for day in 0..options.days {
            let from_ms = BEGIN + day * DAY;
            let mut source = Source { series: &series, next: 0, from_ms };
            db.seal(&mut source, from_ms, from_ms + DAY)?;
        }
        db.close()?;
    }
    // From here on as the server would: blocks are merged, then companions are made.
    let db = open(both)?;
    let begun = Instant::now();
    db.tick(end)?;
    let stats = db.stats();
    println!(
        "{} series, {} samples of {} days in {} blocks. Merging and making companions took {:.1} s.\n",
        options.series,
        stats.samples,
        options.days,
        stats.blocks,
        begun.elapsed().as_secs_f64()
    );
    let a_sample = |bytes: u64| bytes as f64 / stats.samples as f64;
    println!(
        "Bytes a sample: blocks {:.3}, companions {:.3}.\n",
        a_sample(stats.block_bytes),
        a_sample(stats.companion_bytes)
    );
    let with = ask(&db, options, end)?;
    ensure!(db.stats().companion_reads > 0, "companions were not read");
    drop(db);
    let without = ask(&open(Vec::new())?, options, end)?;
    println!(
        "| query, every | companions, ms | samples, ms | samples read: companions | samples |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (((query, step), with), without) in QUERIES.iter().zip(with).zip(without) {
        let ms = |d: Duration| d.as_secs_f64() * 1000.0;
        println!(
            "| `{query}`, {} h | {:.1} | {:.1} | {} | {} |",
            *step as f64 / HOUR as f64,
            ms(with.0),
            ms(without.0),
            with.1,
            without.1
        );
    }
    Ok(())
}

/// The median time of each query, and the samples that it read.
fn ask(db: &Db, options: &Companions, end: i64) -> Result<Vec<(Duration, u64)>> {
    let engine = Engine::default();
    let explain = QueryOptions { explain: true, ..QueryOptions::default() };
    let mut told = Vec::new();
    for (query, step) in QUERIES {
        let explained = engine.range(db, query, BEGIN + DAY, end, step, &explain)?.explain;
        let mut times = Vec::new();
        for _ in 0..options.rounds.max(1) {
            let begun = Instant::now();
            let query_options = QueryOptions::default();
            engine.range(db, query, BEGIN + DAY, end, step, &query_options)?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        told.push((times[times.len() / 2], explained.map_or(0, |e| e.samples)));
    }
    Ok(told)
}
