//! Calls to a provider's REST API, made as it wants them made: authorized, paced, bounded, patient.

use super::budget::{Budget, Denied, Ending, Permit, Reading, Terms};
use super::pause::Gate;
use super::wire::{Wire, WireError};
use crate::backoff;
use crate::clock::SharedClock;
use base64::Engine;
use bytes::Bytes;
use entity::{Moment, Purpose};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request};
use provider::{Answer, Auth, Call, Limits, Method, Provider};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// A JWT is renewed this long before it runs out, milliseconds.
const JWT_MARGIN_MS: i64 = 60_000;
/// Longest pause that is taken from upstream, milliseconds.
const MAX_PAUSE_MS: i64 = 3_600_000;
/// A page of a sync that has no turn is asked for again after this long at most, seconds.
const SYNC_ASKS_AGAIN_SECONDS: u64 = 5;
/// Longest pause after a 429 that names none, milliseconds.
const MAX_BACKOFF_MS: i64 = 300_000;

/// What a call needs to know about its source.
pub struct UpstreamSettings {
    /// Its name, for metrics.
    pub source_name: String,
    /// REST base URL, without a trailing slash.
    pub base_url: String,
    /// The token.
    pub token: String,
    /// Calls under way at once.
    pub concurrency: usize,
    /// Calls a minute; none takes what the provider is known to allow, or leaves it to its answers.
    pub requests_per_minute: Option<u32>,
}

/// The way to one source's REST API.
pub struct Upstream {
    wire: Arc<dyn Wire>,
    provider: Arc<dyn Provider>,
    settings: UpstreamSettings,
    clock: SharedClock,
    budget: Arc<Budget>,
    gate: Arc<Gate>,
    jwt: Mutex<Option<(String, Moment)>>,
}

/// An answer that can be kept.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The body.
    pub body: bytes::Bytes,
    /// Media type, lower case, without parameters.
    pub media_type: String,
    /// Upstream said that the record is not there.
    pub is_missing: bool,
    /// It said so by refusing it, which may mean that it may not be read: nothing vouches for it.
    pub is_refused: bool,
}

/// A call that brought nothing to keep.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The credential is refused, and the source is paused for it. Nothing is known about any record.
    #[error("the token is refused: {0}. Check token of this source and its rights at the provider")]
    Unauthorized(String),
    /// This record may not be read. Nothing is known about it.
    #[error("no access: {0}. Check the rights of this source's token at the provider")]
    Forbidden(String),
    /// The answer is larger than is taken. It is as large the next time, unless less is asked for.
    #[error(
        "{0}. A list is asked for in smaller pages; where one record alone is too large, shorten it at the provider"
    )]
    TooLarge(String),
    /// Not now: upstream is busy or out of reach, the budget is used up, or the source is paused.
    #[error("{reason}")]
    Later {
        /// What happened.
        reason: String,
        /// To wait this long, seconds; the call is not to blame then.
        retry_after_seconds: Option<u64>,
    },
}

impl CallError {
    fn later(reason: impl Into<String>) -> Self {
        Self::Later { reason: reason.into(), retry_after_seconds: None }
    }
}

impl Upstream {
    /// A way to a source's API.
    pub fn new(
        provider: Arc<dyn Provider>,
        settings: UpstreamSettings,
        gate: Arc<Gate>,
        clock: SharedClock,
        wire: Arc<dyn Wire>,
    ) -> Self {
        let per_minute = settings.requests_per_minute.or_else(|| provider.requests_per_minute());
        let budget = Budget::new(Terms { concurrency: settings.concurrency, per_minute }, clock.clone());
        Self { wire, provider, settings, clock, budget, gate, jwt: Mutex::new(None) }
    }

    /// Calls under way at once, at most.
    pub fn concurrency(&self) -> usize {
        self.settings.concurrency.max(1)
    }

    /// Whether a call for this purpose would be made now, or soon.
    pub fn is_ready(&self, purpose: Purpose) -> bool {
        self.take_in_pause();
        self.gate.is_open() && self.budget.pause_ms(purpose) == 0
    }

    /// The budget for people.
    pub fn budget(&self) -> Reading {
        self.take_in_pause();
        self.budget.read()
    }

    /// What upstream has asked another process for holds here too: one before this, or one on another machine.
    fn take_in_pause(&self) {
        if let Some(until) = self.gate.take_throttled_anew() {
            self.budget.hold_until(until);
        }
    }

    /// Tells the budget how a call ended, and the gate of a pause that upstream asks for.
    async fn record(&self, permit: &Permit, ending: Ending, limits: &Limits) {
        permit.record(ending, limits);
        if let Ending::Strained { pause_ms: Some(pause_ms) } = ending {
            self.gate.note_throttled(pause_ms).await;
        }
    }

