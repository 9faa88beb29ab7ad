//! Head chunks of Prometheus's store.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| prometheus_tsdb::fuzz::head_chunks(data));
