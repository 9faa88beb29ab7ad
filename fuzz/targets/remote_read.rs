//! Bodies of remote read.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| api::fuzz::remote_read(data));
