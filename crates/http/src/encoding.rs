//! Content codings: which one a client takes (RFC 9110, 12.5.3), and answers compressed as they are sent.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use flate2::write::GzEncoder;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Smaller answers are not worth the work.
const LEAST: u64 = 1024;
/// Input that is compressed between two looks at other requests.
const STEP: usize = 64 << 10;
/// gzip: three quarters of the best ratio on metrics text at a fifth of the time.
const GZIP_LEVEL: u32 = 2;
#[cfg(feature = "zstd")]
const ZSTD_LEVEL: i32 = 1;

/// What answers can be compressed to as they are sent, the best first.
#[cfg(feature = "zstd")]
const DYNAMIC: &[Encoding] = &[Encoding::Zstd, Encoding::Gzip];
#[cfg(not(feature = "zstd"))]
const DYNAMIC: &[Encoding] = &[Encoding::Gzip];

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// RFC 7932; only for files that were compressed when they were built.
    Brotli,
}

impl Encoding {
    /// Its name in `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Identity => "identity",
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
            Encoding::Brotli => "br",
        }
    }
}

/// The codings that a client takes, with the weight of each in thousandths; 0 refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    gzip: u16,
    zstd: u16,
    brotli: u16,
    identity: u16,
}

impl Accepted {
    /// Reads the `Accept-Encoding` header; without one only identity is sent.
    pub fn of(headers: &HeaderMap) -> Accepted {
        let values = headers.get_all(header::ACCEPT_ENCODING);
        let text: Vec<&str> = values.iter().filter_map(|v| v.to_str().ok()).collect();
        Accepted::parse(&text.join(","))
    }

    fn parse(text: &str) -> Accepted {
        let (mut gzip, mut zstd, mut brotli, mut identity, mut other) =
            (None, None, None, None, None);
        for part in text.split(',') {
            let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
            let quality = parameters.split(';').find_map(|p| {
                let (name, value) = p.split_once('=')?;
                name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
            });
            let weight = match quality.map(str::parse::<f32>) {
                None => 1000,
                Some(Ok(q)) if (0.0..=1.0).contains(&q) => (q * 1000.0) as u16,
                // Not a weight: better uncompressed than wrongly compressed.
                Some(_) => 0,
            };
            let slot = match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => &mut gzip,
                "zstd" => &mut zstd,
                "br" => &mut brotli,
                "identity" => &mut identity,
                "*" => &mut other,
                _ => continue,
            };
            *slot = Some(weight);
        }
        let rest = other.unwrap_or(0);
        Accepted {
            gzip: gzip.unwrap_or(rest),
            zstd: zstd.unwrap_or(rest),
            brotli: brotli.unwrap_or(rest),
            // Allowed unless refused by name or by `*;q=0`; liked less than what was named.
            identity: identity.or(other).unwrap_or(1),
        }
    }

    /// The best of the codings that can be had, which come in our order of preference; identity where
    /// none suits.
    pub fn choose(self, offered: &[Encoding]) -> Encoding {
        let weight = |e: Encoding| match e {
            Encoding::Identity => self.identity,
            Encoding::Gzip => self.gzip,
            Encoding::Zstd => self.zstd,
            Encoding::Brotli => self.brotli,
        };
        let mut best = (Encoding::Identity, self.identity);
        for &encoding in offered {
            let weight = weight(encoding);
            if weight > best.1 || weight == best.1 && weight > 0 && best.0 == Encoding::Identity {
                best = (encoding, weight);
            }
        }
        best.0
    }
}

