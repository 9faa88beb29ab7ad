//! What a read takes out of the head: sealed chunks are shared, what may still change is copied.

use crate::block;
use crate::head::Head;
use crate::head::chunk::Chunk;
use hashbrown::HashMap;
use model::Sample;
use std::ops::Range;
use std::sync::Arc;

/// A part of a series' samples.
pub(super) enum Piece {
    Chunk {
        chunk: Arc<Chunk>,
        slot: u32,
    },
    Open {
        ticks: Arc<Ticks>,
        /// Its part of [`Pieces::changes`].
        changes: Range<usize>,
    },
    /// Samples beside any group, as bytes of a run: its part of [`Pieces::changes`].
    Run(Range<usize>),
    /// Samples that came late.
    Late(Vec<Sample>),
}

/// Times of an open chunk, as of the moment of the read.
pub(super) struct Ticks {
    pub id: u64,
    pub times_ms: Vec<i64>,
}

/// Pieces of many series, one after the other.
#[derive(Default)]
pub(super) struct Pieces {
    pub list: Vec<Piece>,
    /// The bytes of all open chunks and runs.
    pub changes: Vec<u8>,
}

/// Takes pieces out of the head; the times of a group are taken once.
pub(super) struct Groups<'a> {
    head: &'a Head,
    start_ms: i64,
    end_ms: i64,
    open: HashMap<u32, Arc<Ticks>>,
    /// Those of one series, with what puts them in order.
    own: Vec<((u32, bool, i64), Piece)>,
}

impl<'a> Groups<'a> {
    pub fn new(head: &'a Head, start_ms: i64, end_ms: i64) -> Groups<'a> {
        Groups { head, start_ms, end_ms, open: HashMap::new(), own: Vec::new() }
    }

    fn wants(&self, min_ms: i64, max_ms: i64) -> bool {
        min_ms <= self.end_ms && max_ms >= self.start_ms
    }

    /// Adds the pieces of a series to `pieces`, those that count first before the others; with `one` set, one
    /// is enough. Whether there was any.
    pub fn take(&mut self, number: u32, one: bool, pieces: &mut Pieces) -> bool {
        let places = self.head.index.get(number).map_or(&[][..], |s| &s.places);
        for (number, slot) in places {
            let Some(group) = self.head.group(*number) else { continue };
            for (epoch, chunk) in &group.chunks {
                if self.wants(chunk.min_ms, chunk.max_ms) && chunk.has(*slot) {
                    let piece = Piece::Chunk { chunk: Arc::clone(chunk), slot: *slot };
                    self.own.push(((*epoch, false, chunk.min_ms), piece));
                    if one {
                        break;
                    }
                }
            }
            let times = (group.times_ms.first(), group.times_ms.last());
            let (Some(min), Some(max)) = times else { continue };
            let Some(entry) = group.slots.get(*slot as usize) else { continue };
            if entry.used() && self.wants(*min, *max) {
                let taken = || {
                    let times_ms = group.times_ms.clone();
                    let id = block::mix(group.open_id, times_ms.len() as u64);
                    Arc::new(Ticks { id, times_ms })
                };
                let begin = pieces.changes.len();
                pieces.changes.extend_from_slice(entry.changes.as_slice());
                let piece = Piece::Open {
                    ticks: Arc::clone(self.open.entry(*number).or_insert_with(taken)),
                    changes: begin..pieces.changes.len(),
                };
                self.own.push(((group.epoch, false, *min), piece));
            }
        }
        for (epoch, loose) in &self.head.loose {
            let Some(run) = loose.get(number) else { continue };
            for chunk in run.sealed() {
                if self.wants(chunk.min_ms, chunk.max_ms) {
                    let piece = Piece::Chunk { chunk: Arc::clone(chunk), slot: 0 };
                    self.own.push(((*epoch, true, chunk.min_ms), piece));
                }
            }
            if let Some((min, _)) = run.open_span().filter(|(a, b)| self.wants(*a, *b)) {
                let begin = pieces.changes.len();
                pieces.changes.extend_from_slice(run.open());
                self.own.push(((*epoch, true, min), Piece::Run(begin..pieces.changes.len())));
            }
            let late = run.late();
            let from = late.partition_point(|s| s.time_ms < self.start_ms);
            let to = late.partition_point(|s| s.time_ms <= self.end_ms).max(from);
            if from < to {
                self.own.push(((*epoch, true, i64::MAX), Piece::Late(late[from..to].to_vec())));
            }
        }
        if self.own.len() > 1 {
            self.own.sort_by_key(|p| p.0);
        }
        let any = !self.own.is_empty();
        pieces.list.extend(self.own.drain(..).map(|p| p.1));
        any
    }
}
