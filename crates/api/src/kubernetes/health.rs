//! `/livez`, `/readyz` and `/healthz`: named checks, answered as Kubernetes' API servers answer them, with
//! one difference: the reason of a failed check is said, since withholding it only costs people time.

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// Which of the three paths runs a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/livez`: whether a restart would help.
    Live,
    /// `/readyz`: whether to send requests.
    Ready,
    /// `/healthz`, the older of them.
    Healthy,
}

/// A named check.
pub struct Check {
    /// `metric-storage-ready`.
    pub name: &'static str,
    /// Where it runs.
    pub probes: &'static [Probe],
    /// What is wrong, where anything is.
    pub test: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// On all three paths.
pub const ALWAYS: &[Probe] = &[Probe::Live, Probe::Ready, Probe::Healthy];

impl Check {
    /// A check that holds as long as we can answer at all; its name is there because others look for it.
    pub fn passing(name: &'static str) -> Check {
        Check { name, probes: ALWAYS, test: Box::new(|| Ok(())) }
    }
}

/// The paths, which anybody may ask.
pub fn router(checks: Vec<Check>) -> Router {
    let checks = Arc::new(checks);
    let mut router = Router::new();
    for (path, probe) in
        [("livez", Probe::Live), ("readyz", Probe::Ready), ("healthz", Probe::Healthy)]
    {
        let all = async move |State(checks): State<Arc<Vec<Check>>>, RawQuery(query): RawQuery| {
            run(&checks, probe, path, &query.unwrap_or_default())
        };
        let one = async move |State(checks): State<Arc<Vec<Check>>>, Path(name): Path<String>| {
            single(&checks, probe, path, &name)
        };
        router = router
            .route(&format!("/{path}"), get(all))
            .route(&format!("/{path}/{{*check}}"), get(one));
    }
    router.with_state(checks)
}

fn run(checks: &[Check], probe: Probe, path: &str, query: &str) -> Response {
    let mut verbose = false;
    let mut excluded = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "verbose" => verbose = true,
            "exclude" => excluded.push(value.into_owned()),
            _ => {}
        }
    }
    let mut lines = String::new();
    let mut failed = false;
    for check in checks.iter().filter(|c| c.probes.contains(&probe)) {
        let name = check.name;
        if excluded.iter().any(|e| e == name) {
            lines += &format!("[+]{name} excluded: ok\n");
            continue;
        }
        match (check.test)() {
            Ok(()) => lines += &format!("[+]{name} ok\n"),
            Err(why) => {
                failed = true;
                lines += &format!("[-]{name} failed: {why}\n");
            }
        }
    }
    let unknown = excluded.iter().filter(|e| !checks.iter().any(|c| c.name == **e));
    for name in unknown {
        lines += &format!("warn: some health checks cannot be excluded: no matches for {name:?}\n");
    }
    match (failed, verbose) {
        (true, _) => text(StatusCode::INTERNAL_SERVER_ERROR, lines + path + " check failed\n"),
        (false, true) => text(StatusCode::OK, lines + path + " check passed\n"),
        (false, false) => text(StatusCode::OK, "ok".into()),
    }
}

fn single(checks: &[Check], probe: Probe, path: &str, name: &str) -> Response {
    let found = checks.iter().find(|c| c.name == name && c.probes.contains(&probe));
    match found.map(|check| (check.test)()) {
        None => text(StatusCode::NOT_FOUND, format!("{path} has no check {name:?}\n")),
        Some(Ok(())) => text(StatusCode::OK, "ok".into()),
        Some(Err(why)) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n"))
        }
    }
}

fn text(status: StatusCode, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache, private"),
    ];
    (status, headers, body).into_response()
}
