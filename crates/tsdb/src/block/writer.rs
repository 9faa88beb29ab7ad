//! Writes a block: pages as they come, then the index. Keeps in memory what the index needs (labels
//! as integers, lengths of pages), never the samples.

use super::BlockError;
use super::layout::{FRAME, HEAD_BYTES, Meta, SECTIONS};
use super::page::{self, PAGE_TICKS, Points};
use super::{postings, strings};
use crate::codec::{encode_ints, put_varint, zigzag};
use model::Labels;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;

/// A group within the block that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupId(u32);

/// Writes one block, from its groups and its series.
pub struct Writer<W: Write> {
    out: W,
    at: u64,
    groups: Vec<Group>,
    names: BTreeMap<String, Name>,
    /// Names of the label sets seen so far, as lists of name numbers.
    shapes: HashMap<Vec<u32>, u32>,
    /// Numbers of names in the order of their first appearance.
    name_numbers: HashMap<String, u32>,
    series: Vec<Series>,
    /// Value numbers of all series, in the order of each one's shape's names.
    values: Vec<u32>,
    /// Lengths of all pages of all series, 0 where a series has no sample in one.
    lengths: Vec<u32>,
    last: Option<Labels>,
    meta: Meta,
    page: Vec<u8>,
}

#[derive(Default)]
struct Name {
    number: u32,
    /// Value to its number, in the order of first appearance.
    values: BTreeMap<String, u32>,
    /// The series that carry each value, by value number.
    carriers: Vec<Vec<u32>>,
}

struct Group {
    times_ms: Vec<i64>,
    /// Offset and length of the time column of each page.
    pages: Vec<(u64, u32)>,
}

struct Series {
    shape: u32,
    group: u32,
    offset: u64,
    /// The ends of its parts of the writer's `values` and `lengths`.
    values_end: u32,
    lengths_end: u32,
}

impl<W: Write> Writer<W> {
    /// Begins a block.
    pub fn new(mut out: W) -> Result<Writer<W>, BlockError> {
        let head = FRAME.head();
        out.write_all(&head)?;
        Ok(Writer {
            out,
            at: HEAD_BYTES as u64,
            groups: Vec::new(),
            names: BTreeMap::new(),
            shapes: HashMap::new(),
            name_numbers: HashMap::new(),
            series: Vec::new(),
            values: Vec::new(),
            lengths: Vec::new(),
            last: None,
            meta: Meta { min_ms: i64::MAX, max_ms: i64::MIN, ..Meta::default() },
            page: Vec::new(),
        })
    }

    /// Adds a group by its ticks, ascending, in milliseconds since the Unix epoch.
    pub fn group(&mut self, times_ms: &[i64]) -> Result<GroupId, BlockError> {
        if times_ms.windows(2).any(|w| w[0] >= w[1]) {
            return Err(BlockError::Order("times of a group"));
        }
        let mut pages = Vec::new();
        for times in times_ms.chunks(PAGE_TICKS) {
            self.page.clear();
            encode_ints(times, &mut self.page);
            pages.push(self.put_page()?);
        }
        self.groups.push(Group { times_ms: times_ms.to_vec(), pages });
        Ok(GroupId(self.groups.len() as u32 - 1))
    }

    /// Adds a series: `labels` not before those added last; the same labels may come again with another group.
    pub fn series(
        &mut self,
        labels: &Labels,
        group: GroupId,
        points: Points<'_>,
    ) -> Result<(), BlockError> {
        if self.last.as_ref().is_some_and(|last| last > labels) {
            return Err(BlockError::Order("labels of series"));
        }
        let ticks = self.groups[group.0 as usize].times_ms.len();
        let fits = match points.ticks {
            None => points.floats.len() == ticks,
            Some(t) => {
                points.floats.len() == t.len()
                    && t.last().is_none_or(|&l| (l as usize) < ticks)
                    && t.windows(2).all(|w| w[0] < w[1])
            }
        };
        let starts = points.starts_ms.len();
        if !fits || (starts != 0 && starts != points.floats.len()) {
            return Err(BlockError::Order("ticks of a series"));
        }
        if points.floats.is_empty() {
            return Ok(());
        }
        let offset = self.at;
        self.put_pages(ticks, &points)?;
        let shape = self.intern(labels);
        let (values_end, lengths_end) = (self.values.len() as u32, self.lengths.len() as u32);
        self.series.push(Series { shape, group: group.0, offset, values_end, lengths_end });
        let times = &self.groups[group.0 as usize].times_ms;
        let (first, last) = match points.ticks {
            None => (0, ticks - 1),
            Some(t) => (t[0] as usize, t[t.len() - 1] as usize),
        };
        self.meta.min_ms = self.meta.min_ms.min(times[first]);
        self.meta.max_ms = self.meta.max_ms.max(times[last]);
        self.meta.samples += points.floats.len() as u64;
        self.last = Some(labels.clone());
        Ok(())
    }

