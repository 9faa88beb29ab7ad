//! The command line of `kubevigil server`. Kubelet options are spelled as metrics-server spells them.

use super::pipeline_options::PipelineOptions;
use crate::access_options::Administration;
use crate::options::{History, Limits, Log, duration};
use crate::receive_options::Receiving;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Shown below the help.
pub const EXAMPLES: &str = "\
Examples:
  kubevigil server                                  In a pod: see deploy/kubevigil.yaml
  kubevigil server --kubeconfig ~/.kube/config      Outside, for development
  kubevigil server --kubelet-tls pin                Kubelets with certificates of their own
                                                    (kubeadm's default): remember each at first use
  kubevigil server --core-metrics-only              No history: kubectl top and autoscalers alone
  kubevigil server --node-selector 'kubernetes.io/os=linux'

Who asks is authenticated and authorised by the cluster: `kubectl top` needs get on pods and nodes of
metrics.k8s.io, /metrics and /api/v1 need get on these paths (nonResourceURLs).";

/// What `server` takes.
#[derive(Clone, Debug, Args)]
pub struct ServerOptions {
    /// How to reach the API server [default: as a pod, by its service account]
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,

    /// Only nodes with these labels are read
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = cluster::Selector::parse,
          default_value = "", hide_default_value = true, help_heading = "Cluster")]
    pub node_selector: cluster::Selector,

    /// Where our Service and Secret are [default: in a pod its own namespace, else kubevigil-system]
    #[arg(long, value_name = "NAMESPACE", help_heading = "Cluster")]
    pub namespace: Option<String>,

    /// The Service that points to us
    #[arg(long, value_name = "NAME", default_value = "kubevigil", help_heading = "Cluster")]
    pub service: String,

    /// The Secret that holds our certificates
    #[arg(
        long,
        value_name = "NAME",
        default_value = "kubevigil-certificates",
        help_heading = "Cluster"
    )]
    pub certificate_secret: String,

    /// How long a certificate authority of ours holds; another follows in time
    #[arg(long, value_name = "DURATION", default_value = "3650d", value_parser = duration, hide = true)]
    pub authority_lifetime: Duration,

    /// How long a serving certificate of ours holds
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration, hide = true)]
    pub certificate_lifetime: Duration,

    /// How long a new authority is known before it issues
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration, hide = true)]
    pub certificate_overlap: Duration,

    /// Where to answer, over TLS
    #[arg(long, value_name = "ADDRESS", default_value = ":7600", help_heading = "Serving")]
    pub listen: String,

    /// prometheus-adapter's rules for custom and external metrics
    #[arg(long = "adapter.config", value_name = "FILE", help_heading = "Serving")]
    pub adapter_config: Option<PathBuf>,

    /// Keep no history: less memory, and no queries
    #[arg(long, help_heading = "History")]
    pub core_metrics_only: bool,

    /// How often each kubelet is read
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "15s",
        value_parser = resolution,
        help_heading = "Kubelets"
    )]
    pub metric_resolution: Duration,

    /// Whom to take for a kubelet
    #[arg(long, value_enum, default_value = "verify", help_heading = "Kubelets")]
    pub kubelet_tls: KubeletTls,

    /// The same as --kubelet-tls insecure
    #[arg(long, help_heading = "Kubelets")]
    pub kubelet_insecure_tls: bool,

    /// Plain HTTP, without a token (for simulated kubelets)
    #[arg(long = "deprecated-kubelet-completely-insecure", hide = true)]
    pub kubelet_completely_insecure: bool,

    /// What kubelets are asked for
    #[arg(long, value_enum, default_value = "resource", help_heading = "Kubelets")]
    pub kubelet_source: KubeletSource,

    /// The first of these that a node has is asked
    #[arg(
        long,
        value_name = "TYPES",
        value_delimiter = ',',
        default_value = "InternalIP,ExternalIP,Hostname",
        help_heading = "Kubelets"
    )]
    pub kubelet_preferred_address_types: Vec<String>,

    /// Ask the port that the node's status says [default: true]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        hide_default_value = true,
        action = clap::ArgAction::Set,
        help_heading = "Kubelets"
    )]
    pub kubelet_use_node_status_port: bool,

    /// The port of kubelets whose node says none
    #[arg(long, value_name = "PORT", default_value = "10250", help_heading = "Kubelets")]
    pub kubelet_port: u16,

    /// How long a kubelet may take
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration,
        help_heading = "Kubelets"
    )]
    pub kubelet_request_timeout: Duration,

    /// Who issued the kubelets' certificates [default: the cluster's authority]
    #[arg(long, value_name = "FILE", help_heading = "Kubelets")]
    pub kubelet_certificate_authority: Option<PathBuf>,

    /// A client certificate for kubelets [default: the service account's token]
    #[arg(long, value_name = "FILE", requires = "kubelet_client_key", help_heading = "Kubelets")]
    pub kubelet_client_certificate: Option<PathBuf>,

    /// Its key
    #[arg(
        long,
        value_name = "FILE",
        requires = "kubelet_client_certificate",
        help_heading = "Kubelets"
    )]
    pub kubelet_client_key: Option<PathBuf>,

    /// Hide a pod while one of its containers has no figure, as metrics-server does
    #[arg(long, help_heading = "Kubelets")]
    pub strict: bool,

    /// What is scraped and forwarded.
    #[command(flatten)]
    pub pipeline: PipelineOptions,

    /// What may be asked beyond reading and sending.
    #[command(flatten)]
    pub administration: Administration,

    /// What is kept.
    #[command(flatten)]
    pub history: History,

    /// What others may send.
    #[command(flatten)]
    pub receiving: Receiving,

    /// What it may take.
    #[command(flatten)]
    pub limits: Limits,

    /// What is logged.
    #[command(flatten)]
    pub log: Log,

    /// All options as the status page shows them.
    #[arg(skip)]
    pub flags: Vec<api::backend::Flag>,
}

