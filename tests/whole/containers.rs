//! Real containers against our programs: what the agent and the standalone say of them is what the
//! kernel's own counters say, read by the test.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use stage::container::{self, Container, Layout, Network, Pod, Spec};
use stage::exposition::Exposition;
use stage::program::Program;
use stage::seed::Seed;
use stage::{leftovers, require};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The containers on which the tests stand are what they claim to be, and leave nothing behind.
#[test]
fn rig() {
    if !require::present("containers::rig", container::lack()) {
        return;
    }
    let mut pod = Pod::new("shop", "cart-0");
    let sandbox = Container::sandbox(&mut pod, Network::Veth).unwrap();
    let mut spec = Spec::new(Layout::Pod(pod), "while :; do :; done");
    spec.cpu_quota_us = Some(20_000);
    spec.memory_bytes = Some(50 << 20);
    spec.network = Network::Of(sandbox.pid);
    let main = Container::start(&spec).unwrap();
    assert_eq!(main.group.cpu_quota().unwrap(), Some((20_000, 100_000)));
    assert_eq!(main.group.memory_limit().unwrap(), Some(50 << 20));
    assert_eq!(main.group.oom_kills().unwrap(), 0);
    assert_eq!(main.group.processes().unwrap(), [main.pid]);
    std::thread::sleep(Duration::from_secs(1));
    let used = main.group.cpu_seconds().unwrap();
    assert!((0.05..0.4).contains(&used), "20 % of a core for a second is not {used} s");
    container::ping(sandbox.pid, 5).unwrap();
    let devices = std::fs::read_to_string(format!("/proc/{}/net/dev", main.pid)).unwrap();
    assert!(devices.contains("eth0:"), "{devices}");
    let (group, pid) = (main.group.folder("memory"), main.pid);
    assert!(group.is_dir());
    drop(main);
    assert!(!group.exists(), "{} is left", group.display());
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "process {pid} is left: {stat}");
    let parent = group.parent().unwrap().to_path_buf();
    sandbox.end().unwrap();
    assert!(!parent.exists(), "{} is left", parent.display());
}

/// A test that is killed cannot clean up: the next one does.
#[test]
fn rig_sweeps_after_a_kill() {
    if !require::present("containers::rig_sweeps_after_a_kill", container::lack()) {
        return;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "containers::victim", "--nocapture"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(victim.stdout.take().unwrap());
    let mut group = String::new();
    while !group.starts_with("group ") {
        group.clear();
        assert!(
            std::io::BufRead::read_line(&mut said, &mut group).unwrap() > 0,
            "the victim ended"
        );
    }
    let folder =
        stage::cgroup::Group::at(group.trim_start_matches("group ").trim()).folder("memory");
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(folder.is_dir(), "{} went with its test: nothing is left to sweep", folder.display());
    leftovers::sweep().unwrap();
    assert!(!folder.exists(), "{} is left", folder.display());
}

/// Started and killed by `rig_sweeps_after_a_kill`.
#[test]
#[ignore = "waits to be killed"]
fn victim() {
    let spec = Spec::new(Layout::Docker { name: "victim".into() }, "sleep 1000");
    let container = Container::start(&spec).unwrap();
    println!("group {}", container.group.id);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Start of a group's life to its sight, and its end to its being told: one interval, and what a busy
/// machine may take to answer.
const INTERVAL: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_millis(1500);

/// A container, and what was asked for when it was started.
struct Asked {
    container: Container,
    name: &'static str,
    quota_us: u64,
    memory: u64,
    kills: u64,
}

/// Both programs, and what they say of a group.
struct Programs {
    agent: Program,
    standalone: Program,
    _data: tempfile::TempDir,
}

impl Programs {
    fn start() -> Programs {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("data").display().to_string();
        let standalone =
            Program::start("kubevigil", &["--interval", "1s", "--data-dir", &folder]).unwrap();
        Programs { agent: Program::start("kubevigil-agent", &[]).unwrap(), standalone, _data: data }
    }

    fn scrape(&self) -> Exposition {
        Exposition::read(&self.agent.get("/metrics/cadvisor").unwrap()).unwrap()
    }

    /// The group in the standalone's list, and the time of the list.
    fn listed(&self, id: &str) -> Option<(serde_json::Value, i64)> {
        let (status, _, body) = self.standalone.get_with("/api/vigil/v1/containers", "").unwrap();
        if status != 200 {
            return None; // it opens its data folder, or has no round yet
        }
        let mut list: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let time = list["time_ms"].as_i64().unwrap();
        let groups = list["containers"].as_array_mut().unwrap();
        let at = groups.iter().position(|g| g["id"] == id)?;
        Some((groups.swap_remove(at), time))
    }

    /// The value of a query that has one result, at a time.
    fn query(&self, query: &str, time_ms: Option<i64>) -> Option<f64> {
        let mut path = format!("/api/v1/query?query={}", encoded(query));
        if let Some(time) = time_ms {
            path.push_str(&format!("&time={}", time as f64 / 1e3));
        }
        let answer = self.standalone.json(&path).unwrap();
        let result =
            answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}"));
        assert!(result.len() <= 1, "{query}: {answer}");
        let value = result.first()?["value"][1].as_str()?;
        Some(value.parse().unwrap())
    }

    fn stop(self) {
        for program in [self.agent, self.standalone] {
            let said = program.said();
            assert!(!said.contains("panicked"), "{said}");
            assert_eq!(program.stop().unwrap(), Some(0));
        }
    }
}

fn encoded(query: &str) -> String {
    query
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }
        })
        .collect()
}

