//! Bodies for fuzzers: each takes any bytes and panics only where a promise is broken.

use crate::encoding::{Accepted, Encoding};
use crate::web_config::WebConfig;
use axum::http::{HeaderMap, HeaderValue, header};
use std::path::Path;

/// A web configuration file: an error names a place in the text.
pub fn web_config(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    // YAML ends lines with either.
    let lines = text.matches(['\r', '\n']).count() + 1;
    if let Err(errors) = WebConfig::parse(&text, Path::new("web.yml")) {
        assert!(!errors.problems.is_empty() && errors.problems.iter().all(|p| p.line <= lines));
        assert!(!errors.to_string().is_empty());
    }
}

/// An `Accept-Encoding` header: what is chosen was offered, and was not refused by name.
pub fn accept_encoding(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else { return };
    let mut headers = HeaderMap::new();
    let text = value.to_str().unwrap_or("").to_ascii_lowercase().replace([' ', '\t'], "");
    headers.insert(header::ACCEPT_ENCODING, value);
    let accepted = Accepted::of(&headers);
    for offered in [&[Encoding::Gzip][..], &[Encoding::Brotli, Encoding::Zstd], &[]] {
        let chosen = accepted.choose(offered);
        assert!(chosen == Encoding::Identity || offered.contains(&chosen));
        let named = text.contains(chosen.name()) || text.contains('*') || text.contains("x-gzip");
        assert!(chosen == Encoding::Identity || named, "{chosen:?} for {text:?}");
    }
}

/// The `Accept` header of a scrape, and a body that came in.
pub fn accept(input: &[u8]) {
    let _ = model::exposition::Format::negotiate(&String::from_utf8_lossy(input)).content_type();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const YAML: [&str; 24] = [
        "tls_server_config:",
        "\n",
        "  ",
        "cert_file: a",
        "key_file: b",
        "basic_auth_users:",
        "ann: ",
        "[",
        "]",
        "{",
        "}",
        "- ",
        "&a ",
        "*a",
        "rate_limit:",
        "interval: 1s",
        "burst: 1",
        "!!str ",
        "\"",
        "'",
        "# ",
        "|\n",
        "? ",
        ": ",
    ];
    const CODINGS: [&str; 14] = [
        "gzip", "zstd", "br", "*", "identity", ";q=", "0", "1", "0.5", ",", " ", ";", "=", "x-gzip",
    ];

    proptest! {
        #[test]
        fn no_bytes_break_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            super::web_config(&bytes);
            super::accept_encoding(&bytes);
            super::accept(&bytes);
        }

        #[test]
        fn no_almost_right_text_breaks_them(
            yaml in prop::collection::vec(prop::sample::select(YAML.to_vec()), 0..20),
            codings in prop::collection::vec(prop::sample::select(CODINGS.to_vec()), 0..12),
        ) {
            super::web_config(yaml.concat().as_bytes());
            super::accept_encoding(codings.concat().as_bytes());
        }
    }
}
