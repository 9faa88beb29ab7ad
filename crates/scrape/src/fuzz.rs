//! Bodies for fuzzers: each takes any bytes and panics only where a promise is broken.

use crate::annotated::{Defaults, Pod, targets};
use crate::config::Config;
use crate::target::{Target, split_address};
use model::Labels;
use model::relabel::relabel;
use std::path::Path;

/// A Prometheus configuration file: an error names a place in the text, what is read can be used.
pub fn config(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let lines = text.matches(['\r', '\n']).count() + 1;
    match Config::parse(&text, Path::new("prometheus.yml")) {
        Ok(config) => {
            let labels = Labels::from_pairs([("__name__", "up"), ("a", "b c")]);
            for to in &config.remote_write {
                let _ = relabel(&to.relabel, &labels); // whether they are dropped is the file's
                assert!(to.url.starts_with("http") && to.queue.min_shards <= to.queue.max_shards);
            }
            for job in &config.jobs {
                assert!(job.interval_ms > 0 && (1..=job.interval_ms).contains(&job.timeout_ms));
                for target in Target::of_static(job) {
                    assert!(target.labels.get("job").is_some() && target.url().starts_with("http"));
                }
            }
        }
        Err(errors) => {
            assert!(!errors.problems.is_empty() && errors.problems.iter().all(|p| p.line <= lines));
        }
    }
}

/// An address, and the annotations of a pod.
pub fn target(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let _ = split_address(&text, true);
    let mut parts = text.split('\n').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let annotations = [
        ("prometheus.io/scrape".to_owned(), "true".to_owned()),
        ("prometheus.io/port".to_owned(), part()),
        ("prometheus.io/path".to_owned(), part()),
        (format!("prometheus.io/{}", part()), part()),
    ];
    let labels = [(part(), part())].into();
    let pod = Pod {
        ip: part(),
        phase: "Running".into(),
        labels,
        annotations: annotations.into(),
        ..Pod::default()
    };
    for target in targets(&[pod], &[], &Defaults::default()).iter().flat_map(|j| &j.targets) {
        assert!(target.url().bytes().all(|b| b.is_ascii_graphic()), "{}", target.url());
        let reserved = target.labels.iter().any(|l| l.0.starts_with("__"));
        assert!(
            !reserved && target.labels.get("job") == Some("kubernetes-pods"),
            "{}",
            target.labels
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const YAML: [&str; 42] = [
        "global:",
        "\n",
        "  ",
        "scrape_interval: 5s",
        "scrape_timeout: 10s",
        "scrape_configs:",
        "- ",
        "job_name: a",
        "static_configs:",
        "targets: [",
        "'a:1'",
        "]",
        "{",
        "}",
        ", ",
        "labels:",
        "tls_config:",
        "ca_file: x",
        "basic_auth:",
        "username: u",
        "params:",
        "a: [b]",
        "0",
        ": ",
        "body_size_limit: 1MB",
        "&a ",
        "*a",
        "!!str ",
        "\"",
        "'",
        "# ",
        "__address__: b",
        "|\n",
        "null",
        "remote_write:",
        "url: http://a/b",
        "write_relabel_configs:",
        "regex: '(.*)'",
        "action: labelmap",
        "target_label: a",
        "replacement: ${1}$a",
        "queue_config: {min_shards: 3}",
    ];

    proptest! {
        #[test]
        fn no_bytes_break_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            super::config(&bytes);
            super::target(&bytes);
        }

        #[test]
        fn no_almost_right_text_breaks_them(
            yaml in prop::collection::vec(prop::sample::select(YAML.to_vec()), 0..30),
            parts in "[a-z0-9:/.%_\\n\\[\\]-]{0,60}",
        ) {
            super::config(yaml.concat().as_bytes());
            super::target(parts.as_bytes());
        }
    }
}
