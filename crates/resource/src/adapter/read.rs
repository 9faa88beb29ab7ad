//! Reads a rule file: every mistake with its line and column, all at once.

use super::metric::{Described, Metric};
use super::query::{ObjectArguments, fields};
use super::rule::{Filter, LabelRule, Override, Rule, label_fields};
use super::template::Template;
use super::{ResourceRules, Rules};
use model::labels::is_label_name;
use model::matcher::unanchored_regex;
use model::yaml::{self, Node, Problems, Reader};
use regex_automata::meta::Regex;
use std::collections::BTreeMap;
use std::time::Duration;

/// A file may have so many rules; more is a mistake rather than a wish.
const MOST_RULES: usize = 10_000;

/// Reads a text.
pub(super) fn parse(text: &str, file: &str) -> Result<Rules, Problems> {
    yaml::read(text, file, root)
}

/// Whose rules are read.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Custom,
    External,
}

fn root(reader: &mut Reader, node: &Node<'_>) -> Rules {
    let mut rules = Rules::default();
    let known = ["rules", "externalRules", "resourceRules", "metrics"];
    for entry in reader.entries(node, "the rule file", &known) {
        let value = entry.value;
        match entry.name {
            "rules" => rules.custom = list(reader, value, "rules", |r, n| rule(r, n, Of::Custom)),
            "externalRules" => {
                let read = |r: &mut Reader, n: &Node<'_>| rule(r, n, Of::External);
                rules.external = list(reader, value, "externalRules", read);
            }
            "resourceRules" => rules.resource_rules = resource_rules(reader, value),
            _ => rules.metrics = list(reader, value, "metrics", metric),
        }
    }
    let mut seen = BTreeMap::new();
    for m in &rules.metrics {
        if let Some(line) = seen.insert((&m.name, format!("{:?}", m.described)), m.line) {
            let what = format!("metric {:?} was defined for the same at line {line}", m.name);
            reader.problem_at(m.line, 1, what);
        }
    }
    rules
}

