//! Who may read, and the headers that keep browsers from helping others to.
//!
//! On loopback nobody is asked, so a page from elsewhere could read everything through the user's
//! own browser: by asking `127.0.0.1` directly (another origin), or under a name of its own that it lets
//! resolve to 127.0.0.1 (DNS rebinding). Both are refused here. Users are checked as Prometheus's web
//! configuration says.

use crate::users::Users;
use crate::web_config::{RateLimit, WebConfig};
use crate::{Stats, User};
use arc_swap::ArcSwap;
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version, header,
};
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What a page of ours may load when its handler does not say otherwise: nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// Checks requests and dresses answers.
pub(crate) struct Guard {
    /// On loopback: the names besides loopback's own that a Host header may have.
    own_hosts: Option<Vec<String>>,
    /// Whether pages of other origins are refused.
    check_origins: bool,
    rules: ArcSwap<Rules>,
    stats: Arc<Stats>,
}

struct Rules {
    users: Option<Users>,
    headers: Vec<(HeaderName, HeaderValue)>,
    rate: Option<Bucket>,
}

impl Guard {
    pub(crate) fn new(
        own_hosts: Option<Vec<String>>,
        check_origins: bool,
        config: &WebConfig,
        stats: Arc<Stats>,
    ) -> Guard {
        Guard { own_hosts, check_origins, rules: ArcSwap::from_pointee(Rules::new(config)), stats }
    }

    /// Takes over a configuration that was read again.
    pub(crate) fn replace(&self, config: &WebConfig) {
        self.rules.store(Arc::new(Rules::new(config)));
    }

