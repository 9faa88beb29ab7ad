//! A job as a configuration file says it, with every default filled in: fields, their order and the
//! form of their values are those that Prometheus prints. Secrets are never printed.

use super::{Auth, Job, Secret};
use model::yaml::HIDDEN;
use std::collections::BTreeMap;
use std::fmt::Write;

impl Job {
    /// The job as YAML.
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        let print = |ms: u64| promql::duration::format_duration(ms.cast_signed());
        put(&mut out, "job_name", &scalar(&self.name));
        put_set(&mut out, "honor_labels", self.honor_labels);
        put(&mut out, "honor_timestamps", &self.honor_timestamps.to_string());
        let staleness = self.track_timestamps_staleness.to_string();
        put(&mut out, "track_timestamps_staleness", &staleness);
        if !self.params.is_empty() {
            put_list_of_lists(&mut out, &self.params);
        }
        put(&mut out, "scrape_interval", &print(self.interval_ms));
        put(&mut out, "scrape_timeout", &print(self.timeout_ms));
        self.put_exposition(&mut out);
        put(&mut out, "metrics_path", &scalar(&self.path));
        put(&mut out, "scheme", if self.https { "https" } else { "http" });
        put(&mut out, "enable_compression", &self.compression.to_string());
        self.put_limits(&mut out);
        let names = if self.exposition.legacy_names { "legacy" } else { "utf8" };
        put(&mut out, "metric_name_validation_scheme", names);
        put(&mut out, "metric_name_escaping_scheme", self.exposition.escaping.as_str());
        put(&mut out, "extra_scrape_metrics", "false");
        self.put_client(&mut out);
        self.put_targets(&mut out);
        out
    }

    fn put_exposition(&self, out: &mut String) {
        let exposition = &self.exposition;
        out.push_str("scrape_protocols:\n");
        for protocol in &exposition.protocols {
            let _ = writeln!(out, "- {}", protocol.as_str());
        }
        if let Some(fallback) = exposition.fallback {
            put(out, "fallback_scrape_protocol", fallback.as_str());
        }
        let histograms = exposition.histograms;
        put(out, "scrape_native_histograms", &histograms.native.to_string());
        put(out, "always_scrape_classic_histograms", &histograms.classic_too.to_string());
        put(out, "convert_classic_histograms_to_nhcb", &histograms.custom.to_string());
    }

    fn put_limits(&self, out: &mut String) {
        let (limits, exposition) = (&self.limits, &self.exposition);
        if limits.body > 0 {
            put(out, "body_size_limit", &size(limits.body));
        }
        for (name, limit) in [
            ("sample_limit", limits.samples),
            ("target_limit", limits.targets),
            ("label_limit", limits.labels),
            ("label_name_length_limit", limits.label_name),
            ("label_value_length_limit", limits.label_value),
            ("native_histogram_bucket_limit", exposition.bucket_limit),
        ] {
            if limit > 0 {
                put(out, name, &limit.to_string());
            }
        }
        if exposition.min_bucket_factor != 0.0 {
            let factor = exposition.min_bucket_factor.to_string();
            put(out, "native_histogram_min_bucket_factor", &factor);
        }
    }

    fn put_client(&self, out: &mut String) {
        let secret = |out: &mut String, name: &str, secret: &Secret| match secret {
            Secret::Text(text) if text.is_empty() => {}
            Secret::Text(text) if name == "username" => put(out, "  username", &scalar(text)),
            Secret::Text(_) => put(out, &format!("  {name}"), HIDDEN),
            Secret::File(path) => {
                put(out, &format!("  {name}_file"), &scalar(&path.display().to_string()));
            }
        };
        match &self.auth {
            Auth::None => {}
            Auth::Basic { user, password } => {
                out.push_str("basic_auth:\n");
                secret(out, "username", user);
                secret(out, "password", password);
            }
            Auth::Authorization { kind, credentials } => {
                out.push_str("authorization:\n");
                put(out, "  type", &scalar(kind));
                secret(out, "credentials", credentials);
            }
        }
        let tls = &self.tls;
        if *tls != Default::default() {
            out.push_str("tls_config:\n");
            let mut file = |name: &str, path: Option<&std::path::PathBuf>| {
                let text = path.map(|p| scalar(&p.display().to_string()));
                text.iter().for_each(|t| put(out, &format!("  {name}"), t));
            };
            file("ca_file", tls.ca_file.as_ref());
            file("cert_file", tls.identity.as_ref().map(|i| &i.0));
            file("key_file", tls.identity.as_ref().map(|i| &i.1));
            tls.server_name.iter().for_each(|n| put(out, "  server_name", &scalar(n)));
            put(out, "  insecure_skip_verify", &tls.insecure.to_string());
        }
        put(out, "follow_redirects", &self.follow_redirects.to_string());
        // Targets are asked by HTTP 1.1 whatever a file says; this is what it says by default.
        put(out, "enable_http2", "true");
    }

    fn put_targets(&self, out: &mut String) {
        if self.targets.is_empty() {
            return;
        }
        out.push_str("static_configs:\n");
        for group in &self.targets {
            out.push_str("- targets:");
            out.push_str(if group.addresses.is_empty() { " []\n" } else { "\n" });
            for address in &group.addresses {
                let _ = writeln!(out, "  - {}", scalar(address));
            }
            if !group.labels.is_empty() {
                out.push_str("  labels:\n");
            }
            for (name, value) in &group.labels {
                let _ = writeln!(out, "    {}: {}", scalar(name), scalar(value));
            }
        }
    }
}

