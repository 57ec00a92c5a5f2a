//! A profile and what hangs on it.

use super::Fault;
use super::change::{Change, ChangeConnection};
use super::erasure::Erasure;
use super::fault::Answer;
use super::field::{self, Field};
use super::field_list::FieldList;
use super::filter::FieldFilterSet;
use super::global_id::{self, Kind};
use super::lifecycle::Lifecycle;
use super::loader::{
    ChildrenOf, ErasureOf, FieldTests, HistoryArguments, InterestsOf, Loader, PastOf, RelationshipArguments,
    SubprofileArguments,
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
use crate::mirror::read::{Definitions, LogPlace, PastProfile, Reader, SubprofileRow};
use ::entity::{RecordKind, Status, profile, source};
use async_graphql::{Context, ID, Object};
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
    ) -> Answer<FieldList<'_>> {
        let fields = field::list(&self.row.fields, &self.definitions(ctx).await?, names.as_deref(), self.owner());
        Ok(FieldList(fields))
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
        #[graphql(desc = "That many from the start, at most 100; this or `last` is needed.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "That many from the end, at most 100; this or `first` is needed.")] last: Option<i32>,
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
        #[graphql(desc = "That many from the start, at most 100; this or `last` is needed.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "That many from the end, at most 100; this or `first` is needed.")] last: Option<i32>,
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
        #[graphql(desc = "That many from the start, at most 100; this or `last` is needed.")] first: Option<i32>,
        #[graphql(desc = "Only behind this cursor.")] after: Option<String>,
        #[graphql(desc = "That many from the end, at most 100; this or `first` is needed.")] last: Option<i32>,
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
