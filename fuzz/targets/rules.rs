//! prometheus-adapter's rule files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| resource::fuzz::rules(data));
