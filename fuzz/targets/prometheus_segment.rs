//! Segments of Prometheus's log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prometheus_tsdb::fuzz::segment(data));
