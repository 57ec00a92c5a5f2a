//! The three providers' ways to prove that a webhook is theirs.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};

const RSA_ONE: &[u8] = include_bytes!("../keys/copernica-test-key-one.pk8");
const RSA_ONE_PUBLIC: &str = include_str!("../keys/copernica-test-key-one.pub");
const RSA_TWO: &[u8] = include_bytes!("../keys/copernica-test-key-two.pk8");
const RSA_TWO_PUBLIC: &str = include_str!("../keys/copernica-test-key-two.pub");

/// The published test key of RFC 9421, appendix B.1.4: the first Parallel key.
const RFC_9421_ED25519: &str = "n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=";
/// DER of an Ed25519 SubjectPublicKeyInfo up to the raw key.
const ED25519_SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a key could not be used.
#[derive(Debug)]
pub struct BadKey(&'static str);

impl std::fmt::Display for BadKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "read the simulator's {} test key", self.0)
    }
}

impl std::error::Error for BadKey {}

/// Where a webhook goes, as the signatures see it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Host, and port unless it is the scheme's own.
    pub(crate) host: String,
    /// Path and query.
    pub(crate) path: String,
}

impl Target {
    pub(crate) fn of(url: &str) -> Self {
        let Ok(url) = reqwest::Url::parse(url) else {
            return Self { host: String::new(), path: "/".to_owned() };
        };
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        Self { host, path }
    }
}

/// How Copernica writes the parts of its signature that the documentation leaves open.
#[derive(Debug, Clone)]
pub(crate) struct CopernicaStyle {
    pub(crate) account: String,
    pub(crate) mixed_case_names: bool,
    pub(crate) lower_case_digest: bool,
}

/// Copernica's RSA keys: two, of which one signs.
pub(crate) struct CopernicaKeys {
    pairs: [RsaKeyPair; 2],
    active: usize,
    published: [bool; 2],
    domain: String,
    random: SystemRandom,
}

impl CopernicaKeys {
    pub(crate) fn load() -> Result<Self, BadKey> {
        let pair = |bytes| RsaKeyPair::from_pkcs8(bytes).map_err(|_| BadKey("Copernica"));
        Ok(Self {
            pairs: [pair(RSA_ONE)?, pair(RSA_TWO)?],
            active: 0,
            published: [true, false],
            domain: "copernica.com".to_owned(),
            random: SystemRandom::new(),
        })
    }

    /// Signs with the other key from now on; both stand in DNS until the old one is withdrawn.
    pub(crate) fn rotate(&mut self) {
        self.active = 1 - self.active;
        self.published[self.active] = true;
    }

    pub(crate) fn withdraw_old(&mut self) {
        self.published[1 - self.active] = false;
    }

    pub(crate) fn set_domain(&mut self, domain: &str) {
        self.domain = domain.to_owned();
    }

    fn key_id(&self, at: usize) -> String {
        format!("{}._domainkey.{}", ["one", "two"][at], self.domain)
    }

    pub(crate) fn txt_records(&self) -> BTreeMap<String, String> {
        let publics = [RSA_ONE_PUBLIC, RSA_TWO_PUBLIC];
        (0..2)
            .filter(|at| self.published[*at])
            .map(|at| (self.key_id(at), format!("v=DKIM1; k=rsa; p={}", publics[at].trim())))
            .collect()
    }

    /// Draft-cavage HTTP signature with RSA PKCS#1 v1.5 and SHA-256, and an RFC 3230 digest.
    pub(crate) fn sign(
        &self,
        style: &CopernicaStyle,
        body: &[u8],
        at: DateTime<Utc>,
        url: &str,
    ) -> Vec<(String, String)> {
        let target = Target::of(url);
        let date = at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let digest_name = if style.lower_case_digest { "sha-256" } else { "SHA-256" };
        let digest = format!("{digest_name}={}", BASE64.encode(digest(&SHA256, body)));
        let mut nonce_bytes = [0_u8; 16];
        // A nonce only has to differ from the last ones; a machine without entropy still has the date.
        let _ = self.random.fill(&mut nonce_bytes);
        let nonce: String = nonce_bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let signing_string = format!(
            "(request-target): post {}\nhost: {}\ndate: {date}\nx-copernica-id: {}\ndigest: {digest}\nx-nonce: {nonce}",
            target.path, target.host, style.account
        );
        let pair = &self.pairs[self.active];
        let mut signature = vec![0; pair.public().modulus_len()];
        // Signing with a loaded key does not fail; if it ever did, the zeros would not verify.
        let _ = pair.sign(&RSA_PKCS1_SHA256, &self.random, signing_string.as_bytes(), &mut signature);
        let names = if style.mixed_case_names {
            "(request-target) Host Date X-Copernica-ID Digest X-Nonce"
        } else {
            "(request-target) host date x-copernica-id digest x-nonce"
        };
        let signature = format!(
            "keyId=\"{}\",algorithm=\"rsa-sha256\",headers=\"{names}\",signature=\"{}\"",
            self.key_id(self.active),
            BASE64.encode(signature)
        );
        [
            ("Content-Type", "application/x-www-form-urlencoded".to_owned()),
            ("Host", target.host),
            ("Date", date),
            ("X-Copernica-ID", style.account.clone()),
            ("Digest", digest),
            ("X-Nonce", nonce),
            ("Signature", signature),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

impl std::fmt::Debug for CopernicaKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CopernicaKeys").field("active", &self.active).finish_non_exhaustive()
    }
}

/// Which of Parallel's two signature schemes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParallelScheme {
    /// `X-Parallel-Signature-n` over the body alone.
    V1,
    /// `X-Parallel-Signature-V2-n` over URL, timestamp and body.
    V2,
    /// Both.
    #[default]
    Both,
}

