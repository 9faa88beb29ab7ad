//! One record of the log: everything that a batch changes in the head, in order.
//!
//! The head is changed by applying records and by nothing else, when they are written as when
//! they are replayed, so both give the same head. Layout: `docs/formats/log.md`, Records.

use crate::Metadata;
use crate::change::{self, Step};
use crate::codec::{CodecError, put_varint, unzigzag, zigzag};
use crate::cursor::Cursor;
use crate::exemplars::{Entry, Exemplar};
use model::{Kind, Labels, Sample, Value};
use std::sync::Arc;

const SERIES: u8 = 1;
const SLOTS: u8 = 2;
const TICK: u8 = 3;
const LEAVE: u8 = 4;
const LOOSE: u8 = 5;
const METADATA: u8 = 6;
const EXEMPLAR: u8 = 7;
const KEPT_EXEMPLAR: u8 = 8;

const RAW: u8 = 0;
const LZ4: u8 = 1;
/// The form and the size before compressed items.
const LZ4_HEAD: usize = 5;
/// Records beyond this size are compressed: they spell out labels.
const COMPRESS_FROM: usize = 4096;

/// One item of a record.
pub(crate) enum Item<'a> {
    /// A series gets a number.
    Series { number: u32, labels: Labels },
    /// A series takes a slot of a group.
    Slot { group: u32, slot: u32, series: u32 },
    /// A group gets a tick; slots without a change go on as they were.
    Tick(Tick<'a>),
    /// A series leaves its group.
    Leave { group: u32, slot: u32 },
    /// A sample beside any group: its value as a step from nothing.
    Loose { series: u32, time_ms: i64, start_ms: i64, value: Step<'a> },
    /// A family is described.
    Metadata(Metadata),
    /// A series has a new exemplar.
    Exemplar { series: u32, entry: Entry },
    /// An exemplar that is no news: it was kept when the log epoch began, or was imported.
    KeptExemplar { series: Labels, entry: Entry },
}

/// A tick of a group.
#[derive(Clone, Copy)]
pub(crate) struct Tick<'a> {
    pub group: u32,
    /// Whether the changes tell everything: what has none is absent.
    pub key: bool,
    pub time_ms: i64,
    changes: Cursor<'a>,
    count: usize,
}

impl<'a> Tick<'a> {
    /// The changes: slot, and the bytes of its steps.
    pub fn changes(&self) -> impl Iterator<Item = Result<(u32, &'a [u8]), CodecError>> + use<'a> {
        let (mut cursor, mut slot) = (self.changes, 0i64);
        (0..self.count).map(move |_| {
            slot = slot.wrapping_add(unzigzag(cursor.varint()?));
            let before = cursor.0;
            skip_steps(&mut cursor)?;
            let number = u32::try_from(slot).map_err(|_| CodecError::Invalid("slot"))?;
            Ok((number, &before[..before.len() - cursor.0.len()]))
        })
    }
}

fn skip_steps(cursor: &mut Cursor<'_>) -> Result<(), CodecError> {
    while let Step::Start(_) = change::take(cursor)? {}
    Ok(())
}

/// Builds a record.
#[derive(Default)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
    /// Where the count of the open tick's changes goes, and the changes.
    changes: Vec<u8>,
    count: u64,
    slot: i64,
}

