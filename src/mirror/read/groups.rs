//! Profiles of a source, of a type, with a status: many or few, and no planner can be trusted to know which.
//!
//! Each has an index in the order of ids. SQLite has no statistics, takes any such index for a good one, and would sort all
//! profiles of a source for one page in the order of their names. So the tests on sources and types are written such that
//! SQLite uses no index for them, and what narrows a page is said here: a group of few is looked up and sorted, a large one is
//! walked through where its index has the order of the page, and any other page is read in its own order, unless what else
//! is tested may leave it empty for long. PostgreSQL has statistics of these, but takes the profiles of a source to lie
//! scattered, where they lie together.

use super::keyset::{self, SortKey};
use super::predicate::Scope;
use super::reader::Reading;
use super::{Order, Predicate, ReadError, Reader, TextTest};
use crate::db::{dialect, field_index};
use ::entity::{Status, profile};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SimpleExpr};
use sea_orm::{ActiveEnum, ConnectionTrait};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The profiles that pass one of the tests that must all hold.
struct Group {
    /// As an index finds them.
    members: SimpleExpr,
    /// As an index finds them in the order of their ids.
    by_id: Option<SimpleExpr>,
    /// As an index finds them in the order of their external ids.
    by_external_id: Option<SimpleExpr>,
}

impl Reader {
    /// The condition by which a page in this order is found; none where an index narrows the filter by another test, or where
    /// the page is soon full in its own order. Up to three statements, and one where a type is tested.
    pub(super) async fn group_of_page(
        &self,
        predicate: &Predicate,
        scope: Scope<'_>,
        order: &[Order],
    ) -> Result<Option<SimpleExpr>, ReadError> {
        let names = self.indexes_for(predicate).await?;
        let has_index = |name: &str, reading| names.contains(&field_index::name(self.dialect(), name, reading));
        if predicate.is_narrow(&has_index) {
            return Ok(None);
        }
        let groups = self.groups(predicate, scope).await?;
        let first = keyset::complete(order).into_iter().next().map(|first| first.key);
        let walked = groups.iter().find_map(|group| match first {
            Some(SortKey::Id) => group.by_id.clone(),
            Some(SortKey::ExternalId) => group.by_external_id.clone(),
            _ => None,
        });
        let has_stretch = predicate.is_served(&has_index);
        if groups.len() == 1 && walked.is_some() && !has_stretch {
            return Ok(walked);
        }
        for group in &groups {
            let within = Query::select().from(profile::Entity).and_where(group.members.clone()).take();
            if self.are_few(within.clone()).await? {
                let ids = within.clone().column((profile::Entity, profile::Column::Id)).take();
                return Ok(Some(dialect::is_among(scope.dialect, scope.column(profile::Column::Id), ids)));
            }
        }
        if has_stretch || walked.is_some() {
            return Ok(walked.filter(|_| !has_stretch));
        }
        let may_leave_few = predicate.that_must_hold().into_iter().any(|test| !is_coarse(test));
        Ok(groups.into_iter().next().filter(|_| may_leave_few).map(|group| group.members))
    }

    /// The condition by which all that pass are found to be counted. One statement where a type is tested.
    pub(super) async fn group_to_count(
        &self,
        predicate: &Predicate,
        scope: Scope<'_>,
    ) -> Result<Option<SimpleExpr>, ReadError> {
        let names = self.indexes_for(predicate).await?;
        if predicate.is_served(&|name, reading| names.contains(&field_index::name(self.dialect(), name, reading))) {
            return Ok(None);
        }
        Ok(self.groups(predicate, scope).await?.into_iter().next().map(|group| group.members))
    }

    /// The indexes of fields that may serve a filter. A statement every ten seconds at most.
    async fn indexes_for(&self, predicate: &Predicate) -> Result<Arc<BTreeSet<String>>, ReadError> {
        let may_matter = predicate.is_served(&|_, _| true) && !predicate.is_narrow(&|_, _| false);
        if may_matter { self.field_indexes().await } else { Ok(Arc::default()) }
    }

