//! What the answers of different providers have in common: pauses, error texts, HTML where JSON was due.

use crate::limits::Limits;
use crate::{Answer, json, text};
use http::HeaderMap;
use http::header::RETRY_AFTER;
use serde_json::Value;

/// Longest piece of an upstream message that is passed on, characters.
const SAID: usize = 200;
/// Longest body that is looked at for a message, bytes: errors are short, pages are not.
const ERROR_BYTES: usize = 64 * 1024;

/// *Try again*, with the pause that upstream asks for.
pub(crate) fn busy(status: u16, headers: &HeaderMap, body: &[u8]) -> Answer {
    let reason = match said(body) {
        Some(said) => format!("status {status}: {said}"),
        None => format!("status {status}"),
    };
    Answer::Busy { retry_after_seconds: retry_after(status, headers), reason }
}

/// Not an answer of this API.
pub(crate) fn broken(status: u16, body: &[u8]) -> Answer {
    Answer::Broken(match said(body) {
        Some(said) => format!("status {status}: {said}"),
        None => format!("status {status} with {} bytes that are not JSON of this API", body.len()),
    })
}

/// Whether the status asks for another try.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429) || status >= 500
}

/// Upstream's own message in a JSON error: `{"error":{"message"}}`, `{"error":"…"}` or `{"message"}`.
pub(crate) fn said(body: &[u8]) -> Option<String> {
    if body.len() > ERROR_BYTES {
        return None;
    }
    let object = json::read_object(body).ok()?;
    let error = object.get("error");
    let message = error
        .and_then(|error| error.get("message"))
        .or_else(|| object.get("message"))
        .or(error)
        .or_else(|| object.get("code"))
        .and_then(Value::as_str)?;
    Some(text::shorten(message, SAID))
}

/// What upstream said, or the status where it said nothing.
pub(crate) fn said_or_status(status: u16, body: &[u8]) -> String {
    said(body).unwrap_or_else(|| format!("status {status}"))
}

/// Seconds to wait: `Retry-After` in either form, else at 429 the reset of a rate-limit header. A date without the answer's own
/// `Date` is none, because nothing here reads a clock; the caller has it in [`Limits`].
pub(crate) fn retry_after(status: u16, headers: &HeaderMap) -> Option<u64> {
    let limits = Limits::read(headers);
    if headers.contains_key(RETRY_AFTER) {
        return limits.retry_after?.seconds();
    }
    limits.reset.filter(|_| status == 429)?.seconds()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn pauses_are_read_in_every_form() {
        assert_eq!(retry_after(429, &headers(&[("retry-after", "7")])), Some(7));
        let date = [("date", "Tue, 20 Apr 2021 02:07:55 GMT"), ("retry-after", "Tue, 20 Apr 2021 02:08:25 GMT")];
        assert_eq!(retry_after(429, &headers(&date)), Some(30));
        assert_eq!(retry_after(429, &headers(&date[1..])), None);
        assert_eq!(retry_after(429, &headers(&[("x-ratelimit-reset", "12")])), Some(12));
        assert_eq!(retry_after(429, &headers(&[date[0], ("x-ratelimit-reset", "1618884485")])), Some(10));
        assert_eq!(retry_after(429, &headers(&[("ratelimit", "limit=100, remaining=0, reset=3")])), Some(3));
        assert_eq!(retry_after(429, &headers(&[("retry-after", "soon")])), None);
        assert_eq!(retry_after(500, &headers(&[("ratelimit", "limit=100, remaining=9, reset=3")])), None);
        assert_eq!(retry_after(429, &HeaderMap::new()), None);
    }

    #[test]
    fn messages_are_found_in_every_shape() {
        assert_eq!(said(br#"{"error":{"message":"No entity"}}"#).as_deref(), Some("No entity"));
        assert_eq!(said(br#"{"error":"Unauthorized"}"#).as_deref(), Some("Unauthorized"));
        assert_eq!(said(br#"{"error":404,"message":"not found"}"#).as_deref(), Some("not found"));
        assert_eq!(said(br#"{"code":"X"}"#).as_deref(), Some("X"));
        assert_eq!(said(b"<html>"), None);
    }
}
