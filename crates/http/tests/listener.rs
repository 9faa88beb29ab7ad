//! The listener against real sockets: well-meaning clients, hostile ones, TLS, and its end.

#![allow(clippy::unwrap_used)] // a test file: what fails here fails the test

use axum::Router;
use axum::body::Bytes;
use axum::extract::Extension;
use axum::routing::{get, post};
use http::{ClientCertificates, Error, Identity, Options, Peer, Server, User};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

const SECOND: Duration = Duration::from_secs(1);

/// A server in a thread of its own, ended when dropped.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<Duration>>,
}

fn start(options: Options) -> Running {
    let (told, tell) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::bind(options).await.unwrap();
            told.send(server.address()).unwrap();
            let mut ending = Instant::now();
            let shutdown = async {
                let _ = stopped.await;
                ending = Instant::now();
            };
            server.serve(router(), shutdown).await;
            ending.elapsed()
        })
    });
    Running { address: tell.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
}

impl Running {
    /// Ends it; gives how long that took.
    fn end(&mut self) -> Duration {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(10 * SECOND)).unwrap();
        stream
    }

    /// Sends bytes and reads until the server closes.
    fn send(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        rest(stream)
    }

    fn get(&self, path: &str, headers: &str) -> String {
        let address = self.address;
        let text =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
        self.send(text.as_bytes())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
        }
    }
}

/// What a client still gets; a reset after the answer is the server's right.
fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&part[..n]),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => break,
            Err(e) => panic!("{e} after {:?}", String::from_utf8_lossy(&answer)),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("")
}

fn router() -> Router {
    let large = || async { "a line of text that compresses\n".repeat(400_000) };
    let slow = || async {
        tokio::time::sleep(600 * Duration::from_millis(1)).await;
        "slow"
    };
    let stuck = || async {
        tokio::time::sleep(3600 * SECOND).await;
        "never"
    };
    let who = |Extension(peer): Extension<Peer>,
               shown: Option<Extension<ClientCertificates>>,
               user: Option<Extension<User>>| async move {
        if let Some(Extension(ClientCertificates(shown))) = shown {
            return format!("{} shown, {} bytes", shown.len(), shown[0].len());
        }
        format!("{} {}", peer.0.ip(), user.map_or("nobody".into(), |u| u.0.0))
    };
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/large", get(large))
        .route("/slow", get(slow))
        .route("/stuck", get(stuck))
        .route("/who", get(who))
        .route("/body", post(|body: Bytes| async move { format!("{} bytes", body.len()) }))
}

fn quick() -> Options {
    Options {
        header_timeout: Duration::from_millis(400),
        body_timeout: Duration::from_millis(400),
        stall_timeout: Duration::from_millis(400),
        request_timeout: 2 * SECOND,
        grace: SECOND,
        max_body_bytes: 1000,
        ..Options::default()
    }
}

#[test]
fn answers_carry_the_headers_that_protect() {
    let server = start(quick());
    let answer = server.get("/who", "");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1 nobody"), "{answer}");
    let head = answer.to_ascii_lowercase();
    for header in [
        "content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n",
        "x-content-type-options: nosniff\r\n",
        "referrer-policy: no-referrer\r\n",
        "x-frame-options: deny\r\n",
        "cross-origin-opener-policy: same-origin\r\n",
        "cross-origin-resource-policy: same-origin\r\n",
    ] {
        assert!(head.contains(header), "{header} is not in {head}");
    }
    assert_eq!(status(&server.get("/nothing", "")), "404");
    assert_eq!(status(&server.send(b"POST / HTTP/1.0\r\n\r\n")), "405");
}

