//! Which profiles: one tree of tests with two readings, as SQL and over a row in memory.
//!
//! Both readings agree: no value fails every test but *is absent*, and letter case is folded for ASCII only,
//! which is what both databases can do alike.

use super::Sources;
use crate::db::{Dialect, dialect};
use ::entity::{Moment, ProfileKind, Status, profile, profile_type};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, LikeExpr, Query, SimpleExpr};
use sea_orm::{ColumnTrait, Iden};
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
    /// A text of the profile.
    Text(TextColumn, TextTest),
    /// The text of a field.
    Field(String, TextTest),
    /// A time from `from` on and before `until`.
    Time {
        /// Which.
        column: TimeColumn,
        /// Not earlier than this.
        from: Option<Moment>,
        /// Earlier than this.
        until: Option<Moment>,
    },
}

/// A test on a text.
#[derive(Clone, Debug, PartialEq)]
pub enum TextTest {
    /// It is this.
    Equals(String),
    /// It is one of these.
    In(Vec<String>),
    /// It starts with this, letter case ignored.
    StartsWith(String),
    /// This stands in it, letter case ignored.
    Contains(String),
    /// There is none.
    IsAbsent,
    /// There is none, or it is empty.
    IsEmpty,
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

impl TextTest {
    /// Whether a text passes.
    pub fn accepts(&self, text: Option<&str>) -> bool {
        match (self, text) {
            (Self::IsAbsent, text) => text.is_none(),
            (Self::IsEmpty, text) => text.is_none_or(str::is_empty),
            (_, None) => false,
            (Self::Equals(wanted), Some(text)) => wanted == text,
            (Self::In(wanted), Some(text)) => wanted.iter().any(|one| one == text),
            (Self::StartsWith(start), Some(text)) => text.to_ascii_lowercase().starts_with(&start.to_ascii_lowercase()),
            (Self::Contains(part), Some(text)) => text.to_ascii_lowercase().contains(&part.to_ascii_lowercase()),
        }
    }

    fn to_sql(&self, dialect: Dialect, text: SimpleExpr) -> SimpleExpr {
        let test = match self {
            Self::IsAbsent => return text.is_null(),
            Self::IsEmpty => return text.clone().is_null().or(text.eq("")),
            Self::Equals(wanted) => text.clone().eq(wanted.clone()),
            Self::In(wanted) => text.clone().is_in(wanted.clone()),
            Self::StartsWith(start) => dialect::fold_case(dialect, text.clone()).like(pattern("", start)),
            Self::Contains(part) => dialect::fold_case(dialect, text.clone()).like(pattern("%", part)),
        };
        // Without this a NOT around a test would be unknown where there is no text, and unknown is not true.
        text.is_not_null().and(test)
    }
}

fn pattern(before: &str, text: &str) -> LikeExpr {
    let mut pattern = before.to_owned();
    for character in text.to_ascii_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    LikeExpr::new(pattern).escape('\\')
}

impl Predicate {
    /// Whether the tree names a status anywhere.
    pub fn names_status(&self) -> bool {
        match self {
            Self::All(all) | Self::Any(all) => all.iter().any(Self::names_status),
            Self::Not(inner) => inner.names_status(),
            Self::Status(_) => true,
            _ => false,
        }
    }

    /// Whether a profile passes.
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
            Self::Text(column, test) => test.accepts(match column {
                TextColumn::DisplayName => row.display_name.as_deref(),
                TextColumn::Email => row.email.as_deref(),
                TextColumn::ExternalId => Some(&row.external_id),
            }),
            Self::Field(name, test) => test.accepts(row.fields.get(name).and_then(plain_text).as_deref()),
            Self::Time { column, from, until } => {
                let at = match column {
                    TimeColumn::CreatedAt => row.created_at,
                    TimeColumn::ModifiedAt => row.modified_at,
                    TimeColumn::ScheduledFor => row.scheduled_for,
                };
                at.is_some_and(|at| from.is_none_or(|from| at >= from) && until.is_none_or(|until| at < until))
            }
        }
    }

    pub(super) fn to_sql(&self, dialect: Dialect, sources: &Sources) -> Condition {
        let column = |column: profile::Column| Expr::col((profile::Entity, column));
        let one = |test: SimpleExpr| Condition::all().add(test);
        match self {
            Self::All(all) => all
                .iter()
                .fold(Condition::all().add(Expr::cust("1 = 1")), |sum, one| sum.add(one.to_sql(dialect, sources))),
            Self::Any(any) => any
                .iter()
                .fold(Condition::any().add(Expr::cust("1 = 0")), |sum, one| sum.add(one.to_sql(dialect, sources))),
            Self::Not(inner) => inner.to_sql(dialect, sources).not(),
            Self::Source(test) => {
                let ids = sources.all().iter().filter(|source| test.accepts(Some(&source.name)));
                one(column(profile::Column::SourceId).is_in(ids.map(|source| source.id)))
            }
            Self::Type(test) => {
                let of_type = column(profile::Column::ProfileTypeId);
                if matches!(test, TextTest::IsAbsent) {
                    return one(of_type.is_null());
                }
                let text = |column| test.to_sql(dialect, Expr::col((profile_type::Entity, column)));
                let types = Query::select()
                    .column((profile_type::Entity, profile_type::Column::Id))
                    .from(profile_type::Entity)
                    .cond_where(
                        Condition::any()
                            .add(text(profile_type::Column::ExternalId))
                            .add(text(profile_type::Column::Name)),
                    )
                    .take();
                let found = of_type.clone().is_not_null().and(of_type.clone().in_subquery(types));
                one(if matches!(test, TextTest::IsEmpty) { found.or(of_type.is_null()) } else { found })
            }
            Self::Kind(kinds) => one(profile::Column::Kind.is_in(kinds.iter().copied())),
            Self::Status(statuses) => one(profile::Column::Status.is_in(statuses.iter().copied())),
            Self::Text(which, test) => one(test.to_sql(
                dialect,
                column(match which {
                    TextColumn::DisplayName => profile::Column::DisplayName,
                    TextColumn::Email => profile::Column::Email,
                    TextColumn::ExternalId => profile::Column::ExternalId,
                }),
            )),
            Self::Field(name, test) => {
                let fields = format!("\"profile\".\"{}\"", profile::Column::Fields.unquoted());
                one(test.to_sql(dialect, dialect::json_field_plain(dialect, &fields, name)))
            }
            Self::Time { column: which, from, until } => {
                let at = column(match which {
                    TimeColumn::CreatedAt => profile::Column::CreatedAt,
                    TimeColumn::ModifiedAt => profile::Column::ModifiedAt,
                    TimeColumn::ScheduledFor => profile::Column::ScheduledFor,
                });
                let mut range = Condition::all().add(at.clone().is_not_null());
                if let Some(from) = from {
                    range = range.add(at.clone().gte(from.0));
                }
                if let Some(until) = until {
                    range = range.add(at.lt(until.0));
                }
                range
            }
        }
    }
}

/// The text of a raw field value that filters see: of a scored object its value; of lists and objects their JSON.
fn plain_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Object(object) => match object.get("value") {
            Some(Value::Null) | None => Some(value.to_string()),
            Some(Value::String(text)) => Some(text.clone()),
            Some(inner) => Some(inner.to_string()),
        },
        other => Some(other.to_string()),
    }
}
