//! Relabelling rules as a configuration file has them (`relabel_config`).

use model::relabel::{Action, Expression, Rule};
use model::yaml::{Node, Reader};

const FIELDS: [&str; 7] =
    ["source_labels", "separator", "regex", "modulus", "target_label", "replacement", "action"];

/// Reads a list of rules.
pub(super) fn read(reader: &mut Reader, node: &Node<'_>, section: &str) -> Vec<Rule> {
    let items = reader.items(node, section);
    items.iter().filter_map(|item| rule(reader, item)).collect()
}

fn rule(reader: &mut Reader, node: &Node<'_>) -> Option<Rule> {
    let before = reader.found();
    let mut rule = Rule::default();
    if node.data.is_null() {
        reader.problem(node, "an empty relabelling rule");
    }
    for entry in reader.entries(node, "a relabelling rule", &FIELDS) {
        let value = entry.value;
        match entry.name {
            "source_labels" => rule.source_labels = reader.texts(value, entry.name),
            "separator" => rule.separator = reader.text(value, entry.name),
            "modulus" => rule.modulus = reader.count(value, entry.name).unwrap_or_default(),
            "target_label" => {
                rule.target_label = reader.text(value, entry.name).unwrap_or_default();
            }
            "replacement" => rule.replacement = reader.text(value, entry.name),
            "regex" => match Expression::new(&reader.text(value, entry.name).unwrap_or_default()) {
                Ok(expression) => rule.regex = Some(expression),
                Err(why) => reader.problem(value, format!("regex: {why}")),
            },
            _ => {
                let name = reader.text(value, "action").unwrap_or_default();
                match Action::of_name(&name) {
                    Some(action) => rule.action = action,
                    None => reader.problem(value, format!("unknown relabel action {name:?}")),
                }
            }
        }
    }
    if reader.found() == before
        && let Err(why) = rule.check()
    {
        reader.problem(node, why);
    }
    (reader.found() == before).then_some(rule)
}
