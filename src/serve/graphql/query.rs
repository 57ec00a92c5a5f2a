//! The root of queries. Every field names the role that it needs.

use super::change::{Change, ChangeConnection, ChangeFilter};
use super::delivery::{Delivery, DeliveryConnection, DeliveryFilter};
use super::fault::Answer;
use super::filter::{ProfileFilter, ProfileOrder, read_order};
use super::global_id::{self, Kind};
use super::guard::{Needs, require};
use super::node::{self, Node};
use super::paging;
use super::past::{self, AsOf};
use super::profile::Profile;
use super::profile_connection::{ProfileConnection, ProfilePlace};
use super::profile_type::{ProfileType, ProfileTypeConnection};
use super::remarks::Remarks;
use super::run::{SyncRun, SyncRunConnection, SyncRunFilter};
use super::scalar::Cursor;
use super::source::{Source, source_of};
use super::verdict::{Verdict, VerdictConnection};
use super::word;
use super::{Code, Fault};
use crate::clock::SharedClock;
use crate::config::Role;
use crate::mirror::read::{self, LogSlice, Order, Page, Place, ProfileKey, Reader};
use crate::publish;
use ::entity::{profile, source};
use async_graphql::{Context, ID, InputObject, Object, OneofObject, SimpleObject};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Where queries start.
pub struct Query;

/// One profile, by its id or by its key upstream.
#[derive(Clone, Debug, OneofObject)]
pub enum ProfileRef {
    /// The id that this service gave it.
    Id(ID),
    /// Its source and its id upstream.
    Key(ProfileKeyInput),
}

/// A profile's key upstream.
#[derive(Clone, Debug, InputObject)]
#[graphql(name = "ProfileKey")]
pub struct ProfileKeyInput {
    /// Name of the source.
    source: String,
    /// The profile's id upstream.
    external_id: String,
}

impl ProfileRef {
    /// Name of the source and upstream id; none where no profile can have that id.
    pub(super) fn names(self) -> Option<(String, String)> {
        match self {
            Self::Key(key) => global_id::is_external_id(&key.external_id).then_some((key.source, key.external_id)),
            Self::Id(id) => {
                let id = global_id::decode(&id).filter(|id| id.kind == Kind::Profile && !id.external_id.is_empty())?;
                Some((id.source, id.external_id))
            }
        }
    }
}

/// Who asks.
#[derive(SimpleObject)]
#[graphql(name = "Viewer")]
pub struct ViewerInfo {
    /// Name of the key.
    name: String,
    /// What it may do.
    role: word::Role,
}

