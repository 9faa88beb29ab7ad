//! Prometheus's web configuration file: TLS, users, headers, a rate limit.
//!
//! Followed is exporter-toolkit's `docs/web-configuration.md`. Every mistake is reported at once, with its
//! line and column. What the format allows and we do not do (TLS below 1.2, client certificates that are not
//! verified) is refused by name, never ignored.

use axum::http::{HeaderName, HeaderValue};
use saphyr::{LoadableYamlNode, MarkedYaml};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A web configuration.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// TLS; plain HTTP without.
    pub tls: Option<TlsConfig>,
    /// Names and bcrypt hashes; nobody needs to sign in where there is none.
    pub users: Vec<(String, String)>,
    /// Headers set on each answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether HTTP/2 is offered over TLS (by programs that are built with it; the agent is not).
    pub http2: bool,
    /// A limit on requests.
    pub rate_limit: Option<RateLimit>,
}

impl Default for WebConfig {
    fn default() -> WebConfig {
        WebConfig {
            tls: None,
            users: Vec::new(),
            headers: Vec::new(),
            http2: true,
            rate_limit: None,
        }
    }
}

/// How TLS is spoken.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The certificate chain.
    pub cert: Pem,
    /// Its key.
    pub key: Pem,
    /// The CAs that client certificates are verified against.
    pub client_ca: Option<Pem>,
    /// Whether clients need a certificate.
    pub client_auth: ClientAuth,
    /// A client's certificate must be valid for one of these names, where there are any.
    pub client_allowed_sans: Vec<String>,
    /// TLS 1.2 may be spoken.
    pub tls12: bool,
    /// TLS 1.3 may be spoken.
    pub tls13: bool,
    /// Suites of TLS 1.2 by their IANA names; empty for the defaults.
    pub cipher_suites: Vec<String>,
    /// Curves by Go's names; empty for the defaults.
    pub curves: Vec<String>,
}

/// Where a PEM text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// In a file.
    File(PathBuf),
    /// In the configuration itself.
    Text(String),
}

/// What is asked of clients in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing.
    None,
    /// A certificate is verified where there is one.
    IfGiven,
    /// A certificate that verifies.
    Required,
}

/// At most `burst` requests at once, and one for each `interval` in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Time for one request.
    pub interval: Duration,
    /// Requests at once.
    pub burst: u32,
}

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

/// All mistakes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// The file.
    pub path: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl std::error::Error for Errors {}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, p) in self.problems.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{}", self.path.display())?;
            if p.line > 0 {
                write!(f, ":{}:{}", p.line, p.column)?;
            }
            write!(f, ": {}", p.what)?;
        }
        Ok(())
    }
}

impl WebConfig {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<WebConfig, Errors> {
        let text = std::fs::read_to_string(path).map_err(|e| Errors {
            path: path.into(),
            problems: vec![Problem { line: 0, column: 0, what: format!("cannot read it: {e}") }],
        })?;
        WebConfig::parse(&text, path)
    }

    /// Reads a text; file names in it are relative to the folder of `path`.
    pub fn parse(text: &str, path: &Path) -> Result<WebConfig, Errors> {
        let mut reader =
            Reader { folder: path.parent().unwrap_or(Path::new("")).into(), problems: Vec::new() };
        let mut config = WebConfig::default();
        match MarkedYaml::load_from_str(text) {
            Ok(documents) => {
                if let Some(root) = documents.first() {
                    reader.root(root, &mut config);
                }
            }
            Err(error) => {
                let place = error.marker();
                let what = error.info().to_string();
                reader.problems.push(Problem { line: place.line(), column: place.col() + 1, what });
            }
        }
        if reader.problems.is_empty() {
            return Ok(config);
        }
        // The scanner may be a line past the end where something is missing.
        let lines = text.matches(['\r', '\n']).count() + 1;
        reader.problems.iter_mut().for_each(|p| p.line = p.line.min(lines));
        Err(Errors { path: path.into(), problems: reader.problems })
    }

    /// Whether a client has to prove who it is.
    pub fn authenticates(&self) -> bool {
        let certificates = self.tls.as_ref().map(|t| t.client_auth);
        !self.users.is_empty() || certificates == Some(ClientAuth::Required)
    }
}

struct Reader {
    folder: PathBuf,
    problems: Vec<Problem>,
}

/// The keys of `tls_server_config`.
const TLS_KEYS: [&str; 13] = [
    "cert",
    "key",
    "client_ca",
    "cert_file",
    "key_file",
    "client_ca_file",
    "client_auth_type",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "curve_preferences",
    "prefer_server_cipher_suites",
];

