//! Who somebody is, by certificates and headers; made-up authorities, real verification.

use crate::trust::Trust;
use crate::user::{Shown, User, tell};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::collections::BTreeMap;
use std::time::Duration;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> Authority {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = parameters.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(parameters, key) }
}

impl Authority {
    fn issue(&self, name: &str, organisations: &[&str]) -> CertificateDer<'static> {
        let mut parameters = CertificateParams::default();
        // A kind can be pushed once only: the second organisation says its kind by its number.
        let kinds = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
        for (kind, organisation) in kinds.into_iter().zip(organisations) {
            parameters.distinguished_name.push(kind, *organisation);
        }
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        parameters.signed_by(&key, &self.issuer).unwrap().der().clone()
    }
}

struct World {
    proxies: Authority,
    clients: Authority,
    trust: Trust,
}

fn world(allowed: &str) -> World {
    let (proxies, clients) = (authority("proxies"), authority("clients"));
    let data = BTreeMap::from([
        ("client-ca-file".into(), clients.pem.clone()),
        ("requestheader-client-ca-file".into(), proxies.pem.clone()),
        ("requestheader-allowed-names".into(), allowed.into()),
        ("requestheader-username-headers".into(), r#"["X-Remote-User"]"#.into()),
        ("requestheader-group-headers".into(), r#"["X-Remote-Group"]"#.into()),
        ("requestheader-extra-headers-prefix".into(), r#"["X-Remote-Extra-"]"#.into()),
    ]);
    World { proxies, clients, trust: Trust::read(&data).unwrap() }
}

impl World {
    fn tell(&self, chain: &[CertificateDer<'_>], headers: &[(&'static str, &str)]) -> Shown {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        tell(&map, chain, &self.trust, UnixTime::now())
    }
}

const ANN: [(&str, &str); 6] = [
    ("x-remote-user", "ann"),
    ("x-remote-group", "dev"),
    ("x-remote-group", "ops"),
    ("x-remote-uid", "7"),
    ("x-remote-extra-scopes%2fall", "a"),
    ("x-remote-extra-scopes%2fall", "b"),
];

fn user(shown: Shown) -> User {
    match shown {
        Shown::User(user) => user,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_front_proxy_says_who_somebody_is() {
    let world = world(r#"["front-proxy-client"]"#);
    let proxy = [world.proxies.issue("front-proxy-client", &[])];
    let ann = user(world.tell(&proxy, &ANN));
    assert_eq!((ann.name.as_str(), ann.uid.as_str()), ("ann", "7"));
    assert_eq!(ann.groups, ["dev", "ops", "system:authenticated"]);
    assert_eq!(ann.extra, BTreeMap::from([("scopes/all".into(), vec!["a".into(), "b".into()])]));
    // The API server passes anonymous users on as they are.
    let nobody =
        [("x-remote-user", "system:anonymous"), ("x-remote-group", "system:unauthenticated")];
    assert_eq!(user(world.tell(&proxy, &nobody)), User::anonymous());
}

#[test]
fn nobody_else_is_believed() {
    let world = world(r#"["front-proxy-client"]"#);
    // Without a certificate the headers are nothing.
    assert_eq!(world.tell(&[], &ANN), Shown::Nothing);
    // A proxy of another name, an authority of the same name, a client's authority.
    let other_name = world.proxies.issue("other", &[]);
    let other_authority = authority("proxies").issue("front-proxy-client", &[]);
    for certificate in [other_name, other_authority] {
        let shown = world.tell(&[certificate], &ANN);
        assert!(matches!(shown, Shown::Refused(_)), "{shown:?}");
    }
    let client = [world.clients.issue("front-proxy-client", &["bots"])];
    let bot = user(world.tell(&client, &ANN));
    assert_eq!((bot.name.as_str(), &bot.groups[0]), ("front-proxy-client", &"bots".to_owned()));
    // Rubbish.
    let rubbish = world.tell(&[CertificateDer::from(vec![0x30, 1, 2])], &ANN);
    assert!(matches!(rubbish, Shown::Refused(_)));
}

#[test]
fn any_name_will_do_where_none_is_listed() {
    let world = world("[]");
    let shown = world.tell(&[world.proxies.issue("anything", &[])], &ANN);
    assert_eq!(user(shown).name, "ann");
}

#[test]
fn a_proxy_that_says_nobody_is_no_client_either() {
    let world = world(r#"["p"]"#);
    let shown = world.tell(&[world.proxies.issue("p", &[])], &[]);
    assert!(matches!(shown, Shown::Refused(_)), "{shown:?}");
}

#[test]
fn client_certificates_and_tokens() {
    let world = world("[]");
    let ben = [world.clients.issue("ben", &["dev", "ops"])];
    let told = user(world.tell(&ben, &[]));
    assert_eq!(told.name, "ben");
    assert_eq!(told.groups, ["dev", "ops", "system:authenticated"]);
    // The certificate goes before the token, and a token saves who shows a bad certificate.
    let bearer = ("authorization", "bearer  t.o.k");
    assert_eq!(user(world.tell(&ben, &[bearer])).name, "ben");
    let foreign = [authority("else").issue("x", &[])];
    assert!(matches!(world.tell(&foreign, &[]), Shown::Refused(_)));
    for (value, token) in [
        ("Bearer abc", Some("abc")),
        ("bearer abc def", Some("abc")),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer  ", None),
    ] {
        let shown = world.tell(&[], &[("authorization", value)]);
        assert_eq!(shown, token.map_or(Shown::Nothing, |t| Shown::Token(t.into())), "{value}");
    }
    assert_eq!(
        world.tell(&foreign, &[("authorization", "Bearer abc")]),
        Shown::Token("abc".into())
    );
}

#[test]
fn certificates_have_their_time_and_their_use() {
    let world = world("[]");
    let ben = [world.clients.issue("ben", &[])];
    let headers = HeaderMap::new();
    let far = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));
    assert!(matches!(tell(&headers, &ben, &world.trust, far), Shown::Refused(_)));
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "server");
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let server = parameters.signed_by(&key, &world.clients.issuer).unwrap().der().clone();
    assert!(matches!(world.tell(&[server], &[]), Shown::Refused(_)));
}

#[test]
fn old_and_new_authority_hold_together() {
    let (mut old, new) = (world("[]"), world("[]"));
    let both = format!("{}{}", old.proxies.pem, new.proxies.pem);
    let mut data = BTreeMap::from([("requestheader-client-ca-file".to_owned(), both)]);
    old.trust = Trust::read(&data).unwrap();
    for authority in [&old.proxies, &new.proxies] {
        assert_eq!(user(old.tell(&[authority.issue("p", &[])], &ANN)).name, "ann");
    }
    data.insert("requestheader-client-ca-file".into(), new.proxies.pem.clone());
    old.trust = Trust::read(&data).unwrap();
    assert!(matches!(old.tell(&[old.proxies.issue("p", &[])], &ANN), Shown::Refused(_)));
}

#[test]
fn what_the_config_map_may_not_say() {
    for (key, value) in [
        ("client-ca-file", "no certificate"),
        ("client-ca-file", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("requestheader-allowed-names", "front-proxy-client"),
    ] {
        let error = Trust::read(&BTreeMap::from([(key.into(), value.into())])).unwrap_err();
        assert!(error.starts_with(key), "{error}");
    }
    assert!(Trust::read(&BTreeMap::new()).unwrap().proxy_authorities.is_empty());
}
