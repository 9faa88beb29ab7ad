//! The agent's families of the host beside those of a real node_exporter, on the same files: once on a
//! made-up machine, once on this one.
//!
//! Names, labels, help, types and values must be equal but for [`DIFFERENCES`], which
//! `docs/node-metrics.md` explains. A difference that does not show is an error too: the table may not
//! hold what is not so.

mod tree;

use anyhow::{Context, Result, bail};
use model::exposition::{self, FamilyText, Syntax};
use node::Collectors;
use stage::peer;
use stage::program::{self, Program};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tree::Tree;

/// Where the two differ, and why.
enum Difference {
    /// Ours only: a family, or series of one.
    Ours,
    /// The same series with another value: how long something took, or what each says of itself.
    Value,
    /// Series of the same family whose labels say what each program is.
    Labels,
}

struct Known {
    family: &'static str,
    what: Difference,
    /// Whether it shows on the made-up machine, too, or on some real ones only.
    always: bool,
}

const fn known(family: &'static str, what: Difference, always: bool) -> Known {
    Known { family, what, always }
}

const DIFFERENCES: &[Known] = &[
    known("node_exporter_build_info", Difference::Labels, true),
    known("node_scrape_collector_duration_seconds", Difference::Value, true),
    // Fields of /proc/meminfo that node_exporter does not know.
    known("node_memory_KReclaimable_bytes", Difference::Ours, true),
    known("node_memory_Hugetlb_bytes", Difference::Ours, true),
    known("node_memory_SecPageTables_bytes", Difference::Ours, false),
    known("node_memory_FileHugePages_bytes", Difference::Ours, false),
    known("node_memory_FilePmdMapped_bytes", Difference::Ours, false),
    known("node_memory_Unaccepted_bytes", Difference::Ours, false),
    known("node_memory_Balloon_bytes", Difference::Ours, false),
    known("node_memory_GPUActive_bytes", Difference::Ours, false),
    known("node_memory_GPUReclaim_bytes", Difference::Ours, false),
];

/// node_exporter while it runs.
struct Exporter {
    child: Child,
    address: SocketAddr,
}

