//! Our own certificate authority and serving certificate: what is kept of them, and when something
//! has to be made anew.
//!
//! Pure but for the keys that are made: the clock comes in as an argument. A new authority is
//! trusted for a while before it issues, the old one for a while after, so that whoever verifies us
//! always knows who issued our certificate.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use std::collections::BTreeMap;
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What the Secret holds: the authorities, the newest first; their keys in the same order; the
/// serving certificate, and its key. All in PEM form.
pub(crate) const KEYS: [&str; 4] = ["ca.crt", "ca.key", "tls.crt", "tls.key"];

/// Clocks of other machines may be behind ours by so much.
const BACKDATED: Duration = Duration::from_secs(300);

/// How long certificates hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// The authority's; another is made after four fifths of it.
    pub authority: Duration,
    /// The serving certificate's; another is made after two thirds of it.
    pub serving: Duration,
    /// How long a new authority is known before it issues, and the old one after that.
    pub overlap: Duration,
}

impl Default for Lifetimes {
    fn default() -> Lifetimes {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Lifetimes { authority: 3650 * DAY, serving: 90 * DAY, overlap: DAY / 24 }
    }
}

/// The content of the Secret.
pub(crate) type Data = BTreeMap<String, Vec<u8>>;

struct Authority {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
    from: i64,
    until: i64,
}

impl Authority {
    /// When it was made: it was dated back.
    fn made(&self) -> i64 {
        self.from + seconds(BACKDATED)
    }
}

/// What is to be kept from now on; `None` where all is well.
///
/// # Errors
/// Where a key or a certificate cannot be made.
pub(crate) fn renew(
    data: &Data,
    names: &[String],
    now: UnixTime,
    lifetimes: &Lifetimes,
) -> Result<Option<Data>, String> {
    let at = now.as_secs().cast_signed();
    let mut authorities = read_authorities(data);
    let before = authorities.len();
    authorities.retain(|a| a.from <= at && at < a.until);
    let mut changed = before != authorities.len();

    // By its own lifetime where that is shorter: it may be from a time of other settings.
    let aged = |a: &Authority| {
        at - a.made() >= seconds(lifetimes.authority).min(a.until - a.made()) / 5 * 4
    };
    if authorities.first().is_none_or(aged) {
        authorities.insert(0, make_authority(at, lifetimes)?);
        changed = true;
    }
    let overlap = seconds(lifetimes.overlap);
    // It issues earlier where the one before would end before that.
    let known_for_long = |pair: &[Authority]| {
        at - pair[0].made() >= overlap.min((pair[1].until - pair[0].made()) / 2)
    };
    let issuer = authorities.windows(2).position(known_for_long).unwrap_or(authorities.len() - 1);
    let serving = data.get("tls.crt").zip(data.get("tls.key"));
    let holds = serving.is_some_and(|(chain, key)| {
        serves(chain, key, names, &authorities[issuer], now, lifetimes)
    });
    // Those before the issuer, once nobody may still see a certificate of theirs: not by the issuer's age,
    // for the first certificate of its own may have come late.
    let served_for = serving.map_or(0, |(chain, _)| at - span(chain).0);
    if holds && served_for >= overlap && authorities.len() > issuer + 1 {
        authorities.truncate(issuer + 1);
        changed = true;
    }
    if holds && !changed {
        return Ok(None);
    }
    let (chain, key) = match serving.filter(|_| holds) {
        Some((chain, key)) => (chain.clone(), key.clone()),
        None => make_serving(&authorities[issuer], names, at, lifetimes)?,
    };
    let join = |part: fn(&Authority) -> &str| -> Vec<u8> {
        authorities.iter().flat_map(|a| part(a).bytes()).collect()
    };
    let values = [join(|a| &a.certificate), join(|a| &a.key), chain, key];
    Ok(Some(KEYS.iter().map(|k| (*k).to_owned()).zip(values).collect()))
}

/// When to look again at the latest: often enough for these lifetimes, and for the certificate that is served
/// now, which may be from a time of shorter ones.
pub(crate) fn look_again(data: &Data, lifetimes: &Lifetimes) -> Duration {
    let (made, until) = data.get("tls.crt").map_or((0, i64::MAX), |chain| span(chain));
    let own = Duration::from_secs(until.saturating_sub(made).max(0).cast_unsigned());
    (lifetimes.overlap.min(lifetimes.serving / 3).min(own / 3) / 4)
        .clamp(Duration::from_millis(200), Duration::from_secs(600))
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 8)
}

/// Those whose certificate and key can be read and belong together.
fn read_authorities(data: &Data) -> Vec<Authority> {
    let part = |key: &str| data.get(key).map(Vec::as_slice).unwrap_or_default();
    let certificates = CertificateDer::pem_slice_iter(part("ca.crt")).flatten();
    let keys = PrivatePkcs8KeyDer::pem_slice_iter(part("ca.key")).flatten();
    let pairs = certificates.zip(keys).filter_map(|(der, key)| {
        let (from, until) = validity(&der)?;
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).ok()?;
        belongs(&der, &pair).then(|| Authority {
            certificate: pem("CERTIFICATE", &der),
            key: pair.serialize_pem(),
            der,
            from,
            until,
        })
    });
    pairs.collect()
}