    /// The user, where one is needed, or the answer that refuses the request.
    pub(crate) async fn check<B>(
        &self,
        request: &Request<B>,
    ) -> Result<Option<User>, Box<Response>> {
        let authority = request.uri().authority().map(|a| a.as_str());
        let host = match request.headers().get(header::HOST) {
            Some(host) => Some(host.to_str().unwrap_or("")),
            None => authority,
        };
        if let Err(why) = self.check_host(host, request.version()) {
            self.stats.refused_host.fetch_add(1, Relaxed);
            return Err(refuse(StatusCode::FORBIDDEN, &why));
        }
        if self.check_origins
            && let Err(why) = check_origin(request.method(), request.headers(), host.unwrap_or(""))
        {
            self.stats.refused_origin.fetch_add(1, Relaxed);
            return Err(refuse(StatusCode::FORBIDDEN, &why));
        }
        let rules = self.rules.load_full();
        if rules.rate.as_ref().is_some_and(|bucket| !bucket.take()) {
            self.stats.refused_rate.fetch_add(1, Relaxed);
            return Err(refuse(StatusCode::TOO_MANY_REQUESTS, "too many requests: see rate_limit"));
        }
        let Some(users) = &rules.users else { return Ok(None) };
        match users.check(request.headers()).await {
            Some(name) => Ok(Some(User(name))),
            None => {
                self.stats.refused_user.fetch_add(1, Relaxed);
                let mut response =
                    refuse(StatusCode::UNAUTHORIZED, "sign in: user or password is wrong");
                let basic =
                    HeaderValue::from_static("Basic realm=\"kubevigil\", charset=\"UTF-8\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
                Err(response)
            }
        }
    }

    fn check_host(&self, host: Option<&str>, version: Version) -> Result<(), String> {
        let Some(own) = &self.own_hosts else { return Ok(()) };
        let Some(host) = host else {
            // No browser asks without.
            let old = version <= Version::HTTP_10;
            return if old { Ok(()) } else { Err("the request has no Host header".into()) };
        };
        let name = without_port(host);
        let loopback = name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let lower = name.to_ascii_lowercase();
        let local = lower == "localhost" || lower.ends_with(".localhost");
        if loopback || local || own.iter().any(|o| o.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        Err(format!(
            "the Host header names {name:?}, which is not this machine's loopback: ask 127.0.0.1 or localhost"
        ))
    }

    /// Adds the headers that every answer has.
    pub(crate) fn finish(&self, response: &mut Response) {
        let headers = response.headers_mut();
        let mut default = |name: HeaderName, value| {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        };
        default(header::CONTENT_SECURITY_POLICY, NOTHING);
        default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        default(header::REFERRER_POLICY, "no-referrer");
        default(header::X_FRAME_OPTIONS, "DENY");
        default(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
        default(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
        for (name, value) in &self.rules.load().headers {
            headers.insert(name.clone(), value.clone());
        }
    }
}

impl Rules {
    fn new(config: &WebConfig) -> Rules {
        Rules {
            users: (!config.users.is_empty()).then(|| Users::new(&config.users)),
            headers: config.headers.clone(),
            rate: config.rate_limit.map(Bucket::new),
        }
    }
}

fn refuse(status: StatusCode, why: &str) -> Box<Response> {
    Box::new((status, format!("{why}\n")).into_response())
}

/// Refuses what a page of another origin makes a browser ask, but for following a link.
fn check_origin(method: &Method, headers: &HeaderMap, host: &str) -> Result<(), String> {
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    if let Some(origin) = text("origin") {
        let same = origin.split_once("://").is_some_and(|(scheme, rest)| {
            matches!(scheme, "http" | "https") && rest.eq_ignore_ascii_case(host)
        });
        if !same {
            return Err(format!("the request comes from another origin, {origin:?}"));
        }
    }
    let navigates = text("sec-fetch-mode") == Some("navigate")
        && matches!(*method, Method::GET | Method::HEAD)
        && matches!(text("sec-fetch-dest"), None | Some("document"));
    match text("sec-fetch-site") {
        Some("cross-site" | "same-site") if !navigates => {
            Err("the request comes from a page of another site".into())
        }
        _ => Ok(()),
    }
}

fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or("");
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// A token bucket: `burst` requests at once, one more for each `interval`.
struct Bucket {
    limit: RateLimit,
    state: Mutex<(f64, Instant)>,
}

impl Bucket {
    fn new(limit: RateLimit) -> Bucket {
        let full = (f64::from(limit.burst), Instant::now());
        Bucket { limit, state: Mutex::new(full) }
    }

    fn take(&self) -> bool {
        let Ok(mut state) = self.state.lock() else { return true };
        let now = Instant::now();
        let new = now.duration_since(state.1).as_secs_f64() / self.limit.interval.as_secs_f64();
        let tokens = (state.0 + new).min(f64::from(self.limit.burst));
        let granted = tokens >= 1.0;
        *state = (if granted { tokens - 1.0 } else { tokens }, now);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn guard(own: Option<&[&str]>) -> Guard {
        let own = own.map(|o| o.iter().map(|s| s.to_string()).collect());
        Guard::new(own, true, &WebConfig::default(), Arc::default())
    }

    #[test]
    fn hosts_on_loopback() {
        let guard_ = guard(Some(&["box"]));
        let ok = |host| guard_.check_host(Some(host), Version::HTTP_11).is_ok();
        for good in [
            "127.0.0.1:7600",
            "127.0.0.1",
            "127.9.8.7:1",
            "localhost",
            "LocalHost:7600",
            "[::1]:7600",
            "[::1]",
            "a.localhost:7600",
            "box:7600",
            "BOX",
        ] {
            assert!(ok(good), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:7600",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "",
            "localhost.",
            "notlocalhost",
            "box.evil.example",
            "127.0.0.1@evil.example",
        ] {
            assert!(!ok(bad), "{bad}");
        }
        assert!(guard_.check_host(None, Version::HTTP_11).is_err());
        assert!(guard_.check_host(None, Version::HTTP_10).is_ok());
        assert!(guard(None).check_host(Some("any.example"), Version::HTTP_11).is_ok());
    }

    #[test]
    fn origins() {
        let check = |method: Method, pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            check_origin(&method, &headers, "127.0.0.1:7600").is_ok()
        };
        assert!(check(Method::GET, &[]));
        assert!(check(Method::POST, &[("origin", "http://127.0.0.1:7600")]));
        assert!(check(Method::GET, &[("sec-fetch-site", "same-origin")]));
        assert!(check(Method::GET, &[("sec-fetch-site", "none")]));
        let link = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert!(check(Method::GET, &link));
        assert!(!check(Method::POST, &link));
        assert!(!check(Method::GET, &[("origin", "http://evil.example")]));
        assert!(!check(Method::GET, &[("origin", "null")]));
        assert!(!check(Method::GET, &[("origin", "http://127.0.0.1:7601")]));
        assert!(!check(
            Method::GET,
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]
        ));
        let frame = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "iframe"),
        ];
        assert!(!check(Method::GET, &frame));
    }

    #[test]
    fn a_bucket_empties_and_fills() {
        let bucket = Bucket::new(RateLimit { interval: Duration::from_millis(20), burst: 2 });
        assert!(bucket.take() && bucket.take() && !bucket.take());
        std::thread::sleep(Duration::from_millis(25));
        assert!(bucket.take());
    }
}