/// Parallel's Ed25519 keys.
#[derive(Debug)]
pub(crate) struct ParallelKeys {
    pairs: Vec<Ed25519KeyPair>,
}

impl ParallelKeys {
    pub(crate) const MOST: usize = 5;

    pub(crate) fn load() -> Result<Self, BadKey> {
        let bad = || BadKey("Parallel");
        let published = BASE64.decode(RFC_9421_ED25519).map_err(|_| bad())?;
        let mut pairs = vec![Ed25519KeyPair::from_seed_unchecked(&published).map_err(|_| bad())?];
        for number in 1..Self::MOST {
            let seed = digest(&SHA256, format!("parallel test key {number}").as_bytes());
            pairs.push(Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(|_| bad())?);
        }
        Ok(Self { pairs })
    }

    /// Base64 of the first `count` keys' SubjectPublicKeyInfo.
    pub(crate) fn public_keys(&self, count: usize) -> Vec<String> {
        let spki = |pair: &Ed25519KeyPair| BASE64.encode([&ED25519_SPKI_PREFIX, pair.public_key().as_ref()].concat());
        self.pairs.iter().take(count).map(spki).collect()
    }

    pub(crate) fn sign(
        &self,
        use_keys: &[usize],
        scheme: ParallelScheme,
        body: &[u8],
        at: DateTime<Utc>,
        url: &str,
    ) -> Vec<(String, String)> {
        let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        let timestamp = at.timestamp_millis().to_string();
        let dated = [url.as_bytes(), timestamp.as_bytes(), body].concat();
        let pairs: Vec<&Ed25519KeyPair> = use_keys.iter().filter_map(|at| self.pairs.get(*at)).collect();
        if scheme != ParallelScheme::V2 {
            for (number, pair) in (1..).zip(&pairs) {
                headers.push((format!("X-Parallel-Signature-{number}"), BASE64.encode(pair.sign(body))));
            }
        }
        if scheme != ParallelScheme::V1 && !pairs.is_empty() {
            headers.push(("X-Parallel-Signature-Timestamp".to_owned(), timestamp));
            for (number, pair) in (1..).zip(&pairs) {
                headers.push((format!("X-Parallel-Signature-V2-{number}"), BASE64.encode(pair.sign(&dated))));
            }
        }
        headers
    }
}

/// GetProfile proves itself with the API key alone.
pub(crate) fn getprofile_headers(api_key: &str) -> Vec<(String, String)> {
    vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("Authorization".to_owned(), format!("Bearer {api_key}")),
    ]
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    const URL: &str = "https://mirror.example.com/webhooks/parallel";
    const BODY: &[u8] = br#"{"id":"evt1","profileId":"prof1","type":"PROFILE_CLOSED","data":{"userId":"user1"},"createdAt":"2026-01-01T00:00:00.000Z"}"#;

    fn value<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
        headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap()
    }

    #[test]
    fn parallel_signs_the_published_vectors() {
        let keys = ParallelKeys::load().unwrap();
        let at = Utc.timestamp_millis_opt(1_767_225_600_000).unwrap();
        let headers = keys.sign(&[0], ParallelScheme::Both, BODY, at, URL);
        assert_eq!(keys.public_keys(1), ["MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs="]);
        assert_eq!(
            value(&headers, "X-Parallel-Signature-1"),
            "T+YocMTMB/TNM2fj8w/j0t3ul+4VnY6zDT7dshpz2PYT8GYB59hGo+AAxf83qCV/b+mqGuF2mOjAUwOBbXU1Bg=="
        );
        assert_eq!(
            value(&headers, "X-Parallel-Signature-V2-1"),
            "ED5jVkZqg2e1hD17MSqD/zfyAxbJWZhx39JpN0DpxgeY/YjEht5U+lzssH6yZJmCvjw9r2TGbM57mcGgwhdJDA=="
        );
        assert_eq!(value(&headers, "X-Parallel-Signature-Timestamp"), "1767225600000");
    }

    #[test]
    fn copernica_signatures_verify_with_the_published_record() {
        let mut keys = CopernicaKeys::load().unwrap();
        keys.rotate();
        let style =
            CopernicaStyle { account: "account-1234".into(), mixed_case_names: false, lower_case_digest: false };
        let at = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
        let headers = keys.sign(&style, b"type=update", at, "http://127.0.0.1:8080/webhooks/marketing?x=1");
        let record = keys.txt_records()["two._domainkey.copernica.com"].clone();
        let spki = BASE64.decode(record.split("p=").nth(1).unwrap()).unwrap();
        // ring wants the bare RSAPublicKey: it starts after the 24 bytes that wrap a 2048-bit one.
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &spki[24..]);
        let signing_string = format!(
            "(request-target): post /webhooks/marketing?x=1\nhost: 127.0.0.1:8080\ndate: Thu, 01 Jan 2026 00:00:00 GMT\n\
             x-copernica-id: account-1234\ndigest: {}\nx-nonce: {}",
            value(&headers, "Digest"),
            value(&headers, "X-Nonce")
        );
        let signature = value(&headers, "Signature").split("signature=\"").nth(1).unwrap().trim_end_matches('"');
        public.verify(signing_string.as_bytes(), &BASE64.decode(signature).unwrap()).unwrap();
        assert!(
            value(&headers, "Signature").starts_with("keyId=\"two._domainkey.copernica.com\",algorithm=\"rsa-sha256\"")
        );
    }

    #[test]
    fn the_default_port_is_not_part_of_the_host() {
        assert_eq!(Target::of("https://a.example:443/x"), Target { host: "a.example".into(), path: "/x".into() });
    }
}