fn validity(der: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let validity = parsed.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

fn belongs(der: &CertificateDer<'_>, key: &KeyPair) -> bool {
    use rcgen::PublicKeyData;
    let parsed = X509Certificate::from_der(der);
    parsed.is_ok_and(|(_, c)| c.public_key().raw == key.subject_public_key_info())
}

/// Whether the chain is good for all names, by this authority, with this key, for a while yet.
fn serves(
    chain: &[u8],
    key: &[u8],
    names: &[String],
    issuer: &Authority,
    now: UnixTime,
    lifetimes: &Lifetimes,
) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(chain) else { return false };
    let Ok(key) = PrivatePkcs8KeyDer::from_pem_slice(key) else { return false };
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256);
    let (made, until) = span(chain);
    let at = now.as_secs().cast_signed();
    let Ok(own) = webpki::EndEntityCert::try_from(&der) else { return false };
    let Ok(anchor) = webpki::anchor_from_trusted_cert(&issuer.der) else { return false };
    let named = |name: &String| {
        let name = rustls::pki_types::ServerName::try_from(name.as_str());
        name.is_ok_and(|n| own.verify_is_valid_for_subject_name(&n).is_ok())
    };
    let usage = webpki::KeyUsage::server_auth();
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    let verified = own.verify_for_usage(algorithms, &[anchor], &[], now, usage, None, None).is_ok();
    verified
        && at - made < seconds(lifetimes.serving).min(until - made) / 3 * 2
        && names.iter().all(named)
        && key.is_ok_and(|key| belongs(&der, &key))
}

/// When a certificate of ours was made (it was dated back), and when it ends.
fn span(chain: &[u8]) -> (i64, i64) {
    let validity = CertificateDer::from_pem_slice(chain).ok().and_then(|der| validity(&der));
    validity.map_or((0, 0), |(from, until)| (from + seconds(BACKDATED), until))
}

fn make_authority(at: i64, lifetimes: &Lifetimes) -> Result<Authority, String> {
    let key = new_key()?;
    let mut parameters = dated(at, lifetimes.authority)?;
    parameters.distinguished_name = named(&format!("kubevigil-ca@{at}"));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let certificate = parameters.self_signed(&key).map_err(|e| e.to_string())?;
    let der = certificate.der().clone();
    let (from, until) = validity(&der).ok_or("cannot read the authority just made")?;
    Ok(Authority { certificate: certificate.pem(), key: key.serialize_pem(), der, from, until })
}

fn make_serving(
    issuer: &Authority,
    names: &[String],
    at: i64,
    lifetimes: &Lifetimes,
) -> Result<(Vec<u8>, Vec<u8>), String> {
    let failed = |e: rcgen::Error| e.to_string();
    let key = new_key()?;
    // Nobody believes it when its issuer has ended.
    let issuers = Duration::from_secs((issuer.until - at).max(0).cast_unsigned());
    let mut parameters = dated(at, lifetimes.serving.min(issuers))?;
    parameters.distinguished_name = named(names.first().map_or("kubevigil", String::as_str));
    for name in names {
        parameters.subject_alt_names.push(match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into().map_err(failed)?),
        });
    }
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    let issuing = KeyPair::from_pem(&issuer.key).map_err(failed)?;
    let issuing = Issuer::from_ca_cert_der(&issuer.der, issuing).map_err(failed)?;
    let certificate = parameters.signed_by(&key, &issuing).map_err(failed)?;
    Ok((certificate.pem().into_bytes(), key.serialize_pem().into_bytes()))
}

fn new_key() -> Result<KeyPair, String> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| e.to_string())
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    // Longer ones are not allowed; nobody reads it but people.
    name.push(DnType::CommonName, common_name.chars().take(64).collect::<String>());
    name
}

