//! Bodies of OTLP metrics, in protobuf and JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| api::fuzz::otlp(data));