impl Exporter {
    fn start(flags: &[String]) -> Result<Exporter> {
        let program = peer::build("node_exporter")?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(program);
        command
            .arg(format!("--web.listen-address={address}"))
            .args(["--web.disable-exporter-metrics", "--collector.disable-defaults"])
            .args(Collectors::names().map(|name| format!("--collector.{name}")))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().context("cannot start node_exporter")?;
        let exporter = Exporter { child, address };
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                bail!("node_exporter does not listen at {address}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(exporter)
    }

    fn scrape(&self) -> Result<Answer> {
        let (status, _, body) = program::get(self.address, "/metrics", "")?;
        if status != 200 {
            bail!("node_exporter answers {status}: {}", String::from_utf8_lossy(&body));
        }
        Answer::read(&body)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Families by name; of each its help, its type and its series.
struct Answer(BTreeMap<String, Family>);

struct Family {
    help: String,
    kind: model::Kind,
    series: BTreeMap<(String, Vec<(String, String)>), f64>,
}

impl Answer {
    fn read(text: &[u8]) -> Result<Answer> {
        let families = exposition::read(text, Syntax::Text)
            .map_err(|e| anyhow::anyhow!("line {}: {}", e.line, e.what))?;
        let family = |f: FamilyText| {
            let series = f.samples.into_iter().map(|s| ((s.name, s.labels), s.value)).collect();
            (f.name, Family { help: f.help.unwrap_or_default(), kind: f.kind, series })
        };
        Ok(Answer(families.into_iter().map(family).collect()))
    }

    /// What the agent answers to a scraper, without what it says of itself.
    fn of(agent: &Program) -> Result<Answer> {
        let mut answer = Answer::read(agent.get("/metrics/node")?.as_bytes())?;
        let own = ["kubevigil_", "process_"];
        answer.0.retain(|name, _| !own.iter().any(|prefix| name.starts_with(prefix)));
        Ok(answer)
    }

    fn series(&self) -> usize {
        self.0.values().map(|f| f.series.len()).sum()
    }
}

/// Our agent, which collects anew for each scrape.
fn start_agent(flags: &[String]) -> Result<Program> {
    let flags = ["--reuse", "0ms"].into_iter().chain(flags.iter().map(String::as_str));
    Program::start("kubevigil-agent", &flags.collect::<Vec<_>>())
}

/// How a value may move between two readings.
type Allowed = fn(family: &str, ours_before: f64, theirs: f64, ours_after: f64) -> bool;

/// Holds theirs against ours, read before and after it; gives all that is wrong.
fn compare(before: &Answer, theirs: &Answer, after: &Answer, allowed: Allowed) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    let names: BTreeSet<&String> = theirs.0.keys().chain(after.0.keys()).collect();
    for name in names {
        let difference = DIFFERENCES.iter().find(|d| d.family == name);
        let (ours, their) = (after.0.get(name), theirs.0.get(name));
        let (Some(ours), Some(their)) = (ours, their) else {
            match difference {
                Some(Known { what: Difference::Ours, .. }) if ours.is_some() => {
                    used.insert(name.as_str());
                }
                _ => wrong.push(format!(
                    "{name}: {} only",
                    if ours.is_some() { "ours" } else { "theirs" }
                )),
            }
            continue;
        };
        if ours.help != their.help {
            wrong.push(format!("{name}: help {:?}, theirs {:?}", ours.help, their.help));
        }
        if ours.kind != their.kind {
            wrong.push(format!("{name}: type {:?}, theirs {:?}", ours.kind, their.kind));
        }
        if let Some(Known { what: Difference::Labels, .. }) = difference {
            let labels = |f: &Family| -> Vec<Vec<String>> {
                f.series.keys().map(|k| k.1.iter().map(|l| l.0.clone()).collect()).collect()
            };
            if labels(ours) != labels(their) {
                wrong.push(format!("{name}: label names differ"));
            }
            used.insert(name.as_str());
            continue;
        }
        for key in ours.series.keys().chain(their.series.keys()).collect::<BTreeSet<_>>() {
            let values = (ours.series.get(key), their.series.get(key));
            let (Some(our), Some(their)) = values else {
                let who = if values.0.is_some() { "ours" } else { "theirs" };
                wrong.push(format!("{}{:?}: {who} only", key.0, key.1));
                continue;
            };
            if let Some(Known { what: Difference::Value, .. }) = difference {
                used.insert(name.as_str());
                continue;
            }
            let earlier = before.0.get(name).and_then(|f| f.series.get(key)).unwrap_or(our);
            if our.to_bits() != their.to_bits() && !allowed(name, *earlier, *their, *our) {
                wrong.push(format!("{}{:?}: {earlier} to {our}, theirs {their}", key.0, key.1));
            }
        }
    }
    for d in DIFFERENCES.iter().filter(|d| d.always && !used.contains(d.family)) {
        // A stated difference that real machines show now and then is looked for on the made-up one.
        if before.0.contains_key("backup_seconds") {
            wrong.push(format!("{}: stated as a difference, but there is none", d.family));
        }
    }
    wrong
}

fn report(what: &str, theirs: &Answer, ours: &Answer, wrong: &[String]) {
    let common = theirs.0.keys().filter(|name| ours.0.contains_key(*name)).count();
    let series: usize = theirs.0.values().map(|f| f.series.len()).sum();
    println!("parity with node_exporter, {what}: {common} families, {series} series compared");
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_made_up_machine() -> Result<()> {
    let tree = Tree::write()?;
    let flags = [
        format!("--path.procfs={}", tree.text("proc")),
        format!("--path.sysfs={}", tree.text("sys")),
        format!("--path.rootfs={}", tree.text("root")),
        format!("--path.udev.data={}", tree.text("udev")),
        format!("--collector.textfile.directory={}", tree.text("te*")),
        "--collector.stat.softirq".into(),
    ];
    // Netlink would show this machine.
    let netlink = ["--no-collector.netdev.netlink", "--no-collector.arp.netlink"];
    let theirs: Vec<String> = flags.iter().cloned().chain(netlink.map(String::from)).collect();
    let exporter = Exporter::start(&theirs)?;
    let agent = start_agent(&flags)?;
    let before = Answer::of(&agent)?;
    let theirs = exporter.scrape()?;
    let after = Answer::of(&agent)?;
    // The clock runs, and the trees lie on a disk of this machine.
    let allowed: Allowed = |name, _, theirs, ours| match name {
        "node_time_seconds" => (ours - theirs).abs() < 30.0,
        "node_filesystem_free_bytes" | "node_filesystem_avail_bytes" => (ours - theirs).abs() < 2e9,
        "node_filesystem_files_free" => (ours - theirs).abs() < 50_000.0,
        _ => false,
    };
    let wrong = compare(&before, &theirs, &after, allowed);
    report("a made-up machine", &theirs, &after, &wrong);
    assert!(theirs.0.len() >= 190 && theirs.series() >= 330, "the made-up machine shrank");
    a_changed_value_is_found(&before, &theirs, &after);
    Ok(())
}

/// The canary: each kind of change to one family must be found.
fn a_changed_value_is_found(before: &Answer, theirs: &Answer, after: &Answer) {
    let never: Allowed =
        |name, _, _, _| name == "node_time_seconds" || name.starts_with("node_filesystem_");
    let changes: [fn(&mut Family); 4] = [
        |f| f.help.push('x'),
        |f| f.kind = model::Kind::Summary,
        |f| f.series.values_mut().for_each(|v| *v += 1.0),
        |f| f.series.clear(),
    ];
    for change in changes {
        let copy =
            |f: &Family| Family { help: f.help.clone(), kind: f.kind, series: f.series.clone() };
        let mut changed = Answer(after.0.iter().map(|(n, f)| (n.clone(), copy(f))).collect());
        change(changed.0.get_mut("node_load5").expect("is there"));
        assert_eq!(compare(before, theirs, &changed, never).len(), 1);
    }
}

#[test]
fn this_machine() -> Result<()> {
    let exporter = Exporter::start(&[])?;
    let agent = start_agent(&[])?;
    // Devices and mounts come and go while other tests run; what is only so once is not a difference.
    let mut wrong = Vec::new();
    for _ in 0..5 {
        let before = Answer::of(&agent)?;
        let theirs = exporter.scrape()?;
        let after = Answer::of(&agent)?;
        wrong = compare(&before, &theirs, &after, may_move);
        if wrong.is_empty() {
            report("this machine", &theirs, &after, &wrong);
            assert!(theirs.0.len() >= 100 && Path::new("/proc/stat").exists());
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    bail!("{} differences, five times:\n{}", wrong.len(), wrong.join("\n"))
}

/// A counter lies between our two readings; what goes up and down does so by not too much.
fn may_move(family: &str, before: f64, theirs: f64, after: f64) -> bool {
    if family.ends_with("_total") || family == "node_time_seconds" {
        // Counters of idle time may run back by a tick or two while the processor sleeps.
        return (before - 0.05..=after + 0.05).contains(&theirs);
    }
    let counts = ["node_netstat_", "node_vmstat_", "node_nf_conntrack_stat_"];
    if counts.iter().any(|c| family.starts_with(c)) && before <= after {
        return (before..=after).contains(&theirs) || family.ends_with("CurrEstab");
    }
    let volatile = [
        "node_memory_",
        "node_load",
        "node_procs_",
        "node_disk_io_now",
        "node_sockstat_",
        "node_filefd_allocated",
        "node_softnet_backlog_len",
        "node_entropy_available_bits",
        "node_udp_queues",
        "node_filesystem_free_bytes",
        "node_filesystem_avail_bytes",
        "node_filesystem_files_free",
        "node_nf_conntrack_entries",
        "node_arp_entries",
        "node_netstat_Tcp_CurrEstab",
    ];
    let of =
        |value: f64| (value.abs() * 0.2).max(if family.ends_with("_bytes") { 5e8 } else { 64.0 });
    volatile.iter().any(|v| family.starts_with(v)) && (theirs - after).abs() <= of(after)
}
