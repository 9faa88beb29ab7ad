//! Real cAdvisor and our agent beside each other on the same containers: same families with the same HELP
//! and TYPE, same series with the same labels, and values between those that cAdvisor gives just before
//! and just after. What differs on purpose is in `DIFFERENCES`, and explained in docs/container-metrics.md.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use stage::container::{self, Container, Layout, Pod, Spec};
use stage::containerd::{Containerd, Request, Task};
use stage::exposition::{Exposition, Labels, Sample};
use stage::program::{Program, built};
use stage::seed::{Seed, unique_hex};
use stage::{peer, require};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A difference that we want, and why.
struct Difference {
    /// Families, by name or by a beginning with `*` at its end.
    families: &'static [&'static str],
    rule: Rule,
    why: &'static str,
}

enum Rule {
    /// cAdvisor has the family or series, we do not, if the test says so of its labels and value.
    OnlyTheirs(fn(&Labels, f64) -> bool),
    /// We have the series, cAdvisor does not.
    OnlyOurs(fn(&Labels) -> bool),
    /// What we say where cAdvisor says this.
    Value(fn(f64) -> f64),
    /// The values mean different things and are not compared, if the test says so of cAdvisor's.
    Unlike(fn(f64) -> bool),
    /// What to take from our labels before the series are compared.
    Labels(fn(&mut Labels)),
    /// cAdvisor states a time, we do not.
    Timeless,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        families: &[
            "container_cpu_load_average_10s",
            "container_cpu_load_d_average_10s",
            "container_tasks_state",
        ],
        rule: Rule::OnlyTheirs(|_, value| value == 0.0),
        why: "always 0 without cAdvisor's load reader, which is off by default",
    },
    Difference {
        families: &["machine_nvm_avg_power_budget_watts", "machine_nvm_capacity"],
        rule: Rule::OnlyTheirs(|_, value| value == 0.0),
        why: "always 0 unless cAdvisor is linked with a library for Intel's persistent memory",
    },
    Difference {
        families: &[
            "container_cpu_system_seconds_total",
            "container_cpu_user_seconds_total",
            "container_pressure_*",
        ],
        rule: Rule::OnlyTheirs(|_, value| value == 0.0),
        why: "0 of a group that has no such controller; what is not known is left out",
    },
    Difference {
        families: &["container_pressure_*"],
        rule: Rule::Unlike(|value| value == 0.0),
        why: "on a hybrid machine the v2 side has pressure files, which cAdvisor does not read",
    },
    Difference {
        families: &[
            "container_fs_io_time*",
            "container_fs_read_seconds_total",
            "container_fs_write_seconds_total",
        ],
        rule: Rule::Value(|seconds| seconds * 1e6),
        why: "cAdvisor divides milliseconds by 1e9",
    },
    Difference {
        families: &["container_*"],
        rule: Rule::Labels(|labels| {
            if labels
                .get("id")
                .is_some_and(|id| id.rsplit('/').next().is_some_and(|last| last.starts_with("pod")))
            {
                labels.remove("pod");
                labels.remove("namespace");
            }
        }),
        why: "a pod's own group carries its pod and namespace, as in the kubelet's endpoint",
    },
    Difference {
        families: &["machine_*"],
        rule: Rule::Timeless,
        why: "cAdvisor states when it last read the machine's files, up to five minutes ago",
    },
    Difference {
        families: &["cadvisor_version_info"],
        rule: Rule::Unlike(|_| true),
        why: "names the program that answers",
    },
    Difference { families: &["kubevigil_*"], rule: Rule::OnlyOurs(|_| true), why: "our own" },
];

/// Families and series that must have been compared at least.
const FAMILIES_MIN: usize = 55;
const SERIES_MIN: usize = 400;

