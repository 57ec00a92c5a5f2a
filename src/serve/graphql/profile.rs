//! Profiles and what hangs on them.

use super::Fault;
use super::change::{Change, ChangeConnection};
use super::fault::Answer;
use super::field::{self, Field};
use super::filter::FieldFilterSet;
use super::global_id::{self, Kind};
use super::loader::{
    ChildrenOf, ErasureOf, FieldTests, HistoryArguments, InterestsOf, Loader, PastOf, RelationshipArguments,
    SubprofileArguments, TransitionsOf,
};
use super::paging::{self, Cursor};
use super::past;
use super::profile_type::{Interest, ProfileType, Unsubscribing};
use super::provenance::Owner;
use super::relationship::{Relationship, RelationshipConnection};
use super::scalar::DateTime;
use super::source::{Source, source_of};
use super::subprofile::{Subprofile, SubprofileConnection};
use super::word::{LifecycleStatus, ProfileKind, RelationshipDirection};
use crate::clock::SharedClock;
use crate::mirror::read::{
    Definitions, Key, LogPlace, Order, PastPage, PastProfile, Place, Predicate, Reader, SubprofileRow, overdue_before,
};
use ::entity::{Moment, RecordKind, Status, erasure, lifecycle_transition, profile, source};
use async_graphql::connection::PageInfo;
use async_graphql::{ComplexObject, Context, ID, Object, SimpleObject};
use std::sync::Arc;

/// A profile as upstream has it.
#[derive(Clone)]
pub struct Profile {
    pub(super) row: Arc<profile::Model>,
    pub(super) source: Arc<source::Model>,
    /// What is known of it where it is seen as it was.
    past: Option<Arc<PastProfile>>,
}

impl Profile {
    /// A profile as it is now, that readers may see.
    pub(super) fn now(row: Arc<profile::Model>, source: Arc<source::Model>) -> Self {
        Self { row, source, past: None }
    }

    /// A profile as it was; as it is now where nothing has changed since.
    pub(super) fn in_past(past: PastProfile, source: Arc<source::Model>) -> Self {
        Self { row: Arc::clone(&past.row), source, past: Some(Arc::new(past)) }
    }

    /// The profile with this row as it was at a place; none where it was not there.
    pub(super) async fn at(ctx: &Context<'_>, place: LogPlace, profile_id: i64) -> Answer<Option<Self>> {
        let Some(past) = ctx.data_unchecked::<Loader>().load_one(PastOf { profile_id, place }).await? else {
            return Ok(None);
        };
        let source = source_of(ctx, past.row.source_id).await?;
        Ok(Some(Self { row: Arc::clone(&past.row), source, past: Some(past) }))
    }

    fn place(&self) -> Option<LogPlace> {
        self.past.as_ref().map(|past| past.place)
    }

    /// A profile with its source; none for a placeholder, which readers never see.
    pub(super) async fn new(ctx: &Context<'_>, row: Arc<profile::Model>) -> Answer<Option<Self>> {
        if !row.is_known {
            return Ok(None);
        }
        let source = source_of(ctx, row.source_id).await?;
        Ok(Some(Self::now(row, source)))
    }

    pub(super) fn global_id(&self) -> ID {
        global_id::encode(Kind::Profile, &self.source.name, &self.row.external_id)
    }

    /// The owner of its fields.
    fn owner(&self) -> Owner {
        Owner {
            profile_id: self.row.id,
            kind: RecordKind::Profile,
            external_id: self.row.external_id.clone(),
            source: Arc::clone(&self.source),
            until: self.place().map(|place| place.revision),
        }
    }

    async fn definitions(&self, ctx: &Context<'_>) -> Answer<Definitions> {
        let Some(type_id) = self.row.profile_type_id else { return Ok(Definitions::default()) };
        let found = ctx.data_unchecked::<Reader>().in_catalog(|catalog| catalog.fields_of_type(type_id)).await?;
        Ok(found.unwrap_or_default())
    }
}

