//! Where requests go: address, headers, who we are, whom we believe; and what an answer means.

use crate::backoff::retry_after;
use crate::batch::Counts;
use crate::credentials::Credentials;
use crate::sigv4::{self, Request};
use crate::{Error, lock};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use http::client::{self, Limits, Session, Tls, TlsOptions, Trust};
use scrape::config::{Message, RemoteWrite};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// An endpoint.
#[derive(Clone)]
pub struct Endpoint {
    config: Arc<RemoteWrite>,
    message: Message,
    place: Place,
    options: TlsOptions,
    /// Opened at the first connection, read again at each.
    tls: Arc<Mutex<Option<Arc<Tls>>>>,
}

/// The parts of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    https: bool,
    host: String,
    port: u16,
    path_and_query: String,
}

/// How an answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The connection was closed.
    Closed,
    /// It took too long.
    Timeout,
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// It was taken; what of it, where the receiver says so.
    Taken(Option<Counts>),
    /// It is to be tried again.
    Later {
        /// Why it failed.
        why: String,
        /// When the receiver wants it.
        after: Option<Duration>,
        /// Why there was no answer, so that nobody knows whether the request arrived.
        lost: Option<Lost>,
    },
    /// It is of no use to try it again.
    Refused {
        /// Why.
        why: String,
        /// The answer's status; `None` where there was none.
        status: Option<u16>,
        /// What of it was taken all the same.
        written: Option<Counts>,
    },
    /// The receiver does not know 2.0.
    Unsupported(String),
}

const USER_AGENT: &str = concat!("kubevigil/", env!("CARGO_PKG_VERSION"));
/// So many bytes of an answer are read: it only says what is wrong.
const ANSWER_BYTES: usize = 1 << 20;
/// So many characters of it are told.
const ANSWER_TOLD: usize = 256;
/// As Go's client has it.
const REDIRECTS: usize = 10;

impl Place {
    fn of(url: &str) -> Result<Place, Error> {
        let wrong = || Error::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let host = uri.host().filter(|h| !h.is_empty()).ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let path_and_query = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        Ok(Place { https, host, port, path_and_query })
    }

    /// Where a redirect leads.
    fn redirected(&self, to: &str) -> Result<Place, Error> {
        match to.starts_with('/') && !to.starts_with("//") {
            true => Ok(Place { path_and_query: to.to_owned(), ..self.clone() }),
            false => Place::of(to).and_then(|place| match self.https && !place.https {
                true => Err(Error::Address(to.to_owned())),
                false => Ok(place),
            }),
        }
    }

    /// As a request names it: without the port that everybody expects.
    fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        format!("{host}:{}", self.port)
    }
}

impl Endpoint {
    /// An endpoint; nothing is connected yet.
    pub fn open(config: &RemoteWrite, system_ca_file: PathBuf) -> Result<Endpoint, Error> {
        let ca_file = config.tls.ca_file.clone().unwrap_or(system_ca_file);
        let trust = if config.tls.insecure { Trust::Insecure } else { Trust::Verify(ca_file) };
        Ok(Endpoint {
            place: Place::of(&config.url)?,
            message: config.message,
            options: TlsOptions { trust, identity: config.tls.identity.clone() },
            config: Arc::new(config.clone()),
            tls: Arc::default(),
        })
    }

    /// Speaks this protocol from now on.
    pub fn speak(&mut self, message: Message) {
        self.message = message;
    }

    /// Sends a request with samples or families; `attempt` counts from 0.
    pub async fn send(&self, session: &mut Session, body: &[u8], attempt: u32) -> Outcome {
        let mut place = self.place.clone();
        let mut elsewhere = Session::default();
        for turn in 0..=REDIRECTS {
            let session = if turn == 0 { &mut *session } else { &mut elsewhere };
            let same = (&place.host, place.port) == (&self.place.host, self.place.port);
            let answer = match self.exchange(session, &place, same, body, attempt).await {
                Ok(answer) => answer,
                Err((why, lost)) => return Outcome::Later { why, after: None, lost },
            };
            let (status, headers, text) = answer;
            let moved = matches!(status.as_u16(), 307 | 308) && self.config.follow_redirects;
            let to = headers.get(header::LOCATION).and_then(|l| l.to_str().ok());
            match (moved, to.map(|to| place.redirected(to))) {
                (true, Some(Ok(next))) => place = next,
                _ => return self.outcome(status, &headers, &text, to),
            }
        }
        refused(None, "stopped after 10 redirects".into(), None)
    }

