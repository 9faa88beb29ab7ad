//! The frame itself: takes a request apart, asks who it is, finds the group, writes the answer in the form
//! that was asked for.

use super::negotiate::{self, Form, Offer};
use super::{
    Access, Answer, Attributes, Caller, Group, Include, Object, Request, Status, attributes,
    discovery, openapi, protobuf, yaml,
};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use http_body::Frame as BodyFrame;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// All groups behind one door.
pub struct Frame {
    groups: Vec<Arc<dyn Group>>,
    access: Arc<dyn Access>,
}

impl Frame {
    /// A frame around these groups, which `access` guards.
    pub fn new(mut groups: Vec<Arc<dyn Group>>, access: Arc<dyn Access>) -> Arc<Frame> {
        groups.sort_by_key(|g| g.name());
        Arc::new(Frame { groups, access })
    }

    /// `/apis` and `/openapi`.
    pub fn router(self: Arc<Frame>) -> Router {
        Router::new()
            .route("/apis", any(serve))
            .route("/apis/", any(serve))
            .route("/apis/{*rest}", any(serve))
            .route("/openapi/v2", any(serve))
            .route("/openapi/v3", any(serve))
            .route("/openapi/v3/{*rest}", any(serve))
            .with_state(self)
    }

    fn group(&self, name: &str, version: &str) -> Option<&Arc<dyn Group>> {
        let group = self.groups.iter().find(|g| g.name() == name)?;
        (version.is_empty() || group.versions().contains(&version)).then_some(group)
    }

    /// Answers, or says why not.
    async fn answer(&self, parts: &Parts) -> Result<Response, Status> {
        let uri = &parts.uri;
        let parameters: Vec<(String, String)> =
            form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).into_owned().collect();
        let watch = parameters.iter().any(|(n, v)| n == "watch" && matches!(&**v, "1" | "true"));
        let wanted = attributes(&parts.method, uri.path(), watch)?;
        let accept = accept(&parts.headers);
        let caller = self.access.decide(parts, &wanted).await?;
        if !wanted.is_resource {
            return self.document(parts, &wanted, &accept);
        }
        self.resource(parts, wanted, parameters, accept, caller).await
    }

    async fn resource(
        &self,
        parts: &Parts,
        wanted: Attributes,
        parameters: Vec<(String, String)>,
        accept: String,
        caller: Caller,
    ) -> Result<Response, Status> {
        let group = self.group(&wanted.group, &wanted.version).ok_or_else(Status::no_such_path)?;
        if !matches!(wanted.verb.as_str(), "get" | "list") {
            return Err(Status::method_not_supported(&wanted));
        }
        let form = negotiate::choose(&accept, Offer::Tables)?;
        let include = parameters.iter().find(|p| p.0 == "includeObject");
        let include = match include.map_or("", |p| p.1.as_str()) {
            "" | "Metadata" => Include::Metadata,
            "Object" => Include::Object,
            "None" => Include::None,
            other => {
                let message = format!("unrecognized includeObject value: {other:?}");
                return Err(Status::bad_request(message));
            }
        };
        let path_and_query = parts.uri.path_and_query().map_or("", |p| p.as_str()).to_owned();
        let request = Request { attributes: wanted, parameters, path_and_query, accept, caller };
        match group.answer(&request).await? {
            Answer::Object(object) => written(object, form, include),
            Answer::Response(response) => Ok(response),
        }
    }

    /// Discovery and OpenAPI.
    fn document(
        &self,
        parts: &Parts,
        wanted: &Attributes,
        accept: &str,
    ) -> Result<Response, Status> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            let message = "the server does not allow this method on the requested resource";
            return Err(Status::new(405, "MethodNotAllowed", message));
        }
        let steps: Vec<&str> = wanted.path.split('/').filter(|p| !p.is_empty()).collect();
        let group = |name, version| self.group(name, version).ok_or_else(Status::no_such_path);
        let plain = || negotiate::choose(accept, Offer::Plain);
        let as_json = |body| tagged(&parts.headers, body, negotiate::JSON);
        match *steps.as_slice() {
            ["apis"] => match negotiate::choose(accept, Offer::Discovery)? {
                form @ Form::Discovery(_) => {
                    let body = discovery::aggregated(&self.groups, form);
                    Ok(tagged(&parts.headers, body, form.content_type()))
                }
                form => whole(&discovery::Groups(&self.groups), form),
            },
            ["apis", name] => whole(&discovery::OneGroup(&**group(name, "")?), plain()?),
            ["apis", name, version] => {
                let resources = group(name, version)?.resources(version);
                let group_version = format!("{name}/{version}");
                whole(&discovery::Resources { group_version, resources }, plain()?)
            }
            ["openapi", "v2"] => Ok(as_json(openapi::v2(&self.groups))),
            ["openapi", "v3"] => Ok(as_json(openapi::index(&self.groups))),
            ["openapi", "v3", "apis", name, version] => {
                Ok(as_json(openapi::v3(&**group(name, version)?, version)))
            }
            _ => Err(Status::no_such_path()),
        }
    }
}

