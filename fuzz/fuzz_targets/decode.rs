//! Gives any bytes to each provider as a webhook, a page and the answer to a fetch.
//!
//! Found is a panic, a NUL character that gets through, and an erasure that leaves a profile in the bytes.

#![no_main]

use futures::future::BoxFuture;
use libfuzzer_sys::fuzz_target;
use provider::{
    Call, Decoded, Delivery, DeliveryKind, KeyLookup, KeyLookupError, Observation, Page, Provider, Redacted,
    SourceSettings, Subjects, Target, registry,
};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

const STREAMS: [&str; 10] = [
    "databases",
    "database/1/profiles",
    "database/1/fields",
    "database/1/interests",
    "database/1/collections",
    "collection/2/subprofiles",
    "collection/2/fields",
    "profile-types",
    "profile-type/x/profiles/OPEN",
    "search",
];

struct NoKeys;

impl KeyLookup for NoKeys {
    fn txt<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<String>, KeyLookupError>> {
        Box::pin(std::future::ready(Err(KeyLookupError::NotFound)))
    }
}

static PROVIDERS: LazyLock<Vec<Arc<dyn Provider>>> = LazyLock::new(|| {
    let settings = SourceSettings {
        name: "fuzz".to_owned(),
        base_url: "https://api.example.com".to_owned(),
        tenant: Some("abc-tenant".to_owned()),
        account: Some("account-1234".to_owned()),
        ..SourceSettings::default()
    };
    let build = |name: &str| registry::build(name, settings.clone(), Arc::new(NoKeys)).unwrap().unwrap();
    registry::names().into_iter().map(build).collect()
});

static PAGES: LazyLock<Vec<Page>> =
    LazyLock::new(|| STREAMS.iter().map(|stream| Page::first(*stream, Call::get("/x"))).collect());

static TARGETS: LazyLock<[Target; 3]> = LazyLock::new(|| {
    [
        Target::Profile { id: "1".to_owned() },
        Target::Subprofile { id: "1".to_owned() },
        Target::Metadata { profile_type: None },
    ]
});

// The first byte says at whom the rest comes, and how.
fuzz_target!(|bytes: &[u8]| {
    let Some((&how, body)) = bytes.split_first() else { return };
    let provider = PROVIDERS[usize::from(how) % PROVIDERS.len()].as_ref();
    let way = usize::from(how) / PROVIDERS.len();
    let mut delivery = Delivery {
        kind: DeliveryKind::Webhook,
        media_type: "application/json",
        body,
        target: None,
        page: None,
        is_missing: false,
    };
    match way % 16 {
        0 => delivery.media_type = "application/x-www-form-urlencoded",
        1 => {}
        way @ 2..5 => {
            delivery.kind = DeliveryKind::Fetch;
            delivery.target = Some(&TARGETS[way - 2]);
            let call = provider.fetch(&TARGETS[way - 2]);
            for status in [200, 400, 404, 429] {
                provider.classify(&call, status, &Default::default(), body);
            }
        }
        way => {
            let page = &PAGES[(way - 5) % PAGES.len()];
            delivery.kind = DeliveryKind::Page;
            delivery.page = Some(page);
            let _ = provider.next_pages(page, body);
        }
    }
    check(provider, &delivery);
});

fn check(provider: &dyn Provider, delivery: &Delivery<'_>) {
    provider.names(delivery);
    let Ok(decoded) = provider.decode(delivery) else { return };
    assert!(!has_nul(&format!("{decoded:?}")), "a NUL character got through");
    for profile in shown(&decoded) {
        let subjects = Subjects { profiles: BTreeSet::from([profile.clone()]), ..Subjects::default() };
        let Redacted::Slice(rest) = provider.redact(delivery, &subjects) else { continue };
        let rest = Delivery { body: &rest, ..*delivery };
        // What is left may be a body that nobody can read any more. What can be read shows nothing of the profile.
        let Ok(left) = provider.decode(&rest) else { continue };
        assert!(!shown(&left).contains(&profile), "the profile is still there");
        assert!(shown(&left).is_subset(&shown(&decoded)), "somebody came who was not there before");
    }
}

/// Whether a text as `Debug` writes it holds a NUL: `\0`, where a backslash itself stands as two.
fn has_nul(text: &str) -> bool {
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next == '\\' && rest.next() == Some('0') {
            return true;
        }
    }
    false
}

/// The profiles of whom a delivery tells something; its id alone stays, where a row of a list stood.
fn shown(decoded: &Decoded) -> BTreeSet<String> {
    let profile = |observation: &Observation| match observation {
        Observation::Profile(seen) => {
            let has_fields = seen.fields.as_ref().is_some_and(|fields| !fields.is_empty());
            let has_interests = seen.interests.as_ref().is_some_and(|interests| !interests.is_empty());
            let has_relationships = seen.relationships.as_ref().is_some_and(|(_, all)| !all.is_empty());
            let is_told = has_fields || has_interests || has_relationships || seen.name.is_some();
            is_told.then(|| seen.external_id.clone())
        }
        _ => None,
    };
    decoded.observations.iter().filter_map(profile).collect()
}
