//! Exposition text, read, written and read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| model::exposition::fuzz::read_write_read(data));
