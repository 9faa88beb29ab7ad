//! The file in which exemplars are kept.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| api::fuzz::exemplars(data));
