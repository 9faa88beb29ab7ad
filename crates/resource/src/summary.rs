//! A kubelet's Summary API (`/stats/summary`, `stats/v1alpha1`) told as what `/metrics/resource` would
//! say: the same five families, so that everything behind has one form to read.
//!
//! For kubelets and virtual nodes that lack the other path. Its times are whole seconds, so a usage over
//! 15 s may be off by a fifteenth. What is not cpu, memory and starts of nodes and containers is passed over.
//! Never here: what readings mean.

use serde::Deserialize;
use std::borrow::Cow;
use std::fmt::Write;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where kubelets serve it; `only_cpu_and_memory` spares them file systems and volumes.
pub const PATH: &str = "/stats/summary?only_cpu_and_memory=true";

/// Whether a path leads to a summary.
pub fn is_path(path: &str) -> bool {
    path.split('?').next().is_some_and(|p| p.trim_end_matches('/').ends_with("/stats/summary"))
}

#[derive(Deserialize)]
struct Summary<'a> {
    #[serde(borrow, default)]
    node: Measured<'a>,
    #[serde(borrow, default)]
    pods: Vec<Pod<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pod<'a> {
    #[serde(borrow)]
    pod_ref: Reference<'a>,
    #[serde(borrow, default)]
    containers: Vec<Measured<'a>>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Measured<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    start_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cpu: Option<Cpu<'a>>,
    #[serde(borrow)]
    memory: Option<Memory<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cpu<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    usage_core_nano_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    working_set_bytes: Option<u64>,
}

/// Writes what `/metrics/resource` would say behind `out`.
///
/// # Errors
/// What is wrong with the JSON or one of its times, and where.
pub fn to_resource_metrics(json: &[u8], out: &mut String) -> Result<(), String> {
    let summary: Summary = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let containers =
        || summary.pods.iter().flat_map(|p| p.containers.iter().map(move |c| (&p.pod_ref, c)));
    let labels = |out: &mut String, pod: &Reference, container: &str| {
        out.push_str("{container=\"");
        escaped(out, container);
        out.push_str("\",namespace=\"");
        escaped(out, &pod.namespace);
        out.push_str("\",pod=\"");
        escaped(out, &pod.name);
        out.push_str("\"}");
    };
    head(out, "container_cpu_usage_seconds_total", "counter");
    for (pod, container) in containers() {
        if let Some((seconds, ms)) = cpu(container)? {
            out.push_str("container_cpu_usage_seconds_total");
            labels(out, pod, &container.name);
            let _ = writeln!(out, " {seconds} {ms}");
        }
    }
    head(out, "container_memory_working_set_bytes", "gauge");
    for (pod, container) in containers() {
        if let Some((bytes, ms)) = memory(container)? {
            out.push_str("container_memory_working_set_bytes");
            labels(out, pod, &container.name);
            let _ = writeln!(out, " {bytes} {ms}");
        }
    }
    head(out, "container_start_time_seconds", "gauge");
    for (pod, container) in containers() {
        if let Some(start) = &container.start_time {
            let ms = milliseconds(start)?;
            out.push_str("container_start_time_seconds");
            labels(out, pod, &container.name);
            let _ = writeln!(out, " {}", ms as f64 / 1000.0);
        }
    }
    head(out, "node_cpu_usage_seconds_total", "counter");
    if let Some((seconds, ms)) = cpu(&summary.node)? {
        let _ = writeln!(out, "node_cpu_usage_seconds_total {seconds} {ms}");
    }
    head(out, "node_memory_working_set_bytes", "gauge");
    if let Some((bytes, ms)) = memory(&summary.node)? {
        let _ = writeln!(out, "node_memory_working_set_bytes {bytes} {ms}");
    }
    Ok(())
}

fn head(out: &mut String, name: &str, kind: &str) {
    let _ = writeln!(out, "# TYPE {name} {kind}");
}

/// Seconds on a CPU and when, in milliseconds since the Unix epoch.
fn cpu(of: &Measured<'_>) -> Result<Option<(f64, i64)>, String> {
    let Some(cpu) = &of.cpu else { return Ok(None) };
    let Some(nanoseconds) = cpu.usage_core_nano_seconds else { return Ok(None) };
    Ok(Some((nanoseconds as f64 / 1e9, milliseconds(&cpu.time)?)))
}

/// Bytes and when, in milliseconds since the Unix epoch.
fn memory(of: &Measured<'_>) -> Result<Option<(u64, i64)>, String> {
    let Some(memory) = &of.memory else { return Ok(None) };
    let Some(bytes) = memory.working_set_bytes else { return Ok(None) };
    Ok(Some((bytes, milliseconds(&memory.time)?)))
}

