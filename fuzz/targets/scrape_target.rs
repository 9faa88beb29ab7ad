//! Addresses and annotations.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scrape::fuzz::target(data));