fn put(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "{name}: {value}"); // writing to a string does not fail
}

fn put_set(out: &mut String, name: &str, flag: bool) {
    if flag {
        put(out, name, "true");
    }
}

fn put_list_of_lists(out: &mut String, params: &BTreeMap<String, Vec<String>>) {
    out.push_str("params:\n");
    for (name, values) in params {
        let empty = if values.is_empty() { " []" } else { "" };
        let _ = writeln!(out, "  {}:{empty}", scalar(name));
        for value in values {
            let _ = writeln!(out, "  - {}", scalar(value));
        }
    }
}

/// A string as YAML: in quotes where it would be read as something else.
fn scalar(text: &str) -> String {
    let first = text.bytes().next().unwrap_or(b' ');
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:<>()[]=+*%@".contains(&b);
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_word = words.contains(&text.to_ascii_lowercase().as_str());
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b".:_+-eExX".contains(&b));
    let safe = (first.is_ascii_alphanumeric() || first == b'_' || first == b'/' || first == b'(')
        && text.bytes().all(plain)
        && !text.ends_with(':')
        && !is_word
        // `127.0.0.1:9090` is no number, `1:20` is one of base 60.
        && (!is_number || text.matches('.').count() > 1);
    if safe { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A size as Prometheus prints it: `1MiB512KiB`.
fn size(bytes: u64) -> String {
    let mut parts = Vec::new();
    let mut rest = bytes;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if !rest.is_multiple_of(1024) {
            parts.push(format!("{}{unit}", rest % 1024));
        }
        rest /= 1024;
    }
    parts.reverse();
    parts.concat()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use std::path::Path;

    #[test]
    fn what_is_printed_is_read_as_the_same_job() {
        let text = "scrape_configs:\n- job_name: 'a: b'\n  honor_labels: true\n  \
                    params: {'match[]': [up, \"a \\\" b\\n\"], x: ['1', 'no', '1:20']}\n  \
                    scrape_protocols: [PrometheusProto, PrometheusText0.0.4]\n  \
                    fallback_scrape_protocol: PrometheusText1.0.0\n  scrape_native_histograms: true\n  \
                    convert_classic_histograms_to_nhcb: true\n  native_histogram_bucket_limit: 160\n  \
                    native_histogram_min_bucket_factor: 1.25\n  body_size_limit: 1.5MB\n  \
                    sample_limit: 7\n  metric_name_escaping_scheme: dots\n  scheme: https\n  \
                    basic_auth: {username: 'me ', password_file: /p}\n  \
                    tls_config: {ca_file: /ca.crt, insecure_skip_verify: true}\n  \
                    static_configs:\n  - targets: ['127.0.0.1:9090', 'a:1', '[::1]:2']\n    \
                    labels: {zone: 'true', empty: '', '_x': é}\n  - targets: []\n";
        let read = |text: &str| Config::parse(text, Path::new("/p.yml")).expect("reads");
        let job = &read(text).jobs[0];
        let printed = job.to_yaml();
        let indented = printed.replace('\n', "\n  ");
        let again = read(&format!("scrape_configs:\n- {indented}\n"));
        assert_eq!(again.jobs[0], *job, "{printed}");
        assert!(printed.contains("body_size_limit: 1MiB512KiB\n"), "{printed}");
        assert!(printed.contains("- targets:\n  - 127.0.0.1:9090\n  - a:1\n"), "{printed}");
    }

    #[test]
    fn secrets_stay_secret() {
        let text = "scrape_configs:\n- job_name: a\n  authorization: {credentials: hush}\n";
        let printed = Config::parse(text, Path::new("/p.yml")).expect("reads").jobs[0].to_yaml();
        assert!(printed.contains("authorization:\n  type: Bearer\n  credentials: <secret>\n"));
        assert!(!printed.contains("hush"), "{printed}");
    }
}
