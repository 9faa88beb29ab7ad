//! Follows a log while it is written: every whole frame once, in the order of the segments.
//!
//! Segments that the log has no more use for are found in the folder where it keeps them
//! ([`crate::Log::keep_in`]). Only reads; what a frame means is the caller's. A frame that fails
//! its checksum is left out, and that frames are missing is told. Layout: `docs/formats/log.md`.

use crate::error::Error;
use crate::files::Files;
use crate::log::{FRAME_HEADER, FRAME_MAGIC, MAX_PAYLOAD, SEGMENT_HEADER};
use crate::publish::join;
use crate::replay::{Frame, read_frame, read_segment_header};
use std::io;
use std::sync::Arc;

/// A frame's place in a log: its epoch, then its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The epoch of the frame.
    pub epoch: u32,
    /// Its number.
    pub seq: u64,
}

/// What a [`Tail`] delivers.
pub enum Read<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// Frames are missing here.
    Gap,
}

/// Reads a log from a place on, as far as it is written.
pub struct Tail {
    files: Arc<dyn Files>,
    dir: String,
    kept: String,
    /// The first epoch that is read.
    from_epoch: u32,
    current: Option<Current>,
    last: Option<Place>,
    buffer: Vec<u8>,
    read_bytes: u64,
}

/// The segment at which the tail is.
struct Current {
    key: Key,
    path: String,
    offset: u64,
    /// Another segment follows, so nothing is appended to this one any more.
    ended: bool,
    /// Everything that it had at the last look was read.
    drained: bool,
    /// So many bytes are read at once: a frame may need more than usual.
    wanted: usize,
}

/// Epoch and index: the order in which segments were written.
type Key = (u32, u64);

/// A segment in one of the two folders.
struct Found {
    key: Key,
    path: String,
    len: u64,
}

/// So many bytes are read at once.
const CHUNK: usize = 1 << 20;

/// What the bytes at a place are.
enum Bytes {
    /// A whole frame: its place, payload and end.
    Frame(Place, std::ops::Range<usize>),
    /// The beginning of a frame that needs so many bytes.
    Short(usize),
    /// No frame before this place.
    Damaged(Option<usize>),
}

impl Tail {
    /// Reads from the first frame of `from_epoch`, or of the first epoch beyond it that is there.
    pub fn open(files: Arc<dyn Files>, dir: &str, kept: &str, from_epoch: u32) -> Tail {
        Tail {
            files,
            dir: dir.into(),
            kept: kept.into(),
            from_epoch,
            current: None,
            last: None,
            buffer: Vec::new(),
            read_bytes: 0,
        }
    }

    /// Delivers some frames, none beyond `upto`; says whether there may be more.
    pub fn read(&mut self, upto: Place, deliver: &mut dyn FnMut(Read<'_>)) -> Result<bool, Error> {
        loop {
            if self.current.is_none() {
                let from = (self.from_epoch, 0);
                let Some(first) = self.segments()?.into_iter().find(|s| s.key >= from) else {
                    return Ok(false);
                };
                self.current = Some(Current::at(first));
            }
            if !self.fill()? {
                // Deleted under us: what it held and was not read is lost to us.
                if !self.current.as_ref().is_some_and(|c| c.drained) {
                    deliver(Read::Gap);
                }
                if !self.advance()? {
                    return Ok(false);
                }
                continue;
            }
            match self.deliver(upto, deliver) {
                Delivered::Some => return Ok(true),
                Delivered::Reached => return Ok(false),
                Delivered::More => continue,
                Delivered::Nothing => {}
            }
            let ended = self.current.as_ref().is_none_or(|c| c.ended);
            match self.following()? {
                None => return Ok(false),
                Some(next) if ended => self.current = Some(Current::at(next)),
                // What was appended between our reading and the new segment is read once more.
                Some(_) => {
                    if let Some(current) = &mut self.current {
                        current.ended = true;
                    }
                }
            }
        }
    }

    /// How many bytes of the log were read.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// How many bytes of the log are not read yet.
    pub fn behind(&self) -> Result<u64, Error> {
        let at = self.current.as_ref().map_or(((self.from_epoch, 0), 0), |c| (c.key, c.offset));
        let segments = self.segments()?;
        let ahead = segments.iter().filter(|s| s.key >= at.0);
        Ok(ahead.map(|s| if s.key == at.0 { s.len.saturating_sub(at.1) } else { s.len }).sum())
    }

    /// The epoch of the segment at which the tail is.
    pub fn epoch(&self) -> u32 {
        self.current.as_ref().map_or(self.from_epoch, |c| c.key.0)
    }

    /// Reads a piece of the current segment; false where it is gone.
    fn fill(&mut self) -> Result<bool, Error> {
        for _ in 0..2 {
            let Some(current) = &self.current else { return Ok(false) };
            self.buffer.clear();
            let (offset, wanted) = (current.offset, current.wanted);
            match self.files.read_part(&current.path, offset, wanted, &mut self.buffer) {
                Ok(()) => return Ok(true),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    // It may have been moved to the kept ones.
                    let key = current.key;
                    let Some(found) = self.segments()?.into_iter().find(|s| s.key == key) else {
                        return Ok(false);
                    };
                    if let Some(current) = &mut self.current {
                        current.path = found.path;
                    }
                }
                Err(e) => return Err(Error::io(self.files.place(&current.path))(e)),
            }
        }
        Ok(false)
    }

