//! What was deleted but still lies in blocks: hidden from every read at once, left out when the block is
//! written anew. Kept in the file `tombstones` of the data folder; layout: `docs/formats/log.md`.
//!
//! A tombstone holds for the blocks up to a log epoch, so that what is written after it is not hidden.

use crate::block::BlockError;
use crate::codec::{CodecError, put_varint, zigzag};
use crate::cursor::Cursor;
use crate::pace::Pace;
use crate::store::{State, Store, Stored, lock, quarantine};
use crate::{Error, compact, merge};
use disk::{Files, publish};
use model::{Columns, MatchOp, Matcher, Stop};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Where they are kept.
pub(crate) const FILE: &str = "tombstones";
const MAGIC: &[u8] = b"kubevigil tombstones 1\n";

/// Something that was deleted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    /// All must hold.
    matchers: Vec<Matcher>,
    start_ms: i64,
    end_ms: i64,
    /// The last log epoch for which it holds.
    through: u32,
}

/// What is hidden of a block.
#[derive(Debug, Default)]
pub(crate) struct Hidden(Vec<Part>);

#[derive(Debug)]
struct Part {
    series: RoaringBitmap,
    start_ms: i64,
    end_ms: i64,
}

impl Hidden {
    /// What the tombstones hide of a block.
    pub fn of(stored: &Stored, tombstones: &[Arc<Tombstone>]) -> Result<Hidden, BlockError> {
        let meta = stored.block.meta();
        let mut parts = Vec::new();
        for tombstone in tombstones {
            let Tombstone { matchers, start_ms, end_ms, through } = &**tombstone;
            if stored.last > *through || *start_ms > meta.max_ms || *end_ms < meta.min_ms {
                continue;
            }
            let series = stored.block.select(matchers, Stop::default())?;
            if !series.is_empty() {
                parts.push(Part { series, start_ms: *start_ms, end_ms: *end_ms });
            }
        }
        Ok(Hidden(parts))
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something of a series is.
    pub fn touches(&self, series: u32) -> bool {
        self.0.iter().any(|p| p.series.contains(series))
    }

    /// Takes away the series of which nothing is left.
    pub fn take_whole(&self, stored: &Stored, found: &mut RoaringBitmap) {
        let meta = stored.block.meta();
        for part in &self.0 {
            if part.start_ms <= meta.min_ms && part.end_ms >= meta.max_ms {
                *found -= &part.series;
            }
        }
    }

    /// Takes what is hidden of a series away from its columns, from the place `from` on; whether there was any.
    pub fn cut(&self, series: u32, columns: &mut Columns, from: usize) -> bool {
        let count = columns.times_ms.len();
        for part in self.0.iter().filter(|p| p.series.contains(series)) {
            let within = |t: &i64| (part.start_ms..=part.end_ms).contains(t);
            let own = columns.times_ms.get(from..).unwrap_or_default();
            let begin = from + own.iter().position(within).unwrap_or(own.len());
            let length = columns.times_ms[begin..].iter().take_while(|t| within(t)).count();
            let range = begin..begin + length;
            columns.times_ms.drain(range.clone());
            columns.floats.drain(range.clone());
            if !columns.starts_ms.is_empty() {
                columns.starts_ms.drain(range.clone());
            }
            columns.histograms.retain_mut(|(at, _)| {
                let hidden = range.contains(&(*at as usize));
                if *at as usize >= range.end {
                    *at -= length as u32;
                }
                !hidden
            });
        }
        columns.times_ms.len() < count
    }
}

/// Deletes what is there now: what is in memory goes to a block first, and all blocks so far get a
/// tombstone. Returns once that is safe.
pub(crate) fn delete(
    store: &Store,
    matchers: &[Matcher],
    start_ms: i64,
    end_ms: i64,
) -> Result<(), Error> {
    let through = store.rotate()? - 1;
    compact::flush(store, through, &Pace::none())?;
    let _one = lock(&store.maintenance);
    let mut all = store.read().tombstones.clone();
    all.push(Arc::new(Tombstone { matchers: matchers.to_vec(), start_ms, end_ms, through }));
    save(store, all)?;
    store.write().head.touched.note(start_ms);
    Ok(())
}

/// Writes anew the blocks of which something is hidden, then forgets the tombstones.
pub(crate) fn clean(store: &Store) -> Result<(), Error> {
    let tombstones = store.read().tombstones.clone();
    let blocks = store.read().blocks.clone();
    for stored in blocks {
        let hidden = Hidden::of(&stored, &tombstones)
            .map_err(|source| Error::Block { file: stored.path.clone(), source })?;
        // Another one may have taken its place meanwhile, without what is hidden.
        let is_there = store.read().blocks.iter().any(|b| Arc::ptr_eq(b, &stored));
        if !hidden.is_empty() && is_there {
            merge::merge(store, &[stored], &Pace::none())?;
        }
    }
    let _one = lock(&store.maintenance);
    let mut left = store.read().tombstones.clone();
    left.retain(|t| !tombstones.iter().any(|known| Arc::ptr_eq(known, t)));
    save(store, left)
}

fn save(store: &Store, tombstones: Vec<Arc<Tombstone>>) -> Result<(), Error> {
    publish::publish(&*store.files, "", FILE, &[&encode(&tombstones)])?;
    store.write().tombstones = tombstones;
    Ok(())
}

/// Reads them when a folder is opened; a damaged file is set aside.
pub(crate) fn load(files: &dyn Files, state: &mut State) -> Result<(), Error> {
    let bytes = match files.read(FILE) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(disk::Error::Io { place: files.place(FILE), source }.into()),
    };
    match decode(&bytes) {
        Ok(tombstones) => state.tombstones = tombstones.into_iter().map(Arc::new).collect(),
        Err(e) => {
            drop(bytes);
            let why = format!("{e}; what was deleted is shown again");
            state.quarantined.push(quarantine(files, FILE, &why));
        }
    }
    Ok(())
}