fn list<T>(
    reader: &mut Reader,
    node: &Node<'_>,
    name: &str,
    read: impl Fn(&mut Reader, &Node<'_>) -> Option<T>,
) -> Vec<T> {
    let items = reader.items(node, name);
    if items.len() > MOST_RULES {
        reader.problem(node, format!("{} {name}, at most {MOST_RULES} are taken", items.len()));
    }
    items.iter().take(MOST_RULES).filter_map(|item| read(reader, item)).collect()
}

fn rule(reader: &mut Reader, node: &Node<'_>, of: Of) -> Option<Rule> {
    let known = ["seriesQuery", "seriesFilters", "resources", "name", "metricsQuery"];
    let (mut series, mut filters, mut query) = (None, Vec::new(), None);
    let mut labels = LabelRule { namespaced: true, ..LabelRule::default() };
    let mut name = None;
    let before = reader.found();
    let entries = reader.entries(node, "a rule", &known);
    for entry in &entries {
        let value = entry.value;
        match entry.name {
            "seriesQuery" => series = Some(series_query(reader, value)),
            "seriesFilters" => filters = series_filters(reader, value),
            "resources" => labels = label_rule(reader, value, of),
            "name" => name = naming(reader, value),
            _ => query = Some((value, template(reader, value, "metricsQuery"))),
        }
    }
    if series.is_none() {
        reader.problem(node, "a rule needs seriesQuery, for instance '{__name__=~\"http_.*\"}'");
    }
    match &query {
        None => reader.problem(
            node,
            "a rule needs metricsQuery, for instance \
             'sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)'",
        ),
        Some((at, Some(template))) => try_query(reader, at, template, of),
        Some(_) => {}
    }
    let has_labels = labels.template.is_some() || !labels.overrides.is_empty();
    if of == Of::Custom && !has_labels && !entries.is_empty() {
        let what =
            "a rule needs resources with a template or overrides: which label names which object";
        reader.problem(node, what);
    }
    if reader.found() > before {
        return None;
    }
    let (name, name_as) = name.or_else(|| Some((unanchored_regex(".*").ok()?, "$0".into())))?;
    let line = node.span.start.line();
    Some(Rule { line, series: series??, filters, labels, name, name_as, query: query?.1? })
}

fn series_query(reader: &mut Reader, node: &Node<'_>) -> Option<Vec<model::Matcher>> {
    let text = reader.text(node, "seriesQuery")?;
    match promql::parse_selector(&text) {
        Ok(matchers) if matchers.iter().any(|m| !m.matches("")) => Some(matchers),
        Ok(_) => {
            reader.problem(
                node,
                format!("seriesQuery {text:?} selects every series: name one label"),
            );
            None
        }
        Err(e) => {
            reader.problem(node, format!("seriesQuery {text:?} is no selector: {e}"));
            None
        }
    }
}

fn regex(reader: &mut Reader, node: &Node<'_>, name: &str) -> Option<Regex> {
    let text = reader.text(node, name)?;
    match unanchored_regex(&text) {
        Ok(regex) => Some(regex),
        Err(e) => {
            reader.problem(node, format!("{name} {text:?} is no regular expression: {e}"));
            None
        }
    }
}

fn series_filters(reader: &mut Reader, node: &Node<'_>) -> Vec<Filter> {
    let mut filters = Vec::new();
    for item in reader.items(node, "seriesFilters") {
        let entries = reader.entries(item, "an item of seriesFilters", &["is", "isNot"]);
        if entries.len() != 1 {
            reader.problem(item, "an item of seriesFilters needs one of is and isNot");
            continue;
        }
        for entry in entries {
            if let Some(pattern) = regex(reader, entry.value, entry.name) {
                filters.push(Filter { pattern, positive: entry.name == "is" });
            }
        }
    }
    filters
}

fn label_rule(reader: &mut Reader, node: &Node<'_>, of: Of) -> LabelRule {
    let mut rule = LabelRule { namespaced: true, ..LabelRule::default() };
    for entry in reader.entries(node, "resources", &["template", "overrides", "namespaced"]) {
        let value = entry.value;
        match entry.name {
            "namespaced" => {
                rule.namespaced = reader.flag(value, "namespaced").unwrap_or(true);
                if of == Of::Custom && !rule.namespaced {
                    reader.problem(entry.key, "namespaced: false is for externalRules alone");
                }
            }
            "template" => {
                let Some(template) = template(reader, value, "resources.template") else {
                    continue;
                };
                match template.run(&label_fields("apps", "deployment")) {
                    Ok(label) if label.contains("deployment") => rule.template = Some(template),
                    Ok(label) => reader.problem(
                        value,
                        format!("resources.template gives {label:?} for every resource: it needs <<.Resource>>"),
                    ),
                    Err(e) => reader.problem(value, format!("resources.template: {e}")),
                }
            }
            _ => overrides(reader, value, &mut rule.overrides),
        }
    }
    rule
}

fn overrides(reader: &mut Reader, node: &Node<'_>, out: &mut Vec<Override>) {
    for entry in reader.entries(node, "overrides", &[]) {
        let label = entry.name.to_owned();
        if !is_label_name(&label) {
            reader.problem(entry.key, format!("{label:?} is no name of a label"));
        }
        let (mut group, mut resource) = (String::new(), String::new());
        for part in reader.entries(entry.value, "an override", &["group", "resource"]) {
            let text = reader.text(part.value, part.name).unwrap_or_default();
            if part.name == "group" { group = text } else { resource = text }
        }
        if resource.is_empty() {
            reader.problem(
                entry.value,
                format!("the override of {label:?} needs resource, for instance {{resource: pod}}"),
            );
            continue;
        }
        let line = entry.key.span.start.line();
        out.push(Override { label, group, resource, line });
    }
}

/// `name.matches` and `name.as`.
fn naming(reader: &mut Reader, node: &Node<'_>) -> Option<(Regex, String)> {
    let (mut matches, mut text) = (unanchored_regex(".*").ok()?, String::new());
    for entry in reader.entries(node, "name", &["matches", "as"]) {
        match entry.name {
            "matches" if entry.value.data.as_str() == Some("") => {}
            "matches" => matches = regex(reader, entry.value, "matches")?,
            _ => text = reader.text(entry.value, "as")?,
        }
    }
    if text.is_empty() {
        text = match matches.captures_len() {
            1 => "$0".into(),
            2 => "$1".into(),
            groups => {
                let groups = groups - 1;
                reader.problem(node, format!("name.matches has {groups} groups, so name needs as"));
                return None;
            }
        };
    }
    Some((matches, text))
}

fn template(reader: &mut Reader, node: &Node<'_>, name: &str) -> Option<Template> {
    let text = reader.text(node, name)?;
    if text.trim().is_empty() {
        reader.problem(node, format!("{name} is empty"));
        return None;
    }
    match Template::parse(&text) {
        Ok(template) => Some(template),
        Err(e) => {
            reader.problem(node, format!("{name}: {e}"));
            None
        }
    }
}

/// Runs the template for made-up arguments: what it gives must be PromQL.
fn try_query(reader: &mut Reader, at: &Node<'_>, template: &Template, of: Of) {
    let values = BTreeMap::from([("namespace".into(), "n".into()), ("pod".into(), "p".into())]);
    let arguments = match of {
        Of::Custom => ObjectArguments {
            series: "some_series",
            matchers: "namespace=\"n\",pod=\"p\"".into(),
            values,
            group_by: vec!["pod".into()],
        },
        Of::External => ObjectArguments {
            series: "some_series",
            matchers: "namespace=\"n\"".into(),
            values,
            group_by: Vec::new(),
        },
    };
    let query = match template.run(&fields(arguments)) {
        Ok(query) => query,
        Err(e) => return reader.problem(at, format!("metricsQuery: {e}")),
    };
    if let Err(e) = promql::parse(&query) {
        reader.problem(
            at,
            format!("metricsQuery gives what is not PromQL, for instance {query:?}: {e}"),
        );
    }
}

fn metric(reader: &mut Reader, node: &Node<'_>) -> Option<Metric> {
    let known = ["name", "query", "object", "label", "namespaceLabel", "external"];
    let before = reader.found();
    let (mut name, mut query) = (None, None);
    let (mut resource, mut label, mut external) = (None, String::new(), false);
    let mut namespace_label = "namespace".to_owned();
    for entry in reader.entries(node, "a metric", &known) {
        let value = entry.value;
        match entry.name {
            "name" => name = metric_name(reader, value),
            "query" => query = plain_query(reader, value),
            "object" => resource = reader.text(value, "object"),
            "external" => external = reader.flag(value, "external").unwrap_or(false),
            field => {
                let text = reader.text(value, field).unwrap_or_default();
                if !is_label_name(&text) {
                    reader.problem(value, format!("{field}: {text:?} is no name of a label"));
                }
                if field == "label" { label = text } else { namespace_label = text }
            }
        }
    }
    if external && (resource.is_some() || !label.is_empty()) {
        reader.problem(node, "an external metric describes no object: leave out object and label");
    }
    if reader.found() == before {
        if name.is_none() {
            reader.problem(node, "a metric needs a name");
        }
        if query.is_none() {
            reader.problem(node, "a metric needs a query");
        }
    }
    if reader.found() > before {
        return None;
    }
    let described = match external {
        true => Described::External,
        false => Described::Objects { resource: resource.unwrap_or_else(|| "pods".into()), label },
    };
    let line = node.span.start.line();
    Some(Metric { line, name: name?, query: query?, described, namespace_label })
}

/// A name that can stand in a path.
fn metric_name(reader: &mut Reader, node: &Node<'_>) -> Option<String> {
    let name = reader.text(node, "name")?;
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '%', '?', '*']) {
        reader.problem(node, format!("{name:?} cannot be a metric's name: it stands in a path"));
        return None;
    }
    Some(name)
}

