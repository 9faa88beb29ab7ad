//! The tree against real and written control groups.

use super::*;
use model::{Family, Sink};
use std::fmt::Write;

/// Writes families as text, enough to look at.
#[derive(Default)]
struct Text(String);

impl Sink for Text {
    fn family(&mut self, family: &Family<'_>) {
        let _ = writeln!(self.0, "# {} {:?}", family.name, family.kind);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, time_ms: Option<i64>) {
        assert!(labels.is_sorted_by(|a, b| a.0 < b.0), "{name}: {labels:?}");
        let _ = writeln!(self.0, "{name}{labels:?} {value} {time_ms:?}");
    }
}

#[test]
fn this_machine() {
    let options = Options::default();
    let mut files = Files::open(&options.paths).unwrap();
    let mut tree = Tree::open(&options).unwrap();
    for _ in 0..3 {
        tree.collect(&mut files, now_ms()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let root = &tree.containers()[0];
    assert_eq!((root.id.as_str(), root.kind), ("/", Kind::Machine));
    assert!(root.memory.limit_bytes.is_some_and(|b| b > 0), "{root:?}");
    assert!(root.cpu.usage_cores.is_some_and(|c| c >= 0.0), "{root:?}");
    let mut text = Text::default();
    tree.write(&mut text);
    assert!(
        text.0.contains("container_cpu_usage_seconds_total[(\"cpu\", \"cpu00\"), (\"id\", \"/\")]")
            || text.0.contains("total")
    );
    if std::env::var_os("SHOW").is_some() {
        println!("{}", text.0);
        println!("{}", serde_json::to_string_pretty(tree.containers()).unwrap());
        println!("{:?}", tree.missing());
    }
}

/// A control group made by hand in every hierarchy, as runtimes do; removed when dropped.
struct ByHand {
    folders: Vec<std::path::PathBuf>,
    path: String,
}

impl ByHand {
    /// `None`, with a line that says so, where this user may not make groups.
    fn make(test: &str, name: &str) -> Option<ByHand> {
        let h = kernel::cgroup::Hierarchies::detect(&Paths::default()).unwrap();
        let path = format!("/kubevigil-{name}-{}", std::process::id());
        let mut made = ByHand { folders: Vec::new(), path };
        // A v1 cpuset takes no process before it is configured, and is not watched.
        let cpuset = |dir: &kernel::Dir| dir.path().join("cpuset.cpus").exists();
        for hierarchy in h.all().iter().filter(|h| h.is_v2 || !cpuset(&h.dir)) {
            let folder = hierarchy.dir.path().join(&made.path[1..]);
            if let Err(e) = std::fs::create_dir(&folder) {
                assert!(std::env::var_os("CI").is_none(), "{test}: {}: {e}", folder.display());
                eprintln!("skipped {test}: cannot make {}: {e}", folder.display());
                return None;
            }
            made.folders.push(folder);
        }
        Some(made)
    }

    /// A shell in the group that runs a line and ends.
    fn run(&self, line: &str) -> std::process::Child {
        let enter: String = self
            .folders
            .iter()
            .map(|f| format!("echo $$ >{}/cgroup.procs && ", f.display()))
            .collect();
        let line = format!("{enter}{{ {line}; }}");
        std::process::Command::new("sh").args(["-c", &line]).spawn().unwrap()
    }

    /// Removes the group and waits until the kernel lets it go.
    fn remove(&mut self) {
        for folder in self.folders.drain(..).rev() {
            for _ in 0..200 {
                match std::fs::remove_dir(&folder) {
                    Err(e) if e.kind() == std::io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(std::time::Duration::from_millis(5));
                    }
                    _ => break,
                }
            }
        }
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        self.remove();
    }
}

/// About 0.2 s of CPU in dash.
const BURN: &str = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";

#[test]
fn appears_falls_empty_and_its_last_reading_stays() {
    let options = Options::default();
    let mut files = Files::open(&options.paths).unwrap();
    let mut tree = Tree::open(&options).unwrap();
    tree.collect(&mut files, now_ms()).unwrap();
    let Some(mut group) = ByHand::make("appears_falls_empty", "short") else { return };
    let id = group.path.clone();
    let find = |tree: &Tree| tree.containers().iter().find(|c| c.id == id).cloned();
    // It lives and ends between two rounds.
    let before = tree.final_readings();
    assert!(group.run(BURN).wait().unwrap().success());
    std::thread::sleep(std::time::Duration::from_millis(50));
    let usage_file = |folder: &std::path::Path| {
        let v1 = std::fs::read_to_string(folder.join("cpuacct.usage")).ok();
        v1.and_then(|v| v.trim().parse::<f64>().ok()).map(|ns| ns / 1e9)
    };
    let truth = group.folders.iter().find_map(|f| usage_file(f));
    group.remove();
    std::thread::sleep(std::time::Duration::from_millis(50));
    tree.collect(&mut files, now_ms()).unwrap();
    let found = find(&tree).expect("the group is in the list");
    assert!(found.ended_ms.is_some() && found.parent.as_deref() == Some("/"), "{found:?}");
    let mut text = Text::default();
    tree.write(&mut text);
    let seen: f64 = text
        .0
        .lines()
        .filter(|l| l.starts_with("container_cpu_usage_seconds_total") && l.contains(&id))
        .map(|l| l.split_whitespace().rev().nth(1).unwrap().parse::<f64>().unwrap())
        .sum();
    println!("seen {seen} s of {truth:?}; {:?}", tree.final_readings());
    if lock(&tree.state).hierarchies.mode() != Mode::V1 {
        // Other tests' groups count as well.
        assert!(tree.final_readings().taken > before.taken);
        let truth = truth.unwrap_or(seen);
        assert!(seen > 0.01 && (seen - truth).abs() < 0.01 * truth, "{seen} of {truth}");
    }
    // The round after, nobody is told again.
    tree.collect(&mut files, now_ms()).unwrap();
    let mut text = Text::default();
    tree.write(&mut text);
    assert!(!text.0.contains(&id));
    assert!(find(&tree).is_some_and(|c| c.ended_ms.is_some()));
}

#[test]
fn a_running_group_is_read_each_round() {
    let options = Options::default();
    let mut files = Files::open(&options.paths).unwrap();
    let mut tree = Tree::open(&options).unwrap();
    let Some(group) = ByHand::make("a_running_group", "busy") else { return };
    let mut child = group.run("while :; do :; done");
    tree.collect(&mut files, now_ms()).unwrap();
    let mut usages = Vec::new();
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(300));
        tree.collect(&mut files, now_ms()).unwrap();
        let found = tree.containers().iter().find(|c| c.id == group.path).unwrap();
        usages.push(found.cpu.usage_cores.unwrap());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // How much of a core it gets is the machine's business.
    assert!(usages.iter().all(|u| *u > 0.0 && *u < 1.5), "{usages:?} cores");
}

