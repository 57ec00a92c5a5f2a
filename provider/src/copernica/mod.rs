//! Copernica: databases of profiles, collections of subprofiles, interests.
//!
//! In: form-encoded webhooks under a draft-cavage signature, which carry whole profiles, and REST
//! answers. Out: whole profiles and subprofiles under the upstream's `modified`, deletions, metadata.
//! Facts come from the vendor's documentation (`CopernicaMarketingSoftware/Documentation`), its PHP
//! signature verifier (`http-signatures-php`), and behaviour that other clients found and wrote down.
//!
//! Deliberately absent: mailing events (opens, clicks), legacy callbacks, `secret` (it logs people in
//! and must not be mirrored), and the webhook's `id`, which samples contradict.

mod brackets;
mod decode;
mod derive;
mod interests;
mod key_ring;
mod local_time;
mod nonces;
mod pull;
mod redact;
mod rest;
mod signature;
mod verify;
mod wire;

use crate::{
    Answer, Auth, Call, DecodeError, Decoded, Delivery, Derived, FieldSeen, Inbound, KeyLookup, Page, PageRead,
    Provider, Receipt, Redacted, Refusal, SettingsError, SourceSettings, Subjects, Target, VerifyContext, Vouch,
};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use futures::future::BoxFuture;
use http::HeaderMap;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Copernica, configured for one source.
pub struct Copernica {
    auth_url: String,
    zone: Tz,
    verifier: verify::Verifier,
}

impl Copernica {
    /// Configures Copernica for a source. Without an account every webhook is refused.
    ///
    /// # Errors
    /// [`SettingsError`] names the first setting that is missing or wrong.
    pub fn new(settings: SourceSettings, keys: Arc<dyn KeyLookup>) -> Result<Self, SettingsError> {
        // Not documented; other clients found Amsterdam by testing against the live API.
        let zone = settings.time_zone.as_deref().unwrap_or("Europe/Amsterdam");
        let zone = zone.parse().map_err(|_| SettingsError {
            key: "time_zone",
            problem: format!("{zone} is not an IANA time zone: expected a name such as Europe/Amsterdam"),
        })?;
        let auth_url = settings.auth_url.clone().unwrap_or_else(|| "https://authenticate.copernica.com".to_owned());
        Ok(Self { auth_url, zone, verifier: verify::Verifier::new(&settings, keys)? })
    }
}

impl Provider for Copernica {
    fn name(&self) -> &'static str {
        "copernica"
    }

    /// One `big` field may hold 16 million characters.
    fn body_limit(&self) -> usize {
        20 * 1024 * 1024
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["application/x-www-form-urlencoded", "application/json"]
    }

    fn verify<'a>(
        &'a self,
        inbound: &'a Inbound<'a>,
        context: &'a VerifyContext<'a>,
    ) -> BoxFuture<'a, Result<Receipt, Refusal>> {
        Box::pin(self.verifier.verify(inbound, context))
    }

    fn decode(&self, delivery: &Delivery<'_>) -> Result<Decoded, DecodeError> {
        decode::decode(self.zone, delivery)
    }

    fn names(&self, delivery: &Delivery<'_>) -> Subjects {
        redact::names(delivery)
    }

    fn redact(&self, delivery: &Delivery<'_>, subjects: &Subjects) -> Redacted {
        redact::redact(delivery, subjects)
    }

    fn derive(&self, fields: &Map<String, Value>, definitions: &[FieldSeen]) -> Derived {
        derive::derive(fields, definitions)
    }

    fn auth(&self) -> Auth {
        Auth::ExchangedJwt { url: self.auth_url.clone() }
    }

    fn fetch(&self, target: &Target) -> Call {
        pull::fetch(target)
    }

    fn lists_ids(&self) -> bool {
        true
    }

    fn confirm_missing(&self, _: &Target) -> Option<Call> {
        None
    }

    fn vouch(&self, target: &Target, within: Option<&str>) -> Vouch {
        pull::vouch(target, within)
    }

    fn first_pages(&self) -> Vec<Page> {
        vec![pull::first_page()]
    }

    fn changed_pages(&self, since: DateTime<Utc>) -> Vec<Page> {
        vec![Page { since: Some(since), ..pull::first_page() }]
    }

    /// No retry is documented: what was not taken is lost.
    fn retry_memory_seconds(&self) -> u32 {
        0
    }

    fn next_pages(&self, page: &Page, body: &[u8]) -> Result<PageRead, DecodeError> {
        pull::next_pages(self.zone, page, body)
    }

    fn smaller(&self, page: &Page) -> Option<Page> {
        page.halved("limit")
    }

    fn classify(&self, call: &Call, status: u16, headers: &HeaderMap, body: &[u8]) -> Answer {
        pull::classify(call, status, headers, body)
    }
}
