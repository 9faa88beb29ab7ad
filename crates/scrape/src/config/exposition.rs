//! In which formats targets are asked for their samples, and what is made of histograms. Fields, names
//! and defaults are those of Prometheus's `configuration.md`.

use model::exposition::Escaping;
use model::exposition::protobuf::{Choice, MEDIA_TYPE};
use model::yaml::{Entry, Node, Reader};

/// One of `scrape_protocols`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `PrometheusProto`
    Protobuf,
    /// `OpenMetricsText1.0.0`
    OpenMetrics1,
    /// `OpenMetricsText0.0.1`
    OpenMetrics0,
    /// `PrometheusText1.0.0`
    Text1,
    /// `PrometheusText0.0.4`
    Text0,
}

/// How a job's targets are asked and read.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposition {
    /// `scrape_protocols`, the most wanted first.
    pub protocols: Vec<Protocol>,
    /// `fallback_scrape_protocol`: what an answer is whose content type says nothing that is known.
    pub fallback: Option<Protocol>,
    /// `scrape_native_histograms`, `always_scrape_classic_histograms` and
    /// `convert_classic_histograms_to_nhcb`
    pub histograms: Choice,
    /// `native_histogram_bucket_limit`; 0 for none.
    pub bucket_limit: u64,
    /// `native_histogram_min_bucket_factor`; 0 for none.
    pub min_bucket_factor: f64,
    /// `metric_name_escaping_scheme`
    pub escaping: Escaping,
    /// Whether `metric_name_validation_scheme` is `legacy`: no other names than
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*` are taken.
    pub legacy_names: bool,
}

/// What a section of a configuration says of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    protocols: Option<Vec<Protocol>>,
    fallback: Option<Protocol>,
    histograms: Choice,
    bucket_limit: u64,
    min_bucket_factor: f64,
    escaping: Option<Escaping>,
    legacy_names: Option<bool>,
}

impl Protocol {
    const ALL: [Protocol; 5] = [
        Protocol::Protobuf,
        Protocol::OpenMetrics1,
        Protocol::OpenMetrics0,
        Protocol::Text1,
        Protocol::Text0,
    ];

    /// As a configuration file has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Protobuf => "PrometheusProto",
            Protocol::OpenMetrics1 => "OpenMetricsText1.0.0",
            Protocol::OpenMetrics0 => "OpenMetricsText0.0.1",
            Protocol::Text1 => "PrometheusText1.0.0",
            Protocol::Text0 => "PrometheusText0.0.4",
        }
    }

    /// As an `Accept` header has it.
    pub fn media_type(self) -> &'static str {
        match self {
            Protocol::Protobuf => MEDIA_TYPE,
            Protocol::OpenMetrics1 => "application/openmetrics-text;version=1.0.0",
            Protocol::OpenMetrics0 => "application/openmetrics-text;version=0.0.1",
            Protocol::Text1 => "text/plain;version=1.0.0",
            Protocol::Text0 => "text/plain;version=0.0.4",
        }
    }

    /// Whether its header says how names are escaped: the older formats have no such parameter.
    pub fn says_escaping(self) -> bool {
        matches!(self, Protocol::OpenMetrics1 | Protocol::Text1)
    }
}

impl Default for Exposition {
    fn default() -> Exposition {
        Exposition {
            protocols: Protocol::ALL[1..].to_vec(),
            fallback: None,
            histograms: Choice::default(),
            bucket_limit: 0,
            min_bucket_factor: 0.0,
            escaping: Escaping::AllowUtf8,
            legacy_names: false,
        }
    }
}

impl Exposition {
    /// The finest schema whose buckets grow by `native_histogram_min_bucket_factor` at least, as
    /// Prometheus computes it.
    pub fn finest_schema(&self) -> i32 {
        if self.min_bucket_factor <= 1.0 {
            return 8;
        }
        (-self.min_bucket_factor.log2().log2()).floor().clamp(-4.0, 8.0) as i32
    }
}

/// Takes one of the fields; whether it was one.
pub(super) fn take(reader: &mut Reader, entry: &Entry<'_, '_>, given: &mut Given) -> bool {
    let (name, value) = (entry.name, entry.value);
    let histograms = &mut given.histograms;
    match name {
        "scrape_protocols" => given.protocols = protocols(reader, value).or(given.protocols.take()),
        "fallback_scrape_protocol" => match reader.text(value, name).as_deref() {
            Some("") | None => given.fallback = None,
            Some(text) => given.fallback = protocol(reader, value, name, text),
        },
        "scrape_native_histograms" => super::read::set(reader, entry, &mut histograms.native),
        "always_scrape_classic_histograms" => {
            super::read::set(reader, entry, &mut histograms.classic_too);
        }
        "convert_classic_histograms_to_nhcb" => {
            super::read::set(reader, entry, &mut histograms.custom);
        }
        "native_histogram_bucket_limit" => {
            given.bucket_limit = reader.count(value, name).unwrap_or_default();
        }
        "native_histogram_min_bucket_factor" => {
            let number = reader.text(value, name).and_then(|t| t.parse().ok());
            match number.filter(|n: &f64| n.is_finite()) {
                Some(number) => given.min_bucket_factor = number,
                None => reader.problem(value, format!("{name} must be a number")),
            }
        }
        "metric_name_validation_scheme" => match reader.text(value, name).as_deref() {
            Some("") | None => {}
            Some("utf8") => given.legacy_names = Some(false),
            Some("legacy") => given.legacy_names = Some(true),
            Some(other) => {
                reader.problem(value, format!("{name} must be utf8 or legacy, not {other:?}"));
            }
        },
        "metric_name_escaping_scheme" => match reader.text(value, name).as_deref() {
            Some("") | None => {}
            Some(text) => {
                given.escaping = Escaping::named(text).or(given.escaping);
                if Escaping::named(text).is_none() {
                    let known = "allow-utf-8, underscores, dots or values";
                    reader.problem(value, format!("{name} must be {known}, not {text:?}"));
                }
            }
        },
        _ => return false,
    }
    true
}

fn protocols(reader: &mut Reader, node: &Node<'_>) -> Option<Vec<Protocol>> {
    let name = "scrape_protocols";
    if node.data.is_null() {
        return None;
    }
    let (mut protocols, before) = (Vec::new(), reader.found());
    for item in reader.items(node, name) {
        let Some(text) = reader.text(item, name) else { continue };
        let Some(protocol) = protocol(reader, item, name, &text) else { continue };
        if protocols.contains(&protocol) {
            reader.problem(item, format!("duplicated protocol {text} in {name}"));
        }
        protocols.push(protocol);
    }
    if protocols.is_empty() && reader.found() == before {
        reader.problem(node, format!("{name} cannot be empty"));
    }
    Some(protocols)
}

fn protocol(reader: &mut Reader, node: &Node<'_>, name: &str, text: &str) -> Option<Protocol> {
    let found = Protocol::ALL.into_iter().find(|p| p.as_str() == text);
    if found.is_none() {
        let mut known = Protocol::ALL.map(Protocol::as_str);
        known.sort_unstable();
        let known = known.join(", ");
        reader.problem(node, format!("{name}: unknown scrape protocol {text}, supported: {known}"));
    }
    found
}

impl Given {
    /// Leaves out what a job does not take over from `global` as it stands there.
    pub(super) fn begin_job(&mut self) {
        (self.escaping, self.legacy_names) = (None, None);
    }

    /// What holds for a job, with what `global` says filled in.
    pub(super) fn resolve(
        self,
        reader: &mut Reader,
        node: &Node<'_>,
        global: &Given,
    ) -> Exposition {
        let default_escaping = |legacy| match legacy {
            true => Escaping::Underscores,
            false => Escaping::AllowUtf8,
        };
        let of_all = global.legacy_names.unwrap_or(false);
        let legacy_names = self.legacy_names.unwrap_or(of_all);
        let escaping = self.escaping.unwrap_or_else(|| match self.legacy_names {
            None => global.escaping.unwrap_or(default_escaping(of_all)),
            Some(legacy) => default_escaping(legacy),
        });
        if legacy_names && escaping == Escaping::AllowUtf8 {
            let what = "utf8 metric names requested but validation scheme is not set to UTF8";
            reader.problem(node, what);
        }
        let first = usize::from(!self.histograms.native);
        Exposition {
            protocols: self.protocols.unwrap_or_else(|| Protocol::ALL[first..].to_vec()),
            fallback: self.fallback,
            histograms: self.histograms,
            bucket_limit: self.bucket_limit,
            min_bucket_factor: self.min_bucket_factor,
            escaping,
            legacy_names,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    fn jobs(text: &str) -> Result<Vec<Exposition>, String> {
        let config = Config::parse(text, Path::new("p.yml")).map_err(|e| e.to_string())?;
        Ok(config.jobs.iter().map(|j| j.exposition.clone()).collect())
    }

    #[test]
    fn jobs_take_over_what_global_says_unless_they_say_it_themselves() {
        let text = "global:\n  scrape_native_histograms: true\n  metric_name_escaping_scheme: dots\n\
                    scrape_configs:\n- job_name: a\n- job_name: b\n  scrape_native_histograms: false\n  \
                    metric_name_validation_scheme: legacy\n  always_scrape_classic_histograms: true\n\
                    - job_name: c\n  scrape_protocols: [PrometheusText0.0.4, PrometheusProto]\n  \
                    fallback_scrape_protocol: PrometheusProto\n  native_histogram_bucket_limit: 7\n  \
                    native_histogram_min_bucket_factor: 1.5\n  convert_classic_histograms_to_nhcb: true\n";
        let all = jobs(text).expect("reads");
        let native = Choice { native: true, ..Choice::default() };
        assert_eq!((&all[0].protocols[..], all[0].histograms), (&Protocol::ALL[..], native));
        assert_eq!((all[0].escaping, all[0].fallback), (Escaping::Dots, None));
        let classic = Choice { classic_too: true, ..Choice::default() };
        assert_eq!((&all[1].protocols[..], all[1].histograms), (&Protocol::ALL[1..], classic));
        assert_eq!((all[1].escaping, all[1].legacy_names), (Escaping::Underscores, true));
        assert_eq!(all[2].protocols, [Protocol::Text0, Protocol::Protobuf]);
        assert_eq!((all[2].fallback, all[2].bucket_limit), (Some(Protocol::Protobuf), 7));
        assert!(all[2].histograms.custom && all[2].finest_schema() == 0);
        let of_global =
            "global: {scrape_protocols: [PrometheusProto]}\nscrape_configs: [{job_name: a}]\n";
        assert_eq!(jobs(of_global).expect("reads")[0].protocols, [Protocol::Protobuf]);
        assert_eq!(jobs("scrape_configs: [{job_name: a}]\n"), Ok(vec![Exposition::default()]));
    }

    #[test]
    fn labels_of_a_target_choose_for_it_alone() {
        let text = "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: [b]\n    \
                    labels: {__scrape_native_histograms__: T}\n  - targets: [c]\n  - targets: [d]\n    \
                    labels: {__convert_classic_histograms_to_nhcb__: maybe}\n";
        let config = Config::parse(text, Path::new("p.yml")).expect("reads");
        let targets = crate::Target::of_static(&config.jobs[0]);
        let chosen: Vec<Choice> = targets.iter().map(|t| t.job.exposition.histograms).collect();
        // What is no truth value is no target, as in Prometheus.
        assert_eq!(chosen, [Choice { native: true, ..Choice::default() }, Choice::default()]);
        assert_eq!(targets[1].discovered["__scrape_native_histograms__"], "false");
    }

    #[test]
    fn the_finest_schema_is_that_of_prometheus() {
        for (factor, schema) in [(0.0, 8), (1.0, 8), (1.002, 8), (1.01, 6), (2.0, 0), (1e9, -4)] {
            let exposition = Exposition { min_bucket_factor: factor, ..Exposition::default() };
            assert_eq!(exposition.finest_schema(), schema, "{factor}");
        }
    }

    #[test]
    fn mistakes_have_their_place() {
        for (field, why) in [
            ("scrape_protocols: []", "2:21: scrape_protocols cannot be empty"),
            (
                "scrape_protocols: [PrometheusProto, PrometheusProto]",
                "2:39: duplicated protocol PrometheusProto in scrape_protocols",
            ),
            (
                "scrape_protocols: [OpenMetricsText2.0.0]",
                "2:22: scrape_protocols: unknown scrape protocol OpenMetricsText2.0.0, supported: \
                 OpenMetricsText0.0.1, OpenMetricsText1.0.0, PrometheusProto, PrometheusText0.0.4, \
                 PrometheusText1.0.0",
            ),
            ("fallback_scrape_protocol: text", "fallback_scrape_protocol: unknown scrape protocol"),
            (
                "native_histogram_min_bucket_factor: x",
                "2:39: native_histogram_min_bucket_factor must",
            ),
            ("metric_name_validation_scheme: x", "must be utf8 or legacy, not \"x\""),
            ("metric_name_escaping_scheme: x", "must be allow-utf-8, underscores, dots or values"),
            (
                "metric_name_validation_scheme: legacy\n  metric_name_escaping_scheme: allow-utf-8",
                "utf8 metric names requested but validation scheme is not set to UTF8",
            ),
        ] {
            let text = format!("scrape_configs:\n- {field}\n  job_name: a\n");
            let told = jobs(&text).expect_err(field);
            assert!(told.contains(why), "{told}");
        }
    }
}
