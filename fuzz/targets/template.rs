//! Templates of rules.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| resource::fuzz::template(data));
