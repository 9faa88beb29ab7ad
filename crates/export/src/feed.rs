//! Takes what the log tells, relabels it, and makes batches for the shards of it.

use crate::batch::{Batch, Builder, Counts, Resent};
use crate::marks::Mark;
use crate::message::{Families, Point};
use crate::meters::Dropped;
use crate::now_ms;
use crate::queue::Shared;
use crate::series::{Series, Table};
use crate::shard::Shard;
use model::{Histogram, Labels, Sample, Value};
use scrape::config::Message;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tsdb::{Exemplar, Follow, Metadata, Position};

/// Makes batches of what a tail tells.
pub struct Feed {
    shared: Arc<Shared>,
    message: Message,
    table: Table,
    families: Families,
    lanes: Vec<Lane>,
    /// What was in the log when the program began may have been sent.
    began: Position,
    now_ms: i64,
    /// Nothing more can be taken: the queue ends, or begins anew.
    ended: bool,
}

/// A shard, and what is collected for it.
struct Lane {
    shard: Arc<Shard>,
    builder: Builder,
    since: Option<Instant>,
    /// Everything before it is in batches, or was done with before.
    end: Position,
    /// The end of the request that was under way when the program ended.
    sending: Position,
}

impl Feed {
    /// A feed into these shards, which are as far as the marks say.
    pub fn new(
        shared: Arc<Shared>,
        message: Message,
        shards: &[Arc<Shard>],
        marks: &[Mark],
        began: Position,
        families: impl Iterator<Item = Metadata>,
    ) -> Feed {
        let table = Table::new(shared.external.clone(), shared.config.relabel.clone());
        let mut feed = Feed {
            shared,
            message,
            table,
            families: Families::default(),
            lanes: Vec::new(),
            began,
            now_ms: now_ms(),
            ended: false,
        };
        families.for_each(|f| feed.families.tell(f));
        feed.set_shards(shards, marks);
        feed
    }

    /// Goes on with other shards; there is nothing collected.
    pub fn set_shards(&mut self, shards: &[Arc<Shard>], marks: &[Mark]) {
        let lane = |(shard, mark): (&Arc<Shard>, &Mark)| Lane {
            shard: shard.clone(),
            builder: Builder::default(),
            since: None,
            end: mark.done,
            sending: mark.sending,
        };
        self.lanes = shards.iter().zip(marks).map(lane).collect();
    }

    /// Whether nothing more can be taken.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Before a piece of the log is read.
    pub fn look_at_clock(&mut self) {
        self.now_ms = now_ms();
    }

    /// Everything before `position` was told: hands on what has waited for long enough.
    pub fn told(&mut self, position: Position) {
        let deadline = Duration::from_millis(self.shared.config.queue.deadline_ms);
        for i in 0..self.lanes.len() {
            self.end_resent(i, position);
            if self.lanes[i].since.is_some_and(|s| s.elapsed() >= deadline) {
                self.close(i, position);
            }
        }
    }

    /// Where `position` is behind the request that was under way when the program ended, what is
    /// collected is that request, and is sent as one.
    fn end_resent(&mut self, i: usize, position: Position) {
        let Some(lane) = self.lanes.get_mut(i) else { return };
        if lane.end < lane.sending && position >= lane.sending {
            let end = lane.sending;
            match lane.builder.is_empty() {
                true => lane.end = end,
                false => self.close(i, end),
            }
        }
    }

    /// Hands on everything that is collected.
    pub fn flush(&mut self, position: Position) {
        for i in 0..self.lanes.len() {
            self.close(i, position);
        }
    }

    /// The shards for which nothing is collected, waits or is under way.
    pub fn idle(&self) -> Vec<usize> {
        let idle = |l: &Lane| l.builder.is_empty() && l.shard.is_idle();
        self.lanes.iter().enumerate().filter(|l| idle(l.1)).map(|l| l.0).collect()
    }

    fn close(&mut self, lane: usize, end: Position) {
        // Samples were left out since: the end would say that they were handed on.
        if self.ended {
            return;
        }
        let Some(lane) = self.lanes.get_mut(lane).filter(|l| !l.builder.is_empty()) else { return };
        let resent = match (lane.end < lane.sending, lane.end < self.began) {
            (true, _) => Resent::Whole,
            (false, true) => Resent::Some,
            (false, false) => Resent::No,
        };
        let from = std::mem::replace(&mut lane.end, end);
        lane.since = None;
        let (table, families) = (&self.table, &self.families);
        let batch = lane.builder.finish(self.message, table, families, (from, end), resent);
        let shared = &self.shared;
        let go_on = |batch: &Batch| !shared.is_ended() && !shared.is_skipped(batch.end.epoch);
        let capacity = shared.config.queue.capacity;
        if let Err(batch) = lane.shard.push(Arc::new(batch), capacity, shared, go_on) {
            match shared.is_skipped(batch.end.epoch) && !shared.is_ended() {
                true => shared.meters.dropped(Dropped::QueueFull, batch.counts),
                false => self.ended = true,
            }
        }
    }

