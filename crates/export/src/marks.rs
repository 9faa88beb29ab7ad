//! How far the shards of a queue are, in a small log of its own: what was sent is not sent again after
//! a restart, and what was being sent is sent again as one request.
//!
//! A mark is appended before each request and after it. That costs two small writes a request, no
//! fsync: SIGKILL takes back nothing; a power cut may take back some, and then some samples are sent
//! twice. Layout: `docs/formats/remote-write.md`.

use crate::lock;
use disk::{Error, Files, Log, LogOptions};
use std::sync::{Arc, Mutex};
use tsdb::Position;

/// How far a shard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Everything of the shard before it is done with.
    pub done: Position,
    /// The end of what is being sent, so that nobody knows whether it arrived; `done` where there is
    /// nothing.
    pub sending: Position,
}

impl Mark {
    /// Nothing is under way.
    pub fn at(position: Position) -> Mark {
        Mark { done: position, sending: position }
    }
}

/// The marks of a queue, and the log that keeps them.
pub struct Marks {
    log: Log,
    state: Mutex<State>,
}

struct State {
    marks: Vec<Mark>,
    epoch: u32,
    /// Records since the log was begun anew.
    records: usize,
    /// Why the newest could not be written.
    failed: Option<String>,
}

const ALL: u8 = 1;
const ONE: u8 = 2;
const POSITION: usize = 16;
/// More shards than any queue has.
const SHARDS: usize = 1 << 16;
/// The log is begun anew after so many records.
const RECORDS: usize = 4096;

impl Marks {
    /// Opens the log in a folder; without marks where there are none.
    pub fn open(files: Arc<dyn Files>, dir: &str) -> Result<Marks, Error> {
        let place = files.place(dir);
        files.create_dir(dir).map_err(|source| Error::Io { place, source })?;
        let mut marks = Vec::new();
        let replayed = disk::replay(&*files, dir, None, &mut |_, _| {}, &mut |frame| {
            apply(frame.payload, &mut marks);
        })?;
        for damage in &replayed.damage {
            tracing::warn!("{} is damaged at byte {}: {}", damage.file, damage.offset, damage.why);
        }
        let epoch = replayed.segments.iter().map(|s| s.epoch).max().unwrap_or(0) + 1;
        let log = Log::open(files, dir, LogOptions::default(), &replayed, epoch);
        Ok(Marks { log, state: Mutex::new(State { marks, epoch, records: 0, failed: None }) })
    }

    /// The marks of all shards.
    pub fn all(&self) -> Vec<Mark> {
        lock(&self.state).marks.clone()
    }

    /// The place from which on something is not done with.
    pub fn oldest(&self) -> Option<Position> {
        lock(&self.state).marks.iter().map(|m| m.done).min()
    }

    /// Why marks cannot be written at present.
    pub fn failed(&self) -> Option<String> {
        lock(&self.state).failed.clone()
    }

    /// Other shards from now on.
    pub fn reset(&self, marks: Vec<Mark>) {
        let mut state = lock(&self.state);
        state.marks = marks;
        self.write_all(&mut state);
    }

    /// A shard got on.
    pub fn set(&self, shard: usize, mark: Mark) {
        self.write_one(&mut lock(&self.state), shard, mark);
    }

    fn write_one(&self, state: &mut State, shard: usize, mark: Mark) {
        let Some(place) = state.marks.get_mut(shard) else { return };
        *place = mark;
        if state.records >= RECORDS || state.failed.is_some() {
            return self.write_all(state);
        }
        let mut record = vec![ONE];
        record.extend_from_slice(&(shard as u32).to_le_bytes());
        put(mark, &mut record);
        let written = self.log.append(&record);
        state.records += 1;
        state.failed = written.err().map(|e| e.to_string());
    }

    /// Shards that have nothing to send are at `position`, too.
    pub fn advance(&self, idle: &[usize], position: Position) {
        let mut state = lock(&self.state);
        for shard in idle {
            let mark = state.marks.get(*shard).copied();
            if mark.is_some_and(|m| m.done == m.sending && m.done < position) {
                self.write_one(&mut state, *shard, Mark::at(position));
            }
        }
    }

