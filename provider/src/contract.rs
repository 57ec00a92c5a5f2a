//! The contract between the service and a provider.

use crate::{FieldSeen, Limits, Observation, Unknown};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A provider, configured for one source.
///
/// *Purity*: every method but [`Provider::verify`] is a pure function, and `verify` reaches out only
/// through the [`KeyLookup`] that it was built with. *Tolerance*: unknown fields, types, enum values
/// and events are never an error: they become observations that lead to a fetch, or
/// [`Decoded::ignored`] with a reason. *Secrets*: none is ever put into an observation, an error or
/// a [`Call`]; credentials travel only in [`Auth`].
pub trait Provider: Send + Sync {
    /// The word for this provider in configuration, schema and logs (`copernica`).
    fn name(&self) -> &'static str;

    /// Largest webhook body that is taken, bytes, unless the source's configuration says otherwise.
    fn body_limit(&self) -> usize;

    /// Media types of webhook bodies that are taken, lower case, without parameters.
    fn media_types(&self) -> &'static [&'static str];

    /// Checks that a webhook comes from the provider and is fresh, over its raw bytes, and names the
    /// key under which a second copy of it is the same delivery.
    ///
    /// # Errors
    /// [`Refusal`]: the sender is answered 401 (503 where the key could not be looked up).
    fn verify<'a>(
        &'a self,
        inbound: &'a Inbound<'a>,
        context: &'a VerifyContext<'a>,
    ) -> BoxFuture<'a, Result<Receipt, Refusal>>;

    /// Reads what a delivery says. Deliveries that are authentic but malformed are an error that
    /// parks them; whatever can be read on its own must be read.
    ///
    /// # Errors
    /// [`DecodeError`]: a sentence for the operator.
    fn decode(&self, delivery: &Delivery<'_>) -> Result<Decoded, DecodeError>;

    /// The profiles and subprofiles that a delivery names of which [`Provider::decode`] makes no observation: it is
    /// ignored, or cannot be read. Whatever can be found in it counts; a name too many does no harm.
    fn names(&self, delivery: &Delivery<'_>) -> Subjects;

    /// Takes out of a delivery what it tells of some records, and leaves the rest as it came.
    fn redact(&self, delivery: &Delivery<'_>, subjects: &Subjects) -> Redacted;

    /// Reads what only the field definitions of its type tell about a profile or subprofile: its
    /// display name, its e-mail address, and the fields that refer to other profiles.
    fn derive(&self, fields: &Map<String, Value>, definitions: &[FieldSeen]) -> Derived;

    /// How calls are authorized.
    fn auth(&self) -> Auth;

    /// The call that fetches a record by id.
    fn fetch(&self, target: &Target) -> Call;

    /// Whether one call tells the ids of all live records of a place: [`Target::Ids`] is asked for only then.
    fn lists_ids(&self) -> bool {
        false
    }

    /// A second call that must agree before a fetch's *not found* is believed, where one helps.
    fn confirm_missing(&self, target: &Target) -> Option<Call>;

    /// Where the answer to [`Provider::confirm_missing`], or to the last call of this kind, does not show all that it must
    /// show before an absence is believed: the call that shows more.
    fn confirm_further(&self, _call: &Call, _body: &[u8]) -> Option<Call> {
        None
    }

    /// What must still answer before a fetch's *not found* is believed: a token that has lost its right to a whole place
    /// is told of each record in it that it is not there. `within` is the external id of the profile type that a
    /// profile belongs to, or of the collection of a subprofile, where the mirror knows it.
    fn vouch(&self, _target: &Target, _within: Option<&str>) -> Vouch {
        Vouch::Needless
    }

    /// The pages that a full sync starts from, metadata first.
    fn first_pages(&self) -> Vec<Page>;

    /// The pages that lead to what has changed since a moment of upstream's clock: an optimisation that may
    /// miss deletions and more. Empty where the provider cannot tell.
    fn changed_pages(&self, since: DateTime<Utc>) -> Vec<Page>;

    /// For how long a webhook that could not be delivered is sent again, seconds: what was missed for longer
    /// is lost, and only a full sync brings it.
    fn retry_memory_seconds(&self) -> u32;

    /// What the answer to `page` leads to: the next page of its stream, streams that it discovered (the
    /// collections of a database), and how much of the stream it is.
    ///
    /// # Errors
    /// [`DecodeError`] where the answer is not the page that was asked for (ids that do not
    /// increase, a repeated page, a missing envelope).
    fn next_pages(&self, page: &Page, body: &[u8]) -> Result<PageRead, DecodeError>;

    /// The same page with fewer rows, for one of which the answer is larger than is taken; none where it cannot have
    /// fewer. It begins no later, and the pages that follow it are as small.
    fn smaller(&self, _page: &Page) -> Option<Page> {
        None
    }

    /// The page to ask for in place of this one where a while has passed since the one before it: rows that went meanwhile
    /// may have pulled others back, out of its reach. None where pages tell that by themselves.
    fn rejoin(&self, _page: &Page) -> Option<Page> {
        None
    }

    /// Sorts the answer to a call: usable, absent, refused, busy or broken.
    fn classify(&self, call: &Call, status: u16, headers: &HeaderMap, body: &[u8]) -> Answer;

    /// Calls a minute that the provider is known to take, where a source's configuration does not say; none where
    /// only its answers tell.
    fn requests_per_minute(&self) -> Option<u32> {
        None
    }

    /// What an answer says about how many more calls are taken, and when.
    fn limits(&self, headers: &HeaderMap) -> Limits {
        Limits::read(headers)
    }
}

/// A webhook request as it came.
pub struct Inbound<'a> {
    /// Method, upper case.
    pub method: &'a str,
    /// Path and query exactly as requested.
    pub path_and_query: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The raw body.
    pub body: &'a Bytes,
}

/// What verification needs to know about the moment and the place.
pub struct VerifyContext<'a> {
    /// Our clock.
    pub now: DateTime<Utc>,
    /// The URL under which this webhook is registered at the provider, never the request's `Host`.
    pub registered_url: &'a str,
}

