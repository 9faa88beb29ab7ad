//! Reads a log back: every frame that is whole, in order, and what was found damaged.
//!
//! A frame cut short at the end of a segment is what a crash leaves and no damage. Everything
//! else that fails its checksum is: it is reported, left out, and reading goes on at the next
//! frame that is whole.

use crate::canary::checksum_holds;
use crate::error::Error;
use crate::files::{Files, Map};
use crate::log::{
    FRAME_HEADER, FRAME_MAGIC, MAX_PAYLOAD, SEGMENT_HEADER, SEGMENT_MAGIC, SEGMENT_VERSION, Segment,
};
use crate::publish::join;

/// A place in a segment that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's path within the data folder.
    pub file: String,
    /// Its place in the order of segments.
    pub index: u64,
    /// First byte that could not be read.
    pub offset: u64,
    /// What is wrong.
    pub why: String,
}

/// What was found in a log.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// The segments, oldest first; those that were skipped as well.
    pub segments: Vec<Segment>,
    /// The number that the next frame gets.
    pub next_seq: u64,
    /// Frames delivered.
    pub frames: u64,
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// Bytes of frames cut short at the end of segments.
    pub torn_bytes: u64,
    /// Frame numbers between the first and the last that were not found.
    pub lost_frames: u64,
}

/// A whole frame of a log.
pub struct Frame<'a> {
    /// Its number.
    pub seq: u64,
    /// Its epoch.
    pub epoch: u32,
    /// What was appended.
    pub payload: &'a [u8],
}

/// Reads every whole frame of the log in `dir` whose epoch is beyond `skip_through`, in order of
/// their numbers, each once. `progress` is told bytes done and in all.
pub fn replay(
    files: &dyn Files,
    dir: &str,
    skip_through: Option<u32>,
    progress: &mut dyn FnMut(u64, u64),
    deliver: &mut dyn FnMut(Frame<'_>),
) -> Result<Replay, Error> {
    let mut found = Replay::default();
    let mut maps = Vec::new();
    let entries = files.list(dir).map_err(Error::io(files.place(dir)))?;
    for entry in &entries {
        let Some(index) = entry.name.strip_suffix(".log").and_then(|n| n.parse().ok()) else {
            continue;
        };
        let file = join(dir, &entry.name);
        match files.read(&file) {
            Ok(map) => maps.push(Scanned { file, index, map, frames: Vec::new() }),
            Err(e) => {
                let why = format!("cannot be read: {e}");
                found.damage.push(Damage { file, index, offset: 0, why });
                found.segments.push(Segment { index, epoch: 0, len: entry.len });
            }
        }
    }
    let total: u64 = maps.iter().map(|m| m.map.len() as u64).sum();
    let mut done = 0;
    for segment in &mut maps {
        scan(segment, &mut found);
        done += segment.map.len() as u64 / 2;
        progress(done, total);
    }
    found.segments.sort_by_key(|s| s.index);
    deliver_in_order(
        &maps,
        skip_through,
        &mut found,
        &mut |bytes| {
            progress(done + bytes / 2, total);
        },
        deliver,
    );
    progress(total, total);
    Ok(found)
}

struct Scanned {
    file: String,
    index: u64,
    map: Map,
    frames: Vec<Place>,
}

/// A frame within the bytes of a segment.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub seq: u64,
    pub epoch: u32,
    pub start: usize,
    pub len: usize,
}

/// Finds the frames of a segment.
fn scan(segment: &mut Scanned, found: &mut Replay) {
    let bytes: &[u8] = &segment.map;
    let mut damage = |offset: usize, why: String| {
        let (file, index) = (segment.file.clone(), segment.index);
        found.damage.push(Damage { file, index, offset: offset as u64, why });
    };
    let (mut at, header_epoch) = match read_segment_header(bytes) {
        Ok(epoch) => (SEGMENT_HEADER, Some(epoch)),
        // A crash while the segment was begun; nothing can follow.
        Err(_) if bytes.len() <= SEGMENT_HEADER => (bytes.len(), None),
        Err(why) => {
            damage(0, why);
            (0, None)
        }
    };
    let mut torn = 0;
    while at < bytes.len() {
        match read_frame(bytes, at) {
            Ok(place) => {
                at = place.start + place.len;
                segment.frames.push(place);
            }
            Err(why) => {
                let next = next_frame(bytes, at + 1);
                if at > 0 && (next.is_some() || !why.cut_short) {
                    damage(at, why.text.into());
                }
                let end = next.unwrap_or(bytes.len());
                torn += (end - at) as u64;
                at = end;
            }
        }
    }
    found.torn_bytes += torn;
    let epoch = header_epoch.or_else(|| segment.frames.iter().map(|f| f.epoch).max());
    found.segments.push(Segment {
        index: segment.index,
        epoch: epoch.unwrap_or(0),
        len: bytes.len() as u64,
    });
}

