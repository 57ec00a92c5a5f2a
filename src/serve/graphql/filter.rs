//! Filters as clients write them, made into predicates.

use super::Fault;
use super::fault::Answer;
use super::scalar::DateTime;
use super::word::{LifecycleStatus, ProfileKind, ProfileOrderField, SortDirection};
use crate::mirror::read::{Order, Predicate, TextColumn, TextTest, TimeColumn};
use async_graphql::InputObject;

/// Tests in one filter.
const MAX_TESTS: usize = 100;
const MAX_DEPTH: usize = 8;
const MAX_TEXT_BYTES: usize = 1000;

/// Which profiles. Everything that is given must hold. Deleted profiles are left out of `profiles` unless `status` is named.
#[derive(Clone, Debug, Default, InputObject)]
pub struct ProfileFilter {
    /// All of these hold.
    and: Option<Vec<ProfileFilter>>,
    /// One of these holds at least.
    or: Option<Vec<ProfileFilter>>,
    /// This does not hold.
    not: Option<Box<ProfileFilter>>,
    /// Name of the source.
    source: Option<StringFilter>,
    /// Name or external id of the profile type.
    #[graphql(name = "type")]
    of_type: Option<StringFilter>,
    /// What the profile is about.
    kind: Option<ProfileKindFilter>,
    /// Where it stands in its life.
    status: Option<LifecycleStatusFilter>,
    /// Its name for people.
    display_name: Option<StringFilter>,
    /// Its e-mail address.
    email: Option<StringFilter>,
    /// Its upstream id.
    external_id: Option<StringFilter>,
    /// Its fields; every one given must hold.
    field: Option<Vec<FieldFilter>>,
    /// When it was created upstream.
    created_at: Option<DateFilter>,
    /// When it was last modified upstream.
    modified_at: Option<DateFilter>,
    /// Its deletion is scheduled for an earlier moment than this.
    deletion_due_before: Option<DateTime>,
}

/// A test on a text. Everything that is given must hold; no value fails every test but `isNull: true`.
#[derive(Clone, Debug, Default, InputObject)]
pub struct StringFilter {
    /// It is exactly this.
    eq: Option<String>,
    /// It is exactly one of these; at most 100.
    #[graphql(name = "in")]
    one_of: Option<Vec<String>>,
    /// It starts with this; the case of ASCII letters does not matter.
    starts_with: Option<String>,
    /// This stands in it; the case of ASCII letters does not matter.
    contains: Option<String>,
    /// There is no value (true), or there is one (false).
    is_null: Option<bool>,
}

/// A test on the kind of a profile.
#[derive(Clone, Debug, Default, InputObject)]
pub struct ProfileKindFilter {
    /// It is this.
    eq: Option<ProfileKind>,
    /// It is one of these.
    #[graphql(name = "in")]
    one_of: Option<Vec<ProfileKind>>,
}

/// A test on the lifecycle status.
#[derive(Clone, Debug, Default, InputObject)]
pub struct LifecycleStatusFilter {
    /// It is this.
    eq: Option<LifecycleStatus>,
    /// It is one of these.
    #[graphql(name = "in")]
    one_of: Option<Vec<LifecycleStatus>>,
}

/// A test on one field.
#[derive(Clone, Debug, InputObject)]
pub struct FieldFilter {
    /// The field's name.
    name: String,
    /// A test on the text of its value, as upstream writes it; of a scored value its text.
    text: Option<StringFilter>,
    /// It is absent or empty (true), or it is neither (false).
    is_empty: Option<bool>,
}

/// A range of time. A profile without a time is in no range.
#[derive(Clone, Debug, Default, InputObject)]
pub struct DateFilter {
    /// This moment or later.
    from: Option<DateTime>,
    /// Earlier than this moment.
    before: Option<DateTime>,
}

/// A sort key of profiles with its direction.
#[derive(Clone, Copy, Debug, InputObject)]
pub struct ProfileOrder {
    /// What to sort by.
    field: ProfileOrderField,
    /// Which way.
    #[graphql(default)]
    direction: SortDirection,
}

/// Reads an order; at most three keys.
pub(super) fn read_order(order: Option<Vec<ProfileOrder>>) -> Answer<Vec<Order>> {
    let order = order.unwrap_or_default();
    if order.len() > 3 {
        return Err(Fault::bad_input(format!("orderBy: {} keys given, at most 3 are allowed", order.len())));
    }
    let one = |one: ProfileOrder| Order { key: one.field.into(), is_descending: one.direction == SortDirection::Desc };
    Ok(order.into_iter().map(one).collect())
}