/// A profile as upstream has it.
#[Object]
impl Profile {
    /// Opaque; stays the same when the mirror is built anew.
    pub async fn id(&self) -> ID {
        self.global_id()
    }

    /// Where it comes from.
    async fn source(&self) -> Source {
        Source::new(Arc::clone(&self.source))
    }

    /// Its id upstream, unique within the source.
    async fn external_id(&self) -> &str {
        &self.row.external_id
    }

    /// A Copernica database, a Parallel profile type, a GetProfile tenant; null where upstream has not told it.
    #[graphql(name = "type")]
    async fn profile_type(&self, ctx: &Context<'_>) -> Answer<Option<ProfileType>> {
        let Some(type_id) = self.row.profile_type_id else { return Ok(None) };
        let row = ctx.data_unchecked::<Reader>().in_catalog(|catalog| catalog.profile_type(type_id)).await?;
        Ok(row.map(|row| ProfileType { row, source: Arc::clone(&self.source) }))
    }

    /// What it is about.
    async fn kind(&self) -> ProfileKind {
        self.row.kind.into()
    }

    /// Its name for people, where there is one.
    async fn display_name(&self) -> Option<&str> {
        self.row.display_name.as_deref()
    }

    /// Its e-mail address, where there is one.
    async fn email(&self) -> Option<&str> {
        self.row.email.as_deref()
    }

    /// Where it stands in its life.
    async fn status(&self) -> LifecycleStatus {
        self.row.status.into()
    }

    /// When it came to its status, and how.
    async fn lifecycle(&self) -> Lifecycle {
        Lifecycle { row: Arc::clone(&self.row), until: self.place().map(|place| place.at) }
    }

    /// The receipt of its erasure: what was emptied, when and why; null for all that were not erased.
    async fn erasure(&self, ctx: &Context<'_>) -> Answer<Option<Erasure>> {
        // Nearly all profiles are spared the statement.
        if self.row.status != Status::Anonymized {
            return Ok(None);
        }
        let rows = ctx.data_unchecked::<Loader>().load_one(ErasureOf(self.row.id)).await?.unwrap_or_default();
        Ok(rows.first().map(Erasure::read))
    }

    /// The provider's own word for its status, where it has one.
    async fn upstream_status(&self) -> Option<&str> {
        self.row.upstream_status.as_deref()
    }

    /// Whether its values are those that unsubscribing gives where its type says so (`ProfileType.unsubscribing`); null where
    /// the provider tells of no such values.
    async fn is_unsubscribed(&self, ctx: &Context<'_>) -> Answer<Option<bool>> {
        let Some(type_id) = self.row.profile_type_id else { return Ok(None) };
        let row = ctx.data_unchecked::<Reader>().in_catalog(|catalog| catalog.profile_type(type_id)).await?;
        Ok(row.and_then(|row| Unsubscribing::has_happened(&row, &self.row.fields)))
    }