/// What `verify` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Authentic: keep it under this dedupe key (at most 200 bytes, unique within the source).
    Accept {
        /// The same for every copy of this delivery.
        dedupe_key: String,
    },
    /// A registration probe: answer 200, keep nothing.
    Acknowledge {
        /// Why nothing is kept.
        reason: &'static str,
    },
}

/// Why a webhook is refused. Texts name what to mend and never the credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The signature, secret or key header is not there.
    #[error("missing {0}")]
    Missing(&'static str),
    /// It is there and does not hold.
    #[error("{0}")]
    Invalid(String),
    /// The request's time lies outside the window.
    #[error("request time is {skew_seconds} s away from ours, {allowed_seconds} s are allowed: check both clocks")]
    OutsideWindow {
        /// How far away, seconds; positive where the request is old.
        skew_seconds: i64,
        /// The window, seconds.
        allowed_seconds: i64,
    },
    /// The key could not be looked up now; the sender should try again.
    #[error("look up key {name}: {reason}")]
    KeyUnavailable {
        /// Name of the key.
        name: String,
        /// Why.
        reason: String,
    },
}

/// Looks up TXT records by name, for providers whose signing keys stand in DNS.
pub trait KeyLookup: Send + Sync {
    /// All TXT records at `name`, each with its strings joined.
    fn txt<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<String>, KeyLookupError>>;
}

/// A key lookup that failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyLookupError {
    /// There is no such name: the key is not one of the provider's.
    #[error("no such name")]
    NotFound,
    /// The lookup itself failed; another time may work.
    #[error("{0}")]
    Unavailable(String),
}

/// The kinds of deliveries (design section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryKind {
    /// Pushed to us.
    Webhook,
    /// A page of a sync.
    Page,
    /// A fetch by id.
    Fetch,
}

/// A delivery as apply hands it over for decoding.
pub struct Delivery<'a> {
    /// What it is.
    pub kind: DeliveryKind,
    /// Media type of the body, lower case, without parameters; empty where the sender gave none.
    pub media_type: &'a str,
    /// The raw body.
    pub body: &'a [u8],
    /// For a fetch: what was asked for.
    pub target: Option<&'a Target>,
    /// For a page: which.
    pub page: Option<&'a Page>,
    /// For a fetch: upstream said that the record is not there.
    pub is_missing: bool,
}

/// What a delivery says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// In the order in which apply must take them.
    pub observations: Vec<Observation>,
    /// Why there is nothing to do, where there is nothing to do.
    pub ignored: Option<String>,
    /// The event's type in the provider's own words (`PROFILE_CLOSED`, `update`), for lists.
    pub event: Option<String>,
    /// What in it this version has no word for, each once.
    pub unknown: Vec<Unknown>,
    /// Some of it could not be read: it may name others than the observations do.
    pub is_partial: bool,
}

/// Records that a delivery is about, by external id: the two have ids of their own, which may be alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subjects {
    /// Profiles.
    pub profiles: BTreeSet<String>,
    /// Subprofiles.
    pub subprofiles: BTreeSet<String>,
}

impl Subjects {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty() && self.subprofiles.is_empty()
    }
}

/// What is left of a delivery without what it tells of some records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redacted {
    /// It tells nothing of them beyond their ids.
    Untouched,
    /// This body: the others that it tells of are still in it.
    Slice(Vec<u8>),
    /// Nothing: it is about them alone, or cannot be taken apart.
    Nothing,
}

/// A delivery that cannot be read: a sentence for the operator, with no personal data in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// What the definitions tell about a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Derived {
    /// A name for people, where fields give one.
    pub display_name: Option<String>,
    /// The e-mail address, where a field holds one.
    pub email: Option<String>,
    /// Fields that refer to other profiles.
    pub references: Vec<Reference>,
}

/// A field that refers to another profile of the same source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Name of the field; also the relationship's type.
    pub field: String,
    /// External id of the profile that it refers to.
    pub to: String,
}