#[test]
fn families_series_and_values() {
    let lack = container::lack().or_else(|| require::program("go"));
    if !require::present("parity_cadvisor", lack) {
        return;
    }
    let began = Instant::now();
    let cadvisor = peer::build("cadvisor").unwrap();
    let mut seed = Seed::of_run("parity_cadvisor");
    let mut containerd = Containerd::start().unwrap();
    let mut command = containerd.view(&cadvisor);
    command.arg("-containerd").arg(containerd.socket());
    let theirs = Program::start_command(command).unwrap();
    let mut command = containerd.view(&built("kubevigil-agent"));
    command.args(["--listen", "127.0.0.1:0"]);
    let ours = Program::start_command(command).unwrap();
    let world = World::start(&mut containerd, &mut seed);

    // Long enough for both to find the new groups and to read them twice.
    std::thread::sleep(Duration::from_secs(4));
    world.stir();
    std::thread::sleep(Duration::from_millis(1500));
    let before = theirs.get("/metrics").unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    let middle = ours.get("/metrics/cadvisor").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let after = theirs.get("/metrics").unwrap();
    if let Some(folder) = std::env::var_os("KUBEVIGIL_KEEP") {
        for (name, text) in [("before", &before), ("ours", &middle), ("after", &after)] {
            std::fs::write(std::path::Path::new(&folder).join(name), text).unwrap();
        }
    }

    let read = |text: &str| Exposition::read(text).unwrap();
    let mut comparison = Comparison {
        before: read(&before),
        ours: read(&middle),
        after: read(&after),
        known: world.groups(),
        wrong: Vec::new(),
        values: 0,
        used: BTreeSet::new(),
    };
    let families = comparison.families();
    comparison.take_labels();
    let series = comparison.series();
    println!(
        "parity_cadvisor: {families} families, {series} series, {} values compared in {:.1} s",
        comparison.values,
        began.elapsed().as_secs_f64()
    );
    for (at, difference) in DIFFERENCES.iter().enumerate() {
        let used = if comparison.used.contains(&at) { "seen" } else { "not seen here" };
        println!("  difference {used}: {:?}: {}", difference.families, difference.why);
    }
    let wrong = &comparison.wrong;
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(60)].join("\n")
    );
    assert!(families >= FAMILIES_MIN, "only {families} families were compared");
    assert!(series >= SERIES_MIN, "only {series} series were compared");
}

/// The containers that both look at.
struct World {
    sandbox: Task,
    others: Vec<Task>,
    plain: Container,
}

impl World {
    fn start(containerd: &mut Containerd, seed: &mut Seed) -> World {
        let mut pod = Pod::new("shop", "cart-0");
        let plain = Request {
            pod: &pod,
            name: None,
            command: "sleep 100000",
            cpu_quota_us: None,
            memory_bytes: None,
            network_of: None,
        };
        let sandbox = containerd.run(&plain).unwrap();
        container::link(&unique_hex(8), sandbox.pid).unwrap();
        pod.sandbox_id = Some(sandbox.id.clone());
        let request = Request {
            pod: &pod,
            name: Some("busy"),
            command: "while :; do :; done",
            cpu_quota_us: Some(seed.within(7..=30) * 1000),
            memory_bytes: Some(seed.within(40..=60) << 20),
            network_of: Some(sandbox.pid),
        };
        let busy = containerd.run(&request).unwrap();
        let request = Request {
            name: Some("disk"),
            command: "sleep 3; dd if=/dev/zero of=/file bs=1M count=4 oflag=direct; dd if=/file of=/dev/null bs=1M iflag=direct; sleep 100000",
            ..request
        };
        let disk = containerd.run(&request).unwrap();
        let request = Request {
            name: Some("hungry"),
            command: "sleep 3; tail /dev/zero; tail /dev/zero; sleep 100000",
            cpu_quota_us: None,
            ..request
        };
        let hungry = containerd.run(&request).unwrap();
        let mut spec =
            Spec::new(Layout::Plain { parent: "/kubevigil-parity".into() }, "sleep 100000");
        spec.cpu_quota_us = Some(seed.within(7..=30) * 1000);
        spec.memory_bytes = Some(seed.within(40..=60) << 20);
        let plain = Container::start(&spec).unwrap();
        World { sandbox, others: vec![busy, disk, hungry], plain }
    }

    fn stir(&self) {
        container::ping(self.sandbox.pid, 20).unwrap();
    }

    fn groups(&self) -> BTreeSet<String> {
        let tasks = self.others.iter().chain([&self.sandbox]).map(|t| &t.group.id);
        tasks.chain([&self.plain.group.id]).cloned().collect()
    }
}

/// Our answer, between two of cAdvisor's.
struct Comparison {
    before: Exposition,
    ours: Exposition,
    after: Exposition,
    /// The groups that the test made: nothing disturbs these.
    known: BTreeSet<String>,
    wrong: Vec<String>,
    values: usize,
    /// Which of `DIFFERENCES` were met.
    used: BTreeSet<usize>,
}

impl Comparison {
    /// Holds HELP and TYPE against each other; gives how many families both have.
    fn families(&mut self) -> usize {
        let mut compared = 0;
        for (name, theirs) in &self.after.families {
            match self.ours.families.get(name) {
                Some(ours) if ours == theirs => compared += 1,
                Some(ours) => self
                    .wrong
                    .push(format!("{name}: HELP and TYPE are {ours:?}, cAdvisor's {theirs:?}")),
                None if differences(name).any(|(_, d)| matches!(d.rule, Rule::OnlyTheirs(_))) => {}
                None => self.wrong.push(format!("family {name} is missing")),
            }
        }
        for name in self.ours.families.keys().filter(|n| !self.after.families.contains_key(*n)) {
            let has_samples = self.ours.named(name).next().is_some();
            if has_samples && !differences(name).any(|(_, d)| matches!(d.rule, Rule::OnlyOurs(_))) {
                self.wrong.push(format!("family {name} is not cAdvisor's"));
            }
        }
        compared
    }

