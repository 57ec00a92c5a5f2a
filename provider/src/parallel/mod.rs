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
mod verify;
mod wire;

use crate::{
    Answer, Auth, Call, DecodeError, Decoded, Delivery, Derived, FieldSeen, Inbound, Page, Provider, Receipt, Refusal,
    SettingsError, SourceSettings, Target, VerifyContext,
};
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

    fn next_pages(&self, page: &Page, body: &[u8]) -> Result<Vec<Page>, DecodeError> {
        pull::next_pages(page, body)
    }

    fn classify(&self, call: &Call, status: u16, headers: &HeaderMap, body: &[u8]) -> Answer {
        pull::classify(call, status, headers, body)
    }
}