    /// The groups of a filter, one by status, type and source at most: those first that are mostly the smaller ones.
    async fn groups(&self, predicate: &Predicate, scope: Scope<'_>) -> Result<Vec<Group>, ReadError> {
        let (mut of_status, mut of_type, mut of_source) = (None, None, None);
        for test in predicate.that_must_hold() {
            match test {
                Predicate::Status(statuses) if of_status.is_none() => of_status = group_of_statuses(statuses, scope),
                Predicate::OverdueSince(_) => of_status = group_of_statuses(&[Status::ScheduledForDeletion], scope),
                Predicate::Type(test)
                    if of_type.is_none() && !matches!(test, TextTest::IsAbsent | TextTest::IsEmpty) =>
                {
                    of_type = Some(self.group_of_type(test, scope).await?);
                }
                test if of_source.is_none() => {
                    of_source = sources_of(test, scope).map(|ids| group_of_sources(&ids, scope))
                }
                _ => {}
            }
        }
        Ok(of_status.into_iter().chain(of_type).chain(of_source).collect())
    }

    async fn group_of_type(&self, test: &TextTest, scope: Scope<'_>) -> Result<Group, ReadError> {
        let types = scope.types(test);
        let two = self.connection().query_all(types.clone().limit(2)).await.reading("the types of a filter")?;
        let ids: Vec<i32> =
            two.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>().reading("a type")?;
        let of_type = scope.column(profile::Column::ProfileTypeId);
        Ok(match ids[..] {
            [one] => {
                let members = of_type.eq(in_text(one));
                Group { by_id: Some(members.clone()), members, by_external_id: None }
            }
            _ => Group { members: of_type.in_subquery(types), by_id: None, by_external_id: None },
        })
    }
}

/// Whether a test is one that many profiles pass where any do.
fn is_coarse(test: &Predicate) -> bool {
    matches!(
        test,
        Predicate::Source(_)
            | Predicate::Type(_)
            | Predicate::Status(_)
            | Predicate::OverdueSince(_)
            | Predicate::Kind(_)
    )
}

/// None where open profiles, which are nearly all, are among them.
fn group_of_statuses(statuses: &[Status], scope: Scope<'_>) -> Option<Group> {
    let of = scope.column(profile::Column::Status);
    // Written out, so that the planners see that the index of all others serves.
    let text = |status: &Status| Expr::cust(format!("'{}'", status.to_value()));
    (!statuses.contains(&Status::Open) && !statuses.is_empty()).then(|| {
        let members = of.clone().ne(text(&Status::Open)).and(of.is_in(statuses.iter().map(text)));
        Group { by_id: (statuses.len() == 1).then(|| members.clone()), members, by_external_id: None }
    })
}

fn group_of_sources(ids: &BTreeSet<i32>, scope: Scope<'_>) -> Group {
    let members = scope.column(profile::Column::SourceId).is_in(ids.iter().copied().map(in_text));
    let one = (ids.len() == 1).then(|| members.clone());
    // The index in the order of ids is one for those who ask for this.
    let by_id = one.clone().map(|one| one.and(scope.column(profile::Column::Id).gt(in_text(0))));
    Group { members, by_id, by_external_id: one }
}

/// The sources of which all that pass are; none where it is no test of sources.
fn sources_of(test: &Predicate, scope: Scope<'_>) -> Option<BTreeSet<i32>> {
    match test {
        Predicate::Source(test) => {
            let sources = scope.sources.all().iter().filter(|source| test.accepts(Some(&source.name)));
            Some(sources.map(|source| source.id).collect())
        }
        Predicate::Any(any) => any.iter().try_fold(BTreeSet::new(), |mut ids, one| {
            ids.append(&mut sources_of(one, scope)?);
            Some(ids)
        }),
        _ => None,
    }
}

/// A number in the text of a statement: bound, PostgreSQL would plan each page anew.
fn in_text(number: i32) -> SimpleExpr {
    Expr::cust(number.to_string())
}
