//! Writes a block that Prometheus, promtool and Thanos read: chunks of at most 120 samples, an index of
//! version 2, no tombstones. It comes to be under its name when it is whole.

use crate::block::{SEGMENT_HEAD, segment_head};
use crate::bytes::put_uvarint;
use crate::chunk::{self, histogram, xor};
use crate::error::Error;
use crate::index::ChunkPlace;
use crate::index::writer::IndexWriter;
use crate::meta::{Compaction, Meta, Stats};
use crate::tombstones;
use disk::publish::join;
use disk::{File, Files, Folder};
use model::{Columns, Histogram, Labels};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Prometheus cuts a chunk at so many samples.
const CHUNK_SAMPLES: usize = 120;
/// A segment of chunks has at most so many bytes.
const SEGMENT_BYTES: u64 = 512 << 20;
/// Where a block lies until it is whole; Prometheus removes such folders when it starts.
const UNFINISHED: &str = "kubevigil.tmp-for-creation";

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The block's name.
    pub ulid: String,
    /// Whether a block of that name, and therefore of the same content, was there already.
    pub present: bool,
    /// What it holds.
    pub stats: Stats,
    /// Bytes of chunks and index.
    pub bytes: u64,
}

/// Writes one block.
pub struct BlockWriter {
    root: PathBuf,
    files: Folder,
    segments: u64,
    segment: Option<Output>,
    /// `None` once it is written.
    index: Option<IndexWriter<Output>>,
    stats: Stats,
    bytes: u64,
    /// Of all chunks and labels.
    digest: Xxh3,
    chunk: Vec<u8>,
    /// Whether the block has its name.
    finished: bool,
}

/// A file that is being written.
struct Output {
    file: Arc<dyn File>,
    place: String,
    buffer: Vec<u8>,
    length: u64,
}

const BUFFER: usize = 256 << 10;

impl Output {
    fn create(files: &Folder, name: &str) -> Result<Output, Error> {
        let path = join(UNFINISHED, name);
        let place = files.place(&path);
        let file = files.create(&path).map_err(Error::io(&place))?;
        Ok(Output { file, place, buffer: Vec::with_capacity(BUFFER), length: 0 })
    }

