//! The reading of a predicate as SQL.

use super::value::TextSql;
use super::{Predicate, Quantity, TextColumn, TextTest, TimeColumn};
use crate::db::{Dialect, dialect};
use crate::mirror::read::Sources;
use crate::mirror::read::relationships::{Direction, types_named};
use crate::mirror::read::subprofiles::collections_named;
use ::entity::{Status, profile, profile_interest, profile_type, relationship, source, subprofile};
use sea_orm::sea_query::{Condition, Expr, ExprTrait, IntoIden, Query, SelectStatement, SimpleExpr};
use sea_orm::{ActiveEnum, Iden};

/// What a predicate is written against.
#[derive(Clone, Copy)]
pub(in crate::mirror::read) struct Scope<'a> {
    pub dialect: Dialect,
    pub sources: &'a Sources,
    /// The table with the rows to be tested, or its name within the statement.
    pub table: &'static str,
}

const OTHER: &str = "other";

impl Scope<'_> {
    fn of(self, table: &'static str) -> Self {
        Self { table, ..self }
    }

    pub(in crate::mirror::read) fn column(&self, column: impl IntoIden) -> SimpleExpr {
        Expr::col((self.table, column))
    }

    /// The ids of the types of which the name or the external id passes.
    pub(in crate::mirror::read) fn types(self, test: &TextTest) -> SelectStatement {
        let kind = self.of("profile_type");
        Query::select()
            .column((profile_type::Entity, profile_type::Column::Id))
            .from(profile_type::Entity)
            .cond_where(
                Condition::any()
                    .add(test.to_sql(kind.text(profile_type::Column::ExternalId)))
                    .add(test.to_sql(kind.text(profile_type::Column::Name))),
            )
            .take()
    }

    fn text(&self, column: impl IntoIden) -> TextSql {
        let exact = self.column(column);
        TextSql { folded: dialect::fold_case(self.dialect, exact.clone()), exact, is_indexed_folded: false }
    }
}

fn one(test: SimpleExpr) -> Condition {
    Condition::all().add(test)
}

impl Predicate {
    /// The condition on a row of the scope's table.
    pub(in crate::mirror::read) fn to_sql(&self, scope: Scope<'_>) -> Condition {
        match self {
            Self::All(all) => {
                all.iter().fold(Condition::all().add(Expr::cust("1 = 1")), |sum, one| sum.add(one.to_sql(scope)))
            }
            Self::Any(any) => {
                any.iter().fold(Condition::any().add(Expr::cust("1 = 0")), |sum, one| sum.add(one.to_sql(scope)))
            }
            Self::Not(inner) => inner.to_sql(scope).not(),
            Self::Source(test) => {
                let ids = scope.sources.all().iter().filter(|source| test.accepts(Some(&source.name)));
                let of = scope.column(profile::Column::SourceId);
                one(dialect::without_index(scope.dialect, of).is_in(ids.map(|source| source.id)))
            }
            Self::Type(test) => type_test(test, scope),
            Self::Kind(kinds) => one(scope.column(profile::Column::Kind).is_in(kinds.iter().map(ActiveEnum::to_value))),
            Self::Status(statuses) => {
                one(scope.column(profile::Column::Status).is_in(statuses.iter().map(ActiveEnum::to_value)))
            }
            Self::OverdueSince(before) => {
                let due = scope.column(profile::Column::ScheduledFor);
                let status = scope.column(profile::Column::Status);
                Condition::all()
                    .add(status.eq(Status::ScheduledForDeletion.to_value()))
                    .add(due.clone().is_not_null())
                    .add(due.lt(before.0))
            }
            Self::Text(which, test) => {
                let passes = one(test.to_sql(scope.text(match which {
                    TextColumn::DisplayName => profile::Column::DisplayName,
                    TextColumn::Email => profile::Column::Email,
                    TextColumn::ExternalId => profile::Column::ExternalId,
                })));
                match (which, test) {
                    // The index has the ids of one source after those of another.
                    (TextColumn::ExternalId, TextTest::Equals(_) | TextTest::In(_)) => {
                        let all = Query::select().column(source::Column::Id).from(source::Entity).take();
                        passes.add(dialect::is_among(scope.dialect, scope.column(profile::Column::SourceId), all))
                    }
                    _ => passes,
                }
            }
            Self::Field(name, test) => {
                let fields = format!("\"{}\".\"{}\"", scope.table, profile::Column::Fields.unquoted());
                one(test.to_sql(scope.dialect, &fields, name))
            }
            Self::Time { column: which, from, until } => {
                let at = scope.column(match which {
                    TimeColumn::CreatedAt => profile::Column::CreatedAt,
                    TimeColumn::ModifiedAt => profile::Column::ModifiedAt,
                    TimeColumn::ScheduledFor => profile::Column::ScheduledFor,
                });
                let mut range = one(at.clone().is_not_null());
                if let Some(from) = from {
                    range = range.add(at.clone().gte(from.0));
                }
                if let Some(until) = until {
                    range = range.add(at.lt(until.0));
                }
                range
            }
            Self::Search(sought) => {
                let having = dialect::profiles_with_words(scope.dialect, &sought.words, &sought.prefix);
                one(dialect::is_among(scope.dialect, scope.column(profile::Column::Id), having))
            }
            Self::Interest(names) => {
                let having = Query::select()
                    .column(profile_interest::Column::ProfileId)
                    .from(profile_interest::Entity)
                    .and_where(Expr::col(profile_interest::Column::Name).is_in(names.clone()))
                    .take();
                one(scope.column(profile::Column::Id).in_subquery(having))
            }
            Self::Subprofiles { collection, quantity, test } => {
                let of = subprofiles(collection.as_deref(), scope);
                let passing = test.to_sql(scope.of("subprofile"));
                one(match quantity {
                    Quantity::Some => Expr::exists(of.clone().cond_where(passing).take()),
                    Quantity::None => Expr::not_exists(of.clone().cond_where(passing).take()),
                    Quantity::Every => Expr::not_exists(of.clone().cond_where(passing.not()).take()),
                })
            }
            Self::Related { kind, direction, other } => {
                let mut any = Condition::any();
                if *direction != Some(Direction::Incoming) {
                    any = any.add(Expr::exists(related(kind.as_deref(), Direction::Outgoing, other, scope)));
                }
                if *direction != Some(Direction::Outgoing) {
                    any = any.add(Expr::exists(related(kind.as_deref(), Direction::Incoming, other, scope)));
                }
                any
            }
        }
    }
}

