//! Serves the load's targets to one engine at a time: each connection's local address says which node is
//! asked, the path which of its targets. Every scrape of a target is its next step.

use super::target::{Size, Target, address};
use super::values::Recording;
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Where targets are served; the same port for every engine, since it is part of a label.
pub const PORT: u16 = 19_273;

/// All targets of a run.
pub struct Targets {
    size: Size,
    recording: Arc<Recording>,
    /// By kind, then by node.
    targets: Vec<Vec<Mutex<Course>>>,
    /// Answers 503 instead.
    silent: AtomicBool,
}

struct Course {
    target: Target,
    /// How many samples its scrapes had.
    samples: u64,
    /// Samples of the last one: its series at present.
    series: u64,
    body: Vec<u8>,
}

/// How far scrapes are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Scrapes of the target that was scraped least.
    pub ticks: u64,
    /// Samples given out.
    pub samples: u64,
    /// Series at present.
    pub series: u64,
}

impl Targets {
    /// The targets of a load, before their first scrape.
    pub fn new(size: Size, recording: &Arc<Recording>) -> Targets {
        let mut targets: Vec<Vec<Mutex<Course>>> = Vec::new();
        targets.resize_with(size.jobs().len(), Vec::new);
        for (kind, node) in size.targets() {
            let target = Target::new(size, kind, node, recording);
            let course = Course { target, samples: 0, series: 0, body: Vec::new() };
            targets[kind].push(Mutex::new(course));
        }
        Targets { size, recording: recording.clone(), targets, silent: AtomicBool::new(false) }
    }

    /// Stops answering, or goes on.
    pub fn silence(&self, silent: bool) {
        self.silent.store(silent, Relaxed);
    }

    /// How far scrapes are.
    pub fn progress(&self) -> Progress {
        let mut progress = Progress { ticks: u64::MAX, ..Progress::default() };
        for course in self.targets.iter().flatten() {
            let course = lock(course);
            progress.ticks = progress.ticks.min(course.target.ticks);
            progress.samples += course.samples;
            progress.series += course.series;
        }
        progress
    }

    /// A Prometheus configuration that scrapes these targets.
    pub fn configuration(&self, interval_ms: u64) -> String {
        let mut text = format!(
            "global:\n  scrape_interval: {interval_ms}ms\n  scrape_timeout: {interval_ms}ms\nscrape_configs:\n"
        );
        for job in self.size.jobs() {
            let nodes = (0..self.size.nodes).step_by(job.every);
            let addresses: Vec<String> = nodes.map(|n| format!("{:?}", address(n))).collect();
            let (name, path, addresses) = (job.name, job.path, addresses.join(", "));
            let _ = writeln!(
                text,
                "- job_name: {name}\n  metrics_path: {path}\n  static_configs:\n  - targets: [{addresses}]\n    labels: {{cluster: bench, metrics_path: {path}}}"
            );
        }
        text
    }

    /// Serves as long as it is there.
    pub fn serve(self: &Arc<Targets>, listener: &TcpListener) -> Result<()> {
        let (targets, listener) = (Arc::downgrade(self), listener.try_clone()?);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if targets.strong_count() == 0 {
                    return;
                }
                let targets = targets.clone();
                std::thread::spawn(move || {
                    // A scraper that goes away ends its connection; there is nobody to tell.
                    let _ = answer(&targets, stream);
                });
            }
        });
        Ok(())
    }

    /// Ends [`Targets::serve`]: the thread that listens lets go when somebody comes.
    pub fn end(self: Arc<Targets>) {
        let weak = Arc::downgrade(&self);
        drop(self);
        while weak.strong_count() > 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let _ = TcpStream::connect(("127.0.0.1", PORT));
    }

    fn course(&self, path: &str, node: usize) -> Option<&Mutex<Course>> {
        let kind = self.size.jobs().iter().position(|j| j.path == path)?;
        self.targets[kind].get(node / self.size.jobs()[kind].every)
    }
}

fn lock(course: &Mutex<Course>) -> MutexGuard<'_, Course> {
    course.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(targets: &Weak<Targets>, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let IpAddr::V4(own) = stream.local_addr()?.ip() else { return Ok(()) };
    let [_, _, high, low] = own.octets();
    let node = usize::from(high) * 250 + usize::from(low).saturating_sub(1);
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).context("no path")?.to_owned();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
        }
        let targets = targets.upgrade().context("the run is over")?;
        let stream = reader.get_mut();
        let silent = targets.silent.load(Relaxed);
        let Some(course) = targets.course(&path, node).filter(|_| !silent) else {
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let mut course = lock(course);
        let Course { target, samples, series, body } = &mut *course;
        *series = target.scrape(&targets.recording, body);
        *samples += *series;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
    }
}
