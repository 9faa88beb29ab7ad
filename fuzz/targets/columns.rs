//! Columns of the store.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb::fuzz::columns(data, 1000));
