//! A checksummed log of frames, in segments, with group commit. Layout: `docs/formats/log.md`.
//!
//! A frame is there whole or not at all. [`Log::append`] returns when the kernel has it,
//! [`Log::sync_to`] when an fsync has covered it; one fsync covers everything that was appended
//! before it began. After a failed fsync the segment is never trusted again: what it should have
//! made safe is still in memory and is logged anew into another segment.

use crate::error::Error;
use crate::files::{File, Files};
use crate::publish::join;
use crate::replay::Replay;
use crate::tail::kept_name;
use std::sync::{Arc, Mutex};

/// First bytes of a segment.
pub const SEGMENT_MAGIC: [u8; 8] = *b"kv-log\r\n";
/// The version of the layout.
pub const SEGMENT_VERSION: u32 = 1;
/// Length of a segment's header.
pub const SEGMENT_HEADER: usize = 24;
/// First bytes of a frame.
pub const FRAME_MAGIC: [u8; 4] = [0xf7, b'k', b'v', 0xa9];
/// Length of a frame's header.
pub const FRAME_HEADER: usize = 28;
/// The longest payload of a frame.
pub const MAX_PAYLOAD: usize = 256 << 20;

/// How a log behaves.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// So many bytes may wait for an fsync; more, and appending waits for one.
    pub max_unsynced: usize,
    /// A new segment is begun after so many bytes.
    pub segment_bytes: u64,
    /// For tests that must fail: claim every n-th fsync without making it (0: never).
    #[doc(hidden)]
    pub skip_sync: u64,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { max_unsynced: 64 << 20, segment_bytes: 128 << 20, skip_sync: 0 }
    }
}

/// What a log knows about itself.
#[derive(Clone, Debug, Default)]
pub struct LogState {
    /// Bytes of all segments.
    pub bytes: u64,
    /// The epoch into which frames go.
    pub epoch: u32,
    /// The number of its first frame, which need not be written yet.
    pub first: u64,
    /// How many segments there are.
    pub segments: usize,
    /// The number of the newest frame; 0 before the first.
    pub written: u64,
    /// The number of the newest frame that a finished fsync covers.
    pub durable: u64,
    /// Why nothing more is taken in.
    pub broken: Option<String>,
}

/// A log in a folder.
pub struct Log {
    files: Arc<dyn Files>,
    dir: String,
    options: LogOptions,
    write: Mutex<Writer>,
    /// Held by the one who fsyncs. Taken before `write`.
    sync: Mutex<Syncs>,
}

#[derive(Default)]
struct Syncs {
    count: u64,
}

struct Writer {
    /// All segments, oldest first.
    segments: Vec<Segment>,
    /// Where to append; `None` until the next append begins a segment.
    current: Option<Arc<dyn File>>,
    /// Files, the current one last, that hold frames no fsync has covered.
    unsafe_files: Vec<Arc<dyn File>>,
    /// How many segments were begun, and how many of their names an fsync of the folder covers.
    begun: u64,
    names_safe: u64,
    /// The frames that no finished fsync covers, as they lie in the segments.
    unsynced: Vec<u8>,
    epoch: u32,
    /// The first frame of the epoch.
    first: u64,
    next_index: u64,
    next_seq: u64,
    durable: u64,
    broken: Option<String>,
    frame: Vec<u8>,
    /// The folder into which segments go instead of being deleted.
    kept: Option<String>,
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its place in the order of segments.
    pub index: u64,
    /// The epoch of its frames.
    pub epoch: u32,
    /// Its length in bytes.
    pub len: u64,
}

/// The file name of a segment.
pub fn segment_name(index: u64) -> String {
    format!("{index:010}.log")
}

impl Log {
    /// A log that goes on after what was replayed, in a new segment with the epoch `epoch`.
    pub fn open(
        files: Arc<dyn Files>,
        dir: &str,
        options: LogOptions,
        replayed: &Replay,
        epoch: u32,
    ) -> Log {
        let writer = Writer {
            segments: replayed.segments.clone(),
            current: None,
            unsafe_files: Vec::new(),
            begun: 0,
            names_safe: 0,
            unsynced: Vec::new(),
            epoch,
            first: replayed.next_seq.max(1),
            next_index: replayed.segments.iter().map(|s| s.index + 1).max().unwrap_or(1),
            next_seq: replayed.next_seq.max(1),
            durable: replayed.next_seq.max(1) - 1,
            broken: None,
            frame: Vec::new(),
            kept: None,
        };
        let (write, sync) = (Mutex::new(writer), Mutex::new(Syncs::default()));
        Log { files, dir: dir.into(), options, write, sync }
    }