    fn deliver(&mut self, upto: Place, deliver: &mut dyn FnMut(Read<'_>)) -> Delivered {
        let Some(current) = &mut self.current else { return Delivered::Nothing };
        let full = self.buffer.len() >= current.wanted;
        let (mut at, mut gap, mut some) = (0, false, false);
        let mut outcome = Delivered::Nothing;
        if current.offset == 0 {
            at = SEGMENT_HEADER.min(self.buffer.len());
        }
        while at < self.buffer.len() {
            match bytes_at(&self.buffer, at) {
                Bytes::Frame(place, payload) => {
                    if place > upto {
                        outcome = Delivered::Reached;
                        break;
                    }
                    at = payload.end;
                    // Frames logged anew after a failed fsync come twice.
                    if self.last.is_some_and(|l| place <= l) {
                        continue;
                    }
                    let before = self.last.replace(place);
                    gap |= before.is_some_and(|b| b.epoch == place.epoch && b.seq + 1 != place.seq);
                    if std::mem::take(&mut gap) {
                        deliver(Read::Gap);
                    }
                    let Place { epoch, seq } = place;
                    let payload = &self.buffer[payload];
                    deliver(Read::Frame(Frame { seq, epoch, payload }));
                    some = true;
                }
                Bytes::Short(needed) => {
                    if full && at == 0 && current.wanted < needed {
                        current.wanted = needed;
                        return Delivered::More;
                    }
                    break;
                }
                Bytes::Damaged(Some(next)) => (at, gap) = (next, true),
                // The last bytes may be the beginning of a frame's first bytes.
                Bytes::Damaged(None) if full => {
                    let end = self.buffer.len().saturating_sub(FRAME_HEADER);
                    (at, gap) = (end.max(at + 1), true);
                }
                Bytes::Damaged(None) if current.ended => (at, gap) = (self.buffer.len(), true),
                // The rest of a failed append: whether more follows shows later.
                Bytes::Damaged(None) => break,
            }
        }
        if gap {
            deliver(Read::Gap);
        }
        current.offset += at as u64;
        current.drained = at == self.buffer.len() && !full;
        self.read_bytes += at as u64;
        current.wanted = CHUNK;
        match outcome {
            Delivered::Nothing if some => Delivered::Some,
            Delivered::Nothing if at > 0 && full => Delivered::More,
            other => other,
        }
    }

    /// The segment after the current one.
    fn following(&self) -> Result<Option<Found>, Error> {
        let key = self.current.as_ref().map(|c| c.key);
        Ok(self.segments()?.into_iter().find(|s| Some(s.key) > key))
    }

    /// Goes on with the segment after the current one; false where there is none yet.
    fn advance(&mut self) -> Result<bool, Error> {
        let next = self.following()?;
        let found = next.is_some();
        if let Some(next) = next {
            self.current = Some(Current::at(next));
        }
        Ok(found)
    }

    fn segments(&self) -> Result<Vec<Found>, Error> {
        segments(&*self.files, &self.dir, &self.kept)
    }
}

/// All segments of both folders, in the order in which they were written.
fn segments(files: &dyn Files, dir: &str, kept_dir: &str) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    for entry in list(files, dir)? {
        let index = entry.name.strip_suffix(".log").and_then(|n| n.parse::<u64>().ok());
        let Some(index) = index else { continue };
        let path = join(dir, &entry.name);
        let mut header = Vec::new();
        match files.read_part(&path, 0, SEGMENT_HEADER, &mut header) {
            Ok(()) => {}
            // Moved or deleted meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io(files.place(&path))(e)),
        }
        if let Ok(epoch) = read_segment_header(&header) {
            found.push(Found { key: (epoch, index), path, len: entry.len });
        }
    }
    for (key, name, len) in kept(files, kept_dir)? {
        if found.iter().all(|f| f.key != key) {
            found.push(Found { key, path: join(kept_dir, &name), len });
        }
    }
    found.sort_by_key(|f| f.key);
    Ok(found)
}