/// Where queries start.
#[Object]
impl Query {
    /// Any record by its id; null where there is none. Deliveries and runs are for operators.
    #[graphql(guard = "Needs(Role::Reader)")]
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "The record's id.")] id: ID) -> Answer<Option<Node>> {
        Ok(node::find(ctx, &[id]).await?.pop().flatten())
    }

    /// Records by their ids, in the same order; null where there is none. At most 100.
    #[graphql(guard = "Needs(Role::Reader)")]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The records' ids; at most 100.")] ids: Vec<ID>,
    ) -> Answer<Vec<Option<Node>>> {
        if ids.len() > 100 {
            let message = format!("ids: {} given, at most 100 are answered at once", ids.len());
            return Err(Fault::new(Code::PageTooLarge, message));
        }
        node::find(ctx, &ids).await
    }

    /// One profile; null where the mirror does not know it. A deleted one is found too, with status DELETED.
    #[graphql(guard = "Needs(Role::Reader)")]
    async fn profile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which profile.")] by: ProfileRef,
        #[graphql(
            desc = "As it was then, with what hung on it; null where it was not there. What was erased since stays erased. As it is now where it is left out."
        )]
        as_of: Option<AsOf>,
    ) -> Answer<Option<Profile>> {
        let Some(row) = find_profile(ctx, by).await? else { return Ok(None) };
        let Some(as_of) = as_of else { return Profile::new(ctx, Arc::new(row)).await };
        let places = as_of.places(ctx.data_unchecked::<Reader>()).await?;
        match places.into_iter().find(|place| place.source_id == row.source_id) {
            Some(place) => Profile::at(ctx, place, row.id).await,
            None => Ok(None),
        }
    }

    /// A page of profiles. Deleted ones are left out unless the filter names a status.
    #[graphql(guard = "Needs(Role::Reader)")]
    #[allow(clippy::too_many_arguments, reason = "the arguments of the schema")]
    async fn profiles(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which profiles; all where it is left out.")] filter: Option<ProfileFilter>,
        #[graphql(
            desc = "At most three keys; profiles without a value come last. Default: in the order in which the mirror met them."
        )]
        order_by: Option<Vec<ProfileOrder>>,
        #[graphql(desc = "That many from the start, at most 100; this or `last` is needed.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "That many from the end, at most 100; this or `first` is needed.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
        #[graphql(
            desc = "As they were then. Such a page is read forward only, in the order in which the mirror met the profiles, with `first` and `after`, and filtered by the profiles alone, not by interests, subprofiles or relationships; it is looked for among 1,000 profiles at once, so that it may hold fewer than asked for while hasNextPage is true."
        )]
        as_of: Option<AsOf>,
    ) -> Answer<ProfileConnection> {
        let now = ctx.data_unchecked::<SharedClock>().now();
        if let Some(as_of) = as_of {
            past::check_page(order_by.is_some(), last, before.as_ref())?;
            let reader = ctx.data_unchecked::<Reader>();
            let places = as_of.places(reader).await?;
            let then = places.iter().map(|place| place.at).max().unwrap_or(now);
            let predicate = filter.map(|filter| filter.read(then)).transpose()?;
            past::check_filter(predicate.as_ref())?;
            let wanted = usize::try_from(paging::first(first)?.rows()).unwrap_or(usize::MAX);
            let after = match read_place("after", after.as_deref(), &[])?.map(|place| place.0).as_deref() {
                Some([read::Key::Number(id)]) => Some(*id),
                _ => None,
            };
            let page = reader.past_page(&places, predicate.as_ref(), after, wanted).await?;
            return ProfileConnection::in_past(ctx, page, after.is_some()).await;
        }
        let sought = filter.as_ref().map(ProfileFilter::sought).transpose()?.flatten();
        let order = read_order(order_by, sought.as_ref())?;
        let predicate = filter.map(|filter| filter.read(now)).transpose()?;
        let page = Page {
            limit: paging::limit(first, last)?,
            after: read_place("after", after.as_deref(), &order)?,
            before: read_place("before", before.as_deref(), &order)?,
        };
        let reader = ctx.data_unchecked::<Reader>();
        ctx.data_unchecked::<Remarks>().add(reader.unindexed(predicate.as_ref(), &order).await?);
        let slice = reader.profiles(predicate.as_ref(), &order, &page).await?;
        ProfileConnection::new(ctx, slice, &order, predicate).await
    }

    /// A page of profile types, with their fields, collections and interests.
    #[graphql(guard = "Needs(Role::Reader)")]
    async fn profile_types(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only of the source of this name.")] source: Option<String>,
        #[graphql(desc = "That many, at most 100; needed.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
    ) -> Answer<ProfileTypeConnection> {
        let limit = paging::first(first)?;
        let after = paging::decode("type", "after", after.as_deref())?;
        let Some(source_id) = source_id(ctx, source.as_deref()).await? else {
            return Ok(ProfileTypeConnection::default());
        };
        let slice = ctx.data_unchecked::<Reader>().profile_types(source_id.0, after, limit).await?;
        let mut rows = Vec::with_capacity(slice.rows.len());
        for row in slice.rows {
            let source = source_of(ctx, row.source_id).await?;
            rows.push((paging::encode("type", &row.id), ProfileType { row: Arc::new(row), source }));
        }
        Ok(ProfileTypeConnection::new(rows, slice.has_previous, slice.has_next))
    }

    /// A page of the change log, oldest first. Its cursors can be given to `profileChanges` as well.
    #[graphql(guard = "Needs(Role::Reader)")]
    async fn changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which changes; all where it is left out.")] filter: Option<ChangeFilter>,
        #[graphql(desc = "Only behind this cursor, from `changes` or from `profileChanges`.")] after: Option<Cursor>,
        #[graphql(desc = "That many, at most 100; needed.")] first: Option<i32>,
    ) -> Answer<ChangeConnection> {
        let limit = paging::first(first)?;
        let mut cursor = read_cursor(after)?.unwrap_or_default();
        let has_previous = cursor != publish::Cursor::default();
        let reader = ctx.data_unchecked::<Reader>();
        let filter = filter.unwrap_or_default();
        let kinds: Vec<_> = filter.kinds.into_iter().flatten().map(Into::into).collect();
        let profile = match filter.profile {
            Some(id) => match find_profile(ctx, ProfileRef::Id(id)).await? {
                Some(row) => Some(row),
                None => return Ok(ChangeConnection::default()),
            },
            None => None,
        };
        let reach = LogReach::read(reader).await?;
        let mut logs = Vec::new();
        for source in reader.reload_sources().await?.all() {
            let is_wanted = filter.source.as_ref().is_none_or(|name| *name == source.name)
                && profile.as_ref().is_none_or(|profile| profile.source_id == source.id);
            if is_wanted {
                let profile_id = profile.as_ref().map(|profile| profile.id);
                let after = if has_previous {
                    reach.check(source, cursor.revision(&source.name))?
                } else {
                    reach.begin(source, &mut cursor)
                };
                let slice = LogSlice { source_id: source.id, after, kinds: kinds.clone(), profile_id };
                logs.push((Arc::clone(source), VecDeque::from(reader.changes(&slice, limit).await?)));
            }
        }
        let mut rows = Vec::new();
        let wanted = usize::try_from(limit.rows()).unwrap_or(usize::MAX);
        while rows.len() < wanted {
            // Sources are merged by time; within a source the commit order stands, whatever its clock did.
            let oldest = logs
                .iter_mut()
                .filter(|(_, log)| !log.is_empty())
                .min_by_key(|(source, log)| (log.front().map(|change| change.at), source.id));
            let Some((source, log)) = oldest else { break };
            let Some(change) = log.pop_front() else { break };
            cursor.set(&source.name, change.revision);
            rows.push((cursor.encode(), Change::new(Arc::new(change), Arc::clone(source))));
        }
        let has_next = logs.iter().any(|(_, log)| !log.is_empty());
        Ok(ChangeConnection::new(rows, has_previous, has_next))
    }

    /// Who asks, and what they may do.
    #[graphql(guard = "Needs(Role::Reader)")]
    async fn viewer(&self, ctx: &Context<'_>) -> Answer<ViewerInfo> {
        let viewer = require(ctx, Role::Reader)?;
        Ok(ViewerInfo { name: viewer.name.to_string(), role: viewer.role.into() })
    }

    /// Every source, and how it stands. There are as many as the configuration names.
    #[graphql(guard = "Needs(Role::Reader)")]
    async fn sources(&self, ctx: &Context<'_>) -> Answer<Vec<Source>> {
        let sources = ctx.data_unchecked::<Reader>().reload_sources().await?;
        Ok(sources.all().iter().cloned().map(Source::new).collect())
    }

    /// One source; null where there is none of this name.
    #[graphql(guard = "Needs(Role::Reader)")]
    async fn source(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its name in the configuration.")] name: String,
    ) -> Answer<Option<Source>> {
        Ok(ctx.data_unchecked::<Reader>().source_by_name(&name).await?.map(Source::new))
    }

    /// A page of runs, newest first. For operators; null for others.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn sync_runs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which runs; all where it is left out.")] filter: Option<SyncRunFilter>,
        #[graphql(desc = "That many, at most 100; needed.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
    ) -> Answer<Option<SyncRunConnection>> {
        let limit = paging::first(first)?;
        let after = paging::decode("run", "after", after.as_deref())?;
        let filter = filter.unwrap_or_default();
        let Some(source_id) = source_id(ctx, filter.source.as_deref()).await? else {
            return Ok(Some(SyncRunConnection::default()));
        };
        let filter = read::RunFilter {
            source_id: source_id.0,
            states: filter.states.into_iter().flatten().map(Into::into).collect(),
            kinds: filter.kinds.into_iter().flatten().map(Into::into).collect(),
            is_plan: filter.is_plan,
        };
        let slice = ctx.data_unchecked::<Reader>().sync_runs(&filter, after, limit).await?;
        let mut rows = Vec::with_capacity(slice.rows.len());
        for row in slice.rows {
            let source = source_of(ctx, row.source_id).await?;
            rows.push((paging::encode("run", &row.id), SyncRun { row, source }));
        }
        Ok(Some(SyncRunConnection::new(rows, slice.has_previous, slice.has_next)))
    }

    /// A page of deliveries, newest first. For operators; null for others.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which deliveries; all where it is left out.")] filter: Option<DeliveryFilter>,
        #[graphql(desc = "That many, at most 100; needed.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
    ) -> Answer<Option<DeliveryConnection>> {
        let limit = paging::first(first)?;
        let after = paging::decode("delivery", "after", after.as_deref())?;
        let Some(filter) = filter.unwrap_or_default().read(ctx).await? else {
            return Ok(Some(DeliveryConnection::default()));
        };
        let slice = ctx.data_unchecked::<Reader>().deliveries(&filter, after, limit).await?;
        let mut rows = Vec::with_capacity(slice.rows.len());
        for row in slice.rows {
            let source = source_of(ctx, row.source_id).await?;
            rows.push((paging::encode("delivery", &row.id), Delivery { row: Arc::new(row), source }));
        }
        Ok(Some(DeliveryConnection::new(rows, slice.has_previous, slice.has_next)))
    }

    /// Why a profile is as it is: what was decided for each thing that deliveries said of it, newest first. For operators;
    /// null for others.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn explain_profile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which profile.")] by: ProfileRef,
        #[graphql(desc = "That many, at most 100; needed.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
    ) -> Answer<Option<VerdictConnection>> {
        let limit = paging::first(first)?;
        let after = paging::decode("verdict", "after", after.as_deref())?;
        let Some((source, external_id)) = name_profile(ctx, by).await? else {
            return Ok(Some(VerdictConnection::default()));
        };
        let reader = ctx.data_unchecked::<Reader>();
        // A placeholder is hidden from readers, and an operator may ask why it is no more than that.
        let row_id = reader.profile_row_id(&ProfileKey { source_id: source.id, external_id }).await?;
        let Some(row_id) = row_id else { return Ok(Some(VerdictConnection::default())) };
        let slice = reader.verdicts(row_id, after, limit).await?;
        let node = |row: ::entity::verdict::Model| {
            (paging::encode("verdict", &row.id), Verdict { row, source: Arc::clone(&source) })
        };
        Ok(Some(VerdictConnection::new(slice.rows.into_iter().map(node), slice.has_previous, slice.has_next)))
    }
}

