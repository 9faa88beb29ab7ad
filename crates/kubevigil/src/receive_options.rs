//! The options of what others may send to us. Spellings are Prometheus's where it has them.

use crate::options::size;
use crate::standalone::milliseconds;
use api::otlp::{Promoted, Settings, Strategy};
use api::receive;
use clap::Args;
use std::sync::Arc;
use std::time::Duration;

/// What others may send.
#[derive(Clone, Debug, Args)]
pub struct Receiving {
    /// Take samples by remote write, 1.0 and 2.0, at /api/v1/write
    #[arg(long = "web.enable-remote-write-receiver", help_heading = "Receiving")]
    pub remote_write: bool,

    /// Take OpenTelemetry's metrics, over HTTP, at /api/v1/otlp/v1/metrics
    #[arg(long = "web.enable-otlp-receiver", help_heading = "Receiving")]
    pub otlp: bool,

    /// How OpenTelemetry's names become ours
    #[arg(
        long = "otlp.translation-strategy",
        value_name = "STRATEGY",
        value_parser = Strategy::NAMES,
        default_value = "UnderscoreEscapingWithSuffixes",
        help_heading = "Receiving"
    )]
    pub otlp_strategy: String,

    /// Attributes of resources that become labels of their series
    #[arg(
        long = "otlp.promote-resource-attributes",
        value_name = "NAMES",
        value_delimiter = ',',
        conflicts_with = "otlp_promote_all",
        help_heading = "Receiving"
    )]
    pub otlp_promote: Vec<String>,

    /// All attributes of resources become labels
    #[arg(long = "otlp.promote-all-resource-attributes", help_heading = "Receiving")]
    pub otlp_promote_all: bool,

    /// All but these
    #[arg(
        long = "otlp.ignore-resource-attributes",
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "otlp_promote_all",
        help_heading = "Receiving"
    )]
    pub otlp_ignore: Vec<String>,

    /// target_info also has the attributes that job and instance are made of
    #[arg(long = "otlp.keep-identifying-resource-attributes", help_heading = "Receiving")]
    pub otlp_keep_identifying: bool,

    /// Histograms with explicit bounds become native ones
    #[arg(long = "otlp.convert-histograms-to-nhcb", help_heading = "Receiving")]
    pub otlp_native_histograms: bool,

    /// Name, version and attributes of a scope become labels
    #[arg(long = "otlp.promote-scope-metadata", help_heading = "Receiving")]
    pub otlp_scope: bool,

    /// Take deltas as they are
    #[arg(long = "otlp.native-delta-ingestion", help_heading = "Receiving")]
    pub otlp_deltas: bool,

    /// Bytes that the body of a request may have, as sent and as unpacked
    #[arg(
        long = "receive.body-size-limit",
        value_name = "SIZE",
        default_value = "32MB",
        value_parser = size,
        help_heading = "Receiving"
    )]
    pub body_size: u64,

    /// Labels that a series may have, its metric name among them
    #[arg(
        long = "receive.label-limit",
        value_name = "NUMBER",
        default_value = "256",
        help_heading = "Receiving"
    )]
    pub labels: usize,

    /// Bytes that the name of a label may have
    #[arg(
        long = "receive.label-name-length-limit",
        value_name = "NUMBER",
        default_value = "1024",
        help_heading = "Receiving"
    )]
    pub label_name: usize,

    /// Bytes that the value of a label may have
    #[arg(
        long = "receive.label-value-length-limit",
        value_name = "NUMBER",
        default_value = "65536",
        help_heading = "Receiving"
    )]
    pub label_value: usize,

    /// Samples a second that each sender may send [default: no limit]
    #[arg(
        long = "receive.sample-rate-limit",
        value_name = "NUMBER",
        default_value = "0",
        hide_default_value = true,
        help_heading = "Receiving"
    )]
    pub samples_per_second: u64,

    /// No series of a sender's begins while so many are written to [default: no limit]
    #[arg(long = "receive.series-limit", value_name = "NUMBER", help_heading = "Receiving")]
    pub series: Option<u64>,
}

impl Receiving {
    /// Bytes that the listener lets through: enough that a body that is too large is told so in the
    /// words of the protocol.
    pub fn body_bytes(&self) -> usize {
        let most = http::Options::default().max_body_bytes as u64;
        usize::try_from(most.max(self.body_size.saturating_add(1 << 20))).unwrap_or(usize::MAX)
    }

    /// As the API takes them.
    pub fn options(
        &self,
        retention: Duration,
        lookback: Duration,
        stats: Arc<receive::Stats>,
    ) -> receive::Options {
        let body_bytes = usize::try_from(self.body_size).unwrap_or(usize::MAX);
        let defaults = receive::Limits::default();
        receive::Options {
            remote_write: self.remote_write,
            otlp: self.otlp.then(|| self.otlp_settings(lookback)),
            limits: receive::Limits {
                body_bytes,
                // A body that is allowed can be taken: packed and unpacked.
                total_bytes: defaults.total_bytes.max(self.body_size.saturating_mul(2)),
                labels: receive::LabelLimits {
                    count: self.labels,
                    name_bytes: self.label_name,
                    value_bytes: self.label_value,
                },
                series: self.series.unwrap_or(u64::MAX),
                samples_per_second: self.samples_per_second,
            },
            retention_ms: milliseconds(retention),
            stats,
        }
    }

    fn otlp_settings(&self, lookback: Duration) -> Settings {
        let set = |names: &[String]| names.iter().cloned().collect();
        Settings {
            // The parser of the command line knows the words.
            strategy: self.otlp_strategy.parse().unwrap_or_default(),
            promoted: match self.otlp_promote_all {
                true => Promoted::AllBut(set(&self.otlp_ignore)),
                false => Promoted::These(set(&self.otlp_promote)),
            },
            keep_identifying: self.otlp_keep_identifying,
            native_histograms: self.otlp_native_histograms,
            scope_labels: self.otlp_scope,
            deltas: self.otlp_deltas,
            lookback_ms: milliseconds(lookback),
        }
    }
}
