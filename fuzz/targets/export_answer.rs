//! What a receiver of remote write says about when to come back.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| export::fuzz::answer(data));
