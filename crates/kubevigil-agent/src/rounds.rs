//! Rounds of collection, and their answers.
//!
//! A round begins when a scrape asks and the newest round is older than the reuse time. Scrapes that come
//! closer together share it, and with it the text and the gzip that the first of them had made.

use crate::buffers::Buffers;
use crate::ourselves;
use axum::body::Bytes;
use http::Stats;
use http::encoding::Gzip;
use model::Sink;
use model::exposition::{Format, Writer};
use node::{CollectorStatus, Node};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Which families are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// All.
    All,
    /// node_exporter's, and the agent's own.
    Node,
    /// cAdvisor's.
    Cadvisor,
}

/// The machine, and what was answered about its newest round.
pub struct Rounds {
    state: Mutex<State>,
    stats: Arc<Stats>,
    buffers: Buffers,
    reuse: Duration,
}

struct State {
    node: Node,
    last: Option<Instant>,
    count: u64,
    seconds: f64,
    answers: Vec<Answer>,
    gzip: Gzip,
    process: ourselves::Process,
}

/// An answer about the newest round.
struct Answer {
    view: View,
    format: Format,
    compressed: bool,
    body: Bytes,
}

impl Rounds {
    /// Rounds of a machine; each serves for the time of `reuse`.
    pub fn new(node: Node, stats: Arc<Stats>, reuse: Duration) -> Rounds {
        let state = State {
            node,
            last: None,
            count: 0,
            seconds: 0.0,
            answers: Vec::new(),
            gzip: Gzip::new(),
            process: ourselves::Process::default(),
        };
        Rounds { state: Mutex::new(state), stats, buffers: Buffers::default(), reuse }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while collecting leaves nothing that the next round would not make anew.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Collects unless the newest round is young enough.
    pub fn begin(&self) {
        self.state().begin(self.reuse);
    }

    /// Whether there was a round.
    pub fn ready(&self) -> bool {
        self.state().last.is_some()
    }

    /// How each collector fared in the newest round.
    pub fn collectors(&self) -> Vec<CollectorStatus> {
        self.state().node.collectors().to_vec()
    }

    /// The families of a view in a format, gzipped or not.
    pub fn answer(&self, view: View, format: Format, compressed: bool) -> Bytes {
        let mut state = self.state();
        let state = &mut *state;
        state.begin(self.reuse);
        let known = |a: &&Answer| (a.view, a.format, a.compressed) == (view, format, compressed);
        if let Some(answer) = state.answers.iter().find(known) {
            return answer.body.clone();
        }
        let mut body = self.buffers.take();
        state.write(view, format, &self.stats, &mut body);
        if compressed {
            let mut smaller = self.buffers.take();
            state.gzip.append(&body, &mut smaller);
            self.buffers.give(std::mem::replace(&mut body, smaller));
        }
        let body = self.buffers.lend(body);
        state.answers.push(Answer { view, format, compressed, body: body.clone() });
        body
    }
}

impl State {
    fn begin(&mut self, reuse: Duration) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) < reuse) {
            return;
        }
        self.answers.clear();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.node.collect(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        self.seconds = now.elapsed().as_secs_f64();
        self.count += 1;
        self.last = Some(now);
    }

    fn write(&mut self, view: View, format: Format, stats: &Stats, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out, format);
        let sink: &mut dyn Sink = &mut writer;
        if view != View::Cadvisor {
            self.node.write_node(sink);
        }
        if view != View::Node {
            self.node.write_cadvisor(sink);
        }
        if view != View::Cadvisor {
            ourselves::write_rounds(self.count, self.seconds, sink);
            self.process.write(sink);
            stats.write(sink);
        }
        for name in writer.repeated() {
            tracing::warn!("family {name} came twice: its second header was left out");
        }
        writer.finish();
    }
}
