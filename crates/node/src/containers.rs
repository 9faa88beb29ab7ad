//! The machine's control groups as containers, services and pods, and cAdvisor's families of them.
//!
//! [`Tree`] knows every group from the moment it appears to some minutes after it ended. A round reads
//! each of them once; between rounds a thread of the tree's waits for the kernel to say that groups came,
//! went or fell empty, and reads a group that fell empty once more before its runtime removes it, so
//! that what short containers used is seen. Nothing is read twice for what did not change, nothing is
//! written into any group, and no runtime is asked over a socket: names, images and labels come
//! from the files that runtimes leave on disk.
//!
//! Follows cAdvisor 0.56 (families) and docs/api.md (plain data).

mod container;
mod entry;
mod families;
mod identify;
mod labels;
mod machine;
mod network;
mod reading;
mod runtimes;
mod state;
#[cfg(test)]
mod tests;
mod visit;

pub use container::{Container, Cpu, Io, Kind, Memory, Network, Pressure, Runtime};
pub use state::FinalReadings;

use crate::{Error, Failure, Files, Missing, Options};
use entry::{Entry, Key};
use kernel::Paths;
use kernel::cgroup::Mode;
use model::Sink;
use state::State;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// Groups' files that are kept open at most; further ones are opened for each reading.
const OPEN_FILES_MAX: usize = 8192;

/// All control groups of a machine.
pub struct Tree {
    state: Arc<Mutex<State>>,
    containers: Vec<Container>,
    /// The version of each of `containers`.
    versions: Vec<u64>,
    missing: Vec<Missing>,
    /// Ends the thread when it is dropped.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Tree {
    /// Finds the control groups of this machine and begins to watch them. A machine without any is
    /// no error: [`Tree::missing`] says so.
    pub fn open(options: &Options) -> Result<Tree, Error> {
        let open_files_max = kernel::cgroup::room_for_open_files(OPEN_FILES_MAX);
        let kept_ms = i64::try_from(options.ended_containers_shown.as_millis()).unwrap_or(i64::MAX);
        let state = State::open(&options.paths, open_files_max, kept_ms, now_ms())?;
        let (wake, woken) = UnixStream::pair().map_err(|source| Error::Watch { source })?;
        let watch = state.watch.clone();
        let state = Arc::new(Mutex::new(state));
        let thread = match watch {
            None => None,
            Some(watch) => {
                let state = state.clone();
                let run = move || {
                    kernel::cgroup::hurry();
                    while let Ok(false) = watch.wait(&woken, None) {
                        let mut state = lock(&state);
                        if state.watch.is_none() {
                            return;
                        }
                        state.handle_events(now_ms());
                    }
                };
                let thread = std::thread::Builder::new().name("cgroup-watch".into());
                Some(thread.spawn(run).map_err(|source| Error::Watch { source })?)
            }
        };
        Ok(Tree {
            state,
            containers: Vec::new(),
            versions: Vec::new(),
            missing: Vec::new(),
            wake: Some(wake),
            thread,
        })
    }

