//! An API group as the frame sees it.

use super::{Object, Request, Status};
use std::future::Future;
use std::pin::Pin;

/// What [`Group::answer`] gives.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, Status>> + Send + 'a>>;

/// An API group: its entry in discovery and its answers.
pub trait Group: Send + Sync + 'static {
    /// `metrics.k8s.io`.
    fn name(&self) -> &'static str;

    /// Its versions, the preferred one first.
    fn versions(&self) -> &'static [&'static str];

    /// The resources of a version, sorted by name.
    fn resources(&self, version: &str) -> Vec<Resource>;

    /// Answers a request for a resource of this group; the caller may do it.
    fn answer<'a>(&'a self, request: &'a Request) -> Answering<'a>;

    /// The schemas of a version as the members of a JSON object, name to schema, in the words of
    /// OpenAPI v3 (`#/components/schemas/…`); empty for none.
    fn schemas(&self, version: &str) -> &'static str;
}

/// A resource of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `pods`, or `pods/http_requests`.
    pub name: String,
    /// `PodMetrics`.
    pub kind: &'static str,
    /// Whether it lies in namespaces.
    pub namespaced: bool,
    /// `get`, `list`.
    pub verbs: &'static [&'static str],
}

/// What a group answers.
pub enum Answer {
    /// An object, to be written in the form that the client asked for.
    Object(Box<dyn Object>),
    /// A whole answer, for instance another server's.
    Response(axum::response::Response),
}

impl Answer {
    /// The answer with this object.
    pub fn object(object: impl Object + 'static) -> Answer {
        Answer::Object(Box::new(object))
    }
}
