//! Who asks: fixed keys with their roles. A key that stands in a file may change while the service runs.

use crate::causes::chain;
use crate::config::{self, ConfigError, Role};
use ring::digest;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The keys that open the service.
#[derive(Clone, Debug, Default)]
pub struct Access(Arc<watch::Sender<Vec<Key>>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    name: Arc<str>,
    role: Role,
    digest: Digest,
}

type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// How often keys in files are read again: a key that was taken back ends its streams within this and a moment.
const REREAD: Duration = Duration::from_secs(2);

/// Who asks, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// Name of the key, for logs and for `viewer`.
    pub name: Arc<str>,
    /// What the key may do.
    pub role: Role,
    /// Tells the key from another that bears its name later.
    digest: Digest,
}

impl Access {
    /// Reads the keys that the configuration names.
    ///
    /// # Errors
    /// [`ConfigError::Secret`] where a key is not where the configuration says.
    pub fn from_config(access: &config::Access) -> Result<Self, ConfigError> {
        let keys = access.keys.iter().map(Key::reveal).collect::<Result<Vec<_>, ConfigError>>()?;
        Ok(Self(Arc::new(watch::Sender::new(keys))))
    }

    /// Reads the keys that stand in files again and again until cancelled. One that cannot be read opens nothing until it
    /// can.
    pub async fn follow(self, access: config::Access, stop: CancellationToken) {
        if !access.keys.iter().any(|key| matches!(key.key, config::Secret::File(_))) {
            return;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(REREAD) => {}
            }
            let read = |key: &config::AccessKey| match Key::reveal(key) {
                Ok(key) => Some(key),
                Err(error) => {
                    tracing::warn!(key = key.name, error = chain(&error), "read an access key again");
                    None
                }
            };
            let keys: Vec<Key> = access.keys.iter().filter_map(read).collect();
            self.0.send_if_modified(|known| {
                let has_changed = *known != keys;
                *known = keys;
                has_changed
            });
        }
    }

    /// Tells when keys have changed, so that whoever was let in is looked at again; at once for the first time, since they
    /// may have changed between the letting in and the asking.
    pub fn changes(&self) -> KeyChanges {
        let mut keys = self.0.subscribe();
        keys.mark_changed();
        KeyChanges(keys)
    }

    /// Who holds this key. Takes as long for a wrong key as for a right one.
    pub fn identify(&self, key: &str) -> Option<Viewer> {
        let given = hash(key);
        let mut found = None;
        for known in self.0.borrow().iter() {
            if equals(&known.digest, &given) {
                found = Some(known.viewer());
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
        self.0.borrow().iter().any(|key| key.viewer() == *viewer)
    }
}

/// Changes of the keys, from the moment of asking.
#[derive(Debug)]
pub struct KeyChanges(watch::Receiver<Vec<Key>>);

impl KeyChanges {
    /// Completes at the next change.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Keys that nobody holds any more change no more.
            std::future::pending::<()>().await;
        }
    }
}

impl Key {
    fn reveal(key: &config::AccessKey) -> Result<Self, ConfigError> {
        Ok(Self { name: key.name.as_str().into(), role: key.role, digest: hash(&key.key.reveal()?) })
    }

    fn viewer(&self) -> Viewer {
        Viewer { name: Arc::clone(&self.name), role: self.role, digest: self.digest }
    }
}

impl Viewer {
    /// A viewer of this name whom no key let in.
    #[cfg(test)]
    pub fn named(name: &str, role: Role) -> Self {
        Self { name: name.into(), role, digest: [0; digest::SHA256_OUTPUT_LEN] }
    }

    /// Whether the viewer's role reaches this one.
    pub fn may(&self, role: Role) -> bool {
        self.role >= role
    }
}

fn hash(key: &str) -> Digest {
    let mut out = [0; digest::SHA256_OUTPUT_LEN];
    out.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
    out
}

/// Compares every byte, wherever the first difference is; of hashes, so that nothing could be learned anyway.
fn equals(a: &Digest, b: &Digest) -> bool {
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
