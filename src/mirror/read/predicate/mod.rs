//! Which profiles: one tree of tests with two readings, as SQL and over a row in memory.
//!
//! Both readings agree: no value fails every test but *is absent*, and letter case is folded for ASCII only,
//! which is what both databases can do alike. Tests on other tables have the one reading as SQL:
//! [`Predicate::needs_database`] tells, and [`super::Reader::passing_ids`] asks for many profiles at once.

mod served;
mod sql;
mod value;

pub(super) use served::unserved;
pub(super) use sql::Scope;
pub use value::{FieldTest, NumberTest, TextTest};

use super::{Direction, Sought, Sources};
use ::entity::{Moment, ProfileKind, Status, profile, profile_type};
use serde_json::Value;

/// A test on profiles.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// Every one holds; an empty list holds.
    All(Vec<Predicate>),
    /// One holds at least; an empty list does not hold.
    Any(Vec<Predicate>),
    /// It does not hold.
    Not(Box<Predicate>),
    /// Name of the source.
    Source(TextTest),
    /// Name or external id of the profile type.
    Type(TextTest),
    /// One of these kinds.
    Kind(Vec<ProfileKind>),
    /// One of these statuses.
    Status(Vec<Status>),
    /// Its deletion was scheduled for a date before this and is not carried out.
    OverdueSince(Moment),
    /// A text of the profile.
    Text(TextColumn, TextTest),
    /// A field.
    Field(String, FieldTest),
    /// A time from `from` on and before `until`.
    Time {
        /// Which.
        column: TimeColumn,
        /// Not earlier than this.
        from: Option<Moment>,
        /// Earlier than this.
        until: Option<Moment>,
    },
    /// It has these words.
    Search(Sought),
    /// One of these interests is on.
    Interest(Vec<String>),
    /// Its subprofiles.
    Subprofiles {
        /// Name or external id of their collection; all where none is given.
        collection: Option<String>,
        /// How many of them.
        quantity: Quantity,
        /// The tests on each: fields, and what combines them.
        test: Box<Predicate>,
    },
    /// A relationship with a profile that passes.
    Related {
        /// Name, inverse name or external id of the relationship's type.
        kind: Option<String>,
        /// Which end this profile is.
        direction: Option<Direction>,
        /// The test on the other end, which looks at no third profile.
        other: Box<Predicate>,
    },
}

/// How many of a profile's subprofiles pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// One at least.
    Some,
    /// Not one.
    None,
    /// Each one; holds where there is none.
    Every,
}

/// Texts of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextColumn {
    /// Its name for people.
    DisplayName,
    /// Its e-mail address.
    Email,
    /// Its upstream id.
    ExternalId,
}

/// Times of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeColumn {
    /// Upstream creation.
    CreatedAt,
    /// Upstream modification.
    ModifiedAt,
    /// The scheduled deletion.
    ScheduledFor,
}

impl Predicate {
    /// Whether the tree names a status anywhere.
    pub fn names_status(&self) -> bool {
        self.has(&|leaf| matches!(leaf, Self::Status(_)))
    }

    /// Whether a row in memory does not tell if it passes, because what hangs on it must be looked at.
    pub fn needs_database(&self) -> bool {
        self.has(&|leaf| matches!(leaf, Self::Interest(_) | Self::Subprofiles { .. } | Self::Related { .. }))
    }

    /// Whether a test on the profile itself, not on what hangs on it, is like this anywhere in the tree.
    fn has(&self, is_meant: &dyn Fn(&Self) -> bool) -> bool {
        match self {
            Self::All(all) | Self::Any(all) => all.iter().any(|one| one.has(is_meant)),
            Self::Not(inner) => inner.has(is_meant),
            leaf => is_meant(leaf),
        }
    }

    /// Whether a profile may pass, as far as its row tells: every test on what hangs on it may have held.
    pub fn may_accept(&self, row: &profile::Model, kind: Option<&profile_type::Model>, sources: &Sources) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.may_accept(row, kind, sources)),
            Self::Any(any) => any.iter().any(|one| one.may_accept(row, kind, sources)),
            other => other.needs_database() || other.accepts(row, kind, sources),
        }
    }

    /// Whether the fields of a record pass; what is not about fields fails here.
    pub fn accepts_fields(&self, fields: &Value) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.accepts_fields(fields)),
            Self::Any(any) => any.iter().any(|one| one.accepts_fields(fields)),
            Self::Not(inner) => !inner.accepts_fields(fields),
            Self::Field(name, test) => test.accepts(fields.get(name).unwrap_or(&Value::Null)),
            _ => false,
        }
    }

    /// Whether a profile passes. To be asked only where the tree does not need the database: what hangs on the
    /// profile is not at hand, and tests on it fail here.
    pub fn accepts(&self, row: &profile::Model, kind: Option<&profile_type::Model>, sources: &Sources) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.accepts(row, kind, sources)),
            Self::Any(any) => any.iter().any(|one| one.accepts(row, kind, sources)),
            Self::Not(inner) => !inner.accepts(row, kind, sources),
            Self::Source(test) => sources.by_id(row.source_id).is_some_and(|source| test.accepts(Some(&source.name))),
            Self::Type(test) => match kind {
                Some(kind) => test.accepts(Some(&kind.external_id)) || test.accepts(Some(&kind.name)),
                None => test.accepts(None),
            },
            Self::Kind(kinds) => kinds.contains(&row.kind),
            Self::Status(statuses) => statuses.contains(&row.status),
            Self::OverdueSince(before) => {
                row.status == Status::ScheduledForDeletion && row.scheduled_for.is_some_and(|due| due < *before)
            }
            Self::Text(column, test) => test.accepts(match column {
                TextColumn::DisplayName => row.display_name.as_deref(),
                TextColumn::Email => row.email.as_deref(),
                TextColumn::ExternalId => Some(&row.external_id),
            }),
            Self::Field(..) => self.accepts_fields(&row.fields),
            Self::Time { column, from, until } => {
                let at = match column {
                    TimeColumn::CreatedAt => row.created_at,
                    TimeColumn::ModifiedAt => row.modified_at,
                    TimeColumn::ScheduledFor => row.scheduled_for,
                };
                at.is_some_and(|at| from.is_none_or(|from| at >= from) && until.is_none_or(|until| at < until))
            }
            Self::Search(sought) => sought.finds(row),
            Self::Interest(_) | Self::Subprofiles { .. } | Self::Related { .. } => false,
        }
    }
}
