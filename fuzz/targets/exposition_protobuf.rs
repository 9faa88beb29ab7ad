//! Any bytes as a protobuf exposition.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| model::exposition::fuzz::read_protobuf(data));
