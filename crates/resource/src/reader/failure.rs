//! Why a kubelet could not be read, and what a person can do about it.

use http::client::{CertificateProblem, Error as ClientError};
use std::fmt;

/// Why a kubelet could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In one word.
    pub reason: Reason,
    /// What happened.
    pub what: String,
    /// What a person can do, where anything.
    pub remedy: Option<String>,
}

/// Why a kubelet could not be read, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The node has no address of the preferred types.
    NoAddress,
    /// It could not be reached, or did not answer whole.
    Unreachable,
    /// It took too long.
    TooSlow,
    /// Its certificate is not believed.
    Certificate,
    /// It does not know us, or does not let us.
    Permission,
    /// It answered with another status than 200.
    Refused,
    /// Its answer cannot be read, or says nothing of the node.
    Unreadable,
}

impl Reason {
    /// Its name in answers and labels.
    pub fn name(self) -> &'static str {
        match self {
            Reason::NoAddress => "NoAddress",
            Reason::Unreachable => "Unreachable",
            Reason::TooSlow => "TooSlow",
            Reason::Certificate => "Certificate",
            Reason::Permission => "Permission",
            Reason::Refused => "Refused",
            Reason::Unreadable => "Unreadable",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, ". {remedy}"),
            None => Ok(()),
        }
    }
}

impl Failure {
    pub(super) fn new(reason: Reason, what: impl Into<String>) -> Failure {
        Failure { reason, what: what.into(), remedy: None }
    }

    fn remedy(self, remedy: impl Into<String>) -> Failure {
        Failure { remedy: Some(remedy.into()), ..self }
    }

    pub(super) fn client(error: &ClientError) -> Failure {
        let reason = match error {
            ClientError::Timeout { .. } => Reason::TooSlow,
            ClientError::Certificate { .. } => Reason::Certificate,
            ClientError::TooLarge { .. } => Reason::Unreadable,
            _ => Reason::Unreachable,
        };
        let failure = Failure::new(reason, error.to_string());
        match error {
            ClientError::Certificate { problem, host, .. } => match problem {
                CertificateProblem::UnknownIssuer { .. } => failure.remedy(
                    "kubeadm lets kubelets sign their own certificates: set serverTLSBootstrap: true in \
                     the kubelet's configuration and approve its requests (kubectl get csr), or name its \
                     authority with --kubelet-certificate-authority; or start with --kubelet-tls=pin, which \
                     believes the certificate that each node shows first, or --kubelet-tls=insecure, which \
                     believes any",
                ),
                CertificateProblem::WrongName { .. } => failure.remedy(format!(
                    "it was asked as {host}: put a type of address that the certificate names first in \
                     --kubelet-preferred-address-types, or start with --kubelet-tls=pin"
                )),
                CertificateProblem::Changed { .. } => failure.remedy(
                    "if the kubelet's certificate was renewed on purpose, delete the file `pins` in the data \
                     folder and restart; if not, somebody else answers there",
                ),
                CertificateProblem::Time(_) => failure
                    .remedy("renew the kubelet's certificate, or set the clock of the node or ours"),
                CertificateProblem::Other(_) => failure,
            },
            _ => failure,
        }
    }

    /// By the status of an answer that is none.
    pub(super) fn status(status: u16, path: &str, body: &[u8]) -> Failure {
        let said = String::from_utf8_lossy(&body[..body.len().min(200)]);
        let what = format!("{path} answered {status}: {}", said.trim());
        match status {
            401 => Failure::new(Reason::Permission, what).remedy(
                "the kubelet does not know our token: it needs authentication.webhook.enabled: true",
            ),
            403 if crate::summary::is_path(path) => Failure::new(Reason::Permission, what).remedy(
                "our service account needs `get` on nodes/stats for summaries: add it to the rule for \
                 nodes/metrics in deploy/kubevigil.yaml",
            ),
            403 => Failure::new(Reason::Permission, what).remedy(
                "our service account needs `get` on nodes/metrics, as deploy/kubevigil.yaml grants it",
            ),
            404 => Failure::new(Reason::Refused, what).remedy(
                "if the node is a virtual one, its annotation metrics.k8s.io/resource-metrics-path says \
                 where its metrics are",
            ),
            _ => Failure::new(Reason::Refused, what),
        }
    }
}
