//! `kubevigil-agent` as its users meet it: paths, formats, flags, its end, and how little it is.

use model::exposition::{FamilyText, Syntax, read};
use stage::program::{Program, built, repository};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Stripped, as `make test` builds it (opt-level 1; a release is smaller).
const SIZE_MAX: u64 = 14 << 20;

const OPEN_METRICS: &str = "Accept: application/openmetrics-text;version=1.0.0\r\n";

fn start(arguments: &[&str]) -> Program {
    Program::start("kubevigil-agent", arguments).unwrap()
}

fn families(program: &Program, path: &str) -> Vec<FamilyText> {
    let text = program.get(path).unwrap();
    read(text.as_bytes(), Syntax::Text).unwrap_or_else(|e| panic!("{path}: {e}\n{text}"))
}

fn value(families: &[FamilyText], name: &str) -> f64 {
    let family = families.iter().find(|f| f.name == name);
    family.unwrap_or_else(|| panic!("no {name}")).samples[0].value
}

#[test]
fn links_nothing_that_it_does_not_need() {
    let output = Command::new("cargo")
        .args([
            "tree",
            "-p",
            "kubevigil-agent",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--offline",
            "--locked",
        ])
        .current_dir(repository())
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    let names: BTreeSet<&str> = tree.lines().filter_map(|l| l.split(' ').next()).collect();
    assert!(names.contains("kubevigil-node") && names.contains("kubevigil-http"), "{tree}");
    for foreign in [
        "kubevigil-tsdb",
        "kubevigil-promql",
        "kubevigil-api",
        "kubevigil-disk",
        "kubevigil",
        "kube",
        "prost",
    ] {
        assert!(!names.contains(foreign), "the agent links {foreign}");
    }
    println!("the agent links {} crates", names.len());
}

#[test]
fn stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let stripped = folder.path().join("agent");
    let status =
        Command::new("strip").arg("-o").arg(&stripped).arg(built("kubevigil-agent")).status();
    assert!(status.unwrap().success());
    let size = std::fs::metadata(&stripped).unwrap().len();
    println!("kubevigil-agent: {} KiB stripped", size >> 10);
    assert!(size < SIZE_MAX, "{size} bytes, at most {SIZE_MAX}");
}

#[test]
fn serves_each_path_in_each_format() {
    let agent = start(&["--reuse", "1m"]);
    let all = families(&agent, "/metrics");
    let node = families(&agent, "/metrics/node");
    let cadvisor = families(&agent, "/metrics/cadvisor");
    let names = |f: &[FamilyText]| f.iter().map(|f| f.name.clone()).collect::<BTreeSet<_>>();
    let (all_names, node_names, cadvisor_names) = (names(&all), names(&node), names(&cadvisor));
    assert_eq!(all_names.len(), all.len(), "a family comes twice");
    assert!(node_names.is_disjoint(&cadvisor_names));
    assert_eq!(all_names, node_names.union(&cadvisor_names).cloned().collect());
    assert!(node_names.len() > 100, "only {} families of the host", node_names.len());
    assert!(cadvisor_names.contains("container_cpu_usage_seconds_total"), "{cadvisor_names:?}");
    assert!(node_names.iter().all(|n| !n.starts_with("container_")));
    for family in &all {
        assert!(family.help.is_some(), "{} has no help", family.name);
    }

    // OpenMetrics says the same.
    let (status, head, body) = agent.get_with("/metrics", OPEN_METRICS).unwrap();
    assert_eq!(status, 200);
    let type_ = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
    assert!(head.to_ascii_lowercase().contains(type_), "{head}");
    assert!(body.ends_with(b"\n# EOF\n"));
    let open = read(&body, Syntax::OpenMetrics).unwrap_or_else(|e| panic!("{e}"));
    let series = |f: &[FamilyText]| -> usize { f.iter().map(|f| f.samples.len()).sum() };
    assert_eq!(series(&open), series(&all));

    // gzip holds the same bytes, twice from one round.
    for headers in ["", OPEN_METRICS] {
        let (_, _, plain) = agent.get_with("/metrics/cadvisor", headers).unwrap();
        for _ in 0..2 {
            let headers = format!("{headers}Accept-Encoding: gzip\r\n");
            let (_, head, body) = agent.get_with("/metrics/cadvisor", &headers).unwrap();
            assert!(head.to_ascii_lowercase().contains("content-encoding: gzip"), "{head}");
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut text).unwrap();
            assert!(text == plain && body.len() * 3 < text.len());
        }
    }
    let refused = agent.get_with("/metrics", "Accept-Encoding: gzip;q=0\r\n").unwrap();
    assert!(!refused.1.to_ascii_lowercase().contains("content-encoding"));

    assert_eq!(agent.get("/healthz").unwrap(), "ok\n");
    assert_eq!(agent.get("/readyz").unwrap(), "ready\n");
    let page = agent.get("/").unwrap();
    assert!(
        page.contains("href=\"/metrics/cadvisor\"") && page.contains("<td>meminfo</td><td>ok</td>")
    );
    assert_eq!(agent.get_with("/nothing", "").unwrap().0, 404);
    let (status, _, body) = agent.get_with("/metrics?collect%5B%5D=cpu", "").unwrap();
    assert!(status == 400 && String::from_utf8_lossy(&body).contains("--no-collector.NAME"));
    println!("compared {} families, {} series", all.len(), series(&all));
}

