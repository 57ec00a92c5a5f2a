//! GetProfile (getprofile-ai.com): profiles that a model distils from text, with confidences.
//!
//! In: thin JSON webhooks behind a bearer secret, REST profiles and search pages. Out: fetch hints
//! and whole profiles under the upstream's `last_updated`. Facts come from the vendor's page
//! *integrations/webhooks*, its API reference and its public client and types packages.
//!
//! Deliberately absent: subprofiles and relationships (there are none), and any use of the status
//! that a webhook names: a webhook carries no signature, so that it may only cause a fetch.

mod decode;
mod pull;
mod redact;
mod verify;
mod wire;

use crate::{
    Answer, Auth, Call, DecodeError, Decoded, Delivery, Derived, FieldSeen, Inbound, Page, PageRead, Provider, Receipt,
    Redacted, Refusal, SettingsError, SourceSettings, Subjects, Target, VerifyContext,
};
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use http::HeaderMap;
use serde_json::{Map, Value};

/// GetProfile, configured for one source.
pub struct GetProfile {
    tenant: String,
    verifier: verify::Verifier,
}

impl GetProfile {
    /// Configures GetProfile for a source. Without secrets every webhook is refused.
    ///
    /// # Errors
    /// [`SettingsError`] names the first setting that is missing or wrong.
    pub fn new(settings: SourceSettings) -> Result<Self, SettingsError> {
        let verifier = verify::Verifier::new(&settings)?;
        let tenant = settings.tenant.map(|tenant| tenant.trim().to_owned()).filter(|tenant| !tenant.is_empty());
        let tenant = tenant.ok_or_else(|| SettingsError {
            key: "tenant",
            problem: "missing: expected the tenant_id that webhooks and profiles of this account name".to_owned(),
        })?;
        Ok(Self { tenant, verifier })
    }
}

impl Provider for GetProfile {
    fn name(&self) -> &'static str {
        "getprofile"
    }

    fn body_limit(&self) -> usize {
        256 * 1024
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["application/json"]
    }

    fn verify<'a>(
        &'a self,
        inbound: &'a Inbound<'a>,
        _: &'a VerifyContext<'a>,
    ) -> BoxFuture<'a, Result<Receipt, Refusal>> {
        Box::pin(std::future::ready(self.verifier.verify(inbound)))
    }

    fn decode(&self, delivery: &Delivery<'_>) -> Result<Decoded, DecodeError> {
        decode::decode(&self.tenant, delivery)
    }

    fn names(&self, delivery: &Delivery<'_>) -> Subjects {
        redact::names(delivery)
    }

    fn redact(&self, delivery: &Delivery<'_>, subjects: &Subjects) -> Redacted {
        redact::redact(delivery, subjects)
    }

    fn derive(&self, fields: &Map<String, Value>, _: &[FieldSeen]) -> Derived {
        decode::derive(fields)
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn fetch(&self, target: &Target) -> Call {
        pull::fetch(target)
    }

    fn confirm_missing(&self, target: &Target) -> Option<Call> {
        pull::confirm_missing(target)
    }

    fn confirm_further(&self, call: &Call, body: &[u8]) -> Option<Call> {
        pull::confirm_further(call, body)
    }

    fn first_pages(&self) -> Vec<Page> {
        vec![pull::first_page()]
    }

    fn changed_pages(&self, since: DateTime<Utc>) -> Vec<Page> {
        vec![pull::changed_page(since)]
    }

    /// Retries are not documented; that there are any follows from *respond in time to avoid retries*.
    fn retry_memory_seconds(&self) -> u32 {
        300
    }

    fn next_pages(&self, page: &Page, body: &[u8]) -> Result<PageRead, DecodeError> {
        pull::next_pages(page, body)
    }

    fn rejoin(&self, page: &Page) -> Option<Page> {
        pull::rejoin(page)
    }

    fn smaller(&self, page: &Page) -> Option<Page> {
        pull::smaller(page)
    }

    fn classify(&self, call: &Call, status: u16, headers: &HeaderMap, body: &[u8]) -> Answer {
        pull::classify(call, status, headers, body)
    }

    /// No figure is published; this is polite.
    fn requests_per_minute(&self) -> Option<u32> {
        Some(60)
    }
}