    fn finish(mut self) -> Result<u64, Error> {
        let done = self.flush().and_then(|()| self.file.sync());
        done.map_err(Error::io(&self.place))?;
        Ok(self.length)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        self.length += bytes.len() as u64;
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.append_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl BlockWriter {
    /// Begins a block in the folder `root`, which is created where it does not exist. `symbols` has every
    /// name and value of every label that will come. One block at a time is written in a folder.
    pub fn begin(root: &Path, symbols: BTreeSet<String>) -> Result<BlockWriter, Error> {
        let files = Folder::new(root);
        let unfinished = root.join(UNFINISHED);
        match std::fs::remove_dir_all(&unfinished) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(unfinished.display())(e));
            }
            _ => {}
        }
        let chunks = join(UNFINISHED, "chunks");
        files.create_dir(&chunks).map_err(Error::io(files.place(&chunks)))?;
        let index = Output::create(&files, "index")?;
        let index =
            IndexWriter::begin(index, symbols).map_err(Error::io(files.place(UNFINISHED)))?;
        Ok(BlockWriter {
            root: root.to_owned(),
            files,
            segments: 0,
            segment: None,
            index: Some(index),
            stats: Stats::default(),
            bytes: 0,
            digest: Xxh3::new(),
            chunk: Vec::new(),
            finished: false,
        })
    }

    /// Adds a series with its samples, behind those before it in the order of labels. Nothing is written for
    /// one without samples.
    pub fn series(&mut self, labels: &Labels, columns: &Columns) -> Result<(), Error> {
        if columns.times_ms.is_empty() {
            return Ok(());
        }
        if columns.times_ms.windows(2).any(|w| w[0] >= w[1]) {
            return Err(Error::Order("times of a series"));
        }
        let mut chunks = Vec::new();
        let mut histograms = columns.histograms.as_slice();
        let mut from = 0;
        while from < columns.times_ms.len() {
            let (length, data, encoding) = match histograms.first() {
                Some((at, _)) if *at as usize == from => {
                    let length = together(histograms);
                    let (these, rest) = histograms.split_at(length);
                    histograms = rest;
                    let these: Vec<Arc<Histogram>> =
                        these.iter().map(|h| Arc::clone(&h.1)).collect();
                    self.stats.num_histogram_samples += length as u64;
                    let data = histogram::encode(&columns.times_ms[from..from + length], &these);
                    (length, data, chunk::FLOAT_HISTOGRAM)
                }
                next => {
                    let until = next.map_or(columns.times_ms.len(), |h| h.0 as usize);
                    let length = until.saturating_sub(from).min(CHUNK_SAMPLES);
                    if length == 0 {
                        return Err(Error::Order("histograms of a series"));
                    }
                    let own = from..from + length;
                    self.stats.num_float_samples += length as u64;
                    let data = xor::encode(&columns.times_ms[own.clone()], &columns.floats[own]);
                    (length, data, chunk::XOR)
                }
            };
            let place = self.put_chunk(encoding, &data)?;
            let (min_ms, max_ms) = (columns.times_ms[from], columns.times_ms[from + length - 1]);
            chunks.push(ChunkPlace { min_ms, max_ms, place });
            from += length;
        }
        self.stats.num_samples += columns.times_ms.len() as u64;
        self.stats.num_chunks += chunks.len() as u64;
        self.stats.num_series += 1;
        for (name, value) in labels.iter() {
            self.digest.update(name.as_bytes());
            self.digest.update(&[0xff]);
            self.digest.update(value.as_bytes());
            self.digest.update(&[0xfe]);
        }
        match &mut self.index {
            Some(index) => index.series(labels, &chunks),
            None => Err(Error::Order("series of a finished block")),
        }
    }

    fn put_chunk(&mut self, encoding: u8, data: &[u8]) -> Result<u64, Error> {
        let chunk = &mut self.chunk;
        chunk.clear();
        put_uvarint(data.len() as u64, chunk);
        let content = chunk.len();
        chunk.push(encoding);
        chunk.extend_from_slice(data);
        let checksum = crc32c::crc32c(&chunk[content..]);
        chunk.extend_from_slice(&checksum.to_be_bytes());
        self.digest.update(chunk);
        let room = SEGMENT_BYTES.saturating_sub(chunk.len() as u64);
        if self.segment.as_ref().is_none_or(|s| s.length > room) {
            if let Some(full) = self.segment.take() {
                self.bytes += full.finish()?;
            }
            self.segments += 1;
            let mut segment = Output::create(&self.files, &format!("chunks/{:06}", self.segments))?;
            segment.write_all(&segment_head()).map_err(Error::io(&segment.place))?;
            debug_assert_eq!(segment.length, SEGMENT_HEAD as u64);
            self.segment = Some(segment);
        }
        let Some(segment) = &mut self.segment else { return Err(Error::Order("segments")) };
        let place = (self.segments - 1) << 32 | segment.length;
        segment.write_all(&self.chunk).map_err(Error::io(&segment.place))?;
        Ok(place)
    }

    /// Writes the rest and gives the block its name, which follows from its content and its stretch; all its
    /// samples lie between the two times, milliseconds since the Unix epoch, the last not included. Nothing
    /// stays of a block without samples.
    pub fn finish(mut self, min_ms: i64, max_ms: i64) -> Result<Option<Written>, Error> {
        if self.stats.num_samples == 0 {
            return Ok(None);
        }
        if let Some(last) = self.segment.take() {
            self.bytes += last.finish()?;
        }
        self.digest.update(&min_ms.to_le_bytes());
        self.digest.update(&max_ms.to_le_bytes());
        let ulid = ulid(max_ms, self.digest.digest128());
        let unfinished = self.root.join(UNFINISHED);
        let place = self.files.place(&ulid);
        if let Some(index) = self.index.take() {
            let index = index.finish().map_err(Error::io(self.files.place(UNFINISHED)))?;
            self.bytes += index.finish()?;
        }
        let written = Written {
            present: self.root.join(&ulid).exists(),
            ulid,
            stats: self.stats,
            bytes: self.bytes,
        };
        if written.present {
            return Ok(Some(written));
        }
        let meta = Meta {
            ulid: written.ulid.clone(),
            min_ms,
            max_ms,
            stats: self.stats,
            compaction: Compaction {
                level: 1,
                sources: vec![written.ulid.clone()],
                hints: Vec::new(),
            },
            version: 1,
        };
        let text = serde_json::to_vec_pretty(&meta).map_err(|e| Error::io(&place)(e.into()))?;
        for (name, content) in [("meta.json", text), ("tombstones", tombstones::none())] {
            let mut file = Output::create(&self.files, name)?;
            file.write_all(&content).map_err(Error::io(&place))?;
            file.finish()?;
        }
        let named = (|| {
            self.files.sync_dir(&join(UNFINISHED, "chunks"))?;
            self.files.sync_dir(UNFINISHED)?;
            std::fs::rename(&unfinished, self.root.join(&written.ulid))?;
            self.files.sync_dir("")
        })();
        named.map_err(Error::io(&place))?;
        self.finished = true;
        Ok(Some(written))
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is removed when the next block begins.
            let _ = std::fs::remove_dir_all(self.root.join(UNFINISHED));
        }
    }
}

/// How many of the first histograms can be one chunk.
fn together(histograms: &[(u32, Arc<Histogram>)]) -> usize {
    let next =
        |w: &[(u32, Arc<Histogram>)]| w[0].0 + 1 == w[1].0 && histogram::goes_on(&w[0].1, &w[1].1);
    1 + histograms.windows(2).take(CHUNK_SAMPLES - 1).take_while(|w| next(w)).count()
}