#[test]
fn compression_is_what_the_client_takes() {
    let server = start(quick());
    let coding = |headers: &str| {
        let answer = server.get("/large", headers).to_ascii_lowercase();
        let head = answer.split("\r\n\r\n").next().unwrap().to_owned();
        assert!(head.contains("vary: accept-encoding"), "{head}");
        let coding = head.split("content-encoding: ").nth(1).and_then(|c| c.split("\r\n").next());
        (coding.unwrap_or("none").to_owned(), answer.len())
    };
    assert_eq!(coding("Accept-Encoding: gzip;q=0\r\n").0, "none");
    assert_eq!(coding("").0, "none");
    let (name, size) = coding("Accept-Encoding: gzip\r\n");
    assert!(name == "gzip" && size < 1_000_000, "{name} {size}");
    assert_eq!(coding("Accept-Encoding: gzip, zstd\r\n").0, "zstd");
    let host = server.address;
    let head = format!("HEAD /large HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = server.send(head.as_bytes());
    assert!(status(&answer) == "200" && answer.ends_with("\r\n\r\n"));
}

#[test]
fn other_names_and_other_origins_are_refused_on_loopback() {
    let server = start(Options { allowed_hosts: vec!["box".into()], ..quick() });
    let ask = |host: &str, headers: &str| {
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
        server.send(text.as_bytes())
    };
    let port = server.address.port();
    assert_eq!(status(&ask(&format!("localhost:{port}"), "")), "200");
    assert_eq!(status(&ask("box", "")), "200");
    // DNS rebinding: the attacker's name, which now resolves to 127.0.0.1.
    let answer = ask(&format!("evil.example:{port}"), "");
    assert!(status(&answer) == "403" && answer.contains("evil.example"), "{answer}");
    let absolute =
        "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&server.send(absolute.as_bytes())), "403");
    assert_eq!(status(&server.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")), "403");
    let own = format!("127.0.0.1:{port}");
    assert_eq!(status(&ask(&own, &format!("Origin: http://{own}\r\n"))), "200");
    assert_eq!(status(&ask(&own, "Origin: http://evil.example\r\n")), "403");
    assert_eq!(status(&ask(&own, "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n")), "403");
}

#[test]
fn hostile_requests_end_and_disturb_nobody() {
    let server = start(quick());
    // A header that drips in for ever.
    let mut drip = server.connect();
    let began = Instant::now();
    drip.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut dripper = drip.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        while dripper.write_all(b"X: y\r\n").is_ok() && began.elapsed() < 8 * SECOND {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let idle = server.connect();
    assert_eq!(status(&server.get("/", "")), "200");
    // Too large a header, in one line and in many.
    let one = server.get("/", &format!("X: {}\r\n", "y".repeat(40_000)));
    assert_eq!(status(&one), "431", "{one}");
    let many: String = (0..500).map(|i| format!("X{i}: y\r\n")).collect();
    assert_eq!(status(&server.get("/", &many)), "431");
    let path = server.get(&format!("/{}", "y".repeat(40_000)), "");
    assert!(matches!(status(&path), "414" | "431"), "{path}");
    // Half a request, and nothing at all that is HTTP.
    drop(server.connect());
    server.connect().write_all(b"GET / HT").unwrap();
    assert_eq!(
        status(&server.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 garbage\r\n\r\n")),
        "400"
    );
    // Bodies: too long by their own word, too long in fact, shorter than said, dripping.
    let address = server.address;
    let body = |headers: &str, body: &[u8]| {
        let head =
            format!("POST /body HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
        server.send(&[head.as_bytes(), body].concat())
    };
    assert!(body("Content-Length: 3\r\n", b"abc").ends_with("3 bytes"));
    let long = body("Content-Length: 99999999999\r\n", b"abc");
    assert!(status(&long) == "413" && long.contains("99999999999 bytes is larger"), "{long}");
    let mut chunks = Vec::new();
    for _ in 0..30 {
        chunks.extend_from_slice(b"40\r\n");
        chunks.extend_from_slice(&[b'x'; 64]);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(status(&body("Transfer-Encoding: chunked\r\n", &chunks)), "413");
    let asked = Instant::now();
    assert_eq!(status(&body("Content-Length: 10\r\n", b"abc")), "400");
    assert!(asked.elapsed() < 5 * SECOND);
    let both = body("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n");
    assert!(matches!(status(&both), "200" | "400"), "{both}");
    assert_eq!(status(&body("Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd")), "400");
    assert_eq!(status(&body("Content-Length: -1\r\n", b"")), "400");
    // An answer that never comes.
    let asked = Instant::now();
    assert_eq!(status(&server.get("/stuck", "")), "504");
    assert!(asked.elapsed() < 5 * SECOND);
    // Both of those that said too little are gone by now.
    rest(idle);
    rest(drip);
    assert!(began.elapsed() < 8 * SECOND, "a dripping header was waited for");
    dripping.join().unwrap();
    assert_eq!(status(&server.get("/", "")), "200");
}

#[test]
fn a_client_that_takes_nothing_is_dropped() {
    let server = start(quick());
    let mut stream = server.connect();
    let head = format!("GET /large HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(3 * SECOND);
    // What the kernel had buffered is still there, but never the whole.
    let mut taken = Vec::new();
    let _ = stream.read_to_end(&mut taken);
    assert!(taken.len() < 12_400_000, "all {} bytes came", taken.len());
    assert_eq!(status(&server.get("/", "")), "200");
}

#[test]
fn connections_are_limited() {
    let server = start(Options { max_connections: 2, ..quick() });
    let (one, two) = (server.connect(), server.connect());
    // Idle connections hold their places until the header's time is over; then it is the third's turn.
    let began = Instant::now();
    assert_eq!(status(&server.get("/", "")), "200");
    assert!(began.elapsed() >= Duration::from_millis(200), "the limit does not hold");
    drop((one, two));
}

#[test]
fn the_end_lets_requests_finish_and_waits_for_nobody_else() {
    let mut server = start(quick());
    let idle = server.connect();
    let mut slow = server.connect();
    let head = format!("GET /slow HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    slow.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let took = server.end();
    assert!(took < 2 * SECOND, "{took:?}");
    let answer = rest(slow);
    assert!(answer.ends_with("slow"), "{answer}");
    rest(idle);
    assert!(TcpStream::connect(server.address).is_err(), "it still listens");

    let mut server = start(quick());
    let mut stuck = server.connect();
    let head = format!("GET /stuck HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stuck.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let took = server.end();
    assert!(took >= Duration::from_millis(900) && took < 3 * SECOND, "{took:?}");
    assert_eq!(rest(stuck), "");
}

fn bind(options: Options) -> Result<Server, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Server::bind(options))
}

fn refused(options: Options) -> String {
    match bind(options) {
        Ok(server) => panic!("it listens on {}", server.address()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_listener_that_cannot_be_says_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let error = refused(Options { listen: listen.clone(), ..Options::default() });
    let expected = format!("cannot listen on {listen}: another process listens there; stop it");
    assert!(error.starts_with(&expected) && error.contains("--listen"), "{error}");

    let at = |listen: &str| Options { listen: listen.into(), ..Options::default() };
    for exposed in ["0.0.0.0:0", ":0", "[::]:0"] {
        let error = refused(at(exposed));
        assert!(error.contains("without TLS and authentication"), "{error}");
        assert!(
            error.contains("--listen-insecure") && error.contains("--web.config.file"),
            "{error}"
        );
    }
    assert!(bind(Options { insecure: true, ..at("0.0.0.0:0") }).is_ok());
    for wrong in ["nonsense", "127.0.0.1", "127.0.0.1:99999", "no.such.host.invalid:1"] {
        let error = refused(at(wrong));
        assert!(error.contains(wrong) && error.contains("HOST:PORT"), "{error}");
    }
    // No address of this machine (RFC 5737).
    let error = refused(Options { insecure: true, ..at("192.0.2.1:7600") });
    assert!(error.starts_with("cannot listen on 192.0.2.1:7600: "), "{error}");
}

struct Certificate {
    pem: String,
    key: String,
    der: CertificateDer<'static>,
}

fn certificate(names: &[&str]) -> Certificate {
    let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let der = made.cert.der().clone();
    Certificate { pem: made.cert.pem(), key: made.signing_key.serialize_pem(), der }
}

/// Asks over TLS, trusting one certificate; gives the answer and the protocol that was agreed on.
fn ask_tls(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    protocols: &[&str],
    headers: &str,
) -> std::io::Result<(String, Option<String>)> {
    ask_tls_as(address, trusted, None, protocols, headers)
}

/// The same, showing a certificate where the server asks for one.
fn ask_tls_as(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    client: Option<&Certificate>,
    protocols: &[&str],
    headers: &str,
) -> std::io::Result<(String, Option<String>)> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![client.der.clone()], key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, stream).await?;
        let agreed =
            stream.get_ref().1.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned());
        if agreed.as_deref() == Some("h2") {
            return Ok((String::new(), agreed));
        }
        let text =
            format!("GET /who HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(text.as_bytes()).await?;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        Ok((String::from_utf8_lossy(&answer).into_owned(), agreed))
    })
}

#[test]
fn tls_users_and_a_certificate_that_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let first = certificate(&["localhost"]);
    file("cert.pem", &first.pem);
    file("key.pem", &first.key);
    // htpasswd -nbBC 4 ann secret
    let hash = bcrypt::hash("secret", 4).unwrap();
    let users = format!("basic_auth_users:\n  ann: {hash}\n");
    let tls = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n";
    file("web.yml", &format!("{tls}{users}"));
    let options = Options {
        listen: "0.0.0.0:0".into(),
        web_config: Some(folder.path().join("web.yml")),
        reload_interval: Duration::from_millis(50),
        ..quick()
    };
    let server = start(options.clone());
    let address = SocketAddr::from(([127, 0, 0, 1], server.address.port()));
    let ann = "Authorization: Basic YW5uOnNlY3JldA==\r\n";
    let (answer, _) = ask_tls(address, &first.der, &[], "").unwrap();
    assert!(
        status(&answer) == "401" && answer.to_ascii_lowercase().contains("www-authenticate: basic")
    );
    let (answer, _) = ask_tls(address, &first.der, &["http/1.1"], ann).unwrap();
    assert!(status(&answer) == "200" && answer.ends_with("127.0.0.1 ann"), "{answer}");
    assert_eq!(
        ask_tls(address, &first.der, &["h2", "http/1.1"], "").unwrap().1.as_deref(),
        Some("h2")
    );
    let wrong = "Authorization: Basic YW5uOndyb25n\r\n";
    assert_eq!(status(&ask_tls(address, &first.der, &[], wrong).unwrap().0), "401");
    // Plain HTTP to a TLS port ends, in words or without.
    assert!(!server.get("/", "").contains("hello"));

    // A new certificate is taken over without a restart; half of one is not.
    let second = certificate(&["localhost"]);
    file("cert.pem", &second.pem);
    std::thread::sleep(Duration::from_millis(300));
    assert!(ask_tls(address, &first.der, &[], ann).is_ok(), "the old pair still holds");
    file("key.pem", &second.key);
    let deadline = Instant::now() + 5 * SECOND;
    while ask_tls(address, &second.der, &[], ann).is_err() {
        assert!(Instant::now() < deadline, "the new certificate was not taken over");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(ask_tls(address, &first.der, &[], ann).is_err());
    // Users change too, but never to nobody.
    file("web.yml", tls);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(status(&ask_tls(address, &second.der, &[], "").unwrap().0), "401");
    drop(server);

    let refused = |text: &str| {
        file("web.yml", text);
        refused(options.clone())
    };
    assert!(refused(tls).contains("with TLS but without authentication"));
    assert!(refused(&users).contains("with authentication but without TLS"));
    assert!(
        refused("tls_server_config:\n  cert_file: gone.pem\n  key_file: key.pem\n")
            .contains("gone.pem: cannot read it")
    );
    file("key.pem", &first.key);
    let error = refused(&format!("{tls}{users}"));
    assert!(error.contains("cert.pem: certificate and key cannot be used together"), "{error}");
    file("key.pem", "nothing");
    assert!(refused(&format!("{tls}{users}")).contains("key.pem: no private key"));
    assert!(
        refused("basic_auth_users:\n  ann: secret\n").contains("web.yml:2:8: the password of user")
    );
}

#[test]
fn an_identity_that_changes_and_certificates_that_clients_show() {
    let identity = Identity::default();
    let options =
        Options { listen: "0.0.0.0:0".into(), identity: Some(identity.clone()), ..quick() };
    let server = start(options);
    let address = SocketAddr::from(([127, 0, 0, 1], server.address.port()));
    let (first, second) = (certificate(&["localhost"]), certificate(&["localhost"]));
    let client = certificate(&["client"]);
    assert!(ask_tls(address, &first.der, &[], "").is_err(), "there is nothing to present yet");
    assert!(!identity.is_ready());

    identity.present(first.pem.as_bytes(), first.key.as_bytes()).unwrap();
    let elsewhere = "Origin: https://elsewhere.example\r\nSec-Fetch-Site: cross-site\r\n";
    for protocols in [&["http/1.1"][..], &[]] {
        let (answer, _) = ask_tls(address, &first.der, protocols, elsewhere).unwrap();
        assert!(answer.ends_with("127.0.0.1 nobody"), "{answer}");
        let (answer, _) = ask_tls_as(address, &first.der, Some(&client), protocols, "").unwrap();
        let shown = format!("1 shown, {} bytes", client.der.len());
        assert!(answer.ends_with(&shown), "{answer}");
    }
    let agreed = ask_tls_as(address, &first.der, Some(&client), &["h2"], "").unwrap().1;
    assert_eq!(agreed.as_deref(), Some("h2"));

    // A client that shows a certificate without its key is no client.
    let thief =
        Certificate { key: second.key.clone(), pem: String::new(), der: client.der.clone() };
    let stolen = std::panic::catch_unwind(|| {
        ask_tls_as(address, &first.der, Some(&thief), &[], "").map(|(answer, _)| answer)
    });
    assert!(!matches!(stolen, Ok(Ok(answer)) if answer.contains("shown")));

    // What does not belong together changes nothing; what does holds from the next handshake on.
    let error = identity.present(second.pem.as_bytes(), first.key.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("cannot present the certificate"), "{error}");
    assert!(ask_tls(address, &first.der, &[], "").is_ok());
    identity.present(second.pem.as_bytes(), second.key.as_bytes()).unwrap();
    assert!(ask_tls(address, &first.der, &[], "").is_err());
    assert!(ask_tls(address, &second.der, &[], "").is_ok());
    // Asking for others' certificates, a client that has none of theirs goes without.
    identity.ask_for(&[first.der.clone(), first.der.clone(), second.der.clone()]).unwrap();
    assert!(identity.ask_for(&[CertificateDer::from(vec![1, 2, 3])]).is_err());
    assert!(ask_tls(address, &second.der, &[], "").is_ok());
}
