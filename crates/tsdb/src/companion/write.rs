//! Writes a companion: what is kept of each entry of its block, in their order. Keeps in memory what the index
//! needs, never the samples.

use super::summary::Summary;
use super::{EXTREMES, FALLS, FRAME, KEPT, Meta, STARTS, SUMS};
use crate::block::BlockError;
use crate::codec::{encode_floats, encode_ints, put_varint};
use model::Columns;
use std::collections::HashMap;
use std::io::Write;
use xxhash_rust::xxh3::xxh3_128;

/// Writes one companion.
pub(crate) struct Writer<W: Write> {
    out: W,
    at: u64,
    meta: Meta,
    groups: Vec<u8>,
    /// By the digest of times and weights.
    known: HashMap<u128, u32>,
    offsets: Vec<u8>,
    entries: Vec<u8>,
    page: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins the companion of a block, which has this size and checksum.
    pub fn new(mut out: W, width_ms: i64, block: (u64, u32)) -> Result<Writer<W>, BlockError> {
        let head = FRAME.head();
        out.write_all(&head)?;
        Ok(Writer {
            out,
            at: head.len() as u64,
            meta: Meta { width_ms, block, entries: 0 },
            groups: Vec::new(),
            known: HashMap::new(),
            offsets: Vec::new(),
            entries: Vec::new(),
            page: Vec::new(),
        })
    }

    /// Adds the next entry of the block, by its samples.
    pub fn entry(&mut self, columns: &Columns) -> Result<(), BlockError> {
        self.meta.entries += 1;
        self.offsets.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        let Some(kept) = Summary::of(columns, self.meta.width_ms) else {
            self.entries.push(0);
            return Ok(());
        };
        let group = self.group(&kept)?;
        let flag = |has: bool, flag: u8| if has { flag } else { 0 };
        let flags = KEPT
            | flag(kept.falls, FALLS)
            | flag(!kept.starts_ms.is_empty(), STARTS)
            | flag(!kept.sums.is_empty(), SUMS)
            | flag(!kept.least.is_empty(), EXTREMES);
        self.entries.push(flags);
        put_varint(u64::from(group), &mut self.entries);
        put_varint(self.at, &mut self.entries);
        self.floats(&kept.floats)?;
        if flags & STARTS != 0 {
            self.page.clear();
            encode_ints(&kept.starts_ms, &mut self.page);
            self.put_page_of_entry()?;
        }
        for column in [&kept.sums, &kept.least, &kept.greatest] {
            if !column.is_empty() {
                self.floats(column)?;
            }
        }
        Ok(())
    }

    fn floats(&mut self, values: &[f64]) -> Result<(), BlockError> {
        self.page.clear();
        encode_floats(values, &mut self.page);
        self.put_page_of_entry()
    }

    fn put_page_of_entry(&mut self) -> Result<(), BlockError> {
        let (_, length) = self.put_page()?;
        put_varint(length, &mut self.entries);
        Ok(())
    }

    /// The group with these times and weights, written where no entry before had it.
    fn group(&mut self, kept: &Summary) -> Result<u32, BlockError> {
        let numbers = kept.times_ms.iter().chain(&kept.weights);
        let bytes: Vec<u8> = numbers.flat_map(|n| n.to_le_bytes()).collect();
        let digest = xxh3_128(&bytes);
        if let Some(group) = self.known.get(&digest) {
            return Ok(*group);
        }
        self.page.clear();
        encode_ints(&kept.times_ms, &mut self.page);
        encode_ints(&kept.weights, &mut self.page);
        let (offset, length) = self.put_page()?;
        let stretches = kept.weights.iter().filter(|w| **w > 0).count();
        for number in [kept.times_ms.len() as u64, stretches as u64, offset, length] {
            put_varint(number, &mut self.groups);
        }
        let group = self.known.len() as u32;
        self.known.insert(digest, group);
        Ok(group)
    }

    /// Writes the page at hand with its checksum; gives offset and length without it.
    fn put_page(&mut self) -> Result<(u64, u64), BlockError> {
        let placed = (self.at, self.page.len() as u64);
        let checksum = crc32c::crc32c(&self.page);
        self.page.extend_from_slice(&checksum.to_le_bytes());
        self.out.write_all(&self.page)?;
        self.at += self.page.len() as u64;
        Ok(placed)
    }

    /// Writes the index and gives back the output; the caller makes it durable.
    pub fn finish(mut self) -> Result<W, BlockError> {
        let mut groups = Vec::with_capacity(self.groups.len() + 4);
        put_varint(self.known.len() as u64, &mut groups);
        groups.extend_from_slice(&self.groups);
        let mut meta = Vec::new();
        self.meta.write(&mut meta);
        FRAME.write_end([&groups, &self.offsets, &self.entries, &meta], self.at, &mut self.out)?;
        Ok(self.out)
    }
}
