//! Calls to a provider's REST API, made as it wants them made: authorized, paced, bounded, patient.

use crate::clock::SharedClock;
use base64::Engine;
use entity::Moment;
use provider::{Answer, Auth, Call, Method, Provider};
use reqwest::header::{HeaderMap, HeaderValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};

/// Largest answer that is taken, bytes.
const MAX_ANSWER: usize = 32 << 20;
/// A JWT is renewed this long before it runs out, milliseconds.
const JWT_MARGIN_MS: i64 = 60_000;

/// What a call needs to know about its source.
pub struct UpstreamSettings {
    /// REST base URL, without a trailing slash.
    pub base_url: String,
    /// The token.
    pub token: String,
    /// Calls under way at once.
    pub concurrency: usize,
    /// Calls a minute; none leaves it to the provider's own limit.
    pub requests_per_minute: Option<u32>,
}

/// The way to one source's REST API.
pub struct Upstream {
    client: reqwest::Client,
    provider: Arc<dyn Provider>,
    settings: UpstreamSettings,
    clock: SharedClock,
    places: Semaphore,
    next_slot: Mutex<Moment>,
    /// No call before then: upstream said so.
    not_before: AtomicI64,
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
}

/// A call that brought nothing to keep.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The credential is refused. Nothing is known about any record.
    #[error("the token is refused: {0}. Check token of this source and its rights at the provider")]
    Unauthorized(String),
    /// This record may not be read. Nothing is known about it.
    #[error("no access: {0}. Check the rights of this source's token at the provider")]
    Forbidden(String),
    /// Upstream is busy or out of reach; another time may work.
    #[error("{reason}")]
    Later {
        /// What happened.
        reason: String,
        /// Upstream asks to wait this long, seconds.
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
    ///
    /// # Errors
    /// A sentence, where the HTTP client cannot be built.
    pub fn new(provider: Arc<dyn Provider>, settings: UpstreamSettings, clock: SharedClock) -> Result<Self, String> {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("set up TLS: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(15))
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .user_agent(concat!("profile-mirror/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("build the HTTP client: {error}"))?;
        Ok(Self {
            client,
            provider,
            places: Semaphore::new(settings.concurrency.max(1)),
            settings,
            clock,
            next_slot: Mutex::new(Moment(0)),
            not_before: AtomicI64::new(0),
            jwt: Mutex::new(None),
        })
    }

    /// Calls under way at once.
    pub fn concurrency(&self) -> usize {
        self.settings.concurrency.max(1)
    }

    /// No call is made before then.
    pub fn not_before(&self) -> Moment {
        Moment(self.not_before.load(Ordering::Relaxed))
    }

    /// Makes a call. An expired JWT is renewed once.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&self, call: &Call) -> Result<Answered, CallError> {
        let _place = self.places.acquire().await.map_err(|_| CallError::later("the service is stopping"))?;
        match self.call_once(call, false).await {
            Err(CallError::Unauthorized(_)) if matches!(self.provider.auth(), Auth::ExchangedJwt { .. }) => {
                self.call_once(call, true).await
            }
            outcome => outcome,
        }
    }

    async fn call_once(&self, call: &Call, with_new_jwt: bool) -> Result<Answered, CallError> {
        self.wait_for_slot().await?;
        let token = match self.provider.auth() {
            Auth::Bearer => self.settings.token.clone(),
            Auth::ExchangedJwt { url } => self.jwt(&url, with_new_jwt).await?,
        };
        let url = format!("{}{}", self.settings.base_url, call.path);
        let request = match call.method {
            Method::Get => self.client.get(&url),
            Method::Post => self.client.post(&url),
        };
        let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| CallError::Unauthorized("the token has characters that no header can carry".to_owned()))?;
        bearer.set_sensitive(true);
        let request = request.query(&call.query).header(reqwest::header::AUTHORIZATION, bearer);
        let request = request.header(reqwest::header::ACCEPT, HeaderValue::from_static("application/json"));
        let response = request.send().await.map_err(|error| CallError::later(without_url(error)))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = read_bounded(response).await?;
        let answered =
            |is_missing| Answered { body: body.clone().into(), media_type: media_type(&headers), is_missing };
        match self.provider.classify(call, status, &headers, &body) {
            Answer::Usable => Ok(answered(false)),
            Answer::Missing(_) => Ok(answered(true)),
            Answer::Unauthorized(said) => Err(CallError::Unauthorized(said)),
            Answer::Forbidden(said) => Err(CallError::Forbidden(said)),
            Answer::Busy { retry_after_seconds, reason } => {
                if let Some(seconds) = retry_after_seconds {
                    let wait_ms = i64::try_from(seconds.min(3_600) * 1_000).unwrap_or(0);
                    self.not_before.fetch_max(self.clock.now().plus_ms(wait_ms).0, Ordering::Relaxed);
                }
                Err(CallError::Later { reason, retry_after_seconds })
            }
            Answer::Broken(reason) => Err(CallError::later(reason)),
        }
    }

    /// Waits for this call's turn. A long wait that upstream asked for is an error instead, so that
    /// nothing is held up by it.
    async fn wait_for_slot(&self) -> Result<(), CallError> {
        let now = self.clock.now();
        let wait_ms = self.not_before().0 - now.0;
        if wait_ms > 2_000 {
            let seconds = u64::try_from(wait_ms / 1_000 + 1).unwrap_or(1);
            let reason = format!("upstream asked to wait {seconds} s");
            return Err(CallError::Later { reason, retry_after_seconds: Some(seconds) });
        }
        let mut pause_ms = wait_ms.max(0);
        if let Some(per_minute) = self.settings.requests_per_minute {
            let gap_ms = 60_000 / i64::from(per_minute.max(1));
            let mut next = self.next_slot.lock().await;
            let slot = (*next).max(now);
            *next = slot.plus_ms(gap_ms);
            pause_ms = pause_ms.max(slot.0 - now.0);
        }
        if pause_ms > 0 {
            tokio::time::sleep(Duration::from_millis(u64::try_from(pause_ms).unwrap_or(0))).await;
        }
        Ok(())
    }

    async fn jwt(&self, url: &str, renew: bool) -> Result<String, CallError> {
        let mut held = self.jwt.lock().await;
        let now = self.clock.now();
        if let Some((jwt, until)) = held.as_ref()
            && !renew
            && now.plus_ms(JWT_MARGIN_MS) < *until
        {
            return Ok(jwt.clone());
        }
        let request = self.client.post(url).form(&[("access_token", &self.settings.token)]);
        let response = request.send().await.map_err(|error| CallError::later(without_url(error)))?;
        let status = response.status().as_u16();
        let body = read_bounded(response).await?;
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
            _ => Err(CallError::later(format!("the token exchange answered {status}"))),
        }
    }
}

/// Errors of the client carry the URL, and a URL can carry what nobody should log.
fn without_url(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

async fn read_bounded(mut response: reqwest::Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_ANSWER => {
                return Err(CallError::later(format!("the answer is larger than {MAX_ANSWER} bytes")));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => return Err(CallError::later(format!("the answer was cut: {}", without_url(error)))),
        }
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(reqwest::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
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
