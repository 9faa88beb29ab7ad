//! The agent on a cgroup v2 machine: Debian's cloud kernel in QEMU with groups in the kubelet's layout and
//! known loads (tests/vm/init). Its answers come out over a serial line beside the groups' own files.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use stage::exposition::Exposition;
use stage::program::{built, repository};
use stage::{peer, require};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

const SLICE: &str = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod11111111_2222_3333_4444_555555555555.slice";

/// What the guest wrote, by the names of its parts.
struct Guest(BTreeMap<String, String>);

impl Guest {
    fn boot(agent: &std::path::Path) -> Guest {
        let work = tempfile::tempdir().unwrap();
        let results = work.path().join("results");
        let vm = repository().join("tests/vm");
        let output = Command::new(vm.join("boot"))
            .args([peer::cache().join("vm"), results.clone(), vm.join("init"), agent.to_path_buf()])
            .output()
            .unwrap();
        let console = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let text = std::fs::read_to_string(&results).unwrap_or_default();
        if let Some(folder) = std::env::var_os("KUBEVIGIL_KEEP") {
            std::fs::write(PathBuf::from(folder).join("guest"), &text).unwrap();
        }
        let mut parts = BTreeMap::new();
        for part in format!("\n{text}").split("\n@@ ").skip(1) {
            let (name, body) = part.split_once('\n').unwrap_or((part, ""));
            parts.insert(name.to_string(), format!("{}\n", body.trim_end()));
        }
        assert!(output.status.success() && parts.contains_key("end"), "{console}\n{text}");
        assert!(!parts.contains_key("error"), "{}", parts["error"]);
        Guest(parts)
    }

    fn part(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("the guest sent no part {name:?}"))
    }

    fn answer(&self, when: &str) -> Exposition {
        Exposition::read(self.part(&format!("{when} answer"))).unwrap()
    }

    /// A number out of a group's file: of the line that begins with `key`, the field after it, or what
    /// follows `total=`; the whole file where `key` is empty.
    fn number(&self, when: &str, id: &str, file: &str, key: &str) -> f64 {
        let text = self.part(&format!("{when} {id}/{file}"));
        let line = text.lines().find(|l| key.is_empty() || l.split(' ').next() == Some(key));
        let line = line.unwrap_or_else(|| panic!("no {key} in {file} of {id}: {text}"));
        let field = match line.split_once("total=") {
            Some((_, total)) => total,
            None => line.strip_prefix(key).unwrap_or(line).trim(),
        };
        field.parse().unwrap_or_else(|e| panic!("{file} of {id}: {line:?}: {e}"))
    }
}

/// A family, further labels, and where its number stands: file, key, factor.
type Figure =
    (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str, f64);

const US: f64 = 1e-6;
const FIGURES: &[Figure] = &[
    ("container_cpu_usage_seconds_total", &[("cpu", "total")], "cpu.stat", "usage_usec", US),
    ("container_cpu_user_seconds_total", &[], "cpu.stat", "user_usec", US),
    ("container_cpu_system_seconds_total", &[], "cpu.stat", "system_usec", US),
    ("container_memory_usage_bytes", &[], "memory.current", "", 1.0),
    ("container_memory_rss", &[], "memory.stat", "anon", 1.0),
    ("container_memory_cache", &[], "memory.stat", "file", 1.0),
    ("container_memory_mapped_file", &[], "memory.stat", "file_mapped", 1.0),
    ("container_memory_total_active_file_bytes", &[], "memory.stat", "active_file", 1.0),
    ("container_memory_total_inactive_file_bytes", &[], "memory.stat", "inactive_file", 1.0),
    (
        "container_memory_failures_total",
        &[("failure_type", "pgfault"), ("scope", "container")],
        "memory.stat",
        "pgfault",
        1.0,
    ),
    ("container_oom_events_total", &[], "memory.events", "oom_kill", 1.0),
    ("container_pressure_cpu_waiting_seconds_total", &[], "cpu.pressure", "some", US),
    ("container_pressure_cpu_stalled_seconds_total", &[], "cpu.pressure", "full", US),
    ("container_pressure_memory_waiting_seconds_total", &[], "memory.pressure", "some", US),
    ("container_pressure_memory_stalled_seconds_total", &[], "memory.pressure", "full", US),
    ("container_pressure_io_waiting_seconds_total", &[], "io.pressure", "some", US),
];
/// Of groups with a CPU limit.
const THROTTLING: &[Figure] = &[
    ("container_cpu_cfs_periods_total", &[], "cpu.stat", "nr_periods", 1.0),
    ("container_cpu_cfs_throttled_periods_total", &[], "cpu.stat", "nr_throttled", 1.0),
    ("container_cpu_cfs_throttled_seconds_total", &[], "cpu.stat", "throttled_usec", US),
];

