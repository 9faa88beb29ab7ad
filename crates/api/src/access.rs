//! Who of the users that signed in may do what: read, send, or administer.
//!
//! Passwords are checked by `http` (Prometheus's web configuration file, which has no word for
//! rights); in a cluster the API server decides, by the same [`Need`] of each request.

use crate::Failure;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a request needs to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing beyond being let in: whether the program is well.
    Nothing,
    /// To read what is kept, the pages among it.
    Read,
    /// To add samples.
    Send,
    /// To delete what is kept or to copy it on the server's disk, to have the configuration read again, to end
    /// the program.
    Administer,
    /// To end a query, which may be another's.
    EndQueries,
}

impl Need {
    /// What a request needs.
    pub fn of(method: &str, path: &str) -> Need {
        let well = ["/-/healthy", "/-/ready", "/healthz", "/readyz", "/version"];
        if well.contains(&path) {
            Need::Nothing
        } else if path.starts_with("/api/v1/admin/") || ["/-/reload", "/-/quit"].contains(&path) {
            Need::Administer
        } else if path == "/api/v1/write" || path.starts_with("/api/v1/otlp/") {
            Need::Send
        } else if method == Method::DELETE.as_str() {
            Need::EndQueries
        } else {
            Need::Read // by GET or by POST
        }
    }
}

/// The users who may do something; none named: all who are let in.
pub type Names = BTreeSet<String>;

/// Who may do what.
#[derive(Clone, Debug, Default)]
pub struct Users {
    /// Who may read.
    pub read: Names,
    /// Who may send.
    pub send: Names,
    /// Who may administer, and end queries.
    pub administer: Names,
}

impl Users {
    /// Whether anything is kept from anyone.
    pub fn restrict(&self) -> bool {
        [&self.read, &self.send, &self.administer].iter().any(|names| !names.is_empty())
    }

    /// Says why a user may not do what a request needs.
    fn check(&self, user: Option<&str>, need: Need) -> Result<(), String> {
        let (names, what, option) = match need {
            Need::Nothing => return Ok(()),
            Need::Read => (&self.read, "read", "--web.read-users"),
            Need::Send => (&self.send, "send samples", "--web.write-users"),
            Need::Administer => (&self.administer, "administer", "--web.admin-users"),
            Need::EndQueries => (&self.administer, "end queries", "--web.admin-users"),
        };
        if names.is_empty() || user.is_some_and(|user| names.contains(user)) {
            return Ok(());
        }
        let who = user.map_or("who did not sign in".to_owned(), |u| format!("user {u:?}"));
        Err(format!("{who} may not {what}: {option} names who may"))
    }
}

/// Lets only those through who may do what the request needs.
pub async fn by_user(State(users): State<Arc<Users>>, request: Request, next: Next) -> Response {
    let need = Need::of(request.method().as_str(), request.uri().path());
    let user = request.extensions().get::<http::User>().map(|u| u.0.clone());
    match users.check(user.as_deref(), need) {
        Ok(()) => next.run(request).await,
        Err(why) => {
            let body = json!({ "status": "error", "errorType": "forbidden", "error": why });
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::FORBIDDEN, kind, body.to_string()).into_response()
        }
    }
}

/// Refuses what only administration may do where that is off, in Prometheus's words.
pub fn administration(enabled: bool) -> Result<(), Failure> {
    match enabled {
        true => Ok(()),
        false => Err(Failure::Disabled("admin APIs disabled".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_needs_one_thing() {
        for (method, path, need) in [
            ("GET", "/-/healthy", Need::Nothing),
            ("GET", "/-/healthy/x", Need::Read),
            ("GET", "/", Need::Read),
            ("GET", "/metrics", Need::Read),
            ("POST", "/api/v1/query", Need::Read),
            ("POST", "/api/v1/read", Need::Read),
            ("GET", "/federate", Need::Read),
            ("POST", "/api/v1/write", Need::Send),
            ("POST", "/api/v1/otlp/v1/metrics", Need::Send),
            ("PUT", "/api/v1/admin/tsdb/snapshot", Need::Administer),
            ("POST", "/-/reload", Need::Administer),
            ("PUT", "/-/quit", Need::Administer),
            ("DELETE", "/api/vigil/v1/queries/1", Need::EndQueries),
        ] {
            assert_eq!(Need::of(method, path), need, "{method} {path}");
        }
    }

    #[test]
    fn who_is_not_named_is_refused_and_told_why() {
        let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect();
        let users = Users { read: names(&["ann"]), send: names(&["pump"]), ..Users::default() };
        assert!(users.restrict() && !Users::default().restrict());
        let may = |user, need| users.check(user, need).is_ok();
        assert!(may(Some("ann"), Need::Read) && !may(Some("pump"), Need::Read));
        assert!(may(Some("pump"), Need::Send) && !may(Some("ann"), Need::Send));
        assert!(may(Some("ann"), Need::Administer) && may(None, Need::Nothing));
        let why = users.check(None, Need::Send).unwrap_err();
        let wanted = "who did not sign in may not send samples: --web.write-users names who may";
        assert_eq!(why, wanted);
    }
}