pub(crate) fn read_segment_header(bytes: &[u8]) -> Result<u32, String> {
    let Some(header) = bytes.get(..SEGMENT_HEADER) else {
        return Err("the header is cut short".into());
    };
    if header[..8] != SEGMENT_MAGIC {
        return Err("not a segment of our log".into());
    }
    if !checksum_holds(&header[..20], u32_at(header, 20)) {
        return Err("the header's checksum does not match".into());
    }
    match u32_at(header, 8) {
        SEGMENT_VERSION => Ok(u32_at(header, 12)),
        other => Err(format!("has layout version {other}, known is {SEGMENT_VERSION}")),
    }
}

pub(crate) struct BadFrame {
    text: &'static str,
    /// The bytes end before the frame does, as a crash leaves it.
    pub cut_short: bool,
}

/// The frame that begins at a place.
pub(crate) fn read_frame(bytes: &[u8], at: usize) -> Result<Place, BadFrame> {
    let bad = |text, cut_short| Err(BadFrame { text, cut_short });
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(header) = rest.get(..FRAME_HEADER) else {
        let begins = rest.len() < 4 || rest[..4] == FRAME_MAGIC;
        return bad("the header of a frame is cut short", begins);
    };
    if header[..4] != FRAME_MAGIC {
        return bad("no frame begins here", false);
    }
    if !checksum_holds(&header[4..20], u32_at(header, 20)) {
        return bad("the checksum of a frame's header does not match", false);
    }
    let len = u32_at(header, 4) as usize;
    if len > MAX_PAYLOAD {
        return bad("a frame is longer than any that is written", false);
    }
    let Some(payload) = rest.get(FRAME_HEADER..FRAME_HEADER + len) else {
        return bad("a frame is cut short", true);
    };
    if !checksum_holds(payload, u32_at(header, 24)) {
        return bad("the checksum of a frame does not match", false);
    }
    let seq = u64::from(u32_at(header, 8)) | u64::from(u32_at(header, 12)) << 32;
    Ok(Place { seq, epoch: u32_at(header, 16), start: at + FRAME_HEADER, len })
}

/// The next offset at which a whole frame begins.
fn next_frame(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let begins = rest.windows(4).enumerate().filter(|(_, w)| *w == FRAME_MAGIC);
    begins.map(|(i, _)| from + i).find(|at| read_frame(bytes, *at).is_ok())
}

fn deliver_in_order(
    maps: &[Scanned],
    skip_through: Option<u32>,
    found: &mut Replay,
    progress: &mut dyn FnMut(u64),
    deliver: &mut dyn FnMut(Frame<'_>),
) {
    let mut order: Vec<(u64, usize, Place)> = Vec::new();
    for (i, segment) in maps.iter().enumerate() {
        order.extend(segment.frames.iter().map(|f| (f.seq, i, *f)));
    }
    // Frames logged anew after a failed fsync lie in two segments; the first is as good.
    order.sort_by_key(|f| (f.0, f.1));
    order.dedup_by_key(|f| f.0);
    let (mut bytes, mut reported, mut last) = (0, 0, None);
    for (seq, i, place) in order {
        if last.is_some_and(|l| seq > l + 1) {
            found.lost_frames += seq - last.unwrap_or(seq) - 1;
        }
        last = Some(seq);
        found.next_seq = seq + 1;
        if skip_through.is_some_and(|e| place.epoch <= e) {
            continue;
        }
        let payload = &maps[i].map[place.start..place.start + place.len];
        deliver(Frame { seq, epoch: place.epoch, payload });
        found.frames += 1;
        bytes += place.len as u64;
        if bytes - reported > 1 << 20 {
            reported = bytes;
            progress(bytes);
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    if let Some(b) = bytes.get(at..at + 4) {
        four.copy_from_slice(b);
    }
    u32::from_le_bytes(four)
}
