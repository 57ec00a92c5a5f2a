//! Who asks: fixed keys with their roles.

use crate::config::{self, ConfigError, Role};
use ring::digest;
use std::sync::Arc;

/// The keys that open the service.
#[derive(Clone, Debug, Default)]
pub struct Access {
    keys: Arc<[Key]>,
}

#[derive(Debug)]
struct Key {
    name: Arc<str>,
    role: Role,
    digest: [u8; digest::SHA256_OUTPUT_LEN],
}

/// Who asks, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// Name of the key, for logs and for `viewer`.
    pub name: Arc<str>,
    /// What the key may do.
    pub role: Role,
}

impl Access {
    /// Reads the keys that the configuration names.
    ///
    /// # Errors
    /// [`ConfigError::Secret`] where a key is not where the configuration says.
    pub fn from_config(access: &config::Access) -> Result<Self, ConfigError> {
        let key = |key: &config::AccessKey| {
            Ok(Key { name: key.name.as_str().into(), role: key.role, digest: hash(&key.key.reveal()?) })
        };
        Ok(Self { keys: access.keys.iter().map(key).collect::<Result<_, ConfigError>>()? })
    }

    /// Who holds this key. Takes as long for a wrong key as for a right one.
    pub fn identify(&self, key: &str) -> Option<Viewer> {
        let given = hash(key);
        let mut found = None;
        for known in self.keys.iter() {
            if equals(&known.digest, &given) {
                found = Some(Viewer { name: Arc::clone(&known.name), role: known.role });
            }
        }
        found
    }

    /// Who sends this `Authorization` value.
    pub fn identify_header(&self, value: &str) -> Option<Viewer> {
        let (scheme, key) = value.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| self.identify(key.trim()))?
    }

    /// Whether a viewer who was let in may go on; asked again and again while a socket is open.
    pub fn still_allows(&self, viewer: &Viewer) -> bool {
        self.keys.iter().any(|key| key.name == viewer.name && key.role == viewer.role)
    }
}

impl Viewer {
    /// Whether the viewer's role reaches this one.
    pub fn may(&self, role: Role) -> bool {
        self.role >= role
    }
}

fn hash(key: &str) -> [u8; digest::SHA256_OUTPUT_LEN] {
    let mut out = [0; digest::SHA256_OUTPUT_LEN];
    out.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
    out
}

/// Compares every byte, wherever the first difference is; of hashes, so that nothing could be learned anyway.
fn equals(a: &[u8; digest::SHA256_OUTPUT_LEN], b: &[u8; digest::SHA256_OUTPUT_LEN]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AccessKey, Secret};

    #[test]
    fn a_key_is_known_by_its_whole_text_only() {
        let keys = vec![AccessKey { name: "a".into(), role: Role::Operator, key: Secret::Value("s3cret".into()) }];
        let access = Access::from_config(&config::Access { keys }).unwrap();
        let viewer = access.identify_header("bearer s3cret").unwrap();
        assert!(viewer.may(Role::Reader) && viewer.may(Role::Operator) && !viewer.may(Role::Admin));
        assert!(access.still_allows(&viewer));
        for wrong in ["Bearer s3cre", "Bearer s3crett", "Basic s3cret", "s3cret", "Bearer", ""] {
            assert_eq!(access.identify_header(wrong), None, "{wrong}");
        }
    }
}