impl ProfileFilter {
    /// The predicate that it says; refused where it is too large.
    pub(super) fn read(self) -> Answer<Predicate> {
        let mut tests = 0;
        self.read_at(0, &mut tests)
    }

    fn read_at(self, depth: usize, tests: &mut usize) -> Answer<Predicate> {
        if depth > MAX_DEPTH {
            return Err(Fault::bad_input(format!("filter: nested deeper than {MAX_DEPTH}")));
        }
        let mut all = Vec::new();
        for one in self.and.into_iter().flatten() {
            all.push(one.read_at(depth + 1, tests)?);
        }
        if let Some(or) = self.or {
            let any = or.into_iter().map(|one| one.read_at(depth + 1, tests)).collect::<Answer<_>>()?;
            all.push(Predicate::Any(any));
        }
        if let Some(not) = self.not {
            all.push(Predicate::Not(Box::new(not.read_at(depth + 1, tests)?)));
        }
        if let Some(test) = self.source {
            all.extend(test.read("source", &Predicate::Source)?);
        }
        if let Some(test) = self.of_type {
            all.extend(test.read("type", &Predicate::Type)?);
        }
        if let Some(ProfileKindFilter { eq, one_of }) = self.kind {
            all.extend(eq.map(|kind| Predicate::Kind(vec![kind.into()])));
            all.extend(one_of.map(|kinds| Predicate::Kind(kinds.into_iter().map(Into::into).collect())));
        }
        if let Some(LifecycleStatusFilter { eq, one_of }) = self.status {
            all.extend(eq.map(|status| Predicate::Status(vec![status.into()])));
            all.extend(one_of.map(|some| Predicate::Status(some.into_iter().map(Into::into).collect())));
        }
        let texts = [
            ("displayName", TextColumn::DisplayName, self.display_name),
            ("email", TextColumn::Email, self.email),
            ("externalId", TextColumn::ExternalId, self.external_id),
        ];
        for (name, column, test) in texts {
            if let Some(test) = test {
                all.extend(test.read(name, &|test| Predicate::Text(column, test))?);
            }
        }
        for FieldFilter { name, text, is_empty } in self.field.into_iter().flatten() {
            check_text("field.name", &name)?;
            if let Some(test) = text {
                all.extend(test.read("field.text", &|test| Predicate::Field(name.clone(), test))?);
            }
            if let Some(is_empty) = is_empty {
                let test = Predicate::Field(name, TextTest::IsEmpty);
                all.push(if is_empty { test } else { Predicate::Not(Box::new(test)) });
            }
        }
        for (column, range) in [(TimeColumn::CreatedAt, self.created_at), (TimeColumn::ModifiedAt, self.modified_at)] {
            if let Some(DateFilter { from, before }) = range {
                let (from, until) = (from.map(|at| at.0), before.map(|at| at.0));
                all.push(Predicate::Time { column, from, until });
            }
        }
        if let Some(before) = self.deletion_due_before {
            let column = TimeColumn::ScheduledFor;
            all.push(Predicate::Time { column, from: None, until: Some(before.0) });
        }
        *tests += all.len();
        if *tests > MAX_TESTS {
            return Err(Fault::bad_input(format!("filter: more than {MAX_TESTS} tests")));
        }
        Ok(Predicate::All(all))
    }
}

impl StringFilter {
    fn read(self, name: &str, of: &dyn Fn(TextTest) -> Predicate) -> Answer<Vec<Predicate>> {
        let one_of = self.one_of;
        if let Some(texts) = &one_of
            && texts.len() > 100
        {
            return Err(Fault::bad_input(format!("{name}.in: {} values given, at most 100 are allowed", texts.len())));
        }
        let texts = [&self.eq, &self.starts_with, &self.contains];
        for text in texts.into_iter().flatten().chain(one_of.iter().flatten()) {
            check_text(name, text)?;
        }
        let tests = [
            self.eq.map(TextTest::Equals),
            one_of.map(TextTest::In),
            self.starts_with.map(TextTest::StartsWith),
            self.contains.map(TextTest::Contains),
        ];
        let mut read: Vec<_> = tests.into_iter().flatten().map(of).collect();
        if let Some(is_null) = self.is_null {
            let test = of(TextTest::IsAbsent);
            read.push(if is_null { test } else { Predicate::Not(Box::new(test)) });
        }
        Ok(read)
    }
}

/// PostgreSQL refuses a NUL inside a text, and no value of the mirror holds one.
fn check_text(name: &str, text: &str) -> Answer<()> {
    if text.len() > MAX_TEXT_BYTES || text.contains('\0') {
        return Err(Fault::bad_input(format!(
            "{name}: expected a text of at most {MAX_TEXT_BYTES} bytes, without NUL"
        )));
    }
    Ok(())
}