async fn serve(State(frame): State<Arc<Frame>>, request: axum::extract::Request) -> Response {
    // No answer depends on a body.
    let (parts, _) = request.into_parts();
    match frame.answer(&parts).await {
        Ok(response) => response,
        Err(status) => refused(&status, &accept(&parts.headers)),
    }
}

fn accept(headers: &HeaderMap) -> String {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

/// An error in the form that the client takes, JSON where it takes none of ours.
pub(crate) fn refused(status: &Status, accept: &str) -> Response {
    let form = negotiate::choose(accept, Offer::Plain).unwrap_or(Form::Json);
    let written = whole(status, form).or_else(|_| whole(status, Form::Json));
    let mut response = written.unwrap_or_default();
    *response.status_mut() =
        StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(details) = &status.details
        && details.retry_after_seconds > 0
        && let Ok(seconds) = HeaderValue::from_str(&details.retry_after_seconds.to_string())
    {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// Writes an object that may be long.
fn written(object: Box<dyn Object>, form: Form, include: Include) -> Result<Response, Status> {
    match form {
        Form::Json => {
            let pieces = Pieces { object, next: Some(0) };
            Ok(response(Body::new(pieces), form.content_type()))
        }
        Form::Table(beta) => {
            let version = if beta { "v1beta1" } else { "v1" };
            match object.table(include, version) {
                Some(table) => {
                    let mut out = Vec::new();
                    table.json(version, &mut out);
                    Ok(response(out.into(), form.content_type()))
                }
                None => whole(&*object, Form::Json),
            }
        }
        _ => whole(&*object, form),
    }
}

/// Writes an object at once.
fn whole(object: &dyn Object, form: Form) -> Result<Response, Status> {
    let mut out = Vec::new();
    match form {
        Form::Protobuf => {
            let mut message = Vec::new();
            object.protobuf(&mut message);
            let (version, kind) = (object.api_version(), object.kind());
            protobuf::envelope(&mut out, version, kind, message.len());
            out.append(&mut message);
            protobuf::envelope_end(&mut out);
        }
        Form::Yaml => {
            object.json(&mut out);
            out = yaml::from_json(&out)?;
        }
        _ => object.json(&mut out),
    }
    let type_ =
        if let Form::Yaml | Form::Protobuf = form { form.content_type() } else { negotiate::JSON };
    Ok(response(out.into(), type_))
}

fn response(body: Body, content_type: &'static str) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A document with a tag of its content; 304 where the client has it already.
fn tagged(headers: &HeaderMap, body: Vec<u8>, content_type: &'static str) -> Response {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let tag = format!("\"{:016X}\"", hasher.finish());
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known =
        known.filter_map(|v| v.to_str().ok()).any(|v| v.split(',').any(|t| t.trim() == tag));
    let body = if known { Body::empty() } else { body.into() };
    let mut response = response(body, content_type);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// The JSON of an object, piece by piece as the client takes it.
struct Pieces {
    object: Box<dyn Object>,
    next: Option<usize>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        let Some(from) = self.next else { return Poll::Ready(None) };
        let mut out = Vec::new();
        self.next = self.object.json_piece(from, &mut out);
        Poll::Ready(Some(Ok(BodyFrame::data(out.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none()
    }
}
