//! Segments of a log, replayed and followed.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb::fuzz::segment(data));