    async fn exchange(
        &self,
        session: &mut Session,
        place: &Place,
        same: bool,
        body: &[u8],
        attempt: u32,
    ) -> Result<(StatusCode, HeaderMap, String), (String, Option<Lost>)> {
        let tls = match place.https {
            true => Some(self.tls(session.is_connected()).map_err(|e| (e.to_string(), None))?),
            false => None,
        };
        let timeout = Duration::from_millis(self.config.timeout_ms);
        let limits = Limits {
            connect_timeout: timeout,
            timeout,
            max_body_bytes: ANSWER_BYTES,
            ..Limits::default()
        };
        let headers = self.headers(place, same, body, attempt);
        let headers = headers.map_err(|e| (e.to_string(), None))?;
        let request = client::Request {
            method: &Method::POST,
            host: &place.host,
            port: place.port,
            tls: tls.as_deref(),
            also_named: self.config.tls.server_name.as_deref(),
            path_and_query: &place.path_and_query,
            headers: &headers,
            body,
        };
        let mut text = Vec::new();
        let sent = session.send(&limits, request, &mut text).await;
        let answer = sent.map_err(|error| {
            let lost = match error {
                client::Error::Exchange { .. } => Some(Lost::Closed),
                client::Error::Timeout { .. } => Some(Lost::Timeout),
                _ => None,
            };
            (error.to_string(), lost)
        })?;
        let text = String::from_utf8_lossy(&text);
        let told: String = text.trim().chars().take(ANSWER_TOLD).collect();
        Ok((answer.status, answer.headers, told))
    }

    /// Certificates are read again for each connection.
    fn tls(&self, connected: bool) -> Result<Arc<Tls>, client::Error> {
        let mut tls = lock(&self.tls);
        if let Some(tls) = &*tls {
            if !connected {
                tls.reload()?;
            }
            return Ok(tls.clone());
        }
        Ok(tls.insert(Arc::new(Tls::open(self.options.clone())?)).clone())
    }

    fn headers(
        &self,
        place: &Place,
        same: bool,
        body: &[u8],
        attempt: u32,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
        let (kind, version) = match self.message {
            Message::V1 => ("application/x-protobuf", "0.1.0"),
            Message::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        let version_header = HeaderName::from_static("x-prometheus-remote-write-version");
        let mut headers = vec![
            (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
            (header::CONTENT_ENCODING, HeaderValue::from_static("snappy")),
            (header::USER_AGENT, HeaderValue::from_static(USER_AGENT)),
            (version_header, HeaderValue::from_static(version)),
        ];
        if attempt > 0 {
            headers.push((HeaderName::from_static("retry-attempt"), attempt.into()));
        }
        for (name, value) in &self.config.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.push((name, value));
            }
        }
        // What is secret is for the endpoint alone.
        if !same {
            return Ok(headers);
        }
        let secret = |e: scrape::Error| Error::Secret(e.to_string());
        if let Some(value) = self.config.auth.header().map_err(secret)? {
            headers.push((header::AUTHORIZATION, value));
        }
        if let Some(config) = &self.config.sigv4 {
            let credentials = Credentials::find(config).map_err(Error::Secret)?;
            let authority = place.authority();
            let request = Request {
                host: &authority,
                path_and_query: &place.path_and_query,
                headers: &headers,
                body,
            };
            let signed = sigv4::sign(&request, &credentials, &config.service, SystemTime::now());
            headers.extend(signed.map_err(Error::Secret)?);
        }
        Ok(headers)
    }