    /// Takes from our labels what the table says.
    fn take_labels(&mut self) {
        for ((name, mut labels), sample) in std::mem::take(&mut self.ours.samples) {
            for (at, difference) in differences(&name) {
                let Rule::Labels(take) = difference.rule else { continue };
                let before = labels.clone();
                take(&mut labels);
                if labels != before {
                    self.used.insert(at);
                }
            }
            self.ours.samples.insert((name, labels), sample);
        }
    }

    /// Holds series and values against each other; gives how many series both have.
    fn series(&mut self) -> usize {
        let mut compared = 0;
        let theirs: BTreeMap<_, _> = self.after.samples.clone();
        for (key, last) in &theirs {
            let Some(first) = self.before.samples.get(key).copied() else { continue };
            match self.ours.samples.get(key).copied() {
                Some(ours) => {
                    compared += 1;
                    self.value(key, first, ours, *last);
                }
                None => self.only_theirs(key, *last),
            }
        }
        let ours: Vec<_> = self.ours.samples.keys().cloned().collect();
        for key in ours {
            if !theirs.contains_key(&key) && !self.before.samples.contains_key(&key) {
                self.only_ours(&key);
            }
        }
        compared
    }

    fn only_theirs(&mut self, (name, labels): &(String, Labels), sample: Sample) {
        for (at, difference) in differences(name) {
            if let Rule::OnlyTheirs(is_meant) = difference.rule
                && is_meant(labels, sample.value)
            {
                self.used.insert(at);
                return;
            }
            if let Rule::Unlike(is_meant) = difference.rule
                && is_meant(sample.value)
            {
                self.used.insert(at);
                return;
            }
        }
        if self.is_there(labels) {
            self.wrong.push(format!("{name}{labels:?} {} is missing", sample.value));
        }
    }

    fn only_ours(&mut self, (name, labels): &(String, Labels)) {
        for (at, difference) in differences(name) {
            let is_meant = match difference.rule {
                Rule::OnlyOurs(is_meant) => is_meant(labels),
                Rule::Unlike(is_meant) => is_meant(1.0),
                _ => false,
            };
            if is_meant {
                self.used.insert(at);
                return;
            }
        }
        if self.is_there(labels) {
            self.wrong.push(format!("{name}{labels:?} is not cAdvisor's"));
        }
    }

    /// Whether the group of a series was there all the time: others come and go on a busy machine.
    fn is_there(&self, labels: &Labels) -> bool {
        let Some(id) = labels.get("id") else { return true };
        let has = |e: &Exposition| !e.all("container_start_time_seconds", &[("id", id)]).is_empty();
        has(&self.before) && has(&self.after)
    }

    fn value(
        &mut self,
        (name, labels): &(String, Labels),
        first: Sample,
        ours: Sample,
        last: Sample,
    ) {
        let (mut from, mut to) = (first.value, last.value);
        let mut is_timeless = false;
        for (at, difference) in differences(name) {
            match difference.rule {
                Rule::Value(of) => {
                    self.used.insert(at);
                    (from, to) = (of(from), of(to));
                }
                Rule::Unlike(is_meant) if is_meant(first.value) => {
                    self.used.insert(at);
                    return;
                }
                Rule::Timeless => {
                    self.used.insert(at);
                    is_timeless = true;
                }
                _ => {}
            }
        }
        if (first.time_ms.is_some() && !is_timeless) != ours.time_ms.is_some() {
            self.wrong.push(format!(
                "{name}{labels:?}: time {:?}, cAdvisor's {:?}",
                ours.time_ms, first.time_ms
            ));
        }
        let is_counter = self.ours.families.get(name).is_some_and(|f| f.1 == "counter");
        let is_ours = labels.get("id").is_none_or(|id| self.known.contains(id));
        let (mut low, mut high) = (from.min(to), from.max(to));
        if !is_counter && !is_ours && name != "container_last_seen" {
            // Gauges of what others do meanwhile: nothing but their magnitude can be judged.
            let slack = (high * 0.5).max(64e6);
            (low, high) = (low - slack, high + slack);
        }
        let rounding = high.abs() * 1e-9;
        self.values += 1;
        if ours.value < low - rounding || ours.value > high + rounding {
            self.wrong
                .push(format!("{name}{labels:?}: {} is not within {low} and {high}", ours.value));
        }
    }
}

/// The differences that speak of a family, with their places in the table.
fn differences(family: &str) -> impl Iterator<Item = (usize, &'static Difference)> {
    let speaks_of = move |pattern: &&str| match pattern.strip_suffix('*') {
        Some(beginning) => family.starts_with(beginning),
        None => *pattern == family,
    };
    DIFFERENCES
        .iter()
        .enumerate()
        .filter(move |(_, d)| d.families.iter().any(speaks_of))
        .collect::<Vec<_>>()
        .into_iter()
}
