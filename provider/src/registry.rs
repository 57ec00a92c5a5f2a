//! Which providers there are: one line each.

use crate::{KeyLookup, Provider};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a source's configuration tells its provider. Secrets are resolved already.
#[derive(Clone, Default)]
pub struct SourceSettings {
    /// Name of the source.
    pub name: String,
    /// REST base URL, without a trailing slash.
    pub base_url: String,
    /// Copernica: where tokens are exchanged.
    pub auth_url: Option<String>,
    /// Copernica: IANA zone of the account's local times.
    pub time_zone: Option<String>,
    /// GetProfile: the tenant that deliveries must name.
    pub tenant: Option<String>,
    /// Parallel: Ed25519 public keys (base64 of the SPKI).
    pub public_keys: Vec<String>,
    /// Copernica: fixed keys by name (DKIM TXT or base64 SPKI), instead of DNS.
    pub fixed_keys: BTreeMap<String, String>,
    /// Copernica: domain that a key name must lie under.
    pub key_domain: Option<String>,
    /// Copernica: the account that must sign (`account-1234`).
    pub account: Option<String>,
    /// Parallel: accept the older signature scheme, which can be replayed.
    pub allow_v1: bool,
    /// Age window of webhooks, seconds; the provider's own default where `None`.
    pub tolerance_seconds: Option<u32>,
    /// GetProfile: bearer secrets, several while one is rotated.
    pub secrets: Vec<String>,
}

impl std::fmt::Debug for SourceSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceSettings")
            .field("name", &self.name)
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

/// A setting that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct SettingsError {
    /// The configuration key (`webhook.keys`).
    pub key: &'static str,
    /// What is wrong and what was expected.
    pub problem: String,
}

type Build = fn(SourceSettings, Arc<dyn KeyLookup>) -> Result<Arc<dyn Provider>, SettingsError>;

const PROVIDERS: &[(&str, Build)] = &[
    ("copernica", |settings, keys| Ok(Arc::new(crate::copernica::Copernica::new(settings, keys)?))),
    ("getprofile", |settings, _| Ok(Arc::new(crate::getprofile::GetProfile::new(settings)?))),
    ("parallel", |settings, _| Ok(Arc::new(crate::parallel::Parallel::new(settings)?))),
];

/// The names of all providers, sorted.
pub fn names() -> Vec<&'static str> {
    PROVIDERS.iter().map(|(name, _)| *name).collect()
}

/// Builds the provider called `name` for a source; `None` where there is no such provider.
///
/// # Errors
/// [`SettingsError`] names the first setting that is missing or wrong.
pub fn build(
    name: &str,
    settings: SourceSettings,
    keys: Arc<dyn KeyLookup>,
) -> Option<Result<Arc<dyn Provider>, SettingsError>> {
    PROVIDERS.iter().find(|(known, _)| *known == name).map(|(_, build)| build(settings, keys))
}
