//! SHA-256 for dedupe keys, and comparison that takes the same time whatever differs.

use ring::digest::{SHA256, digest};
use serde_json::Value;
use std::fmt::Write;

/// Longest id that stands in a dedupe key as it is, bytes; longer ones are hashed.
const PLAIN_ID_BYTES: usize = 150;

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sum
}

/// SHA-256 of `bytes`, in hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    sha256(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Whether two secrets are equal. Their digests are compared to the end, so that neither length nor
/// first difference shows in the time it takes.
pub(crate) fn is_same_secret(left: &[u8], right: &[u8]) -> bool {
    let (left, right) = (sha256(left), sha256(right));
    left.iter().zip(right).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Dedupe key of a body that has no id of its own.
pub(crate) fn body_key(body: &[u8]) -> String {
    format!("body:{}", sha256_hex(body))
}

/// Dedupe key of an event by the id in its JSON body, else by its bytes.
pub(crate) fn event_key(body: &[u8]) -> String {
    let id = match crate::json::read_field(body, "id") {
        Some(Value::String(id)) if !id.is_empty() => Some(id),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    match id {
        Some(id) if id.len() <= PLAIN_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic()) => format!("id:{id}"),
        Some(id) => format!("id-sha256:{}", sha256_hex(id.as_bytes())),
        None => body_key(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_keys_are_bounded_and_printable() {
        assert_eq!(event_key(br#"{"id":"evt1"}"#), "id:evt1");
        assert!(event_key(br#"{"no":1}"#).starts_with("body:"));
        assert!(event_key(b"\xff").starts_with("body:"));
        let long = event_key(format!("{{\"id\":\"{}\"}}", "x".repeat(5000)).as_bytes());
        assert!(long.starts_with("id-sha256:") && long.len() <= 200);
        assert!(event_key(b"{\"id\":\"a b\"}").starts_with("id-sha256:"));
    }

    #[test]
    fn secrets_compare() {
        assert!(is_same_secret(b"abc", b"abc"));
        assert!(!is_same_secret(b"abc", b"abcd"));
        assert!(!is_same_secret(b"", b"a"));
    }
}