/// What a fetch asks for. Kept with the fetch request and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// A profile by external id, with all that upstream's answer tells of it. At Copernica that is all but its subprofiles:
    /// their collections list them.
    Profile {
        /// External id.
        id: String,
    },
    /// A subprofile, by external id.
    Subprofile {
        /// External id.
        id: String,
    },
    /// The metadata of a profile type, or of all of the source.
    Metadata {
        /// External id of the profile type.
        profile_type: Option<String>,
    },
    /// The ids of all live records of a place, for providers that [list them](Provider::lists_ids).
    Ids {
        /// Which records.
        records: Records,
        /// External id of the profile type that profiles are of, or of the collection that subprofiles are in.
        place: String,
    },
}

/// Records that a list of ids is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    /// The profiles of a profile type.
    Profiles,
    /// The subprofiles of a collection.
    Subprofiles,
}

/// A fetch as its request keeps it: what is asked for, and where the mirror has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What is asked for.
    #[serde(flatten)]
    pub target: Target,
    /// External id of the profile type of a profile, or of the collection of a subprofile, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

/// What else must answer before a *not found* is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouch {
    /// Nothing: the answer tells a record that is gone from one that may not be read.
    Needless,
    /// This call: where its answer is *not found* too, the first one says nothing.
    Call(Call),
    /// Something that nobody knows: the *not found* says nothing.
    Nobody,
}

/// A page of a sync: what to ask for, and where in its stream it stands. A checkpoint is a set of pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Name of the stream (`database/1/profiles`), stable over runs.
    pub stream: String,
    /// Place within the stream, from 0.
    pub number: u32,
    /// What the page is held against: the last key seen so far, where keys increase, or the end of the page before it;
    /// empty at the start.
    pub after: String,
    /// The call that gets it.
    pub call: Call,
    /// Rows that this stream has, where upstream told.
    pub expected: Option<u64>,
    /// External id of the profile type that all rows of this stream belong to; none where they differ, and
    /// for metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_type: Option<String>,
    /// What its rows are, where streams of such rows may be read in any order: the shortest one goes first then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,
    /// Only what has changed since then; none for everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
}

impl Page {
    /// The first page of a stream, with everything in it.
    pub fn first(stream: impl Into<String>, call: Call) -> Self {
        let stream = stream.into();
        let (expected, profile_type, records, since) = (None, None, None, None);
        Self { stream, number: 0, after: String::new(), call, expected, profile_type, records, since }
    }

    /// The page of the same stream that comes after this one.
    #[must_use]
    pub fn next(&self, after: String, call: Call, expected: Option<u64>) -> Self {
        Self { number: self.number.saturating_add(1), after, call, expected, ..self.clone() }
    }

    /// The same page with half of the rows that its call asks for under this name; none where that is one, or not told.
    pub(crate) fn halved(&self, limit: &str) -> Option<Self> {
        let half = self.call.number(limit)? / 2;
        (half > 0).then(|| Self { call: self.call.clone().with_instead(limit, half), ..self.clone() })
    }
}

/// What the answer to a page leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRead {
    /// The pages to ask for next; empty at the end of a stream that discovers nothing.
    pub next: Vec<Page>,
    /// Rows on this page.
    pub rows: u64,
    /// Records of the whole stream, where upstream told and where it lists records.
    pub total: Option<u64>,
}

/// HTTP methods that calls use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// A call to the provider's REST API: everything but the credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Path below the source's base URL, starting with a slash, segments percent-encoded.
    pub path: String,
    /// Query pairs, not encoded.
    pub query: Vec<(String, String)>,
}

impl Call {
    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::Get, path: path.into(), query: Vec::new() }
    }

    /// Adds a query pair.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// Changes the value of a query pair that is there.
    #[must_use]
    pub(crate) fn with_instead(mut self, name: &str, value: impl ToString) -> Self {
        for (_, known) in self.query.iter_mut().filter(|(key, _)| key == name) {
            *known = value.to_string();
        }
        self
    }

    /// The number that a query pair holds.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.query.iter().find(|(key, _)| key == name)?.1.parse().ok()
    }
}

/// How calls are authorized. The secret itself stays with the pull stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer` with the source's token.
    Bearer,
    /// The token is exchanged for a JWT by a form `POST` of `access_token=…` to this URL; the answer
    /// is the JWT as plain text, or JSON that holds it.
    ExchangedJwt {
        /// Where.
        url: String,
    },
}

/// What the answer to a call means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Use it.
    Usable,
    /// The record is not there (what upstream said).
    Missing(String),
    /// The credential is refused: pause the source, mark nothing as gone.
    Unauthorized(String),
    /// This record may not be read: says nothing about its being there.
    Forbidden(String),
    /// It is refused, and that may mean as well that it is not there. Nothing vouches for it: no such record goes without a
    /// person.
    MaybeMissing(String),
    /// Try again, not before this many seconds where upstream said so.
    Busy {
        /// Seconds from `Retry-After` or a rate-limit header.
        retry_after_seconds: Option<u64>,
        /// What happened.
        reason: String,
    },
    /// Not an answer of this API (HTML with 200, cut JSON): try again, believe nothing.
    Broken(String),
}
