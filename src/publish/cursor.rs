//! An opaque place in the change log that a client keeps.
//!
//! Bytes before base64: the version, then for each source, by name: length of the name, the name, the revision as
//! a varint. A place inside a snapshot has another version, and the last profile of the snapshot before the list. Names and not keys, so that a cursor holds over a rebuild of the mirror's own numbering of sources.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::BTreeMap;
use std::sync::Arc;

const VERSION: u8 = 1;
const IN_SNAPSHOT: u8 = 2;
/// Longer ones cannot be ours: a source's name is at most 64 bytes.
const MAX_BYTES: usize = 16 * 1024;

/// The revision up to which a client has seen each source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    revisions: BTreeMap<Arc<str>, i64>,
    /// Row id of the last profile that a snapshot has shown, while it goes on.
    snapshot_at: Option<i64>,
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read cursor: not one that this service made")]
pub struct MalformedCursor;

impl Cursor {
    /// The revision of a source; 0 where the cursor does not know it.
    pub fn revision(&self, source: &str) -> i64 {
        self.revisions.get(source).copied().unwrap_or(0)
    }

    /// Moves on to this revision of a source.
    pub fn set(&mut self, source: &str, revision: i64) {
        match self.revisions.get_mut(source) {
            Some(known) => *known = revision,
            None => {
                self.revisions.insert(Arc::from(source), revision);
            }
        }
    }

    /// The sources that it knows, with their revisions.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.revisions.iter().map(|(source, revision)| (&**source, *revision))
    }

    /// Row id of the last profile that was shown, where the place is inside a snapshot.
    pub fn snapshot_at(&self) -> Option<i64> {
        self.snapshot_at
    }

    /// The place behind this profile in the snapshot that was taken here.
    #[must_use]
    pub fn in_snapshot(&self, profile_id: i64) -> Self {
        Self { revisions: self.revisions.clone(), snapshot_at: Some(profile_id) }
    }

    /// Whether everything before another place is before this one too.
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(source, revision)| self.revision(source) >= revision)
    }

    /// As text for clients.
    pub fn encode(&self) -> String {
        let mut bytes = vec![if self.snapshot_at.is_some() { IN_SNAPSHOT } else { VERSION }];
        if let Some(profile_id) = self.snapshot_at {
            write_varint(&mut bytes, profile_id);
        }
        for (source, revision) in self.iter() {
            let length = u8::try_from(source.len()).unwrap_or(u8::MAX);
            bytes.push(length);
            bytes.extend(source.bytes().take(usize::from(length)));
            write_varint(&mut bytes, revision);
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Cursor::encode`] wrote.
    ///
    /// # Errors
    /// [`MalformedCursor`].
    pub fn decode(text: &str) -> Result<Self, MalformedCursor> {
        if text.len() > MAX_BYTES {
            return Err(MalformedCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| MalformedCursor)?;
        let (&version, mut rest) = bytes.split_first().ok_or(MalformedCursor)?;
        let mut snapshot_at = None;
        match version {
            VERSION => {}
            IN_SNAPSHOT => {
                let (profile_id, after) = read_varint(rest).ok_or(MalformedCursor)?;
                snapshot_at = Some(profile_id);
                rest = after;
            }
            _ => return Err(MalformedCursor),
        }
        let mut revisions = BTreeMap::new();
        while let Some((&length, after)) = rest.split_first() {
            let (name, after) = after.split_at_checked(usize::from(length)).ok_or(MalformedCursor)?;
            let name = std::str::from_utf8(name).map_err(|_| MalformedCursor)?;
            let (revision, after) = read_varint(after).ok_or(MalformedCursor)?;
            revisions.insert(Arc::from(name), revision);
            rest = after;
        }
        Ok(Self { revisions, snapshot_at })
    }
}

fn write_varint(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = value.max(0).unsigned_abs();
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn read_varint(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((i64::try_from(value).ok()?, bytes.get(place + 1..)?));
        }
    }
    None
}

impl FromIterator<(String, i64)> for Cursor {
    fn from_iter<I: IntoIterator<Item = (String, i64)>>(revisions: I) -> Self {
        let revisions = revisions.into_iter().map(|(source, revision)| (Arc::from(source), revision)).collect();
        Self { revisions, snapshot_at: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_it_was_written() {
        let cursor: Cursor = [("crm".to_owned(), 0), ("marketing".to_owned(), 127), ("people".to_owned(), i64::MAX)]
            .into_iter()
            .collect();
        assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor.clone()));
        let inside = cursor.in_snapshot(300);
        assert_eq!(Cursor::decode(&inside.encode()), Ok(inside));
        assert_eq!(Cursor::decode(&Cursor::default().encode()), Ok(Cursor::default()));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "%", "AA", "Ag", "Aw", "AQU", "AQNjcm0", "AQNjcm3_____________"] {
            assert_eq!(Cursor::decode(text), Err(MalformedCursor), "{text}");
        }
    }
}
