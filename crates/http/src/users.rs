//! Users with bcrypt hashes, as `basic_auth_users` lists them.
//!
//! A hash takes tens of milliseconds by design. So each pair of name and password that was right is
//! remembered (as a keyed digest), hashes are computed beside the event loop, few at a time, and an unknown
//! name takes as long as a wrong password.

use axum::http::{HeaderMap, header};
use ring::hmac;
use std::collections::HashSet;
use std::sync::Mutex;
use tokio::sync::Semaphore;

/// Hashes computed at a time.
const AT_A_TIME: usize = 2;
/// Pairs remembered.
const REMEMBERED: usize = 256;

pub(crate) struct Users {
    hashes: Vec<(String, String)>,
    /// Compared with for an unknown name.
    nobody: String,
    computing: Semaphore,
    key: hmac::Key,
    right: Mutex<HashSet<[u8; 32]>>,
}

impl Users {
    pub(crate) fn new(hashes: &[(String, String)]) -> Users {
        let random = ring::rand::SystemRandom::new();
        // Without randomness the digests are still of use in this process's memory alone.
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random)
            .unwrap_or_else(|_| hmac::Key::new(hmac::HMAC_SHA256, &[0; 32]));
        let nobody = hashes.first().map(|h| h.1.clone()).unwrap_or_default();
        Users {
            hashes: hashes.to_vec(),
            nobody,
            computing: Semaphore::new(AT_A_TIME),
            key,
            right: Mutex::default(),
        }
    }

    /// The user whose name and password the request carries, if both are right.
    pub(crate) async fn check(&self, headers: &HeaderMap) -> Option<String> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, encoded) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = decode_base64(encoded.trim())?;
        let text = String::from_utf8(decoded).ok()?;
        let (name, password) = text.split_once(':')?;
        let known = self.hashes.iter().find(|h| h.0 == name).map(|h| h.1.clone());
        let digest = self.digest(known.as_deref().unwrap_or(""), &text);
        if known.is_some() && self.right.lock().ok()?.contains(&digest) {
            return Some(name.into());
        }
        let hash = known.clone().unwrap_or_else(|| self.nobody.clone());
        let password = password.to_owned();
        let permit = self.computing.acquire().await.ok()?;
        let verify = move || bcrypt::verify(password.as_bytes(), &hash).unwrap_or(false);
        let matches = tokio::task::spawn_blocking(verify).await.unwrap_or(false);
        drop(permit);
        if !matches || known.is_none() {
            return None;
        }
        let mut right = self.right.lock().ok()?;
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(digest);
        Some(name.into())
    }

    fn digest(&self, hash: &str, credentials: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(hash.as_bytes());
        context.update(&[0]);
        context.update(credentials.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

/// Standard base64 (RFC 4648) with or without its padding.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    (digits.len() % 4 != 1).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64() {
        for (text, bytes) in [
            ("", Some("")),
            ("YQ==", Some("a")),
            ("YWI=", Some("ab")),
            ("YWJj", Some("abc")),
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some("Aladdin:open sesame")),
            ("YWJj!", None),
            ("Y", None),
        ] {
            assert_eq!(decode_base64(text), bytes.map(|b| b.as_bytes().to_vec()), "{text}");
        }
    }

    #[tokio::test]
    async fn only_the_right_pair_passes() {
        let hash = bcrypt::hash("secret", 4).expect("hashes");
        let users = Users::new(&[("ann".into(), hash)]);
        let ask = async |credentials: &str| {
            let mut headers = HeaderMap::new();
            let value = format!("Basic {}", encode(credentials.as_bytes()));
            headers.insert(header::AUTHORIZATION, value.parse().expect("a header"));
            users.check(&headers).await
        };
        for _ in 0..2 {
            assert_eq!(ask("ann:secret").await.as_deref(), Some("ann"));
            assert_eq!(ask("ann:wrong").await, None);
            assert_eq!(ask("bob:secret").await, None);
            assert_eq!(ask("ann").await, None);
        }
        assert_eq!(users.check(&HeaderMap::new()).await, None);
    }

    fn encode(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for chunk in bytes.chunks(3) {
            let n =
                chunk.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
            for i in 0..4 {
                let digit = DIGITS[(n >> (18 - 6 * i) & 63) as usize] as char;
                out.push(if i <= chunk.len() { digit } else { '=' });
            }
        }
        out
    }
}