    /// Writes all marks into a new segment, and deletes the older ones.
    fn write_all(&self, state: &mut State) {
        let mut record = vec![ALL];
        record.extend_from_slice(&(state.marks.len() as u32).to_le_bytes());
        state.marks.iter().for_each(|m| put(*m, &mut record));
        let epoch = state.epoch + 1;
        let written = self.log.roll(epoch).and_then(|()| {
            self.log.append(&record)?;
            self.log.sync()?;
            self.log.remove_through(epoch - 1)
        });
        state.failed = written.err().map(|e| e.to_string());
        state.epoch = epoch;
        state.records = 0;
    }
}

fn put(mark: Mark, out: &mut Vec<u8>) {
    for Position { epoch, record, sample } in [mark.done, mark.sending] {
        out.extend_from_slice(&epoch.to_le_bytes());
        out.extend_from_slice(&record.to_le_bytes());
        out.extend_from_slice(&sample.to_le_bytes());
    }
}

fn position(bytes: &[u8]) -> Option<Position> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let record = u64::from(word(4)?) | u64::from(word(8)?) << 32;
    Some(Position { epoch: word(0)?, record, sample: word(12)? })
}

fn mark(bytes: &[u8]) -> Option<Mark> {
    let (done, sending) = (position(bytes)?, position(bytes.get(POSITION..)?)?);
    Some(Mark { done, sending: sending.max(done) })
}

/// Takes a record; what cannot be read changes nothing.
pub(crate) fn apply(record: &[u8], marks: &mut Vec<Mark>) -> Option<()> {
    let (kind, body) = record.split_first()?;
    let (number, rest) = body.split_first_chunk::<4>()?;
    let number = u32::from_le_bytes(*number) as usize;
    match *kind {
        ALL if number <= SHARDS && rest.len() == number * 2 * POSITION => {
            *marks = rest.chunks(2 * POSITION).map(mark).collect::<Option<_>>()?;
        }
        ONE => *marks.get_mut(number)? = mark(rest)?,
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::faulty::{Faults, Faulty};
    use disk::seed::Seed;

    fn at(record: u64) -> Position {
        Position { epoch: 3, record, sample: record as u32 % 7 }
    }

    fn open(files: &Faulty) -> Marks {
        Marks::open(Arc::new(files.clone()), "queue").expect("opens")
    }

    #[test]
    fn marks_survive_a_kill_and_never_go_ahead_after_a_power_cut() {
        for seed in 0..100 {
            let mut random = Seed::new(seed);
            let files = Faulty::new(seed);
            let marks = open(&files);
            assert!(marks.all().is_empty() && marks.oldest().is_none());
            let mut naive = vec![Mark::at(at(0)); 3];
            marks.reset(naive.clone());
            for i in 0..random.below(6000) {
                let shard = random.below(3) as usize;
                match random.below(1000) {
                    0 => {
                        naive = vec![Mark::at(at(i)); 1 + random.below(4) as usize];
                        marks.reset(naive.clone());
                    }
                    1..20 => {
                        marks.advance(&[shard], at(i));
                        if let Some(mark) = naive.get_mut(shard).filter(|m| m.done == m.sending) {
                            *mark = Mark::at(at(i).max(mark.done));
                        }
                    }
                    n => {
                        let mark = Mark { done: at(i), sending: at(i + n % 2) };
                        marks.set(shard, mark);
                        if let Some(m) = naive.get_mut(shard) {
                            *m = mark;
                        }
                    }
                }
            }
            assert_eq!(marks.all(), naive, "seed {seed}");
            assert_eq!(open(&files.kill()).all(), naive, "seed {seed}");
            let after = open(&files.power_cut());
            let oldest = after.oldest().expect("the first marks were fsynced");
            assert!(Some(oldest) <= marks.oldest().max(Some(oldest)), "seed {seed}");
        }
    }

    #[test]
    fn a_full_disk_is_told_and_over_when_there_is_room() {
        let files = Faulty::new(1);
        let marks = open(&files);
        marks.reset(vec![Mark::default(); 2]);
        files.set(Faults { capacity: Some(0), ..Faults::default() });
        marks.set(0, Mark::at(at(5)));
        assert!(marks.failed().expect("is told").contains("queue/"), "{:?}", marks.failed());
        files.set(Faults::default());
        marks.set(1, Mark::at(at(6)));
        assert_eq!(marks.failed(), None);
        assert_eq!(open(&files.kill()).all(), [Mark::at(at(5)), Mark::at(at(6))]);
    }
}
