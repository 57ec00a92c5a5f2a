//! A small mirror to read from, its rows put in directly. On SQLite, or on PostgreSQL where `TEST_PG_URL` names a
//! server.

use crate::clock::ManualClock;
use crate::db::{self, Database};
use ::entity::*;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct Fixture {
    pub db: Database,
    pub clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

/// 2026-01-01T00:00:00Z
pub(crate) const NEW_YEAR: Moment = Moment(1_767_225_600_000);

impl Fixture {
    pub async fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap();
        let url = match std::env::var("TEST_PG_URL") {
            Err(_) => format!("sqlite://{}/mirror.db", folder.path().display()),
            Ok(server) => {
                let name = format!("t_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
                let admin = sea_orm::Database::connect(&server).await.unwrap();
                admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
                admin.close().await.unwrap();
                server.replace("/postgres?", &format!("/{name}?"))
            }
        };
        let db = db::connect(&url, None).await.unwrap();
        db.migrate().await.unwrap();
        Self { db, clock: ManualClock::at(NEW_YEAR), _folder: folder }
    }

    pub async fn source(&self, name: &str) -> i32 {
        let row = source::ActiveModel {
            name: Set(name.to_owned()),
            provider: Set("copernica".to_owned()),
            created_at: Set(NEW_YEAR),
            ..Default::default()
        };
        let id = row.insert(self.db.writer()).await.unwrap().id;
        let state = source_state::Model {
            source_id: id,
            revision: 0,
            lease_holder: None,
            lease_epoch: 0,
            lease_until: NEW_YEAR,
            paused_at: None,
            pause_reason: None,
            paused_by: None,
            probe_at: None,
            probes: 0,
            throttled_until: None,
            last_webhook_at: None,
            usual_gap_ms: None,
            first_refusal_at: None,
            last_refusal_at: None,
            last_refusal: None,
            refusals: 0,
            last_applied_at: None,
            alive_at: None,
            gap_since: None,
            gap_until: None,
            next_run_at: None,
            last_complete_sync_at: None,
        };
        source_state::Entity::insert(state.into_active_model()).exec(self.db.writer()).await.unwrap();
        id
    }

    pub async fn profile_type(&self, source_id: i32, external_id: &str, name: &str) -> i32 {
        let row = profile_type::ActiveModel {
            source_id: Set(source_id),
            external_id: Set(external_id.to_owned()),
            name: Set(name.to_owned()),
            kind: Set(ProfileKind::Individual),
            has_metadata: Set(true),
            mirrored_at: Set(NEW_YEAR),
            ..Default::default()
        };
        row.insert(self.db.writer()).await.unwrap().id
    }

    pub async fn collection(&self, source_id: i32, profile_type_id: i32, name: &str) -> i32 {
        let row = collection::ActiveModel {
            source_id: Set(source_id),
            profile_type_id: Set(Some(profile_type_id)),
            external_id: Set(format!("id of {name}")),
            name: Set(name.to_owned()),
            mirrored_at: Set(NEW_YEAR),
            ..Default::default()
        };
        row.insert(self.db.writer()).await.unwrap().id
    }

    pub async fn fields(&self, profile_type_id: Option<i32>, collection_id: Option<i32>, fields: &[(&str, &str)]) {
        for (position, (name, upstream_type)) in (0..).zip(fields) {
            let row = field_definition::ActiveModel {
                source_id: Set(1),
                profile_type_id: Set(profile_type_id),
                collection_id: Set(collection_id),
                name: Set((*name).to_owned()),
                external_id: Set(None),
                label: Set(None),
                upstream_type: Set((*upstream_type).to_owned()),
                position: Set(position),
                is_reference: Set(false),
                ..Default::default()
            };
            row.insert(self.db.writer()).await.unwrap();
        }
    }

    /// A known, open profile without values, changed as `with` says.
    pub async fn profile(
        &self,
        source_id: i32,
        external_id: &str,
        with: impl FnOnce(&mut profile::ActiveModel),
    ) -> i64 {
        let mut row = profile::ActiveModel {
            source_id: Set(source_id),
            external_id: Set(external_id.to_owned()),
            profile_type_id: Set(None),
            is_known: Set(true),
            kind: Set(ProfileKind::Individual),
            display_name: Set(None),
            upstream_name: Set(None),
            email: Set(None),
            status: Set(Status::Open),
            status_since: Set(None),
            status_position: Set(0),
            scheduled_for: Set(None),
            upstream_status: Set(None),
            fields: Set(json!({})),
            created_at: Set(None),
            modified_at: Set(None),
            mirrored_at: Set(NEW_YEAR),
            version_rung: Set(VersionRung::EventTime),
            version_from: Set(0),
            version_until: Set(0),
            position: Set(0),
            delivery_id: Set(None),
            row_hash: Set(0),
            revision: Set(0),
            ..Default::default()
        };
        with(&mut row);
        row.insert(self.db.writer()).await.unwrap().id
    }

    pub async fn subprofile(&self, source_id: i32, external_id: &str, profile_id: i64, collection_id: i32) -> i64 {
        let row = subprofile::ActiveModel {
            source_id: Set(source_id),
            external_id: Set(external_id.to_owned()),
            profile_id: Set(profile_id),
            collection_id: Set(Some(collection_id)),
            fields: Set(json!({ "number": external_id })),
            created_at: Set(None),
            modified_at: Set(None),
            mirrored_at: Set(NEW_YEAR),
            deleted_at: Set(None),
            version_rung: Set(VersionRung::EventTime),
            version_from: Set(0),
            version_until: Set(0),
            position: Set(0),
            delivery_id: Set(None),
            row_hash: Set(0),
            ..Default::default()
        };
        row.insert(self.db.writer()).await.unwrap().id
    }

    pub async fn relationship_type(&self, source_id: i32, name: &str, inverse: &str) -> i32 {
        let row = relationship_type::ActiveModel {
            source_id: Set(source_id),
            external_id: Set(format!("id of {name}")),
            name: Set(name.to_owned()),
            inverse_name: Set(Some(inverse.to_owned())),
            ..Default::default()
        };
        row.insert(self.db.writer()).await.unwrap().id
    }

    pub async fn relationship(&self, source_id: i32, external_id: &str, kind: i32, from: i64, to: i64) -> i64 {
        let row = relationship::ActiveModel {
            source_id: Set(source_id),
            external_id: Set(external_id.to_owned()),
            relationship_type_id: Set(kind),
            from_profile_id: Set(from),
            to_profile_id: Set(to),
            is_derived: Set(false),
            created_at: Set(None),
            removed_at: Set(None),
            position: Set(0),
            ..Default::default()
        };
        row.insert(self.db.writer()).await.unwrap().id
    }

    pub async fn interest(&self, profile_id: i64, group: &str, name: &str) {
        let row = profile_interest::Model { profile_id, group_name: group.to_owned(), name: name.to_owned() };
        profile_interest::Entity::insert(row.into_active_model()).exec(self.db.writer()).await.unwrap();
    }

    pub async fn offered_interest(&self, source_id: i32, profile_type_id: i32, group: &str, name: &str) {
        let row = interest::ActiveModel {
            source_id: Set(source_id),
            profile_type_id: Set(profile_type_id),
            group_name: Set(group.to_owned()),
            name: Set(name.to_owned()),
            ..Default::default()
        };
        row.insert(self.db.writer()).await.unwrap();
    }

    /// Commits that many changes of a profile at once, as apply would: dense, with the source's revision.
    pub async fn changes(&self, source_id: i32, profile_id: i64, kind: ChangeKind, count: i64) -> i64 {
        let transaction = self.db.begin().await.unwrap();
        let state = source_state::Entity::find_by_id(source_id).one(&transaction).await.unwrap().unwrap();
        let newest = state.revision + count;
        let profile = profile::Entity::find_by_id(profile_id).one(&transaction).await.unwrap();
        let record_id = profile.map_or_else(|| "p".to_owned(), |profile| profile.external_id);
        let row = |revision: i64| {
            change::Model {
                source_id,
                revision,
                kind,
                profile_id,
                record_kind: RecordKind::Profile,
                record_id: record_id.clone(),
                at: NEW_YEAR.plus_ms(revision),
                upstream_at: None,
                fields: json!([{ "name": "city", "before": null, "after": revision.to_string() }]),
                delivery_id: 1,
                cause: "update".to_owned(),
                is_erased: false,
            }
            .into_active_model()
        };
        for from in (state.revision..newest).step_by(500) {
            let rows = (from + 1..=Ord::min(newest, from + 500)).map(row);
            change::Entity::insert_many(rows).exec(&transaction).await.unwrap();
        }
        source_state::Entity::update_many()
            .col_expr(source_state::Column::Revision, Expr::val(newest))
            .filter(source_state::Column::SourceId.eq(source_id))
            .exec(&transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        newest
    }

    /// Takes the oldest changes out of the log, up to this revision.
    pub async fn forget_changes(&self, source_id: i32, until: i64) {
        change::Entity::delete_many()
            .filter(change::Column::SourceId.eq(source_id).and(change::Column::Revision.lte(until)))
            .exec(self.db.writer())
            .await
            .unwrap();
    }

    pub async fn delivery(&self, source_id: i32, state: DeliveryState) -> i64 {
        let row = delivery::ActiveModel {
            source_id: Set(source_id),
            kind: Set(DeliveryKind::Webhook),
            dedupe_key: Set(format!("{:x}", rand::random::<u64>())),
            received_at: Set(NEW_YEAR),
            media_type: Set("application/json".to_owned()),
            headers: Set(json!({ "content-type": "application/json" })),
            body: Set(b"a secret body".to_vec()),
            body_bytes: Set(13),
            context: Set(None),
            state: Set(state),
            attempts: Set(0),
            next_attempt_at: Set(NEW_YEAR),
            copies: Set(1),
            event: Set(None),
            reason: Set(None),
            settled_at: Set(None),
            ..Default::default()
        };
        row.insert(self.db.writer()).await.unwrap().id
    }
}
