//! Who may ask what: the cluster's answers, put before every route.

use api::access::Need;
use api::kubernetes::{Access, Attributes, Caller, Deciding, Status};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cluster::{Authentication, Cluster, User};
use std::sync::Arc;

/// Asks the cluster.
pub struct Gate {
    cluster: Cluster,
}

impl Gate {
    /// A gate of this cluster.
    pub fn new(cluster: Cluster) -> Arc<Gate> {
        Arc::new(Gate { cluster })
    }

    async fn decide(&self, parts: &Parts, wanted: &Attributes) -> Result<Caller, Status> {
        let none = http::ClientCertificates(Arc::from([]));
        let shown = parts.extensions.get::<http::ClientCertificates>().unwrap_or(&none);
        let user = match self.cluster.authenticate(&parts.headers, &shown.0).await {
            Ok(Authentication::User(user)) => user,
            Ok(Authentication::Refused(why)) => {
                tracing::debug!("refused {} {}: {why}", wanted.verb, wanted.path);
                return Err(Status::unauthorized());
            }
            Err(error) => return Err(unanswered(&error)),
        };
        let decision = self.cluster.authorise(&user, &attributes(wanted)).await;
        let decision = decision.map_err(|e| unanswered(&e))?;
        let User { name, uid, groups, extra } = user;
        let caller = Caller { name, groups, uid, extra };
        match decision.allowed {
            true => Ok(caller),
            false => Err(Status::forbidden(&caller, wanted, &decision.reason)),
        }
    }
}

fn unanswered(error: &cluster::Error) -> Status {
    tracing::warn!("cannot find out who asks and what they may: {error}");
    Status::unavailable("the API server, which knows who may ask, does not answer")
}

fn attributes(wanted: &Attributes) -> cluster::Attributes {
    let wanted = wanted.clone();
    let Attributes { verb, group, version, resource, subresource, namespace, name, path, .. } =
        wanted;
    match wanted.is_resource {
        true => cluster::Attributes::Resource {
            verb,
            group,
            version,
            resource,
            subresource,
            namespace,
            name,
        },
        false => cluster::Attributes::Path { verb, path },
    }
}

impl Access for Gate {
    fn decide<'a>(&'a self, parts: &'a Parts, attributes: &'a Attributes) -> Deciding<'a> {
        Box::pin(Gate::decide(self, parts, attributes))
    }
}

/// Lets only those through who may do what the request does with the store.
pub async fn by_path(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let wanted = of_store(parts.method.as_str(), parts.uri.path());
    match Gate::decide(&gate, &parts, &wanted).await {
        Ok(_) => {
            let mut request = Request::from_parts(parts, body);
            // What follows has no use for credentials.
            strip(request.headers_mut());
            next.run(request).await
        }
        Err(status) => refusal(&status),
    }
}

/// What a request outside Kubernetes' APIs has to be allowed.
///
/// The store's API is a resource, not a path: Prometheus's paths begin with `/api/`, which every
/// authenticated account may read by the role `system:discovery`. `/metrics` is a path by convention.
fn of_store(method: &str, path: &str) -> Attributes {
    let path = path.to_owned();
    if path == "/metrics" {
        return Attributes { verb: method.to_ascii_lowercase(), path, ..Attributes::default() };
    }
    let (resource, verb) = match Need::of(method, &path) {
        Need::Administer => ("series", "delete"),
        Need::Send => ("series", "create"),
        Need::EndQueries => ("queries", "delete"),
        Need::Read | Need::Nothing => ("queries", "get"),
    };
    Attributes {
        verb: verb.into(),
        is_resource: true,
        group: "kubevigil.dev".into(),
        version: "v1".into(),
        resource: resource.into(),
        path,
        ..Attributes::default()
    }
}

fn strip(headers: &mut HeaderMap) {
    headers.remove(header::AUTHORIZATION);
}

fn refusal(status: &Status) -> Response {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": status.message, "reason": status.reason, "code": status.code,
    });
    let json = [(header::CONTENT_TYPE, "application/json")];
    (code, json, body.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_no_path_that_everybody_may_read() {
        let of = |method, path| {
            let Attributes { verb, is_resource, resource, .. } = of_store(method, path);
            (verb, is_resource, resource)
        };
        let resource = |verb: &str, name: &str| (verb.to_owned(), true, name.to_owned());
        for path in
            ["/api/v1/query", "/api/vigil/v1/status", "/", "/federate", "/apis", "/metrics/"]
        {
            assert_eq!(of("POST", path), resource("get", "queries"), "{path}");
        }
        assert_eq!(of("POST", "/api/v1/write"), resource("create", "series"));
        assert_eq!(of("POST", "/api/v1/otlp/v1/metrics"), resource("create", "series"));
        assert_eq!(of("PUT", "/api/v1/admin/tsdb/snapshot"), resource("delete", "series"));
        assert_eq!(of("POST", "/-/quit"), resource("delete", "series"));
        assert_eq!(of("DELETE", "/api/vigil/v1/queries/1"), resource("delete", "queries"));
        assert_eq!(of("GET", "/metrics"), ("get".into(), false, String::new()));
    }
}
