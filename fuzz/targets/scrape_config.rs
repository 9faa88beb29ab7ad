//! Prometheus configuration files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scrape::fuzz::config(data));