impl Reader {
    fn problem(&mut self, at: &MarkedYaml<'_>, what: impl Into<String>) {
        let start = at.span.start;
        let (line, column) = (start.line(), start.col() + 1);
        self.problems.push(Problem { line, column, what: what.into() });
    }

    /// The entries of a mapping, keys checked against `known` (empty: any key goes).
    fn entries<'n, 'y>(
        &mut self,
        node: &'n MarkedYaml<'y>,
        section: &str,
        known: &[&str],
    ) -> Vec<(String, &'n MarkedYaml<'y>, &'n MarkedYaml<'y>)> {
        if node.data.is_null() {
            return Vec::new();
        }
        let Some(mapping) = node.data.as_mapping() else {
            self.problem(node, format!("{section} must be a mapping of keys to values"));
            return Vec::new();
        };
        let mut entries = Vec::new();
        for (key, value) in mapping {
            match key.data.as_str() {
                Some(name) if known.is_empty() || known.contains(&name) => {
                    entries.push((name.to_owned(), key, value));
                }
                Some(name) => {
                    let known = known.join(", ");
                    self.problem(
                        key,
                        format!("unknown field {name:?} in {section}; there are {known}"),
                    );
                }
                None => self.problem(key, format!("a key of {section} must be a string")),
            }
        }
        entries
    }

    fn text(&mut self, node: &MarkedYaml<'_>, name: &str) -> Option<String> {
        let text = node.data.as_str().map(str::to_owned);
        if text.is_none() {
            self.problem(node, format!("{name} must be a string"));
        }
        text
    }

    fn list(&mut self, node: &MarkedYaml<'_>, name: &str) -> Vec<String> {
        if node.data.is_null() {
            return Vec::new();
        }
        let Some(items) = node.data.as_sequence() else {
            self.problem(node, format!("{name} must be a list of strings"));
            return Vec::new();
        };
        items.iter().filter_map(|item| self.text(item, &format!("an item of {name}"))).collect()
    }

    fn flag(&mut self, node: &MarkedYaml<'_>, name: &str) -> Option<bool> {
        let flag = node.data.as_bool();
        if flag.is_none() {
            self.problem(node, format!("{name} must be true or false"));
        }
        flag
    }

