//! Bodies for fuzzers.

use crate::{Mode, Options, Store};

/// Any bytes as a kubelet's answer: no panic, and whatever is read can be kept and asked for.
pub fn parse(input: &[u8]) {
    let Ok(mut reading) = crate::parse(input, 0, 0) else { return };
    for mode in [Mode::Lenient, Mode::Strict] {
        let store = Store::new(Options { mode, ..Options::default() });
        for _ in 0..2 {
            store.apply("node", &mut reading);
            let view = store.view();
            for c in &reading.containers {
                if let Some(pod) = view.pod(c.namespace, c.pod) {
                    assert!(pod.containers().count() <= reading.containers.len());
                }
            }
        }
        let mut file = Vec::new();
        store.save(&mut file);
        let again = Store::new(Options { mode, ..Options::default() });
        again.load(&file, 0).unwrap_or_else(|e| panic!("{e} in what we wrote"));
    }
}

/// Any bytes as the file of points: an error or a store, never a panic.
pub fn load(input: &[u8]) {
    let store = Store::new(Options::default());
    let _ = store.load(input, 0);
}

/// Any bytes as the content of such a file whose checksum holds.
pub fn load_body(input: &[u8]) {
    let Some(blocks) = crate::file::read_body(input, 0) else { return };
    for block in &blocks {
        let mut last = None;
        for kept in block.all() {
            assert!(last < Some(kept.key), "containers out of order");
            last = Some(kept.key);
        }
    }
}