/// Compresses an answer on its way, where the client takes that, the content gains by it, and it is not
/// compressed yet. The server does this with every answer.
pub fn compress(accepted: Accepted, response: Response) -> Response {
    let headers = response.headers();
    let coded = headers.contains_key(header::CONTENT_ENCODING);
    let type_ = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let size = response.body().size_hint();
    let small = size.upper().is_some_and(|n| n < LEAST);
    if coded || small || !gains(type_) || headers.contains_key(header::CONTENT_RANGE) {
        return response;
    }
    let encoding = accepted.choose(DYNAMIC);
    let (mut parts, body) = response.into_parts();
    vary(&mut parts.headers);
    let Some(encoder) = Encoder::new(encoding) else { return Response::from_parts(parts, body) };
    parts.headers.remove(header::CONTENT_LENGTH);
    let name = HeaderValue::from_static(encoding.name());
    parts.headers.insert(header::CONTENT_ENCODING, name);
    if let Some(etag) = parts.headers.get_mut(header::ETAG) {
        // Another representation: only weakly the same.
        let weak = format!("W/{}", etag.to_str().unwrap_or("\"\"").trim_start_matches("W/"));
        if let Ok(weak) = HeaderValue::from_str(&weak) {
            *etag = weak;
        }
    }
    let body = Compressed { inner: body, pending: Bytes::new(), encoder: Some(encoder) };
    Response::from_parts(parts, Body::new(body))
}

