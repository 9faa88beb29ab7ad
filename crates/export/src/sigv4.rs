//! Requests signed as AWS wants them: Signature Version 4, with `ring`'s HMAC and SHA-256.
//!
//! Followed is AWS's "Create a signed AWS API request"; judged by examples of its documentation. Why no
//! crate of AWS's: docs/adr.

use crate::credentials::Credentials;
use axum::http::{HeaderName, HeaderValue};
use ring::{digest, hmac};
use std::fmt::Write;
use std::time::SystemTime;
use time::OffsetDateTime;

/// What is signed.
pub struct Request<'a> {
    /// As the header `Host` has it.
    pub host: &'a str,
    /// Path and query.
    pub path_and_query: &'a str,
    /// Headers; those named `x-…` and the content's are signed.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The body.
    pub body: &'a [u8],
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The headers that sign a POST request.
pub fn sign(
    request: &Request<'_>,
    credentials: &Credentials,
    service: &str,
    now: SystemTime,
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    signed("POST", request, credentials, service, now)
}

fn signed(
    method: &str,
    request: &Request<'_>,
    credentials: &Credentials,
    service: &str,
    now: SystemTime,
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let stamp = stamp(now);
    let day = &stamp[..8];
    let body = hex(digest::digest(&digest::SHA256, request.body).as_ref());
    let mut added = vec![("x-amz-date", stamp.clone())];
    if !credentials.token.is_empty() {
        added.push(("x-amz-security-token", credentials.token.clone()));
    }
    let mut headers: Vec<(String, String)> = vec![("host".into(), request.host.into())];
    for (name, value) in request.headers {
        // What lies between may change the others.
        if name.as_str().starts_with("content-") || name.as_str().starts_with("x-prometheus") {
            let value = value.to_str().map_err(|_| format!("{name}: not a text"))?;
            headers.push((name.to_string(), value.trim().into()));
        }
    }
    headers.extend(added.iter().map(|(n, v)| ((*n).to_owned(), v.clone())));
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|h| h.0.as_str()).collect();
    let names = names.join(";");
    let (path, query) =
        request.path_and_query.split_once('?').unwrap_or((request.path_and_query, ""));
    let mut canonical = format!("{method}\n{}\n{}\n", encoded_path(path), canonical_query(query));
    for (name, value) in &headers {
        let _ = writeln!(canonical, "{name}:{value}"); // a String takes everything
    }
    let _ = write!(canonical, "\n{names}\n{body}");
    let scope = format!("{day}/{}/{service}/aws4_request", credentials.region);
    let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("{ALGORITHM}\n{stamp}\n{scope}\n{hashed}");
    let mut key = format!("AWS4{}", credentials.secret).into_bytes();
    for part in [day, &credentials.region, service, "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    let signature = hex(&mac(&key, text.as_bytes()));
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.key
    );
    let mut out = Vec::new();
    for (name, value) in added.into_iter().chain([("authorization", authorization)]) {
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| "the keys for sigv4 have characters that no header may have")?;
        value.set_sensitive(name != "x-amz-date");
        out.push((HeaderName::from_static(name), value));
    }
    Ok(out)
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `20150830T123600Z`
fn stamp(now: SystemTime) -> String {
    let t = OffsetDateTime::from(now);
    let (date, month) = (t.date(), u8::from(t.month()));
    let (hour, minute, second) = t.to_hms();
    format!("{:04}{month:02}{:02}T{hour:02}{minute:02}{second:02}Z", date.year(), date.day())
}

/// Everything but unreserved characters as `%XX`; what is encoded already is encoded once more, as all
/// services but S3 want it.
fn encoded_path(path: &str) -> String {
    match path {
        "" => "/".into(),
        path => encoded(path, true),
    }
}

fn encoded(text: &str, slash: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte.into());
            }
            b'/' if slash => out.push('/'),
            other => {
                let _ = write!(out, "%{other:02X}"); // a String takes everything
            }
        }
    }
    out
}

/// Parameters decoded, encoded anew, sorted.
fn canonical_query(query: &str) -> String {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let mut pairs: Vec<(String, String)> =
        pairs.map(|(n, v)| (encoded(&n, false), encoded(&v, false))).collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(n, v)| format!("{n}={v}")).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn authorization(method: &str, path: &str) -> String {
        let credentials = Credentials {
            region: "us-east-1".into(),
            key: "AKIDEXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            token: String::new(),
        };
        let request = Request {
            host: "example.amazonaws.com",
            path_and_query: path,
            headers: &[],
            body: b"",
        };
        // 2015-08-30T12:36:00Z
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let headers = signed(method, &request, &credentials, "service", now).expect("signs");
        assert_eq!(headers[0].1, "20150830T123600Z");
        headers[1].1.to_str().expect("a text").to_owned()
    }

    /// Cases get-vanilla, post-vanilla and get-vanilla-query-order-key-case of AWS's test suite.
    #[test]
    fn signatures_are_those_of_the_test_suite() {
        let wanted = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                      SignedHeaders=host;x-amz-date, Signature=";
        for (method, path, signature) in [
            ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "GET",
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            assert_eq!(authorization(method, path), format!("{wanted}{signature}"));
        }
    }

    #[test]
    fn what_is_signed_is_encoded_once() {
        assert_eq!(canonical_query("b=2&a=%2F+x&c"), "a=%2F%20x&b=2&c=");
        assert_eq!(encoded_path("/a b/%20"), "/a%20b/%2520");
        let credentials = Credentials {
            region: "r".into(),
            key: "k".into(),
            secret: "s".into(),
            token: "t".into(),
        };
        let headers = [
            (HeaderName::from_static("user-agent"), HeaderValue::from_static("u")),
            (HeaderName::from_static("content-encoding"), HeaderValue::from_static("snappy")),
        ];
        let request = Request { host: "h", path_and_query: "/", headers: &headers, body: b"x" };
        let signed = sign(&request, &credentials, "aps", SystemTime::UNIX_EPOCH).expect("signs");
        let text = signed[2].1.to_str().expect("a text");
        let names = "SignedHeaders=content-encoding;host;x-amz-date;x-amz-security-token,";
        assert!(text.contains(names), "{text}");
        assert!(signed[2].1.is_sensitive());
    }
}
