//! Accept headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| http::fuzz::accept(data));
