//! The frame for aggregated Kubernetes APIs: everything that every API group answers alike, so that a
//! group is one list entry that names its resources and answers requests.
//!
//! Never here: who may ask; [`Access`] is told by the caller. Follows the conventions of Kubernetes'
//! API (`Status` errors, content negotiation, discovery, OpenAPI) as kubectl, the autoscaler and the
//! aggregator of Kubernetes 1.36 use them.

mod access;
mod custom;
mod discovery;
mod estimates;
mod external;
mod forward;
mod frame;
mod group;
pub mod health;
mod merged;
mod metadata;
#[cfg(test)]
mod metric_tests;
mod metric_world;
mod negotiate;
mod object;
mod openapi;
pub mod protobuf;
pub mod quantity;
mod request;
mod resource_metrics;
mod status;
#[cfg(test)]
mod tests;
mod yaml;

pub use access::{Access, Attributes, Caller, Deciding};
pub use custom::Custom;
pub use estimates::EstimateGroup;
pub use external::External;
pub use forward::{Forward, ForwardOptions};
pub use frame::Frame;
pub use group::{Answer, Answering, Group, Resource};
pub use merged::Merged;
pub use metadata::{Metadata, duration, timestamp};
pub use metric_world::{MetricWorld, Naming};
pub use object::{Column, Include, Object, Row, Table, partial_metadata};
pub use request::{Request, attributes};
pub use resource_metrics::ResourceMetrics;
pub use status::{Details, Status};
