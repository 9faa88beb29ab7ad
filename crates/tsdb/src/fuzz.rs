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
    let mut tail = disk::Tail::open(std::sync::Arc::new(files), "log", "kept", 0);
    let upto = disk::tail::Place { epoch: u32::MAX, seq: u64::MAX };
    let mut frames = 0;
    while tail.read(upto, &mut |_| frames += 1).is_ok_and(|more| more) {}
    assert!(frames <= bytes.len(), "a tail goes on for ever");
}

/// A companion opens from any bytes without harm, or not at all; also where all checksums seem to hold.
pub fn companion(bytes: &[u8]) {
    use crate::companion::{Companion, Scratch};
    use disk::canary::{Canary, set};
    use model::Keep;
    for canary in [Canary::None, Canary::IgnoreChecksums] {
        set(canary);
        if let Ok(companion) = Companion::open(bytes.to_vec()) {
            let _ = companion.verify();
            let (mut scratch, mut columns) = (Scratch::default(), model::Columns::default());
            for keep in [Keep::Ends, Keep::Falls, Keep::Sum, Keep::Min, Keep::Max] {
                for entry in 0..3 {
                    columns.clear();
                    let spans = [(i64::MIN, -1), (0, 1 << 40), (1 << 41, i64::MAX)];
                    let _ = companion.read(entry, keep, &spans, &mut scratch, &mut columns);
                    assert!(columns.floats.len() <= columns.times_ms.len());
                }
            }
        }
        set(Canary::None);
    }
}

/// Tombstones are read from any bytes without harm.
pub fn tombstones(bytes: &[u8]) {
    let _ = crate::tombstones::decode(bytes);
}

/// A block opens from any bytes without harm, or not at all; also where all checksums seem to hold.
pub fn block(bytes: &[u8]) {
    use disk::canary::{Canary, set};
    for canary in [Canary::None, Canary::IgnoreChecksums] {
        set(canary);
        if let Ok(block) = crate::block::Block::open(bytes.to_vec()) {
            let _ = block.verify();
            let _ = block.select(&[model::Matcher::equal("a", "b")], model::Stop::default());
        }
        set(Canary::None);
    }
}