const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];

fn encode(tombstones: &[Arc<Tombstone>]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    put_varint(tombstones.len() as u64, &mut out);
    for t in tombstones {
        put_varint(zigzag(t.start_ms), &mut out);
        put_varint(zigzag(t.end_ms), &mut out);
        put_varint(u64::from(t.through), &mut out);
        put_varint(t.matchers.len() as u64, &mut out);
        for matcher in &t.matchers {
            out.push(OPS.iter().position(|o| *o == matcher.op).unwrap_or(0) as u8);
            for text in [&matcher.name, &matcher.value] {
                put_varint(text.len() as u64, &mut out);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Tombstone>, CodecError> {
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(CodecError::Short)?;
    if !disk::canary::checksum_holds(body, u32::from_le_bytes(*checksum)) {
        return Err(CodecError::Invalid("checksum"));
    }
    let mut cursor = Cursor(body.strip_prefix(MAGIC).ok_or(CodecError::Invalid("beginning"))?);
    let mut tombstones = Vec::new();
    for _ in 0..cursor.size(body.len(), "number of tombstones")? {
        let (start_ms, end_ms) = (cursor.signed()?, cursor.signed()?);
        let through = cursor.size(u32::MAX as usize, "log epoch")? as u32;
        let mut matchers = Vec::new();
        for _ in 0..cursor.size(body.len(), "number of matchers")? {
            let op = OPS.get(usize::from(cursor.byte()?)).copied();
            let op = op.ok_or(CodecError::Invalid("kind of a matcher"))?;
            let mut text = || {
                let length = cursor.size(body.len(), "length of a text")?;
                std::str::from_utf8(cursor.take(length)?).map_err(|_| CodecError::Invalid("text"))
            };
            let (name, value) = (text()?, text()?);
            let matcher = Matcher::new(op, name, value);
            matchers.push(matcher.map_err(|_| CodecError::Invalid("regular expression"))?);
        }
        tombstones.push(Tombstone { matchers, start_ms, end_ms, through });
    }
    Ok(tombstones)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Histogram;

    #[test]
    fn comes_back_from_the_file_and_damage_is_seen() {
        let matchers = OPS.map(|op| Matcher::new(op, "name", "a|b").expect("parses")).to_vec();
        let all = [
            Arc::new(Tombstone { matchers, start_ms: i64::MIN, end_ms: 7, through: 9 }),
            Arc::new(Tombstone {
                matchers: Vec::new(),
                start_ms: -1,
                end_ms: i64::MAX,
                through: 0,
            }),
        ];
        let bytes = encode(&all);
        let back: Vec<Arc<Tombstone>> =
            decode(&bytes).expect("decodes").into_iter().map(Arc::new).collect();
        assert_eq!(back, all);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(decode(&damaged).is_err(), "byte {at}");
            assert!(decode(&bytes[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn cuts_what_lies_within_and_moves_what_lies_behind() {
        let series = RoaringBitmap::from_iter([3]);
        let hidden = Hidden(vec![Part { series, start_ms: 20, end_ms: 30 }]);
        let histogram = Arc::new(Histogram::default());
        let mut columns = Columns {
            times_ms: vec![20, 10, 20, 30, 40],
            floats: vec![0.0, 1.0, 2.0, 3.0, 4.0],
            histograms: vec![(2, histogram.clone()), (4, histogram)],
            starts_ms: vec![0, 1, 2, 3, 4],
            times_id: 1,
            ..Columns::default()
        };
        assert!(!hidden.cut(4, &mut columns, 1));
        assert!(hidden.cut(3, &mut columns, 1));
        assert_eq!(columns.times_ms, [20, 10, 40]);
        assert_eq!(columns.floats, [0.0, 1.0, 4.0]);
        assert_eq!(columns.starts_ms, [0, 1, 4]);
        let places: Vec<u32> = columns.histograms.iter().map(|h| h.0).collect();
        assert_eq!(places, [2]);
    }
}
