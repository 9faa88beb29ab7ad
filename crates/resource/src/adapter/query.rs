//! The query for one metric of some objects, or of an external metric, by a rule.

use super::api_resources::GroupResource;
use super::conditions::{Conditions, Unsupported};
use super::rule::{LabelMap, Rule};
use super::template::{Field, Fields, TemplateError};
use cluster::Selector;
use std::collections::BTreeMap;

/// Why a rule gives no query for what is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryFailure {
    /// No label of the rule names objects of the resource.
    #[error("the rule at line {line} names no label for {resource}")]
    NoLabel {
        /// The rule's line.
        line: usize,
        /// `namespaces`
        resource: String,
    },
    /// The selector of series asks for what PromQL does not have.
    #[error(transparent)]
    Selector(#[from] Unsupported),
    /// The template failed.
    #[error("metricsQuery of the rule at line {line}: {source}")]
    Template {
        /// The rule's line.
        line: usize,
        /// Why.
        source: TemplateError,
    },
}

/// What a template of a query gets.
pub(super) struct ObjectArguments<'a> {
    pub series: &'a str,
    pub matchers: String,
    pub values: BTreeMap<String, String>,
    pub group_by: Vec<String>,
}

/// The fields of a template of a query.
pub(super) fn fields(arguments: ObjectArguments<'_>) -> Fields {
    Fields::default()
        .with("Series", Field::Text(arguments.series.into()))
        .with("LabelMatchers", Field::Text(arguments.matchers))
        .with("LabelValuesByName", Field::Map(arguments.values))
        .with("GroupBy", Field::Text(arguments.group_by.join(",")))
        .with("GroupBySlice", Field::List(arguments.group_by))
}

/// Whose values a query is to give.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Objects<'a> {
    /// The resource.
    pub resource: &'a GroupResource,
    /// Their namespace; `None` for objects of the whole cluster.
    pub namespace: Option<&'a str>,
    /// Their names, at least one.
    pub names: &'a [String],
}

impl Rule {
    /// The query for objects, and the label of its result that names them.
    pub(super) fn object_query(
        &self,
        labels: &LabelMap,
        series: &str,
        objects: &Objects<'_>,
        selector: &Selector,
    ) -> Result<(String, String), QueryFailure> {
        let mut conditions = Conditions::of(selector)?;
        if let Some(namespace) = objects.namespace {
            conditions.add_equal(self.label(labels, &namespaces())?, &[namespace]);
        }
        let label = self.label(labels, objects.resource)?.to_owned();
        conditions.add_equal(&label, objects.names);
        let query = self.run(series, conditions, vec![label.clone()])?;
        Ok((query, label))
    }

    /// The query for an external metric.
    pub(super) fn external_query(
        &self,
        labels: &LabelMap,
        series: &str,
        namespace: &str,
        selector: &Selector,
    ) -> Result<String, QueryFailure> {
        let mut conditions = Conditions::of(selector)?;
        if self.labels.namespaced && !namespace.is_empty() {
            conditions.add_equal(self.label(labels, &namespaces())?, &[namespace]);
        }
        self.run(series, conditions, Vec::new())
    }

    fn label<'m>(
        &self,
        labels: &'m LabelMap,
        resource: &GroupResource,
    ) -> Result<&'m str, QueryFailure> {
        let no_label = || QueryFailure::NoLabel { line: self.line, resource: resource.to_string() };
        labels.label(resource).ok_or_else(no_label)
    }

    fn run(
        &self,
        series: &str,
        conditions: Conditions,
        group_by: Vec<String>,
    ) -> Result<String, QueryFailure> {
        let matchers = conditions.matchers.join(",");
        let arguments = ObjectArguments { series, matchers, values: conditions.values, group_by };
        let ran = self.query.run(&fields(arguments));
        ran.map_err(|source| QueryFailure::Template { line: self.line, source })
    }
}

/// The resource that namespaces are.
pub(crate) fn namespaces() -> GroupResource {
    GroupResource { resource: "namespaces".into(), group: String::new() }
}
