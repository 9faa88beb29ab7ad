//! `index` of a block: its symbols, its series with their chunks, and the list of all of them. Versions 1 and
//! 2 (and 3, which Prometheus reads as 2). Format: `tsdb/docs/format/index.md`.

pub(crate) mod writer;

use crate::bytes::{Bytes, SHORT, Wrong};
use crate::error::Damage;
use model::Labels;
use std::ops::Range;

pub(crate) const MAGIC: u32 = 0xbaaa_d700;
/// Bytes of the table of contents: six offsets and a checksum.
const CONTENTS: usize = 6 * 8 + 4;
/// From version 2 on series begin at multiples of this, and are named by the quotient.
pub(crate) const ALIGN: usize = 16;
/// Bytes before the first section.
const HEAD: usize = 5;

/// Where a chunk lies, and between which times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    pub min_ms: i64,
    pub max_ms: i64,
    /// Number of the segment in the upper half, offset in it in the lower.
    pub place: u64,
}

/// An open index.
pub(crate) struct Index {
    file: String,
    bytes: disk::Map,
    version: u8,
    /// Where each symbol begins; in version 1 it is named by that.
    symbols: Vec<u32>,
    series: Range<usize>,
    /// What names each series, in the order of labels.
    order: Vec<u32>,
}

impl Index {
    /// Opens the bytes of an index. A damaged list of all series is told to `damage` and made up for by
    /// looking where series may begin.
    pub fn open(
        file: String,
        bytes: disk::Map,
        damage: &mut dyn FnMut(Damage),
    ) -> Result<Index, Damage> {
        let wrong = |at: usize, what: &str| Damage::new(&file, at, what);
        let head = |e: Wrong| wrong(0, e);
        let mut begin = Bytes(&bytes);
        if begin.be32().map_err(head)? != MAGIC {
            return Err(wrong(0, "no index begins here"));
        }
        let version = begin.byte().map_err(head)?;
        if !(1..=3).contains(&version) {
            return Err(wrong(4, &format!("has version {version}, known are 1 to 3")));
        }
        let at = bytes.len().saturating_sub(CONTENTS);
        let contents = read_contents(&bytes[at..]).map_err(|e| wrong(at, e))?;
        let [symbols_at, series_at, labels_at, _, postings_at, table_at] = contents;
        let symbols = read_symbols(&bytes, symbols_at as usize, version);
        let symbols = symbols.map_err(|e| wrong(symbols_at as usize, &format!("symbols: {e}")))?;
        let end = [labels_at, postings_at, table_at].into_iter().filter(|a| *a > series_at).min();
        let series = series_at as usize..end.unwrap_or(0).min(at as u64) as usize;
        if series_at == 0 || series.end < series.start {
            return Err(wrong(at, "series lie outside"));
        }
        let mut index = Index { file, bytes, version, symbols, series, order: Vec::new() };
        index.order = match index.read_all(table_at as usize) {
            Ok(order) => order,
            Err((at, what)) => {
                damage(Damage::new(&index.file, at, format!("list of all series: {what}")));
                index.find_all()
            }
        };
        Ok(index)
    }

