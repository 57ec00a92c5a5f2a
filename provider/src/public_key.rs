//! The raw key inside a SubjectPublicKeyInfo, which is how dashboards and DKIM records carry keys.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use spki::SubjectPublicKeyInfoRef;
use spki::der::Decode;

/// Base64 whose padding may be missing, as in hand-copied keys.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes of base64 text; white space, padding and the quotes of chunked TXT records are ignored.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace() && *c != '"').collect();
    LENIENT.decode(compact).ok()
}

/// Bytes of the subject's public key within a DER SubjectPublicKeyInfo whose algorithm is `oid`.
pub(crate) fn raw_key(der: &[u8], oid: &str) -> Option<Vec<u8>> {
    let info = SubjectPublicKeyInfoRef::from_der(der).ok()?;
    if info.algorithm.oid.to_string() != oid {
        return None;
    }
    info.subject_public_key.as_bytes().map(<[u8]>::to_vec)
}