/// Says that the answer depends on `Accept-Encoding`.
pub(crate) fn vary(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// Makes gzip of whole texts, with state that is kept from one to the next.
pub struct Gzip(flate2::Compress);

impl Gzip {
    /// A compressor at rest; it takes about 300 KiB from its first use on.
    #[allow(clippy::new_without_default)] // taking memory should be visible
    pub fn new() -> Gzip {
        Gzip(flate2::Compress::new_gzip(flate2::Compression::new(GZIP_LEVEL), 15))
    }

    /// Appends `input` to `out` as one gzip member.
    pub fn append(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.0.reset();
        loop {
            let read = self.0.total_in() as usize;
            // What is left rarely needs more than an eighth; else the loop comes round again.
            out.reserve((input.len() - read) / 8 + 4096);
            let rest = &input[read..];
            match self.0.compress_vec(rest, out, flate2::FlushCompress::Finish) {
                Ok(flate2::Status::StreamEnd) => return,
                Ok(_) => {}
                // Only a state that was never begun reports one.
                Err(error) => {
                    tracing::error!(%error, "cannot compress");
                    return;
                }
            }
        }
    }
}

/// Whether content of a type is worth compressing.
fn gains(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    essence.starts_with("text/") && essence != "text/event-stream"
        || essence.ends_with("json")
        || essence.ends_with("+xml")
        || matches!(
            essence,
            "application/openmetrics-text"
                | "application/vnd.google.protobuf"
                | "application/javascript"
                | "application/xml"
                | "application/wasm"
        )
}

enum Encoder {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    #[cfg(feature = "zstd")]
    Zstd(Box<zstd::Encoder<'static, Vec<u8>>>),
}

impl Encoder {
    fn new(encoding: Encoding) -> Option<Encoder> {
        match encoding {
            Encoding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Some(Encoder::Gzip(GzEncoder::new(Vec::new(), level).into()))
            }
            #[cfg(feature = "zstd")]
            Encoding::Zstd => {
                zstd::Encoder::new(Vec::new(), ZSTD_LEVEL).ok().map(|e| Encoder::Zstd(e.into()))
            }
            _ => None,
        }
    }

    fn write(&mut self, input: &[u8]) -> io::Result<Bytes> {
        let out = match self {
            Encoder::Gzip(e) => {
                e.write_all(input)?;
                e.get_mut()
            }
            #[cfg(feature = "zstd")]
            Encoder::Zstd(e) => {
                e.write_all(input)?;
                e.get_mut()
            }
        };
        Ok(std::mem::take(out).into())
    }

    fn finish(self) -> io::Result<Bytes> {
        match self {
            Encoder::Gzip(e) => e.finish().map(Into::into),
            #[cfg(feature = "zstd")]
            Encoder::Zstd(e) => e.finish().map(Into::into),
        }
    }
}

/// A body that is compressed step by step, as its reader takes it.
struct Compressed {
    inner: Body,
    pending: Bytes,
    encoder: Option<Encoder>,
}

impl HttpBody for Compressed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            let Some(encoder) = &mut this.encoder else { return Poll::Ready(None) };
            let out = if this.pending.is_empty() {
                match Pin::new(&mut this.inner).poll_frame(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(Some(Ok(frame))) => {
                        this.pending = frame.into_data().unwrap_or_default();
                        continue;
                    }
                    Poll::Ready(None) => match this.encoder.take() {
                        Some(encoder) => encoder.finish(),
                        None => return Poll::Ready(None),
                    },
                }
            } else {
                let step = this.pending.len().min(STEP);
                encoder.write(&this.pending.split_to(step))
            };
            match out {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Err(error) => return Poll::Ready(Some(Err(axum::Error::new(error)))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;
    use std::io::Read;

    #[test]
    fn a_client_gets_what_it_asks_for() {
        use Encoding::*;
        let dynamic = [Zstd, Gzip];
        let files = [Brotli, Zstd, Gzip];
        for (asked, from_dynamic, from_files) in [
            ("", Identity, Identity),
            ("gzip", Gzip, Gzip),
            ("gzip, deflate, br, zstd", Zstd, Brotli),
            ("GZIP;q=1.0, zstd;q=0.5", Gzip, Gzip),
            ("gzip;q=0", Identity, Identity),
            ("gzip;q=0, *", Zstd, Brotli),
            ("*;q=0", Identity, Identity),
            ("identity, gzip;q=0.5", Identity, Identity),
            ("identity;q=0.5, gzip", Gzip, Gzip),
            ("gzip;q=2", Identity, Identity),
            ("gzip;q=x, zstd", Zstd, Zstd),
            ("deflate", Identity, Identity),
            (" , ;q=1, =", Identity, Identity),
            ("br;q=0.001", Identity, Brotli),
        ] {
            let accepted = Accepted::parse(asked);
            assert_eq!(accepted.choose(&dynamic), from_dynamic, "{asked:?}");
            assert_eq!(accepted.choose(&files), from_files, "{asked:?}");
        }
    }

    async fn through(
        accept: &str,
        content_type: &'static str,
        body: String,
    ) -> (Option<String>, Vec<u8>) {
        let response = ([(header::CONTENT_TYPE, content_type)], body).into_response();
        let response = compress(Accepted::parse(accept), response);
        let coding = response.headers().get(header::CONTENT_ENCODING);
        let coding = coding.map(|v| v.to_str().expect("ascii").to_owned());
        (coding, response.into_body().collect().await.expect("a body").to_bytes().to_vec())
    }

    #[tokio::test]
    async fn compressed_bodies_are_whole() {
        let line = |i: usize| format!("some_metric_total{{label=\"{}\"}} {i}\n", i * 7919 % 1000);
        let text: String = (0..10_000).map(line).collect();
        let (coding, body) = through("gzip", "text/plain; version=0.0.4", text.clone()).await;
        assert_eq!(coding.as_deref(), Some("gzip"));
        let mut back = String::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut back).expect("gzip");
        assert!(back == text && body.len() * 3 < text.len());
        let (coding, body) = through("zstd", "application/json", text.clone()).await;
        assert_eq!(coding.as_deref(), Some("zstd"));
        assert!(zstd::decode_all(&body[..]).expect("zstd") == text.as_bytes());

        assert_eq!(through("gzip", "image/png", text.clone()).await.0, None);
        assert_eq!(through("gzip", "text/plain", "short".into()).await.0, None);
        let mut gzip = Gzip::new();
        for text in [text.as_str(), "", "short", &text[..70_000]] {
            let mut out = b"before".to_vec();
            gzip.append(text.as_bytes(), &mut out);
            back.clear();
            flate2::read::GzDecoder::new(&out[6..]).read_to_string(&mut back).expect("gzip");
            assert!(back == text);
        }
    }
}