/// A control group file system of version 2 in a folder.
struct Written(tempfile::TempDir);

impl Written {
    fn new() -> Written {
        // In memory where that can be: thousands of small files.
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
        let written = Written(tempfile::tempdir_in(folder).unwrap());
        written.file("cgroup.controllers", "cpu io memory pids\n");
        written.file("cpu.stat", "usage_usec 9000000\nuser_usec 5000000\nsystem_usec 4000000\n");
        written.file("memory.stat", "anon 1000\nfile 2000\ninactive_file 500\n");
        written
    }

    fn file(&self, path: &str, content: &str) {
        let path = self.0.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn group(&self, path: &str, usage_us: u64) {
        let cpu = format!(
            "usage_usec {usage_us}\nuser_usec {usage_us}\nsystem_usec 0\nnr_periods 10\nnr_throttled 4\nthrottled_usec 250000\n"
        );
        for (file, content) in [
            ("cgroup.events", "populated 1\nfrozen 0\n"),
            ("cgroup.procs", "1\n2\n"),
            ("cpu.stat", cpu.as_str()),
            ("cpu.max", "20000 100000\n"),
            ("cpu.weight", "100\n"),
            ("memory.current", "33554432\n"),
            (
                "memory.stat",
                "anon 1048576\nfile 4194304\ninactive_file 1048576\nactive_file 2097152\nfile_mapped 4096\npgfault 77\npgmajfault 3\n",
            ),
            ("memory.max", "50331648\n"),
            ("memory.swap.max", "max\n"),
            ("memory.min", "0\n"),
            ("memory.events", "low 0\nhigh 0\nmax 12\noom 2\noom_kill 1\n"),
            ("io.stat", "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"),
            (
                "io.pressure",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n",
            ),
            ("pids.current", "7\n"),
        ] {
            // The kernel never empties cgroup.events, not even for a moment.
            let events = file == "cgroup.events";
            if !(events && self.0.path().join(&path[1..]).join(file).exists()) {
                self.file(&format!("{path}/{file}"), content);
            }
        }
    }

    fn open(&self) -> (Files, Tree) {
        let paths = Paths { cgroupfs: self.0.path().into(), ..Paths::default() };
        let options = Options { paths, ..Options::default() };
        (Files::open(&options.paths).unwrap(), Tree::open(&options).unwrap())
    }
}

fn text(tree: &Tree) -> String {
    let mut text = Text::default();
    tree.write(&mut text);
    text.0
}

#[test]
fn version_2_from_a_written_tree() {
    let written = Written::new();
    let id = "/system.slice/nginx.service";
    written.group(id, 1_500_000);
    let (mut files, mut tree) = written.open();
    tree.collect(&mut files, 1_700_000_000_000).unwrap();
    assert_eq!(lock(&tree.state).hierarchies.mode(), Mode::V2);
    let out = text(&tree);
    let value = |start: &str| {
        let line = out
            .lines()
            .find(|l| l.starts_with(start) && l.contains(&format!("(\"id\", \"{id}\")")));
        let line = line.unwrap_or_else(|| panic!("no {start} in\n{out}"));
        let mut words = line.split_whitespace().rev();
        (words.nth(1).unwrap().parse::<f64>().unwrap(), line.contains("Some(1700000000000)"))
    };
    for (family, want) in [
        ("container_cpu_usage_seconds_total[(\"cpu\", \"total\")", 1.5),
        ("container_cpu_cfs_throttled_seconds_total", 0.25),
        ("container_cpu_cfs_throttled_periods_total", 4.0),
        ("container_memory_usage_bytes", 33_554_432.0),
        ("container_memory_working_set_bytes", 32_505_856.0),
        ("container_memory_rss", 1_048_576.0),
        ("container_memory_cache", 4_194_304.0),
        ("container_memory_failures_total[(\"failure_type\", \"pgmajfault\")", 3.0),
        ("container_fs_reads_bytes_total", 4096.0),
        ("container_fs_writes_total", 2.0),
        ("container_oom_events_total", 1.0),
        ("container_pressure_io_waiting_seconds_total", 1.5),
        ("container_pressure_io_stalled_seconds_total", 0.5),
    ] {
        assert_eq!(value(family), (want, true), "{family}");
    }
    for (family, want) in [
        ("container_spec_cpu_quota", 20_000.0),
        ("container_spec_cpu_period", 100_000.0),
        ("container_spec_cpu_shares", 2597.0),
        ("container_spec_memory_limit_bytes", 50_331_648.0),
        ("container_spec_memory_swap_limit_bytes", 0.0),
    ] {
        assert_eq!(value(family), (want, false), "{family}");
    }
    assert!(!out.lines().any(|l| l.starts_with("container_pressure_cpu") && l.contains(id)));
    let list = tree.containers();
    let ids: Vec<_> = list.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["/", "/system.slice", id]);
    let nginx = &list[2];
    assert_eq!((nginx.title.as_str(), nginx.kind), ("nginx", Kind::Service));
    assert_eq!((nginx.processes, nginx.threads), (Some(2), Some(7)));
    assert_eq!((nginx.cpu.limit_cores, nginx.memory.oom_kills), (Some(0.2), Some(1)));
    assert_eq!((nginx.memory.limit_bytes, nginx.cpu.usage_cores), (Some(48 << 20), None));
    // The root has no memory.current: what is anonymous and what is cached.
    assert_eq!(list[0].memory.usage_bytes, Some(3000));
}

