//! Chunks of Prometheus's store.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prometheus_tsdb::fuzz::chunk(data));
