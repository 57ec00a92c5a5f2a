//! Takes pieces out of a JSON body and leaves every other byte as it came.
//!
//! A page tells of a hundred people; when one is erased the others' bytes must not change, not even in the way in
//! which a number is written. So values are found by their place in the body, and what is cut is replaced there.

use crate::{Redacted, json};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;

/// A value at its place in the body.
pub(crate) type Raw<'a> = &'a RawValue;

/// The entries of a JSON object in order, a key that comes twice too.
pub(crate) struct Entries<'a>(Vec<(Cow<'a, str>, Raw<'a>)>);

impl<'a> Entries<'a> {
    /// The entries of `value`, where it is an object.
    pub(crate) fn read(value: Raw<'a>) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }

    /// Every value under `key`.
    pub(crate) fn all<'e>(&'e self, key: &'e str) -> impl Iterator<Item = Raw<'a>> + 'e {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| *value)
    }

    /// The value that counts under `key`.
    pub(crate) fn get(&self, key: &str) -> Option<Raw<'a>> {
        self.all(key).last()
    }

    /// Every value.
    pub(crate) fn values<'e>(&'e self) -> impl Iterator<Item = Raw<'a>> + 'e {
        self.0.iter().map(|(_, value)| *value)
    }

    /// Every key.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_ref())
    }

    /// The external id under `key`.
    pub(crate) fn id(&self, key: &str) -> Option<String> {
        json::id(serde_json::from_str(self.get(key)?.get()).ok().as_ref())
    }
}

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Entries<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    entries.push((key.0, map.next_value()?));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The elements of `value`, where it is a list.
pub(crate) fn elements<'a>(value: Raw<'a>) -> Option<Vec<Raw<'a>>> {
    serde_json::from_str(value.get()).ok()
}

/// The pieces to be replaced in a body.
pub(crate) struct Cuts<'a> {
    body: &'a str,
    pieces: Vec<(Range<usize>, String)>,
}

impl Cuts<'_> {
    /// Puts `instead` where `value` stands.
    pub(crate) fn replace(&mut self, value: Raw<'_>, instead: String) {
        // Raw values point into the body that they were read from.
        let from = (value.get().as_ptr() as usize).wrapping_sub(self.body.as_ptr() as usize);
        let until = from.wrapping_add(value.get().len());
        if self.body.get(from..until) == Some(value.get()) && value.get() != instead {
            self.pieces.push((from..until, instead));
        }
    }

    fn carry_out(mut self) -> Option<Vec<u8>> {
        self.pieces.sort_unstable_by_key(|(range, _)| range.start);
        let mut kept = String::with_capacity(self.body.len());
        let mut from = 0;
        for (range, instead) in &self.pieces {
            kept.push_str(self.body.get(from..range.start)?);
            kept.push_str(instead);
            from = range.end;
        }
        kept.push_str(self.body.get(from..)?);
        Some(kept.into_bytes())
    }
}

/// Reads a JSON body and has `cut` mark what goes. A body that had to be mended to be read is kept as mended; one
/// that cannot be read at all is not kept.
pub(crate) fn cut_json(body: &[u8], cut: impl Fn(Raw<'_>, &mut Cuts<'_>)) -> Redacted {
    let attempt = |text: &str| {
        let root: Raw<'_> = serde_json::from_str(text).ok()?;
        let mut cuts = Cuts { body: text, pieces: Vec::new() };
        cut(root, &mut cuts);
        if cuts.pieces.is_empty() {
            return Some(Redacted::Untouched);
        }
        cuts.carry_out().map(Redacted::Slice)
    };
    let as_it_came = std::str::from_utf8(body).ok().and_then(attempt);
    as_it_came.or_else(|| attempt(&json::read(body).ok()?.to_string())).unwrap_or(Redacted::Nothing)
}

/// Texts in quotes, the last resort for finding ids in a body that is not JSON; at most `limit`.
pub(crate) fn quoted(body: &[u8], limit: usize) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(body).into_owned();
    let words: Vec<String> = text
        .split('"')
        .skip(1)
        .step_by(2)
        .chain(text.split('"').skip(2).step_by(2))
        .map(str::trim)
        .filter(|word| !word.is_empty() && word.len() <= 512)
        .take(limit)
        .map(str::to_owned)
        .collect();
    words.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(body: &str, id: &str) -> Redacted {
        cut_json(body.as_bytes(), |root, cuts| {
            for row in elements(root).unwrap_or_default() {
                if Entries::read(row).and_then(|row| row.id("id")).as_deref() == Some(id) {
                    cuts.replace(row, format!("{{\"id\":\"{id}\"}}"));
                }
            }
        })
    }

    #[test]
    fn the_rest_stays_byte_for_byte() {
        let body = "[ {\"id\":\"a\", \"n\": 1.0e2 },\n{\"name\":\"x\",\"id\":\"b\"} , {\"id\":\"c\",\"id\":\"a\"}]";
        let expected = "[ {\"id\":\"a\", \"n\": 1.0e2 },\n{\"id\":\"b\"} , {\"id\":\"c\",\"id\":\"a\"}]";
        assert_eq!(without(body, "b"), Redacted::Slice(expected.into()));
        assert_eq!(without(body, "d"), Redacted::Untouched);
        assert_eq!(without("{\"id\":\"b\"", "b"), Redacted::Nothing);
    }

    #[test]
    fn a_mended_body_is_kept_as_mended() {
        let Redacted::Slice(kept) = cut_json(b"[{\"id\":\"a\",\"x\":\"\\ud800\"},{\"id\":\"b\"}]", |root, cuts| {
            for row in elements(root).unwrap_or_default().into_iter().take(1) {
                cuts.replace(row, "{}".to_owned());
            }
        }) else {
            panic!("it can be mended")
        };
        assert_eq!(kept, b"[{},{\"id\":\"b\"}]");
    }

    #[test]
    fn quoted_words_are_found_on_either_side_of_a_stray_quote() {
        let found: Vec<String> = quoted(b"{\"a\":\"p1\",\"b\":\"p", 10).collect();
        assert!(found.contains(&"p1".to_owned()), "{found:?}");
        let found: Vec<String> = quoted(b"\"{\"a\":\"p1\"", 10).collect();
        assert!(found.contains(&"p1".to_owned()), "{found:?}");
    }
}
