//! Ids that clients see: made of source and external id, so that a rebuilt mirror keeps them.

use async_graphql::ID;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Profile,
    Subprofile,
    Relationship,
    Type,
    Change,
    Source,
    Delivery,
    Run,
}

/// Longest id of a record upstream, bytes: ten times what any provider has.
const MAX_BYTES: usize = 512;

const WORDS: [(Kind, &str); 8] = [
    (Kind::Profile, "profile"),
    (Kind::Subprofile, "subprofile"),
    (Kind::Relationship, "relationship"),
    (Kind::Type, "type"),
    (Kind::Change, "change"),
    (Kind::Source, "source"),
    (Kind::Delivery, "delivery"),
    (Kind::Run, "run"),
];

/// An id taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GlobalId {
    pub kind: Kind,
    pub source: String,
    pub external_id: String,
}

/// The id of a record.
pub(super) fn encode(kind: Kind, source: &str, external_id: &str) -> ID {
    let word = WORDS.iter().find(|(one, _)| *one == kind).map_or("", |(_, word)| word);
    ID(URL_SAFE_NO_PAD.encode(format!("{word}:{source}:{external_id}")))
}

/// Whether a record can have this id upstream. What no database keeps and no URL names is no id.
pub(super) fn is_external_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_BYTES && !id.contains('\0')
}

/// Takes an id apart; none where it is not one of ours.
pub(super) fn decode(id: &str) -> Option<GlobalId> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(id).ok()?).ok()?;
    let mut parts = text.splitn(3, ':');
    let (word, source, external_id) = (parts.next()?, parts.next()?, parts.next()?);
    let (kind, _) = WORDS.iter().find(|(_, one)| *one == word)?;
    // A source has none.
    if !external_id.is_empty() && !is_external_id(external_id) {
        return None;
    }
    Some(GlobalId { kind: *kind, source: source.to_owned(), external_id: external_id.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_with_colons_in_it() {
        let id = encode(Kind::Profile, "crm", "a:b:c");
        let read = decode(&id).unwrap();
        assert_eq!((read.kind, read.source.as_str(), read.external_id.as_str()), (Kind::Profile, "crm", "a:b:c"));
        assert_eq!(decode("nonsense"), None);
        for nobody in ["\0", "a\0b", &"x".repeat(MAX_BYTES + 1)] {
            assert_eq!(decode(&encode(Kind::Profile, "crm", nobody)), None, "{nobody:?}");
        }
    }
}