impl Builder {
    /// With room for a round of so many rows, as most are: a change takes a few bytes.
    pub fn of_rows(rows: usize) -> Builder {
        let (bytes, changes) = (Vec::with_capacity(rows * 4 + 64), Vec::with_capacity(rows * 4));
        Builder { bytes, changes, ..Builder::default() }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds [`Item::Series`].
    pub fn series(&mut self, number: u32, labels: &Labels) {
        self.bytes.push(SERIES);
        put_varint(u64::from(number), &mut self.bytes);
        self.labels(labels);
    }

    /// Adds [`Item::Slot`].
    pub fn slot(&mut self, group: u32, slot: u32, series: u32) {
        self.bytes.push(SLOTS);
        for n in [group, slot, series] {
            put_varint(u64::from(n), &mut self.bytes);
        }
    }

    /// Adds [`Item::Leave`].
    pub fn leave(&mut self, group: u32, slot: u32) {
        self.bytes.push(LEAVE);
        put_varint(u64::from(group), &mut self.bytes);
        put_varint(u64::from(slot), &mut self.bytes);
    }

    /// Adds a change to the tick that [`Builder::tick`] will end.
    pub fn change(&mut self, slot: u32, steps: &[Step<'_>]) {
        put_varint(zigzag(i64::from(slot) - self.slot), &mut self.changes);
        self.slot = i64::from(slot);
        self.count += 1;
        steps.iter().for_each(|s| change::put(*s, &mut self.changes));
    }

    /// Adds a tick with the changes added before.
    pub fn tick(&mut self, group: u32, key: bool, time_ms: i64) {
        self.bytes.push(TICK);
        put_varint(u64::from(group), &mut self.bytes);
        self.bytes.push(u8::from(key));
        put_varint(zigzag(time_ms), &mut self.bytes);
        put_varint(self.count, &mut self.bytes);
        put_varint(self.changes.len() as u64, &mut self.bytes);
        self.bytes.append(&mut self.changes);
        (self.count, self.slot) = (0, 0);
    }

    /// Adds [`Item::Loose`].
    pub fn loose(&mut self, series: u32, sample: &Sample) {
        self.bytes.push(LOOSE);
        put_varint(u64::from(series), &mut self.bytes);
        put_varint(zigzag(sample.time_ms), &mut self.bytes);
        put_varint(zigzag(sample.start_ms), &mut self.bytes);
        match &sample.value {
            Value::Float(v) => change::put(Step::Float(v.to_bits()), &mut self.bytes),
            Value::Histogram(h) => {
                let mut page = Vec::new();
                change::histogram_bytes(h, &mut page);
                change::put(Step::Histogram(&page), &mut self.bytes);
            }
        }
    }

    /// Adds [`Item::Metadata`].
    pub fn metadata(&mut self, family: &Metadata) {
        self.bytes.push(METADATA);
        self.bytes.push(KINDS.iter().position(|k| *k == family.kind).unwrap_or(0) as u8);
        for text in [&family.name, &family.help, &family.unit] {
            self.text(text);
        }
    }

    /// Adds [`Item::Exemplar`].
    pub fn exemplar(&mut self, series: u32, entry: &Entry) {
        self.bytes.push(EXEMPLAR);
        put_varint(u64::from(series), &mut self.bytes);
        self.entry(entry);
    }

    /// Adds [`Item::KeptExemplar`].
    pub fn kept_exemplar(&mut self, series: &Labels, entry: &Entry) {
        self.bytes.push(KEPT_EXEMPLAR);
        self.labels(series);
        self.entry(entry);
    }

    fn entry(&mut self, entry: &Entry) {
        let Exemplar { labels, value, time_ms } = &entry.exemplar;
        self.bytes.push(u8::from(entry.stated));
        put_varint(zigzag(*time_ms), &mut self.bytes);
        self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
        self.labels(labels);
    }

    fn labels(&mut self, labels: &Labels) {
        put_varint(labels.len() as u64, &mut self.bytes);
        for (name, value) in labels.iter() {
            self.text(name);
            self.text(value);
        }
    }

    fn text(&mut self, text: &str) {
        put_varint(text.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// The items, for [`read_items`].
    pub fn items(&self) -> &[u8] {
        &self.bytes
    }

    /// The record as the log takes it.
    pub fn finish(&self) -> Vec<u8> {
        if self.bytes.len() >= COMPRESS_FROM {
            let most = lz4_flex::block::get_maximum_output_size(self.bytes.len());
            let mut record = Vec::with_capacity(LZ4_HEAD + most);
            record.push(LZ4);
            record.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
            record.resize(LZ4_HEAD + most, 0);
            // There is room for whatever it is.
            if let Ok(packed) = lz4_flex::compress_into(&self.bytes, &mut record[LZ4_HEAD..]) {
                record.truncate(LZ4_HEAD + packed);
                return record;
            }
        }
        [&[RAW], self.bytes.as_slice()].concat()
    }
}

/// Numbers of kinds in the log; only to be added to.
const KINDS: [Kind; 8] = [
    Kind::Untyped,
    Kind::Counter,
    Kind::Gauge,
    Kind::Histogram,
    Kind::GaugeHistogram,
    Kind::Summary,
    Kind::Info,
    Kind::StateSet,
];

/// Reads a record item by item.
pub(crate) fn read(
    record: &[u8],
    see: impl FnMut(Item<'_>) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let (form, body) = record.split_first().ok_or(CodecError::Short)?;
    let unpacked;
    let body = match *form {
        RAW => body,
        LZ4 => {
            let size = Cursor(body).u32()? as usize;
            if size > disk::log::MAX_PAYLOAD {
                return Err(CodecError::Invalid("size of a record"));
            }
            unpacked = lz4_flex::decompress_size_prepended(body)
                .map_err(|_| CodecError::Invalid("compressed record"))?;
            &unpacked
        }
        _ => return Err(CodecError::Invalid("form of a record")),
    };
    read_items(body, see)
}

/// Reads items one by one.
pub(crate) fn read_items(
    items: &[u8],
    mut see: impl FnMut(Item<'_>) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let mut cursor = Cursor(items);
    while !cursor.0.is_empty() {
        see(item(&mut cursor)?)?;
    }
    Ok(())
}

fn item<'a>(cursor: &mut Cursor<'a>) -> Result<Item<'a>, CodecError> {
    Ok(match cursor.byte()? {
        SERIES => Item::Series { number: number(cursor)?, labels: series_labels(cursor)? },
        SLOTS => {
            Item::Slot { group: number(cursor)?, slot: number(cursor)?, series: number(cursor)? }
        }
        TICK => {
            let group = number(cursor)?;
            let key = cursor.byte()? != 0;
            let time_ms = cursor.signed()?;
            let count = cursor.size(cursor.0.len(), "number of changes")?;
            let length = cursor.size(cursor.0.len(), "length of changes")?;
            Item::Tick(Tick { group, key, time_ms, changes: Cursor(cursor.take(length)?), count })
        }
        LEAVE => Item::Leave { group: number(cursor)?, slot: number(cursor)? },
        LOOSE => {
            let series = number(cursor)?;
            let (time_ms, start_ms) = (cursor.signed()?, cursor.signed()?);
            Item::Loose { series, time_ms, start_ms, value: change::take(cursor)? }
        }
        METADATA => {
            let kind = KINDS.get(cursor.byte()? as usize).copied();
            let kind = kind.ok_or(CodecError::Invalid("kind of a family"))?;
            let mut owned = || text(cursor).map(str::to_owned);
            Item::Metadata(Metadata { name: owned()?, kind, help: owned()?, unit: owned()? })
        }
        EXEMPLAR => Item::Exemplar { series: number(cursor)?, entry: entry(cursor)? },
        KEPT_EXEMPLAR => {
            Item::KeptExemplar { series: series_labels(cursor)?, entry: entry(cursor)? }
        }
        _ => return Err(CodecError::Invalid("item of a record")),
    })
}

fn series_labels(cursor: &mut Cursor<'_>) -> Result<Labels, CodecError> {
    Some(labels(cursor)?).filter(|l| !l.is_empty()).ok_or(CodecError::Invalid("order of labels"))
}

fn labels(cursor: &mut Cursor<'_>) -> Result<Labels, CodecError> {
    let count = cursor.size(cursor.0.len(), "number of labels")?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push((text(cursor)?, text(cursor)?));
    }
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(CodecError::Invalid("order of labels"));
    }
    Ok(Labels::from_sorted(pairs.into_iter()))
}

fn entry(cursor: &mut Cursor<'_>) -> Result<Entry, CodecError> {
    let stated = cursor.byte()? != 0;
    let time_ms = cursor.signed()?;
    let value = f64::from_bits(cursor.u64()?);
    Ok(Entry { exemplar: Exemplar { labels: labels(cursor)?, value, time_ms }, stated })
}

/// Series, groups and slots beyond this are made up by damage.
const NUMBERS_MAX: usize = 1 << 28;

fn number(cursor: &mut Cursor<'_>) -> Result<u32, CodecError> {
    cursor.size(NUMBERS_MAX, "number").map(|n| n as u32)
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, CodecError> {
    let length = cursor.size(cursor.0.len(), "length of a text")?;
    std::str::from_utf8(cursor.take(length)?).map_err(|_| CodecError::Invalid("text"))
}

/// What a histogram takes as a step, for [`Builder::change`].
pub(crate) fn histogram_page(histogram: &Arc<model::Histogram>) -> Vec<u8> {
    let mut page = Vec::new();
    change::histogram_bytes(histogram, &mut page);
    page
}
