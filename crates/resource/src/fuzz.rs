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

/// Any bytes as a kubelet's summary: an error or what can be read as metrics.
pub fn summary(input: &[u8]) {
    let mut text = Vec::new();
    if crate::summary::to_resource_metrics(input, &mut text).is_ok() {
        // Names may be too long and containers too many, but no line is malformed.
        if let Err(error) = crate::parse(&text, 0, 0) {
            let limits = [
                "a name of more than 1024 bytes",
                "more than 50000 containers",
                "a time beyond all calendars",
            ];
            assert!(limits.contains(&error.what), "{error} in {}", text.escape_ascii());
        }
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

/// Any bytes as a rule file: an error names a place in the text.
pub fn rules(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let lines = text.matches(['\r', '\n']).count() + 1;
    match crate::adapter::Rules::parse(&text, "rules.yml") {
        Ok(rules) => assert!(rules.len() <= text.len()),
        Err(errors) => {
            assert!(!errors.problems.is_empty() && errors.problems.iter().all(|p| p.line <= lines));
        }
    }
}

/// Any bytes as a template: an error names a place in it, and what it gives has an end.
pub fn template(input: &[u8]) {
    use crate::adapter::template::{Field, Fields, Template};
    let text = String::from_utf8_lossy(input);
    let map = [("namespace".to_owned(), "shop".to_owned())];
    let fields = Fields::default()
        .with("Series", Field::Text("series".into()))
        .with("LabelValuesByName", Field::Map(map.into()))
        .with("GroupBySlice", Field::List(vec!["pod".into(), "verb".into()]));
    match Template::parse(&text).and_then(|t| t.run(&fields)) {
        Ok(out) if !text.contains("<<") => assert_eq!(out, text),
        Ok(out) => assert!(out.len() <= (128 << 10) + text.len()),
        Err(error) => assert!(error.at <= text.chars().count() + 1, "{error}"),
    }
}

/// Any bytes as a file of estimates, and as the content of one whose checksum holds.
pub fn estimates(input: &[u8]) {
    use crate::estimate::{Estimates, Options};
    let estimates = Estimates::new(Options::default());
    assert!(estimates.load(input).is_err() || estimates.len() < input.len());
    let mut file = b"kubevigil estimates 1\n".to_vec();
    file.extend_from_slice(input);
    let sum = crc32c::crc32c(&file);
    file.extend_from_slice(&sum.to_le_bytes());
    if estimates.load(&file).is_ok() {
        for found in estimates.list(None, 0) {
            assert!(found.cpu.p95.is_finite() && found.memory.p99.is_finite(), "{found:?}");
        }
    }
}