/// Tries again until there is an answer; fails after the time given.
fn within<T>(time: Duration, what: &str, mut try_once: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = try_once() {
            return answer;
        }
        assert!(began.elapsed() < time, "{what}: not within {time:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Containers with random limits: what the agent and the standalone say of them, from their first second
/// until after their end, is what the kernel counted.
#[test]
fn numbers_agree() {
    if !require::present("containers::numbers_agree", container::lack()) {
        return;
    }
    let programs = Programs::start();
    within(Duration::from_secs(30), "a first round", || programs.listed("/"));
    let mut seed = Seed::of_run("containers::numbers_agree");
    let mut pod = Pod::new("shop", "cart-0");
    let sandbox = Container::sandbox(&mut pod, Network::Veth).unwrap();
    let layouts = [
        ("docker", Layout::Docker { name: "web".into() }),
        ("docker scope", Layout::DockerScope { name: "db".into() }),
        ("pod", Layout::Pod(pod.clone())),
        ("plain", Layout::Plain { parent: "/kubevigil-numbers".into() }),
    ];
    let mut started = Vec::new();
    for (name, layout) in layouts {
        let kills = if name == "plain" { seed.within(1..=3) } else { 0 };
        let (quota_us, memory) = (seed.within(7..=30) * 1000, seed.within(40..=60) << 20);
        let mut command = "while :; do :; done".to_string();
        if kills > 0 {
            // The first process lives on; those that want too much are killed one after the other.
            command = format!("for _ in $(seq {kills}); do tail /dev/zero; done; {command}");
        }
        let mut spec = Spec::new(layout, &command);
        (spec.cpu_quota_us, spec.memory_bytes) = (Some(quota_us), Some(memory));
        if name == "pod" {
            spec.network = Network::Of(sandbox.pid);
        }
        let container = Container::start(&spec).unwrap();
        let id = container.group.id.clone();
        within(INTERVAL + SLACK, &format!("{name} appears"), || {
            let is_scraped =
                !programs.scrape().all("container_start_time_seconds", &[("id", &id)]).is_empty();
            (is_scraped && programs.listed(&id).is_some()).then_some(())
        });
        started.push(Asked { container, name, quota_us, memory, kills });
    }
    within(Duration::from_secs(60), "all kills", || {
        started.iter().all(|a| a.container.group.oom_kills().unwrap() == a.kills).then_some(())
    });
    names(&programs, &started, &sandbox);
    container::ping(sandbox.pid, 20).unwrap();
    usage(&programs, &started);
    for asked in &started {
        limits(&programs, asked);
    }
    network(&programs, &sandbox);
    for asked in started {
        end(&programs, asked);
    }
    programs.stop();
}

/// Who each container is, as its runtime's files say.
fn names(programs: &Programs, started: &[Asked], sandbox: &Container) {
    let listed = |id: &str| programs.listed(id).expect("in the list").0;
    for asked in started {
        let group = listed(&asked.container.group.id);
        let expected = match asked.name {
            "docker" => ("docker", "web", "", ""),
            "docker scope" => ("docker", "db", "", ""),
            "pod" => ("containerd", asked.container.id.as_str(), "cart-0", "main"),
            _ => continue,
        };
        let text = |key: &str| group[key].as_str().unwrap_or_default().to_string();
        let said = (text("runtime"), text("name"), text("pod"), text("container"));
        assert_eq!(
            (said.0.as_str(), said.1.as_str(), said.2.as_str(), said.3.as_str()),
            expected,
            "{group}"
        );
        assert_eq!(
            (text("kind"), text("image")),
            ("container".into(), "registry.example/busybox:1.35".into()),
            "{group}"
        );
    }
    let group = listed(&sandbox.group.id);
    assert_eq!(
        (group["kind"].as_str(), group["pod"].as_str()),
        (Some("sandbox"), Some("cart-0")),
        "{group}"
    );
}

/// CPU over ten seconds by the agent, by a query, and by the mean of the list, each against the kernel's counter.
fn usage(programs: &Programs, started: &[Asked]) {
    let ours = |e: &Exposition, id: &str| {
        let parts = e.all("container_cpu_usage_seconds_total", &[("id", id)]);
        (parts.iter().map(|s| s.value).sum::<f64>(), parts[0].time_ms.unwrap() as f64 / 1e3)
    };
    let counted = || -> Vec<(f64, Instant)> {
        started.iter().map(|a| (a.container.group.cpu_seconds().unwrap(), Instant::now())).collect()
    };
    let (first, first_scrape) = (counted(), programs.scrape());
    let mut lists: Vec<Vec<f64>> = vec![Vec::new(); started.len()];
    let mut seen_ms = 0;
    while first[0].1.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(200));
        for (asked, list) in started.iter().zip(&mut lists) {
            let (group, time) = programs.listed(&asked.container.group.id).expect("in the list");
            if asked.name == started[0].name && time == seen_ms {
                break; // the same round as before
            }
            seen_ms = time;
            list.extend(group["cpu"]["usage_cores"].as_f64());
        }
    }
    let (last, last_scrape) = (counted(), programs.scrape());
    for (at, asked) in started.iter().enumerate() {
        let id = &asked.container.group.id;
        let kernel = (last[at].0 - first[at].0) / (last[at].1 - first[at].1).as_secs_f64();
        let (from, to) = (ours(&first_scrape, id), ours(&last_scrape, id));
        let agent = (to.0 - from.0) / (to.1 - from.1);
        let query = format!("sum(rate(container_cpu_usage_seconds_total{{id=\"{id}\"}}[10s]))");
        let query = programs.query(&query, None).expect("a rate");
        let list = lists[at].iter().sum::<f64>() / lists[at].len() as f64;
        println!(
            "numbers_agree: {:12} limit {:.2} cores: kernel {kernel:.4}, agent {agent:.4}, query {query:.4}, list {list:.4} ({} rounds)",
            asked.name,
            asked.quota_us as f64 / 1e5,
            lists[at].len()
        );
        assert!(lists[at].len() >= 8, "{} rounds in 10 s", lists[at].len());
        for (who, cores) in [("agent", agent), ("query", query), ("list", list)] {
            assert!(
                (cores / kernel - 1.0).abs() < 0.05,
                "{}: {who} says {cores}, the kernel {kernel}",
                asked.name
            );
        }
    }
}

