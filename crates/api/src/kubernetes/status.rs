//! Errors as Kubernetes' clients know them: `Status`, version `v1`, of apimachinery's `meta/v1`.

use super::{Attributes, Caller, Object, protobuf};
use crate::json;

/// An error, or rarely a success without an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// `NotFound`, `Forbidden`, …
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
}

/// What an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// Its group; empty for core.
    pub group: String,
    /// The resource, in spite of the field's name.
    pub kind: String,
    /// When to ask again, in seconds; 0 for nothing.
    pub retry_after_seconds: i32,
}

impl Status {
    /// An error of any kind.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Status {
        Status { code, reason, message: message.into(), details: None }
    }

    /// 404: `pods "web" not found`, with the group after a point where there is one.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Status {
        let message = format!("{} {name:?} not found", qualified(resource, group));
        let details = Details {
            name: name.into(),
            group: group.into(),
            kind: resource.into(),
            ..Details::default()
        };
        Status { details: Some(Box::new(details)), ..Status::new(404, "NotFound", message) }
    }

    /// 404 for a path behind which nothing is.
    pub fn no_such_path() -> Status {
        let message = "the server could not find the requested resource";
        Status { details: Some(Box::default()), ..Status::new(404, "NotFound", message) }
    }

    /// 403 in the words of Kubernetes' API server.
    pub fn forbidden(caller: &Caller, wanted: &Attributes, why: &str) -> Status {
        let who = &caller.name;
        if !wanted.is_resource {
            let message = format!(
                "forbidden: User {who:?} cannot {} path {:?}{}",
                wanted.verb,
                wanted.path,
                reason(why)
            );
            return Status {
                details: Some(Box::default()),
                ..Status::new(403, "Forbidden", message)
            };
        }
        let resource = qualified(&wanted.resource, &wanted.group);
        let about = match wanted.name.is_empty() {
            true => String::new(),
            false => format!(" {:?}", wanted.name),
        };
        let part = match wanted.subresource.is_empty() {
            true => String::new(),
            false => format!("/{}", wanted.subresource),
        };
        let place = match wanted.namespace.is_empty() {
            true => "at the cluster scope".to_owned(),
            false => format!("in the namespace {:?}", wanted.namespace),
        };
        let message = format!(
            "{resource}{about} is forbidden: User {who:?} cannot {} resource \"{}{part}\" in API group {:?} {place}{}",
            wanted.verb,
            wanted.resource,
            wanted.group,
            reason(why)
        );
        let details = Details {
            name: wanted.name.clone(),
            group: wanted.group.clone(),
            kind: wanted.resource.clone(),
            ..Details::default()
        };
        Status { details: Some(Box::new(details)), ..Status::new(403, "Forbidden", message) }
    }

    /// 401.
    pub fn unauthorized() -> Status {
        Status::new(401, "Unauthorized", "Unauthorized")
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, "BadRequest", message)
    }

    /// 405.
    pub fn method_not_supported(wanted: &Attributes) -> Status {
        let resource = qualified(&wanted.resource, &wanted.group);
        let message = format!("{} is not supported on resources of kind {resource:?}", wanted.verb);
        let details = Details {
            group: wanted.group.clone(),
            kind: wanted.resource.clone(),
            ..Details::default()
        };
        Status { details: Some(Box::new(details)), ..Status::new(405, "MethodNotAllowed", message) }
    }

    /// 406: `offered` are the media types that could be had.
    pub fn not_acceptable(offered: &[&str]) -> Status {
        let message =
            format!("only the following media types are accepted: {}", offered.join(", "));
        Status::new(406, "NotAcceptable", message)
    }

    /// 500: our own fault.
    pub fn internal(message: impl std::fmt::Display) -> Status {
        Status::new(500, "InternalError", format!("Internal error occurred: {message}"))
    }

    /// 503, to be asked again after a while.
    pub fn unavailable(message: impl Into<String>) -> Status {
        let details = Details { retry_after_seconds: 1, ..Details::default() };
        Status {
            details: Some(Box::new(details)),
            ..Status::new(503, "ServiceUnavailable", message)
        }
    }
}

fn qualified(resource: &str, group: &str) -> String {
    match group.is_empty() {
        true => resource.into(),
        false => format!("{resource}.{group}"),
    }
}

fn reason(why: &str) -> String {
    match why.is_empty() {
        true => String::new(),
        false => format!(": {why}"),
    }
}

impl Object for Status {
    fn api_version(&self) -> &str {
        "v1"
    }

    fn kind(&self) -> &str {
        "Status"
    }

    fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":",
        );
        json::string(out, self.outcome());
        let mut member = |name: &str, value: &str| {
            if !value.is_empty() {
                out.extend_from_slice(format!(",\"{name}\":").as_bytes());
                json::string(out, value);
            }
        };
        member("message", &self.message);
        member("reason", self.reason);
        if let Some(details) = &self.details {
            out.extend_from_slice(b",\"details\":");
            details.json(out);
        }
        out.extend_from_slice(format!(",\"code\":{}}}", self.code).as_bytes());
    }

    fn protobuf(&self, out: &mut Vec<u8>) {
        protobuf::message(out, 1, |_| {});
        protobuf::string(out, 2, self.outcome());
        protobuf::string(out, 3, &self.message);
        protobuf::string(out, 4, self.reason);
        if let Some(details) = &self.details {
            protobuf::message(out, 5, |out| {
                protobuf::string(out, 1, &details.name);
                protobuf::string(out, 2, &details.group);
                protobuf::string(out, 3, &details.kind);
                protobuf::integer(out, 5, i64::from(details.retry_after_seconds));
                protobuf::string(out, 6, "");
            });
        }
        protobuf::integer(out, 6, i64::from(self.code));
    }
}

impl Status {
    fn outcome(&self) -> &'static str {
        if self.code < 400 { "Success" } else { "Failure" }
    }
}

impl Details {
    fn json(&self, out: &mut Vec<u8>) {
        let mut separator = b'{';
        let mut begin = |out: &mut Vec<u8>, name: &str| {
            out.push(separator);
            out.extend_from_slice(format!("\"{name}\":").as_bytes());
            separator = b',';
        };
        for (name, value) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind)] {
            if !value.is_empty() {
                begin(out, name);
                json::string(out, value);
            }
        }
        if self.retry_after_seconds != 0 {
            begin(out, "retryAfterSeconds");
            out.extend_from_slice(self.retry_after_seconds.to_string().as_bytes());
        }
        if separator == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
    }
}