    fn root(&mut self, node: &MarkedYaml<'_>, config: &mut WebConfig) {
        let known = ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];
        for (name, key, value) in self.entries(node, "the web configuration", &known) {
            match name.as_str() {
                "tls_server_config" => config.tls = self.tls(key, value),
                "http_server_config" => self.http(value, config),
                "basic_auth_users" => self.users(value, config),
                _ => config.rate_limit = self.rate(key, value),
            }
        }
    }

    fn users(&mut self, node: &MarkedYaml<'_>, config: &mut WebConfig) {
        for (name, _, value) in self.entries(node, "basic_auth_users", &[]) {
            let Some(hash) = self.text(value, &format!("the hash of user {name:?}")) else {
                continue;
            };
            match hash.parse::<bcrypt::HashParts>() {
                Ok(_) => config.users.push((name, hash)),
                // The hash itself is not repeated: it is a secret.
                Err(_) => self.problem(
                    value,
                    format!("the password of user {name:?} must be a bcrypt hash: htpasswd -nBC 10 {name} makes one"),
                ),
            }
        }
    }

    fn http(&mut self, node: &MarkedYaml<'_>, config: &mut WebConfig) {
        const HEADERS: [&str; 5] = [
            "Content-Security-Policy",
            "X-Frame-Options",
            "X-Content-Type-Options",
            "X-XSS-Protection",
            "Strict-Transport-Security",
        ];
        for (name, _, value) in self.entries(node, "http_server_config", &["http2", "headers"]) {
            if name == "http2" {
                config.http2 = self.flag(value, "http2").unwrap_or(true);
                continue;
            }
            for (header, _, value) in self.entries(value, "headers", &HEADERS) {
                let Some(text) = self.text(value, &header) else { continue };
                let allowed: &[&str] = match header.as_str() {
                    "X-Frame-Options" => &["deny", "sameorigin"],
                    "X-Content-Type-Options" => &["nosniff"],
                    _ => &[],
                };
                let given = text.to_ascii_lowercase();
                if !allowed.is_empty() && !text.is_empty() && !allowed.contains(&given.as_str()) {
                    let allowed = allowed.join(" or ");
                    self.problem(value, format!("{header} must be {allowed}, not {text:?}"));
                }
                match (HeaderName::try_from(&header), HeaderValue::try_from(&text)) {
                    (Ok(_), Ok(_)) if text.is_empty() => {}
                    (Ok(header), Ok(text)) => config.headers.push((header, text)),
                    _ => self.problem(value, format!("{text:?} cannot be the value of a header")),
                }
            }
        }
    }

    fn rate(&mut self, key: &MarkedYaml<'_>, node: &MarkedYaml<'_>) -> Option<RateLimit> {
        let (mut interval, mut burst) = (None, None);
        for (name, _, value) in self.entries(node, "rate_limit", &["interval", "burst"]) {
            if name == "burst" {
                burst =
                    value.data.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
                if burst.is_none() {
                    self.problem(value, "burst must be a whole number above 0");
                }
            } else {
                let zero = value.data.as_integer() == Some(0);
                let text = value.data.as_str().and_then(parse_duration);
                interval = if zero { Some(Duration::ZERO) } else { text };
                if interval.is_none() {
                    self.problem(value, "interval must be a duration, for instance 100ms");
                }
            }
        }
        match (interval, burst) {
            (Some(Duration::ZERO), _) => None,
            (Some(interval), Some(burst)) => Some(RateLimit { interval, burst }),
            (Some(_), None) => {
                self.problem(key, "rate_limit needs burst");
                None
            }
            (None, _) => None,
        }
    }

    fn tls(&mut self, key: &MarkedYaml<'_>, node: &MarkedYaml<'_>) -> Option<TlsConfig> {
        let entries = self.entries(node, "tls_server_config", &TLS_KEYS);
        if entries.is_empty() {
            return None;
        }
        let mut tls = TlsConfig {
            cert: Pem::Text(String::new()),
            key: Pem::Text(String::new()),
            client_ca: None,
            client_auth: ClientAuth::None,
            client_allowed_sans: Vec::new(),
            tls12: true,
            tls13: true,
            cipher_suites: Vec::new(),
            curves: Vec::new(),
        };
        let (mut cert, mut secret) = (None, None);
        for (name, at, value) in entries {
            match name.as_str() {
                "cert" | "cert_file" => self.pem(&name, at, value, &mut cert),
                "key" | "key_file" => self.pem(&name, at, value, &mut secret),
                "client_ca" | "client_ca_file" => self.pem(&name, at, value, &mut tls.client_ca),
                "client_auth_type" => self.client_auth(value, &mut tls),
                "client_allowed_sans" => tls.client_allowed_sans = self.list(value, &name),
                "min_version" => tls.tls12 = self.version(value, &name).is_none_or(|v| v == 12),
                "max_version" => tls.tls13 = self.version(value, &name).is_none_or(|v| v == 13),
                "cipher_suites" => tls.cipher_suites = self.list(value, &name),
                "curve_preferences" => tls.curves = self.list(value, &name),
                // The server's order is always preferred.
                _ => drop(self.flag(value, &name)),
            }
        }
        match cert {
            Some(pem) => tls.cert = pem,
            None => self.problem(key, "tls_server_config needs one of cert and cert_file"),
        }
        match secret {
            Some(pem) => tls.key = pem,
            None => self.problem(key, "tls_server_config needs one of key and key_file"),
        }
        if tls.client_auth != ClientAuth::None && tls.client_ca.is_none() {
            self.problem(
                key,
                "client_auth_type asks for certificates, so client_ca_file is needed",
            );
        }
        if tls.client_auth == ClientAuth::None && tls.client_ca.is_some() {
            self.problem(
                key,
                "client_ca is given, so client_auth_type must say RequireAndVerifyClientCert",
            );
        }
        if !tls.tls12 && !tls.tls13 {
            self.problem(key, "min_version is above max_version");
        }
        Some(tls)
    }

    fn pem(
        &mut self,
        name: &str,
        key: &MarkedYaml<'_>,
        node: &MarkedYaml<'_>,
        pem: &mut Option<Pem>,
    ) {
        let Some(text) = self.text(node, name).filter(|t| !t.is_empty()) else { return };
        if pem.is_some() {
            let plain = name.trim_end_matches("_file");
            self.problem(key, format!("only one of {plain} and {plain}_file may be given"));
        }
        let file = name.ends_with("_file");
        *pem = Some(if file { Pem::File(self.folder.join(text)) } else { Pem::Text(text) });
    }

    fn client_auth(&mut self, node: &MarkedYaml<'_>, tls: &mut TlsConfig) {
        let Some(text) = self.text(node, "client_auth_type") else { return };
        tls.client_auth = match text.as_str() {
            "NoClientCert" | "" => ClientAuth::None,
            "VerifyClientCertIfGiven" => ClientAuth::IfGiven,
            "RequireAndVerifyClientCert" => ClientAuth::Required,
            "RequestClientCert" | "RequireAnyClientCert" => {
                let what = "takes certificates that nobody verified, which protects nothing";
                let instead = "say RequireAndVerifyClientCert";
                return self.problem(node, format!("client_auth_type {text} {what}: {instead}"));
            }
            _ => return self.problem(node, format!("unknown client_auth_type {text:?}")),
        };
    }

    fn version(&mut self, node: &MarkedYaml<'_>, name: &str) -> Option<u8> {
        match self.text(node, name)?.as_str() {
            "TLS12" => Some(12),
            "TLS13" => Some(13),
            old @ ("TLS10" | "TLS11") => {
                self.problem(
                    node,
                    format!("{name} {old} is broken and not spoken: say TLS12 or TLS13"),
                );
                None
            }
            other => {
                self.problem(node, format!("{name} must be TLS12 or TLS13, not {other:?}"));
                None
            }
        }
    }
}

