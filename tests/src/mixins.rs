//! The rules and dashboards that people run today, as kube-prometheus renders them: they lie beside the
//! checkout, in `../shared/data/mixins`.

use crate::program::repository;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// A panel's query.
#[derive(Clone, Debug)]
pub struct DashboardQuery {
    /// The dashboard's name.
    pub dashboard: String,
    /// The query; variables stand in it as `$name`.
    pub text: String,
    /// Whether it is asked for one time only.
    pub instant: bool,
}

/// Where they lie; the folder need not be there.
pub fn folder() -> PathBuf {
    repository().join("../shared/data/mixins")
}

/// All queries of all dashboards.
pub fn dashboard_queries(folder: &Path) -> Result<Vec<DashboardQuery>> {
    let text = std::fs::read(folder.join("dashboard-queries.json"))?;
    let dashboards: serde_json::Value = serde_json::from_slice(&text)?;
    let mut queries = Vec::new();
    for dashboard in dashboards.as_array().context("no list of dashboards")? {
        for query in dashboard["queries"].as_array().context("no list of queries")? {
            let text = query["expr"].as_str().with_context(|| format!("no text in {query}"))?;
            queries.push(DashboardQuery {
                dashboard: dashboard["dashboard"].as_str().unwrap_or("").into(),
                text: text.into(),
                instant: query["instant"].as_bool().unwrap_or(false),
            });
        }
    }
    Ok(queries)
}

/// The expressions of all rules.
pub fn rules(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder.join("rules"))? {
        files.push(entry?.path());
    }
    files.sort();
    let mut rules = Vec::new();
    for file in files {
        rules.extend(rule_expressions(&std::fs::read_to_string(file)?)?);
    }
    Ok(rules)
}

/// A dashboard's query with its variables filled in as Grafana does.
pub fn fill(query: &str, value: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = query;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let braced = rest.starts_with('{');
        let body = rest.strip_prefix('{').unwrap_or(rest);
        let end =
            body.find(|c: char| !(c == '_' || c.is_ascii_alphanumeric())).unwrap_or(body.len());
        if end == 0 {
            out.push('$');
            continue;
        }
        out.push_str(&value(&body[..end]));
        rest = &body[end..];
        if braced {
            rest = &rest[rest.find('}').map_or(0, |e| e + 1)..];
        }
    }
    out + rest
}

/// Whether a variable of a dashboard is a duration.
pub fn is_duration(name: &str) -> bool {
    ["interval", "rate", "resolution", "range", "step"].iter().any(|d| name.contains(d))
}

/// The expressions of a rule file: the values of its `expr:` keys, quoted, plain or as a block.
fn rule_expressions(text: &str) -> Result<Vec<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(value) = line.trim_start().trim_start_matches("- ").strip_prefix("expr:") else {
            continue;
        };
        let key = line.find("expr:").unwrap_or(0);
        let value = value.trim();
        // What belongs to the value is indented more than its key, or empty.
        let more = lines[at + 1..]
            .iter()
            .take_while(|l| l.trim().is_empty() || l.len() - l.trim_start().len() > key);
        let whole: Vec<&str> = std::iter::once(value).chain(more.copied()).collect();
        let folded = fold(&whole);
        out.push(if value.starts_with('"') {
            serde_json::from_str(&folded.replace("\\ ", " ")).with_context(|| folded.clone())?
        } else if value.starts_with('\'') {
            folded.trim_matches('\'').replace("''", "'")
        } else if value.starts_with(['|', '>']) {
            whole[1..].join("\n")
        } else {
            folded
        });
    }
    Ok(out)
}

/// Lines of a YAML scalar in one: a line's end is a space, an empty line a line's end.
fn fold(lines: &[&str]) -> String {
    let mut out = String::new();
    let mut breaks = 0;
    for line in lines.iter().map(|l| l.trim()) {
        if line.is_empty() {
            breaks += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(&if breaks > 0 { "\n".repeat(breaks) } else { " ".into() });
        }
        out.push_str(line);
        breaks = 0;
    }
    out
}