    /// How many series were written: entries, each for one group.
    pub fn entries(&self) -> usize {
        self.series.len()
    }

    fn put_pages(&mut self, ticks: usize, points: &Points<'_>) -> Result<(), BlockError> {
        let (mut at, mut histograms) = (0, points.histograms);
        for begin in (0..ticks).step_by(PAGE_TICKS) {
            let end = (begin + PAGE_TICKS).min(ticks);
            // The part of the columns that lies within this page's ticks.
            let until = match points.ticks {
                None => end,
                Some(t) => at + t[at..].partition_point(|&t| (t as usize) < end),
            };
            let own = histograms.partition_point(|h| (h.0 as usize) < until);
            let (these, rest) = histograms.split_at(own);
            histograms = rest;
            let range = at..until;
            at = until;
            if range.is_empty() {
                self.lengths.push(0);
                continue;
            }
            let local: Option<Vec<u32>> =
                points.ticks.map(|t| t[range.clone()].iter().map(|t| t - begin as u32).collect());
            let these: Vec<_> =
                these.iter().map(|(i, h)| (i - range.start as u32, h.clone())).collect();
            let all = local.as_ref().is_some_and(|l| l.len() == end - begin);
            self.page.clear();
            page::write(
                &Points {
                    ticks: local.as_deref().filter(|_| !all),
                    floats: &points.floats[range.clone()],
                    histograms: &these,
                    starts_ms: points.starts_ms.get(range).unwrap_or_default(),
                },
                &mut self.page,
            );
            let length = self.put_page()?.1;
            self.lengths.push(length);
        }
        Ok(())
    }

    /// Writes the page at hand with its checksum; gives offset and length without it.
    fn put_page(&mut self) -> Result<(u64, u32), BlockError> {
        let placed = (self.at, self.page.len() as u32);
        let checksum = crc32c::crc32c(&self.page);
        self.page.extend_from_slice(&checksum.to_le_bytes());
        self.out.write_all(&self.page)?;
        self.at += self.page.len() as u64;
        Ok(placed)
    }

    /// Notes the values of a series; gives the number of its shape.
    fn intern(&mut self, labels: &Labels) -> u32 {
        let ordinal = self.series.len() as u32;
        let mut shape = Vec::with_capacity(labels.len());
        for (name, value) in labels.iter() {
            let number = match self.name_numbers.get(name) {
                Some(number) => *number,
                None => {
                    let number = self.name_numbers.len() as u32;
                    self.name_numbers.insert(name.to_owned(), number);
                    self.names.insert(name.to_owned(), Name { number, ..Name::default() });
                    number
                }
            };
            let Some(entry) = self.names.get_mut(name) else { continue };
            let value = match entry.values.get(value) {
                Some(value) => *value,
                None => {
                    let fresh = entry.values.len() as u32;
                    entry.values.insert(value.to_owned(), fresh);
                    entry.carriers.push(Vec::new());
                    fresh
                }
            };
            entry.carriers[value as usize].push(ordinal);
            shape.push(number);
            self.values.push(value);
        }
        let fresh = self.shapes.len() as u32;
        *self.shapes.entry(shape).or_insert(fresh)
    }