#[test]
fn scrapes_that_come_together_share_a_round() {
    let rounds =
        |agent: &Program| value(&families(agent, "/metrics"), "kubevigil_agent_rounds_total");
    let agent = start(&["--reuse", "1m"]);
    let before = rounds(&agent);
    std::thread::scope(|scope| {
        for i in 0..20 {
            let agent = &agent;
            let path = ["/metrics", "/metrics/node", "/metrics/cadvisor"][i % 3];
            scope.spawn(move || agent.get(path).unwrap());
        }
    });
    assert_eq!(rounds(&agent), before);
    let agent = start(&["--reuse", "0"]);
    let before = rounds(&agent);
    agent.get("/metrics/node").unwrap();
    assert_eq!(rounds(&agent), before + 2.0);
    assert_eq!(value(&families(&agent, "/metrics"), "kubevigil_panics_total"), 0.0);
}

#[test]
fn says_what_it_takes_itself() {
    let agent = start(&[]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
    let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    let resident: f64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    let families = families(&agent, "/metrics");
    let ratio = value(&families, "process_resident_memory_bytes") / (resident * 1024.0);
    assert!((0.8..1.5).contains(&ratio), "{ratio}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let age = now.as_secs_f64() - value(&families, "process_start_time_seconds");
    assert!((-2.0..60.0).contains(&age), "{age}");
    // One that serves, one that watches control groups, those that guard against dead mounts.
    assert!(value(&families, "process_threads") <= 6.0);
    println!("the agent takes {resident} KiB");
}

#[test]
fn ends_in_time_whatever_its_clients_do() {
    let agent = start(&[]);
    let address = agent.address;
    let idle = TcpStream::connect(address).unwrap();
    let mut half = TcpStream::connect(address).unwrap();
    half.write_all(b"GET /metrics HTTP/1.1\r\nHost:").unwrap();
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let said = agent.output.clone();
    let asked = Instant::now();
    assert_eq!(agent.stop().unwrap(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    let said = said.lock().unwrap().clone();
    assert!(!said.contains("panicked"), "{said}");
    drop((idle, half, slow));
}

fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } =
        Command::new(built("kubevigil-agent")).args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn mistakes_are_explained() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = refused(&["--listen", &address]);
    assert!(
        code == Some(1) && said.contains(&address) && said.contains("another process"),
        "{said}"
    );
    let (code, said) = refused(&["--listen", "0.0.0.0:0"]);
    assert!(
        code == Some(1) && said.contains("--web.config.file") && said.contains("--listen-insecure")
    );
    let (code, said) = refused(&["--path.procfs", "/nonexistent/proc"]);
    assert!(code == Some(1) && said.contains("/nonexistent/proc"), "{said}");
    let (code, said) = refused(&["--web.config.file", "/nonexistent/web.yml"]);
    assert!(code == Some(1) && said.contains("/nonexistent/web.yml"), "{said}");
    let (code, said) = refused(&["--collector.nonsense"]);
    assert!(code == Some(2) && said.contains("--collector.nonsense"), "{said}");
    let (code, said) = refused(&["--collector.netdev.device-exclude=("]);
    assert!(code == Some(1) && said.contains("collector.netdev.device-exclude"), "{said}");
}

#[test]
fn help_teaches() {
    let output = Command::new(built("kubevigil-agent")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for taught in [
        "http://127.0.0.1:7601/metrics",
        "--path.rootfs",
        "--no-collector.arp",
        "Root adds",
        "/metrics/cadvisor",
    ] {
        assert!(help.contains(taught), "{taught} is not in\n{help}");
    }
}

#[test]
fn collectors_are_switched_as_node_exporter_spells_it() {
    let agent = start(&[
        "--no-collector.meminfo",
        "--collector.textfile.directory=/nonexistent",
        "--log-format=json",
    ]);
    let text = agent.get("/metrics/node").unwrap();
    assert!(!text.contains("node_memory_MemTotal_bytes") && text.contains("node_load1"));
    assert!(!text.contains("collector=\"meminfo\""));
    for line in agent.said().lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    let few = start(&["--collector.disable-defaults", "--collector.loadavg"]);
    let text = few.get("/metrics/node").unwrap();
    assert!(text.contains("node_load1") && !text.contains("node_cpu_seconds_total"));
}
