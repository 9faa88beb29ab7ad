//! Bodies of remote write, both versions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| api::fuzz::remote_write(data));
