//! A request for a resource, taken apart as Kubernetes' API servers do it
//! (`/apis/GROUP/VERSION[/namespaces/NS]/RESOURCE[/NAME[/SUBRESOURCE]]`).

use super::{Attributes, Caller, Status};
use axum::http::Method;

/// A request for a resource of a group.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// What it wants to do, with group, version, resource, namespace and name.
    pub attributes: Attributes,
    /// The parameters of the query, decoded, in order.
    pub parameters: Vec<(String, String)>,
    /// The path and the query as they came, for whoever passes the request on.
    pub path_and_query: String,
    /// The `Accept` header, empty where there is none.
    pub accept: String,
    /// Who asks.
    pub caller: Caller,
}

impl Request {
    /// The first value of a parameter; empty where it is absent.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|p| p.0 == name).map_or("", |p| &p.1)
    }
}

/// What a request wants, by its method and path.
pub fn attributes(method: &Method, path: &str, watch: bool) -> Result<Attributes, Status> {
    let mut wanted = Attributes { path: path.into(), ..Attributes::default() };
    wanted.verb = method.as_str().to_ascii_lowercase();
    let mut parts = path.split('/').filter(|p| !p.is_empty()).map(decode);
    let mut next = || parts.next().transpose();
    if next()?.as_deref() != Some("apis") {
        return Ok(wanted);
    }
    let (Some(group), Some(version), Some(mut resource)) = (next()?, next()?, next()?) else {
        return Ok(wanted);
    };
    let mut name = next()?;
    if resource == "namespaces"
        && let Some(namespace) = &name
    {
        wanted.namespace = namespace.clone();
        if let Some(within) = next()? {
            resource = within;
            name = next()?;
        }
    }
    wanted.is_resource = true;
    (wanted.group, wanted.version, wanted.resource) = (group, version, resource);
    wanted.name = name.unwrap_or_default();
    wanted.subresource = next()?.unwrap_or_default();
    wanted.verb = match method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if wanted.name.is_empty() => "deletecollection",
        "DELETE" => "delete",
        "GET" | "HEAD" if watch => "watch",
        "GET" | "HEAD" if wanted.name.is_empty() => "list",
        "GET" | "HEAD" => "get",
        _ => "",
    }
    .into();
    Ok(wanted)
}

/// A part of a path without its percent signs.
fn decode(part: &str) -> Result<String, Status> {
    let wrong =
        || Status::bad_request(format!("the path has {part:?}, which is not encoded UTF-8"));
    let mut bytes = part.bytes();
    let mut decoded = Vec::with_capacity(part.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(wrong()) };
        decoded.push((high << 4 | low) as u8);
    }
    String::from_utf8(decoded).map_err(|_| wrong())
}
