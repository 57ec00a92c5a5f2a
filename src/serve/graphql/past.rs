//! `asOf`: a place in the past as clients name it, and what hung on a profile there.

use super::fault::{Answer, Code, Fault};
use super::loader::{InterestsOfType, Loader, PastRelationshipsOf, PastSubprofilesOf};
use super::profile_type::Interest;
use super::query::read_cursor;
use super::scalar::{Cursor, DateTime};
use crate::mirror::read::{
    ChildPage, Direction, LogPlace, PastProfile, Predicate, Reader, RelationshipRow, Slice, SubprofileRow,
};
use async_graphql::{Context, OneofObject};
use std::collections::HashMap;
use std::sync::Arc;

/// A place in the past.
#[derive(Clone, Debug, OneofObject)]
pub enum AsOf {
    /// What the mirror had recorded by this moment.
    Time(DateTime),
    /// What is seen from this cursor of `changes` or `profileChanges`.
    Cursor(Cursor),
}

impl AsOf {
    /// The place in the log of each source.
    pub(super) async fn places(self, reader: &Reader) -> Answer<Vec<LogPlace>> {
        match self {
            Self::Time(at) => Ok(reader.places_at(at.0).await?),
            Self::Cursor(cursor) => {
                let cursor = read_cursor(Some(cursor))?.unwrap_or_default();
                let mut revisions = HashMap::new();
                for (name, revision) in cursor.iter() {
                    if let Some(source) = reader.source_by_name(name).await? {
                        revisions.insert(source.id, revision);
                    }
                }
                Ok(reader.places_of(&revisions).await?)
            }
        }
    }
}

/// Refuses what a page of the past cannot do.
pub(super) fn check_page(order: bool, last: Option<i32>, before: Option<&String>) -> Answer<()> {
    let refused = [("orderBy", order), ("last", last.is_some()), ("before", before.is_some())];
    match refused.into_iter().find(|(_, is_given)| *is_given) {
        Some((argument, _)) => {
            Err(Fault::bad_input(format!("{argument}: not together with asOf; page with first and after")))
        }
        None => Ok(()),
    }
}

/// Refuses tests on what hung on profiles, which the past is not searched by.
pub(super) fn check_filter(predicate: Option<&Predicate>) -> Answer<()> {
    if predicate.is_some_and(Predicate::needs_database) {
        let text = "filter: interests, subprofiles and relationships are not filtered by together with asOf";
        return Err(Fault::bad_input(text));
    }
    Ok(())
}

/// The interests that were on, by group and name; none where they are as they are now.
pub(super) async fn interests(ctx: &Context<'_>, past: &PastProfile) -> Answer<Option<Vec<Interest>>> {
    let Some(had) = past.interests() else { return Ok(None) };
    let offered = match past.row.profile_type_id {
        Some(type_id) => ctx.data_unchecked::<Loader>().load_one(InterestsOfType(type_id)).await?.unwrap_or_default(),
        None => Arc::default(),
    };
    // As it is read of today's interests: a group that the profile does not tell is told by its type.
    let group_of = |name: &str| {
        let groups = offered.iter().filter(|row| row.name == name).map(|row| row.group_name.clone());
        groups.min().unwrap_or_default()
    };
    let mut had: Vec<(String, String)> = had
        .into_iter()
        .map(|(group, name)| (group.filter(|group| !group.is_empty()).unwrap_or_else(|| group_of(&name)), name))
        .collect();
    had.sort_unstable();
    Ok(Some(had.iter().map(|(group, name)| Interest::new(group, name)).collect()))
}

/// A page of the subprofiles that a profile had.
pub(super) async fn subprofiles(
    ctx: &Context<'_>,
    past: &Arc<PastProfile>,
    (collection, fields): (Option<&str>, Option<&Predicate>),
    page: &ChildPage,
) -> Answer<Slice<Arc<SubprofileRow>>> {
    let key = PastSubprofilesOf(Arc::clone(past));
    let had = ctx.data_unchecked::<Loader>().load_one(key).await?.unwrap_or_default();
    let mut rows = Vec::with_capacity(had.len());
    for row in had.iter() {
        let passes = fields.is_none_or(|fields| fields.accepts_fields(&row.fields));
        if passes && is_of(ctx, row, collection).await? {
            rows.push(Arc::clone(row));
        }
    }
    Ok(page.cut_all(rows, |row| row.id))
}

/// Whether a subprofile is of the collection with this name or upstream id; of any where none is named.
async fn is_of(ctx: &Context<'_>, row: &SubprofileRow, collection: Option<&str>) -> Answer<bool> {
    let Some(wanted) = collection else { return Ok(true) };
    let Some(id) = row.collection_id else { return Ok(false) };
    let found = ctx.data_unchecked::<Reader>().in_catalog(|catalog| catalog.collection(id)).await?;
    Ok(found.is_some_and(|of| of.name == wanted || of.external_id == wanted))
}

/// A page of the relationships that a profile had.
pub(super) async fn relationships(
    ctx: &Context<'_>,
    past: &Arc<PastProfile>,
    kind: Option<&str>,
    direction: Option<Direction>,
    page: &ChildPage,
) -> Answer<Slice<RelationshipRow>> {
    let key = PastRelationshipsOf(Arc::clone(past));
    let had = ctx.data_unchecked::<Loader>().load_one(key).await?.unwrap_or_default();
    let is_wanted = |row: &&RelationshipRow| {
        let names = [Some(&row.kind.name), row.kind.inverse_name.as_ref(), Some(&row.kind.external_id)];
        let is_end = match direction {
            None => true,
            Some(Direction::Outgoing) => row.relationship.from_profile_id == past.row.id,
            Some(Direction::Incoming) => row.relationship.to_profile_id == past.row.id,
        };
        is_end && kind.is_none_or(|wanted| names.into_iter().flatten().any(|name| name == wanted))
    };
    let rows = had.iter().filter(is_wanted).cloned().collect();
    Ok(page.cut_all(rows, |row| row.relationship.id))
}

/// What `totalCount` answers of a page of the past.
pub(super) fn uncounted() -> Fault {
    Fault::new(Code::BadUserInput, "totalCount: profiles of the past are not counted; leave it out together with asOf")
}
