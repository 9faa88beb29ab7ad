//! What was deleted.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb::fuzz::tombstones(data));