/// How many bytes each epoch takes in the two folders, oldest epoch first.
pub fn sizes(files: &dyn Files, dir: &str, kept: &str) -> Result<Vec<(u32, u64)>, Error> {
    let mut sizes: Vec<(u32, u64)> = Vec::new();
    for segment in segments(files, dir, kept)? {
        match sizes.last_mut().filter(|s| s.0 == segment.key.0) {
            Some(last) => last.1 += segment.len,
            None => sizes.push((segment.key.0, segment.len)),
        }
    }
    Ok(sizes)
}

enum Delivered {
    /// Frames were.
    Some,
    /// Nothing yet, but there are more bytes.
    More,
    /// Nothing beyond `upto` may be.
    Reached,
    /// There is nothing more in the segment.
    Nothing,
}

impl Current {
    fn at(found: Found) -> Current {
        Current {
            key: found.key,
            path: found.path,
            offset: 0,
            ended: false,
            drained: false,
            wanted: CHUNK,
        }
    }
}

fn bytes_at(bytes: &[u8], at: usize) -> Bytes {
    match read_frame(bytes, at) {
        Ok(found) => {
            let place = Place { epoch: found.epoch, seq: found.seq };
            Bytes::Frame(place, found.start..found.start + found.len)
        }
        Err(why) if why.cut_short => {
            let length = bytes.get(at + 4..at + 8).and_then(|l| l.try_into().ok());
            let length = length.map_or(0, u32::from_le_bytes) as usize;
            Bytes::Short(FRAME_HEADER + length.min(MAX_PAYLOAD))
        }
        Err(_) => Bytes::Damaged(next_start(bytes, at + 1)),
    }
}

/// The next place at which a frame begins, whole or longer than what was read.
fn next_start(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let begins = rest.windows(FRAME_MAGIC.len()).enumerate().filter(|(_, w)| *w == FRAME_MAGIC);
    begins.map(|(i, _)| from + i).find(|at| match read_frame(bytes, *at) {
        Ok(_) => true,
        Err(why) => why.cut_short,
    })
}

/// How a kept segment is called.
pub(crate) fn kept_name(epoch: u32, index: u64) -> String {
    format!("{epoch:010}-{index:010}.log")
}

fn list(files: &dyn Files, dir: &str) -> Result<Vec<crate::Entry>, Error> {
    match files.list(dir) {
        Ok(entries) => Ok(entries),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Error::io(files.place(dir))(e)),
    }
}

fn kept(files: &dyn Files, dir: &str) -> Result<Vec<(Key, String, u64)>, Error> {
    let key = |name: &str| {
        let (epoch, index) = name.strip_suffix(".log")?.split_once('-')?;
        Some((epoch.parse().ok()?, index.parse().ok()?))
    };
    let entries = list(files, dir)?.into_iter();
    Ok(entries.filter_map(|e| Some((key(&e.name)?, e.name, e.len))).collect())
}

/// The newest epoch of the kept segments; 0 where there is none.
pub fn newest_kept(files: &dyn Files, dir: &str) -> Result<u32, Error> {
    Ok(kept(files, dir)?.iter().map(|k| k.0.0).max().unwrap_or(0))
}

