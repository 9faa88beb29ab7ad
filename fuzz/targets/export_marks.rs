//! Records of how far remote write is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| export::fuzz::marks(data));
