//! A block: a folder with `meta.json`, `index`, `chunks/` and perhaps `tombstones`.

use crate::bytes::{Bytes, Wrong};
use crate::chunk;
use crate::error::{Damage, Error};
use crate::index::{ChunkPlace, Index};
use crate::meta::Meta;
use crate::tombstones::{self, Tombstones, cut, pick};
use disk::Files;
use model::{Columns, Labels, ReadError, SeriesSet};
use std::io;
use std::path::Path;

const SEGMENT_MAGIC: u32 = 0x85bd_40dd;
/// Bytes before the first chunk of a segment.
pub(crate) const SEGMENT_HEAD: usize = 8;

/// A block that is open for reading.
pub struct Block {
    meta: Meta,
    /// The folder, for messages.
    place: String,
    index: Index,
    segments: Vec<Segment>,
    tombstones: Tombstones,
    damage: Vec<Damage>,
    bytes: u64,
}

struct Segment {
    file: String,
    bytes: disk::Map,
}

impl Block {
    /// Opens the block in the folder `dir`.
    ///
    /// Fails where nothing of it can be read; what else is damaged is in [`Block::damage`].
    pub fn open(dir: &Path) -> Result<Block, Error> {
        let files = disk::Folder::new(dir);
        let mut damage = Vec::new();
        let read = |name: &str| files.read(name).map_err(Error::io(files.place(name)));
        let meta_file = read("meta.json")?;
        let meta = serde_json::from_slice(&meta_file).unwrap_or_else(|e| {
            damage.push(Damage::new(&files.place("meta.json"), 0, format!("{e}; taken for empty")));
            Meta { min_ms: i64::MIN, max_ms: i64::MAX, ..Meta::default() }
        });
        let index_file = read("index")?;
        let mut bytes = index_file.len() as u64;
        let index = Index::open(files.place("index"), index_file, &mut |d| damage.push(d))?;
        let mut segments = Vec::new();
        for entry in files.list("chunks").map_err(Error::io(files.place("chunks")))? {
            if entry.name.bytes().all(|b| b.is_ascii_digit()) {
                let name = format!("chunks/{}", entry.name);
                let segment = Segment { file: files.place(&name), bytes: read(&name)? };
                if let Err(what) = segment.check() {
                    damage.push(Damage::new(&segment.file, 0, what));
                }
                bytes += entry.len;
                segments.push(segment);
            }
        }
        let tombstones = match files.read("tombstones") {
            Ok(file) => tombstones::read(&file).unwrap_or_else(|e| {
                let what = format!("{e}; what was deleted is shown again");
                damage.push(Damage::new(&files.place("tombstones"), 0, what));
                Tombstones::new()
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Tombstones::new(),
            Err(e) => return Err(Error::io(files.place("tombstones"))(e)),
        };
        let place = dir.display().to_string();
        Ok(Block { meta, place, index, segments, tombstones, damage, bytes })
    }

    /// What it says of itself.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Its folder.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The version of its index.
    pub fn index_version(&self) -> u8 {
        self.index.version()
    }

    /// Bytes of its index and chunks.
    pub fn size_bytes(&self) -> u64 {
        self.bytes
    }

    /// What could not be read when it was opened, and was done without.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// All series with their samples, in the order of labels.
    pub fn series(&self) -> Series<'_> {
        Series { block: self, next: 0, current: None, damage: Vec::new(), damaged: 0, read: 0 }
    }

    fn chunk(&self, place: u64, columns: &mut Columns) -> Result<(), Damage> {
        let (number, at) = ((place >> 32) as usize, (place & 0xffff_ffff) as usize);
        let Some(segment) = self.segments.get(number) else {
            let what = format!("chunks/{:06} is not there", number + 1);
            return Err(Damage::new(&self.place, at, what));
        };
        segment
            .chunk(at, columns)
            .map_err(|e| Damage::new(&segment.file, at, format!("chunk: {e}")))
    }
}

impl Segment {
    fn check(&self) -> Result<(), Wrong> {
        let mut bytes = Bytes(&self.bytes);
        match (bytes.be32()?, bytes.byte()?) {
            (SEGMENT_MAGIC, 1) => Ok(()),
            (SEGMENT_MAGIC, _) => Err("a version of chunks that nobody knows"),
            _ => Err("no chunks begin here"),
        }
    }

    fn chunk(&self, at: usize, columns: &mut Columns) -> Result<(), Wrong> {
        if at < SEGMENT_HEAD {
            return Err("it lies outside");
        }
        let mut bytes = Bytes::at(&self.bytes, at)?;
        let length = bytes.count()?;
        let content = bytes.take(length + 1)?;
        if bytes.be32()? != crc32c::crc32c(content) {
            return Err("its checksum is wrong");
        }
        chunk::decode(content[0], &content[1..], columns)
    }
}

/// The head of a segment, for writing.
pub(crate) fn segment_head() -> [u8; SEGMENT_HEAD] {
    let mut head = [0; SEGMENT_HEAD];
    head[..4].copy_from_slice(&SEGMENT_MAGIC.to_be_bytes());
    head[4] = 1;
    head
}

/// So many damages are kept by one reader; they are counted all.
const DAMAGE_MAX: usize = 1000;

/// The series of a block, one after the other. What is damaged is left out and remembered.
pub struct Series<'a> {
    block: &'a Block,
    next: usize,
    current: Option<(u32, Vec<ChunkPlace>)>,
    damage: Vec<Damage>,
    damaged: u64,
    read: u64,
}

impl Series<'_> {
    /// What could not be read so far; of many the first thousand.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// How many parts could not be read so far.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// How many series were passed so far, and of how many.
    pub fn progress(&self) -> (u64, u64) {
        (self.next as u64, self.block.index.order().len() as u64)
    }

    /// Samples read so far.
    pub fn samples(&self) -> u64 {
        self.read
    }

    fn note(&mut self, damage: Damage) {
        self.damaged += 1;
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(damage);
        }
    }
}

impl SeriesSet for Series<'_> {
    fn next(&mut self) -> Result<Option<Labels>, ReadError> {
        while let Some(&name) = self.block.index.order().get(self.next) {
            self.next += 1;
            match self.block.index.series(name) {
                Ok((labels, chunks)) => {
                    self.current = Some((name, chunks));
                    return Ok(Some(labels));
                }
                Err(damage) => self.note(damage),
            }
        }
        self.current = None;
        Ok(None)
    }

    fn read(&mut self, columns: &mut Columns) -> Result<(), ReadError> {
        columns.clear();
        let Some((name, chunks)) = self.current.take() else { return Ok(()) };
        for place in &chunks {
            if let Err(damage) = self.block.chunk(place.place, columns) {
                self.note(damage);
            }
        }
        put_in_order(columns);
        if let Some(deleted) = self.block.tombstones.get(&u64::from(name)) {
            cut(columns, deleted);
        }
        self.read += columns.times_ms.len() as u64;
        Ok(())
    }
}

/// Sorts samples by time; of several at one time the first stays.
pub(crate) fn put_in_order(columns: &mut Columns) {
    if columns.times_ms.is_sorted_by(|a, b| a < b) {
        return;
    }
    let times = &columns.times_ms;
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|i| times[*i]);
    order.dedup_by_key(|i| times[*i]);
    pick(columns, &order);
}
