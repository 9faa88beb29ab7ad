//! Questions that only the API server answers: whose token is this, and may they do that.
//!
//! Answers hold for ten seconds, as in `k8s.io/apiserver`'s delegated options; errors are not kept.

use crate::connection::Connection;
use crate::expiring::Expiring;
use crate::{Error, User};
use axum::http::{Method, Request, header};
use k8s_openapi::api::authentication::v1 as authentication;
use k8s_openapi::api::authorization::v1 as authorization;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an answer holds.
const LIFETIME: Duration = Duration::from_secs(10);
/// So many answers are kept of each kind.
const LIMIT: usize = 4096;
/// How long the API server may think.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A longer token is none.
const LONGEST_TOKEN: usize = 64 << 10;

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// Something with a resource.
    Resource {
        /// `get`, `list`, ...
        verb: String,
        /// `metrics.k8s.io`
        group: String,
        /// `v1beta1`
        version: String,
        /// `pods`
        resource: String,
        /// Empty for the resource itself.
        subresource: String,
        /// Empty for all, or where there are none.
        namespace: String,
        /// Empty for all.
        name: String,
    },
    /// Something with a path that is no resource.
    Path {
        /// `get`
        verb: String,
        /// `/metrics`
        path: String,
    },
}

/// Whether somebody may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether they may.
    pub allowed: bool,
    /// The authoriser's reason; may be empty.
    pub reason: String,
}

pub(crate) struct Reviews {
    connection: Arc<Connection>,
    /// By the token's hash: no token is kept.
    tokens: Expiring<[u8; 32], Option<Arc<User>>>,
    decisions: Expiring<(User, Attributes), Decision>,
}

impl Reviews {
    pub(crate) fn new(connection: Arc<Connection>) -> Reviews {
        let (tokens, decisions) = (Expiring::new(LIFETIME, LIMIT), Expiring::new(LIFETIME, LIMIT));
        Reviews { connection, tokens, decisions }
    }

    /// Whose token it is; nobody's where the API server does not know it.
    pub(crate) async fn user(&self, token: &str) -> Result<Option<Arc<User>>, Error> {
        if token.len() > LONGEST_TOKEN {
            return Ok(None);
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(digest.as_ref());
        self.tokens.get(key, Instant::now(), async || self.review_token(token).await).await
    }

    async fn review_token(&self, token: &str) -> Result<Option<Arc<User>>, Error> {
        let spec =
            authentication::TokenReviewSpec { token: token.to_owned(), ..Default::default() };
        let review = authentication::TokenReview { spec, ..Default::default() };
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let answer = self.post(path, "a token review", &review).await?;
        let status = answer.status.unwrap_or_default();
        if status.authenticated != Some(true) {
            return Ok(None);
        }
        let user = status.user.unwrap_or_default();
        Ok(Some(Arc::new(User {
            name: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        })))
    }

    /// Whether a user may do something.
    pub(crate) async fn decide(
        &self,
        user: &User,
        attributes: &Attributes,
    ) -> Result<Decision, Error> {
        let key = (user.clone(), attributes.clone());
        let ask = async || self.review_access(user, attributes).await;
        self.decisions.get(key, Instant::now(), ask).await
    }

    async fn review_access(&self, user: &User, attributes: &Attributes) -> Result<Decision, Error> {
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut spec = authorization::SubjectAccessReviewSpec {
            user: filled(&user.name),
            uid: filled(&user.uid),
            groups: Some(user.groups.clone()),
            extra: Some(user.extra.clone()),
            ..Default::default()
        };
        match attributes {
            Attributes::Resource {
                verb,
                group,
                version,
                resource,
                subresource,
                namespace,
                name,
            } => {
                spec.resource_attributes = Some(authorization::ResourceAttributes {
                    verb: filled(verb),
                    group: filled(group),
                    version: filled(version),
                    resource: filled(resource),
                    subresource: filled(subresource),
                    namespace: filled(namespace),
                    name: filled(name),
                    ..Default::default()
                });
            }
            Attributes::Path { verb, path } => {
                spec.non_resource_attributes = Some(authorization::NonResourceAttributes {
                    verb: filled(verb),
                    path: filled(path),
                });
            }
        }
        let review = authorization::SubjectAccessReview { spec, ..Default::default() };
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let status = self.post(path, "an access review", &review).await?.status;
        let status = status.unwrap_or_default();
        let allowed = status.allowed && status.denied != Some(true);
        Ok(Decision { allowed, reason: status.reason.unwrap_or_default() })
    }

    /// Posts a review. What fails never carries the review's text: it may hold a token.
    async fn post<R>(&self, path: &str, what: &str, review: &R) -> Result<R, Error>
    where
        R: Serialize + DeserializeOwned,
    {
        let wrong = |why: String| Error::Api { what: what.to_owned(), why, code: 0 };
        let body = serde_json::to_vec(review).map_err(|e| wrong(e.to_string()))?;
        let text = match self.text(path, what, body.clone()).await {
            // A connection that died while it was idle says nothing of the API server.
            Err(Error::Api { code: 0, .. }) => self.text(path, what, body).await?,
            other => other?,
        };
        serde_json::from_str(&text).map_err(|e| {
            wrong(format!("the answer is none (line {}, column {})", e.line(), e.column()))
        })
    }

    async fn text(&self, path: &str, what: &str, body: Vec<u8>) -> Result<String, Error> {
        let wrong = |why: String| Error::Api { what: what.to_owned(), why, code: 0 };
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|e| wrong(e.to_string()))?;
        let client = self.connection.client();
        let answer = tokio::time::timeout(TIMEOUT, client.request_text(request)).await;
        answer.map_err(|_| Error::Silent(what.to_owned()))?.map_err(|e| Error::api(what, e))
    }
}