#[test]
fn agent_on_cgroup_v2() {
    let programs = ["qemu-system-x86_64", "cpio", "busybox", "apt-get", "dpkg-deb"];
    let lack = programs.iter().find_map(|p| require::program(p));
    let lack =
        lack.or_else(|| (!cfg!(target_arch = "x86_64")).then(|| "the guest is x86-64".to_string()));
    if !require::present("vm", lack) {
        return;
    }
    let began = Instant::now();
    let guest = Guest::boot(&built("kubevigil-agent"));
    let took = began.elapsed().as_secs_f64();
    let (busy, hungry) = (
        format!("{SLICE}/cri-containerd-{}.scope", "a".repeat(64)),
        format!("{SLICE}/cri-containerd-{}.scope", "b".repeat(64)),
    );
    let crowd =
        format!("/kubepods/besteffort/pod66666666-7777-8888-9999-000000000000/{}", "c".repeat(64));
    let mut compared = 0;
    for when in ["running", "frozen"] {
        let answer = guest.answer(when);
        for (id, is_limited) in [(&busy, true), (&hungry, false), (&crowd, true)] {
            for figure in FIGURES.iter().chain(if is_limited { THROTTLING } else { &[] }) {
                between(&guest, &answer, when, id, figure);
                compared += 1;
            }
        }
    }
    limits(&guest, &busy, &hungry, &crowd);
    rates(&guest, &[(&busy, 0.2), (&crowd, 0.1)]);
    last_reading(&guest);
    let resident =
        guest.part("status").lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or("?").trim();
    println!(
        "vm: kernel {}, {compared} figures between the files before and after, agent {resident}, {took:.1} s",
        guest.part("kernel").trim()
    );
    assert_eq!(guest.part("agent's exit code").trim(), "0", "{}", guest.part("agent said"));
    assert!(!guest.part("agent said").contains("panicked"), "{}", guest.part("agent said"));
}

/// Our figure lies between the file's just before and just after; equal to both when they are equal.
fn between(
    guest: &Guest,
    answer: &Exposition,
    when: &str,
    id: &str,
    (family, labels, file, key, factor): &Figure,
) {
    let labels: Vec<_> = [("id", id)].into_iter().chain(labels.iter().copied()).collect();
    let ours = answer.one(family, &labels).unwrap_or_else(|e| panic!("{when}: {e}")).value;
    let before = guest.number(&format!("{when} before"), id, file, key) * factor;
    let after = guest.number(&format!("{when} after"), id, file, key) * factor;
    let rounding = after.abs() * 1e-12;
    assert!(
        (before.min(after) - rounding..=before.max(after) + rounding).contains(&ours),
        "{when}: {family}{labels:?} is {ours}; {file} said {before} before and {after} after"
    );
}

fn limits(guest: &Guest, busy: &str, hungry: &str, crowd: &str) {
    let answer = guest.answer("frozen");
    let value = |family: &str, id: &str| answer.one(family, &[("id", id)]).unwrap().value;
    assert_eq!(value("container_spec_cpu_quota", busy), 20_000.0);
    assert_eq!(value("container_spec_cpu_period", busy), 100_000.0);
    assert_eq!(value("container_spec_cpu_quota", crowd), 10_000.0);
    assert!(
        answer.all("container_spec_cpu_quota", &[("id", hungry)]).is_empty(),
        "a quota where there is none"
    );
    assert_eq!(value("container_spec_memory_limit_bytes", busy), 33_554_432.0);
    assert_eq!(value("container_spec_memory_limit_bytes", hungry), 16_777_216.0);
    assert_eq!(value("container_spec_memory_limit_bytes", crowd), 0.0);
    assert_eq!(value("container_oom_events_total", hungry), 3.0);
    assert!(
        value("container_pressure_cpu_waiting_seconds_total", crowd) > 1.0,
        "two loops in 10 % of a core wait"
    );
    assert!(
        guest.number("frozen after", hungry, "memory.pressure", "some") > 0.0,
        "the guest has no memory pressure to show"
    );
}

/// What each used in the time between two answers is what its limit lets it use.
fn rates(guest: &Guest, limits: &[(&str, f64)]) {
    let (first, second) = (guest.answer("first"), guest.answer("second"));
    for (id, limit) in limits {
        let of =
            |e: &Exposition| e.one("container_cpu_usage_seconds_total", &[("id", id)]).unwrap();
        let (from, to) = (of(&first), of(&second));
        let seconds = (to.time_ms.unwrap() - from.time_ms.unwrap()) as f64 / 1e3;
        let cores = (to.value - from.value) / seconds;
        println!("vm: {cores:.4} cores of {limit} in {seconds:.1} s");
        assert!(
            (cores / limit - 1.0).abs() < 0.05,
            "{id}: {cores} cores where the limit is {limit}"
        );
    }
}

/// A service that is gone: its last figures are those that its group had when its last process had
/// ended, at their own time.
fn last_reading(guest: &Guest) {
    let id = "/system.slice/moment.service";
    let used = guest.number("last", id, "cpu.stat", "usage_usec") * US;
    let reading =
        guest.answer("frozen").one("container_cpu_usage_seconds_total", &[("id", id)]).unwrap();
    println!(
        "vm: a service of {used:.3} CPU seconds that is gone is shown with {:.3}",
        reading.value
    );
    assert!(
        (reading.value - used).abs() < 1e-9,
        "{} CPU seconds of {used} were seen",
        reading.value
    );
    let removed_ms = guest.part("removed").trim().parse::<i64>().unwrap() * 1000 + 1000;
    assert!(
        reading.time_ms.unwrap() <= removed_ms,
        "the reading has a time after its group was removed"
    );
}