    fn outcome(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        text: &str,
        to: Option<&str>,
    ) -> Outcome {
        let written = written(headers);
        let why = match (status.is_redirection(), to) {
            (true, Some(to)) => format!("server returned HTTP status {status}, to {to:?}"),
            _ if text.is_empty() => format!("server returned HTTP status {status}"),
            _ => format!("server returned HTTP status {status}: {text}"),
        };
        let after = || {
            let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
            retry_after(text, SystemTime::now())
        };
        match status.as_u16() {
            200..300 if self.message == Message::V2 && written.is_none() => Outcome::Unsupported(
                "the receiver took a request of 2.0 without saying what it wrote, so it does not \
                 know 2.0: it is sent as 1.0"
                    .into(),
            ),
            200..300 => Outcome::Taken(written.filter(|_| self.message == Message::V2)),
            415 if self.message == Message::V2 => Outcome::Unsupported(format!(
                "the receiver does not know 2.0, 1.0 is sent instead: {why}"
            )),
            500.. => Outcome::Later { why, after: after(), lost: None },
            429 if self.config.queue.retry_429 => {
                Outcome::Later { why, after: after(), lost: None }
            }
            code => refused(Some(code), why, written.filter(|_| self.message == Message::V2)),
        }
    }
}

fn refused(status: Option<u16>, why: String, written: Option<Counts>) -> Outcome {
    Outcome::Refused { why, status, written }
}

/// What a receiver of 2.0 says that it wrote.
fn written(headers: &HeaderMap) -> Option<Counts> {
    let count = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let samples = count("x-prometheus-remote-write-samples-written");
    let histograms = count("x-prometheus-remote-write-histograms-written");
    let exemplars = count("x-prometheus-remote-write-exemplars-written");
    let [samples, histograms, exemplars] = match [samples, histograms, exemplars] {
        [None, None, None] => return None,
        said => said.map(|n| n.unwrap_or(0)),
    };
    Some(Counts { samples, histograms, exemplars })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_redirects() {
        let place = |url| Place::of(url).expect("an address");
        let far = place("https://far.example/api/v1/write?a=b");
        assert_eq!((far.https, far.port, far.host.as_str()), (true, 443, "far.example"));
        assert_eq!(far.path_and_query, "/api/v1/write?a=b");
        let near = place("http://[::1]:9090");
        assert_eq!(
            (near.host.as_str(), near.port, near.path_and_query.as_str()),
            ("::1", 9090, "/")
        );
        assert_eq!(near.authority(), "[::1]:9090");
        assert_eq!(far.redirected("/other").expect("a path").path_and_query, "/other");
        assert!(far.redirected("http://far.example/").is_err(), "from TLS to plain HTTP");
        assert!(near.redirected("https://x/y").expect("an address").https);
        for url in ["", "x", "ftp://x/", "http://"] {
            assert!(Place::of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_an_answer_means() {
        let config = RemoteWrite::to("http://x/").expect("an address");
        let mut endpoint = Endpoint::open(&config, PathBuf::new()).expect("opens");
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        let outcome = |endpoint: &Endpoint, status: u16, headers: &HeaderMap| {
            let status = StatusCode::from_u16(status).expect("a status");
            endpoint.outcome(status, headers, "text", None)
        };
        assert!(matches!(outcome(&endpoint, 204, &headers), Outcome::Taken(None)));
        for status in [429, 500, 503] {
            let Outcome::Later { after, why, lost: None } = outcome(&endpoint, status, &headers)
            else {
                panic!("{status} is tried again")
            };
            assert_eq!(after, Some(Duration::from_secs(7)));
            assert!(why.contains("text"), "{why}");
        }
        for status in [301, 400, 401, 404, 413, 415] {
            let outcome = outcome(&endpoint, status, &headers);
            assert!(matches!(outcome, Outcome::Refused { status: Some(s), .. } if s == status));
        }
        endpoint.speak(Message::V2);
        assert!(matches!(outcome(&endpoint, 415, &headers), Outcome::Unsupported(_)));
        assert!(matches!(outcome(&endpoint, 204, &headers), Outcome::Unsupported(_)));
        let name = HeaderName::from_static("x-prometheus-remote-write-samples-written");
        headers.insert(name, HeaderValue::from_static("3"));
        let three = Counts { samples: 3, ..Counts::default() };
        assert!(matches!(outcome(&endpoint, 204, &headers), Outcome::Taken(Some(c)) if c == three));
        assert!(matches!(
            outcome(&endpoint, 400, &headers),
            Outcome::Refused { written: Some(c), .. } if c == three
        ));
    }
}
