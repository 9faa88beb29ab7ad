//! Fuzz bodies: what must hold for any bytes. Driven by proptest on stable and by cargo-fuzz.

use crate::codec;

/// Columns decode from any bytes without harm, and give as many values as were asked for or none.
pub fn columns(bytes: &[u8], count: usize) {
    let mut floats = Vec::new();
    if codec::decode_floats(bytes, count, &mut floats).is_ok() {
        assert_eq!(floats.len(), count);
    }
    let mut ints = Vec::new();
    if codec::decode_ints(bytes, count, &mut ints).is_ok() {
        assert_eq!(ints.len(), count);
    }
}

/// A record of the log is read from any bytes without harm.
pub fn record(bytes: &[u8]) {
    let _ = crate::record::read(bytes, |item| {
        if let crate::record::Item::Tick(tick) = item {
            for change in tick.changes() {
                let (_, steps) = change?;
                let mut cursor = crate::cursor::Cursor(steps);
                let mut state = crate::change::State::default();
                while !cursor.0.is_empty() {
                    state.step(crate::change::take(&mut cursor)?)?;
                }
            }
        }
        Ok(())
    });
}

/// A segment of the log is replayed from any bytes without harm, and only whole frames are seen.
pub fn segment(bytes: &[u8]) {
    use disk::Files;
    let files = disk::faulty::Faulty::new(0);
    let written = files.create("log/0000000001.log").and_then(|f| f.append_all(bytes));
    assert!(written.is_ok());
    let replayed = disk::replay(&files, "log", None, &mut |_, _| {}, &mut |frame| {
        assert!(frame.payload.len() <= bytes.len());
    });
    assert!(replayed.is_ok());
}

/// Tombstones are read from any bytes without harm.
pub fn tombstones(bytes: &[u8]) {
    let _ = crate::tombstones::decode(bytes);
}

/// A block opens from any bytes without harm, or not at all.
pub fn block(bytes: &[u8]) {
    if let Ok(block) = crate::block::Block::open(bytes.to_vec()) {
        let _ = block.verify();
        let _ = block.select(&[model::Matcher::equal("a", "b")]);
    }
}
