//! Ed25519 signatures of Parallel's webhooks (help pages on event subscriptions and signature keys).
//!
//! *V2* signs the registered URL, the timestamp header and the body, joined without separators
//! (*assumed, to confirm on a live account*). *V1* signs the body alone, so that whoever once saw a
//! delivery can send it again for ever: it counts only where the source allows it, and never when a
//! V2 header is there. A subscription has up to five keys, and each signs into a header of its own.

use crate::public_key::{decode_base64, raw_key};
use crate::{Inbound, Receipt, Refusal, SettingsError, SourceSettings, VerifyContext, digest};
use http::HeaderMap;
use ring::signature::{ED25519, UnparsedPublicKey};

const V1: &str = "x-parallel-signature-";
const V2: &str = "x-parallel-signature-v2-";
const TIMESTAMP: &str = "x-parallel-signature-timestamp";
/// Keys that a subscription can have.
const MAX_KEYS: usize = 5;
/// Signature headers that are tried; more than there can be keys, so that a stray one does no harm.
const MAX_SIGNATURES: usize = 10;
/// Object identifier of Ed25519 (RFC 8410).
const ED25519_OID: &str = "1.3.101.112";
/// The vendor's own tolerance, five minutes.
const DEFAULT_TOLERANCE_SECONDS: u32 = 300;

/// What is needed to check a webhook.
pub(super) struct Verifier {
    keys: Vec<UnparsedPublicKey<Vec<u8>>>,
    allow_v1: bool,
    tolerance_seconds: i64,
}

impl Verifier {
    /// Reads the keys of a source.
    pub(super) fn new(settings: &SourceSettings) -> Result<Self, SettingsError> {
        let wrong = |problem: String| SettingsError { key: "webhook.keys", problem };
        if settings.public_keys.len() > MAX_KEYS {
            return Err(wrong(format!("a subscription has at most {MAX_KEYS} keys")));
        }
        let keys = settings.public_keys.iter().enumerate().map(|(position, text)| {
            let key = decode_base64(text).and_then(|der| raw_key(&der, ED25519_OID)).filter(|raw| raw.len() == 32);
            key.map(|raw| UnparsedPublicKey::new(&ED25519, raw)).ok_or_else(|| {
                wrong(format!(
                    "key {} is not an Ed25519 public key: expected the base64 text of the dashboard (MCowBQYDK2VwAyEA…)",
                    position + 1
                ))
            })
        });
        Ok(Self {
            keys: keys.collect::<Result<_, _>>()?,
            allow_v1: settings.allow_v1,
            tolerance_seconds: i64::from(settings.tolerance_seconds.unwrap_or(DEFAULT_TOLERANCE_SECONDS)),
        })
    }

    pub(super) fn verify(&self, inbound: &Inbound<'_>, context: &VerifyContext<'_>) -> Result<Receipt, Refusal> {
        let v2 = signatures(inbound.headers, V2);
        let v1 = signatures(inbound.headers, V1);
        let timestamp = inbound.headers.get(TIMESTAMP);
        if v1.is_empty() && v2.is_empty() && timestamp.is_none() && is_empty_object(inbound.body) {
            return Ok(Receipt::Acknowledge { reason: "registration probe" });
        }
        if self.keys.is_empty() {
            return Err(Refusal::Invalid("no key is configured for this source: set webhook.keys".to_owned()));
        }
        if !v2.is_empty() || timestamp.is_some() {
            self.verify_v2(&v2, inbound, context)?;
        } else if v1.is_empty() {
            return Err(Refusal::Missing("X-Parallel-Signature-V2-1"));
        } else if !self.allow_v1 {
            return Err(Refusal::Invalid(
                "only the older signature is there, which can be replayed: this source does not allow it".to_owned(),
            ));
        } else {
            self.check(&v1, inbound.body)?;
        }
        Ok(Receipt::Accept { dedupe_key: digest::event_key(inbound.body) })
    }

    fn verify_v2(
        &self,
        signatures: &[Vec<u8>],
        inbound: &Inbound<'_>,
        context: &VerifyContext<'_>,
    ) -> Result<(), Refusal> {
        if signatures.is_empty() {
            return Err(Refusal::Missing("X-Parallel-Signature-V2-1"));
        }
        let timestamp = single(inbound.headers, TIMESTAMP)?;
        let sent_ms: i64 = timestamp
            .trim()
            .parse()
            .map_err(|_| Refusal::Invalid("signature timestamp is not a number of milliseconds".to_owned()))?;
        let skew_ms = context.now.timestamp_millis().saturating_sub(sent_ms);
        if skew_ms.unsigned_abs() > self.tolerance_seconds.unsigned_abs() * 1000 {
            return Err(Refusal::OutsideWindow {
                skew_seconds: skew_ms / 1000,
                allowed_seconds: self.tolerance_seconds,
            });
        }
        let signed = [context.registered_url.as_bytes(), timestamp.trim().as_bytes(), inbound.body].concat();
        self.check(signatures, &signed)
    }

    /// One signature that one key made is enough: keys are rotated by having two.
    fn check(&self, signatures: &[Vec<u8>], signed: &[u8]) -> Result<(), Refusal> {
        let holds =
            signatures.iter().any(|signature| self.keys.iter().any(|key| key.verify(signed, signature).is_ok()));
        if holds { Ok(()) } else { Err(Refusal::Invalid("no configured key made any of the signatures".to_owned())) }
    }
}

/// The signatures under `prefix` followed by a number; one that is not base64 is an empty signature,
/// which is there and holds for no key.
fn signatures(headers: &HeaderMap, prefix: &str) -> Vec<Vec<u8>> {
    headers
        .iter()
        .filter(|(name, _)| {
            let number = name.as_str().strip_prefix(prefix).unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
        .map(|(_, value)| value.to_str().ok().and_then(decode_base64).unwrap_or_default())
        .take(MAX_SIGNATURES)
        .collect()
}

fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(Refusal::Missing(name))?;
    if values.next().is_some() {
        return Err(Refusal::Invalid(format!("{name} is there more than once")));
    }
    value.to_str().map_err(|_| Refusal::Invalid(format!("{name} is not text")))
}

fn is_empty_object(body: &[u8]) -> bool {
    body.iter().filter(|byte| !byte.is_ascii_whitespace()).eq(b"{}")
}
