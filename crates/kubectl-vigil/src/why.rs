//! `kubectl vigil why-missing`: what made a number absent.
//!
//! What the server knows comes from kubevigil.dev/v1; what an autoscaler says of itself from the API
//! server.

use crate::command_line::{Access, Kind, Why};
use anyhow::{Context, bail};
use cluster::{Cluster, Error, escape};
use serde_json::Value;
use std::process::ExitCode;

/// So many pods of an autoscaler are looked at.
const PODS: usize = 20;

/// Prints it. Fails with status 2 where the number is absent.
pub async fn run(cluster: &Cluster, access: &Access, options: &Why) -> anyhow::Result<ExitCode> {
    let namespace = access.namespace.clone().unwrap_or_else(|| cluster.namespace());
    let present = match options.what {
        Kind::Node => explain(cluster, &format!("nodes/{}", escape(&options.name))).await?,
        Kind::Pod => pod(cluster, &namespace, &options.name).await?,
        Kind::Hpa => autoscaler(cluster, &namespace, &options.name).await?,
    };
    Ok(if present { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

async fn pod(cluster: &Cluster, namespace: &str, name: &str) -> anyhow::Result<bool> {
    explain(cluster, &format!("namespaces/{}/pods/{}", escape(namespace), escape(name))).await
}

/// Asks the server and prints what it found; whether there is a number.
async fn explain(cluster: &Cluster, object: &str) -> anyhow::Result<bool> {
    let path = format!("/apis/kubevigil.dev/v1/{object}/why");
    let answer = match cluster.get(&path).await {
        Ok(answer) => answer,
        Err(Error::Api { code: 404 | 503, why, .. }) => {
            println!("Kubevigil itself does not answer: {why}.");
            service(cluster, "v1.kubevigil.dev").await;
            service(cluster, "v1beta1.metrics.k8s.io").await;
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    let findings = answer["findings"].as_array().context("the answer has no findings")?;
    if findings.is_empty() {
        println!("Nothing is known to be wrong.");
    }
    for finding in findings {
        let text = |name: &str| finding[name].as_str().unwrap_or_default();
        println!("{}: {}", text("reason"), text("what"));
        if !text("remedy").is_empty() {
            println!("    {}", text("remedy"));
        }
    }
    Ok(answer["present"] == true)
}

/// Who answers for an API, and whether the API server reaches them.
async fn service(cluster: &Cluster, name: &str) {
    let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{name}");
    match cluster.get(&path).await {
        Ok(object) => {
            let service = &object["spec"]["service"];
            let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
            println!(
                "APIService {name} points to Service {}/{}.",
                text(&service["namespace"]),
                text(&service["name"])
            );
            for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
                let (status, why) = (text(&condition["status"]), text(&condition["message"]));
                println!("    {}={status}: {why}", text(&condition["type"]));
            }
        }
        Err(error) => println!("APIService {name}: {error}"),
    }
}

async fn autoscaler(cluster: &Cluster, namespace: &str, name: &str) -> anyhow::Result<bool> {
    let space = format!("namespaces/{}", escape(namespace));
    let path = format!("/apis/autoscaling/v2/{space}/horizontalpodautoscalers/{}", escape(name));
    let hpa = cluster.get(&path).await?;
    let mut well = true;
    for condition in hpa["status"]["conditions"].as_array().into_iter().flatten() {
        let text = |name: &str| condition[name].as_str().unwrap_or_default();
        let bad = text("type") != "ScalingLimited" && text("status") != "True";
        well &= !bad;
        if bad {
            println!("{}: {}: {}", text("type"), text("reason"), text("message"));
        }
    }
    if hpa["status"]["conditions"].as_array().is_none_or(Vec::is_empty) {
        println!("The autoscaler was not looked at yet by the controller manager.");
        well = false;
    }
    let selector = selector(cluster, &space, &hpa["spec"]["scaleTargetRef"]).await?;
    let list = format!("/api/v1/{space}/pods?limit=500&labelSelector={}", escape(&selector));
    let list = cluster.get(&list).await?;
    let pods = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if pods.is_empty() {
        println!("Its target selects no pod ({selector}).");
        return Ok(false);
    }
    without_requests(&hpa, pods);
    for pod_ in pods.iter().take(PODS) {
        let pod_name = pod_["metadata"]["name"].as_str().unwrap_or_default();
        println!("Pod {namespace}/{pod_name}:");
        well &= pod(cluster, namespace, pod_name).await?;
    }
    if pods.len() > PODS {
        println!("And {} more pods.", pods.len() - PODS);
    }
    Ok(well)
}

/// The selector of what an autoscaler scales.
async fn selector(cluster: &Cluster, space: &str, target: &Value) -> anyhow::Result<String> {
    let text = |name: &str| target[name].as_str().unwrap_or_default();
    let (version, kind, name) = (text("apiVersion"), text("kind"), text("name"));
    let root = if version.contains('/') { "/apis" } else { "/api" };
    let resources = cluster.get(&format!("{root}/{version}")).await?;
    let list = resources["resources"].as_array();
    let of_kind = |r: &&Value| {
        r["kind"] == kind && r["name"].as_str().is_some_and(|name| !name.contains('/'))
    };
    let Some(resource) = list.and_then(|l| l.iter().find(of_kind)) else {
        bail!("its target is a {kind} of {version}, which the API server does not know");
    };
    let plural = resource["name"].as_str().unwrap_or_default();
    let scale = format!("{root}/{version}/{space}/{plural}/{}/scale", escape(name));
    let scale = cluster.get(&scale).await.with_context(|| format!("its target {kind}/{name}"))?;
    Ok(scale["status"]["selector"].as_str().unwrap_or_default().to_owned())
}

/// Utilisation is a share of the request: without one there is none.
fn without_requests(hpa: &Value, pods: &[Value]) {
    for metric in hpa["spec"]["metrics"].as_array().into_iter().flatten() {
        let resource = &metric["resource"];
        let name = resource["name"].as_str().unwrap_or_default();
        if metric["type"] != "Resource" || resource["target"]["type"] != "Utilization" {
            continue;
        }
        for pod in pods {
            for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
                if container["resources"]["requests"][name].is_null() {
                    println!(
                        "NoRequest: container {} of pod {} asks for no {name}, so its utilisation cannot be \
                         computed.\n    Set resources.requests.{name} in its template.",
                        container["name"], pod["metadata"]["name"]
                    );
                }
            }
        }
    }
}
