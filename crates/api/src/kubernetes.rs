//! The frame for aggregated Kubernetes APIs: everything that every API group answers alike, so that a
//! group is one list entry that names its resources and answers requests.
//!
//! Never here: who may ask; [`Access`] is told by the caller. Follows the conventions of Kubernetes'
//! API (`Status` errors, content negotiation, discovery, OpenAPI) as kubectl, the autoscaler and the
//! aggregator of Kubernetes 1.36 use them.

mod access;
mod group;
mod object;
pub mod protobuf;
mod request;
mod status;

pub use access::{Access, Attributes, Caller, Deciding};
pub use group::{Answer, Answering, Group, Resource};
pub use object::{Column, Object, Table};
pub use request::{Request, attributes};
pub use status::{Details, Status};