/// Limits and kills, exactly, by the agent, by query and in the list.
fn limits(programs: &Programs, asked: &Asked) {
    let (id, group) = (&asked.container.group.id, &asked.container.group);
    assert_eq!(group.cpu_quota().unwrap(), Some((asked.quota_us, 100_000)), "the rig");
    assert_eq!(group.memory_limit().unwrap(), Some(asked.memory), "the rig");
    let scrape = programs.scrape();
    let listed = programs.listed(id).expect("in the list").0;
    let exact = [
        ("container_spec_cpu_quota", asked.quota_us as f64),
        ("container_spec_cpu_period", 100_000.0),
        ("container_spec_memory_limit_bytes", asked.memory as f64),
        ("container_oom_events_total", asked.kills as f64),
    ];
    for (family, value) in exact {
        assert_eq!(
            scrape.one(family, &[("id", id)]).unwrap().value,
            value,
            "{}: {family}",
            asked.name
        );
        assert_eq!(
            programs.query(&format!("{family}{{id=\"{id}\"}}"), None),
            Some(value),
            "{}: {family}",
            asked.name
        );
    }
    assert_eq!(
        listed["cpu"]["limit_cores"].as_f64(),
        Some(asked.quota_us as f64 / 1e5),
        "{listed}"
    );
    assert_eq!(listed["memory"]["limit_bytes"].as_u64(), Some(asked.memory), "{listed}");
    assert_eq!(listed["memory"]["oom_kills"].as_u64(), Some(asked.kills), "{listed}");
    // Two loops of a shell hold little more than a page that the kernel may take or leave at any moment.
    let usage = group.memory_working_set().unwrap() as f64;
    let ours = scrape.one("container_memory_working_set_bytes", &[("id", id)]).unwrap().value;
    assert!(
        (ours - usage).abs() <= 262_144.0,
        "{}: working set {ours}, the kernel's {usage}",
        asked.name
    );
    let (_, throttled, _) = group.throttled().unwrap();
    let ours =
        scrape.one("container_cpu_cfs_throttled_periods_total", &[("id", id)]).unwrap().value;
    let since = throttled as f64 - ours; // it goes on while the test reads
    assert!(
        (0.0..=30.0).contains(&since),
        "{}: {ours} throttled periods, the kernel's {throttled}",
        asked.name
    );
}

