//! One exchange with a target: what is asked, redirects, decompression.

use crate::Error;
use crate::negotiate::{Body, accept};
use crate::target::{Target, split_address};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use flate2::read::MultiGzDecoder;
use http::client::{self, Limits, Session, Tls};
use model::exposition::Syntax;
use std::io::Read;
use std::time::Duration;

const USER_AGENT: &str = concat!("kubevigil/", env!("CARGO_PKG_VERSION"));
/// As Go's client has it.
const REDIRECTS: usize = 10;
/// The most that a body may have where no limit is configured.
pub(crate) const MOST_BYTES: u64 = 256 << 20;

/// Where one request goes.
struct Place {
    https: bool,
    host: String,
    port: u16,
    path_and_query: String,
}

/// Buffers of one scrape, kept for another one.
#[derive(Default)]
pub(crate) struct Buffers {
    raw: Vec<u8>,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

impl Buffers {
    /// Bytes of memory.
    pub fn capacity(&self) -> usize {
        self.raw.capacity() + self.body.capacity()
    }
}

/// Asks a target; the body is in `buffers` afterwards.
pub(crate) async fn fetch(
    target: &Target,
    tls: Option<&Tls>,
    session: &mut Session,
    buffers: &mut Buffers,
) -> Result<Body, Error> {
    let job = &target.job;
    let limit = if job.limits.body == 0 { MOST_BYTES } else { job.limits.body.min(MOST_BYTES) };
    let timeout = Duration::from_millis(target.timeout_ms);
    let limits = Limits {
        connect_timeout: timeout,
        timeout,
        max_body_bytes: usize::try_from(limit).unwrap_or(usize::MAX),
        ..Limits::default()
    };
    let mut headers = headers(target)?;
    let mut place = Place {
        https: target.https,
        host: target.host.clone(),
        port: target.port,
        path_and_query: target.path_and_query.clone(),
    };
    let mut elsewhere = Session::default();
    for turn in 0..=REDIRECTS {
        let request = client::Request {
            method: &Method::GET,
            host: &place.host,
            port: place.port,
            tls: if place.https { tls } else { None },
            also_named: job.tls.server_name.as_deref(),
            path_and_query: &place.path_and_query,
            headers: &headers,
            body: &[],
        };
        if place.https && tls.is_none() {
            let to = format!("https://{}", place.host);
            return Err(Error::Redirect { to, why: "the job has no TLS: say scheme: https" });
        }
        let session = if turn == 0 { &mut *session } else { &mut elsewhere };
        let sent = session.send(&limits, request, &mut buffers.raw).await;
        let answer = match sent {
            Err(client::Error::TooLarge { .. }) => return Err(Error::BodySize { limit }),
            other => other?,
        };
        let status = answer.status;
        let followed = [301, 302, 303, 307, 308].contains(&status.as_u16());
        if followed && job.follow_redirects {
            let to = answer.headers.get(header::LOCATION).and_then(|l| l.to_str().ok());
            let next = redirect(&place, to.unwrap_or(""))?;
            if next.host != place.host || next.port != place.port {
                // What is secret is for the target alone.
                headers.retain(|h| h.0 != header::AUTHORIZATION);
            }
            place = next;
            continue;
        }
        if status != StatusCode::OK {
            return Err(Error::Status(status));
        }
        let text = |name: HeaderName| {
            answer.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned()
        };
        decompress(&text(header::CONTENT_ENCODING), limit, buffers)?;
        if buffers.body.is_empty() {
            // It says that there is nothing, whatever it is.
            return Ok(Body::Text(Syntax::Text));
        }
        return Ok(Body::of(&text(header::CONTENT_TYPE), job.exposition.fallback)?);
    }
    Err(Error::Redirect { to: place.host, why: "stopped after 10 redirects" })
}

fn headers(target: &Target) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let encoding = if target.job.compression { "gzip" } else { "identity" };
    let mut headers = vec![
        (header::USER_AGENT, HeaderValue::from_static(USER_AGENT)),
        (header::ACCEPT_ENCODING, HeaderValue::from_static(encoding)),
    ];
    if let Ok(value) = HeaderValue::from_str(&accept(&target.job.exposition)) {
        headers.push((header::ACCEPT, value));
    }
    let seconds = (target.timeout_ms as f64 / 1000.0).to_string();
    if let Ok(value) = HeaderValue::from_str(&seconds) {
        headers.push((HeaderName::from_static("x-prometheus-scrape-timeout-seconds"), value));
    }
    if let Some(value) = target.job.auth.header()? {
        headers.push((header::AUTHORIZATION, value));
    }
    Ok(headers)
}

fn decompress(encoding: &str, limit: u64, buffers: &mut Buffers) -> Result<(), Error> {
    buffers.body.clear();
    match encoding {
        "" | "identity" => std::mem::swap(&mut buffers.raw, &mut buffers.body),
        "gzip" | "x-gzip" => {
            let decoder = MultiGzDecoder::new(buffers.raw.as_slice());
            let read = decoder.take(limit + 1).read_to_end(&mut buffers.body);
            read.map_err(|e| Error::Compression(e.to_string()))?;
        }
        other => return Err(Error::Compression(format!("{other:?} was not asked for"))),
    }
    match buffers.body.len() as u64 > limit {
        true => Err(Error::BodySize { limit }),
        false => Ok(()),
    }
}

/// Where a redirect leads: a whole address, or a path.
fn redirect(from: &Place, to: &str) -> Result<Place, Error> {
    let wrong = |why| Error::Redirect { to: to.to_owned(), why };
    if to.starts_with('/') && !to.starts_with("//") {
        let host = from.host.clone();
        return Ok(Place { host, path_and_query: to.to_owned(), ..*from });
    }
    let (https, rest) = match (to.strip_prefix("https://"), to.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err(wrong("only a whole http or https address or a path is followed")),
    };
    if from.https && !https {
        return Err(wrong("it leads from TLS to plain HTTP"));
    }
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, port) = split_address(&rest[..end], https).ok_or_else(|| wrong("no address"))?;
    let path = if end == rest.len() { "/" } else { &rest[end..] };
    Ok(Place { https, host, port, path_and_query: path.to_owned() })
}
