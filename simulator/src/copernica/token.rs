//! The JSON web tokens that Copernica's authentication host hands out, dated with the machine's clock.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use serde_json::{Value, json};

const SIGNING_KEY: &[u8] = b"simulator token key";

/// A token for this generation that ends at `exp` (Unix seconds).
pub(crate) fn issue(account: &str, generation: u64, now: i64, lifetime_seconds: i64) -> String {
    let header = BASE64.encode(json!({"alg": "HS256", "typ": "JWT"}).to_string());
    let claims = json!({"iss": "authenticate.copernica.com", "sub": account, "iat": now, "exp": now + lifetime_seconds, "gen": generation});
    let head = format!("{header}.{}", BASE64.encode(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SIGNING_KEY), head.as_bytes());
    format!("{head}.{}", BASE64.encode(tag.as_ref()))
}

/// Says whether a token is ours, of this generation or a later one, and not over.
pub(crate) fn is_valid(token: &str, generation: u64, now: i64) -> bool {
    let Some((head, tag)) = token.rsplit_once('.') else { return false };
    let Ok(tag) = BASE64.decode(tag) else { return false };
    if hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, SIGNING_KEY), head.as_bytes(), &tag).is_err() {
        return false;
    }
    let claims = head.split('.').nth(1).and_then(|part| BASE64.decode(part).ok());
    let claims: Value = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null);
    claims["gen"].as_u64().is_some_and(|known| known >= generation)
        && claims["exp"].as_i64().is_some_and(|end| end > now)
}