/// Deletes the kept segments of epochs before `epoch`; gives how many bytes are kept still.
pub fn forget_kept(files: &dyn Files, dir: &str, epoch: u32) -> Result<u64, Error> {
    let mut left = 0;
    for (key, name, len) in kept(files, dir)? {
        if key.0 >= epoch {
            left += len;
            continue;
        }
        let path = join(dir, &name);
        match files.remove(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(files.place(&path))(e));
            }
            _ => {}
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty::{Faults, Faulty};
    use crate::seed::Seed;
    use crate::{Log, LogOptions, replay};

    fn log(files: &Faulty, epoch: u32, segment_bytes: u64) -> Log {
        files.create_dir("log").expect("makes it");
        let replayed = replay(files, "log", None, &mut |_, _| {}, &mut |_| {}).expect("reads");
        let options = LogOptions { segment_bytes, ..LogOptions::default() };
        let log = Log::open(Arc::new(files.clone()), "log", options, &replayed, epoch);
        log.keep_in(Some("kept")).expect("makes it");
        log
    }

    fn place(log: &Log) -> Place {
        let state = log.state();
        Place { epoch: state.epoch, seq: state.written }
    }

    fn read(tail: &mut Tail, upto: Place) -> (Vec<Vec<u8>>, usize) {
        let (mut frames, mut gaps) = (Vec::new(), 0);
        while tail
            .read(upto, &mut |read| match read {
                Read::Frame(frame) => frames.push(frame.payload.to_vec()),
                Read::Gap => gaps += 1,
            })
            .expect("reads")
        {}
        (frames, gaps)
    }

    #[test]
    fn every_frame_comes_once_over_segments_epochs_restarts_and_keeping() {
        for seed in 0..60 {
            let mut random = Seed::new(seed);
            let files = Faulty::new(seed);
            let (mut epoch, mut wanted, mut got) = (1, Vec::new(), Vec::new());
            let mut open = log(&files, epoch, 3000);
            let mut tail = Tail::open(Arc::new(files.clone()), "log", "kept", 0);
            for i in 0..300u64 {
                match random.below(20) {
                    0 => {
                        epoch += 1;
                        open.roll(epoch).expect("rolls");
                        open.remove_through(epoch - 1).expect("removes");
                    }
                    1 => {
                        epoch += 1;
                        got.extend(read(&mut tail, place(&open)).0);
                        drop(open);
                        open = log(&files, epoch, 3000);
                        tail = Tail::open(Arc::new(files.clone()), "log", "kept", epoch);
                    }
                    2 | 3 => {
                        let (frames, gaps) = read(&mut tail, place(&open));
                        assert_eq!(gaps, 0, "seed {seed}");
                        got.extend(frames);
                        assert_eq!(got.len(), wanted.len(), "seed {seed}, step {i}");
                    }
                    _ => {
                        let mut payload = i.to_le_bytes().to_vec();
                        payload.resize(8 + random.below(900) as usize, i as u8);
                        open.append(&payload).expect("appends");
                        wanted.push(payload);
                    }
                }
            }
            got.extend(read(&mut tail, place(&open)).0);
            assert_eq!(got, wanted, "seed {seed}");
            assert_eq!(tail.behind().expect("lists"), 0, "seed {seed}");
            // From the middle on: whole epochs.
            let mut later = Tail::open(Arc::new(files.clone()), "log", "kept", epoch);
            let frames = read(&mut later, place(&open)).0;
            assert!(wanted.ends_with(&frames));
            let left = forget_kept(&files, "kept", epoch).expect("removes");
            assert!(left == 0 && files.list("kept").expect("lists").is_empty());
        }
    }

    #[test]
    fn failing_appends_and_fsyncs_lose_nothing_that_was_written() {
        for seed in 0..60 {
            let mut random = Seed::new(seed);
            let files = Faulty::new(seed);
            let open = log(&files, 1, 4000);
            let faults = Faults {
                short_appends: 20,
                failed_appends: 10,
                failed_syncs: 20,
                ..Faults::default()
            };
            files.set(faults);
            let mut tail = Tail::open(Arc::new(files.clone()), "log", "kept", 0);
            let (mut wanted, mut got) = (Vec::new(), Vec::new());
            for i in 0..200u64 {
                let payload = vec![i as u8; 1 + random.below(700) as usize];
                if open.append(&payload).is_ok() {
                    wanted.push(payload);
                }
                if random.below(9) == 0 {
                    let _ = open.sync(); // what fails is logged anew
                }
                if random.below(5) == 0 {
                    got.extend(read(&mut tail, place(&open)).0);
                }
            }
            got.extend(read(&mut tail, place(&open)).0);
            assert_eq!(got.len(), wanted.len(), "seed {seed}");
            assert!(got == wanted, "seed {seed}");
        }
    }

    #[test]
    fn a_damaged_frame_is_a_gap_and_a_large_one_is_read_whole() {
        let files = Faulty::new(7);
        let open = log(&files, 1, 1 << 30);
        let payloads: Vec<Vec<u8>> =
            (0..4).map(|i| vec![i; if i == 2 { 3 << 20 } else { 500 }]).collect();
        for payload in &payloads {
            open.append(payload).expect("appends");
        }
        let upto = place(&open);
        let mut tail = Tail::open(Arc::new(files.clone()), "log", "kept", 0);
        let (frames, gaps) = read(&mut tail, Place { seq: 3, ..upto });
        assert_eq!((frames.len(), gaps), (3, 0), "nothing beyond what was asked for");
        assert!(frames == payloads[..3]);
        assert!(read(&mut tail, upto).0 == payloads[3..]);
        let len = files.list("log").expect("lists")[0].len as usize;
        for at in [0, 30, 700, 2000, len - 100] {
            let damaged = files.kill();
            damaged.flip("log/0000000001.log", at, 3);
            let mut tail = Tail::open(Arc::new(damaged), "log", "kept", 0);
            let (frames, gaps) = read(&mut tail, upto);
            let all = frames.iter().all(|f| payloads.contains(f));
            assert!(all && frames.len() >= 3 || at == 0, "byte {at}: {} frames", frames.len());
            assert!(gaps > 0 || frames.len() == 4 || at + 1000 > len || at == 0, "byte {at}");
        }
    }
}
