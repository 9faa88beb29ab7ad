//! Containers that live for less than an interval: what share of their CPU seconds ends up in the history.
//!
//! The 200 are real control groups made by hand with a busy process inside, not runc's: the test must read
//! each group's final counter between the end of its process and its removal, which `runc delete` does
//! in one step; and on two cores the start of runc would cost more CPU than the containers themselves.
//! A group is removed 20 ms after its process ended. Runtimes take longer: a shim first reports the exit,
//! the daemon then asks for the removal, and only then `runc delete` is started.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use stage::cgroup::{self, Group};
use stage::container;
use stage::leftovers::{self, Leftover};
use stage::program::Program;
use stage::require;
use stage::seed::unique_hex;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const CONTAINERS: usize = 200;
const AT_ONCE: usize = 5;
const LIFE: Duration = Duration::from_millis(300);
const UNTIL_REMOVED: Duration = Duration::from_millis(20);

/// Share of the CPU seconds that must be seen at least. Without a last reading it would be a third: a
/// container of 300 ms meets a round of each second in three of ten cases, then halfway through its life.
const SHARE_MIN: f64 = 0.8;

#[test]
fn two_hundred_containers_of_300_ms() {
    if !require::present("short_lived", container::lack()) {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data").display().to_string();
    let kubevigil =
        Program::start("kubevigil", &["--interval", "1s", "--data-dir", &folder]).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let parent = format!("/kubevigil-short-{}", unique_hex(8));
    let ids: Vec<String> =
        (0..CONTAINERS).map(|_| format!("{parent}/{}", unique_hex(64))).collect();
    let _leftover =
        Leftover::announce(parent.trim_start_matches('/'), None, ids.clone(), Vec::new()).unwrap();
    leftovers::make_group_parents(&ids[0]).unwrap();

    let began = Instant::now();
    let (next, used) = (Mutex::new(ids.iter()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(id) = next.lock().unwrap().next() else { return };
                    let seconds = live(id);
                    used.lock().unwrap().insert(id.clone(), seconds);
                }
            });
        }
    });
    let took = began.elapsed();
    std::thread::sleep(Duration::from_millis(2500));
    let used = used.into_inner().unwrap();
    let seen = history(&kubevigil, &parent);
    let total: f64 = used.values().sum();
    let share = used.keys().filter_map(|id| seen.get(id)).sum::<f64>() / total;
    let whole = used
        .iter()
        .filter(|(id, seconds)| seen.get(*id).is_some_and(|s| (s - *seconds).abs() < 1e-6))
        .count();
    let path = "/api/v1/query?query=kubevigil_node_final_readings_total";
    println!(
        "short_lived: {:.1} % of {total:.2} CPU seconds seen; of {CONTAINERS} containers {} in the history, {whole} to the last nanosecond; {:.1} s",
        share * 100.0,
        seen.len(),
        took.as_secs_f64()
    );
    for result in kubevigil.json(path).unwrap()["data"]["result"].as_array().unwrap() {
        println!(
            "short_lived: final readings {}: {}",
            result["metric"]["result"], result["value"][1]
        );
    }
    for (id, seconds) in &used {
        let seen = seen.get(id).copied().unwrap_or(0.0);
        assert!(seen <= seconds + 1e-6, "{id}: {seen} CPU seconds seen of {seconds}");
    }
    assert!(share >= SHARE_MIN, "only {share:.3} of the CPU seconds were seen");
    assert!(!kubevigil.said().contains("panicked"), "{}", kubevigil.said());
}

/// One container's life; gives the CPU seconds that its group counted when its process had ended.
fn live(id: &str) -> f64 {
    let group = Group::at(id);
    // A cpuset takes no process before it is filled in; nothing is read from it.
    let roots = cgroup::hierarchies().unwrap().into_iter().filter(|r| !r.ends_with("cpuset"));
    let folders: Vec<PathBuf> = roots.map(|r| r.join(id.trim_start_matches('/'))).collect();
    for folder in &folders {
        std::fs::create_dir(folder).unwrap();
    }
    let mut process = Command::new("sh")
        .args(["-c", "for f; do echo $$ >$f/cgroup.procs; done; while :; do :; done", "sh"])
        .args(&folders)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(LIFE);
    process.kill().unwrap();
    process.wait().unwrap();
    let ended = Instant::now();
    let seconds = group.cpu_seconds().unwrap();
    std::thread::sleep(UNTIL_REMOVED.saturating_sub(ended.elapsed()));
    for folder in &folders {
        std::fs::remove_dir(folder).unwrap();
    }
    seconds
}

/// The greatest CPU seconds in the history, by id.
fn history(kubevigil: &Program, parent: &str) -> BTreeMap<String, f64> {
    let selector = format!("container_cpu_usage_seconds_total{{id=~\"{parent}/.*\"}}");
    let query = format!("sum by (id) (max_over_time({selector}[5m]))");
    let encoded: String = query.bytes().map(|b| format!("%{b:02X}")).collect();
    let answer = kubevigil.json(&format!("/api/v1/query?query={encoded}")).unwrap();
    let result = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let row = |r: &serde_json::Value| {
        let value = r["value"][1].as_str().unwrap().parse().unwrap();
        (r["metric"]["id"].as_str().unwrap().to_string(), value)
    };
    result.iter().map(row).collect()
}
