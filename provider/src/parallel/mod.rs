//! Parallel (onparallel.com): customer profiles with relationships and a guarded lifecycle.
//!
//! In: thin signed JSON webhooks (ids and a type, no values), REST profiles and lists. Out:
//! fetch hints, lifecycle transitions, whole profiles. Facts come from the vendor's article
//! *Integrating with Profiles*, its help pages on event subscriptions and signature keys, and the
//! field names of its API reference; what those leave open is marked *assumed* where it matters.
//!
//! Deliberately absent: subprofiles (Parallel has none), and any trust in the order of events.

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

/// Parallel, configured for one source.
pub struct Parallel {
    verifier: verify::Verifier,
}

impl Parallel {
    /// Configures Parallel for a source. Without keys every webhook is refused.
    ///
    /// # Errors
    /// [`SettingsError`] names the first setting that is missing or wrong.
    pub fn new(settings: SourceSettings) -> Result<Self, SettingsError> {
        Ok(Self { verifier: verify::Verifier::new(&settings)? })
    }
}

impl Provider for Parallel {
    fn name(&self) -> &'static str {
        "parallel"
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
        context: &'a VerifyContext<'a>,
    ) -> BoxFuture<'a, Result<Receipt, Refusal>> {
        Box::pin(std::future::ready(self.verifier.verify(inbound, context)))
    }

    fn decode(&self, delivery: &Delivery<'_>) -> Result<Decoded, DecodeError> {
        decode::decode(delivery)
    }

    fn names(&self, delivery: &Delivery<'_>) -> Subjects {
        redact::names(delivery)
    }

    fn redact(&self, delivery: &Delivery<'_>, subjects: &Subjects) -> Redacted {
        redact::redact(delivery, subjects)
    }

    fn derive(&self, fields: &Map<String, Value>, definitions: &[FieldSeen]) -> Derived {
        decode::derive(fields, definitions)
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn fetch(&self, target: &Target) -> Call {
        pull::fetch(target)
    }

    fn confirm_missing(&self, _: &Target) -> Option<Call> {
        None
    }

    fn first_pages(&self) -> Vec<Page> {
        vec![pull::first_page()]
    }

    /// Profiles carry no time of modification, so that a list cannot be followed to where it was read before.
    fn changed_pages(&self, _: DateTime<Utc>) -> Vec<Page> {
        Vec::new()
    }

    /// *Some minutes*, the vendor says.
    fn retry_memory_seconds(&self) -> u32 {
        300
    }

    fn next_pages(&self, page: &Page, body: &[u8]) -> Result<PageRead, DecodeError> {
        pull::next_pages(page, body)
    }

    fn smaller(&self, page: &Page) -> Option<Page> {
        page.halved("limit")
    }

    fn classify(&self, call: &Call, status: u16, headers: &HeaderMap, body: &[u8]) -> Answer {
        pull::classify(call, status, headers, body)
    }

    /// As its API reference says, for each client.
    fn requests_per_minute(&self) -> Option<u32> {
        Some(100)
    }
}
