//! The RSA keys that may sign: fixed ones, else those in DNS under the trusted domain.
//!
//! Copernica publishes its keys as DKIM records and rotates them about monthly, so that a key is
//! looked up by name, kept for minutes, and looked up once more when a signature does not hold with
//! it. A name comes from the sender and costs a lookup: each name is looked up at most once in
//! [`RETRY_SECONDS`], one request at a time. Names that have not verified yet, which anybody can make up, stand in one
//! short line for a few places in the order of their arrival, so that forged ones delay a genuine new key and cannot
//! use up what it needs; those that have verified never stand in it.

use crate::public_key::{decode_base64, raw_key};
use crate::{KeyLookup, KeyLookupError, Refusal};
use chrono::{DateTime, Utc};
use futures::lock::Mutex as AsyncMutex;
use ring::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long a key from DNS is used without asking again.
const KEEP_SECONDS: i64 = 600;
/// How long a key that verified serves while DNS does not answer.
const OUTAGE_SECONDS: i64 = 24 * 3600;
/// Shortest pause between two lookups of one name.
const RETRY_SECONDS: i64 = 30;
/// Names that are remembered.
const MAX_NAMES: usize = 512;
/// Names that have not verified yet and are looked up at the same time.
const PLACES: usize = 4;
/// Requests with such names that stand in line or are at a place; one more is asked to come back.
const LINE: usize = 32;
/// Object identifier of RSA keys (RFC 8017).
const RSA_OID: &str = "1.2.840.113549.1.1.1";

/// An RSA public key. 1024 bits are taken, because DKIM keys of that size are still published.
#[derive(Clone, Debug)]
pub(super) struct RsaKey(Vec<u8>);

impl RsaKey {
    /// Whether this key made `signature` over `text` (PKCS#1 v1.5, SHA-256).
    pub(super) fn holds(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, &self.0).verify(text, signature).is_ok()
    }

    /// Reads a DKIM record (`v=DKIM1; k=rsa; p=…`, spaces anywhere) or a bare base64 key. An empty
    /// `p` is a revoked key.
    pub(super) fn read(record: &str) -> Option<Self> {
        let mut tags = BTreeMap::new();
        for tag in record.split(';') {
            // A chunked record may carry the quotes of its chunks.
            if let Some((name, value)) = tag.split_once('=') {
                tags.insert(name.trim_matches(|c: char| c.is_whitespace() || c == '"').to_ascii_lowercase(), value);
            }
        }
        if tags.get("k").is_some_and(|kind| !kind.trim().eq_ignore_ascii_case("rsa")) {
            return None;
        }
        let key = match tags.get("p") {
            Some(key) => key,
            None if record.contains(';') => return None,
            None => record,
        };
        raw_key(&decode_base64(key)?, RSA_OID).map(Self)
    }
}

/// All keys of a source.
pub(super) struct KeyRing {
    fixed: BTreeMap<String, RsaKey>,
    lookup: Arc<dyn KeyLookup>,
    names: Mutex<HashMap<String, Name>>,
    line: Line,
}

/// The line of names that have not verified yet. Its places are given away in the order of arrival.
struct Line {
    places: Semaphore,
    length: AtomicUsize,
}

/// A place in the line, left when this is dropped.
struct InLine<'a>(&'a Line);

impl Line {
    /// Stands in line; none where it is too long.
    fn enter(&self) -> Option<InLine<'_>> {
        let length = self.length.fetch_add(1, Ordering::SeqCst);
        let entered = InLine(self);
        (length < LINE).then_some(entered)
    }
}

impl InLine<'_> {
    async fn wait(&self) -> Option<SemaphorePermit<'_>> {
        self.0.places.acquire().await.ok()
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.length.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Name {
    /// Held while the name is looked up, so that many requests cause one lookup.
    record: Arc<AsyncMutex<Record>>,
    met: DateTime<Utc>,
    has_verified: bool,
}

