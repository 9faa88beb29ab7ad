//! A rule of prometheus-adapter's file: which series it takes, what their labels name, what the
//! metric is called, and the template of the query.

use super::api_resources::{ApiResources, GroupResource};
use super::expand::expand;
use super::template::{Field, Fields, Template};
use model::Matcher;
use regex_automata::meta::Regex;
use std::collections::HashMap;

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The line of the file at which it begins, from 1.
    pub line: usize,
    /// `seriesQuery`
    pub(super) series: Vec<Matcher>,
    /// `seriesFilters`
    pub(super) filters: Vec<Filter>,
    /// `resources`
    pub(super) labels: LabelRule,
    /// `name.matches`
    pub(super) name: Regex,
    /// `name.as`
    pub(super) name_as: String,
    /// `metricsQuery`
    pub(super) query: Template,
}

/// One of `seriesFilters`.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub pattern: Regex,
    /// `is`, not `isNot`.
    pub positive: bool,
}

/// `resources`: which label names which resource.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelRule {
    /// Gives the label of a resource.
    pub template: Option<Template>,
    /// Labels with their resources, in the file's order.
    pub overrides: Vec<Override>,
    /// Whether a query is limited to the namespace that asks (external metrics).
    pub namespaced: bool,
}

/// An entry of `resources.overrides`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Override {
    pub label: String,
    pub group: String,
    /// Singular or plural.
    pub resource: String,
    pub line: usize,
}

/// A rule's labels, applied to the resources of a cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelMap {
    by_label: HashMap<String, GroupResource>,
    by_resource: HashMap<GroupResource, String>,
}

impl Rule {
    /// Whether `seriesFilters` let a series' name pass.
    pub(super) fn takes(&self, series: &str) -> bool {
        self.filters.iter().all(|f| f.pattern.is_match(series) == f.positive)
    }

    /// What the metric of a series is called; `None` where `name.matches` does not match it.
    pub(super) fn metric(&self, series: &str) -> Option<String> {
        expand(&self.name, &self.name_as, series).filter(|name| !name.is_empty())
    }
}

impl LabelRule {
    /// The labels of a cluster's resources, and what of the rule makes no sense there.
    pub fn apply(&self, resources: &ApiResources) -> (LabelMap, Vec<String>) {
        let mut map = LabelMap::default();
        let mut notices = Vec::new();
        for entry in &self.overrides {
            let Some(found) = resources.find(&entry.resource, &entry.group) else {
                let Override { label, resource, group, line } = entry;
                let of = if group.is_empty() { String::new() } else { format!(" in {group}") };
                notices.push(format!(
                    "line {line}: the API server knows no resource {resource:?}{of}, so that \
                     label {label:?} names nothing"
                ));
                continue;
            };
            let resource = found.group_resource();
            map.by_label.insert(entry.label.clone(), resource.clone());
            map.by_resource.entry(resource).or_insert_with(|| entry.label.clone());
        }
        let Some(template) = &self.template else { return (map, notices) };
        for resource in resources.all() {
            let named = resource.group_resource();
            if map.by_resource.contains_key(&named) {
                continue;
            }
            if let Ok(label) = template.run(&label_fields(&resource.group, &resource.singular))
                && !label.is_empty()
            {
                // Of resources that share a label the preferred group's has it: they come first.
                map.by_label.entry(label.clone()).or_insert_with(|| named.clone());
                map.by_resource.insert(named, label);
            }
        }
        (map, notices)
    }
}

/// What `resources.template` can name.
pub(super) fn label_fields(group: &str, singular: &str) -> Fields {
    Fields::default()
        .with("Group", Field::Text(group.replace(['.', '-'], "_")))
        .with("Resource", Field::Text(singular.into()))
}

impl LabelMap {
    /// The resource that a label names.
    pub fn resource(&self, label: &str) -> Option<&GroupResource> {
        self.by_label.get(label)
    }

    /// The label that names a resource.
    pub fn label(&self, resource: &GroupResource) -> Option<&str> {
        self.by_resource.get(resource).map(String::as_str)
    }
}
