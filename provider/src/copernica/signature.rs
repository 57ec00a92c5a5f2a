//! The `Signature` header (draft-cavage HTTP signatures) and what it covers.
//!
//! The vendor's sample folds lines, mixes case and leaves a comma out, and its own verifier picks
//! `name="value"` pairs wherever they stand; so does this. What it signs is not up to the sender: the
//! headers that matter must be covered, and the algorithm is fixed, because that verifier also takes
//! `hmac-*` with the public key as its secret, with which anyone could sign.

use crate::public_key::decode_base64;
use crate::{Inbound, Refusal};

/// Headers that must be covered; the vendor's verifier requires the same.
const REQUIRED: [&str; 6] = ["(request-target)", "host", "date", "x-copernica-id", "digest", "x-nonce"];
/// Most headers that one signature covers.
const MAX_COVERED: usize = 50;
/// Longest header that is looked at, bytes: a 8192-bit signature has 1,368.
const MAX_HEADER_BYTES: usize = 8192;

/// A parsed `Signature` header.
pub(super) struct Signature {
    /// Name of the key, lower case.
    pub(super) key_id: String,
    /// The names that are covered, as they are listed.
    covered: Vec<String>,
    /// The signature itself.
    pub(super) bytes: Vec<u8>,
}

impl Signature {
    /// Reads the header of a request, and checks that it is of the one kind that counts.
    pub(super) fn read(inbound: &Inbound<'_>) -> Result<Self, Refusal> {
        let header = single(inbound, "signature")?;
        let text = std::str::from_utf8(header)
            .ok()
            .filter(|text| text.len() <= MAX_HEADER_BYTES)
            .ok_or_else(|| Refusal::Invalid("Signature is not readable".to_owned()))?;
        let parameter = |name: &'static str| {
            parameter(text, name).ok_or_else(|| Refusal::Invalid(format!("Signature has no {name}, or more than one")))
        };
        let algorithm = parameter("algorithm")?;
        if algorithm != "rsa-sha256" {
            return Err(Refusal::Invalid("Signature is not of the algorithm rsa-sha256".to_owned()));
        }
        let covered: Vec<String> = parameter("headers")?.split_ascii_whitespace().map(str::to_owned).collect();
        if covered.len() > MAX_COVERED {
            return Err(Refusal::Invalid("Signature covers too many headers".to_owned()));
        }
        if let Some(name) = REQUIRED.iter().find(|name| !covered.iter().any(|seen| seen.eq_ignore_ascii_case(name))) {
            return Err(Refusal::Invalid(format!("Signature does not cover {name}")));
        }
        let bytes = decode_base64(parameter("signature")?)
            .filter(|bytes| !bytes.is_empty())
            .ok_or_else(|| Refusal::Invalid("Signature is not base64".to_owned()))?;
        Ok(Self { key_id: parameter("keyId")?.to_ascii_lowercase(), covered, bytes })
    }

    /// The texts that may have been signed: header names in lower case, as the draft says, and as
    /// they are listed, in case the sender did not heed it.
    pub(super) fn signed_texts(&self, inbound: &Inbound<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
        let lower = self.signed_text(inbound, str::to_ascii_lowercase)?;
        let listed = self.signed_text(inbound, str::to_owned)?;
        Ok(if lower == listed { vec![lower] } else { vec![lower, listed] })
    }

    fn signed_text(&self, inbound: &Inbound<'_>, spell: impl Fn(&str) -> String) -> Result<Vec<u8>, Refusal> {
        let mut text = Vec::with_capacity(512);
        for name in &self.covered {
            if !text.is_empty() {
                text.push(b'\n');
            }
            text.extend_from_slice(spell(name).as_bytes());
            text.extend_from_slice(b": ");
            if name.eq_ignore_ascii_case("(request-target)") {
                text.extend_from_slice(inbound.method.to_ascii_lowercase().as_bytes());
                text.push(b' ');
                text.extend_from_slice(inbound.path_and_query.as_bytes());
                continue;
            }
            let values: Vec<&[u8]> =
                inbound.headers.get_all(name.as_str()).iter().map(|value| value.as_bytes().trim_ascii()).collect();
            if values.is_empty() {
                return Err(Refusal::Invalid("Signature covers a header that is not there".to_owned()));
            }
            text.extend_from_slice(&values.join(&b", "[..]));
        }
        Ok(text)
    }
}

/// The one value of a header: two of them could be read one way here and another way elsewhere.
pub(super) fn single<'a>(inbound: &Inbound<'a>, name: &'static str) -> Result<&'a [u8], Refusal> {
    let mut values = inbound.headers.get_all(name).iter();
    let value = values.next().ok_or(Refusal::Missing(name))?;
    if values.next().is_some() {
        return Err(Refusal::Invalid(format!("{name} is there more than once")));
    }
    Ok(value.as_bytes().trim_ascii())
}

/// The value of `name="value"`, wherever it stands; `None` where it is missing or there twice.
fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("=\"") {
        let (value, next) = after.split_once('"')?;
        let key = before.rsplit(|c: char| c == ',' || c.is_whitespace()).next().unwrap_or_default();
        if key.eq_ignore_ascii_case(name) && found.replace(value).is_some() {
            return None;
        }
        rest = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_without_commas_and_in_any_case() {
        let text =
            "KEYID=\"one._domainkey.copernica.com\",algorithm=\"rsa-sha256\", headers=\"a b\" signature=\"YQ==\"";
        assert_eq!(parameter(text, "keyId"), Some("one._domainkey.copernica.com"));
        assert_eq!(parameter(text, "headers"), Some("a b"));
        assert_eq!(parameter(text, "signature"), Some("YQ=="));
        assert_eq!(parameter(text, "nonce"), None);
        assert_eq!(parameter("keyId=\"a\"signature=\"b\"", "signature"), Some("b"));
    }

    #[test]
    fn doubled_and_cut_pairs_are_none() {
        assert_eq!(parameter("a=\"1\",a=\"2\"", "a"), None);
        assert_eq!(parameter("a=\"1", "a"), None);
        assert_eq!(parameter("", "a"), None);
    }
}
