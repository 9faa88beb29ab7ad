//! Web configuration files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| http::fuzz::web_config(data));