    /// Its fields in the order of its type: all that the profile holds, or the named ones of them.
    async fn fields(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only fields of these names.")] names: Option<Vec<String>>,
    ) -> Answer<Vec<Field<'_>>> {
        Ok(field::list(&self.row.fields, &self.definitions(ctx).await?, names.as_deref(), self.owner()))
    }

    /// One field; null where the profile does not hold it.
    async fn field(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The field's name.")] name: String,
    ) -> Answer<Option<Field<'_>>> {
        let fields = field::list(&self.row.fields, &self.definitions(ctx).await?, Some(&[name]), self.owner());
        Ok(fields.into_iter().next())
    }

    /// The interests that are on, by group and name.
    async fn interests(&self, ctx: &Context<'_>) -> Answer<Vec<Interest>> {
        if let Some(past) = &self.past
            && let Some(interests) = past::interests(ctx, past).await?
        {
            return Ok(interests);
        }
        let rows = ctx.data_unchecked::<Loader>().load_one(InterestsOf(self.row.id)).await?.unwrap_or_default();
        Ok(rows.iter().map(|row| Interest::new(&row.group_name, &row.name)).collect())
    }

    /// Its subprofiles, in the order in which the mirror met them.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the schema")]
    async fn subprofiles(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only of the collection of this name or external id.")] collection: Option<String>,
        #[graphql(desc = "Only those whose fields pass.")] filter: Option<FieldFilterSet>,
        #[graphql(desc = "That many from the start; at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "That many from the end; at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Answer<SubprofileConnection> {
        let page = paging::child_page("subprofile", (first, last), (after.as_deref(), before.as_deref()))?;
        let fields = filter.map(FieldFilterSet::read).transpose()?;
        let slice = match &self.past {
            Some(past) => past::subprofiles(ctx, past, (collection.as_deref(), fields.as_ref()), &page).await?.into(),
            None => {
                let fields = fields.map(FieldTests::new);
                let arguments = SubprofileArguments { collection, fields };
                let key = ChildrenOf { parent_id: self.row.id, arguments, page };
                ctx.data_unchecked::<Loader>().load_one(key).await?.unwrap_or_default()
            }
        };
        let place = self.place();
        let node = |row: &Arc<SubprofileRow>| {
            let cursor = Cursor::At("subprofile", row.id);
            (cursor, Subprofile { row: Arc::clone(row), source: Arc::clone(&self.source), place })
        };
        Ok(SubprofileConnection::new(slice.rows.iter().map(node), slice.has_previous, slice.has_next))
    }

    /// Its relationships from either end, in the order in which the mirror met them.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the schema")]
    async fn relationships(
        &self,
        ctx: &Context<'_>,
        #[graphql(name = "type", desc = "Only of the type of this name, inverse name or external id.")] of_type: Option<
            String,
        >,
        #[graphql(desc = "Only where this profile is that end.")] direction: Option<RelationshipDirection>,
        #[graphql(desc = "Also those that are gone.", default)] include_removed: bool,
        #[graphql(desc = "That many from the start; at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "That many from the end; at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Answer<RelationshipConnection> {
        let page = paging::child_page("relationship", (first, last), (after.as_deref(), before.as_deref()))?;
        let direction = direction.map(Into::into);
        let slice = match &self.past {
            Some(_) if include_removed => {
                return Err(Fault::bad_input(
                    "includeRemoved: not of a profile of the past; leave it out together with asOf",
                ));
            }
            Some(past) => past::relationships(ctx, past, of_type.as_deref(), direction, &page).await?.into(),
            None => {
                let arguments = RelationshipArguments { kind: of_type, direction, with_removed: include_removed };
                let key = ChildrenOf { parent_id: self.row.id, arguments, page };
                ctx.data_unchecked::<Loader>().load_one(key).await?.unwrap_or_default()
            }
        };
        let place = self.place();
        let node = |row: &crate::mirror::read::RelationshipRow| {
            let cursor = Cursor::At("relationship", row.relationship.id);
            let (row, kind) = (row.relationship.clone(), row.kind.clone());
            (cursor, Relationship { row, kind, source: Arc::clone(&self.source), place })
        };
        Ok(RelationshipConnection::new(slice.rows.iter().map(node), slice.has_previous, slice.has_next))
    }

    /// What happened to it and to what hangs on it, oldest first; `last` brings the newest.
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "That many from the start; at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "That many from the end; at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only before this cursor.")] before: Option<String>,
    ) -> Answer<ChangeConnection> {
        let page = paging::child_page("history", (first, last), (after.as_deref(), before.as_deref()))?;
        let until = self.place().map(|place| place.revision);
        let key = ChildrenOf { parent_id: self.row.id, arguments: HistoryArguments { until }, page };
        let Some(slice) = ctx.data_unchecked::<Loader>().load_one(key).await? else {
            return Ok(ChangeConnection::default());
        };
        let node = |row: &::entity::change::Model| {
            let cursor = Cursor::At("history", row.revision);
            (cursor, Change::of_profile(Arc::new(row.clone()), self.clone()))
        };
        Ok(ChangeConnection::new(slice.rows.iter().map(node), slice.has_previous, slice.has_next))
    }

    /// When it was created upstream, where told.
    async fn created_at(&self) -> Option<DateTime> {
        self.row.created_at.map(DateTime)
    }

    /// When it was last modified upstream, where told. Null of a profile of the past that has changed since.
    async fn modified_at(&self) -> Option<DateTime> {
        self.row.modified_at.map(DateTime)
    }

    /// When the mirror last confirmed it.
    async fn mirrored_at(&self) -> DateTime {
        DateTime(self.row.mirrored_at)
    }
}

