//! Which format a target is asked for, and which one its answer is in: the `Accept` header, and the
//! content type with Prometheus 3's words for what is wrong with it (`scrape/scrape.go`,
//! `model/textparse/interface.go`).

use crate::config::{Exposition, Protocol};
use model::exposition::Syntax;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Text(Syntax),
    Protobuf,
}

/// Why nobody knows what a body is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentTypeError {
    /// There is none.
    #[error(
        "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol \
         specified for target"
    )]
    Blank,
    /// It is none.
    #[error("cannot parse Content-Type {text:?} and no fallback_scrape_protocol for target: {why}")]
    Unreadable {
        /// What was sent.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// OpenMetrics 2.0, which is experimental.
    #[error(
        "received OpenMetrics 2.0 Content-Type {0:?}, which is not read here, and no \
         fallback_scrape_protocol specified for target"
    )]
    OpenMetrics2(String),
    /// It is none that is read.
    #[error(
        "received unsupported Content-Type {0:?} and no fallback_scrape_protocol specified for target"
    )]
    Unsupported(String),
}

/// The weight of the first of `scrape_protocols`, in tenths: Prometheus 3.15 knows six of them.
const WEIGHT: usize = 7;

/// The `Accept` header for a job's targets.
pub(crate) fn accept(exposition: &Exposition) -> String {
    let mut header = String::new();
    let mut weight = WEIGHT;
    for protocol in &exposition.protocols {
        header.push_str(protocol.media_type());
        if protocol.says_escaping() {
            header.push_str(";escaping=");
            header.push_str(exposition.escaping.as_str());
        }
        header.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    header.push_str(&format!("*/*;q=0.{weight}"));
    header
}

impl Body {
    /// What a body with this content type is, or else the job's fallback.
    pub(crate) fn of(
        content_type: &str,
        fallback: Option<Protocol>,
    ) -> Result<Body, ContentTypeError> {
        match (Body::known(content_type), fallback) {
            (Ok(body), _) => Ok(body),
            (Err(_), Some(Protocol::Protobuf)) => Ok(Body::Protobuf),
            (Err(_), Some(Protocol::Text0 | Protocol::Text1)) => Ok(Body::Text(Syntax::Text)),
            (Err(_), Some(Protocol::OpenMetrics0 | Protocol::OpenMetrics1)) => {
                Ok(Body::Text(Syntax::OpenMetrics))
            }
            (Err(error), None) => Err(error),
        }
    }

    fn known(content_type: &str) -> Result<Body, ContentTypeError> {
        if content_type.is_empty() {
            return Err(ContentTypeError::Blank);
        }
        let (media_type, version) = media_type(content_type)
            .map_err(|why| ContentTypeError::Unreadable { text: content_type.to_owned(), why })?;
        match media_type.as_str() {
            "application/openmetrics-text" if version == "2.0.0" => {
                Err(ContentTypeError::OpenMetrics2(content_type.to_owned()))
            }
            "application/openmetrics-text" => Ok(Body::Text(Syntax::OpenMetrics)),
            "application/vnd.google.protobuf" => Ok(Body::Protobuf),
            "text/plain" => Ok(Body::Text(Syntax::Text)),
            _ => Err(ContentTypeError::Unsupported(content_type.to_owned())),
        }
    }
}

/// The media type, in lower case, and the parameter `version`; refused is what Go's `mime` refuses.
fn media_type(text: &str) -> Result<(String, String), &'static str> {
    let (kind, mut rest) = text.split_at(text.find(';').unwrap_or(text.len()));
    let kind = kind.trim().to_ascii_lowercase();
    match kind.split_once('/') {
        _ if kind.is_empty() => return Err("mime: no media type"),
        Some((kind, sub)) if is_token(kind) && is_token(sub) => {}
        None if is_token(&kind) => {}
        None => return Err("mime: expected slash after first token"),
        Some(("", _)) => return Err("mime: no media type"),
        Some((_, "")) => return Err("mime: expected token after slash"),
        Some(_) => return Err("mime: unexpected content after media subtype"),
    }
    let mut seen: Vec<(String, String)> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest.trim() == ";" {
            break;
        }
        let wrong = "mime: invalid media parameter";
        let after = rest.strip_prefix(';').ok_or(wrong)?.trim_start();
        let end = after.find(|c: char| !c.is_ascii() || !is_token_byte(c as u8));
        let (name, after) = after.split_at(end.unwrap_or(after.len()));
        let after = after.trim_start().strip_prefix('=').filter(|_| !name.is_empty());
        let (value, left) = parameter(after.ok_or(wrong)?.trim_start()).ok_or(wrong)?;
        let name = name.to_ascii_lowercase();
        match seen.iter().find(|s| s.0 == name) {
            Some(known) if known.1 != value => return Err("mime: duplicate parameter name"),
            _ => seen.push((name, value)),
        }
        rest = left;
    }
    let version = seen.into_iter().find(|s| s.0 == "version").map(|s| s.1);
    Ok((kind, version.unwrap_or_default()))
}