/// The sandbox's packets are on the sandbox, once.
fn network(programs: &Programs, sandbox: &Container) {
    let devices = std::fs::read_to_string(format!("/proc/{}/net/dev", sandbox.pid)).unwrap();
    let line = devices.lines().find_map(|l| l.trim().strip_prefix("eth0:")).expect("eth0");
    let kernel: Vec<f64> = line.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let scrape = within(INTERVAL + SLACK, "the network's figures", || {
        let scrape = programs.scrape();
        let of = |family: &str| {
            scrape.one(family, &[("id", &sandbox.group.id), ("interface", "eth0")]).unwrap().value
        };
        let ours = [
            of("container_network_receive_bytes_total"),
            of("container_network_transmit_packets_total"),
        ];
        (ours == [kernel[0], kernel[9]]).then_some(scrape)
    });
    let rows = scrape
        .named("container_network_receive_bytes_total")
        .filter(|(l, _)| l.get("pod").is_some_and(|p| p == "cart-0"));
    assert_eq!(rows.count(), 1, "a pod's network is counted once");
}

/// An ended container: told within an interval, its last reading kept with its own time, nothing after it.
fn end(programs: &Programs, asked: Asked) {
    let id = asked.container.group.id.clone();
    let now_ms = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let before = asked.container.group.cpu_seconds().unwrap();
    let (from_ms, name) = (now_ms(), asked.name);
    asked.container.end().unwrap();
    let to_ms = now_ms();
    let group = within(INTERVAL + SLACK, &format!("{name} ends"), || {
        programs.listed(&id).map(|(g, _)| g).filter(|g| g["ended_ms"].is_i64())
    });
    let ended = group["ended_ms"].as_i64().unwrap();
    assert!(
        (from_ms..=to_ms + INTERVAL.as_millis() as i64).contains(&ended),
        "{name} ended at {ended}, not from {from_ms} to {to_ms}"
    );
    assert!(
        group["memory"]["limit_bytes"].as_u64() == Some(asked.memory),
        "the last reading is lost: {group}"
    );
    let query = format!("sum(container_cpu_usage_seconds_total{{id=\"{id}\"}})");
    // In the history the line stops with the last reading: there just before the end, gone one interval after.
    within(INTERVAL + SLACK, &format!("the series of {name} end"), || {
        programs.query(&query, None).is_none().then_some(())
    });
    let last =
        programs.query(&format!("max_over_time({query}[1m:100ms])"), None).expect("its history");
    assert!(
        last >= before - 0.35 && last <= before + 1.0,
        "{name}: history ends with {last} s, the kernel had {before} s"
    );
    // The agent's next answers show the last reading at its own time.
    if let [first, ..] =
        programs.scrape().all("container_cpu_usage_seconds_total", &[("id", &id)])[..]
    {
        assert!(first.time_ms.unwrap() <= to_ms, "{name}: a reading of after its end");
    }
}
