//! A webhook, signed and ready to be sent.

use crate::context::ProviderKind;

/// One signed webhook: what goes over the wire, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedWebhook {
    /// Who sends it.
    pub provider: ProviderKind,
    /// Where to.
    pub url: String,
    /// Every header of the request but those that the client adds; `Host` is there where it is signed.
    pub headers: Vec<(String, String)>,
    /// The exact body.
    pub body: Vec<u8>,
    /// The type in it (`update`, `PROFILE_CLOSED`, `profile.updated`).
    pub event: String,
    /// External id of the profile it is about.
    pub profile: String,
}

impl SignedWebhook {
    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// External id of the subprofile that it is about, where it is about one.
    pub fn subprofile(&self) -> Option<String> {
        let pairs: Vec<(String, String)> = match self.provider {
            ProviderKind::Copernica => serde_urlencoded::from_bytes(&self.body).unwrap_or_default(),
            ProviderKind::Parallel | ProviderKind::GetProfile => Vec::new(),
        };
        pairs.into_iter().find_map(|(key, value)| (key == "subprofile").then_some(value))
    }

    /// Spoils everything that proves where it comes from.
    pub fn spoil(&mut self) {
        for (name, value) in &mut self.headers {
            let lower = name.to_ascii_lowercase();
            if lower == "authorization" {
                value.push('x');
            } else if lower == "signature" {
                *value = value.replace("signature=\"", "signature=\"AAAA");
            } else if lower.starts_with("x-parallel-signature") && !lower.ends_with("timestamp") {
                value.insert_str(0, "AAAA");
            }
        }
    }
}
