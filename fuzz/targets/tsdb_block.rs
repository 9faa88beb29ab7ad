//! Block files, with their checksums and beneath them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb::fuzz::block(data));
