//! What of a filter and an order no index serves, so that rows are read one by one for it.

use super::value::{FieldTest, TextTest};
use super::{Predicate, TextColumn, TimeColumn};
use crate::db::fields::FieldAs;
use crate::mirror::read::{Order, SortKey};
use std::collections::BTreeSet;

/// Whether there is an index of one reading of a field.
pub(in crate::mirror::read) type HasIndex<'a> = &'a dyn Fn(&str, FieldAs) -> bool;

/// The tests that no index serves, where none narrows the filter as a whole, and the field that is sorted by without one.
/// In words for people.
pub(in crate::mirror::read) fn unserved(
    predicate: Option<&Predicate>,
    order: &[Order],
    has_index: HasIndex<'_>,
) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    if predicate.is_some_and(|predicate| predicate.is_served(has_index)) {
        return named;
    }
    if let Some(predicate) = predicate {
        predicate.name_unserved(has_index, &mut named);
    }
    if let Some(SortKey::Field(name, reading)) = order.first().map(|first| &first.key)
        && !has_index(name, *reading)
    {
        named.insert(format!("order {name}"));
    }
    named
}

impl Predicate {
    /// Whether an index brings the few profiles that may pass.
    fn is_served(&self, has_index: HasIndex<'_>) -> bool {
        match self {
            Self::All(all) => all.iter().any(|one| one.is_served(has_index)),
            Self::Any(any) => any.iter().all(|one| one.is_served(has_index)),
            Self::Text(TextColumn::DisplayName | TextColumn::Email, test) => test.is_narrow(),
            Self::Field(name, test) => test.index().is_some_and(|reading| has_index(name, reading)),
            Self::Time { column: TimeColumn::CreatedAt | TimeColumn::ModifiedAt, from, until } => {
                from.is_some() || until.is_some()
            }
            Self::Search(_) | Self::Interest(_) => true,
            _ => false,
        }
    }

    fn name_unserved(&self, has_index: HasIndex<'_>, named: &mut BTreeSet<String>) {
        match self {
            Self::All(all) | Self::Any(all) => all.iter().for_each(|one| one.name_unserved(has_index, named)),
            Self::Not(inner) => inner.name_unserved(has_index, named),
            leaf if leaf.is_served(has_index) => {}
            Self::Field(name, _) => drop(named.insert(format!("field {name}"))),
            Self::Text(column, _) => drop(named.insert(column.word().to_owned())),
            Self::Subprofiles { .. } => drop(named.insert("subprofile".to_owned())),
            Self::Related { .. } => drop(named.insert("relatedTo".to_owned())),
            _ => {}
        }
    }
}

impl TextColumn {
    fn word(self) -> &'static str {
        match self {
            Self::DisplayName => "displayName",
            Self::Email => "email",
            Self::ExternalId => "externalId",
        }
    }
}

impl TextTest {
    /// Whether the texts that pass lie together in an index.
    fn is_narrow(&self) -> bool {
        matches!(self, Self::Equals(_) | Self::In(_) | Self::StartsWith(_))
    }
}

impl FieldTest {
    /// The index that serves it.
    fn index(&self) -> Option<FieldAs> {
        match self {
            Self::Text(test) => test.is_narrow().then_some(FieldAs::Text),
            Self::Number(_) => Some(FieldAs::Number),
            Self::Date { .. } => Some(FieldAs::Date),
        }
    }
}