#[test]
fn rates_groups_that_come_and_go_and_counters_that_go_back() {
    let written = Written::new();
    written.group("/a", 1_000_000);
    // The kernel makes a group with all its files at once; here they come one by one, so that a group
    // whose end is to be seen must be there before the tree looks.
    written.group("/b/c", 5);
    let (mut files, mut tree) = written.open();
    let mut round = |tree: &mut Tree| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        tree.collect(&mut files, now_ms()).unwrap();
    };
    round(&mut tree);
    written.group("/a", 1_025_000);
    written.group("/d", 5);
    round(&mut tree);
    let ids = |tree: &Tree| tree.containers().iter().map(|c| c.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&tree), ["/", "/a", "/b", "/b/c", "/d"]);
    let usage = tree.containers()[1].cpu.usage_cores.unwrap();
    assert!(usage > 0.05 && usage <= 0.5, "25 ms in 50 ms and more: {usage}");
    written.group("/a", 3);
    round(&mut tree);
    assert_eq!(tree.containers()[1].cpu.usage_cores, None);
    written.file("/b/c/cgroup.events", "populated 0\nfrozen 0\n");
    round(&mut tree);
    std::fs::remove_dir_all(written.0.path().join("b")).unwrap();
    round(&mut tree);
    let ended: Vec<_> = tree.containers().iter().map(|c| c.ended_ms.is_some()).collect();
    assert_eq!(ended, [false, false, true, true, false]);
    // The same name again is another group.
    written.group("/b", 9);
    round(&mut tree);
    assert!(tree.containers()[2].ended_ms.is_none());
    assert_eq!(tree.final_readings().taken, 1);
}

