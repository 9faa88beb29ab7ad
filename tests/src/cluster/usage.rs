//! What metrics.k8s.io says of pods and nodes, as a client reads it.
//!
//! Written apart from the programs' own code on purpose: a shared reader would share its mistakes. Format:
//! k8s.io/metrics/pkg/apis/metrics/v1beta1.

use anyhow::{Context, Result};
use serde_json::Value;

/// Usage of one container, or of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    /// The pod's and the container's name, or the node's and nothing.
    pub name: (String, String),
    /// Seconds since 1970 at which the window ended, cut to whole seconds.
    pub timestamp: f64,
    /// Seconds over which CPU was averaged.
    pub window: f64,
    /// Cores.
    pub cpu: f64,
    /// Bytes.
    pub memory: f64,
}

/// Reads a PodMetricsList: one entry a container.
pub fn of_pods(list: &Value) -> Result<Vec<Usage>> {
    let mut found = Vec::new();
    for pod in list["items"].as_array().context("no items")? {
        for container in pod["containers"].as_array().context("no containers")? {
            found.push(read(pod, &container["usage"], text(&container["name"])?)?);
        }
    }
    Ok(found)
}

/// Reads a NodeMetricsList.
pub fn of_nodes(list: &Value) -> Result<Vec<Usage>> {
    let nodes = list["items"].as_array().context("no items")?;
    nodes.iter().map(|node| read(node, &node["usage"], "")).collect()
}

fn read(object: &Value, usage: &Value, part: &str) -> Result<Usage> {
    let name = (text(&object["metadata"]["name"])?.to_string(), part.to_string());
    Ok(Usage {
        name,
        timestamp: seconds(text(&object["timestamp"])?)?,
        window: duration(text(&object["window"])?)?,
        cpu: quantity(text(&usage["cpu"])?)?,
        memory: quantity(text(&usage["memory"])?)?,
    })
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is not a string"))
}

/// A Kubernetes quantity as a number.
pub fn quantity(text: &str) -> Result<f64> {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let factor = match &text[end..] {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        unit => anyhow::bail!("unit {unit:?} of quantity {text:?}"),
    };
    let number: f64 = text[..end].parse().with_context(|| format!("quantity {text:?}"))?;
    Ok(number * factor)
}

/// A Go duration such as `1m2.5s` in seconds.
fn duration(text: &str) -> Result<f64> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic()).context("no unit")?;
        let unit_end =
            rest[end..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |n| end + n);
        let factor = match &rest[end..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            unit => anyhow::bail!("unit {unit:?} of duration {text:?}"),
        };
        let number: f64 = rest[..end].parse().with_context(|| format!("duration {text:?}"))?;
        total += number * factor;
        rest = &rest[unit_end..];
    }
    Ok(total)
}

/// Seconds since 1970 of a time such as `2026-11-21T14:26:38Z`.
pub fn seconds(text: &str) -> Result<f64> {
    let fields: Vec<i64> = text
        .trim_end_matches('Z')
        .split(['-', 'T', ':'])
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("time {text:?}"))?;
    let [year, month, day, hour, minute, second] = fields[..] else {
        anyhow::bail!("time {text:?}");
    };
    // Days from the civil calendar, with years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Ok((days * 86_400 + hour * 3600 + minute * 60 + second) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_and_quantities_are_read() {
        assert_eq!(seconds("1970-01-01T00:00:00Z").unwrap(), 0.0);
        assert_eq!(seconds("2026-11-21T14:26:38Z").unwrap(), 1_795_271_198.0);
        assert_eq!(duration("1m2.5s").unwrap(), 62.5);
        assert_eq!(duration("15.953s").unwrap(), 15.953);
        assert_eq!(quantity("1500m").unwrap(), 1.5);
        assert_eq!(quantity("4Ki").unwrap(), 4096.0);
        assert!(quantity("4Q").is_err());
    }
}
