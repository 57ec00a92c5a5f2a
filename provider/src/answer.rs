//! What the answers of different providers have in common: pauses, error texts, HTML where JSON was due.

use crate::{Answer, json, moment, text};
use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
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
    Answer::Busy { retry_after_seconds: retry_after(headers), reason }
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

/// Seconds to wait: `Retry-After` in either form, else the reset of a rate-limit header.
///
/// A date is taken relative to the answer's own `Date`, because nothing here reads a clock; upstream's
/// clock is also the one that it was made with.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let answered = header(DATE.as_str()).and_then(moment::http_date);
    if let Some(wait) = header(RETRY_AFTER.as_str()) {
        if let Ok(seconds) = wait.parse::<f64>() {
            return (seconds.is_finite() && seconds >= 0.0).then(|| seconds.ceil() as u64);
        }
        let until = moment::http_date(wait)?;
        return Some(u64::try_from((until - answered?).num_seconds()).unwrap_or(0));
    }
    let reset = header("x-ratelimit-reset").and_then(|reset| reset.parse::<i64>().ok()).or_else(|| {
        let fields = header("ratelimit")?;
        fields.split(',').find_map(|field| field.trim().strip_prefix("reset=")?.parse().ok())
    })?;
    // Sources do not say whether the reset is a pause or a moment: its size tells.
    let seconds = match reset {
        0..1_000_000_000 => reset,
        1_000_000_000..100_000_000_000 => reset - answered?.timestamp(),
        _ => (reset - answered?.timestamp_millis()).div_euclid(1000) + 1,
    };
    Some(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn pauses_are_read_in_every_form() {
        assert_eq!(retry_after(&headers(&[("retry-after", "7")])), Some(7));
        let date = [("date", "Tue, 20 Apr 2021 02:07:55 GMT"), ("retry-after", "Tue, 20 Apr 2021 02:08:25 GMT")];
        assert_eq!(retry_after(&headers(&date)), Some(30));
        assert_eq!(retry_after(&headers(&date[1..])), None);
        assert_eq!(retry_after(&headers(&[("x-ratelimit-reset", "12")])), Some(12));
        assert_eq!(retry_after(&headers(&[date[0], ("x-ratelimit-reset", "1618884485")])), Some(10));
        assert_eq!(retry_after(&headers(&[("ratelimit", "limit=100, remaining=0, reset=3")])), Some(3));
        assert_eq!(retry_after(&headers(&[("retry-after", "soon")])), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
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
