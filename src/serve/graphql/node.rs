//! Any record by its global id.

use super::change::Change;
use super::delivery::Delivery;
use super::fault::Answer;
use super::global_id::{self, GlobalId, Kind};
use super::guard::require;
use super::loader::{DeliveryById, Loader};
use super::profile::Profile;
use super::profile_type::ProfileType;
use super::relationship::Relationship;
use super::run::SyncRun;
use super::source::Source;
use super::subprofile::Subprofile;
use crate::config::Role;
use crate::mirror::read::{ProfileKey, Reader};
use ::entity::source;
use async_graphql::{Context, ID, Interface};
use std::collections::HashMap;
use std::sync::Arc;

/// A record that has an id of its own.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Opaque; stays the same when the mirror is built anew."))]
#[allow(clippy::large_enum_variant, reason = "a few of them live at once, each for the time of an answer")]
pub enum Node {
    /// A profile.
    Profile(Profile),
    /// A subprofile.
    Subprofile(Subprofile),
    /// A relationship.
    Relationship(Relationship),
    /// A profile type.
    ProfileType(ProfileType),
    /// A change.
    Change(Change),
    /// A source.
    Source(Source),
    /// A delivery.
    Delivery(Delivery),
    /// A run.
    SyncRun(SyncRun),
}

/// The records with these ids, in the same order; null where there is none, or it is hidden. Profiles of one list are
/// read in one statement.
pub(super) async fn find(ctx: &Context<'_>, ids: &[ID]) -> Answer<Vec<Option<Node>>> {
    let reader = ctx.data_unchecked::<Reader>();
    let read: Vec<Option<GlobalId>> = ids.iter().map(|id| global_id::decode(id)).collect();
    let mut keys = Vec::new();
    for id in read.iter().flatten().filter(|id| id.kind == Kind::Profile) {
        if let Some(source) = reader.source_by_name(&id.source).await? {
            keys.push(ProfileKey { source_id: source.id, external_id: id.external_id.clone() });
        }
    }
    let rows = reader.profiles_by_keys(&keys).await?;
    let profiles: HashMap<_, _> =
        rows.into_iter().map(|row| ((row.source_id, row.external_id.clone()), Arc::new(row))).collect();
    let mut nodes = Vec::with_capacity(ids.len());
    for id in read {
        let Some(id) = id else {
            nodes.push(None);
            continue;
        };
        let Some(source) = reader.source_by_name(&id.source).await? else {
            nodes.push(None);
            continue;
        };
        nodes.push(if id.kind == Kind::Profile {
            let row = profiles.get(&(source.id, id.external_id)).cloned();
            row.map(|row| Node::Profile(Profile::now(row, source)))
        } else {
            find_other(ctx, id, source).await?
        });
    }
    Ok(nodes)
}

async fn find_other(ctx: &Context<'_>, id: GlobalId, source: Arc<source::Model>) -> Answer<Option<Node>> {
    let reader = ctx.data_unchecked::<Reader>();
    Ok(match id.kind {
        Kind::Profile => None,
        Kind::Subprofile => {
            let rows = reader.subprofiles_by_keys(source.id, &[id.external_id]).await?;
            let place = None;
            rows.into_iter().next().map(|row| Node::Subprofile(Subprofile { row: Arc::new(row), source, place }))
        }
        Kind::Relationship => {
            let row = reader.relationship_by_key(source.id, &id.external_id).await?;
            row.map(|(row, kind)| Node::Relationship(Relationship { row, kind, source, place: None }))
        }
        Kind::Type => {
            let row = reader.profile_type_by_key(source.id, &id.external_id).await?;
            row.map(|row| Node::ProfileType(ProfileType { row: Arc::new(row), source }))
        }
        Kind::Change => {
            let Ok(revision) = id.external_id.parse() else { return Ok(None) };
            reader.change(source.id, revision).await?.map(|row| Node::Change(Change::new(Arc::new(row), source)))
        }
        Kind::Source => Some(Node::Source(Source::new(source))),
        Kind::Delivery => {
            require(ctx, Role::Operator)?;
            let Ok(position) = id.external_id.parse() else { return Ok(None) };
            let row = ctx.data_unchecked::<Loader>().load_one(DeliveryById(position)).await?;
            row.filter(|row| row.source_id == source.id).map(|row| Node::Delivery(Delivery { row, source }))
        }
        Kind::Run => {
            require(ctx, Role::Operator)?;
            let Ok(run) = id.external_id.parse() else { return Ok(None) };
            let row = reader.sync_run(run).await?.filter(|row| row.source_id == source.id);
            row.map(|row| Node::SyncRun(SyncRun { row, source }))
        }
    })
}