/// When a profile came to its status, and how.
pub struct Lifecycle {
    row: Arc<profile::Model>,
    /// What was recorded later is not seen.
    until: Option<Moment>,
}

/// When a profile came to its status, and how.
#[Object]
impl Lifecycle {
    /// Upstream time of the last transition, where told.
    async fn since(&self) -> Option<DateTime> {
        self.row.status_since.map(DateTime)
    }

    /// Date of the scheduled deletion, where told.
    async fn scheduled_for(&self) -> Option<DateTime> {
        self.row.scheduled_for.map(DateTime)
    }

    /// Whether the date of the scheduled deletion is more than a day ago and there is no news that upstream has
    /// carried it out or called it off.
    async fn is_overdue(&self, ctx: &Context<'_>) -> bool {
        let now = self.until.unwrap_or_else(|| ctx.data_unchecked::<SharedClock>().now());
        let before = overdue_before(now);
        self.row.status == Status::ScheduledForDeletion && self.row.scheduled_for.is_some_and(|due| due < before)
    }

    /// Its transitions, oldest first; the latest 100 at most.
    async fn history(&self, ctx: &Context<'_>) -> Answer<Vec<LifecycleTransition>> {
        let rows = ctx.data_unchecked::<Loader>().load_one(TransitionsOf(self.row.id)).await?.unwrap_or_default();
        let seen = rows.iter().filter(|row| self.until.is_none_or(|until| row.recorded_at <= until));
        Ok(seen.map(LifecycleTransition::read).collect())
    }
}

/// What an erasure emptied, when and why. Counts are all that stays of it.
#[derive(SimpleObject)]
pub struct Erasure {
    /// When the mirror committed it.
    at: DateTime,
    /// What asked for it: the provider's word for the event, or how the state came that told it.
    reason: String,
    /// Interests that were on.
    interests: i32,
    /// Subprofiles that held values.
    subprofiles: i32,
    /// Relationships that stood.
    relationships: i32,
    /// Changes in the log that held values.
    changes: i32,
    /// Raw deliveries that were emptied whole.
    deliveries: i32,
    /// Raw deliveries about others that lost what they told of it.
    slices: i32,
    /// Deliveries that came later and were emptied as they were settled.
    late_deliveries: i32,
    /// When the database's files held nothing of it any more; null until that is done.
    files_cleaned_at: Option<DateTime>,
}

impl Erasure {
    fn read(row: &erasure::Model) -> Self {
        Self {
            at: DateTime(row.at),
            reason: row.reason.clone(),
            interests: row.interests,
            subprofiles: row.subprofiles,
            relationships: row.relationships,
            changes: row.changes,
            deliveries: row.deliveries,
            slices: row.slices,
            late_deliveries: row.late_deliveries,
            files_cleaned_at: row.files_cleaned_at.map(DateTime),
        }
    }
}

/// One step in the life of a profile.
#[derive(SimpleObject)]
pub struct LifecycleTransition {
    /// Status before; null for the first.
    from: Option<LifecycleStatus>,
    /// Status after.
    to: LifecycleStatus,
    /// Upstream time of the step; our own where upstream told none.
    at: DateTime,
    /// When the mirror recorded it.
    recorded_at: DateTime,
    /// Date of the scheduled deletion, where told.
    scheduled_for: Option<DateTime>,
    /// The provider's word for what caused it.
    cause: String,
    /// False for a step that came late or was not possible: it is kept, and did not change the status.
    is_effective: bool,
}

