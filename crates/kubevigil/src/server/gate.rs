//! Who may ask what: the cluster's answers, put before every route.

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

/// Lets only those through who may do the request's verb with its path.
pub async fn by_path(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let wanted = Attributes {
        verb: parts.method.as_str().to_ascii_lowercase(),
        path: parts.uri.path().to_owned(),
        ..Attributes::default()
    };
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
