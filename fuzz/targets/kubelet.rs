//! A kubelet's answer and its summary, and the file of points.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    resource::fuzz::parse(data);
    resource::fuzz::summary(data);
    resource::fuzz::load_body(data);
});
