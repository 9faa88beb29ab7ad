//! prometheus-adapter's rule file as it is, and a form of ours that is easier: which metrics there
//! are for which objects, and which query answers for one.
//!
//! A file has `rules`, `externalRules` and `resourceRules` as prometheus-adapter 0.12 reads them
//! (its `docs/config.md`), and besides `metrics`: bare PromQL, one entry a metric (docs/adapter.md).
//! No I/O and no clock here: the store, the engine's time and the cluster's resources are arguments.

mod api_resources;
mod conditions;
mod expand;
mod known;
mod metric;
mod query;
mod read;
mod rule;
pub(crate) mod template;

pub use api_resources::{ApiResource, ApiResources, GroupResource};
pub use conditions::Unsupported;
pub(crate) use known::Query;
pub use known::{CustomMetric, Known, Source};
pub use metric::{Described, Metric};
pub(crate) use query::Objects;
pub use query::QueryFailure;
pub use rule::Rule;
pub use template::{Template, TemplateError};

use model::yaml::Problems;
use std::time::Duration;

/// The rules of a file.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `rules`: metrics of objects.
    pub(crate) custom: Vec<Rule>,
    /// `externalRules`: metrics of nothing in the cluster.
    pub(crate) external: Vec<Rule>,
    /// `metrics`: bare PromQL.
    pub(crate) metrics: Vec<Metric>,
    /// `resourceRules`, which is checked and otherwise unused: see [`Rules::notices`].
    pub(crate) resource_rules: Option<ResourceRules>,
}

/// Metrics of nodes and pods by queries, as prometheus-adapter makes metrics.k8s.io of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ResourceRules {
    /// Over which time the queries compute.
    pub window: Duration,
}

impl Rules {
    /// Reads a file's text; `file` is how it is called in messages. All mistakes are told at once.
    pub fn parse(text: &str, file: &str) -> Result<Rules, Problems> {
        read::parse(text, file)
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.custom.is_empty() && self.external.is_empty() && self.metrics.is_empty()
    }

    /// How many rules and metrics there are.
    pub fn len(&self) -> usize {
        self.custom.len() + self.external.len() + self.metrics.len()
    }

    /// What is right in the file and has no effect here, in words for the log.
    pub fn notices(&self) -> Vec<String> {
        let unused = "resourceRules have no effect: metrics.k8s.io is answered from the kubelets, \
                      sooner than queries could";
        self.resource_rules.iter().map(|_| unused.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests;
