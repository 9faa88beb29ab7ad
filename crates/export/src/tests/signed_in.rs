//! Who we are and whom we believe: tokens that change, TLS with the wrong authority and then the right.

use super::receiver::{Do, Receiver};
use super::{World, quick, sample, until};
use scrape::config::{Auth, Secret, Sigv4};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

#[test]
fn tokens_and_signatures() {
    let receiver = Receiver::start(|_| Do::Take);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let world = World::new();
    let mut endpoint = quick(&receiver.url());
    endpoint.auth =
        Auth::Authorization { kind: "Bearer".into(), credentials: Secret::File(file.clone()) };
    world.set(std::slice::from_ref(&endpoint));
    world.append(&[sample(1, 1000, 1.0)]);
    until("a missing file is a trouble", || !world.exporter.troubles().is_empty());
    assert!(world.exporter.troubles()[0].contains("token: No such file"));
    for (i, token) in ["first", "second"].into_iter().enumerate() {
        std::fs::write(&file, token).expect("writes");
        world.append(&[sample(1, 2000 + i as i64, 1.0)]);
        until("it is taken", || receiver.count() == 2 + i);
        let got = receiver.got.lock().expect("locks");
        assert_eq!(got.headers.last().expect("came")["authorization"], format!("Bearer {token}"));
    }
    endpoint.auth = Auth::Basic {
        user: Secret::Text("Aladdin".into()),
        password: Secret::Text("open sesame".into()),
    };
    world.set(std::slice::from_ref(&endpoint));
    world.append(&[sample(1, 3000, 1.0)]);
    until("it is taken", || receiver.count() == 4);
    endpoint.auth = Auth::None;
    endpoint.sigv4 = Some(Sigv4 {
        region: "eu".into(),
        access_key: "key".into(),
        secret_key: "secret".into(),
        service: "aps".into(),
        ..Sigv4::default()
    });
    world.set(&[endpoint]);
    world.append(&[sample(1, 4000, 1.0)]);
    until("it is taken", || receiver.count() == 5);
    let got = receiver.got.lock().expect("locks");
    let all: Vec<&String> = got.headers.iter().filter_map(|h| h.get("authorization")).collect();
    assert!(all.contains(&&"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned()));
    let signed = all.last().expect("is signed");
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=key/") && signed.contains("/eu/aps/"));
    let last = got.headers.last().expect("came");
    assert!(last.contains_key("x-amz-date") && last["host"] == receiver.address.to_string());
}

/// Speaks TLS and hands on what it hears.
fn wrapped(receiver: &Receiver, config: Arc<rustls::ServerConfig>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let (port, behind) = (listener.local_addr().expect("an address").port(), receiver.address);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = config.clone();
            std::thread::spawn(move || hand_on(stream, config, behind));
        }
    });
    port
}

fn hand_on(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    behind: std::net::SocketAddr,
) -> Option<()> {
    let connection = rustls::ServerConnection::new(config).ok()?;
    let mut tls = rustls::StreamOwned::new(connection, stream);
    let mut plain = TcpStream::connect(behind).ok()?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        tls.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = text.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    let mut body = vec![0; length];
    tls.read_exact(&mut body).ok()?;
    plain.write_all(&head).ok()?;
    plain.write_all(&body).ok()?;
    let mut answer = [0; 4096];
    let length = plain.read(&mut answer).ok()?;
    tls.write_all(&answer[..length]).ok()?;
    tls.conn.send_close_notify();
    tls.flush().ok()
}

#[test]
fn a_wrong_authority_is_told_and_the_right_one_is_taken_over() {
    let receiver = Receiver::start(|_| Do::Take);
    let authority = |name: &str| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec![]).expect("a name");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("signs");
        (certificate.pem(), rcgen::Issuer::new(params, key))
    };
    let (right, issuer) = authority("right");
    let (wrong, _) = authority("wrong");
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("a name");
    let certificate = params.signed_by(&key, &issuer).expect("signs");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .expect("a certificate");
    let port = wrapped(&receiver, Arc::new(config));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.crt");
    std::fs::write(&file, wrong).expect("writes");
    let world = World::new();
    let mut endpoint = quick(&format!("https://localhost:{port}/api/v1/write"));
    endpoint.tls.ca_file = Some(file.clone());
    world.set(&[endpoint]);
    world.append(&[sample(1, 1000, 1.0)]);
    until("the authority is not believed", || {
        world.exporter.troubles().iter().any(|t| t.contains("unknown authority"))
    });
    assert_eq!(receiver.count(), 0);
    std::fs::write(&file, right).expect("writes");
    until("it is taken", || receiver.count() == 1);
    until("the trouble is over", || world.exporter.troubles().is_empty());
}