fn dated(at: i64, lifetime: Duration) -> Result<CertificateParams, String> {
    let mut parameters = CertificateParams::default();
    let date = |seconds: i64| {
        time::OffsetDateTime::from_unix_timestamp(seconds).map_err(|e| e.to_string())
    };
    parameters.not_before = date(at - seconds(BACKDATED))?;
    parameters.not_after = date(at + seconds(lifetime))?;
    Ok(parameters)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = crate::connection::encode_base64(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn names() -> Vec<String> {
        vec!["kubevigil.kubevigil-system.svc".into(), "127.0.0.1".into()]
    }

    fn at(day: f64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs_f64((20_000.0 + day) * DAY as f64))
    }

    fn short() -> Lifetimes {
        let days = |n: u64| Duration::from_secs(n * DAY);
        Lifetimes { authority: days(100), serving: days(30), overlap: days(1) }
    }

    fn step(data: &mut Data, day: f64) -> bool {
        let new = renew(data, &names(), at(day), &short()).unwrap();
        let changed = new.is_some();
        *data = new.unwrap_or_else(|| data.clone());
        changed
    }

    fn trusted(bundle: &[u8], chain: &[u8], day: f64) -> bool {
        let anchors: Vec<_> =
            CertificateDer::pem_slice_iter(bundle).collect::<Result<_, _>>().unwrap();
        let anchors: Vec<_> =
            anchors.iter().map(|a| webpki::anchor_from_trusted_cert(a).unwrap()).collect();
        let der = CertificateDer::from_pem_slice(chain).unwrap();
        let own = webpki::EndEntityCert::try_from(&der).unwrap();
        let usage = webpki::KeyUsage::server_auth();
        let all = webpki::ALL_VERIFICATION_ALGS;
        own.verify_for_usage(all, &anchors, &[], at(day), usage, None, None).is_ok()
    }

    #[test]
    fn made_once_and_then_left_alone() {
        let mut data = Data::new();
        assert!(step(&mut data, 0.0));
        assert!(trusted(&data["ca.crt"], &data["tls.crt"], 0.0));
        assert!(!step(&mut data, 0.0) && !step(&mut data, 19.0));
        let before = data.clone();
        assert!(step(&mut data, 20.1), "the serving certificate is renewed in time");
        assert_eq!(before["ca.crt"], data["ca.crt"]);
        assert_ne!(before["tls.crt"], data["tls.crt"]);
    }

    /// Whoever looks once in half an overlap always trusts what is presented by whoever looked as
    /// rarely; over three generations of authorities.
    #[test]
    fn who_is_behind_by_half_an_overlap_is_still_understood() {
        let mut data = Data::new();
        let (mut history, mut authorities) = (Vec::new(), std::collections::BTreeSet::new());
        for quarter in 0..(4 * 330) {
            let day = f64::from(quarter) / 4.0;
            step(&mut data, day);
            assert!(read_authorities(&data).len() <= 2, "day {day}");
            authorities.extend(read_authorities(&data).into_iter().map(|a| a.until));
            history.push(data.clone());
            let behind = &history[history.len().saturating_sub(3)];
            assert!(trusted(&behind["ca.crt"], &data["tls.crt"], day), "old bundle, day {day}");
            assert!(
                trusted(&data["ca.crt"], &behind["tls.crt"], day),
                "old certificate, day {day}"
            );
        }
        assert!(authorities.len() >= 4, "{authorities:?}");
    }

    /// Nobody looked while the new authority grew old enough to issue: the old one is trusted on from the first
    /// certificate of the new one.
    #[test]
    fn an_authority_that_issues_late_is_not_alone_at_once() {
        let mut data = Data::new();
        step(&mut data, 0.0);
        step(&mut data, 80.1);
        let old = data["tls.crt"].clone();
        assert!(step(&mut data, 90.0), "the new one issues");
        for day in [90.01, 90.9] {
            step(&mut data, day);
            assert!(trusted(&data["ca.crt"], &old, day), "day {day}");
        }
        assert!(step(&mut data, 91.1), "the old one goes");
        assert_eq!(read_authorities(&data).len(), 1);
    }

    /// What was made under shorter lifetimes is renewed by its own.
    #[test]
    fn what_shorter_lifetimes_left_does_not_expire() {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let brief = Lifetimes { authority: minutes(60), serving: minutes(30), overlap: minutes(5) };
        let mut data = renew(&Data::new(), &names(), at(0.0), &brief).unwrap().unwrap();
        assert!(look_again(&data, &short()) <= minutes(3));
        let minute = 1.0 / 24.0 / 60.0;
        for n in 1..80 {
            let day = f64::from(n) * minute;
            let behind = data.clone();
            step(&mut data, day);
            for (bundle, chain) in [(&data, &data), (&behind, &data), (&data, &behind)] {
                assert!(trusted(&bundle["ca.crt"], &chain["tls.crt"], day), "minute {n}");
            }
        }
    }

    #[test]
    fn what_is_damaged_is_made_anew() {
        let mut good = Data::new();
        step(&mut good, 0.0);
        for key in KEYS {
            for damage in [&b"x"[..], b""] {
                let mut data = good.clone();
                data.insert(key.into(), damage.into());
                assert!(step(&mut data, 0.0), "{key}");
                assert!(trusted(&data["ca.crt"], &data["tls.crt"], 0.0), "{key}");
            }
        }
        // A key of another certificate is as bad as none.
        let mut other = Data::new();
        step(&mut other, 0.0);
        for key in KEYS {
            let mut data = good.clone();
            data.insert(key.into(), other[key].clone());
            assert!(step(&mut data, 0.0), "{key}");
            assert!(trusted(&data["ca.crt"], &data["tls.crt"], 0.0), "{key}");
        }
        // Other names.
        let more = [names(), vec!["other".into()]].concat();
        assert!(renew(&good, &more, at(0.0), &short()).unwrap().is_some());
    }
}