#[test]
fn one_broken_file_is_named_and_disturbs_nothing_else() {
    let written = Written::new();
    written.group("/a", 1);
    written.group("/b", 2_000_000);
    written.file("/a/memory.stat", "anon 1\ninactive_file lots\n");
    let (mut files, mut tree) = written.open();
    let error = tree.collect(&mut files, now_ms()).unwrap_err().to_string();
    assert!(error.contains("/a/memory.stat: line 2") && error.contains("lots"), "{error}");
    let out = text(&tree);
    assert!(out.contains("container_scrape_error[] 1"), "{out}");
    assert!(out.lines().any(|l| l.starts_with("container_memory_rss[(\"id\", \"/b\")")));
    assert!(
        out.lines()
            .any(|l| l.starts_with("container_cpu_usage_seconds_total") && l.contains("\"/a\""))
    );
}

#[test]
fn names_that_are_not_utf8_and_thousands_of_groups() {
    use std::os::unix::ffi::OsStrExt;
    let written = Written::new();
    let strange = std::ffi::OsStr::from_bytes(b"strange\xff.service");
    std::fs::create_dir(written.0.path().join(strange)).unwrap();
    const COUNT: usize = 3000;
    for i in 0..COUNT {
        let path = format!("/s{}/g{i}", i % 10);
        written
            .file(&format!("{path}/cpu.stat"), "usage_usec 1000\nuser_usec 1000\nsystem_usec 0\n");
        written.file(&format!("{path}/memory.current"), "4096\n");
    }
    let (mut files, mut tree) = written.open();
    let start = std::time::Instant::now();
    tree.collect(&mut files, now_ms()).unwrap();
    let first = start.elapsed();
    tree.collect(&mut files, now_ms()).unwrap();
    println!("{COUNT} groups: first round {first:?}, next {:?}", start.elapsed() - first);
    assert_eq!(tree.containers().len(), COUNT + 11);
    assert!(tree.containers().is_sorted_by_key(|c| c.id.replace('/', "\0")));
}

