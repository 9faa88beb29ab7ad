//! Posting lists: the series that carry a label value, as runs of ordinals. Since series are sorted by
//! their labels, most lists of a block are one run or a few.

use crate::codec::{CodecError, put_varint};
use crate::cursor::Cursor;
use roaring::RoaringBitmap;

/// Appends a sorted list of distinct ordinals to `out`: (gap, length) of each run.
pub(super) fn write(ordinals: &[u32], out: &mut Vec<u8>) {
    let runs = || ordinals.chunk_by(|a, b| a + 1 == *b);
    put_varint(runs().count() as u64, out);
    let mut end = 0;
    for run in runs() {
        put_varint(u64::from(run[0] - end), out);
        put_varint(run.len() as u64, out);
        end = run[0] + run.len() as u32;
    }
}

/// Adds a list that [`write`] wrote to `set`; ordinals must be below `count`.
pub(super) fn read_into(
    mut cursor: Cursor<'_>,
    count: u32,
    set: &mut RoaringBitmap,
) -> Result<(), CodecError> {
    let runs = cursor.size(count as usize, "number of runs in a posting list")?;
    let mut end = 0u32;
    for _ in 0..runs {
        let gap = cursor.size((count - end) as usize, "gap in a posting list")?;
        let begin = end + gap as u32;
        let length = cursor.size((count - begin) as usize, "run in a posting list")?;
        end = begin + length as u32;
        set.insert_range(begin..end);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_back(list in prop::collection::btree_set(0u32..300, 0..120)) {
            let list: Vec<u32> = list.into_iter().collect();
            let mut bytes = Vec::new();
            write(&list, &mut bytes);
            let mut set = RoaringBitmap::new();
            prop_assert_eq!(read_into(Cursor(&bytes), 300, &mut set), Ok(()));
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), list);
        }
    }
}
