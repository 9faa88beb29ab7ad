//! The files of the UI: from memory, compressed when they were built, kept by browsers.

use crate::encoding::{Accepted, Encoding, vary};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ring::rand::SecureRandom;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What the page that is named `index.html` carries where the nonce of its policy goes.
pub const NONCE: &str = "__CSP_NONCE__";

/// A file, built into the program.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its path without a slash in front: `assets/index-Ab12.js`.
    pub path: &'static str,
    /// Its content.
    pub body: &'static [u8],
    /// The content compressed with brotli, if that is at hand.
    pub brotli: Option<&'static [u8]>,
    /// The content compressed with zstd, if that is at hand.
    pub zstd: Option<&'static [u8]>,
    /// The content compressed with gzip, if that is at hand.
    pub gzip: Option<&'static [u8]>,
}

/// A set of files that answers requests.
#[derive(Debug)]
pub struct Files {
    entries: HashMap<&'static str, (Entry, HeaderValue)>,
    immutable: &'static str,
}

impl Files {
    /// Files of which those below the folder `immutable` (`"assets/"`) have names that change with their
    /// content, so that browsers need not ask again.
    pub fn new(entries: &[Entry], immutable: &'static str) -> Files {
        let with_tag = |e: &Entry| {
            let mut hasher = DefaultHasher::new();
            e.body.hash(&mut hasher);
            let tag = format!("\"{:016x}\"", hasher.finish());
            let tag = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""));
            (e.path, (*e, tag))
        };
        Files { entries: entries.iter().map(with_tag).collect(), immutable }
    }

    /// Whether there is a page to show.
    pub fn has_index(&self) -> bool {
        self.entries.contains_key("index.html")
    }

    /// Answers a request: the file of that path; `index.html` for `/` and for any unknown path that
    /// a browser wants to show, but for those of files that change their names; 404 otherwise.
    pub fn serve(&self, request: &Request) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let allow = [(header::ALLOW, "GET, HEAD")];
            return (StatusCode::METHOD_NOT_ALLOWED, allow, "only GET and HEAD\n").into_response();
        }
        let path = request.uri().path().trim_start_matches('/');
        if !matches!(path, "" | "index.html") {
            if let Some((entry, tag)) = self.entries.get(path) {
                return self.file(entry, tag, request.headers());
            }
            let is_asset = !self.immutable.is_empty() && path.starts_with(self.immutable);
            if is_asset || !wants_page(request.headers()) {
                return (StatusCode::NOT_FOUND, format!("no such path: /{path}\n")).into_response();
            }
        }
        match self.entries.get("index.html") {
            Some((entry, _)) => index(entry),
            None => (StatusCode::NOT_FOUND, "no page is built in\n").into_response(),
        }
    }

    fn file(&self, entry: &Entry, tag: &HeaderValue, asked: &HeaderMap) -> Response {
        let variants = [
            (Encoding::Brotli, entry.brotli),
            (Encoding::Zstd, entry.zstd),
            (Encoding::Gzip, entry.gzip),
        ];
        let there: Vec<_> = variants.iter().filter(|v| v.1.is_some()).map(|v| v.0).collect();
        let encoding = Accepted::of(asked).choose(&there);
        let variant = variants.iter().find(|v| v.0 == encoding).and_then(|v| v.1);
        let mut response = Response::new(Body::from(variant.unwrap_or(entry.body)));
        let headers = response.headers_mut();
        if !there.is_empty() {
            vary(headers);
        }
        let forever = !self.immutable.is_empty() && entry.path.starts_with(self.immutable);
        let caching = if forever { "public, max-age=31536000, immutable" } else { "no-cache" };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        // Weak: the same content in any coding.
        let weak = format!("W/{}", tag.to_str().unwrap_or_default());
        if let Ok(weak) = HeaderValue::from_str(&weak) {
            headers.insert(header::ETAG, weak);
        }
        if has_tag(asked, tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Body::empty();
            return response;
        }
        let type_ = HeaderValue::from_static(content_type(entry.path));
        headers.insert(header::CONTENT_TYPE, type_);
        if variant.is_some() {
            let name = HeaderValue::from_static(encoding.name());
            headers.insert(header::CONTENT_ENCODING, name);
        }
        response
    }
}

/// The page, with a nonce of its own for the styles that its libraries make as they run.
fn index(entry: &Entry) -> Response {
    let mut random = [0_u8; 16];
    let page = String::from_utf8_lossy(entry.body);
    if ring::rand::SystemRandom::new().fill(&mut random).is_err() {
        return (StatusCode::INTERNAL_SERVER_ERROR, "no randomness\n").into_response();
    }
    let nonce = format!("{:032x}", u128::from_ne_bytes(random));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; \
         font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, &policy),
    ];
    (headers, page.replace(NONCE, &nonce)).into_response()
}

