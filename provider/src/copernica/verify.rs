//! Checks Copernica's webhooks: signature, digest, date, place, account, nonce.
//!
//! The order is the vendor's checklist (*webhook-security*), cheap checks first, so that only a
//! request that is right in everything else costs a key lookup. The sender signs the request target
//! and host that it sent, which are therefore taken from the request, and must also be those under
//! which the webhook is registered: a request signed for another endpoint is refused.

use super::key_ring::{KeyRing, RsaKey};
use super::nonces::Nonces;
use super::signature::{Signature, single};
use crate::public_key::decode_base64;
use crate::{Inbound, KeyLookup, Receipt, Refusal, SettingsError, SourceSettings, VerifyContext, digest, moment};
use chrono::{DateTime, TimeDelta, Utc};
use http::Uri;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The vendor's own window; it also says that requests which are older may be dropped.
const DEFAULT_TOLERANCE_SECONDS: u32 = 60;
/// Domain of the vendor's keys.
const DEFAULT_KEY_DOMAIN: &str = "copernica.com";

/// What is needed to check a webhook.
pub(super) struct Verifier {
    account: Option<String>,
    key_suffix: String,
    tolerance_seconds: i64,
    keys: KeyRing,
    nonces: Mutex<Nonces>,
}

impl Verifier {
    pub(super) fn new(settings: &SourceSettings, lookup: Arc<dyn KeyLookup>) -> Result<Self, SettingsError> {
        let mut fixed = BTreeMap::new();
        for (name, text) in &settings.fixed_keys {
            let key = RsaKey::read(text).ok_or_else(|| SettingsError {
                key: "webhook.keys",
                problem: format!("key {name} is not an RSA public key: expected a DKIM record or base64 of the key"),
            })?;
            fixed.insert(name.trim_end_matches('.').to_ascii_lowercase(), key);
        }
        let domain = settings.key_domain.as_deref().unwrap_or(DEFAULT_KEY_DOMAIN);
        let domain = domain.trim().trim_matches('.').to_ascii_lowercase();
        if domain.is_empty() {
            let problem = format!("empty: expected a domain such as {DEFAULT_KEY_DOMAIN}");
            return Err(SettingsError { key: "webhook.key_domain", problem });
        }
        Ok(Self {
            account: settings.account.as_deref().map(normalize_account).filter(|account| !account.is_empty()),
            key_suffix: format!(".{domain}"),
            tolerance_seconds: i64::from(settings.tolerance_seconds.unwrap_or(DEFAULT_TOLERANCE_SECONDS)),
            keys: KeyRing::new(fixed, lookup),
            nonces: Mutex::default(),
        })
    }

    pub(super) async fn verify(&self, inbound: &Inbound<'_>, context: &VerifyContext<'_>) -> Result<Receipt, Refusal> {
        let Some(account) = &self.account else {
            return Err(invalid("no account is configured for this source: set webhook.account"));
        };
        let signature = Signature::read(inbound)?;
        let date = single(inbound, "date")?;
        let sent = self.check_date(date, context.now)?;
        let body = digest::sha256(inbound.body);
        check_digest(single(inbound, "digest")?, &body)?;
        check_place(inbound, context.registered_url)?;
        if normalize_account(&String::from_utf8_lossy(single(inbound, "x-copernica-id")?)) != *account {
            return Err(invalid("the request is signed for another account than the configured one"));
        }
        let nonce = single(inbound, "x-nonce")?;
        self.check_key_name(&signature.key_id)?;
        let texts = signature.signed_texts(inbound)?;
        let holds = |key: &RsaKey| texts.iter().any(|text| key.holds(text, &signature.bytes));
        self.keys.check(&signature.key_id, context.now, holds).await?;
        let until = sent + TimeDelta::seconds(self.tolerance_seconds);
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if !nonces.admit(context.now, until, nonce, date, &body) {
            return Err(invalid("the nonce was used before for another body"));
        }
        // Not the body alone: a value that goes there, back and there again within one second makes the
        // same body twice, and both say something. One that is sent again under a new nonce is applied
        // again, which changes nothing.
        let sending = [nonce, b"\n", date, b"\n", body.as_slice()].concat();
        Ok(Receipt::Accept { dedupe_key: format!("sent:{}", digest::sha256_hex(&sending)) })
    }

    fn check_date(&self, date: &[u8], now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
        let sent = std::str::from_utf8(date).ok().and_then(moment::http_date);
        let sent = sent.ok_or_else(|| invalid("Date is no HTTP date"))?;
        let skew_seconds = (now - sent).num_seconds();
        if skew_seconds.abs() > self.tolerance_seconds {
            return Err(Refusal::OutsideWindow { skew_seconds, allowed_seconds: self.tolerance_seconds });
        }
        Ok(sent)
    }

    /// Before any lookup: a forger would name a key of his own.
    fn check_key_name(&self, name: &str) -> Result<(), Refusal> {
        let is_name = name.len() <= 253
            && name.split('.').all(|label| {
                let is_sized = (1..=63).contains(&label.len());
                is_sized && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            });
        if is_name && name.ends_with(&self.key_suffix) {
            Ok(())
        } else {
            Err(invalid(&format!("the key's name does not lie under{}", self.key_suffix.replacen('.', " ", 1))))
        }
    }
}

fn invalid(text: &str) -> Refusal {
    Refusal::Invalid(text.to_owned())
}

/// Documentation and samples write `account-1234`, `account_1234` and `Account_1234`.
fn normalize_account(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace('_', "-")
}

/// `SHA-256=base64` (RFC 3230), perhaps beside digests of other kinds, which do not count.
fn check_digest(header: &[u8], body: &[u8; 32]) -> Result<(), Refusal> {
    let text = std::str::from_utf8(header).map_err(|_| invalid("Digest is not text"))?;
    let mut sums = text.split(',').filter_map(|entry| {
        // The sum itself ends in `=`.
        let (name, sum) = entry.trim().split_once('=')?;
        name.trim().eq_ignore_ascii_case("sha-256").then(|| decode_base64(sum))
    });
    let sum = sums.next().ok_or_else(|| invalid("Digest has no SHA-256"))?;
    if sums.next().is_some() || sum.as_deref() != Some(&body[..]) {
        return Err(invalid("Digest is not that of the body"));
    }
    Ok(())
}

/// Host and request target must be those of the registered URL.
fn check_place(inbound: &Inbound<'_>, registered_url: &str) -> Result<(), Refusal> {
    let registered: Uri =
        registered_url.parse().map_err(|_| invalid("the registered URL is no URL: set public_url"))?;
    let host = String::from_utf8_lossy(single(inbound, "host")?).to_ascii_lowercase();
    let default_port = if registered.scheme_str() == Some("http") { ":80" } else { ":443" };
    let expected = registered.authority().map(|authority| authority.as_str().to_ascii_lowercase()).unwrap_or_default();
    let bare = |host: &str| host.strip_suffix(default_port).unwrap_or(host).to_owned();
    if expected.is_empty() || bare(&host) != bare(&expected) {
        return Err(invalid("the request is signed for another host than the registered one"));
    }
    let target = registered.path_and_query().map_or("/", |target| target.as_str());
    if inbound.path_and_query != target {
        return Err(invalid("the request is signed for another path than the registered one"));
    }
    Ok(())
}