    /// Gives a frame to the kernel, and says its number; on failure nothing of it is there.
    pub fn append(&self, payload: &[u8]) -> Result<u64, Error> {
        if crate::lock(&self.write).unsynced.len() > self.options.max_unsynced {
            self.sync()?;
        }
        let mut writer = crate::lock(&self.write);
        let w = &mut *writer;
        if let Some(why) = &w.broken {
            return Err(Error::Broken(why.clone()));
        }
        if w.segments.last().is_some_and(|s| s.len > self.options.segment_bytes) {
            w.current = None;
        }
        let file = match &w.current {
            Some(file) => Arc::clone(file),
            None => self.begin_segment(w)?,
        };
        let seq = w.next_seq;
        encode_frame(&mut w.frame, payload, seq, w.epoch);
        let Some(segment) = w.segments.last_mut() else {
            return Err(Error::Broken("no segment".into()));
        };
        if let Err(e) = file.append_all(&w.frame) {
            if file.truncate(segment.len).is_err() {
                // What is left of the frame fails its checksum; the next one goes elsewhere.
                w.current = None;
            }
            return Err(Error::io(self.place(segment.index))(e));
        }
        segment.len += w.frame.len() as u64;
        w.unsynced.extend_from_slice(&w.frame);
        w.next_seq += 1;
        Ok(seq)
    }

    /// Makes everything appended so far safe; where the log is broken, tries to mend it.
    pub fn sync(&self) -> Result<u64, Error> {
        let written = crate::lock(&self.write).next_seq - 1;
        self.sync_to(written)
    }

    /// Returns when a finished fsync covers the frame `seq`; gives the newest that is covered.
    pub fn sync_to(&self, seq: u64) -> Result<u64, Error> {
        let mut syncs = crate::lock(&self.sync);
        let (unsafe_files, begun, names_safe, upto, len) = {
            let mut w = crate::lock(&self.write);
            if w.broken.is_some() {
                self.log_anew(&mut w)?;
            }
            if w.durable >= seq || w.unsynced.is_empty() {
                return Ok(w.durable);
            }
            (w.unsafe_files.clone(), w.begun, w.names_safe, w.next_seq - 1, w.unsynced.len())
        };
        syncs.count += 1;
        let skipped =
            self.options.skip_sync > 0 && syncs.count.is_multiple_of(self.options.skip_sync);
        let mut synced = Ok(());
        if !skipped {
            synced = unsafe_files.iter().try_for_each(|f| f.sync());
            if synced.is_ok() && names_safe < begun {
                synced = self.files.sync_dir(&self.dir);
            }
        }
        let mut w = crate::lock(&self.write);
        if let Err(e) = synced {
            w.broken = Some(format!("fsync: {e}"));
            self.log_anew(&mut w)?;
            return Ok(w.durable);
        }
        w.durable = upto;
        w.names_safe = begun;
        w.unsynced.drain(..len);
        w.forget_synced(unsafe_files.len());
        Ok(upto)
    }

    /// Begins a segment with another epoch, once everything before it is safe.
    pub fn roll(&self, epoch: u32) -> Result<(), Error> {
        self.sync()?;
        let _one = crate::lock(&self.sync);
        let mut w = crate::lock(&self.write);
        if !w.unsynced.is_empty() {
            let synced = w.unsafe_files.iter().try_for_each(|f| f.sync());
            if let Err(e) = synced.and_then(|()| self.files.sync_dir(&self.dir)) {
                w.broken = Some(format!("fsync: {e}"));
                self.log_anew(&mut w)?;
            } else {
                w.durable = w.next_seq - 1;
                w.unsynced.clear();
            }
        }
        w.unsafe_files.clear();
        w.current = None;
        w.epoch = epoch;
        w.first = w.next_seq;
        Ok(())
    }

    /// From now on segments are moved to the folder `dir` instead of being deleted, for a
    /// [`crate::Tail`] that has not read them; `None`: they are deleted.
    pub fn keep_in(&self, dir: Option<&str>) -> Result<(), Error> {
        if let Some(dir) = dir {
            self.files.create_dir(dir).map_err(Error::io(self.files.place(dir)))?;
        }
        crate::lock(&self.write).kept = dir.map(str::to_owned);
        Ok(())
    }