#[derive(Default)]
struct Record {
    keys: Vec<RsaKey>,
    /// When `keys` were read.
    read: Option<DateTime<Utc>>,
    /// When the last lookup was tried, and why it failed where it did.
    tried: Option<(DateTime<Utc>, Option<String>)>,
}

impl KeyRing {
    pub(super) fn new(fixed: BTreeMap<String, RsaKey>, lookup: Arc<dyn KeyLookup>) -> Self {
        let line = Line { places: Semaphore::new(PLACES), length: AtomicUsize::new(0) };
        Self { fixed, lookup, names: Mutex::default(), line }
    }

    /// Checks with the keys called `name`, asking DNS where needed.
    pub(super) async fn check(
        &self,
        name: &str,
        now: DateTime<Utc>,
        holds: impl Fn(&RsaKey) -> bool,
    ) -> Result<(), Refusal> {
        let invalid = || Refusal::Invalid(format!("the signature does not hold with key {name}"));
        if let Some(key) = self.fixed.get(name) {
            return if holds(key) { Ok(()) } else { Err(invalid()) };
        }
        let (slot, has_verified) = self.slot(name, now);
        let mut record = slot.lock().await;
        let age = |moment: DateTime<Utc>| (now - moment).num_seconds().abs();
        let kept = record.read.map(age);
        if kept.is_some_and(|age| age < KEEP_SECONDS) && record.keys.iter().any(&holds) {
            self.note_verified(name, &slot, now);
            return Ok(());
        }
        let unavailable = |reason: String| Refusal::KeyUnavailable { name: name.to_owned(), reason };
        let is_recent = record.tried.as_ref().is_some_and(|(tried, _)| age(*tried) < RETRY_SECONDS);
        if !is_recent {
            let answer = match has_verified {
                true => self.lookup.txt(name).await,
                false => {
                    let too_many = || unavailable("too many unknown key names at once".to_owned());
                    let line = self.line.enter().ok_or_else(too_many)?;
                    let _place = line.wait().await;
                    self.lookup.txt(name).await
                }
            };
            let failure = match answer {
                Ok(records) => {
                    record.keys = records.iter().filter_map(|text| RsaKey::read(text)).collect();
                    record.read = Some(now);
                    None
                }
                Err(KeyLookupError::NotFound) => {
                    record.keys.clear();
                    record.read = Some(now);
                    None
                }
                Err(KeyLookupError::Unavailable(reason)) => Some(reason),
            };
            record.tried = Some((now, failure));
        }
        let failure = record.tried.as_ref().and_then(|(_, failure)| failure.clone());
        // While DNS is down the last keys still tell a genuine request from a forged one.
        let is_usable = failure.is_none() || record.read.map(age).is_some_and(|age| age < OUTAGE_SECONDS);
        if is_usable && record.keys.iter().any(&holds) {
            self.note_verified(name, &slot, now);
            return Ok(());
        }
        Err(failure.map_or_else(invalid, unavailable))
    }

    /// The record of a name, made where there is none yet, and whether the name has verified.
    fn slot(&self, name: &str, now: DateTime<Utc>) -> (Arc<AsyncMutex<Record>>, bool) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return (Arc::clone(&known.record), known.has_verified);
        }
        if names.len() >= MAX_NAMES {
            // Names that never verified go first: they are a forger's.
            let oldest = names.iter().min_by_key(|(_, name)| (name.has_verified, name.met));
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                names.remove(&oldest);
            }
        }
        let record = Arc::<AsyncMutex<Record>>::default();
        names.insert(name.to_owned(), Name { record: Arc::clone(&record), met: now, has_verified: false });
        (record, false)
    }

    /// Notes that a name is genuine, also where so many others came meanwhile that it was forgotten.
    fn note_verified(&self, name: &str, record: &Arc<AsyncMutex<Record>>, now: DateTime<Utc>) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Name { record: Arc::clone(record), met: now, has_verified: true };
        names.entry(name.to_owned()).or_insert_with(fresh).has_verified = true;
    }
}