/// Whether it is a person who looks there: HTML is asked for by name. The ending of the path says
/// nothing: the page of a control group is named as that is (`/containers/system.slice/ssh.service`).
fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let html = |part: &str| {
        let mut parts = part.split(';').map(str::trim);
        parts.next() == Some("text/html")
            && !parts.any(|p| p.starts_with("q=0") && !p.contains('.'))
    };
    accept.split(',').any(html)
}

fn has_tag(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let tag = tag.to_str().unwrap_or_default();
    headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok()).any(|value| {
        value
            .split(',')
            .any(|t| matches!(t.trim(), "*") || t.trim().trim_start_matches("W/") == tag)
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or("") {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    const PAGE: Entry = Entry {
        path: "index.html",
        body: b"<style nonce=__CSP_NONCE__></style>__CSP_NONCE__",
        brotli: None,
        zstd: None,
        gzip: None,
    };
    const SCRIPT: Entry = Entry {
        path: "assets/a-1f.js",
        body: b"plain",
        brotli: Some(b"brotli"),
        zstd: None,
        gzip: Some(b"gzip"),
    };
    const ICON: Entry = Entry { path: "icon.svg", body: b"<svg/>", brotli: None, ..SCRIPT };

    async fn get(path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
        let files = Files::new(&[PAGE, SCRIPT, Entry { gzip: None, ..ICON }], "assets/");
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = files.serve(&request.body(Body::empty()).expect("a request"));
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        (parts.status.as_u16(), parts.headers, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn variants_tags_and_caching() {
        let (status, headers, body) =
            get("/assets/a-1f.js", &[("accept-encoding", "br, gzip")]).await;
        assert_eq!((status, body.as_str()), (200, "brotli"));
        assert_eq!(headers["content-encoding"], "br");
        assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
        assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
        assert_eq!(headers["vary"], "Accept-Encoding");
        let tag = headers["etag"].to_str().expect("ascii").to_owned();
        let (_, headers, body) =
            get("/assets/a-1f.js", &[("accept-encoding", "br;q=0, gzip")]).await;
        assert_eq!(
            (body.as_str(), &headers["content-encoding"]),
            ("gzip", &HeaderValue::from_static("gzip"))
        );
        let (_, headers, body) = get("/assets/a-1f.js", &[]).await;
        assert!(body == "plain" && !headers.contains_key("content-encoding"));
        let asked = format!("\"other\", {tag}");
        let (status, headers, body) = get("/assets/a-1f.js", &[("if-none-match", &asked)]).await;
        assert_eq!((status, body.as_str()), (304, ""));
        assert_eq!(headers["etag"], tag.as_str());
        let (status, headers, _) = get("/icon.svg", &[("if-none-match", &tag)]).await;
        assert_eq!(
            (status, &headers["cache-control"]),
            (200, &HeaderValue::from_static("no-cache"))
        );
    }

    #[tokio::test]
    async fn only_a_person_gets_the_page_for_an_unknown_path() {
        let browser = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
        for path in
            ["/", "/index.html", "/containers/x?y=1", "/containers/system.slice/ssh.service"]
        {
            let (status, headers, body) = get(path, &browser).await;
            assert_eq!(
                (status, &headers["content-type"]),
                (200, &HeaderValue::from_static("text/html; charset=utf-8"))
            );
            let policy = headers["content-security-policy"].to_str().expect("ascii");
            let nonce =
                policy.split("'nonce-").nth(1).and_then(|p| p.split('\'').next()).expect("a nonce");
            assert_eq!(nonce.len(), 32);
            assert_eq!(body, format!("<style nonce={nonce}></style>{nonce}"));
            assert!(!policy.contains("unsafe-inline"));
        }
        let (_, first, _) = get("/", &browser).await;
        let (_, second, _) = get("/", &browser).await;
        assert_ne!(first["content-security-policy"], second["content-security-policy"]);
        assert_eq!(get("/api/v1/nothing", &[("accept", "*/*")]).await.0, 404);
        assert_eq!(get("/assets/gone.js", &browser).await.0, 404);
        assert_eq!(get("/picture.png", &[("accept", "image/*,*/*")]).await.0, 404);
        assert_eq!(get("/../etc/passwd", &[]).await.0, 404);
    }
}
