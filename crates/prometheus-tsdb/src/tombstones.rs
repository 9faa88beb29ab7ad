//! `tombstones` of a block: what was deleted of it. Format: `tsdb/docs/format/tombstones.md`.

use crate::bytes::{Bytes, Wrong};
use model::Columns;
use std::collections::HashMap;

const MAGIC: u32 = 0x0130_ba30;
const VERSION: u8 = 1;
/// Bytes of the magic, of the version, of the checksum.
const ENDS: usize = 4 + 1 + 4;

/// By series, the stretches that were deleted, both ends included.
pub(crate) type Tombstones = HashMap<u64, Vec<(i64, i64)>>;

pub(crate) fn read(file: &[u8]) -> Result<Tombstones, Wrong> {
    if file.len() < ENDS {
        return Err("it is cut short");
    }
    let (body, checksum) = file.split_at(file.len() - 4);
    let mut bytes = Bytes(body);
    if bytes.be32()? != MAGIC {
        return Err("no tombstones begin here");
    }
    // The version is not part of what is summed.
    if bytes.byte()? != VERSION {
        return Err("a version of tombstones that nobody knows");
    }
    if Bytes(checksum).be32()? != crc32c::crc32c(bytes.0) {
        return Err("its checksum is wrong");
    }
    let mut all = Tombstones::new();
    while !bytes.0.is_empty() {
        let series = bytes.uvarint()?;
        all.entry(series).or_default().push((bytes.varint()?, bytes.varint()?));
    }
    Ok(all)
}

/// The file of a block of which nothing is deleted.
pub(crate) fn none() -> Vec<u8> {
    let mut out = MAGIC.to_be_bytes().to_vec();
    out.push(VERSION);
    out.extend_from_slice(&crc32c::crc32c(&[]).to_be_bytes());
    out
}

/// Takes what was deleted out of the samples of a series.
pub(crate) fn cut(columns: &mut Columns, deleted: &[(i64, i64)]) {
    if deleted.is_empty() {
        return;
    }
    let gone = |t: i64| deleted.iter().any(|d| (d.0..=d.1).contains(&t));
    let kept: Vec<usize> =
        (0..columns.times_ms.len()).filter(|&i| !gone(columns.times_ms[i])).collect();
    pick(columns, &kept);
}

/// Keeps the samples at these places, in this order.
pub(crate) fn pick(columns: &mut Columns, places: &[usize]) {
    if places.len() == columns.times_ms.len() && places.iter().enumerate().all(|(i, p)| i == *p) {
        return;
    }
    let old = std::mem::take(columns);
    let histograms: HashMap<u32, _> = old.histograms.into_iter().collect();
    for &place in places {
        if let Some(histogram) = histograms.get(&(place as u32)) {
            columns
                .histograms
                .push((columns.times_ms.len() as u32, std::sync::Arc::clone(histogram)));
        }
        columns.times_ms.push(old.times_ms[place]);
        columns.floats.push(old.floats[place]);
        columns.starts_ms.extend(old.starts_ms.get(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_cut() {
        assert!(read(&none()).expect("reads").is_empty());
        let mut file = MAGIC.to_be_bytes().to_vec();
        file.push(VERSION);
        let mut body = Vec::new();
        for (series, from, to) in [(16u64, 20i64, 30i64), (32, -5, 5), (16, 50, 50)] {
            crate::bytes::put_uvarint(series, &mut body);
            crate::bytes::put_varint(from, &mut body);
            crate::bytes::put_varint(to, &mut body);
        }
        file.extend_from_slice(&body);
        file.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
        let all = read(&file).expect("reads");
        assert_eq!(all[&16], [(20, 30), (50, 50)]);
        let histogram = std::sync::Arc::new(model::Histogram::default());
        let mut columns = Columns {
            times_ms: vec![10, 20, 40, 50, 60],
            floats: vec![1.0, 2.0, 0.0, 4.0, 0.0],
            histograms: vec![(2, histogram.clone()), (4, histogram)],
            starts_ms: vec![1, 2, 3, 4, 5],
            times_id: 0,
            ..Columns::default()
        };
        cut(&mut columns, &all[&16]);
        assert_eq!(columns.times_ms, [10, 40, 60]);
        assert_eq!(columns.starts_ms, [1, 3, 5]);
        assert_eq!(columns.histograms.iter().map(|h| h.0).collect::<Vec<_>>(), [1, 2]);
        for byte in 0..file.len() {
            let mut damaged = file.clone();
            damaged[byte] ^= 1;
            assert!(read(&damaged).is_err(), "byte {byte}");
        }
    }
}
