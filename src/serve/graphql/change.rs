//! The change log as clients see it.

use super::fault::Answer;
use super::global_id::{self, Kind};
use super::loader::{Loader, ProfileById};
use super::paging::connection;
use super::profile::Profile;
use super::scalar::{DateTime, Json};
use super::source::Source;
use super::word::{ChangeKind, RecordKind};
use ::entity::{change, source};
use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use serde_json::Value;
use std::sync::Arc;

/// One committed effect on one record.
pub struct Change {
    row: Arc<change::Model>,
    source: Arc<source::Model>,
    profile: Option<Profile>,
    is_loaded: bool,
}

impl Change {
    /// A change whose profile is at hand.
    pub(super) fn of_profile(row: Arc<change::Model>, profile: Profile) -> Self {
        Self { row, source: Arc::clone(&profile.source), profile: Some(profile), is_loaded: true }
    }

    /// A change whose profile has been looked for already.
    pub(super) fn loaded(row: Arc<change::Model>, source: Arc<source::Model>, profile: Option<Profile>) -> Self {
        Self { row, source, profile, is_loaded: true }
    }

    /// A change whose profile is read where it is asked for.
    pub(super) fn new(row: Arc<change::Model>, source: Arc<source::Model>) -> Self {
        Self { row, source, profile: None, is_loaded: false }
    }
}

/// One committed effect on one record.
#[Object]
impl Change {
    /// Opaque, and the same whenever the change is sent: clients may drop doubles by it.
    pub async fn id(&self) -> ID {
        global_id::encode(Kind::Change, &self.source.name, &self.row.revision.to_string())
    }

    /// Where it comes from.
    async fn source(&self) -> Source {
        Source::new(Arc::clone(&self.source))
    }

    /// What it did.
    async fn kind(&self) -> ChangeKind {
        self.row.kind.into()
    }

    /// The profile that it concerns, as it is now; null where the mirror does not know the profile itself.
    async fn profile(&self, ctx: &Context<'_>) -> Answer<Option<Profile>> {
        if self.is_loaded {
            return Ok(self.profile.clone());
        }
        match ctx.data_unchecked::<Loader>().load_one(ProfileById(self.row.profile_id)).await? {
            Some(row) => Profile::new(ctx, row).await,
            None => Ok(None),
        }
    }

    /// Kind of the record that changed.
    async fn record_kind(&self) -> RecordKind {
        self.row.record_kind.into()
    }

    /// Upstream id of the record that changed.
    async fn record_id(&self) -> &str {
        &self.row.record_id
    }

    /// When the mirror committed it.
    async fn at(&self) -> DateTime {
        DateTime(self.row.at)
    }

    /// When it happened upstream, where told.
    async fn upstream_at(&self) -> Option<DateTime> {
        self.row.upstream_at.map(DateTime)
    }

    /// Its values were erased with the profile that it concerns: the change itself stays.
    async fn is_erased(&self) -> bool {
        self.row.is_erased
    }

    /// The values that changed; none where they were erased.
    async fn fields(&self) -> Vec<FieldChange> {
        let rows = self.row.fields.as_array().map(Vec::as_slice).unwrap_or_default();
        rows.iter().filter_map(FieldChange::read).collect()
    }

    /// What caused it.
    async fn cause(&self) -> Cause {
        Cause {
            event: self.row.cause.clone(),
            delivery_id: global_id::encode(Kind::Delivery, &self.source.name, &self.row.delivery_id.to_string()),
        }
    }
}

/// A value that changed.
#[derive(SimpleObject)]
pub struct FieldChange {
    /// Name of the field.
    name: String,
    /// The value before, as upstream wrote it; null where there was none.
    before: Option<Json>,
    /// The value after, as upstream wrote it; null where there is none.
    after: Option<Json>,
}

impl FieldChange {
    fn read(row: &Value) -> Option<Self> {
        let value = |key: &str| row.get(key).filter(|value| !value.is_null()).cloned().map(Json);
        Some(Self { name: row.get("name")?.as_str()?.to_owned(), before: value("before"), after: value("after") })
    }
}

/// What caused a change.
#[derive(SimpleObject)]
pub struct Cause {
    /// The provider's word for the event, or how the delivery came.
    event: String,
    /// The delivery; `node` shows it to operators.
    delivery_id: ID,
}

connection!(
    /// A page of changes.
    ChangeConnection,
    /// A change with its cursor. A cursor of `changes` can be given to `profileChanges` as well.
    ChangeEdge,
    Change
);

/// Which changes. Everything that is given must hold.
#[derive(Clone, Debug, Default, InputObject)]
pub struct ChangeFilter {
    /// Only of the source of this name.
    pub(super) source: Option<String>,
    /// Only of these kinds.
    pub(super) kinds: Option<Vec<ChangeKind>>,
    /// Only of the profile with this id, and what hangs on it.
    pub(super) profile: Option<ID>,
}
