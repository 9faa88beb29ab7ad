//! `kubectl vigil advise`: what workloads should ask for, by what they used, with the evidence.
//!
//! Kubevigil estimates (docs/estimates.md); here its proposals stand beside what pods ask for today.
//! Nothing is changed in the cluster.

use crate::command_line::{Access, Advise, Output};
use crate::objects::{Amount, Container, Wanted};
use crate::table::{Column, Unit, column, write};
use anyhow::bail;
use cluster::{Cluster, Error, escape, quantity};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

const GROUP: &str = "/apis/kubevigil.dev/v1";

const COLUMNS: [Column; 16] = [
    column("NAMESPACE", "namespace", Unit::Text, false),
    column("WORKLOAD", "workload", Unit::Text, false),
    column("CONTAINER", "container", Unit::Text, false),
    column("CPU P95", "cpuP95Millicores", Unit::Cpu, false),
    column("PEAK", "cpuPeakMillicores", Unit::Cpu, true),
    column("REQUEST", "cpuRequestMillicores", Unit::Cpu, false),
    column("ADVICE", "cpuRequestAdviceMillicores", Unit::Cpu, false),
    column("MEMORY P99", "memoryP99Bytes", Unit::Memory, false),
    column("PEAK", "memoryPeakBytes", Unit::Memory, true),
    column("REQUEST", "memoryRequestBytes", Unit::Memory, false),
    column("ADVICE", "memoryRequestAdviceBytes", Unit::Memory, false),
    column("LIMIT", "memoryLimitBytes", Unit::Memory, false),
    column("ADVICE", "memoryLimitAdviceBytes", Unit::Memory, false),
    column("CONFIDENCE", "confidence", Unit::Text, false),
    column("IMAGE", "image", Unit::Text, true),
    column("EVIDENCE", "evidence", Unit::Text, true),
];

/// What a container asks for today: requests, limits, and which of the two limits there are.
type Asked = (Amount, Amount, [bool; 2]);

