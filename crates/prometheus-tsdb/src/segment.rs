//! Segments of the write-ahead log: records cut into fragments, fragments into pages of 32 KiB, each with a
//! checksum. Format: `tsdb/docs/format/wal.md`.

use crate::bytes::Wrong;
use std::io::Read;

const PAGE: usize = 32 << 10;
/// Bytes before each fragment: type and flags, length, checksum.
const HEAD: usize = 7;
const SNAPPY: u8 = 1 << 3;
const ZSTD: u8 = 1 << 4;
const FULL: u8 = 1;
const FIRST: u8 = 2;
#[cfg(test)]
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
/// A record has at most so many bytes once it is decompressed.
const RECORD_MAX: u64 = 256 << 20;

/// Calls `see` with every whole record and its offset, and `wrong` with every place that cannot be read and
/// why; behind one, reading goes on with the next page.
pub fn read_segment(
    segment: &[u8],
    see: &mut dyn FnMut(usize, &[u8]),
    wrong: &mut dyn FnMut(usize, &str),
) {
    let mut record: Vec<u8> = Vec::new();
    // Where the record began whose fragments are being gathered.
    let mut begun: Option<usize> = None;
    // Whether what follows may be the rest of a record whose beginning was said to be damaged.
    let mut lost = false;
    for (number, page) in segment.chunks(PAGE).enumerate() {
        let from = number * PAGE;
        let mut at = 0;
        while at < page.len() {
            let fragment = match read_fragment(&page[at..]) {
                Ok(None) => break,
                Ok(Some(fragment)) => fragment,
                Err(what) => {
                    wrong(from + at, what);
                    (begun, lost) = (None, true);
                    break;
                }
            };
            let place = from + at;
            at += HEAD + fragment.data.len();
            match (fragment.kind, begun) {
                (FULL | FIRST, before) => {
                    if let Some(before) = before {
                        wrong(before, "the end of a record is missing");
                    }
                    record.clear();
                    (begun, lost) = (Some(place), false);
                }
                (_, None) => {
                    if !std::mem::replace(&mut lost, true) {
                        wrong(place, "the beginning of a record is missing");
                    }
                    continue;
                }
                _ => {}
            }
            record.extend_from_slice(fragment.data);
            if let (FULL | LAST, Some(first)) = (fragment.kind, begun) {
                begun = None;
                match decompressed(fragment.flags, &record) {
                    Ok(whole) => see(first, whole.as_deref().unwrap_or(&record)),
                    Err(what) => wrong(first, what),
                }
            }
        }
    }
    if let Some(first) = begun {
        wrong(first, "the last record is cut short, as a crash leaves it");
    }
}

struct Fragment<'a> {
    kind: u8,
    flags: u8,
    data: &'a [u8],
}

/// The fragment at the beginning of what is left of a page; `None` where only padding is left.
fn read_fragment(rest: &[u8]) -> Result<Option<Fragment<'_>>, Wrong> {
    let kind = rest[0] & 7;
    if kind == 0 {
        return match rest.iter().all(|b| *b == 0) {
            true => Ok(None),
            false => Err("no record begins here"),
        };
    }
    let Some(head) = rest.get(..HEAD) else { return Err("the head of a record is cut short") };
    if !(FULL..=LAST).contains(&kind) {
        return Err("a kind of fragment that nobody knows");
    }
    let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
    let checksum = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    let Some(data) = rest.get(HEAD..HEAD + length) else { return Err("a record is cut short") };
    if crc32c::crc32c(data) != checksum {
        return Err("the checksum of a record is wrong");
    }
    Ok(Some(Fragment { kind, flags: head[0], data }))
}

/// A record that was compressed; `None` for one that was not.
fn decompressed(flags: u8, record: &[u8]) -> Result<Option<Vec<u8>>, Wrong> {
    if record.is_empty() {
        return Ok(None);
    }
    if flags & SNAPPY != 0 {
        let wrong = "a record is not what snappy wrote";
        let length = snap::raw::decompress_len(record).map_err(|_| wrong)?;
        if length as u64 > RECORD_MAX {
            return Err("a record is larger than 256 MiB");
        }
        return snap::raw::Decoder::new().decompress_vec(record).map(Some).map_err(|_| wrong);
    }
    if flags & ZSTD != 0 {
        let mut out = Vec::new();
        let decoder = zstd::stream::read::Decoder::new(record);
        let decoded = decoder.and_then(|d| d.take(RECORD_MAX + 1).read_to_end(&mut out));
        return match decoded {
            Ok(length) if length as u64 > RECORD_MAX => Err("a record is larger than 256 MiB"),
            Ok(_) => Ok(Some(out)),
            Err(_) => Err("a record is not what zstd wrote"),
        };
    }
    Ok(None)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes records as Prometheus does.
    pub(crate) fn write(records: &[Vec<u8>], compress: impl Fn(usize) -> u8) -> Vec<u8> {
        let mut out = Vec::new();
        for (i, record) in records.iter().enumerate() {
            let flags = compress(i);
            let record = match flags {
                SNAPPY => snap::raw::Encoder::new().compress_vec(record).expect("compresses"),
                ZSTD => zstd::stream::encode_all(record.as_slice(), 3).expect("compresses"),
                _ => record.clone(),
            };
            let (mut rest, mut first) = (record.as_slice(), true);
            loop {
                let left = PAGE - out.len() % PAGE;
                if left <= HEAD {
                    out.resize(out.len() + left, 0);
                    continue;
                }
                let (data, after) = rest.split_at(rest.len().min(left - HEAD));
                let kind = match (first, after.is_empty()) {
                    (true, true) => FULL,
                    (true, false) => FIRST,
                    (false, false) => MIDDLE,
                    (false, true) => LAST,
                };
                out.push(kind | flags);
                out.extend_from_slice(&(data.len() as u16).to_be_bytes());
                out.extend_from_slice(&crc32c::crc32c(data).to_be_bytes());
                out.extend_from_slice(data);
                (rest, first) = (after, false);
                if rest.is_empty() {
                    break;
                }
            }
        }
        out
    }

    pub(crate) fn read(segment: &[u8]) -> (Vec<Vec<u8>>, Vec<(usize, String)>) {
        let (mut records, mut damage) = (Vec::new(), Vec::new());
        read_segment(segment, &mut |_, r| records.push(r.to_vec()), &mut |at, what| {
            damage.push((at, what.to_owned()));
        });
        (records, damage)
    }

    proptest! {
        #[test]
        fn records_come_back_and_damage_costs_its_page(lengths in prop::collection::vec(1usize..50_000, 1..12), at in any::<prop::sample::Index>()) {
            let records: Vec<Vec<u8>> = lengths
                .iter()
                .enumerate()
                .map(|(i, l)| (0..*l).map(|b| (b * 7 + i) as u8).collect())
                .collect();
            let segment = write(&records, |i| [0, SNAPPY, ZSTD][i % 3]);
            let (found, damage) = read(&segment);
            prop_assert_eq!(&found, &records);
            prop_assert!(damage.is_empty(), "{:?}", damage);
            let mut damaged = segment.clone();
            damaged[at.index(segment.len())] ^= 1;
            let (left, damage) = read(&damaged);
            prop_assert!(left.iter().all(|r| records.contains(r)));
            prop_assert!(left.len() == records.len() || !damage.is_empty());
            let (left, damage) = read(&segment[..at.index(segment.len())]);
            prop_assert!(records.starts_with(&left) && damage.len() <= 1, "{:?}", damage);
        }
    }
}