    /// Reads all groups once.
    pub fn collect(&mut self, files: &mut Files, now_ms: i64) -> Result<(), Failure> {
        let state = self.state.clone();
        let mut state = lock(&state);
        state.collect(files.procfs(), files.sysfs(), now_ms);
        self.list(&state);
        self.missing = missing(&state);
        match state.error.take() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Writes cAdvisor's families as of the newest round.
    pub fn write(&self, sink: &mut dyn Sink) {
        families::write(&lock(&self.state), sink);
    }

    /// As of the newest round, parents before children; groups that ended within the last minutes too.
    pub fn containers(&self) -> &[Container] {
        &self.containers
    }

    /// What is not known of this machine's groups, and why.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// How many groups were read when they fell empty, and how many were too fast.
    pub fn final_readings(&self) -> FinalReadings {
        lock(&self.state).final_readings
    }

    /// Brings the list in line with the tree; what did not change but for its figures is not made anew.
    fn list(&mut self, state: &State) {
        self.containers.truncate(state.entries.len());
        self.versions.truncate(state.entries.len());
        for (i, (key, entry)) in state.entries.iter().enumerate() {
            if self.versions.get(i) != Some(&entry.version) {
                let container = describe(key, entry, state);
                if i == self.containers.len() {
                    self.containers.push(container);
                    self.versions.push(entry.version);
                } else {
                    self.containers[i] = container;
                    self.versions[i] = entry.version;
                }
            }
            fill(&mut self.containers[i], entry);
            explain(&mut self.containers[i], entry, state.hierarchies.mode());
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked without the tree's own methods having done so.
            let _ = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

fn missing(state: &State) -> Vec<Missing> {
    let mut missing = state.missing.clone();
    let mode = state.hierarchies.mode();
    if mode == Mode::V1 {
        missing.push(
            Missing::new("pressure of groups", "control groups of version 1 do not tell it")
                .with_remedy("boot with systemd.unified_cgroup_hierarchy=1"),
        );
        missing.push(Missing::new(
            "what a container used after its last round",
            "control groups of version 1 do not tell when one falls empty",
        ));
    } else if mode != Mode::Absent && pressure_is_off(&state.paths) {
        missing.push(
            Missing::new("pressure of groups", "this kernel has no pressure stall information")
                .with_remedy("boot with psi=1"),
        );
    }
    if state.left_out() > 0 {
        let why = format!("there are more than {} groups", state::GROUPS_MAX);
        missing.push(Missing::new(format!("{} groups", state.left_out()), why));
    }
    missing
}

fn pressure_is_off(paths: &Paths) -> bool {
    !paths.procfs.join("pressure").exists()
}

/// All of a container but its figures.
fn describe(key: &Key, entry: &Entry, state: &State) -> Container {
    let meta = &entry.meta;
    let last = key.path().rsplit('/').next().unwrap_or("");
    let suffixes = [".service", ".scope", ".slice"];
    let stem = suffixes.iter().find_map(|s| last.strip_suffix(s)).unwrap_or(last);
    let title = match entry.guess.kind {
        Kind::Machine => "machine".to_string(),
        Kind::Pod | Kind::Sandbox if !meta.pod.is_empty() => meta.pod.clone(),
        Kind::Container if !meta.container.is_empty() => meta.container.clone(),
        Kind::Container if !meta.name.is_empty() => short(&meta.name),
        Kind::Service => stem.to_string(),
        _ => short(stem),
    };
    let mut missing = entry.missing.clone();
    if entry.reading.pressure.iter().all(Option::is_none)
        && state.hierarchies.mode() == Mode::Hybrid
        && !entry.is_root()
    {
        let why = "the group is not in the version 2 hierarchy, which alone tells it";
        missing.push(Missing::new("pressure", why));
    }
    Container {
        id: key.path().into(),
        parent: key.parent().map(String::from),
        kind: entry.guess.kind,
        runtime: entry.guess.runtime,
        title,
        name: meta.name.clone(),
        image: meta.image.clone(),
        labels: meta.labels.clone(),
        namespace: meta.namespace.clone(),
        pod: meta.pod.clone(),
        container: meta.container.clone(),
        started_ms: Some(entry.started_ms),
        ended_ms: entry.ended_ms,
        missing_always: missing.len(),
        missing,
        ..Container::default()
    }
}

/// A container's id as people write it: its first twelve digits.
fn short(name: &str) -> String {
    let is_id = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    if is_id { name[..12].into() } else { name.into() }
}

/// The figures of the newest reading.
fn fill(container: &mut Container, entry: &Entry) {
    let (reading, rates) = (&entry.reading, &entry.rates);
    container.processes = reading.processes;
    container.threads = reading.threads;
    let throttling = entry.throttling();
    container.cpu = Cpu {
        usage_cores: rates.cpu[0],
        user_cores: rates.cpu[1],
        system_cores: rates.cpu[2],
        limit_cores: reading.cpu_limits.and_then(|l| l.cores()),
        throttled_ratio: throttling.and(rates.throttled),
        throttled_seconds_total: throttling.map(|t| t.throttled_ns as f64 / 1e9),
    };
    container.memory = Memory {
        working_set_bytes: reading.memory.working_set(),
        usage_bytes: reading.memory.usage,
        rss_bytes: reading.memory.rss,
        cache_bytes: reading.memory.cache,
        swap_bytes: reading.memory.swap,
        limit_bytes: reading.memory_limits.and_then(|l| l.hard()),
        oom_kills: reading.memory.events.oom_kill,
    };
    container.io = Io { read_bytes_per_second: rates.io[0], write_bytes_per_second: rates.io[1] };
    container.network = reading.network.is_some().then_some(Network {
        receive_bytes_per_second: rates.network[0],
        transmit_bytes_per_second: rates.network[1],
    });
    let has_pressure = reading.pressure.iter().any(Option::is_some);
    container.pressure = has_pressure.then_some(Pressure {
        cpu_some_ratio: rates.pressure[0],
        memory_some_ratio: rates.pressure[1],
        io_some_ratio: rates.pressure[2],
    });
}

/// Says why of each figure that the newest reading does not have.
fn explain(container: &mut Container, entry: &Entry, mode: Mode) {
    let (reading, missing) = (&entry.reading, &mut container.missing);
    missing.truncate(container.missing_always);
    let off = match mode {
        Mode::V1 | Mode::Hybrid => "the group is not in this controller's hierarchy",
        _ => "this controller is not enabled for the group",
    };
    let mut say = |what: &'static str, known: bool, why: &'static str| {
        if !known {
            missing.push(Missing::new(what, why));
        }
    };
    let rate = |read: bool| if read { "a rate needs two readings" } else { off };
    say("cpu", container.cpu.usage_cores.is_some(), rate(reading.cpu.usage_ns.is_some()));
    say("memory", container.memory.working_set_bytes.is_some(), off);
    say("io", container.io.read_bytes_per_second.is_some(), rate(reading.io.is_some()));
    say("threads", container.threads.is_some(), off);
    say("processes", container.processes.is_some(), "its list of processes cannot be read");
    say("oom", container.memory.oom_kills.is_some(), off);
    if container.cpu.limit_cores.is_none() {
        say("throttling", container.cpu.throttled_ratio.is_some(), "it has no CPU limit");
    }
    let network = match container.kind {
        Kind::Container | Kind::Sandbox | Kind::Pod => {
            "it shares the machine's network, or only root may see its own"
        }
        _ => "it has no network of its own",
    };
    say("network", container.network.is_some(), network);
}
