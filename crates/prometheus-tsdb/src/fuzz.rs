//! Fuzz bodies: what must hold for any bytes. Driven by proptest on stable and by cargo-fuzz.

use crate::index::Index;
use model::Columns;
use std::sync::Arc;

/// A chunk decodes from any bytes without harm; its first byte is the encoding.
pub fn chunk(bytes: &[u8]) {
    let Some((encoding, data)) = bytes.split_first() else { return };
    let mut columns = Columns::default();
    crate::chunk::push_float(&mut columns, 1, 7, 2.0);
    let decoded = crate::chunk::decode(encoding % 8, data, &mut columns);
    let count = columns.times_ms.len();
    assert_eq!(columns.floats.len(), count);
    assert_eq!(columns.starts_ms.len(), count);
    assert!(decoded.is_ok() || count == 1);
    assert!(columns.histograms.iter().all(|h| (h.0 as usize) < count));
}

/// A segment of the log is read from any bytes without harm, and so are its records.
pub fn segment(bytes: &[u8]) {
    crate::read_segment(bytes, &mut |_, r| record(r), &mut |at, _| assert!(at <= bytes.len()));
}

/// A record is read from any bytes without harm.
pub fn record(bytes: &[u8]) {
    let _ = crate::read_record(bytes, &mut |_| {});
}

/// Head chunks are read from any bytes without harm.
pub fn head_chunks(bytes: &[u8]) {
    crate::read_head_chunks(bytes, &mut |_| {}, &mut |at, _| assert!(at <= bytes.len()));
}

/// An index opens from any bytes without harm, or not at all; tombstones likewise.
pub fn index(bytes: &[u8]) {
    let _ = crate::tombstones::read(bytes);
    let map = disk::Map::Owned(Arc::from(bytes));
    if let Ok(index) = Index::open("index".into(), map, &mut |_| {}) {
        for &series in index.order() {
            let _ = index.series(series);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            chunk(&bytes);
            segment(&bytes);
            record(&bytes);
            head_chunks(&bytes);
            index(&bytes);
        }

        #[test]
        fn chunks_of_any_header_do_no_harm(kind in 1u8..7, count in 0u8..9, starts in any::<u8>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            chunk(&[&[kind, 0, count, starts][..], &bytes].concat());
        }

        #[test]
        fn records_of_any_type_do_no_harm(kind in 1u8..14, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            record(&[&[kind][..], &bytes].concat());
        }

        #[test]
        fn a_changed_index_does_no_harm(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let names = ["a", "b", "c"].map(String::from);
            let mut writer = crate::index::writer::IndexWriter::begin(Vec::new(), names.into()).expect("begins");
            let place = crate::index::ChunkPlace { min_ms: 1, max_ms: 2, place: 8 };
            for value in ["b", "c"] {
                writer.series(&model::Labels::from_pairs([("a", value)]), &[place]).expect("writes");
            }
            let mut bytes = writer.finish().expect("finishes");
            let at = at.index(bytes.len());
            bytes[at] = to;
            index(&bytes);
        }
    }
}