/// What the change log holds of each source: the oldest and the newest revision.
struct LogReach {
    oldest: HashMap<i32, i64>,
    newest: HashMap<i32, i64>,
}

impl LogReach {
    async fn read(reader: &Reader) -> Answer<Self> {
        // In this order: of a source whose first changes are committed in between, none may be taken for gone.
        let newest = reader.revisions().await?.into_iter().collect();
        Ok(Self { oldest: reader.oldest_revisions().await?.into_iter().collect(), newest })
    }

    /// The place before the oldest change that is held of a source; noted in the cursor, so that it leads on from there.
    fn begin(&self, source: &source::Model, cursor: &mut publish::Cursor) -> i64 {
        let newest = self.newest.get(&source.id).copied().unwrap_or(0);
        let begin = self.oldest.get(&source.id).map_or(newest, |oldest| oldest - 1);
        if begin > 0 {
            cursor.set(&source.name, begin);
        }
        begin
    }

    /// A revision behind which the log can be read on.
    fn check(&self, source: &source::Model, after: i64) -> Answer<i64> {
        let newest = self.newest.get(&source.id).copied().unwrap_or(0);
        if after > newest {
            let text =
                format!("after is ahead of the change log of source {}; it was made by another mirror", source.name);
            return Err(Fault::new(Code::CursorInvalid, text));
        }
        let oldest = self.oldest.get(&source.id).copied().unwrap_or(newest + 1);
        if after < newest && after + 1 < oldest {
            let text = format!(
                "after: the change log of source {} does not go back so far any more; read the profiles anew",
                source.name
            );
            return Err(Fault::new(Code::CursorExpired, text));
        }
        Ok(after)
    }
}

