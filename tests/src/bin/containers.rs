//! Containers for the tests of the pages: starts three with random limits, one of which is killed for memory,
//! and writes what the kernel counted, one JSON array a line: at once, then for each line of its input.
//! At the end of its input it removes them.
//!
//! `{"id", "name", "limit_cores", "limit_bytes", "cpu_seconds", "working_set_bytes", "oom_kills", "time_ms"}`

use anyhow::Result;
use serde_json::{Value, json};
use stage::container::{self, Container, Layout, Pod, Spec};
use stage::seed::Seed;
use std::io::{BufRead, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() -> Result<()> {
    if let Some(lack) = container::lack() {
        anyhow::bail!("{lack}");
    }
    let mut seed = Seed::of_run("containers");
    let layouts = [
        ("web", Layout::Docker { name: "web".into() }, "while :; do :; done"),
        ("main", Layout::Pod(Pod::new("shop", "cart-0")), "while :; do :; done"),
        (
            "hungry",
            Layout::DockerScope { name: "hungry".into() },
            "tail /dev/zero; while :; do sleep 1; done",
        ),
    ];
    let mut running = Vec::new();
    for (name, layout, command) in layouts {
        let mut spec = Spec::new(layout, command);
        spec.cpu_quota_us = Some(seed.within(7..=30) * 1000);
        spec.memory_bytes = Some(seed.within(40..=60) << 20);
        running.push((name, Container::start(&spec)?));
    }
    while running[2].1.group.oom_kills()? == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut out = std::io::stdout();
    writeln!(out, "{}", counted(&running)?)?;
    for line in std::io::stdin().lock().lines() {
        line?;
        writeln!(out, "{}", counted(&running)?)?;
    }
    Ok(())
}

fn counted(running: &[(&str, Container)]) -> Result<Value> {
    let mut rows = Vec::new();
    for (name, container) in running {
        let group = &container.group;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        rows.push(json!({
            "id": group.id, "name": name,
            "limit_cores": group.cpu_quota()?.map(|(quota, period)| quota as f64 / period as f64),
            "limit_bytes": group.memory_limit()?,
            "cpu_seconds": group.cpu_seconds()?,
            "working_set_bytes": group.memory_working_set()?,
            "oom_kills": group.oom_kills()?,
            "time_ms": now.as_millis() as u64,
        }));
    }
    Ok(Value::Array(rows))
}
