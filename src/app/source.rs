//! One configured source, made ready: its provider, the way to its API, its rows.

use super::StartError;
use crate::clock::SharedClock;
use crate::config;
use crate::db::Database;
use crate::ingest::{Upstream, UpstreamSettings};
use entity::{Moment, source, source_state};
use provider::{KeyLookup, Provider, SettingsError, SourceSettings, registry};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::NotSet, ActiveValue::Set, DbErr, EntityTrait};
use std::sync::Arc;
use tokio::sync::Notify;

/// A source, wired.
pub(super) struct WiredSource {
    pub id: i32,
    pub config: config::Source,
    pub provider: Arc<dyn Provider>,
    pub upstream: Option<Arc<Upstream>>,
    pub apply_wake: Arc<Notify>,
    pub pull_wake: Arc<Notify>,
}

/// Builds a source's provider and the way to its API, and gives it its rows.
pub(super) async fn wire_source(
    db: &Database,
    clock: &SharedClock,
    key_lookup: &Arc<dyn KeyLookup>,
    config: &config::Source,
) -> Result<WiredSource, StartError> {
    let token = config.token.as_ref().map(config::Secret::reveal).transpose()?;
    let base_url = config.base_url.trim_end_matches('/').to_owned();
    let wrong = |source| StartError::Settings { source_name: config.name.clone(), source };
    let built = registry::build(&config.provider, settings(config, &base_url)?, key_lookup.clone());
    let provider = built
        .ok_or_else(|| wrong(SettingsError { key: "provider", problem: "there is no such provider".to_owned() }))?
        .map_err(wrong)?;
    let upstream = match token {
        Some(token) => {
            let settings = UpstreamSettings {
                base_url,
                token,
                concurrency: config.sync.concurrency,
                requests_per_minute: config.sync.requests_per_minute,
            };
            let upstream = Upstream::new(provider.clone(), settings, clock.clone()).map_err(StartError::Client)?;
            Some(Arc::new(upstream))
        }
        None => {
            tracing::warn!(source = config.name, "no token: thin events cannot be fetched and nothing is synced");
            None
        }
    };
    let id = register_source(db, clock.now(), config).await?;
    Ok(WiredSource {
        id,
        config: config.clone(),
        provider,
        upstream,
        apply_wake: Arc::new(Notify::new()),
        pull_wake: Arc::new(Notify::new()),
    })
}

fn settings(config: &config::Source, base_url: &str) -> Result<SourceSettings, StartError> {
    let webhook = &config.webhook;
    let (public_keys, fixed_keys) = match &webhook.keys {
        config::Keys::List(keys) => (keys.clone(), std::collections::BTreeMap::new()),
        config::Keys::Named(keys) => (Vec::new(), keys.clone()),
    };
    let secrets = webhook.secrets.iter().map(config::Secret::reveal).collect::<Result<Vec<_>, _>>()?;
    Ok(SourceSettings {
        name: config.name.clone(),
        base_url: base_url.to_owned(),
        auth_url: config.auth_url.clone(),
        time_zone: config.time_zone.clone(),
        tenant: config.tenant.clone(),
        public_keys,
        fixed_keys,
        key_domain: webhook.key_domain.clone(),
        account: webhook.account.clone(),
        allow_v1: webhook.allow_v1,
        tolerance_seconds: webhook.tolerance_seconds,
        secrets,
    })
}

/// Gives a source its rows; those that it has stay.
async fn register_source(db: &Database, now: Moment, config: &config::Source) -> Result<i32, DbErr> {
    let transaction = db.begin().await?;
    let row = source::ActiveModel {
        id: NotSet,
        name: Set(config.name.clone()),
        provider: Set(config.provider.clone()),
        created_at: Set(now),
    };
    let conflict = OnConflict::column(source::Column::Name).update_column(source::Column::Provider).to_owned();
    let row = source::Entity::insert(row).on_conflict(conflict).exec_with_returning(&transaction).await?;
    let state = source_state::ActiveModel {
        source_id: Set(row.id),
        revision: Set(0),
        lease_holder: Set(None),
        lease_epoch: Set(0),
        lease_until: Set(Moment(0)),
        paused_at: Set(None),
        pause_reason: Set(None),
        last_webhook_at: Set(None),
        last_refusal_at: Set(None),
        last_refusal: Set(None),
        last_applied_at: Set(None),
        last_complete_sync_at: Set(None),
    };
    source_state::Entity::insert(state).on_conflict_do_nothing().exec_without_returning(&transaction).await?;
    transaction.commit().await?;
    Ok(row.id)
}