    /// Deletes the segments of this epoch and of those before it, or moves them to where they are
    /// kept ([`Log::keep_in`]).
    pub fn remove_through(&self, epoch: u32) -> Result<(), Error> {
        let mut w = crate::lock(&self.write);
        if w.epoch <= epoch {
            return Ok(());
        }
        while let Some(i) = w.segments.iter().position(|s| s.epoch <= epoch) {
            let Segment { index, epoch, .. } = w.segments[i];
            let path = join(&self.dir, &segment_name(index));
            let removed = match &w.kept {
                Some(kept) => self.files.rename(&path, &join(kept, &kept_name(epoch, index))),
                None => self.files.remove(&path),
            };
            match removed {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io(self.files.place(&path))(e));
                }
                _ => w.segments.remove(i),
            };
        }
        Ok(())
    }

    /// What the log knows about itself.
    pub fn state(&self) -> LogState {
        let w = crate::lock(&self.write);
        LogState {
            bytes: w.segments.iter().map(|s| s.len).sum(),
            epoch: w.epoch,
            first: w.first,
            segments: w.segments.len(),
            written: w.next_seq - 1,
            durable: w.durable,
            broken: w.broken.clone(),
        }
    }

    fn place(&self, index: u64) -> String {
        self.files.place(&join(&self.dir, &segment_name(index)))
    }

    fn begin_segment(&self, w: &mut Writer) -> Result<Arc<dyn File>, Error> {
        let index = w.next_index;
        let path = join(&self.dir, &segment_name(index));
        let place = || self.files.place(&path);
        let file = self.files.create(&path).map_err(|e| Error::io(place())(e))?;
        // The name is taken, whatever comes.
        w.next_index += 1;
        let header = segment_header(index, w.epoch);
        if let Err(e) = file.append_all(&header) {
            let _ = self.files.remove(&path);
            return Err(Error::io(place())(e));
        }
        w.segments.push(Segment { index, epoch: w.epoch, len: header.len() as u64 });
        w.current = Some(Arc::clone(&file));
        w.unsafe_files.push(Arc::clone(&file));
        w.begun += 1;
        Ok(file)
    }

    /// Writes what no fsync covers into a new segment and fsyncs that; the segments whose fsync
    /// failed are not touched again. Frames may then be there twice, with the same number.
    fn log_anew(&self, w: &mut Writer) -> Result<(), Error> {
        w.current = None;
        w.unsafe_files.clear();
        if w.unsynced.is_empty() {
            w.broken = None;
            return Ok(());
        }
        let logged = self.begin_segment(w).and_then(|file| {
            let place = self.place(w.next_index - 1);
            file.append_all(&w.unsynced).map_err(Error::io(place.clone()))?;
            if let Some(segment) = w.segments.last_mut() {
                segment.len += w.unsynced.len() as u64;
            }
            file.sync().map_err(Error::io(place))?;
            self.files.sync_dir(&self.dir).map_err(Error::io(self.files.place(&self.dir)))
        });
        match logged {
            Ok(()) => {
                w.broken = None;
                w.durable = w.next_seq - 1;
                w.unsynced.clear();
                w.names_safe = w.begun;
                Ok(())
            }
            Err(e) => {
                w.current = None;
                w.unsafe_files.clear();
                w.broken = Some(e.to_string());
                Err(Error::Broken(e.to_string()))
            }
        }
    }
}

impl Writer {
    /// The first `count` unsafe files are safe now; the current one stays, more will come to it.
    fn forget_synced(&mut self, count: usize) {
        let keep = self.current.clone();
        let mut i = 0;
        self.unsafe_files.retain(|f| {
            i += 1;
            i > count || keep.as_ref().is_some_and(|k| Arc::ptr_eq(k, f))
        });
    }
}