    /// Writes the index and gives back the output with what was written; the caller makes it durable.
    pub fn finish(mut self, level: u32, sources: &[String]) -> Result<(W, Meta), BlockError> {
        self.meta.series = self.series.len() as u64;
        (self.meta.level, self.meta.sources) = (level, sources.to_vec());
        if self.series.is_empty() {
            (self.meta.min_ms, self.meta.max_ms) = (0, 0);
        }
        let mut sections: [Vec<u8>; SECTIONS.len()] = Default::default();
        let [names, strings, postings, shapes, groups, offsets, series, meta] = &mut sections;
        let (name_places, value_places) = write_names(&self.names, names, strings, postings);
        write_shapes(&self.shapes, &name_places, shapes);
        write_groups(&self.groups, groups);
        let mut by_shape: Vec<&[u32]> = vec![&[]; self.shapes.len()];
        for (shape, &number) in &self.shapes {
            by_shape[number as usize] = shape;
        }
        let (mut values, mut lengths) = (self.values.as_slice(), self.lengths.as_slice());
        let mut before = (0, 0);
        for one in &self.series {
            let own_values = split_off(&mut values, one.values_end - before.0);
            let own_lengths = split_off(&mut lengths, one.lengths_end - before.1);
            before = (one.values_end, one.lengths_end);
            offsets.extend_from_slice(&(series.len() as u32).to_le_bytes());
            put_varint(u64::from(one.shape), series);
            for (&name, &value) in by_shape[one.shape as usize].iter().zip(own_values) {
                put_varint(u64::from(value_places[name as usize][value as usize]), series);
            }
            put_varint(u64::from(one.group), series);
            put_varint(one.offset, series);
            for &length in own_lengths {
                put_varint(u64::from(length), series);
            }
        }
        self.meta.write(meta);
        FRAME.write_end(sections.each_ref().map(Vec::as_slice), self.at, &mut self.out)?;
        Ok((self.out, self.meta))
    }
}

/// The first `count` of some numbers, which are taken off.
fn split_off<'a>(numbers: &mut &'a [u32], count: u32) -> &'a [u32] {
    let (first, rest) = numbers.split_at(count as usize);
    *numbers = rest;
    first
}

/// Names in order, each with its table of values and its posting lists. Gives the place of each name
/// number, and of each value number within its name.
fn write_names(
    names: &BTreeMap<String, Name>,
    out: &mut Vec<u8>,
    strings_out: &mut Vec<u8>,
    postings_out: &mut Vec<u8>,
) -> (Vec<u32>, Vec<Vec<u32>>) {
    let mut name_places = vec![0; names.len()];
    let mut value_places = vec![Vec::new(); names.len()];
    put_varint(names.len() as u64, out);
    for (place, (text, name)) in names.iter().enumerate() {
        name_places[name.number as usize] = place as u32;
        put_varint(text.len() as u64, out);
        out.extend_from_slice(text.as_bytes());
        let begin = strings_out.len();
        strings::write(name.values.keys().map(String::as_str), strings_out);
        put_varint(begin as u64, out);
        put_varint((strings_out.len() - begin) as u64, out);
        // Offsets of the lists, then the lists.
        let begin = postings_out.len();
        let mut lists = Vec::new();
        let mut places = vec![0; name.values.len()];
        for (place, &number) in name.values.values().enumerate() {
            places[number as usize] = place as u32;
            postings_out.extend_from_slice(&(lists.len() as u32).to_le_bytes());
            postings::write(&name.carriers[number as usize], &mut lists);
        }
        postings_out.extend_from_slice(&lists);
        put_varint(begin as u64, out);
        put_varint((postings_out.len() - begin) as u64, out);
        value_places[name.number as usize] = places;
    }
    (name_places, value_places)
}

fn write_shapes(shapes: &HashMap<Vec<u32>, u32>, name_places: &[u32], out: &mut Vec<u8>) {
    let mut ordered: Vec<(&u32, &Vec<u32>)> = shapes.iter().map(|(s, n)| (n, s)).collect();
    ordered.sort_unstable();
    put_varint(ordered.len() as u64, out);
    for (_, shape) in ordered {
        put_varint(shape.len() as u64, out);
        for &name in shape {
            put_varint(u64::from(name_places[name as usize]), out);
        }
    }
}

fn write_groups(groups: &[Group], out: &mut Vec<u8>) {
    put_varint(groups.len() as u64, out);
    for group in groups {
        put_varint(group.times_ms.len() as u64, out);
        for (times, &(offset, length)) in group.times_ms.chunks(PAGE_TICKS).zip(&group.pages) {
            put_varint(zigzag(times[0]), out);
            put_varint((times[times.len() - 1] - times[0]) as u64, out);
            put_varint(offset, out);
            put_varint(u64::from(length), out);
        }
    }
}
