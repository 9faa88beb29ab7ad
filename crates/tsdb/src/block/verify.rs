//! Whether a block is whole: every checksum, and that index and samples say the same. Repairs nothing.

use super::layout::{self, HEAD_BYTES};
use super::{Block, BlockError, PAGE_TICKS, Scratch, mix};
use crate::cursor::Cursor;
use model::{Columns, Labels};
use std::collections::HashMap;

/// What a walk over all series adds up to.
#[derive(Default)]
struct Sums {
    samples: u64,
    extent: Option<(i64, i64)>,
    /// By name and value: how many series carry it, and a digest of which.
    carriers: HashMap<(String, String), (u64, u64)>,
    /// Bytes of all pages with their checksums.
    pages: u64,
}

impl Block {
    /// Reads everything and checks every checksum; fails with the first that is wrong.
    pub fn verify(&self) -> Result<(), BlockError> {
        let mut first = None;
        self.verify_with(&mut |e| {
            first.get_or_insert(e);
        });
        first.map_or(Ok(()), Err)
    }

    /// As [`Block::verify`], but goes on and tells everything that is wrong.
    pub fn verify_with(&self, wrong: &mut dyn FnMut(BlockError)) {
        if let Err(e) = layout::FRAME.read((*self.bytes).as_ref()) {
            return wrong(e);
        }
        let mut sums = Sums::default();
        self.verify_groups(&mut sums, wrong);
        let readable = self.verify_series(&mut sums, wrong);
        // What a damaged page does to the sums is not told twice.
        if readable {
            self.verify_sums(&sums, wrong);
        }
    }

    fn verify_groups(&self, sums: &mut Sums, wrong: &mut dyn FnMut(BlockError)) {
        for (number, group) in self.groups.iter().enumerate() {
            let times = match self.group_times(number as u32) {
                Ok(times) => times,
                Err(e) => {
                    wrong(e);
                    continue;
                }
            };
            let at = group.pages.first().map_or(0, |p| p.offset);
            if !times.is_sorted_by(|a, b| a < b) {
                wrong(BlockError::Damaged { at, what: "order of a group's times" });
            }
            for (page, own) in group.pages.iter().zip(times.chunks(PAGE_TICKS)) {
                sums.pages += u64::from(page.length) + 4;
                if (own.first(), own.last()) != (Some(&page.min_ms), Some(&page.max_ms)) {
                    wrong(BlockError::Damaged { at: page.offset, what: "extent of a page" });
                }
            }
        }
    }

    /// Whether all could be read.
    fn verify_series(&self, sums: &mut Sums, wrong: &mut dyn FnMut(BlockError)) -> bool {
        let (mut scratch, mut columns) = (Scratch::default(), Columns::default());
        let mut last: Option<(Labels, u32)> = None;
        let mut readable = true;
        for series in 0..self.meta.series as u32 {
            let at = self.entry(series).map_or(0, |e| e.0 as u64);
            let read = self.labels(series, &mut scratch).and_then(|labels| {
                columns.clear();
                let group = self.group_of(series)?;
                sums.pages += self.page_bytes(series)?;
                self.read(series, i64::MIN, i64::MAX, &mut scratch, &mut columns)?;
                Ok((labels, group))
            });
            let (labels, group) = match read {
                Ok(read) => read,
                Err(e) => {
                    readable = false;
                    wrong(e);
                    continue;
                }
            };
            if last.as_ref().is_some_and(|l| l.0 > labels || (l.0 == labels && l.1 == group)) {
                wrong(BlockError::Damaged { at, what: "order of the series" });
            }
            let times = &columns.times_ms;
            let (Some(&first), Some(&end)) = (times.first(), times.last()) else {
                wrong(BlockError::Damaged { at, what: "a series without a sample" });
                continue;
            };
            sums.samples += times.len() as u64;
            let extent = sums.extent.get_or_insert((first, end));
            *extent = (extent.0.min(first), extent.1.max(end));
            for (name, value) in labels.iter() {
                let sum = sums.carriers.entry((name.to_owned(), value.to_owned())).or_default();
                *sum = (sum.0 + 1, sum.1.wrapping_add(mix(1, u64::from(series))));
            }
            last = Some((labels, group));
        }
        readable
    }

    fn verify_sums(&self, sums: &Sums, wrong: &mut dyn FnMut(BlockError)) {
        let place = |section: layout::Section| self.sections[section as usize].0 as u64;
        let mut meta = |what| wrong(BlockError::Damaged { at: place(layout::Section::Meta), what });
        if self.meta.samples != sums.samples {
            meta("number of samples");
        }
        if sums.extent.is_some_and(|e| e != (self.meta.min_ms, self.meta.max_ms)) {
            meta("first and last time");
        }
        let mut seen = 0;
        let mut differs = false;
        let postings = self.each_posting(|name, value, carriers| {
            seen += 1;
            let digest =
                carriers.iter().fold(0u64, |sum, s| sum.wrapping_add(mix(1, u64::from(s))));
            let found = sums.carriers.get(&(name.to_owned(), value.to_owned()));
            differs |= found != Some(&(carriers.len(), digest));
        });
        match postings {
            Err(e) => wrong(e),
            Ok(()) if differs || seen != sums.carriers.len() => {
                let at = place(layout::Section::Postings);
                wrong(BlockError::Damaged { at, what: "posting lists against labels of series" });
            }
            Ok(()) => {}
        }
        let begin = self.sections.iter().map(|s| s.0 as u64).min().unwrap_or(0);
        if begin != HEAD_BYTES as u64 + sums.pages {
            wrong(BlockError::Damaged { at: begin, what: "bytes that belong to nothing" });
        }
    }

    /// Bytes of a series' pages, checksums included.
    fn page_bytes(&self, series: u32) -> Result<u64, BlockError> {
        let place = self.place(series)?;
        let group = self.group(&place)?;
        let mut lengths = Cursor(&self.section(layout::Section::Series).1[place.lengths_at..]);
        let mut bytes = 0;
        for _ in &group.pages {
            let length = lengths.size(u32::MAX as usize, "length of a page");
            let length = length.map_err(|e| BlockError::decode(place.lengths_at, e))? as u64;
            bytes += if length > 0 { length + 4 } else { 0 };
        }
        Ok(bytes)
    }
}