fn plain_query(reader: &mut Reader, node: &Node<'_>) -> Option<String> {
    let text = reader.text(node, "query")?;
    let problem = match promql::parse(&text) {
        Ok(expr)
            if matches!(
                expr.value_type(),
                promql::ast::ValueType::Vector | promql::ast::ValueType::Scalar
            ) =>
        {
            return Some(text);
        }
        Ok(expr) => format!("query gives a {}, not a vector", expr.value_type().documented()),
        Err(e) => format!("query is not PromQL: {e}"),
    };
    reader.problem(node, problem);
    None
}

/// Checks `resourceRules` as prometheus-adapter has it.
fn resource_rules(reader: &mut Reader, node: &Node<'_>) -> Option<ResourceRules> {
    if node.data.is_null() {
        return None;
    }
    let mut rules = ResourceRules::default();
    for entry in reader.entries(node, "resourceRules", &["cpu", "memory", "window"]) {
        if entry.name == "window" {
            let text = reader.text(entry.value, "window").unwrap_or_default();
            match promql::duration::parse_duration(&text) {
                Ok(ns) => rules.window = Duration::from_nanos(ns.unsigned_abs()),
                Err(e) => reader.problem(entry.value, format!("window: {e}")),
            }
            continue;
        }
        let known = ["containerQuery", "nodeQuery", "resources", "containerLabel"];
        for part in reader.entries(entry.value, entry.name, &known) {
            match part.name {
                "resources" => drop(label_rule(reader, part.value, Of::External)),
                "containerLabel" => drop(reader.text(part.value, "containerLabel")),
                name => {
                    if let Some(template) = template(reader, part.value, name) {
                        try_query(reader, part.value, &template, Of::Custom);
                    }
                }
            }
        }
    }
    Some(rules)
}
