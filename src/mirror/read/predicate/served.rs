//! What of a filter and an order no index serves, so that rows are read one by one for it.

use super::value::{FieldTest, NumberTest, TextTest};
use super::{Predicate, TextColumn, TimeColumn};
use crate::db::fields::FieldAs;
use crate::mirror::read::{Order, SortKey};
use std::collections::BTreeSet;

/// Whether there is an index of one reading of a field.
pub(in crate::mirror::read) type HasIndex<'a> = &'a dyn Fn(&str, FieldAs) -> bool;

/// How much of an index a test asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    /// Single values, or what a search finds.
    Values,
    /// All between two ends.
    Stretch,
}

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
    /// Whether an index brings the profiles that may pass.
    pub(in crate::mirror::read) fn is_served(&self, has_index: HasIndex<'_>) -> bool {
        self.each_may(&|leaf| leaf.index(has_index).is_some())
    }

    /// Whether an index brings the few profiles that may pass: single values rather than a stretch, of which nobody knows how
    /// much is in it.
    pub(in crate::mirror::read) fn is_narrow(&self, has_index: HasIndex<'_>) -> bool {
        self.each_may(&|leaf| leaf.index(has_index) == Some(Width::Values))
    }

    /// Whether every profile that passes is one that passes a leaf like this.
    fn each_may(&self, is_meant: &dyn Fn(&Self) -> bool) -> bool {
        match self {
            Self::All(all) => all.iter().any(|one| one.each_may(is_meant)),
            Self::Any(any) => any.iter().all(|one| one.each_may(is_meant)),
            leaf => is_meant(leaf),
        }
    }

    /// What a test asks of an index that serves it; none where none does.
    fn index(&self, has_index: HasIndex<'_>) -> Option<Width> {
        let stretch = |is_stretch| if is_stretch { Width::Stretch } else { Width::Values };
        match self {
            Self::Text(TextColumn::DisplayName | TextColumn::Email, test) => {
                test.is_narrow().then(|| stretch(matches!(test, TextTest::StartsWith(_))))
            }
            Self::Text(TextColumn::ExternalId, TextTest::Equals(_) | TextTest::In(_)) => Some(Width::Values),
            Self::Field(name, test) => {
                test.index().filter(|reading| has_index(name, *reading)).map(|_| stretch(test.stretch_of().is_some()))
            }
            Self::Time { column: TimeColumn::CreatedAt | TimeColumn::ModifiedAt, from, until } => {
                (from.is_some() || until.is_some()).then_some(Width::Stretch)
            }
            Self::Search(_) | Self::Interest(_) => Some(Width::Values),
            _ => None,
        }
    }

    /// The tests that together ask for a stretch of one index, of those that must all hold; none where there are none. How
    /// many pass them, the tests themselves do not tell.
    pub(in crate::mirror::read) fn stretch(&self, has_index: HasIndex<'_>) -> Option<Self> {
        let all = self.that_must_hold();
        let place = all.iter().find_map(|one| one.stretch_of(has_index))?;
        let together = all.iter().filter(|one| one.stretch_of(has_index) == Some(place));
        Some(Self::All(together.map(|one| (*one).clone()).collect()))
    }

    /// The tests that must all hold.
    pub(in crate::mirror::read) fn that_must_hold(&self) -> Vec<&Self> {
        let mut all = Vec::new();
        self.collect_all(&mut all);
        all
    }

    fn collect_all<'a>(&'a self, into: &mut Vec<&'a Self>) {
        match self {
            Self::All(all) => all.iter().for_each(|one| one.collect_all(into)),
            one => into.push(one),
        }
    }

    /// The index of which it asks for a stretch.
    fn stretch_of(&self, has_index: HasIndex<'_>) -> Option<(Option<TextColumn>, &str, FieldAs)> {
        match self {
            Self::Text(column @ (TextColumn::DisplayName | TextColumn::Email), TextTest::StartsWith(_)) => {
                Some((Some(*column), "", FieldAs::Text))
            }
            Self::Field(name, test) => {
                let reading = test.stretch_of()?;
                has_index(name, reading).then_some((None, name.as_str(), reading))
            }
            _ => None,
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
    /// The reading of which it asks for a stretch rather than for single values.
    fn stretch_of(&self) -> Option<FieldAs> {
        match self {
            Self::Text(TextTest::StartsWith(_)) => Some(FieldAs::Text),
            Self::Number(test) => (!matches!(test, NumberTest::In(_))).then_some(FieldAs::Number),
            Self::Date { .. } => Some(FieldAs::Date),
            Self::Text(_) => None,
        }
    }

    /// The index that serves it.
    fn index(&self) -> Option<FieldAs> {
        match self {
            Self::Text(test) => test.is_narrow().then_some(FieldAs::Text),
            Self::Number(_) => Some(FieldAs::Number),
            Self::Date { .. } => Some(FieldAs::Date),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, test: FieldTest) -> Predicate {
        Predicate::Field(name.to_owned(), test)
    }

    fn begins(with: &str) -> FieldTest {
        FieldTest::Text(TextTest::StartsWith(with.to_owned()))
    }

    #[test]
    fn a_stretch_is_of_one_index_and_of_tests_that_must_all_hold() {
        let has_index: HasIndex<'_> = &|name, _| name != "unindexed";
        let (above, below) = (FieldTest::Number(NumberTest::Above(1.0)), FieldTest::Number(NumberTest::AtMost(2.0)));
        let (from, until) = (field("amount", above), field("amount", below));
        let name = Predicate::Text(TextColumn::DisplayName, TextTest::StartsWith("an".to_owned()));
        let within = Predicate::All(vec![
            Predicate::Text(TextColumn::ExternalId, TextTest::StartsWith("7".to_owned())),
            field("unindexed", begins("x")),
            Predicate::All(vec![from.clone(), field("country", begins("n"))]),
            until.clone(),
            name.clone(),
        ]);
        assert_eq!(within.stretch(has_index), Some(Predicate::All(vec![from.clone(), until])));
        assert_eq!(name.stretch(has_index), Some(Predicate::All(vec![name.clone()])));
        for other in [
            Predicate::Any(vec![from.clone(), name]),
            Predicate::Not(Box::new(from)),
            field("unindexed", begins("x")),
            field("country", FieldTest::Text(TextTest::Equals("nl".to_owned()))),
            field("amount", FieldTest::Number(NumberTest::In(vec![1.0]))),
        ] {
            assert_eq!(other.stretch(has_index), None, "{other:?}");
        }
    }
}
