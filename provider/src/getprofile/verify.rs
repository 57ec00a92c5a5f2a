//! The bearer secret of GetProfile's webhooks (vendor page *integrations/webhooks*).
//!
//! There is no signature and no timestamp: whoever holds the secret can say anything, and it is by
//! default the account's own REST key. Nothing is believed from a webhook but that a profile is
//! worth a fetch. Several secrets count while one is rotated; with none, all is refused.

use crate::{Inbound, Receipt, Refusal, SettingsError, SourceSettings, digest};
use http::header::AUTHORIZATION;

/// The secrets that count.
pub(super) struct Verifier {
    secrets: Vec<String>,
}

impl Verifier {
    pub(super) fn new(settings: &SourceSettings) -> Result<Self, SettingsError> {
        // An empty secret would let a header of just "Bearer " in.
        if settings.secrets.iter().any(|secret| secret.trim().is_empty()) {
            return Err(SettingsError { key: "webhook.secrets", problem: "a secret is empty".to_owned() });
        }
        Ok(Self { secrets: settings.secrets.iter().map(|secret| secret.trim().to_owned()).collect() })
    }

    pub(super) fn verify(&self, inbound: &Inbound<'_>) -> Result<Receipt, Refusal> {
        if self.secrets.is_empty() {
            return Err(Refusal::Invalid("no secret is configured for this source: set webhook.secrets".to_owned()));
        }
        let mut values = inbound.headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(Refusal::Missing("Authorization"))?;
        if values.next().is_some() {
            return Err(Refusal::Invalid("Authorization is there more than once".to_owned()));
        }
        let given = bearer(value.as_bytes())
            .ok_or_else(|| Refusal::Invalid("Authorization is not of the scheme Bearer".to_owned()))?;
        // Every secret is compared, so that the time taken does not tell which one matched.
        let matches =
            self.secrets.iter().fold(false, |found, secret| digest::is_same_secret(secret.as_bytes(), given) | found);
        if !matches {
            return Err(Refusal::Invalid("the webhook secret is not one of the configured ones".to_owned()));
        }
        Ok(Receipt::Accept { dedupe_key: digest::event_key(inbound.body) })
    }
}

/// The credential after `Bearer`, whose case does not matter (RFC 9110).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, credential) = value.split_at_checked(6)?;
    let credential = credential.strip_prefix(b" ")?.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer") && !credential.is_empty()).then_some(credential)
}
