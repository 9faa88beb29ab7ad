//! What is collected (`targets`, `metadata`, `scrape_pools`), and the endpoints about rules and
//! alerts, which are empty as those of a Prometheus without rules are.

use crate::answer::{self, Failure};
use crate::backend::{Metadata, Target};
use crate::parameters::{Parameters, parse_integer};
use crate::{Shared, run};
use axum::response::Response;
use model::Matcher;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

/// `GET /api/v1/targets`.
pub async fn targets(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    let state = parameters.get("state").to_lowercase();
    let pool = parameters.get("scrapePool").to_owned();
    let shown = |kind: &str| state.is_empty() || state == "any" || state == kind;
    let all = run::ask(&api, |api| api.backend.targets()).await?;
    // Nothing is ever dropped: there is no relabelling yet.
    let dropped: BTreeMap<_, _> = all.iter().map(|t| (t.scrape_pool.clone(), 0)).collect();
    let active: Vec<_> = all
        .into_iter()
        .filter(|t| shown("active") && (pool.is_empty() || t.scrape_pool == pool))
        .collect();
    answer::success_data(&json!({
        "activeTargets": active,
        "droppedTargets": [],
        "droppedTargetCounts": if shown("dropped") { json!(dropped) } else { json!(null) },
    }))
}

/// `GET /api/v1/scrape_pools`.
pub async fn scrape_pools(api: Shared) -> Result<Response, Failure> {
    let all = run::ask(&api, |api| api.backend.targets()).await?;
    let mut pools: Vec<_> = all.into_iter().map(|t| t.scrape_pool).collect();
    pools.sort();
    pools.dedup();
    answer::success_data(&json!({ "scrapePools": pools }))
}

/// `GET /api/v1/scrape_pools/config`: what is known of how a pool is scraped, as a configuration file has it.
pub async fn scrape_pool_config(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    let target = target_of_pool(&api, &parameters).await?;
    if let Some(job) = &target.scrape_config {
        return answer::success_data(&json!({ "yaml": job.to_yaml() }));
    }
    let (scheme, rest) = target.scrape_url.split_once("://").unwrap_or(("", &target.scrape_url));
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    let path = path.split('?').next().unwrap_or("");
    let mut yaml = format!("job_name: {}\n", json!(target.scrape_pool));
    let fields = [
        ("scrape_interval", target.scrape_interval.as_str()),
        ("scrape_timeout", &target.scrape_timeout),
        ("metrics_path", path),
        ("scheme", scheme),
    ];
    for (name, value) in fields.iter().filter(|f| !f.1.is_empty()) {
        yaml.push_str(&format!("{name}: {value}\n"));
    }
    answer::success_data(&json!({ "yaml": yaml }))
}

/// `GET /api/v1/targets/relabel_steps`: none, since targets are not relabelled.
pub async fn relabel_steps(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    // The pool is looked at last, as there.
    given(&parameters, "scrapePool")?;
    serde_json::from_str::<BTreeMap<String, String>>(given(&parameters, "labels")?)
        .map_err(|e| Failure::BadData(format!("error parsing labels: {e}")))?;
    target_of_pool(&api, &parameters).await?;
    answer::success_data(&json!({ "steps": [] }))
}

/// A parameter that must be there.
fn given<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, Failure> {
    match parameters.get(name) {
        "" => Err(Failure::BadData(format!("no {name} parameter provided"))),
        value => Ok(value),
    }
}

/// A target of the pool that is asked for.
async fn target_of_pool(api: &Shared, parameters: &Parameters) -> Result<Target, Failure> {
    let pool = given(parameters, "scrapePool")?.to_owned();
    let all = run::ask(api, |api| api.backend.targets()).await?;
    all.into_iter().find(|t| t.scrape_pool == pool).ok_or_else(|| {
        let pool = model::labels::Quoted(&pool);
        Failure::BadData(format!("error retrieving scrape config: scrape pool {pool} not found"))
    })
}

/// `GET /api/v1/metadata`.
pub async fn metadata(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    let limit = count(&parameters, "limit")?;
    let limit_per_metric = count(&parameters, "limit_per_metric")?;
    let metric = parameters.get("metric").to_owned();
    let all = run::ask(&api, |api| api.backend.metadata()).await?;
    // Each family has one description here, so that a limit per metric above zero changes nothing.
    let _ = limit_per_metric;
    let found: BTreeMap<&str, [&Metadata; 1]> = all
        .iter()
        .filter(|(name, _)| metric.is_empty() || **name == metric)
        .take(limit.unwrap_or(usize::MAX))
        .map(|(name, metadata)| (name.as_str(), [metadata]))
        .collect();
    answer::success_data(&found)
}

/// One family of one target.
#[derive(Serialize)]
struct OfTarget<'a> {
    target: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    metric: &'a str,
    #[serde(flatten)]
    metadata: &'a Metadata,
}

/// `GET /api/v1/targets/metadata`.
pub async fn targets_metadata(api: Shared, parameters: Parameters) -> Result<Response, Failure> {
    let limit = count(&parameters, "limit")?.unwrap_or(usize::MAX);
    let matchers = match parameters.get("match_target") {
        "" => Vec::new(),
        text => promql::parse_selector(text).map_err(|e| Failure::parameter("match_target", e))?,
    };
    let metric = parameters.get("metric").to_owned();
    let (all, metadata) =
        run::ask(&api, |api| (api.backend.targets(), api.backend.metadata())).await?;
    let mut found = Vec::new();
    for target in all.iter().filter(|t| matches(t, &matchers)) {
        if found.len() >= limit {
            break;
        }
        for name in target.families.iter().filter(|f| metric.is_empty() || **f == metric) {
            if let Some(metadata) = metadata.get(name) {
                let metric = if metric.is_empty() { name.as_str() } else { "" };
                found.push(OfTarget { target: &target.labels, metric, metadata });
            }
        }
    }
    answer::success_data(&found)
}

fn matches(target: &Target, matchers: &[Matcher]) -> bool {
    let value = |name: &str| target.labels.get(name).map_or("", String::as_str);
    matchers.iter().all(|m| m.matches(value(&m.name)))
}

/// A number of things to show; `None` where not limited.
fn count(parameters: &Parameters, name: &str) -> Result<Option<usize>, Failure> {
    match parameters.get(name) {
        "" => Ok(None),
        text => {
            let wrong = |_| Failure::BadData(format!("{name} must be a number"));
            Ok(usize::try_from(parse_integer(text).map_err(wrong)?).ok())
        }
    }
}

/// `GET /api/v1/rules`.
pub async fn rules(parameters: Parameters) -> Result<Response, Failure> {
    parameters.matchers().map_err(Failure::BadData)?;
    let kind = parameters.get("type").to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        let why = format!("not supported value {}", model::labels::Quoted(&kind));
        return Err(Failure::parameter("type", why));
    }
    answer::success_data(&json!({ "groups": [] }))
}

/// `GET /api/v1/alerts`.
pub async fn alerts() -> Result<Response, Failure> {
    answer::success_data(&json!({ "alerts": [] }))
}

/// `GET /api/v1/alertmanagers`.
pub async fn alertmanagers() -> Result<Response, Failure> {
    answer::success_data(&json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] }))
}