/// A name as Prometheus makes them: 48 bits of time, then what here is a digest, in Crockford's base 32.
fn ulid(time_ms: i64, digest: u128) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let time = time_ms.clamp(0, (1 << 48) - 1) as u128;
    let number = time << 80 | digest & ((1 << 80) - 1);
    (0..26).rev().map(|i| DIGITS[(number >> (5 * i) & 31) as usize] as char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Block;
    use model::SeriesSet;
    use model::histogram::Span;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Content = BTreeMap<Labels, Columns>;

    fn content(series: &[(u8, Vec<(u16, u8)>)]) -> Content {
        let mut all = Content::new();
        for (n, samples) in series {
            let (n, kind) = (n.to_string(), ["a", "b"][usize::from(n % 2)]);
            let labels = Labels::from_pairs([("__name__", "m"), ("n", n.as_str()), ("kind", kind)]);
            let mut columns = Columns::default();
            let mut time = 7_200_000;
            for (step, value) in samples {
                time += i64::from(*step) + 1;
                match value {
                    0..20 => chunk::push_histogram(
                        &mut columns,
                        time,
                        0,
                        Arc::new(Histogram {
                            count: f64::from(*value),
                            positive_spans: vec![Span {
                                offset: 1,
                                length: 1 + u32::from(value % 2),
                            }],
                            positive_buckets: vec![f64::from(*value); 1 + usize::from(value % 2)],
                            ..Histogram::default()
                        }),
                    ),
                    _ => chunk::push_float(&mut columns, time, 0, f64::from(*value)),
                }
            }
            if !samples.is_empty() {
                all.insert(labels, columns);
            }
        }
        all
    }

    fn write(root: &Path, all: &Content) -> Option<Written> {
        let texts =
            all.keys().flat_map(|l| l.iter()).flat_map(|l| [l.0.to_owned(), l.1.to_owned()]);
        let mut writer = BlockWriter::begin(root, texts.collect()).expect("begins");
        all.iter().for_each(|(l, c)| writer.series(l, c).expect("writes"));
        writer.finish(7_200_000, 14_400_000_000).expect("finishes")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn what_is_written_is_read(series in prop::collection::vec((any::<u8>(), prop::collection::vec((any::<u16>(), any::<u8>()), 0..300)), 0..6)) {
            let dir = tempfile::tempdir().expect("a folder");
            let all = content(&series);
            let Some(written) = write(dir.path(), &all) else {
                prop_assert!(all.is_empty());
                prop_assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
                return Ok(());
            };
            let again = write(dir.path(), &all).expect("has samples");
            prop_assert!(again.present && again.ulid == written.ulid && !written.present);
            prop_assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1);
            let block = Block::open(&dir.path().join(&written.ulid)).expect("opens");
            prop_assert_eq!(block.meta().stats, written.stats);
            let mut found = block.series();
            let mut columns = Columns::default();
            for (labels, expected) in &all {
                prop_assert_eq!(found.next().expect("goes on"), Some(labels.clone()));
                found.read(&mut columns).expect("reads");
                prop_assert_eq!(&columns.times_ms, &expected.times_ms);
                prop_assert_eq!(&columns.floats, &expected.floats);
                prop_assert_eq!(columns.histograms.len(), expected.histograms.len());
                for (a, b) in columns.histograms.iter().zip(&expected.histograms) {
                    prop_assert!(a.0 == b.0 && a.1.same_value(&b.1), "{:?} {:?}", a, b);
                }
            }
            prop_assert!(found.next().expect("ends").is_none());
            prop_assert!(found.damage().is_empty() && block.damage().is_empty());
        }
    }

    #[test]
    fn every_flipped_byte_of_a_block_is_named_or_changes_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let all =
            content(&[(1, vec![(9, 30); 130]), (2, vec![(9, 3), (9, 4)]), (3, vec![(1, 99)])]);
        let written = write(dir.path(), &all).expect("has samples");
        let root = dir.path().join(written.ulid);
        let mut quiet = BTreeMap::new();
        for name in ["index", "chunks/000001", "tombstones"] {
            let whole = std::fs::read(root.join(name)).expect("reads");
            for byte in 0..whole.len() {
                let mut damaged = whole.clone();
                damaged[byte] ^= 1 << (byte % 8);
                std::fs::write(root.join(name), &damaged).expect("writes");
                let Ok(block) = Block::open(&root) else { continue };
                let mut found = block.series();
                let mut columns = Columns::default();
                while let Some(labels) = found.next().expect("goes on") {
                    found.read(&mut columns).expect("reads");
                    let expected = &all[&labels];
                    for (time, value) in columns.times_ms.iter().zip(&columns.floats) {
                        let at = expected.times_ms.binary_search(time).expect("was written");
                        assert_eq!(
                            value.to_bits(),
                            expected.floats[at].to_bits(),
                            "{name}, byte {byte}"
                        );
                    }
                }
                if found.damage().is_empty() && block.damage().is_empty() {
                    *quiet.entry(name).or_insert(0) += 1;
                }
            }
            std::fs::write(root.join(name), &whole).expect("writes");
        }
        // Nothing reads padding, posting lists of single labels, or the reserved bytes of a segment's head.
        let quiet_in = |name: &str| quiet.get(name).copied().unwrap_or(0);
        assert_eq!((quiet_in("tombstones"), quiet_in("chunks/000001")), (0, 3), "{quiet:?}");
    }
}