    /// Makes a call when it is its turn. A refused JWT is renewed once; a refused credential pauses the source, so that
    /// the call is to come back later, like every other.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&self, purpose: Purpose, call: &Call) -> Result<Answered, CallError> {
        self.gate.check()?;
        let outcome = self.make(purpose, call).await;
        match outcome {
            Ok(answered) => {
                if !answered.is_refused {
                    self.gate.note_answer();
                }
                Ok(answered)
            }
            Err(error @ CallError::Unauthorized(_)) => Err(self.gate.note_unauthorized(&error).await),
            Err(error @ CallError::Forbidden(_)) => {
                self.gate.note_forbidden(purpose, call, &error).await;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether upstream lets us in: asks for the first page of a sync, paused or not. An answer that is too large is an
    /// answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub(super) async fn probe(&self) -> Result<(), CallError> {
        match self.provider.first_pages().first() {
            Some(page) => match self.make(Purpose::Live, &page.call).await {
                Ok(_) | Err(CallError::TooLarge(_)) => Ok(()),
                Err(error) => Err(error),
            },
            None => Ok(()),
        }
    }

    async fn make(&self, purpose: Purpose, call: &Call) -> Result<Answered, CallError> {
        self.take_in_pause();
        let permit = self.budget.acquire(purpose).await.map_err(|denied| no_turn(purpose, denied))?;
        let auth = self.provider.auth();
        let Auth::ExchangedJwt { url } = &auth else {
            return self.call_once(&permit, purpose, call, &self.settings.token).await;
        };
        let jwt = self.jwt(&permit, purpose, url, None).await?;
        match self.call_once(&permit, purpose, call, &jwt).await {
            Err(CallError::Unauthorized(_)) => {
                let renewed = self.jwt(&permit, purpose, url, Some(&jwt)).await?;
                permit.charge();
                self.call_once(&permit, purpose, call, &renewed).await
            }
            outcome => outcome,
        }
    }

    async fn call_once(
        &self,
        permit: &Permit,
        purpose: Purpose,
        call: &Call,
        token: &str,
    ) -> Result<Answered, CallError> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| CallError::Unauthorized("the token has characters that no header can carry".to_owned()))?;
        bearer.set_sensitive(true);
        let request = Request::builder()
            .method(match call.method {
                Method::Get => http::Method::GET,
                Method::Post => http::Method::POST,
            })
            .uri(address(&self.settings.base_url, call)?)
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        let (status, headers, body) = self.send(permit, purpose, request, Bytes::new()).await?;
        let limits = self.provider.limits(&headers);
        let answered = |is_missing| Answered {
            body: body.clone(),
            media_type: media_type(&headers),
            is_missing,
            is_refused: false,
        };
        let (ending, outcome) = match self.provider.classify(call, status, &headers, &body) {
            Answer::Usable => (Ending::Good, Ok(answered(false))),
            Answer::Missing(_) => (Ending::Good, Ok(answered(true))),
            Answer::Unauthorized(said) => (Ending::Other, Err(CallError::Unauthorized(said))),
            // Who repairs or syncs goes on with what it may mean. What news asks for is tried again: the right to it may come
            // back.
            Answer::MaybeMissing(_) if purpose != Purpose::Live => {
                (Ending::Good, Ok(Answered { is_refused: true, ..answered(true) }))
            }
            Answer::MaybeMissing(said) | Answer::Forbidden(said) => (Ending::Other, Err(CallError::Forbidden(said))),
            Answer::Busy { retry_after_seconds, reason } => {
                let pause_ms = self.pause_ms(status, retry_after_seconds, &limits);
                let is_strained = pause_ms.is_some() || matches!(status, 408 | 429 | 503 | 504);
                let ending = if is_strained { Ending::Strained { pause_ms } } else { Ending::Other };
                let retry_after_seconds = pause_ms.map(seconds);
                (ending, Err(CallError::Later { reason, retry_after_seconds }))
            }
            Answer::Broken(reason) => (Ending::Other, Err(CallError::later(reason))),
        };
        self.record(permit, ending, &limits).await;
        outcome
    }

    /// Sends a request and reads its answer: status, headers, body.
    async fn send(
        &self,
        permit: &Permit,
        purpose: Purpose,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<(u16, HeaderMap, Bytes), CallError> {
        let request = request.body(body).map_err(|error| CallError::later(format!("make the request: {error}")))?;
        let begun = Instant::now();
        match self.wire.send(request).await {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                self.count(purpose, parts.status.as_str(), begun);
                Ok((parts.status.as_u16(), parts.headers, body))
            }
            Err(error) => {
                let is_strained = matches!(error, WireError::TimedOut(_));
                let ending = if is_strained { Ending::Strained { pause_ms: None } } else { Ending::Other };
                permit.record(ending, &Limits::default());
                self.count(purpose, error.code(), begun);
                Err(match error {
                    WireError::TooLarge(_) => CallError::TooLarge(error.to_string()),
                    _ => CallError::later(error.to_string()),
                })
            }
        }
    }

    fn count(&self, purpose: Purpose, code: &str, begun: Instant) {
        let (source, purpose) = (self.settings.source_name.clone(), purpose.as_str());
        metrics::counter!("profile_mirror_upstream_requests_total",
            "source" => source.clone(), "code" => code.to_owned(), "purpose" => purpose)
        .increment(1);
        metrics::histogram!("profile_mirror_upstream_request_duration_seconds", "source" => source)
            .record(begun.elapsed().as_secs_f64());
    }

    /// The pause that a busy answer asks for, milliseconds. 429 without one is a pause of our own that grows.
    fn pause_ms(&self, status: u16, retry_after_seconds: Option<u64>, limits: &Limits) -> Option<i64> {
        let told = retry_after_seconds.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000));
        let told = told.or_else(|| limits.retry_after.map(|pause| pause.ms_from(self.clock.today())));
        let own = || backoff::pause_ms(self.budget.throttled_in_row() + 1, 1_000, MAX_BACKOFF_MS);
        told.map(|pause_ms| pause_ms.min(MAX_PAUSE_MS)).or_else(|| (status == 429).then(own))
    }

    /// The JWT to call with: the one that is held, unless it runs out or is the one that was refused.
    async fn jwt(
        &self,
        permit: &Permit,
        purpose: Purpose,
        url: &str,
        refused: Option<&str>,
    ) -> Result<String, CallError> {
        let mut held = self.jwt.lock().await;
        let now = self.clock.now();
        if let Some((jwt, until)) = held.as_ref()
            && refused != Some(jwt)
            && now.plus_ms(JWT_MARGIN_MS) < *until
        {
            return Ok(jwt.clone());
        }
        permit.charge();
        let form = serde_urlencoded::to_string([("access_token", &self.settings.token)])
            .map_err(|_| CallError::Unauthorized("the token cannot be sent as a form".to_owned()))?;
        let request = Request::post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self.send(permit, purpose, request, form.into()).await;
        let (status, headers, body) =
            answer.map_err(|error| CallError::later(format!("exchange the token: {error}")))?;
        let text = String::from_utf8_lossy(&body);
        match status {
            200..=299 => {
                let jwt =
                    find_jwt(&text).ok_or_else(|| CallError::later("the token exchange did not answer with a JWT"))?;
                let until = expiry(&jwt).unwrap_or_else(|| now.plus_ms(15 * 60_000));
                *held = Some((jwt.clone(), until));
                Ok(jwt)
            }
            400..=403 => Err(CallError::Unauthorized(format!("the token exchange answered {status}"))),
            _ => {
                let limits = Limits::read(&headers);
                let pause_ms = self.pause_ms(status, None, &limits);
                let ending = if pause_ms.is_some() { Ending::Strained { pause_ms } } else { Ending::Other };
                self.record(permit, ending, &limits).await;
                let reason = format!("the token exchange answered {status}");
                Err(CallError::Later { reason, retry_after_seconds: pause_ms.map(seconds) })
            }
        }
    }
}

