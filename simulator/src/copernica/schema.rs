//! Databases, collections, fields and interests, and how a written value becomes a stored one.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use chrono::NaiveDateTime;

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldKind {
    /// At most 255 characters.
    Text,
    /// One in a database; syntax is not checked.
    Email,
    /// A mobile number.
    PhoneGsm,
    /// One of these, or empty.
    Select(Vec<String>),
    /// Long text.
    Big,
    /// Whole number.
    Integer,
    /// Number.
    Float,
    /// `YYYY-MM-DD`, empty is `0000-00-00`.
    Date,
    /// `YYYY-MM-DD` or empty.
    EmptyDate,
    /// `YYYY-MM-DD HH:MM:SS`, empty is all zeros.
    Datetime,
    /// `YYYY-MM-DD HH:MM:SS` or empty.
    EmptyDatetime,
    /// Id of a profile, usually in another database.
    ForeignKey,
    /// Any text, under the name of a type that nobody has heard of.
    Unheard(&'static str),
}

impl FieldKind {
    pub(crate) fn wire_name(&self) -> &'static str {
        match *self {
            Self::Text => "text",
            Self::Email => "email",
            Self::PhoneGsm => "phone_gsm",
            Self::Select(_) => "select",
            Self::Big => "big",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Date => "date",
            Self::EmptyDate => "empty_date",
            Self::Datetime => "datetime",
            Self::EmptyDatetime => "empty_datetime",
            Self::ForeignKey => "foreign_key",
            Self::Unheard(name) => name,
        }
    }

    /// Says whether conditions compare it as a number.
    pub(crate) fn is_numeric(&self) -> bool {
        matches!(self, Self::Integer | Self::Float | Self::ForeignKey)
    }

    /// What an untouched field answers.
    pub(crate) fn empty_value(&self) -> &'static str {
        match self {
            Self::Integer | Self::Float | Self::ForeignKey => "0",
            Self::Date => "0000-00-00",
            Self::Datetime => "0000-00-00 00:00:00",
            _ => "",
        }
    }

    /// Makes any text fit, as Copernica does: a write never fails on a bad value.
    pub(crate) fn coerce(&self, value: &str) -> String {
        match self {
            Self::Text => value.chars().take(255).collect(),
            Self::Email | Self::PhoneGsm | Self::Big | Self::Unheard(_) => value.to_owned(),
            Self::Select(options) => options.iter().find(|option| *option == value).cloned().unwrap_or_default(),
            Self::Integer | Self::ForeignKey => leading_number(value, false),
            Self::Float => leading_number(value, true),
            Self::Date | Self::EmptyDate => coerce_date(value).unwrap_or_else(|| self.empty_value().to_owned()),
            Self::Datetime | Self::EmptyDatetime => {
                coerce_datetime(value).unwrap_or_else(|| self.empty_value().to_owned())
            }
        }
    }
}

fn leading_number(value: &str, fraction: bool) -> String {
    let value = value.trim();
    let mut end = 0;
    for (at, letter) in value.char_indices() {
        let fits = letter.is_ascii_digit()
            || (at == 0 && letter == '-')
            || (fraction && letter == '.' && !value[..at].contains('.'));
        if !fits {
            break;
        }
        end = at + letter.len_utf8();
    }
    let head = value[..end].trim_end_matches('.');
    if fraction {
        head.parse::<f64>().map_or_else(|_| "0".to_owned(), |number| number.to_string())
    } else {
        head.parse::<i64>().map_or_else(|_| "0".to_owned(), |number| number.to_string())
    }
}

fn coerce_date(value: &str) -> Option<String> {
    let day = value.trim().get(..10)?;
    NaiveDate::parse_from_str(day, "%Y-%m-%d").ok().map(|day| day.format("%Y-%m-%d").to_string())
}

fn coerce_datetime(value: &str) -> Option<String> {
    let value = value.trim();
    if let Ok(at) = NaiveDateTime::parse_from_str(value, "%Y-%m-%d %H:%M:%S") {
        return Some(at.format("%Y-%m-%d %H:%M:%S").to_string());
    }
    coerce_date(value).map(|day| format!("{day} 00:00:00"))
}

/// One field of a database or collection.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) kind: FieldKind,
}

/// One interest of a database; an empty group is none.
#[derive(Debug, Clone)]
pub(crate) struct Interest {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) group: String,
}

/// What an unsubscription does to a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsubscribe {
    /// Nothing.
    Nothing,
    /// Deletes it.
    Remove,
    /// Sets these fields.
    Update(Vec<(String, String)>),
}

/// A database: a schema and its live profiles.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) created: i64,
    pub(crate) fields: Vec<Field>,
    pub(crate) interests: Vec<Interest>,
    pub(crate) collections: Vec<u64>,
    pub(crate) unsubscribe: Unsubscribe,
    pub(crate) live: BTreeSet<u64>,
}

/// A collection: a schema under a database and its live subprofiles.
#[derive(Debug)]
pub(crate) struct Collection {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) database: u64,
    pub(crate) fields: Vec<Field>,
    pub(crate) live: BTreeSet<u64>,
}

pub(crate) fn find_field(fields: &[Field], name_or_id: &str) -> Option<usize> {
    fields.iter().position(|field| field.name.eq_ignore_ascii_case(name_or_id) || field.id.to_string() == name_or_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_are_made_to_fit() {
        assert_eq!(FieldKind::Integer.coerce("abc"), "0");
        assert_eq!(FieldKind::Integer.coerce("-12abc"), "-12");
        assert_eq!(FieldKind::Float.coerce("3.50"), "3.5");
        assert_eq!(FieldKind::Date.coerce("yesterday"), "0000-00-00");
        assert_eq!(FieldKind::EmptyDate.coerce(""), "");
        assert_eq!(FieldKind::Datetime.coerce("2026-01-31"), "2026-01-31 00:00:00");
        assert_eq!(FieldKind::Select(vec!["NL".into()]).coerce("nl"), "");
        assert_eq!(FieldKind::Text.coerce(&"é".repeat(300)).chars().count(), 255);
    }
}
