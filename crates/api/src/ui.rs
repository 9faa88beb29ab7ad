//! The pages: the files of the built UI, which are part of the program. A path that is no file is a
//! page of the UI, which finds its way itself.
//!
//! Files under `/assets/` carry a hash in their names and may be kept for ever; everything else is
//! asked for again each time and answered with 304 where it has not changed.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use std::hash::{BuildHasher, RandomState};

/// What stands in `index.html` in the place of the number that allows its style elements.
const NONCE: &str = "__CSP_NONCE__";

struct Asset {
    path: &'static str,
    etag: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// `GET` of anything that is no endpoint.
pub async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        let allowed = [(header::ALLOW, "GET, HEAD")];
        return (StatusCode::METHOD_NOT_ALLOWED, allowed, "only GET is answered here\n")
            .into_response();
    }
    let path = uri.path();
    if path == "/" || path == "/index.html" {
        return index();
    }
    match ASSETS.binary_search_by(|asset| asset.path.cmp(path)) {
        Ok(at) => file(&ASSETS[at], &headers),
        Err(_) if !is_page(path, &headers) => {
            (StatusCode::NOT_FOUND, format!("no file {path}\n")).into_response()
        }
        Err(_) => index(),
    }
}

/// Whether the UI itself can make something of a path that is no file. A file of an older build or
/// a picture that never was is no page; the page of a control group is one, though its path ends
/// as a file's name does (`/containers/system.slice/ssh.service`), and a browser that opens a page
/// says that it wants HTML.
fn is_page(path: &str, headers: &HeaderMap) -> bool {
    let file_like = path.rsplit('/').next().unwrap_or("").contains('.');
    let wants = |v: &HeaderValue| v.to_str().is_ok_and(|v| v.contains("text/html"));
    !path.starts_with("/assets/") && (!file_like || headers.get(header::ACCEPT).is_some_and(wants))
}

fn file(asset: &Asset, headers: &HeaderMap) -> Response {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or("");
    let immutable = asset.path.starts_with("/assets/");
    let keep = if immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if text(header::IF_NONE_MATCH).split(',').any(|t| t.trim() == asset.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let accepts = text(header::ACCEPT_ENCODING);
        let (body, encoding) = match (asset.brotli, asset.gzip) {
            (Some(body), _) if accepts_encoding(accepts, "br") => (body, Some("br")),
            (_, Some(body)) if accepts_encoding(accepts, "gzip") => (body, Some("gzip")),
            _ => (asset.plain, None),
        };
        let mut response = body.into_response();
        if let Some(encoding) = encoding {
            let encoding = HeaderValue::from_static(encoding);
            response.headers_mut().insert(header::CONTENT_ENCODING, encoding);
        }
        response
    };
    let head = response.headers_mut();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(asset.path)));
    head.insert(header::ETAG, HeaderValue::from_static(asset.etag));
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    head.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// Whether an `Accept-Encoding` allows an encoding by name.
fn accepts_encoding(accepts: &str, encoding: &str) -> bool {
    accepts.split(',').any(|part| {
        let mut words = part.split(';').map(str::trim);
        words.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding))
            && !words.any(|w| matches!(w, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn index() -> Response {
    let Some(index) = ASSETS.iter().find(|a| a.path == "/index.html") else { return not_built() };
    let text = String::from_utf8_lossy(index.plain);
    let nonce = nonce();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; \
         img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut response = Html(text.replace(NONCE, &nonce)).into_response();
    let head = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        head.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A number that nobody can guess: each hasher has keys of its own from the system's randomness.
fn nonce() -> String {
    let mut text = String::with_capacity(32);
    for part in 0..2_u8 {
        text.push_str(&format!("{:016x}", RandomState::new().hash_one(part)));
    }
    text
}

fn not_built() -> Response {
    const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
        <title>Kubevigil</title></head><body><h1>Kubevigil is running</h1>\
        <p>Its pages are not in this program, since the UI had not been built when it was compiled. \
        To have them, run <code>make ui</code> in the source folder and compile again.</p>\
        <p>Everything else works: <a href=\"/api/v1/query?query=up\">the Prometheus API</a>, \
        <a href=\"/api/vigil/v1/status\">the status</a>, \
        <a href=\"/metrics/node\">this machine's metrics</a> and \
        <a href=\"/metrics/cadvisor\">its containers' metrics</a>.</p></body></html>\n";
    let mut response = Html(PAGE).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// By the ending of the name.
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
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sorted_for_the_search() {
        assert!(ASSETS.is_sorted_by_key(|a| a.path));
    }

    #[test]
    fn encodings_are_agreed_on() {
        assert!(accepts_encoding("gzip, deflate, br", "br"));
        assert!(accepts_encoding("BR;q=0.5", "br"));
        assert!(!accepts_encoding("gzip, br;q=0", "br"));
        assert!(!accepts_encoding("", "gzip"));
    }

    #[test]
    fn the_page_of_a_control_group_is_no_file() {
        let mut browser = HeaderMap::new();
        browser.insert(header::ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8"));
        assert!(is_page("/containers/system.slice/ssh.service", &browser));
        assert!(!is_page("/picture.png", &HeaderMap::new()));
        assert!(is_page("/status", &HeaderMap::new()));
        assert!(!is_page("/assets/index-old.js", &browser));
    }

    #[test]
    fn no_nonce_twice() {
        assert_ne!(nonce(), nonce());
        assert_eq!(nonce().len(), 32);
    }
}
