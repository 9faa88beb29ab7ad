//! Who asks, and whether they may: the question, put into Kubernetes' terms.
//!
//! Never here: the answer; the server asks the API server for it (TokenReview, SubjectAccessReview).

use super::Status;
use axum::http::request::Parts;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// `system:serviceaccount:kube-system:horizontal-pod-autoscaler`, `system:anonymous`, …
    pub name: String,
    /// The groups they are in.
    pub groups: Vec<String>,
    /// Their UID, where known.
    pub uid: String,
    /// Whatever else the authenticator said.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What a request wants to do, as a SubjectAccessReview asks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `list`, …; for paths that are no resource the method in lower case.
    pub verb: String,
    /// Whether the request is for a resource of an API group.
    pub is_resource: bool,
    /// `metrics.k8s.io`.
    pub group: String,
    /// `v1beta1`.
    pub version: String,
    /// `pods`.
    pub resource: String,
    /// The part of the resource, or empty.
    pub subresource: String,
    /// Empty for a resource of the whole cluster and for all namespaces.
    pub namespace: String,
    /// Empty for a list.
    pub name: String,
    /// The path, without the query.
    pub path: String,
}

/// What [`Access::decide`] gives.
pub type Deciding<'a> = Pin<Box<dyn Future<Output = Result<Caller, Status>> + Send + 'a>>;

/// Decides who asks, and whether they may.
pub trait Access: Send + Sync + 'static {
    /// Who asks, if they may do what `attributes` say; [`Status::unauthorized`] where nobody can tell
    /// who it is, [`Status::forbidden`] where they may not. `parts` has the headers, the address
    /// ([`http::Peer`]) and what the listener found out about the client.
    fn decide<'a>(&'a self, parts: &'a Parts, attributes: &'a Attributes) -> Deciding<'a>;
}