fn segment_header(index: u64, epoch: u32) -> [u8; SEGMENT_HEADER] {
    let mut header = [0; SEGMENT_HEADER];
    header[..8].copy_from_slice(&SEGMENT_MAGIC);
    header[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&epoch.to_le_bytes());
    header[16..20].copy_from_slice(&(index as u32).to_le_bytes());
    let crc = crc32c::crc32c(&header[..20]);
    header[20..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The bytes of a frame, into a buffer that is used again.
fn encode_frame(out: &mut Vec<u8>, payload: &[u8], seq: u64, epoch: u32) {
    out.clear();
    out.extend_from_slice(&FRAME_MAGIC);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
    let head = crc32c::crc32c(&out[4..20]);
    out.extend_from_slice(&head.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty::{Faults, Faulty};
    use crate::replay::replay;
    use crate::seed::Seed;

    fn read(files: &Faulty) -> (Replay, Vec<Vec<u8>>) {
        let mut frames = Vec::new();
        let found = replay(files, "log", None, &mut |_, _| {}, &mut |f| {
            frames.push(f.payload.to_vec());
        });
        (found.expect("reads"), frames)
    }

    fn log(files: &Faulty, options: LogOptions) -> Log {
        let (replayed, _) = read(files);
        Log::open(Arc::new(files.clone()), "log", options, &replayed, 1)
    }

    fn payload(i: u64) -> Vec<u8> {
        let mut bytes = i.to_le_bytes().to_vec();
        bytes.resize(8 + (i as usize * 37) % 900, i as u8);
        bytes
    }

    /// Appends under faults until a crash, and judges what the next process finds.
    fn run(seed: u64, skip_sync: u64) -> Result<(), String> {
        let mut random = Seed::new(seed);
        let files = Faulty::new(seed);
        let options = LogOptions { skip_sync, segment_bytes: 4000, ..LogOptions::default() };
        let log = log(&files, options);
        files.set(Faults {
            crash_after: Some(random.below(120)),
            short_appends: random.below(30),
            failed_appends: random.below(10),
            failed_syncs: random.below(40),
            capacity: random.percent(20).then(|| random.below(20_000)),
            ..Faults::default()
        });
        let (mut seen, mut durable) = (Vec::new(), 0);
        for i in 0..400 {
            if log.append(&payload(i)).is_ok() {
                seen.push(payload(i));
            }
            if random.percent(20)
                && let Ok(upto) = log.sync()
            {
                durable = durable.max(upto as usize);
            }
            if files.crashed() {
                break;
            }
        }
        let (_, killed) = read(&files.kill());
        if killed.get(..seen.len()) != Some(&seen[..]) {
            return Err(format!(
                "seed {seed}: {} were seen, {} are there",
                seen.len(),
                killed.len()
            ));
        }
        let (_, cut) = read(&files.power_cut());
        if cut.get(..durable) != Some(&seen[..durable]) {
            return Err(format!("seed {seed}: {durable} were durable, {} are there", cut.len()));
        }
        Ok(())
    }

    #[test]
    fn over_seeds_what_was_seen_survives_a_kill_and_what_was_durable_a_power_cut() {
        let failed = crate::seed::try_seeds("a log that crashes", 500, |seed| run(seed, 0));
        assert_eq!(failed, Vec::<String>::new());
    }

    #[test]
    fn a_log_that_skips_fsyncs_is_caught() {
        let caught = (0..50).find_map(|seed| run(seed, 2).err());
        assert!(caught.is_some(), "50 seeds did not see that every second fsync was skipped");
    }

    #[test]
    fn every_flipped_byte_is_detected() {
        let files = Faulty::new(1);
        let log = log(&files, LogOptions::default());
        for i in 0..5 {
            log.append(&payload(i)).expect("appends");
        }
        let (_, whole) = read(&files);
        let len = files.read("log/0000000001.log").expect("is there").len();
        for byte in 0..len {
            files.flip("log/0000000001.log", byte, (byte % 8) as u8);
            let (found, frames) = read(&files);
            assert!(
                !found.damage.is_empty() || found.torn_bytes > 0,
                "byte {byte} was flipped and nobody said so"
            );
            assert!(frames.iter().all(|f| whole.contains(f)), "byte {byte}: a frame was invented");
            assert!(frames.len() + 1 >= whole.len(), "byte {byte}: more than one frame was lost");
            files.flip("log/0000000001.log", byte, (byte % 8) as u8);
        }
    }

    #[test]
    fn epochs_are_skipped_and_removed() {
        let files = Faulty::new(2);
        let log = log(&files, LogOptions::default());
        log.append(b"one").expect("appends");
        log.roll(2).expect("rolls");
        log.append(b"two").expect("appends");
        let mut frames = Vec::new();
        let mut take = |f: crate::replay::Frame<'_>| frames.push(f.payload.to_vec());
        let found = replay(&files, "log", Some(1), &mut |_, _| {}, &mut take).expect("reads");
        assert_eq!((frames, found.next_seq), (vec![b"two".to_vec()], 3));
        log.remove_through(1).expect("removes");
        assert_eq!(read(&files).1, vec![b"two".to_vec()]);
        assert_eq!(log.state().segments, 1);
    }
}
