//! Bodies for fuzzers: each takes any bytes and panics only where a promise is broken.

use crate::backoff::{Backoff, retry_after};
use crate::marks;
use std::time::{Duration, SystemTime};

/// Records of the marks' log: what cannot be read changes nothing, what is read goes on only.
pub fn marks(input: &[u8]) {
    let mut marks = Vec::new();
    let mut rest = input;
    while let Some((length, after)) = rest.split_first() {
        let (record, after) = after.split_at(usize::from(*length).min(after.len()));
        let before = marks.clone();
        if marks::apply(record, &mut marks).is_none() {
            assert_eq!(marks, before, "half a record was taken");
        }
        assert!(marks.iter().all(|m| m.sending >= m.done));
        rest = after;
    }
}

/// What a receiver says about when to come back.
pub fn answer(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let asked = retry_after(&text, SystemTime::UNIX_EPOCH);
    let mut backoff = Backoff::new(Duration::from_millis(30), Duration::from_secs(5));
    let wait = backoff.wait(asked, 1.0);
    assert!(wait <= Duration::from_secs(700), "{wait:?}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_break_anything(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0u8..4) {
            super::marks(&bytes);
            super::answer(&bytes);
            let mut near = vec![(5 + 32) as u8, kind, 1, 0, 0, 0];
            near.extend_from_slice(&bytes);
            super::marks(&near);
        }

        #[test]
        fn no_text_breaks_anything(text in "[0-9A-Za-z, :+-]{0,40}") {
            super::answer(text.as_bytes());
        }
    }
}