/// A duration as Go writes it: numbers with units, one after the other.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number
            * match &rest[..letters] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(())?;
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

    fn parse(text: &str) -> Result<WebConfig, Errors> {
        WebConfig::parse(text, Path::new("/etc/web.yml"))
    }

    #[test]
    fn a_whole_file() {
        let text = format!(
            "tls_server_config:\n  cert_file: server.crt\n  key_file: /abs/server.key\n  client_ca_file: ca.crt\n  \
             client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS13\n  client_allowed_sans: [a.example]\n\
             http_server_config:\n  http2: false\n  headers:\n    Strict-Transport-Security: max-age=1\n    \
             X-Frame-Options: sameorigin\nbasic_auth_users:\n  ann: {HASH}\n  bob: '{HASH}'\n\
             rate_limit:\n  interval: 1m30s\n  burst: 20\n"
        );
        let config = parse(&text).expect("reads");
        let tls = config.tls.as_ref().expect("tls");
        assert_eq!(tls.cert, Pem::File("/etc/server.crt".into()));
        assert_eq!(tls.key, Pem::File("/abs/server.key".into()));
        assert_eq!(tls.client_auth, ClientAuth::Required);
        assert!(!tls.tls12 && tls.tls13 && !config.http2 && config.authenticates());
        assert_eq!(config.users.len(), 2);
        assert_eq!(config.headers.len(), 2);
        let limit = RateLimit { interval: Duration::from_secs(90), burst: 20 };
        assert_eq!(config.rate_limit, Some(limit));
    }

    #[test]
    fn nothing_is_a_file_too() {
        for text in ["", "# only a comment\n", "{}", "tls_server_config: {}\nbasic_auth_users:\n"] {
            let config = parse(text).expect(text);
            assert!(config.tls.is_none() && !config.authenticates() && config.http2);
        }
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let text = "tls_server_config:\n  certfile: x\n  key: a\n  key_file: b\n  min_version: TLS11\n  \
                    client_auth_type: RequestClientCert\nbasic_auth_users:\n  ann: plaintext\nother: 1\n\
                    http_server_config:\n  http2: maybe\n  headers:\n    X-Frame-Options: allow\n\
                    rate_limit:\n  interval: soon\n  burst: -1\n";
        let error = parse(text).expect_err("mistakes").to_string();
        for expected in [
            "/etc/web.yml:2:3: unknown field \"certfile\" in tls_server_config",
            "/etc/web.yml:4:3: only one of key and key_file",
            "/etc/web.yml:5:16: min_version TLS11 is broken",
            "/etc/web.yml:6:21: client_auth_type RequestClientCert takes certificates that nobody verified",
            "/etc/web.yml:1:1: tls_server_config needs one of cert and cert_file",
            "/etc/web.yml:8:8: the password of user \"ann\" must be a bcrypt hash",
            "/etc/web.yml:9:1: unknown field \"other\" in the web configuration",
            "/etc/web.yml:11:10: http2 must be true or false",
            "/etc/web.yml:13:22: X-Frame-Options must be deny or sameorigin, not \"allow\"",
            "/etc/web.yml:15:13: interval must be a duration",
            "/etc/web.yml:16:10: burst must be a whole number",
        ] {
            assert!(error.contains(expected), "{expected} is not in\n{error}");
        }
        assert!(!error.contains("plaintext"), "a secret is repeated");
        assert_eq!(error.lines().count(), 11);
        let broken = parse("a: [").expect_err("not YAML").to_string();
        assert!(broken.starts_with("/etc/web.yml:"), "{broken}");
        let list = parse("- a\n").expect_err("a list").to_string();
        assert!(list.contains("must be a mapping"), "{list}");
        let gone =
            WebConfig::read(Path::new("/nonexistent/web.yml")).expect_err("no file").to_string();
        assert!(gone.starts_with("/nonexistent/web.yml: cannot read it"), "{gone}");
    }
}