impl LifecycleTransition {
    fn read(row: &lifecycle_transition::Model) -> Self {
        Self {
            from: row.from_status.map(Into::into),
            to: row.to_status.into(),
            at: DateTime(row.at),
            recorded_at: DateTime(row.recorded_at),
            scheduled_for: row.scheduled_for.map(DateTime),
            cause: row.cause.clone(),
            is_effective: row.is_effective,
        }
    }
}

/// A page of profiles.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct ProfileConnection {
    /// The profiles with their cursors, in order.
    edges: Vec<ProfileEdge>,
    #[graphql(skip)]
    has_previous: bool,
    #[graphql(skip)]
    has_next: bool,
    #[graphql(skip)]
    predicate: Option<Predicate>,
    /// Of a page of the past: where it ends.
    #[graphql(skip)]
    past: Option<Option<String>>,
}

/// A profile with its cursor.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct ProfileEdge {
    /// The profile.
    node: Profile,
    #[graphql(skip)]
    order: Arc<[Order]>,
}

#[ComplexObject]
impl ProfileEdge {
    /// Hand it back as `after` or `before` to go on from here; it holds after a restart too.
    async fn cursor(&self) -> String {
        self.to_cursor()
    }
}

impl ProfileEdge {
    /// Written when it is asked for: most answers hold profiles without cursors.
    fn to_cursor(&self) -> String {
        paging::encode("profile", &(&self.order[..], Place::of(&self.node.row, &self.order)))
    }
}

#[ComplexObject]
impl ProfileConnection {
    /// The profiles without their cursors, in order.
    async fn nodes(&self) -> Vec<&Profile> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// What is before and behind this page.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous,
            has_next_page: self.has_next,
            start_cursor: self.edges.first().map(ProfileEdge::to_cursor),
            end_cursor: match &self.past {
                None => self.edges.last().map(ProfileEdge::to_cursor),
                Some(end) => end.clone(),
            },
        }
    }

    /// How many profiles pass the filter in all. Counted only where it is asked for; profiles of the past are not counted.
    async fn total_count(&self, ctx: &Context<'_>) -> Answer<i64> {
        if self.past.is_some() {
            return Err(past::uncounted());
        }
        let count = ctx.data_unchecked::<Reader>().count_profiles(self.predicate.as_ref()).await?;
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

/// The cursor of a profile in an order holds the order too, so that it cannot be used in another.
pub(super) type ProfilePlace = (Vec<Order>, Place);

impl ProfileConnection {
    pub(super) async fn new(
        ctx: &Context<'_>,
        slice: crate::mirror::read::Slice<profile::Model>,
        order: &[Order],
        predicate: Option<Predicate>,
    ) -> Answer<Self> {
        let order: Arc<[Order]> = order.into();
        let mut edges = Vec::with_capacity(slice.rows.len());
        for row in slice.rows {
            if let Some(node) = Profile::new(ctx, Arc::new(row)).await? {
                edges.push(ProfileEdge { node, order: Arc::clone(&order) });
            }
        }
        Ok(Self { edges, has_previous: slice.has_previous, has_next: slice.has_next, predicate, past: None })
    }

    /// A page of the past, which ends at the last profile that was looked at, whether it passed the filter or not.
    pub(super) async fn in_past(ctx: &Context<'_>, page: PastPage, has_previous: bool) -> Answer<Self> {
        let order: Arc<[Order]> = Arc::default();
        let mut edges = Vec::with_capacity(page.rows.len());
        for past in page.rows {
            let source = source_of(ctx, past.row.source_id).await?;
            edges.push(ProfileEdge { node: Profile::in_past(past, source), order: Arc::clone(&order) });
        }
        let end = page.looked_at.map(|id| paging::encode("profile", &(&order[..], Place(vec![Key::Number(id)]))));
        Ok(Self { edges, has_previous, has_next: page.has_next, predicate: None, past: Some(end) })
    }
}
