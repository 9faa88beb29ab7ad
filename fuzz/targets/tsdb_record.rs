//! Records of the log of samples.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tsdb::fuzz::record(data));
