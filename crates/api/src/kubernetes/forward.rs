//! Passes questions for metrics that we do not know on to another adapter: an API group has one
//! owner, and this lets us be it beside KEDA or an adapter that was there before.
//!
//! The other server's answer is given as it is. It is asked with our own token: whoever asks us was
//! already found to have the right. What it lists goes into our discovery.

use super::{Answer, Request, Status};
use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use http::client::{self, Limits, Session, Tls, TlsOptions};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where the other server is, and how it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardOptions {
    /// `https://keda-operator-metrics-apiserver.keda.svc:443`
    pub url: String,
    /// How TLS is spoken.
    pub tls: TlsOptions,
    /// The file with our token; it is read for each request.
    pub token_file: Option<PathBuf>,
}

/// The other server.
pub struct Forward {
    host: String,
    port: u16,
    url: String,
    tls: Option<Tls>,
    token_file: Option<PathBuf>,
    limits: Limits,
    /// Idle connections, at most [`IDLE`].
    sessions: Mutex<Vec<Session>>,
    /// What it lists: names, and whether they lie in namespaces.
    listed: Mutex<Vec<(String, bool)>>,
}

const IDLE: usize = 8;
/// How often the other server is asked what it has.
const LIST_EVERY: Duration = Duration::from_secs(30);
/// At most so many of its metrics are listed.
const MOST: usize = 100_000;

#[derive(Deserialize)]
struct ResourceList {
    resources: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    #[serde(default)]
    namespaced: bool,
}

impl Forward {
    /// Reads the address and the certificates; the server need not be there yet.
    pub fn open(options: ForwardOptions) -> Result<Arc<Forward>, String> {
        let url = options.url.trim_end_matches('/').to_owned();
        let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(format!("{url:?} is no address: write https://HOST:PORT")),
        };
        let authority: axum::http::uri::Authority =
            rest.parse().map_err(|e| format!("{url:?} is no address: {e}"))?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = match secure {
            true => Some(Tls::open(options.tls).map_err(|e| e.to_string())?),
            false => None,
        };
        let limits = Limits { max_body_bytes: 16 << 20, ..Limits::default() };
        Ok(Arc::new(Forward {
            host,
            port,
            url,
            tls,
            token_file: options.token_file,
            limits,
            sessions: Mutex::default(),
            listed: Mutex::default(),
        }))
    }

    /// What the other server listed last.
    pub fn resources(&self) -> Vec<(String, bool)> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks again and again what the other server has of a group, `custom.metrics.k8s.io/v1beta2`.
    pub async fn keep_listed(self: Arc<Forward>, group_version: &'static str) {
        loop {
            match self.list(group_version).await {
                Ok(listed) => {
                    *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = listed;
                }
                Err(why) => tracing::warn!("{}: {group_version} cannot be listed: {why}", self.url),
            }
            if let Some(tls) = &self.tls
                && let Err(e) = tls.reload()
            {
                tracing::warn!("{}: {e}", self.url);
            }
            tokio::time::sleep(LIST_EVERY).await;
        }
    }

    async fn list(&self, group_version: &str) -> Result<Vec<(String, bool)>, String> {
        let path = format!("/apis/{group_version}");
        let (status, _, body) = self.send(&path, "application/json").await?;
        if status != StatusCode::OK {
            return Err(format!("status {status}"));
        }
        let list: ResourceList = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        Ok(list.resources.into_iter().take(MOST).map(|r| (r.name, r.namespaced)).collect())
    }

    /// The other server's answer to a request.
    pub async fn ask(&self, request: &Request) -> Result<Answer, Status> {
        let sent = self.send(&request.path_and_query, &request.accept).await;
        let (status, kind, body) = sent.map_err(|why| {
            Status::unavailable(format!(
                "no rule gives this metric, and {} failed: {why}",
                self.url
            ))
        })?;
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        if let Some(kind) = kind {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        Ok(Answer::Response(response))
    }

    async fn send(
        &self,
        path_and_query: &str,
        accept: &str,
    ) -> Result<(StatusCode, Option<HeaderValue>, Vec<u8>), String> {
        let mut headers = Vec::new();
        if let Ok(accept) = HeaderValue::from_str(accept)
            && !accept.is_empty()
        {
            headers.push((header::ACCEPT, accept));
        }
        if let Some(path) = &self.token_file {
            let read = tokio::fs::read_to_string(path).await;
            let token = read.map_err(|e| format!("{}: {e}", path.display()))?;
            let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            let mut value = value.map_err(|_| format!("{}: no token", path.display()))?;
            value.set_sensitive(true);
            headers.push((header::AUTHORIZATION, value));
        }
        let request = client::Request {
            method: &Method::GET,
            host: &self.host,
            port: self.port,
            tls: self.tls.as_ref(),
            also_named: None,
            path_and_query,
            headers: &headers,
            body: &[],
        };
        let kept = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut session = kept.unwrap_or_default();
        let mut body = Vec::new();
        let answer = session.send(&self.limits, request, &mut body).await;
        let answer = answer.map_err(|e| e.to_string())?;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() < IDLE {
            sessions.push(session);
        }
        Ok((answer.status, answer.headers.get(header::CONTENT_TYPE).cloned(), body))
    }
}
