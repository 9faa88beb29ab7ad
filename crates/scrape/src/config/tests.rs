//! Configuration files: what is read, and each mistake with its line and column.

use super::*;

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse(text, Path::new("/etc/prometheus/prometheus.yml"))
}

#[test]
fn a_whole_file() {
    let text = r#"
global:
  scrape_interval: 15s
  evaluation_interval: 1m
  external_labels: {cluster: c1}
  sample_limit: 100
rule_files: ["*.rules"]
alerting:
scrape_configs:
- job_name: plain
  static_configs:
  - targets: ["a:1", "[::1]:2", c]
    labels: {zone: z, __metrics_path__: /other, __scrape_interval__: 1m}
- job_name: full
  scrape_interval: 1m30s
  scrape_timeout: 20s
  metrics_path: /federate
  scheme: https
  params: {"match[]": ['up', 'a{b="c"}'], x: [y]}
  honor_labels: true
  honor_timestamps: false
  track_timestamps_staleness: true
  follow_redirects: false
  enable_compression: false
  enable_http2: false
  scrape_protocols: [OpenMetricsText1.0.0]
  authorization: {credentials_file: token}
  tls_config: {ca_file: /abs/ca.crt, cert_file: c.crt, key_file: c.key, server_name: s, insecure_skip_verify: false, min_version: TLS13}
  sample_limit: 5
  body_size_limit: 1.5MB
  label_limit: 30
  label_name_length_limit: 100
  label_value_length_limit: 200
  target_limit: 3
  static_configs: [{targets: [b]}]
"#;
    let config = parse(text).expect("reads");
    assert_eq!(config.notices, ["rule_files has no effect yet: it is left out"]);
    assert_eq!(config.external_labels["cluster"], "c1");
    let [plain, full] = &config.jobs[..] else { panic!("two jobs") };
    assert_eq!((plain.interval_ms, plain.timeout_ms, plain.limits.samples), (15_000, 10_000, 100));
    let urls: Vec<String> = crate::Target::of_static(plain).iter().map(|t| t.url()).collect();
    assert_eq!(urls, ["http://a:1/other", "http://[::1]:2/other", "http://c:80/other"]);
    let first = &crate::Target::of_static(plain)[0];
    assert_eq!(first.labels.to_string(), r#"{instance="a:1", job="plain", zone="z"}"#);
    assert_eq!(first.interval_ms, 60_000);
    let target = &crate::Target::of_static(full)[0];
    let query = "match%5B%5D=up&match%5B%5D=a%7Bb%3D%22c%22%7D&x=y";
    assert_eq!(target.url(), format!("https://b:443/federate?{query}"));
    let limits = Limits {
        samples: 5,
        body: 3 << 19,
        labels: 30,
        label_name: 100,
        label_value: 200,
        targets: 3,
    };
    let expected = Job {
        name: "full".into(),
        interval_ms: 90_000,
        timeout_ms: 20_000,
        path: "/federate".into(),
        https: true,
        honor_labels: true,
        honor_timestamps: false,
        track_timestamps_staleness: true,
        follow_redirects: false,
        compression: false,
        auth: Auth::Authorization {
            kind: "Bearer".into(),
            credentials: Secret::File("/etc/prometheus/token".into()),
        },
        tls: TlsConfig {
            ca_file: Some("/abs/ca.crt".into()),
            identity: Some(("/etc/prometheus/c.crt".into(), "/etc/prometheus/c.key".into())),
            server_name: Some("s".into()),
            insecure: false,
        },
        limits,
        exposition: Exposition { protocols: vec![Protocol::OpenMetrics1], ..Exposition::default() },
        params: full.params.clone(),
        targets: full.targets.clone(),
    };
    assert_eq!(**full, expected);
    assert_eq!(parse("").expect("nothing is a file too"), Config::default());
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let text = r#"global:
  scrape_interval: often
  scrape_interva: 1s
scrape_configs:
- job_name: a
  scrape_timeout: 2m
  metrics_path: metrics
  scheme: ftp
  relabel_configs: []
  kubernetes_sd_configs: [{role: pod}]
  statics: []
- job_name: b
  static_configs: [{targets: ["http://x/metrics"], labels: {"a-b": c}}]
  basic_auth: {username: u, password: p, password_file: q}
  bearer_token: t
- scrape_interval: 0s
- job_name: c
- job_name: c
  tls_config: {cert_file: x, ca: y}
  body_size_limit: much
  sample_limit: -1
- {}
- job_name: d
- job_name: d
other: {}
"#;
    let error = parse(text).expect_err("mistakes").to_string();
    for expected in [
        ":2:20: scrape_interval: not a valid duration string: \"often\"",
        ":3:3: unknown field \"scrape_interva\" in global",
        ":6:19: scrape timeout greater than scrape interval",
        ":7:17: metrics_path \"metrics\" must be a path that begins with /",
        ":8:11: scheme must be http or https, not \"ftp\"",
        ":9:3: relabel_configs is not supported yet",
        ":10:3: kubernetes_sd_configs is not supported yet",
        ":11:3: unknown field \"statics\" in a scrape_config",
        ":13:31: \"http://x/metrics\" is not a valid hostname",
        ":13:61: \"a-b\" is not a valid label name",
        ":14:42: only one of password and password_file",
        ":15:3: only one of basic_auth, authorization and bearer_token",
        ":16:20: scrape_interval must be longer than nothing",
        ":19:15: cert_file and key_file must be given together",
        ":19:30: ca within the file is not supported: write ca_file",
        ":20:20: body_size_limit must be a size",
        ":21:17: sample_limit must be a whole number",
        ":22:3: a scrape_config needs a job_name",
        ":24:3: job_name \"d\" was taken at line 23",
        ":25:1: unknown field \"other\" in the configuration",
    ] {
        assert!(error.contains(expected), "{expected} is not in\n{error}");
    }
    assert!(error.starts_with("/etc/prometheus/prometheus.yml:2:20: "), "{error}");
}

#[test]
fn the_storage_of_exemplars() {
    let of = |text: &str| parse(text).unwrap_or_else(|e| panic!("{e}")).exemplars;
    assert_eq!(of("storage: {exemplars: {max_exemplars: 7}}"), Some(7));
    assert_eq!(of("storage: {exemplars: {max_exemplars: -1}}"), Some(0));
    assert_eq!(of("global: {}"), None);
    let config = parse("storage: {tsdb: {out_of_order_time_window: 30m}}").expect("reads");
    assert_eq!(config.notices, ["storage.tsdb has no effect yet: it is left out"]);
    for wrong in ["storage: {exemplars: {max_exemplars: x}}", "storage: {exemplar: {}}"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