fn type_test(test: &TextTest, scope: Scope<'_>) -> Condition {
    let of_type = dialect::without_index(scope.dialect, scope.column(profile::Column::ProfileTypeId));
    if matches!(test, TextTest::IsAbsent) {
        return one(of_type.is_null());
    }
    let is_one = dialect::is_among(scope.dialect, of_type.clone(), scope.types(test));
    let found = of_type.clone().is_not_null().and(is_one);
    one(if matches!(test, TextTest::IsEmpty) { found.or(of_type.is_null()) } else { found })
}

/// The living subprofiles of the row that is tested.
fn subprofiles(collection: Option<&str>, scope: Scope<'_>) -> SelectStatement {
    let mut of = Query::select()
        .expr(Expr::val(1))
        .from(subprofile::Entity)
        .and_where(Expr::col((subprofile::Entity, subprofile::Column::ProfileId)).eq(scope.column(profile::Column::Id)))
        .and_where(Expr::col((subprofile::Entity, subprofile::Column::DeletedAt)).is_null())
        .take();
    if let Some(wanted) = collection {
        of.and_where(
            Expr::col((subprofile::Entity, subprofile::Column::CollectionId)).in_subquery(collections_named(wanted)),
        );
    }
    of
}

/// The standing relationships of the row that is tested, with other ends that are known and pass.
fn related(kind: Option<&str>, direction: Direction, other: &Predicate, scope: Scope<'_>) -> SelectStatement {
    let (own, far) = match direction {
        Direction::Outgoing => (relationship::Column::FromProfileId, relationship::Column::ToProfileId),
        Direction::Incoming => (relationship::Column::ToProfileId, relationship::Column::FromProfileId),
    };
    let mut of = Query::select()
        .expr(Expr::val(1))
        .from(relationship::Entity)
        .join_as(
            sea_orm::JoinType::InnerJoin,
            profile::Entity,
            OTHER,
            Expr::col((OTHER, profile::Column::Id)).equals((relationship::Entity, far)),
        )
        .and_where(Expr::col((relationship::Entity, own)).eq(scope.column(profile::Column::Id)))
        .and_where(Expr::col((relationship::Entity, relationship::Column::RemovedAt)).is_null())
        .and_where(Expr::col((OTHER, profile::Column::IsKnown)))
        .cond_where(other.to_sql(scope.of(OTHER)))
        .take();
    if let Some(kind) = kind {
        of.and_where(
            Expr::col((relationship::Entity, relationship::Column::RelationshipTypeId)).in_subquery(types_named(kind)),
        );
    }
    of
}
