//! Where things lie in a block file: the head, the sections and their table at the end.

use super::BlockError;
use crate::codec::{CodecError, put_varint};
use crate::cursor::Cursor;

/// The first bytes of a block.
pub(super) const MAGIC: &[u8; 8] = b"KVBLOCK\n";

/// The last bytes of a block. A later format is to end in others: that tells it from a block of this one
/// whose version was damaged.
pub(super) const END_MAGIC: &[u8; 8] = b"KVBLKEND";

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// Bytes of the head: magic, version, four reserved.
pub(super) const HEAD_BYTES: usize = 16;

/// The sections behind the pages, in their order in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Names,
    Strings,
    Postings,
    Shapes,
    Groups,
    SeriesOffsets,
    Series,
    Meta,
}

/// All sections; a section's number is its place here.
pub(super) const SECTIONS: [(Section, &str); 8] = [
    (Section::Names, "names"),
    (Section::Strings, "strings"),
    (Section::Postings, "postings"),
    (Section::Shapes, "shapes"),
    (Section::Groups, "groups"),
    (Section::SeriesOffsets, "series offsets"),
    (Section::Series, "series"),
    (Section::Meta, "meta"),
];

/// What a block holds, in a few numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The oldest sample, milliseconds since the Unix epoch.
    pub min_ms: i64,
    /// The newest sample.
    pub max_ms: i64,
    /// Series, one for each group in which a label set appears.
    pub series: u64,
    /// Samples, stale marks included.
    pub samples: u64,
    /// How often its data was compacted: 0 from the head.
    pub level: u32,
    /// The names of the blocks (or log segments) from which it was made.
    pub sources: Vec<String>,
}

impl Meta {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.min_ms.to_le_bytes());
        out.extend_from_slice(&self.max_ms.to_le_bytes());
        put_varint(self.series, out);
        put_varint(self.samples, out);
        put_varint(u64::from(self.level), out);
        put_varint(self.sources.len() as u64, out);
        for source in &self.sources {
            put_varint(source.len() as u64, out);
            out.extend_from_slice(source.as_bytes());
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Meta, CodecError> {
        let mut cursor = Cursor(bytes);
        let (min_ms, max_ms) = (cursor.u64()? as i64, cursor.u64()? as i64);
        let (series, samples) = (cursor.varint()?, cursor.varint()?);
        let level = cursor.size(u32::MAX as usize, "level")? as u32;
        let count = cursor.size(bytes.len(), "number of sources")?;
        let mut sources = Vec::new();
        for _ in 0..count {
            let length = cursor.size(bytes.len(), "length of a source")?;
            sources.push(String::from_utf8_lossy(cursor.take(length)?).into_owned());
        }
        Ok(Meta { min_ms, max_ms, series, samples, level, sources })
    }
}

/// How a file of sections behind pages begins and ends.
pub(crate) struct Frame<const N: usize> {
    pub magic: &'static [u8; 8],
    pub end_magic: &'static [u8; 8],
    pub version: u32,
    /// Names of the sections, in the order of the table.
    pub sections: [&'static str; N],
}

/// That of blocks.
pub(super) const FRAME: Frame<{ SECTIONS.len() }> = {
    let mut sections = [""; SECTIONS.len()];
    let mut i = 0;
    while i < SECTIONS.len() {
        sections[i] = SECTIONS[i].1;
        i += 1;
    }
    Frame { magic: MAGIC, end_magic: END_MAGIC, version: VERSION, sections }
};

impl<const N: usize> Frame<N> {
    /// Bytes of the table: offset, length, checksum of each section; checksum of the table; end magic.
    const TABLE_BYTES: usize = N * 20 + 4 + 8;

    /// The head of a file.
    pub fn head(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..8].copy_from_slice(self.magic);
        head[8..12].copy_from_slice(&self.version.to_le_bytes());
        head
    }

    /// Writes sections and table, of which the first is at `at`.
    pub fn write_end(
        &self,
        sections: [&[u8]; N],
        mut at: u64,
        out: &mut impl std::io::Write,
    ) -> std::io::Result<()> {
        let mut table = Vec::with_capacity(Self::TABLE_BYTES);
        for section in sections {
            out.write_all(section)?;
            table.extend_from_slice(&at.to_le_bytes());
            table.extend_from_slice(&(section.len() as u64).to_le_bytes());
            table.extend_from_slice(&crc32c::crc32c(section).to_le_bytes());
            at += section.len() as u64;
        }
        let checksum = crc32c::crc32c(&table);
        table.extend_from_slice(&checksum.to_le_bytes());
        table.extend_from_slice(self.end_magic);
        out.write_all(&table)
    }

    /// Checks head, table and the checksum of every section; gives (offset, length) of each.
    pub fn read(&self, bytes: &[u8]) -> Result<[(usize, usize); N], BlockError> {
        let damaged = |at, what| BlockError::Damaged { at, what };
        if bytes.get(..8) != Some(self.magic) {
            return Err(damaged(0, "its kind of file does not begin so"));
        }
        let version = Cursor(&bytes[8..]).u32().map_err(|_| damaged(8, "no version"))?;
        let ended = bytes.ends_with(self.end_magic);
        if version > self.version && !ended {
            return Err(BlockError::Newer { version });
        }
        let start = bytes.len().checked_sub(Self::TABLE_BYTES).filter(|&s| s >= HEAD_BYTES);
        let start = start.ok_or(damaged(bytes.len() as u64, "ends before its table"))?;
        if !ended {
            return Err(damaged(bytes.len() as u64 - 8, "its kind of file does not end so"));
        }
        let short = |_: CodecError| damaged(start as u64, "table ends early");
        let table = &bytes[start..bytes.len() - 12];
        let mut cursor = Cursor(&bytes[bytes.len() - 12..]);
        let checksum = cursor.u32().map_err(short)?;
        if !disk::canary::checksum_holds(table, checksum) {
            return Err(damaged(start as u64, "checksum of the table is wrong"));
        }
        if version != self.version || bytes[12..16] != [0; 4] {
            return Err(damaged(8, "head is damaged"));
        }
        let mut cursor = Cursor(table);
        let mut sections = [(0, 0); N];
        for (slot, name) in sections.iter_mut().zip(self.sections) {
            let offset = cursor.u64().map_err(short)?;
            let length = cursor.u64().map_err(short)?;
            let checksum = cursor.u32().map_err(short)?;
            let end = offset.checked_add(length).filter(|&end| end <= start as u64);
            let end = end.ok_or(damaged(start as u64, "a section lies outside"))? as usize;
            if !disk::canary::checksum_holds(&bytes[offset as usize..end], checksum) {
                return Err(BlockError::Damaged { at: offset, what: name });
            }
            *slot = (offset as usize, length as usize);
        }
        Ok(sections)
    }
}