/// What kubelets are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KubeletSource {
    /// /metrics/resource (right: get on nodes/metrics)
    Resource,
    /// The Summary API, /stats/summary (right: get on nodes/stats); its times are whole seconds
    Summary,
}

impl KubeletSource {
    /// The path.
    pub fn path(self) -> &'static str {
        match self {
            KubeletSource::Resource => "/metrics/resource",
            KubeletSource::Summary => resource::summary::PATH,
        }
    }
}

/// Whom to take for a kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KubeletTls {
    /// Who has a certificate of the cluster's authority for the node's address
    Verify,
    /// Who has the certificate that the node showed first
    Pin,
    /// Anybody who answers
    Insecure,
}

/// metrics-server's lower limit would be 10 s; shorter ones serve tests.
fn resolution(text: &str) -> Result<Duration, String> {
    let resolution = duration(text)?;
    if (Duration::from_secs(1)..=Duration::from_secs(300)).contains(&resolution) {
        return Ok(resolution);
    }
    Err("must be between 1s and 5m".into())
}

impl ServerOptions {
    /// What two options together make impossible.
    pub fn check(&self) -> Result<(), String> {
        let (resolution, timeout) = (self.metric_resolution, self.kubelet_request_timeout);
        let takes_longer = timeout > resolution.mul_f64(0.9);
        // As metrics-server; the default timeout gives way to a short resolution.
        let given = self.flags.iter().any(|f| f.name == "kubelet-request-timeout" && f.set);
        if takes_longer && given {
            return Err(format!(
                "--kubelet-request-timeout {timeout:?} must be at most 9/10 of --metric-resolution \
                 {resolution:?}: shorten the one or lengthen the other"
            ));
        }
        if self.core_metrics_only && !self.pipeline.sending.endpoints.is_empty() {
            return Err(
                "--remote-write sends what is kept, and --core-metrics-only keeps nothing: \
                        leave one of the options out"
                    .into(),
            );
        }
        let insecure = self.kubelet_insecure_tls || self.kubelet_tls == KubeletTls::Insecure;
        if insecure && self.kubelet_certificate_authority.is_some() {
            return Err("--kubelet-certificate-authority verifies nothing where \
                        kubelets are believed unseen: leave one of the options out"
                .into());
        }
        Ok(())
    }
}