    fn read(&self, point: &Point) {
        let mut counts = Counts::default();
        counts.add(point);
        let meters = &self.shared.meters;
        meters.read.add(counts);
        meters.exemplars_in.fetch_add(counts.exemplars, Relaxed);
        meters.read_until(point.time_ms());
    }

    fn leave_out(&self, why: Dropped, point: &Point) {
        let mut counts = Counts::default();
        counts.add(point);
        self.shared.meters.dropped(why, counts);
        self.read(point);
    }

    /// Why a sample or an exemplar is not sent.
    fn refuses(&self, position: Position, point: &Point) -> Option<Dropped> {
        let limit = self.shared.age_limit_ms();
        if self.shared.is_skipped(position.epoch) {
            return Some(Dropped::QueueFull);
        }
        if limit > 0 && point.time_ms() < self.now_ms.saturating_sub(limit) {
            return Some(Dropped::TooOld);
        }
        if self.message == Message::V2 && matches!(point, Point::Exemplar(_, None)) {
            return Some(Dropped::NoSample);
        }
        let custom = |h: &Histogram| !h.custom_bounds.is_empty() && self.message == Message::V1;
        histogram(point).is_some_and(custom).then_some(Dropped::CustomBuckets)
    }

    fn take(&mut self, position: Position, series: u32, point: Point) {
        if self.ended {
            return;
        }
        let hash = match self.table.get(series) {
            Some(Series::Sent { hash, .. }) => *hash,
            Some(Series::Dropped) => return self.leave_out(Dropped::Series, &point),
            None => return self.leave_out(Dropped::Unknown, &point),
        };
        let i = (hash % self.lanes.len().max(1) as u64) as usize;
        let Some(end) = self.lanes.get(i).map(|l| l.end) else { return };
        if position < end {
            // Done with before a restart.
            return self.shared.meters.sent_before(point.time_ms());
        }
        self.end_resent(i, position);
        if let Some(why) = self.refuses(position, &point) {
            return self.leave_out(why, &point);
        }
        self.read(&point);
        let config = &self.shared.config;
        if histogram(&point).is_some() && self.message == Message::V1 && !config.native_histograms {
            return;
        }
        let per_send = config.queue.per_send;
        let Some(lane) = self.lanes.get_mut(i) else { return };
        lane.builder.push(series, point);
        lane.since.get_or_insert_with(Instant::now);
        if lane.builder.len() >= per_send {
            self.close(i, Position { sample: position.sample + 1, ..position });
        }
    }
}

fn histogram(point: &Point) -> Option<&Histogram> {
    match point {
        Point::Sample(Sample { value: Value::Histogram(h), .. }) => Some(h),
        _ => None,
    }
}

impl Follow for Feed {
    fn epoch(&mut self, epoch: u32) {
        // Numbers are about to mean other series.
        self.flush(Position { epoch, record: 0, sample: 0 });
        self.table.clear();
    }

    fn series(&mut self, position: Position, number: u32, labels: Labels) {
        // What is collected may have the number with its old meaning.
        if self.table.get(number).is_some() {
            self.flush(position);
        }
        self.table.define(number, &labels);
    }

    fn family(&mut self, family: Metadata) {
        self.families.tell(family);
    }

    fn sample(&mut self, position: Position, series: u32, sample: Sample) {
        self.take(position, series, Point::Sample(sample));
    }

    fn exemplar(
        &mut self,
        position: Position,
        series: u32,
        exemplar: Exemplar,
        sample: Option<Sample>,
    ) {
        let sample = sample.filter(|_| self.message == Message::V2).map(Box::new);
        match self.shared.config.exemplars {
            true => self.take(position, series, Point::Exemplar(exemplar, sample)),
            false => {
                self.shared.meters.exemplars_in.fetch_add(1, Relaxed);
            }
        }
    }

    fn lost(&mut self) {
        self.shared.meters.gaps.fetch_add(1, Relaxed);
        tracing::warn!(
            "remote write to {}: a part of the store's log cannot be read; its samples are not sent",
            self.shared.config.url
        );
    }
}
