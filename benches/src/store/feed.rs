//! The load with times of its own: what the targets say every 15 s over hours, as a scraper would have read
//! it, for engines that are filled faster than time passes.

use super::random::Random;
use super::remote_write::Layout;
use super::target::{Size, Target, labels};
use super::values::Recording;
use anyhow::Result;
use model::exposition::{Event, Parser, Syntax};
use std::sync::Arc;

/// How much time there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// When the first round is, milliseconds since the Unix epoch.
    pub first_ms: i64,
    /// From round to round.
    pub interval_ms: i64,
    /// Rounds.
    pub ticks: u64,
}

impl Span {
    /// When the last round is over.
    pub fn end_ms(&self) -> i64 {
        self.first_ms + self.interval_ms * self.ticks as i64
    }
}

/// All targets of a load in simulated time.
pub struct Feed {
    span: Span,
    recording: Arc<Recording>,
    sources: Vec<Source>,
}

struct Source {
    kind: usize,
    node: usize,
    target: Target,
    /// When within an interval it is scraped, and how much later or earlier than that.
    phase_ms: i64,
    jitter: Random,
    body: Vec<u8>,
}

impl Feed {
    /// A load before its first round.
    pub fn new(size: Size, span: Span, recording: &Arc<Recording>) -> Feed {
        let source = |(kind, node)| {
            let seed = size.seed.wrapping_mul(19_000_003) ^ ((node * 8 + kind) as u64);
            let mut jitter = Random::new(seed);
            let phase_ms = (jitter.unit() * span.interval_ms as f64 * 0.9) as i64;
            let target = Target::new(size, kind, node, recording);
            Source { kind, node, target, phase_ms, jitter, body: Vec::new() }
        };
        Feed { span, recording: recording.clone(), sources: size.targets().map(source).collect() }
    }

    /// Gives each target's text of each round: round, place of the target, its time, its text.
    fn each(mut self, mut see: impl FnMut(u64, usize, i64, &[u8]) -> Result<()>) -> Result<u64> {
        let mut samples = 0;
        for tick in 0..self.span.ticks {
            let round = self.span.first_ms + self.span.interval_ms * tick as i64;
            for (at, source) in self.sources.iter_mut().enumerate() {
                samples += source.target.scrape(&self.recording, &mut source.body) + 1;
                source.body.extend_from_slice(b"up 1\n");
                let time_ms = round + source.phase_ms + late(&mut source.jitter);
                see(tick, at, time_ms, &source.body)?;
            }
        }
        Ok(samples)
    }

    /// Writes all of it into a data folder of ours, with the maintenance that time would have brought; gives
    /// the number of samples. Nothing is flushed at the end: the folder is as a crash would leave it.
    pub fn write(self, db: &tsdb::Db) -> Result<u64> {
        let of = |s: &Source| db.group(&labels(s.kind, s.node));
        let mut groups: Vec<tsdb::Group> = self.sources.iter().map(of).collect();
        let every = (300_000 / self.span.interval_ms).max(1) as u64;
        let mut told = u64::MAX;
        self.each(|tick, at, time_ms, body| {
            if tick != told && tick % every == 0 {
                db.tick(time_ms)?;
            }
            told = tick;
            let mut batch = groups[at].begin(time_ms);
            ingest(body, &mut batch)?;
            batch.commit()?;
            Ok(())
        })
    }

    /// Gives the compressed body of a remote-write request for each target and round, with the round.
    pub fn requests(self, mut send: impl FnMut(u64, Vec<u8>) -> Result<()>) -> Result<u64> {
        let of = |s: &Source| Layout::new(labels(s.kind, s.node));
        let mut layouts: Vec<Layout> = self.sources.iter().map(of).collect();
        let mut encoder = snap::raw::Encoder::new();
        self.each(|tick, at, time_ms, body| {
            let request = layouts[at].request(body, time_ms)?;
            send(tick, encoder.compress_vec(request)?)
        })
    }
}

/// How much later than it should be a scrape is, in milliseconds: a few, and seldom many.
fn late(random: &mut Random) -> i64 {
    if random.unit() < 0.01 {
        return 100 + (random.unit() * 900.0) as i64;
    }
    // Nearly normal, with a deviation of 2 ms.
    let sum: f64 = (0..6).map(|_| random.unit() - 0.5).sum();
    (sum * 2.83).round() as i64
}

/// Reads a text as the scraper does.
fn ingest(body: &[u8], batch: &mut tsdb::Batch<'_>) -> Result<()> {
    let mut parser = Parser::new(body, Syntax::Text);
    let mut pairs: Vec<(String, String)> = Vec::new();
    loop {
        if let Some(known) = batch.expects(parser.rest())
            && let Some((value, time_ms)) = parser.next_known(known)
        {
            batch.push_expected(value, time_ms);
            continue;
        }
        match parser.next()? {
            None => return Ok(()),
            Some(Event::Sample(s)) => {
                pairs.clear();
                pairs.extend(s.labels.iter().map(|l| (l.name.to_string(), l.value.to_string())));
                pairs.sort();
                let borrowed: Vec<(&str, &str)> =
                    pairs.iter().map(|p| (p.0.as_str(), p.1.as_str())).collect();
                batch.sample_line(s.series.as_bytes(), &s.name, &borrowed, s.value, None);
            }
            Some(_) => {}
        }
    }
}