#[test]
fn groups_vanish_while_they_are_read() {
    let written = Written::new();
    let (mut files, mut tree) = written.open();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let busy = std::sync::Barrier::new(3);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (written, stop, busy) = (&written, &stop, &busy);
            scope.spawn(move || {
                let mut i = 0u64;
                busy.wait();
                loop {
                    let path = format!("/t{thread}/g{}", i % 7);
                    written.group(&path, i);
                    let _ = std::fs::remove_dir_all(written.0.path().join(&path[1..]));
                    i += 1;
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        busy.wait();
        for _ in 0..30 {
            let outcome = tree.collect(&mut files, now_ms());
            // A half-written file of this test's is the one error there may be.
            assert!(
                outcome.is_ok() || outcome.unwrap_err().to_string().contains("cannot understand")
            );
            let _ = text(&tree);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    std::fs::remove_dir_all(written.0.path().join("t0")).unwrap();
    std::fs::remove_dir_all(written.0.path().join("t1")).unwrap();
    tree.collect(&mut files, now_ms()).unwrap();
    let left = tree.containers().iter().filter(|c| c.ended_ms.is_none()).count();
    assert_eq!(left, 1, "{:?}", tree.containers());
}

/// Groups that live a tenth of a second and are removed the moment their process ended, which is less time
/// than any runtime leaves: says what share of their CPU time was seen.
#[test]
fn short_groups_are_seen() {
    const AT_ONCE: usize = 3;
    const EACH: usize = 10;
    let options = Options::default();
    let mut files = Files::open(&options.paths).unwrap();
    let mut tree = Tree::open(&options).unwrap();
    tree.collect(&mut files, now_ms()).unwrap();
    let Some(parent) = ByHand::make("short_groups_are_seen", "parent") else { return };
    let started = std::time::Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..AT_ONCE {
            let parent = &parent;
            scope.spawn(move || {
                for i in 0..EACH {
                    let name = format!("g{thread}-{i}");
                    let folders: Vec<_> = parent.folders.iter().map(|f| f.join(&name)).collect();
                    for folder in &folders {
                        std::fs::create_dir(folder).unwrap();
                    }
                    let path = format!("{}/{name}", parent.path);
                    let mut group = ByHand { folders, path };
                    assert!(group.run(&BURN.replace("300000", "100000")).wait().unwrap().success());
                    group.remove();
                }
            });
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(100));
    tree.collect(&mut files, now_ms()).unwrap();
    let state = lock(&tree.state);
    let (mut seen, mut whole) = (0, 0);
    for (key, entry) in &state.entries {
        let ns = entry.reading.cpu.usage_ns.unwrap_or(0);
        match key.parent() {
            Some(above) if above == parent.path => seen += ns,
            _ if key.path() == parent.path => whole = ns,
            _ => {}
        }
    }
    let (counts, share) = (state.final_readings, seen as f64 / whole as f64);
    println!(
        "short groups: {:.1} % of {:.2} CPU seconds seen, {counts:?}, in {:?}",
        100.0 * share,
        whole as f64 / 1e9,
        started.elapsed()
    );
    assert!(whole > 0 && share <= 1.001, "{seen} of {whole}");
    // Who comes too late is counted, not passed over: each group is one or the other (and their parent
    // falls empty now and then).
    if state.hierarchies.mode() != Mode::V1 {
        let all = (AT_ONCE * EACH) as u64;
        assert!(counts.taken > 0 && counts.taken + counts.late >= all, "{counts:?}");
    }
}