/// No turn now. A sync asks again soon: it costs upstream nothing, and the rest of the limit may come back early.
fn no_turn(purpose: Purpose, denied: Denied) -> CallError {
    let seconds = seconds(denied.retry_after_ms);
    let seconds = if purpose == Purpose::Sync { seconds.min(SYNC_ASKS_AGAIN_SECONDS) } else { seconds };
    let reason = "the source's budget of calls is used up for now".to_owned();
    CallError::Later { reason, retry_after_seconds: Some(seconds) }
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0).div_ceil(1_000)
}

/// The address of a call, its query encoded as forms are.
fn address(base_url: &str, call: &Call) -> Result<String, CallError> {
    if call.query.is_empty() {
        return Ok(format!("{base_url}{}", call.path));
    }
    let query = serde_urlencoded::to_string(&call.query).map_err(|error| CallError::later(error.to_string()))?;
    Ok(format!("{base_url}{}?{query}", call.path))
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The JWT in an answer: the plain text, a JSON string, or a JSON object that holds it.
fn find_jwt(text: &str) -> Option<String> {
    let is_jwt = |text: &str| text.split('.').count() == 3 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    let plain = text.trim();
    if is_jwt(plain) {
        return Some(plain.to_owned());
    }
    let held = match serde_json::from_str(plain).ok()? {
        serde_json::Value::String(jwt) => jwt,
        serde_json::Value::Object(object) => {
            ["token", "access_token", "jwt"].iter().find_map(|key| object.get(*key)?.as_str())?.to_owned()
        }
        _ => return None,
    };
    is_jwt(&held).then_some(held)
}

fn expiry(jwt: &str) -> Option<Moment> {
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    Some(Moment(claims.get("exp")?.as_i64()?.checked_mul(1_000)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_is_found_in_every_shape() {
        let jwt = "aaa.eyJleHAiOjE3MDAwMDAwMDB9.ccc";
        for text in [jwt.to_owned(), format!("\"{jwt}\""), format!("{{\"token\":\"{jwt}\"}}"), format!("{jwt}\n")] {
            assert_eq!(find_jwt(&text).as_deref(), Some(jwt), "{text}");
        }
        assert_eq!(find_jwt("<html>busy</html>"), None);
        assert_eq!(expiry(jwt), Some(Moment(1_700_000_000_000)));
    }
}
