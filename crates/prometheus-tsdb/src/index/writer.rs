//! Writes an index of version 2, section by section: symbols first, then the series as they come, then the
//! posting lists. In memory stay the symbols and the lists, never the series.

use super::{ALIGN, ChunkPlace, MAGIC};
use crate::bytes::{put_text, put_uvarint, put_varint};
use crate::error::Error;
use model::Labels;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};

/// Writes one index.
pub(crate) struct IndexWriter<W: Write> {
    out: W,
    at: u64,
    /// Each symbol's place in the order of symbols.
    symbols: HashMap<String, u32>,
    series_at: u64,
    last: Option<Labels>,
    all: Vec<u32>,
    /// By name and value, what names the series that carry them.
    postings: BTreeMap<(u32, u32), Vec<u32>>,
    buffer: Vec<u8>,
}

impl<W: Write> IndexWriter<W> {
    /// Begins an index; `symbols` has every name and value of every label that will come.
    pub fn begin(out: W, symbols: BTreeSet<String>) -> io::Result<IndexWriter<W>> {
        let mut writer = IndexWriter {
            out,
            at: 0,
            symbols: HashMap::with_capacity(symbols.len()),
            series_at: 0,
            last: None,
            all: Vec::new(),
            postings: BTreeMap::new(),
            buffer: Vec::new(),
        };
        let mut head = MAGIC.to_be_bytes().to_vec();
        head.push(2);
        writer.put(&head)?;
        let mut table = (symbols.len() as u32).to_be_bytes().to_vec();
        for (number, symbol) in symbols.into_iter().enumerate() {
            put_text(&symbol, &mut table);
            writer.symbols.insert(symbol, number as u32);
        }
        writer.put_section(&table)?;
        writer.series_at = writer.at;
        Ok(writer)
    }

    /// Adds a series behind those before it in the order of labels.
    pub fn series(&mut self, labels: &Labels, chunks: &[ChunkPlace]) -> Result<(), Error> {
        if self.last.as_ref().is_some_and(|last| last >= labels) {
            return Err(Error::Order("labels of series"));
        }
        self.pad(ALIGN).map_err(Error::io("index"))?;
        let name = u32::try_from(self.at / ALIGN as u64);
        let name = name.map_err(|_| Error::Order("more than 64 GiB of series"))?;
        let mut entry = Vec::new();
        put_uvarint(labels.len() as u64, &mut entry);
        for (label, value) in labels.iter() {
            let number = |text: &str| self.symbols.get(text).copied();
            let pair = number(label).zip(number(value)).ok_or(Error::Order("symbols of series"))?;
            put_uvarint(u64::from(pair.0), &mut entry);
            put_uvarint(u64::from(pair.1), &mut entry);
            self.postings.entry(pair).or_default().push(name);
        }
        put_uvarint(chunks.len() as u64, &mut entry);
        let (mut time, mut place) = (0, 0);
        for (i, chunk) in chunks.iter().enumerate() {
            if i == 0 {
                put_varint(chunk.min_ms, &mut entry);
            } else {
                put_uvarint(chunk.min_ms.wrapping_sub(time) as u64, &mut entry);
            }
            put_uvarint(chunk.max_ms.wrapping_sub(chunk.min_ms) as u64, &mut entry);
            if i == 0 {
                put_uvarint(chunk.place, &mut entry);
            } else {
                put_varint(chunk.place.wrapping_sub(place) as i64, &mut entry);
            }
            (time, place) = (chunk.max_ms, chunk.place);
        }
        self.buffer.clear();
        put_uvarint(entry.len() as u64, &mut self.buffer);
        self.buffer.extend_from_slice(&entry);
        self.buffer.extend_from_slice(&crc32c::crc32c(&entry).to_be_bytes());
        let whole = std::mem::take(&mut self.buffer);
        self.put(&whole).map_err(Error::io("index"))?;
        self.buffer = whole;
        self.all.push(name);
        self.last = Some(labels.clone());
        Ok(())
    }

    /// Writes the rest and gives back the output.
    pub fn finish(mut self) -> io::Result<W> {
        // Label indices, which nobody reads any more, would begin here.
        let labels_at = self.at;
        self.pad(4)?;
        let postings_at = self.at;
        let mut by_number: Vec<(u32, &str)> =
            self.symbols.iter().map(|(text, number)| (*number, text.as_str())).collect();
        by_number.sort_unstable();
        let texts: Vec<String> = by_number.into_iter().map(|(_, text)| text.to_owned()).collect();
        let mut table = (self.postings.len() as u32 + 1).to_be_bytes().to_vec();
        let all = std::mem::take(&mut self.all);
        self.posting("", "", &all, &mut table)?;
        for ((name, value), list) in std::mem::take(&mut self.postings) {
            self.posting(&texts[name as usize], &texts[value as usize], &list, &mut table)?;
        }
        let table_at = self.at;
        self.put_section(&table)?;
        let mut contents = Vec::new();
        for at in [5, self.series_at, labels_at, table_at, postings_at, table_at] {
            contents.extend_from_slice(&at.to_be_bytes());
        }
        contents.extend_from_slice(&crc32c::crc32c(&contents).to_be_bytes());
        self.put(&contents)?;
        Ok(self.out)
    }

    fn posting(
        &mut self,
        name: &str,
        value: &str,
        list: &[u32],
        table: &mut Vec<u8>,
    ) -> io::Result<()> {
        self.pad(4)?;
        put_uvarint(2, table);
        put_text(name, table);
        put_text(value, table);
        put_uvarint(self.at, table);
        let mut section = (list.len() as u32).to_be_bytes().to_vec();
        section.extend(list.iter().flat_map(|name| name.to_be_bytes()));
        self.put_section(&section)
    }

    fn put_section(&mut self, content: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::other("a section of the index is longer than 4 GiB");
        let length = u32::try_from(content.len()).map_err(too_long)?;
        self.put(&length.to_be_bytes())?;
        self.put(content)?;
        self.put(&crc32c::crc32c(content).to_be_bytes())
    }

    fn pad(&mut self, to: usize) -> io::Result<()> {
        let missing = self.at.next_multiple_of(to as u64) - self.at;
        self.put(&[0; ALIGN][..missing as usize])
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}