/// Prints it.
pub async fn run(cluster: &Cluster, access: &Access, options: &Advise) -> anyhow::Result<ExitCode> {
    let everywhere = options.all_namespaces || options.image.is_some();
    let namespace = match everywhere {
        true => None,
        false => Some(access.namespace.clone().unwrap_or_else(|| cluster.namespace())),
    };
    let estimates = estimates(cluster, namespace.as_deref(), options.image.as_deref()).await?;
    let asked = match options.image {
        // A workload that is yet to come asks for nothing.
        Some(_) => BTreeMap::new(),
        None => asked(cluster, namespace.clone()).await?,
    };
    let wanted = |row: &&Vec<Value>| {
        let workload = row[1].as_str().unwrap_or_default();
        let own = workload.split_once('/').map_or("", |n| n.1);
        options.name.as_deref().is_none_or(|w| w.eq_ignore_ascii_case(workload) || w == own)
    };
    let all: Vec<Vec<Value>> = estimates.iter().map(|e| row(e, &asked)).collect();
    let rows: Vec<Vec<Value>> = all.iter().filter(wanted).cloned().collect();
    if rows.is_empty() {
        match (&options.image, &options.name, &namespace) {
            (Some(image), ..) => {
                bail!("no workload was seen that runs {image:?} or another tag of it")
            }
            (_, Some(name), _) => {
                bail!("there is no estimate of {name:?}; a workload has one once it was measured")
            }
            (.., Some(namespace)) => eprintln!("There are no estimates in namespace {namespace}."),
            _ => eprintln!("There are no estimates."),
        }
    }
    // One namespace needs no column in a table; a file is easier to use where it always looks the same.
    let hidden = usize::from(!everywhere && matches!(options.output, Output::Table | Output::Wide));
    let shown: Vec<Vec<Value>> = rows.iter().map(|row| row[hidden..].to_vec()).collect();
    let headers = !options.no_headers && !rows.is_empty();
    print!("{}", write(&COLUMNS[hidden..], &shown, options.output, headers));
    if options.output == Output::Table && headers {
        println!(
            "\nRequests: CPU p95 + 15 %, memory p99 + 15 %; limit: peak + 20 %. -o wide shows the evidence."
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn estimates(
    cluster: &Cluster,
    namespace: Option<&str>,
    image: Option<&str>,
) -> anyhow::Result<Vec<Value>> {
    let path = match (namespace, image) {
        (_, Some(image)) => format!("{GROUP}/estimates?image={}", escape(image)),
        (Some(namespace), None) => format!("{GROUP}/namespaces/{}/estimates", escape(namespace)),
        (None, None) => format!("{GROUP}/estimates"),
    };
    match cluster.get(&path).await {
        Ok(mut list) => Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default()),
        Err(Error::Api { code: 404 | 503, why, .. }) => bail!(
            "Kubevigil does not answer: {why}. Is it installed (kubectl get apiservice \
             v1.kubevigil.dev), and are its pods ready?"
        ),
        Err(error) => Err(error.into()),
    }
}

/// By namespace, workload (`Deployment/web`) and container. Of several pods, which may differ while a
/// change rolls out, the last one listed counts.
async fn asked(
    cluster: &Cluster,
    namespace: Option<String>,
) -> anyhow::Result<BTreeMap<(String, String, String), Asked>> {
    let wanted = Wanted { namespace, ..Wanted::default() };
    let mut asked = BTreeMap::new();
    for pod in wanted.pod_objects(cluster).await? {
        for Container { name, requests, limits, limited, .. } in pod.containers {
            let key = (pod.namespace.clone(), pod.workload.clone(), name);
            asked.insert(key, (requests, limits, limited));
        }
    }
    Ok(asked)
}

fn row(estimate: &Value, asked: &BTreeMap<(String, String, String), Asked>) -> Vec<Value> {
    let text = |name: &str| estimate[name].as_str().unwrap_or_default().to_owned();
    let namespace = estimate["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let workload = match text("workload") {
        name if name.is_empty() => String::new(),
        name => format!("{}/{name}", text("workloadKind")),
    };
    let container = text("container");
    let today = asked.get(&(namespace.clone(), workload.clone(), container.clone())).copied();
    let (requests, limits, limited) = today.unwrap_or_default();
    let some = |amount: i64| Some(amount).filter(|a| *a > 0);
    let cores = |name: &str| estimate["cpuCores"][name].as_f64().map(|c| (c * 1e3).ceil() as i64);
    let bytes = |name: &str| estimate["memoryBytes"][name].as_f64().map(|b| b as i64);
    let proposal = &estimate["proposal"];
    let milli = |v: &Value| v.as_str().and_then(quantity::milli);
    let whole = |v: &Value| v.as_str().and_then(quantity::whole);
    vec![
        json!(namespace),
        json!(workload),
        json!(container),
        json!(cores("p95")),
        json!(cores("peak")),
        json!(some(requests.cpu)),
        json!(milli(&proposal["requests"]["cpu"])),
        json!(bytes("p99")),
        json!(bytes("peak")),
        json!(some(requests.memory)),
        json!(whole(&proposal["requests"]["memory"])),
        json!(some(limits.memory).filter(|_| limited[1])),
        json!(whole(&proposal["limits"]["memory"])),
        proposal["confidence"].clone(),
        json!(text("image")),
        proposal["evidence"].clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_beside_what_is_asked_for() {
        let estimate = json!({
            "metadata": {"name": "deployment.web.app", "namespace": "shop"},
            "workloadKind": "Deployment", "workload": "web", "container": "app", "image": "web:1",
            "cpuCores": {"p50": 0.1, "p95": 0.2, "p99": 0.3, "peak": 0.4},
            "memoryBytes": {"p50": 1.0, "p95": 2.0, "p99": 104_857_600.4, "peak": 4.0},
            "proposal": {"requests": {"cpu": "230m", "memory": "116Mi"}, "limits": {"memory": "140Mi"},
                         "confidence": "low", "evidence": "an hour"},
        });
        let key = ("shop".into(), "Deployment/web".into(), "app".into());
        let today =
            (Amount { cpu: 500, memory: 0 }, Amount { cpu: 0, memory: 256 << 20 }, [false, true]);
        let row = row(&estimate, &BTreeMap::from([(key, today)]));
        assert_eq!(row.len(), COLUMNS.len());
        let by = |name: &str| &row[COLUMNS.iter().position(|c| c.name == name).unwrap()];
        assert_eq!(by("workload"), "Deployment/web");
        assert_eq!(
            (by("cpuRequestMillicores"), by("cpuRequestAdviceMillicores")),
            (&json!(500), &json!(230))
        );
        assert_eq!(
            (by("memoryRequestBytes"), by("memoryP99Bytes")),
            (&Value::Null, &json!(104_857_600))
        );
        assert_eq!(by("memoryLimitBytes"), &json!(256 << 20));
        assert_eq!(by("memoryLimitAdviceBytes"), &json!(140 << 20));
    }
}
