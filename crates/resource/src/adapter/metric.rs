//! An entry of `metrics`, the form that is ours: a name, a query in plain PromQL, and what it is of.

use super::api_resources::{ApiResources, GroupResource};

/// A metric by bare PromQL.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The line of the file at which it begins, from 1.
    pub line: usize,
    /// The metric's name.
    pub name: String,
    /// The query; it is evaluated as it stands.
    pub query: String,
    /// What the values are of.
    pub described: Described,
    /// The label of the query's result that names the namespace.
    pub namespace_label: String,
}

/// What the values of a metric are of.
#[derive(Clone, Debug, PartialEq)]
pub enum Described {
    /// Objects of a resource, each named by a label of the result.
    Objects {
        /// `pods`, `deployments.apps`; as the file has it, singular or plural.
        resource: String,
        /// The label that names the object; empty for the resource's singular name.
        label: String,
    },
    /// Nothing in the cluster: an external metric. A series with a namespace label is shown in that
    /// namespace alone, one without in every namespace.
    External,
}

impl Metric {
    /// The resource whose objects it describes and the label that names them; `None` for an
    /// external metric and for a resource that the API server does not know.
    pub(super) fn objects(&self, resources: &ApiResources) -> Option<(GroupResource, String)> {
        let Described::Objects { resource, label } = &self.described else { return None };
        let found = resources.by_path(resource)?;
        let label = if label.is_empty() { &found.singular } else { label };
        Some((found.group_resource(), label.clone()))
    }
}
