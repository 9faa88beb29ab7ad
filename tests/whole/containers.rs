//! Real containers against our programs: what the agent and the standalone say of them is what the
//! kernel's own counters say, read by the test.

use stage::container::{self, Container, Layout, Network, Pod, Spec};
use stage::{leftovers, require};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