/// A parameter's value, bare or in quotes, and what is behind it.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !c.is_ascii() || !is_token_byte(c as u8));
        let (value, rest) = text.split_at(end.unwrap_or(text.len()));
        return (!value.is_empty()).then(|| (value.to_owned(), rest));
    };
    let (mut value, mut chars) = (String::new(), quoted.char_indices());
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(b: u8) -> bool {
    b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::exposition::protobuf::Choice;

    #[test]
    fn targets_are_asked_as_prometheus_asks_them() {
        // What a Prometheus 3.15 sends (tests/whole/expositions.rs compares with a real one).
        let texts = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.7,\
                     application/openmetrics-text;version=0.0.1;q=0.6,\
                     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                     text/plain;version=0.0.4;q=0.4,*/*;q=0.3";
        assert_eq!(accept(&Exposition::default()), texts);
        let histograms = Choice { native: true, ..Choice::default() };
        let protocols = vec![Protocol::Protobuf, Protocol::Text1];
        let escaping = model::exposition::Escaping::Dots;
        let native = Exposition { histograms, protocols, escaping, ..Exposition::default() };
        let asked = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                     encoding=delimited;q=0.7,text/plain;version=1.0.0;escaping=dots;q=0.6,*/*;q=0.5";
        assert_eq!(accept(&native), asked);
    }

    #[test]
    fn what_an_answer_is_is_said_by_its_type_or_by_the_job() {
        let (text, open) = (Body::Text(Syntax::Text), Body::Text(Syntax::OpenMetrics));
        for (content_type, body) in [
            ("text/plain", text),
            ("TEXT/Plain; version=0.0.4 ;charset=\"utf-8\";", text),
            ("application/openmetrics-text; version=1.0.0; escaping=allow-utf-8", open),
            (
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
                open,
            ),
            ("application/vnd.google.protobuf; encoding=delimited", Body::Protobuf),
        ] {
            assert_eq!(Body::of(content_type, Some(Protocol::OpenMetrics1)), Ok(body));
        }
        for (content_type, why) in [
            ("", "non-compliant scrape target sending blank Content-Type and no fallback"),
            ("text/html", "received unsupported Content-Type \"text/html\" and no fallback"),
            ("plain", "received unsupported Content-Type \"plain\""),
            ("text/plain; a", "cannot parse Content-Type \"text/plain; a\" and no fallback"),
            ("text/plain; a=\"", "mime: invalid media parameter"),
            ("text/plain; a=1; A=2", "mime: duplicate parameter name"),
            ("text plain", "mime: expected slash after first token"),
            ("text/", "mime: expected token after slash"),
            (";", "mime: no media type"),
            ("application/openmetrics-text; version=2.0.0", "received OpenMetrics 2.0"),
        ] {
            let told = Body::of(content_type, None).expect_err(content_type).to_string();
            assert!(told.contains(why), "{content_type}: {told}");
            assert_eq!(Body::of(content_type, Some(Protocol::Text0)), Ok(text));
            assert_eq!(Body::of(content_type, Some(Protocol::Protobuf)), Ok(Body::Protobuf));
        }
    }
}
