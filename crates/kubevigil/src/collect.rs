//! The collector: one thread that reads the machine at each interval and hands the samples of each
//! job to the store, with `up` and the `scrape_*` series that a scraped target would have.

use crate::clock::{self, Clock, Event};
use crate::machine::{Machine, TargetRound};
use crate::process::Memory;
use api::Families;
use api::backend::{Backend, Notice, Severity};
use model::labels::METRIC_NAME;
use model::{Family, Labels, Sample, Sink, Value};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tsdb::{Committed, Db, Group};

/// Something whose samples are taken together.
#[derive(Debug)]
pub struct Job {
    /// The label `job`.
    pub name: &'static str,
    /// Where the same families can be scraped.
    pub path: &'static str,
    /// Whether the path is a label, as kube-prometheus has it.
    path_label: bool,
    /// What it consists of.
    pub families: Families,
}

/// All jobs.
pub const JOBS: [Job; 3] = [
    Job { name: "node", path: "/metrics/node", path_label: false, families: Families::Node },
    Job {
        name: "cadvisor",
        path: "/metrics/cadvisor",
        path_label: true,
        families: Families::Cadvisor,
    },
    Job { name: "kubevigil", path: "/metrics", path_label: false, families: Families::Ourselves },
];

impl Job {
    /// The labels that all its series carry.
    pub fn labels(&self, hostname: &str) -> Labels {
        let path = if self.path_label { self.path } else { "" };
        Labels::from_pairs([("job", self.name), ("instance", hostname), ("metrics_path", path)])
    }
}

/// Asks a thread to stop, and wakes it for that.
#[derive(Debug, Default)]
pub struct Stop {
    asked: Mutex<bool>,
    wake: Condvar,
}

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Waits; true where it is time to stop.
    fn wait(&self, duration: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(asked, duration, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Starts the collector's thread, which runs until `stop`.
pub fn start(
    machine: Arc<Machine>,
    stop: Arc<Stop>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("collect".into()).spawn(move || {
        /// Says so where the thread ends by a panic.
        struct Deathbed(Arc<Machine>);
        impl Drop for Deathbed {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.collector_died();
                }
            }
        }
        let deathbed = Deathbed(machine);
        Collector { machine: &deathbed.0, writers: None }.run(&stop);
    })
}

struct Collector<'a> {
    machine: &'a Machine,
    /// Once the store is open.
    writers: Option<[Writer; JOBS.len()]>,
}

