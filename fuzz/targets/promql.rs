//! PromQL expressions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| promql::fuzz::parse(data));
