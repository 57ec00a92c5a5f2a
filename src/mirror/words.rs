//! Words: what search looks at, and what it looks for.
//!
//! Made here and not by the databases, whose own ideas of a word differ: a word is a run of letters and digits, without
//! accents and in lower case. What people type is data throughout; of it only words are left.

use entity::profile;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Characters of a word that count.
const MAX_CHARACTERS: usize = 64;
/// Words of one profile that are kept.
const MAX_WORDS: usize = 1000;
/// Words that one search may have.
const MAX_SOUGHT: usize = 10;

/// What is looked for: every word, and one that begins like the last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sought {
    /// Words that must be there.
    pub(super) words: Vec<String>,
    /// How another one begins.
    pub(super) prefix: String,
}

/// Why a text cannot be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SoughtError {
    /// It has no letter and no digit.
    #[error("there is no word in it; leave it out to see all")]
    NoWord,
    /// It has too many words.
    #[error("at most {most} words are looked for", most = MAX_SOUGHT)]
    TooMany,
}

impl Sought {
    /// Reads what somebody typed.
    ///
    /// # Errors
    /// [`SoughtError`].
    pub fn read(typed: &str) -> Result<Self, SoughtError> {
        let mut words: Vec<String> = split(typed).collect();
        if words.len() > MAX_SOUGHT {
            return Err(SoughtError::TooMany);
        }
        let prefix = words.pop().ok_or(SoughtError::NoWord)?;
        Ok(Self { words, prefix })
    }

    /// Whether a profile has all that is looked for.
    pub(super) fn finds(&self, row: &profile::Model) -> bool {
        self.is_in(&Words::of(row).all)
    }

    /// Rank of a profile: 0 where its name has all that is looked for, else 1.
    pub(super) fn rank(&self, row: &profile::Model) -> i64 {
        i64::from(!self.is_in(&Words::of(row).name))
    }

    fn is_in(&self, words: &BTreeSet<String>) -> bool {
        self.words.iter().all(|word| words.contains(word)) && words.iter().any(|word| word.starts_with(&self.prefix))
    }
}

/// The words of one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub name: BTreeSet<String>,
    pub all: BTreeSet<String>,
}

impl Words {
    /// The words of the name, of the e-mail address and of the texts among the fields.
    pub fn of(row: &profile::Model) -> Self {
        let name: BTreeSet<String> = split(row.display_name.as_deref().unwrap_or_default()).take(MAX_WORDS).collect();
        let mut all = name.clone();
        let mut texts = Vec::new();
        texts.extend(row.email.as_deref());
        row.fields
            .as_object()
            .into_iter()
            .flat_map(|fields| fields.values())
            .for_each(|value| gather(value, &mut texts));
        for word in texts.into_iter().flat_map(split) {
            if all.len() >= MAX_WORDS {
                break;
            }
            all.insert(word);
        }
        Self { name, all }
    }
}

/// The texts of a value: of a scored one its text, of a list those of its members.
fn gather<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(list) => list.iter().for_each(|one| gather(one, texts)),
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get("value") {
                texts.push(text);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The words of a text.
fn split(text: &str) -> impl Iterator<Item = String> {
    let plain: String = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        text.nfkd().filter(|one| !is_combining_mark(*one)).flat_map(char::to_lowercase).collect()
    };
    let words = plain.split(|one: char| !one.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.chars().take(MAX_CHARACTERS).collect()).collect::<Vec<String>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_are_left_of_what_is_typed() {
        let read = |typed| Sought::read(typed).map(|sought| (sought.words.join(" "), sought.prefix));
        assert_eq!(read("Édith  O'Brien"), Ok(("edith o".to_owned(), "brien".to_owned())));
        assert_eq!(read("\"a\" OR b* NEAR(c)\0"), Ok(("a or b near".to_owned(), "c".to_owned())));
        assert_eq!(read("\u{fb01}ve \u{ff21}"), Ok(("five".to_owned(), "a".to_owned())));
        assert_eq!(read(" -*\" "), Err(SoughtError::NoWord));
        assert_eq!(read(&"a ".repeat(11)), Err(SoughtError::TooMany));
    }
}
