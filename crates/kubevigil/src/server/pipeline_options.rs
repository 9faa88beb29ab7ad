//! The part of `server`'s command line that is about scraping, rules and forwarding.

use crate::options::duration;
use crate::sending::SendOptions;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// What is scraped and forwarded.
#[derive(Clone, Debug, Args)]
pub struct PipelineOptions {
    /// A Prometheus configuration file: its scrape_configs are scraped, to its remote_write is sent
    #[arg(long = "config.file", value_name = "FILE", help_heading = "Scraping")]
    pub config_file: Option<PathBuf>,

    /// Scrape pods and services with the annotation prometheus.io/scrape [default: true]
    #[arg(
        long = "scrape.annotations",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        hide_default_value = true,
        action = clap::ArgAction::Set,
        help_heading = "Scraping"
    )]
    pub scrape_annotations: bool,

    /// How often these are scraped
    #[arg(
        long = "scrape.interval",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration,
        help_heading = "Scraping"
    )]
    pub scrape_interval: Duration,

    /// How long a metric is known after the last sample of its series
    #[arg(
        long = "metrics-max-age",
        value_name = "DURATION",
        default_value = "1d",
        value_parser = duration,
        help_heading = "Custom metrics"
    )]
    pub metrics_max_age: Duration,

    /// Where samples are sent to.
    #[command(flatten)]
    pub sending: SendOptions,

    /// Another adapter, asked for custom metrics that no rule gives
    #[arg(long = "custom-metrics.forward", value_name = "URL", help_heading = "Custom metrics")]
    pub custom_forward: Option<String>,

    /// Another adapter, asked for external metrics that no rule gives
    #[arg(long = "external-metrics.forward", value_name = "URL", help_heading = "Custom metrics")]
    pub external_forward: Option<String>,

    /// Who issued their certificates [default: in a pod the cluster's authority]
    #[arg(long = "forward.ca-file", value_name = "FILE", help_heading = "Custom metrics")]
    pub forward_ca_file: Option<PathBuf>,

    /// Believe any certificate of theirs
    #[arg(long = "forward.insecure", help_heading = "Custom metrics")]
    pub forward_insecure: bool,

    /// Whether there is a store at all.
    #[arg(skip = true)]
    pub keeps_history: bool,
}
