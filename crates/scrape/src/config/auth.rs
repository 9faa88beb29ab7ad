//! How we sign in at a target, and whom we believe. Files are read when they are needed.

use crate::Error;
use axum::http::HeaderValue;
use std::path::PathBuf;

/// How we sign in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// `basic_auth`
    Basic {
        /// `username` or `username_file`
        user: Secret,
        /// `password` or `password_file`
        password: Secret,
    },
    /// `authorization`, and `bearer_token…` as its older form.
    Authorization {
        /// `type`; `Bearer` where it is not given.
        kind: String,
        /// `credentials` or `credentials_file`
        credentials: Secret,
    },
}

/// A text that is given, or lies in a file that is read for each scrape.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Given.
    Text(String),
    /// In a file.
    File(PathBuf),
}

/// Never the secret itself.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Secret::Text(_) => f.write_str("Text(…)"),
            Secret::File(path) => write!(f, "File({path:?})"),
        }
    }
}

/// `tls_config`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// `ca_file`; the system's authorities where it is not given.
    pub ca_file: Option<PathBuf>,
    /// `cert_file` and `key_file`
    pub identity: Option<(PathBuf, PathBuf)>,
    /// `server_name`
    pub server_name: Option<String>,
    /// `insecure_skip_verify`
    pub insecure: bool,
}

impl Secret {
    /// The text; a file is read now.
    pub fn read(&self) -> Result<String, Error> {
        match self {
            Secret::Text(text) => Ok(text.clone()),
            Secret::File(path) => {
                let wrong = |why: String| Error::Secret { path: path.display().to_string(), why };
                let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
                Ok(text.trim().to_owned())
            }
        }
    }
}

impl Auth {
    /// The header `Authorization`; reads the files.
    pub fn header(&self) -> Result<Option<HeaderValue>, Error> {
        let text = match self {
            Auth::None => return Ok(None),
            Auth::Basic { user, password } => {
                format!(
                    "Basic {}",
                    base64(format!("{}:{}", user.read()?, password.read()?).as_bytes())
                )
            }
            Auth::Authorization { kind, credentials } => format!("{kind} {}", credentials.read()?),
        };
        let wrong = |_| Error::Secret {
            path: "authorization".into(),
            why: "the secret has characters that no header may have".into(),
        };
        let mut value = HeaderValue::from_str(&text).map_err(wrong)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let digit = word >> (18 - 6 * i) & 63;
            out.push(if i <= chunk.len() { char::from(DIGITS[digit as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_rfc_7617_has_them() {
        let secret = |text: &str| Secret::Text(text.into());
        let basic = Auth::Basic { user: secret("Aladdin"), password: secret("open sesame") };
        let header = basic.header().expect("reads").expect("a header");
        assert_eq!(header, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{basic:?}").contains("sesame"));
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("token");
        let bearer =
            Auth::Authorization { kind: "Bearer".into(), credentials: Secret::File(file.clone()) };
        assert!(bearer.header().expect_err("no file").to_string().contains("token: No such file"));
        for token in ["first", "second"] {
            std::fs::write(&file, format!("{token}\n")).expect("writes");
            let header = bearer.header().expect("reads").expect("a header");
            assert_eq!(header, format!("Bearer {token}"));
        }
        assert_eq!(
            ["", "f", "fo", "foo"].map(|t| base64(t.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v"]
        );
    }
}