fn milliseconds(time: &str) -> Result<i64, String> {
    let parsed = OffsetDateTime::parse(time, &Rfc3339);
    let parsed = parsed.map_err(|_| format!("a time that is not RFC 3339: {time:?}"))?;
    i64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).map_err(|e| e.to_string())
}

/// As the text format writes a label's value.
fn escaped(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{NO_TIME, parse};

    const ANSWER: &str = r#"{"node":{"nodeName":"n1","startTime":"2026-11-21T08:00:00Z",
      "systemContainers":[{"name":"kubelet","startTime":"2026-11-21T08:00:01Z"}],
      "cpu":{"time":"2026-11-21T10:00:05Z","usageNanoCores":1,"usageCoreNanoSeconds":7000000000,"psi":null},
      "memory":{"time":"2026-11-21T10:00:05Z","availableBytes":1,"workingSetBytes":4096}},
     "pods":[{"podRef":{"name":"web-1","namespace":"shop","uid":"u"},"startTime":"2026-11-21T09:00:00Z",
      "containers":[
       {"name":"app","startTime":"2026-11-21T09:00:02Z","cpu":{"time":"2026-11-21T10:00:03Z",
        "usageCoreNanoSeconds":1500000000},"memory":{"time":"2026-11-21T10:00:03Z","workingSetBytes":1024}},
       {"name":"dead","startTime":"2026-11-21T09:00:02Z","cpu":{"time":"2026-11-21T10:00:03Z"}}]},
      {"podRef":{"name":"empty","namespace":"shop","uid":"v"},"startTime":null,"containers":[]}]}"#;

    #[test]
    fn a_summary_says_what_the_metrics_would() {
        let mut text = String::new();
        to_resource_metrics(ANSWER.as_bytes(), &mut text).expect("a summary");
        let reading = parse(text.as_bytes(), 0, 0).expect("what we wrote reads");
        let second = 1_000_000_000;
        let noon = OffsetDateTime::parse("2026-11-21T10:00:00Z", &Rfc3339).expect("a time");
        let noon = noon.unix_timestamp() * second;
        let node = reading.node;
        assert_eq!((node.cpu_ns, node.memory_bytes), (7_000_000_000, 4096));
        assert_eq!((node.time_ns, node.start_ns), (noon + 5 * second, NO_TIME));
        let [app, dead] = reading.containers[..] else { panic!("{:?}", reading.containers) };
        assert_eq!([app.namespace, app.pod, app.container], ["shop", "web-1", "app"]);
        assert_eq!((app.sample.cpu_ns, app.sample.memory_bytes), (1_500_000_000, 1024));
        assert_eq!(app.sample.time_ns, noon + 3 * second);
        assert_eq!(app.sample.start_ns, noon - 3598 * second);
        assert_eq!((dead.container, dead.sample.is_whole()), ("dead", false));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let say = |json: &str| to_resource_metrics(json.as_bytes(), &mut String::new());
        let error = say("{\"pods\":[{}]}").expect_err("no reference");
        assert!(error.contains("podRef") && error.contains("line 1"), "{error}");
        let error = say(&ANSWER.replace("10:00:05Z", "noon")).expect_err("no time");
        assert!(error.contains("2026-11-21Tnoon"), "{error}");
        let negative = ANSWER.replace("1500000000", "-5");
        assert!(say(&negative).expect_err("no count").contains("-5"));
        assert!(say(&ANSWER[..ANSWER.len() / 2]).is_err());
    }

    #[test]
    fn names_are_escaped() {
        let odd = ANSWER.replace("\"web-1\"", r#""we\"b\\1\u00fc""#);
        let mut text = String::new();
        to_resource_metrics(odd.as_bytes(), &mut text).expect("a summary");
        assert!(text.contains(r#"pod="we\"b\\1ü""#), "{text}");
        assert_eq!(parse(text.as_bytes(), 0, 0).expect("reads").containers.len(), 2);
    }

    #[test]
    fn paths_of_summaries_are_known() {
        for (path, expected) in [
            (PATH, true),
            ("/stats/summary", true),
            ("/virtual/stats/summary/?x=1", true),
            ("/metrics/resource", false),
            ("/metrics/resource?from=/stats/summary", false),
        ] {
            assert_eq!(is_path(path), expected, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(input: Vec<u8>) {
            crate::fuzz::summary(&input);
        }
    }
}