impl Collector<'_> {
    fn run(&mut self, stop: &Stop) {
        let interval_ms = self.machine.fixed.interval_ms.unsigned_abs();
        let mut clock = Clock::new(Duration::from_millis(interval_ms), clock::now());
        while !stop.wait(clock.wait(clock::now())) {
            let tick = clock.tick(clock::now());
            self.machine.counts.missed.fetch_add(tick.missed, Ordering::Relaxed);
            if let Some(event) = tick.event {
                self.tell(event);
            }
            let start = Instant::now();
            self.round(tick.time_ms);
            let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.machine.counts.rounds.fetch_add(1, Ordering::Relaxed);
            self.machine.counts.round_us.fetch_add(took, Ordering::Relaxed);
        }
        self.end();
    }

    fn round(&mut self, time_ms: i64) {
        let start = Instant::now();
        self.machine.node().collect(time_ms);
        let read_seconds = start.elapsed().as_secs_f64();
        if self.writers.is_none()
            && let Some(db) = self.machine.store()
        {
            let hostname = &self.machine.fixed.hostname;
            self.writers = Some(JOBS.each_ref().map(|job| Writer::new(db, job.labels(hostname))));
        }
        let keep = match self.machine.memory() {
            Memory::NothingNew => {
                self.machine.counts.refused.fetch_add(1, Ordering::Relaxed);
                Err("memory is at its limit; raise --memory-limit or keep fewer series".into())
            }
            _ => Ok(()),
        };
        let mut trouble: Option<String> = keep.err();
        let mut rounds: [TargetRound; JOBS.len()] = Default::default();
        for (index, job) in JOBS.iter().enumerate() {
            let start = Instant::now();
            let mut round = TargetRound { time_ms, ..TargetRound::default() };
            if trouble.is_none()
                && let Some(writers) = &mut self.writers
            {
                let committed = writers[index].write(self.machine, job, time_ms, &mut round);
                if let Err(error) = committed {
                    trouble = Some(error.to_string());
                }
            }
            // Both jobs of the machine come from the one reading; its time is the first one's.
            let reading = if index == 0 { read_seconds } else { 0.0 };
            round.seconds = start.elapsed().as_secs_f64() + reading;
            if trouble.is_none()
                && let Some(writers) = &mut self.writers
                && let Err(error) = writers[index].report(&round)
            {
                trouble = Some(error.to_string());
            }
            rounds[index] = round;
        }
        if trouble.is_some() {
            self.machine.counts.not_kept.fetch_add(1, Ordering::Relaxed);
        }
        self.machine.keeping(trouble);
        self.machine.collected(time_ms, rounds);
    }

    fn tell(&self, event: Event) {
        let seconds = |ms: i64| ms as f64 / 1000.0;
        let (what, why) = match event {
            Event::Slept(ms) => (
                format!("The machine was asleep for {:.0} s", seconds(ms)),
                "Nothing could be collected meanwhile; graphs have a gap there.".to_owned(),
            ),
            Event::Stepped(ms) if ms > 0 => {
                self.machine.counts.clock_steps.fetch_add(1, Ordering::Relaxed);
                let why = "Samples follow the new time; graphs have a gap there.";
                (format!("The clock was set forward by {:.1} s", seconds(ms)), why.to_owned())
            }
            Event::Stepped(ms) => {
                self.machine.counts.clock_steps.fetch_add(1, Ordering::Relaxed);
                let why = "Samples follow the new time. Those whose time is already taken, and \
                           those further back than the store's out-of-order window, are not kept, \
                           so that history goes on once the clock has passed its old time.";
                (format!("The clock was set back by {:.1} s", seconds(-ms)), why.to_owned())
            }
        };
        self.machine.happened(Notice { severity: Severity::Warning, what, why, remedy: None });
    }

    /// Marks the end of all series, so that the time until the next start is a gap in graphs.
    fn end(&mut self) {
        let now_ms = clock::now().wall_ms;
        for writer in self.writers.iter_mut().flatten() {
            for group in [&mut writer.samples, &mut writer.reports] {
                if let Err(error) = group.end(now_ms) {
                    tracing::warn!("the end of series was not written: {error}");
                }
            }
        }
    }
}

/// Writes one job's rounds.
struct Writer {
    samples: Group,
    /// `up` and its kin: what is known only once the samples are in.
    reports: Group,
    added: u64,
    labels: [Labels; 5],
}

/// What is reported of each round, in Prometheus's words.
const REPORTS: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

impl Writer {
    fn new(db: &Db, target: Labels) -> Writer {
        let labels = REPORTS.map(|name| target.builder().set(METRIC_NAME, name).build());
        Writer { samples: db.group(&target), reports: db.group(&target), added: 0, labels }
    }

    fn write(
        &mut self,
        machine: &Machine,
        job: &Job,
        time_ms: i64,
        round: &mut TargetRound,
    ) -> Result<(), tsdb::Error> {
        let mut sink = Counting { batch: self.samples.begin(time_ms), samples: 0 };
        machine.write_families(job.families, &mut sink);
        round.samples = sink.samples;
        let committed: Committed = sink.batch.commit()?;
        self.added = committed.new_series;
        machine.counts.samples.fetch_add(committed.samples, Ordering::Relaxed);
        Ok(())
    }

    fn report(&mut self, round: &TargetRound) -> Result<(), tsdb::Error> {
        let mut batch = self.reports.begin(round.time_ms);
        let up = if round.error.is_none() { 1.0 } else { 0.0 };
        let samples = round.samples as f64;
        let values = [up, round.seconds, samples, samples, self.added as f64];
        for (labels, value) in self.labels.iter().zip(values) {
            let value = Value::Float(value);
            batch.push(labels, Sample { time_ms: round.time_ms, start_ms: 0, value });
        }
        batch.commit().map(|_| ())
    }
}

/// Passes on and counts.
struct Counting<'a> {
    batch: tsdb::Batch<'a>,
    samples: u64,
}

impl Sink for Counting<'_> {
    fn family(&mut self, family: &Family<'_>) {
        self.batch.family(family);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, time_ms: Option<i64>) {
        self.samples += 1;
        self.batch.sample(name, labels, value, time_ms);
    }
}
