//! What the tests build on: providers, deliveries, fixtures, a key lookup that counts.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::executor::block_on;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue};
use provider::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn text_fixture(name: &str) -> String {
    String::from_utf8(fixture(name)).unwrap().trim().to_owned()
}

pub fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn settings() -> SourceSettings {
    SourceSettings {
        name: "test".to_owned(),
        base_url: "https://api.example.com".to_owned(),
        tenant: Some("abc-tenant".to_owned()),
        account: Some("account-1234".to_owned()),
        ..SourceSettings::default()
    }
}

/// Answers TXT lookups from a table and counts them.
#[derive(Default)]
pub struct Dns {
    pub records: Mutex<BTreeMap<String, Result<Vec<String>, KeyLookupError>>>,
    pub lookups: Mutex<Vec<String>>,
    is_stalled: AtomicBool,
}

impl Dns {
    pub fn publish(&self, name: &str, record: &str) {
        self.records.lock().unwrap().insert(name.to_owned(), Ok(vec![record.to_owned()]));
    }

    pub fn fail(&self, name: &str) {
        let down = Err(KeyLookupError::Unavailable("timed out".to_owned()));
        self.records.lock().unwrap().insert(name.to_owned(), down);
    }

    /// From now on names that are not in the table get no answer at all.
    pub fn stall(&self) {
        self.is_stalled.store(true, Ordering::SeqCst);
    }

    pub fn count(&self) -> usize {
        self.lookups.lock().unwrap().len()
    }
}

impl KeyLookup for Dns {
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, KeyLookupError>> {
        self.lookups.lock().unwrap().push(name.to_owned());
        match self.records.lock().unwrap().get(name).cloned() {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None if self.is_stalled.load(Ordering::SeqCst) => Box::pin(std::future::pending()),
            None => Box::pin(std::future::ready(Err(KeyLookupError::NotFound))),
        }
    }
}

pub fn build(name: &str, settings: SourceSettings) -> Arc<dyn Provider> {
    registry::build(name, settings, Arc::new(Dns::default())).unwrap().unwrap()
}

pub fn providers() -> Vec<Arc<dyn Provider>> {
    registry::names().into_iter().map(|name| build(name, settings())).collect()
}

pub fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// A webhook request on its way to verification.
pub struct Request {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub now: DateTime<Utc>,
    pub registered_url: String,
}

impl Request {
    pub fn verify(&self, provider: &dyn Provider) -> Result<Receipt, Refusal> {
        block_on(self.verifying(provider))
    }

    pub fn verifying<'a>(&'a self, provider: &'a dyn Provider) -> BoxFuture<'a, Result<Receipt, Refusal>> {
        Box::pin(async move {
            let (path_and_query, headers) = (&self.path, &self.headers);
            let inbound = Inbound { method: "POST", path_and_query, headers, body: &self.body };
            let context = VerifyContext { now: self.now, registered_url: &self.registered_url };
            provider.verify(&inbound, &context).await
        })
    }
}

pub fn webhook(provider: &dyn Provider, media_type: &str, body: &[u8]) -> Result<Decoded, DecodeError> {
    let kind = DeliveryKind::Webhook;
    provider.decode(&Delivery { kind, media_type, body, target: None, page: None, is_missing: false })
}

pub fn fetched(provider: &dyn Provider, target: &Target, body: &[u8]) -> Result<Decoded, DecodeError> {
    let kind = DeliveryKind::Fetch;
    provider.decode(&Delivery {
        kind,
        media_type: "application/json",
        body,
        target: Some(target),
        page: None,
        is_missing: false,
    })
}

pub fn missing(provider: &dyn Provider, target: &Target, body: &[u8]) -> Decoded {
    let kind = DeliveryKind::Fetch;
    let media_type = "application/json";
    provider.decode(&Delivery { kind, media_type, body, target: Some(target), page: None, is_missing: true }).unwrap()
}

pub fn paged(provider: &dyn Provider, page: &Page, body: &[u8]) -> Result<Decoded, DecodeError> {
    let kind = DeliveryKind::Page;
    let media_type = "application/json";
    provider.decode(&Delivery { kind, media_type, body, target: None, page: Some(page), is_missing: false })
}

pub fn page(stream: &str, call: Call) -> Page {
    Page::first(stream, call)
}

pub fn profile(id: &str) -> Target {
    Target::Profile { id: id.to_owned() }
}

/// The only observation of a decoded delivery.
pub fn only(decoded: Decoded) -> Observation {
    let [observation] = <[Observation; 1]>::try_from(decoded.observations).unwrap();
    observation
}

pub fn only_profile(decoded: Decoded) -> ProfileSeen {
    match only(decoded) {
        Observation::Profile(profile) => *profile,
        other => panic!("no profile: {other:?}"),
    }
}

pub fn interest(group: Option<&str>, name: &str) -> InterestSeen {
    InterestSeen { group: group.map(str::to_owned), name: name.to_owned() }
}

pub fn query<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
