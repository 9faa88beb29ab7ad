//! A kubelet's Summary API (`/stats/summary`, `stats/v1alpha1`) told as what `/metrics/resource` would
//! say: the same five families, so that everything behind has one form to read.
//!
//! For kubelets and virtual nodes that lack the other path. Its times are whole seconds, so a usage over
//! 15 s may be off by a fifteenth. What is not cpu, memory and starts of nodes and containers is passed over.
//! Never here: what readings mean.

use model::exposition::{Format, Writer};
use model::{Family, Kind, Sink};
use serde::Deserialize;
use std::borrow::Cow;
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

/// A value and when it was measured, in milliseconds since the Unix epoch, where that is told.
type Value = (f64, Option<i64>);
/// A family, and how its value is read.
type Source = (&'static str, Kind, fn(&Measured<'_>) -> Result<Option<Value>, String>);

const OF_CONTAINERS: [Source; 3] = [
    ("container_cpu_usage_seconds_total", Kind::Counter, cpu),
    ("container_memory_working_set_bytes", Kind::Gauge, memory),
    ("container_start_time_seconds", Kind::Gauge, start),
];
const OF_THE_NODE: [Source; 2] = [
    ("node_cpu_usage_seconds_total", Kind::Counter, cpu),
    ("node_memory_working_set_bytes", Kind::Gauge, memory),
];

/// Writes what `/metrics/resource` would say behind `out`.
///
/// # Errors
/// What is wrong with the JSON or one of its times, and where.
pub fn to_resource_metrics(json: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let summary: Summary = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let mut writer = Writer::new(out, Format::default());
    for (name, kind, value) in OF_CONTAINERS {
        writer.family(&Family { name, help: "", kind, unit: "" });
        for Pod { pod_ref, containers } in &summary.pods {
            for container in containers {
                let Some((value, time_ms)) = value(container)? else { continue };
                let labels: [(&str, &str); 3] = [
                    ("container", &container.name),
                    ("namespace", &pod_ref.namespace),
                    ("pod", &pod_ref.name),
                ];
                writer.sample(name, &labels, value, time_ms);
            }
        }
    }
    for (name, kind, value) in OF_THE_NODE {
        writer.family(&Family { name, help: "", kind, unit: "" });
        if let Some((value, time_ms)) = value(&summary.node)? {
            writer.sample(name, &[], value, time_ms);
        }
    }
    writer.finish();
    Ok(())
}

/// Seconds on a CPU.
fn cpu(of: &Measured<'_>) -> Result<Option<Value>, String> {
    let Some(cpu) = &of.cpu else { return Ok(None) };
    let Some(nanoseconds) = cpu.usage_core_nano_seconds else { return Ok(None) };
    Ok(Some((nanoseconds as f64 / 1e9, Some(milliseconds(&cpu.time)?))))
}

/// Bytes of the working set.
fn memory(of: &Measured<'_>) -> Result<Option<Value>, String> {
    let Some(memory) = &of.memory else { return Ok(None) };
    let Some(bytes) = memory.working_set_bytes else { return Ok(None) };
    Ok(Some((bytes as f64, Some(milliseconds(&memory.time)?))))
}

/// Seconds since the Unix epoch; the time at which that was seen is not told.
fn start(of: &Measured<'_>) -> Result<Option<Value>, String> {
    let Some(start) = &of.start_time else { return Ok(None) };
    Ok(Some((milliseconds(start)? as f64 / 1000.0, None)))
}

fn milliseconds(time: &str) -> Result<i64, String> {
    let parsed = OffsetDateTime::parse(time, &Rfc3339);
    let parsed = parsed.map_err(|_| format!("a time that is not RFC 3339: {time:?}"))?;
    i64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).map_err(|e| e.to_string())
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
        let mut text = Vec::new();
        to_resource_metrics(ANSWER.as_bytes(), &mut text).expect("a summary");
        let reading = parse(&text, 0, 0).expect("what we wrote reads");
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
        let say = |json: &str| to_resource_metrics(json.as_bytes(), &mut Vec::new());
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
        let mut text = Vec::new();
        to_resource_metrics(odd.as_bytes(), &mut text).expect("a summary");
        let text = String::from_utf8(text).expect("UTF-8");
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
