//! Filters as clients write them, made into predicates.

mod hanging;
mod order;
mod value;

pub(super) use self::hanging::FieldFilterSet;
pub use order::ProfileOrder;
pub(super) use order::read_order;

use self::hanging::{RelatedFilter, StringListFilter, SubprofileFilter};
use self::value::{DateFilter, FieldFilter, StringFilter, check_length, read_fields};
use super::Fault;
use super::fault::Answer;
use super::scalar::DateTime;
use super::word::{LifecycleStatus, ProfileKind};
use crate::mirror::read::{Predicate, Sought, TextColumn, TimeColumn, overdue_before};
use ::entity::Moment;
use async_graphql::InputObject;

/// Tests in one filter.
const MAX_TESTS: usize = 100;
const MAX_DEPTH: usize = 8;

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
    /// The interests that are on, by name.
    interest: Option<StringListFilter>,
    /// Its subprofiles.
    subprofile: Option<SubprofileFilter>,
    /// A relationship that stands, with another profile.
    related_to: Option<RelatedFilter>,
    /// When it was created upstream.
    created_at: Option<DateFilter>,
    /// When it was last modified upstream.
    modified_at: Option<DateFilter>,
    /// Its deletion is scheduled for an earlier moment than this.
    deletion_due_before: Option<DateTime>,
    /// The date of its scheduled deletion was more than a day ago when the request came, and there is no news that
    /// upstream has carried it out (true), or it is not so (false).
    is_overdue: Option<bool>,
    /// Words that stand in its name, its e-mail address or its text fields: all of them, and the last may be the beginning
    /// of one. Accents, letter case and everything but letters and digits do not matter; at most 10 words.
    search: Option<String>,
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

/// How far the reading of a filter has come.
struct Reading {
    now: Moment,
    tests: usize,
    is_of_other_end: bool,
}

impl Reading {
    fn count(&mut self, tests: usize) -> Answer<()> {
        self.tests += tests;
        if self.tests > MAX_TESTS {
            return Err(Fault::bad_input(format!("filter: more than {MAX_TESTS} tests")));
        }
        Ok(())
    }
}

impl ProfileFilter {
    /// The predicate that it says at a moment; refused where it is too large.
    pub(super) fn read(self, now: Moment) -> Answer<Predicate> {
        self.read_at(0, &mut Reading { now, tests: 0, is_of_other_end: false })
    }

    /// What it searches for, where it stands outside of `and`, `or` and `not`.
    pub(super) fn sought(&self) -> Answer<Option<Sought>> {
        self.search.as_deref().map(read_search).transpose()
    }

    fn read_at(self, depth: usize, reading: &mut Reading) -> Answer<Predicate> {
        if depth > MAX_DEPTH {
            return Err(Fault::bad_input(format!("filter: nested deeper than {MAX_DEPTH}")));
        }
        let mut all = Vec::new();
        for one in self.and.into_iter().flatten() {
            all.push(one.read_at(depth + 1, reading)?);
        }
        if let Some(or) = self.or {
            let any = or.into_iter().map(|one| one.read_at(depth + 1, reading)).collect::<Answer<_>>()?;
            all.push(Predicate::Any(any));
        }
        if let Some(not) = self.not {
            all.push(negated(not.read_at(depth + 1, reading)?));
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
        all.extend(read_fields("field", self.field)?);
        if let Some(interest) = self.interest {
            all.extend(interest.read()?);
        }
        if let Some(subprofile) = self.subprofile {
            all.extend(subprofile.read(reading)?);
        }
        if let Some(related) = self.related_to {
            all.push(related.read(depth, reading)?);
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
        if let Some(is_overdue) = self.is_overdue {
            let test = Predicate::OverdueSince(overdue_before(reading.now));
            all.push(if is_overdue { test } else { negated(test) });
        }
        if let Some(typed) = self.search {
            all.push(Predicate::Search(read_search(&typed)?));
        }
        reading.count(all.len())?;
        Ok(Predicate::All(all))
    }
}

fn read_search(typed: &str) -> Answer<Sought> {
    check_length("search", typed)?;
    Sought::read(typed).map_err(|error| Fault::bad_input(format!("search: {error}")))
}

fn negated(test: Predicate) -> Predicate {
    Predicate::Not(Box::new(test))
}
