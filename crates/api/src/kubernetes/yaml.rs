//! YAML from JSON, for people who ask with `Accept: application/yaml`: block style, members sorted by
//! name as Kubernetes' YAML is, every text in double quotes where it could be taken for something else.

use super::Status;
use serde_json::Value;

/// The same document as YAML.
pub(crate) fn from_json(json: &[u8]) -> Result<Vec<u8>, Status> {
    let value: Value = serde_json::from_slice(json).map_err(Status::internal)?;
    let mut out = String::new();
    block(&mut out, &value, 0);
    Ok(out.into_bytes())
}

/// Writes a value that begins at the beginning of a line, `depth` steps in.
fn block(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) if !members.is_empty() => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort();
            for name in names {
                out.push_str(&indent);
                text(out, name);
                out.push(':');
                within(out, &members[name], depth);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                out.push_str(&indent);
                out.push('-');
                match item {
                    Value::Object(members) if !members.is_empty() => {
                        let mut rest = String::new();
                        block(&mut rest, item, depth + 1);
                        // The first member stands beside the dash.
                        out.push(' ');
                        out.push_str(&rest[indent.len() + 2..]);
                    }
                    _ => within(out, item, depth),
                }
            }
        }
        _ => {
            out.push_str(&indent);
            scalar(out, value);
            out.push('\n');
        }
    }
}

/// Writes the value of a member or an item after its name or dash.
fn within(out: &mut String, value: &Value, depth: usize) {
    let deeper = match value {
        Value::Object(members) => (!members.is_empty()).then_some(depth + 1),
        // Items of a list stand under its name.
        Value::Array(items) => (!items.is_empty()).then_some(depth),
        _ => None,
    };
    match deeper {
        Some(depth) => {
            out.push('\n');
            block(out, value, depth);
        }
        None => {
            out.push(' ');
            scalar(out, value);
            out.push('\n');
        }
    }
}

fn scalar(out: &mut String, value: &Value) {
    match value {
        Value::String(content) => text(out, content),
        other => out.push_str(&other.to_string()),
    }
}

fn text(out: &mut String, content: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
    let begins = content.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let special = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    let taken = special.contains(&content.to_ascii_lowercase().as_str());
    if begins && !taken && content.bytes().all(plain) {
        out.push_str(content);
    } else {
        // A JSON string is a double-quoted YAML string.
        out.push_str(&Value::from(content).to_string());
    }
}
