//! The canary.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // A target that must crash: proves that crashes are seen.
    assert!(!data.starts_with(b"kv"), "the canary sings");
});
