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