    /// What names each series, in the order of labels.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    pub fn version(&self) -> u8 {
        self.version
    }

    /// The labels and chunks of a series.
    pub fn series(&self, name: u32) -> Result<(Labels, Vec<ChunkPlace>), Damage> {
        let at = self.offset(name);
        self.entry(at).map(|e| e.0).map_err(|e| Damage::new(&self.file, at, format!("series: {e}")))
    }

    fn offset(&self, name: u32) -> usize {
        if self.version == 1 { name as usize } else { name as usize * ALIGN }
    }

    /// A series, and where its entry ends.
    fn entry(&self, at: usize) -> Result<((Labels, Vec<ChunkPlace>), usize), Wrong> {
        let mut bytes = Bytes::at(&self.bytes, at)?;
        let length = bytes.count()?;
        let entry = bytes.take(length)?;
        if bytes.be32()? != crc32c::crc32c(entry) {
            return Err("its checksum is wrong");
        }
        let end = self.bytes.len() - bytes.0.len();
        let mut entry = Bytes(entry);
        let count = entry.count()?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            pairs.push((self.symbol(entry.uvarint()?)?, self.symbol(entry.uvarint()?)?));
        }
        let count = entry.count()?;
        let mut chunks = Vec::with_capacity(count);
        let (mut time, mut place) = (0i64, 0i64);
        for i in 0..count {
            let min_ms = match i {
                0 => entry.varint()?,
                _ => time.wrapping_add(entry.uvarint()? as i64),
            };
            time = min_ms.wrapping_add(entry.uvarint()? as i64);
            place = match i {
                0 => entry.uvarint()? as i64,
                _ => place.wrapping_add(entry.varint()?),
            };
            chunks.push(ChunkPlace { min_ms, max_ms: time, place: place as u64 });
        }
        Ok(((Labels::from_pairs(pairs), chunks), end))
    }

    fn symbol(&self, name: u64) -> Result<&str, Wrong> {
        let at = match self.version {
            1 => usize::try_from(name).ok(),
            _ => usize::try_from(name).ok().and_then(|n| self.symbols.get(n)).map(|a| *a as usize),
        };
        Bytes::at(&self.bytes, at.ok_or("it names a symbol that is not there")?)?.text()
    }

    /// The list of all series, which the postings table has under the empty name.
    fn read_all(&self, table_at: usize) -> Result<Vec<u32>, (usize, Wrong)> {
        let in_table = |e| (table_at, e);
        let mut table = section(&self.bytes, table_at).map_err(in_table)?;
        let mut find = || -> Result<usize, Wrong> {
            for _ in 0..table.be32()? {
                let names = table.uvarint()?;
                let mut empty = true;
                for _ in 0..names {
                    let length = table.count()?;
                    empty &= table.take(length)?.is_empty();
                }
                let at = table.uvarint()?;
                if empty {
                    return usize::try_from(at).map_err(|_| SHORT);
                }
            }
            Err("the table does not have it")
        };
        let at = find().map_err(in_table)?;
        let read = || -> Result<Vec<u32>, Wrong> {
            let mut list = section(&self.bytes, at)?;
            let count = list.be32()? as usize;
            if count * 4 != list.0.len() {
                return Err("it has another length than it says");
            }
            (0..count).map(|_| list.be32()).collect()
        };
        read().map_err(|e| (at, e))
    }

    /// What names every series whose entry is whole, in the order of the file.
    fn find_all(&self) -> Vec<u32> {
        let step = if self.version == 1 { 1 } else { ALIGN };
        let mut found = Vec::new();
        let mut at = self.series.start.next_multiple_of(step);
        while at < self.series.end {
            at = match self.bytes.get(at) {
                Some(1..) => match self.entry(at) {
                    Ok((_, end)) => {
                        found.push((at / step) as u32);
                        end.next_multiple_of(step)
                    }
                    Err(_) => at + step,
                },
                _ => at + step,
            };
        }
        found
    }
}

/// A section: its length, what it holds, the checksum of that.
fn section(bytes: &[u8], at: usize) -> Result<Bytes<'_>, Wrong> {
    let mut rest = Bytes::at(bytes, at)?;
    let length = rest.be32()? as usize;
    let content = rest.take(length)?;
    if rest.be32()? != crc32c::crc32c(content) {
        return Err("its checksum is wrong");
    }
    Ok(Bytes(content))
}

fn read_contents(bytes: &[u8]) -> Result<[u64; 6], Wrong> {
    let mut bytes = Bytes(bytes);
    let mut offsets = Bytes(bytes.take(CONTENTS - 4)?);
    if bytes.be32()? != crc32c::crc32c(offsets.0) {
        return Err("the checksum of the table of contents is wrong");
    }
    let mut contents = [0; 6];
    for offset in &mut contents {
        *offset = offsets.be64()?;
    }
    Ok(contents)
}

fn read_symbols(bytes: &[u8], at: usize, version: u8) -> Result<Vec<u32>, Wrong> {
    if at < HEAD {
        return Err("there are none");
    }
    let mut rest = section(bytes, at)?;
    let end = rest.0.len();
    if version == 1 {
        return Ok(Vec::new());
    }
    let mut symbols = Vec::new();
    for _ in 0..rest.be32()? {
        let place = at + 4 + end - rest.0.len();
        symbols.push(u32::try_from(place).map_err(|_| "they are too many")?);
        let length = rest.count()?;
        rest.take(length)?;
    }
    Ok(symbols)
}
