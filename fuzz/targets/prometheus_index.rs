//! Indices and tombstones of Prometheus's blocks.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prometheus_tsdb::fuzz::index(data));