/// The known profile that a reference names.
async fn find_profile(ctx: &Context<'_>, by: ProfileRef) -> Answer<Option<profile::Model>> {
    let Some((source, external_id)) = name_profile(ctx, by).await? else { return Ok(None) };
    let key = ProfileKey { source_id: source.id, external_id };
    let rows = ctx.data_unchecked::<Reader>().profiles_by_keys(&[key]).await?;
    Ok(rows.into_iter().next())
}

/// Source and upstream id that a reference names; none where it names no profile of a source that is known.
pub(super) async fn name_profile(ctx: &Context<'_>, by: ProfileRef) -> Answer<Option<(Arc<source::Model>, String)>> {
    let Some((source, external_id)) = by.names() else { return Ok(None) };
    let source = ctx.data_unchecked::<Reader>().source_by_name(&source).await?;
    Ok(source.map(|source| (source, external_id)))
}

/// The key of a source that an argument may name; none where it names one that does not exist.
pub(super) async fn source_id(ctx: &Context<'_>, name: Option<&str>) -> Answer<Option<Wanted>> {
    let Some(name) = name else { return Ok(Some(Wanted(None))) };
    let source = ctx.data_unchecked::<Reader>().source_by_name(name).await?;
    Ok(source.map(|source| Wanted(Some(source.id))))
}

/// One source, or any.
pub(super) struct Wanted(pub Option<i32>);

fn read_place(argument: &str, cursor: Option<&str>, order: &[Order]) -> Answer<Option<Place>> {
    let Some((made_for, place)) = paging::decode::<ProfilePlace>("profile", argument, cursor)? else {
        return Ok(None);
    };
    if made_for != order || !place.fits(order) {
        let message = format!("{argument}: the cursor belongs to another orderBy");
        return Err(Fault::new(Code::CursorInvalid, message));
    }
    Ok(Some(place))
}

/// Reads a cursor of the change log.
pub(super) fn read_cursor(cursor: Option<Cursor>) -> Answer<Option<publish::Cursor>> {
    let Some(cursor) = cursor else { return Ok(None) };
    let invalid = |_| Fault::new(Code::CursorInvalid, "after: not a cursor of the change log");
    publish::Cursor::decode(&cursor.0).map(Some).map_err(invalid)
}
