//! One configured source, made ready: its provider, the way to its API, its rows.

use super::StartError;
use crate::apply::{Applier, Brake, News};
use crate::clock::SharedClock;
use crate::config;
use crate::db::Database;
use crate::inbox::Inbox;
use crate::ingest::run::{Timetable, parse_cron};
use crate::ingest::{Gate, Puller, Runner, Upstream, UpstreamSettings, Wire};
use entity::{Moment, source, source_state};
use provider::{KeyLookup, Provider, SettingsError, SourceSettings, registry};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::NotSet, ActiveValue::Set, DbErr, EntityTrait};
use std::sync::Arc;
use tokio::sync::Notify;

/// A source, wired.
pub struct WiredSource {
    /// Its row.
    pub id: i32,
    /// As it is configured.
    pub config: config::Source,
    /// Its provider.
    pub provider: Arc<dyn Provider>,
    /// The way to its API; none without a token.
    pub upstream: Option<Arc<Upstream>>,
    /// The gate before its calls.
    pub gate: Arc<Gate>,
    /// Notified after appends.
    pub apply_wake: Arc<Notify>,
    /// Notified when apply has written wishes.
    pub pull_wake: Arc<Notify>,
    /// Notified when somebody has asked for a run, or its time has come.
    pub run_wake: Arc<Notify>,
    /// When it is synced by itself.
    pub timetable: Option<Timetable>,
}

impl WiredSource {
    /// Its applier, which calls `on_commit` after each commit that may have brought news, and notifies `cleaner` when the
    /// files of the database are to be cleaned.
    pub fn applier(
        &self,
        db: &Database,
        clock: &SharedClock,
        instance: &str,
        cleaner: Arc<Notify>,
        on_commit: impl Fn(News) + Send + Sync + 'static,
    ) -> Applier {
        Applier::new(
            db.clone(),
            clock.clone(),
            self.id,
            self.config.name.clone(),
            self.provider.clone(),
            instance.to_owned(),
            Brake { share: self.config.sync.brake.share, count: self.config.sync.brake.count },
            self.apply_wake.clone(),
            cleaner,
            on_commit,
        )
    }

    /// What carries out its fetch requests; none without a token.
    pub fn puller(&self, db: &Database, clock: &SharedClock, inbox: &Inbox, instance: &str) -> Option<Puller> {
        Some(Puller {
            db: db.clone(),
            inbox: inbox.clone(),
            clock: clock.clone(),
            source_id: self.id,
            source_name: self.config.name.clone(),
            instance: instance.to_owned(),
            provider: self.provider.clone(),
            upstream: self.upstream.clone()?,
            wake: self.pull_wake.clone(),
        })
    }

    /// What carries out its runs; none without a token.
    pub fn runner(&self, db: &Database, clock: &SharedClock, inbox: &Inbox, instance: &str) -> Option<Runner> {
        Some(Runner {
            db: db.clone(),
            inbox: inbox.clone(),
            clock: clock.clone(),
            source_id: self.id,
            source_name: self.config.name.clone(),
            provider: self.provider.clone(),
            upstream: self.upstream.clone()?,
            instance: instance.to_owned(),
            timetable: self.timetable.clone(),
            wake: self.run_wake.clone(),
            apply_wake: self.apply_wake.clone(),
        })
    }
}

/// Builds a source's provider and the way to its API, and gives it its rows; those that it has stay.
///
/// # Errors
/// [`StartError`], with what to mend.
pub async fn wire_source(
    db: &Database,
    clock: &SharedClock,
    key_lookup: &Arc<dyn KeyLookup>,
    wire: &Arc<dyn Wire>,
    config: &config::Source,
) -> Result<WiredSource, StartError> {
    let token = config.token.as_ref().map(config::Secret::reveal).transpose()?;
    let base_url = config.base_url.trim_end_matches('/').to_owned();
    let wrong = |source| StartError::Settings { source_name: config.name.clone(), source };
    let built = registry::build(&config.provider, settings(config, &base_url)?, key_lookup.clone());
    let provider = built
        .ok_or_else(|| wrong(SettingsError { key: "provider", problem: "there is no such provider".to_owned() }))?
        .map_err(wrong)?;
    let timetable = timetable(config)?;
    let id = register_source(db, clock.now(), config).await?;
    let gate = Gate::open(db.clone(), clock.clone(), id, config.name.clone()).await?;
    let upstream = match token {
        Some(token) => {
            let settings = UpstreamSettings {
                source_name: config.name.clone(),
                base_url,
                token,
                concurrency: config.sync.concurrency,
                requests_per_minute: config.sync.requests_per_minute,
            };
            let (gate, clock) = (gate.clone(), clock.clone());
            Some(Arc::new(Upstream::new(provider.clone(), settings, gate, clock, wire.clone())))
        }
        None => {
            tracing::warn!(source = config.name, "no token: thin events cannot be fetched and nothing is synced");
            None
        }
    };
    Ok(WiredSource {
        id,
        config: config.clone(),
        provider,
        upstream,
        gate,
        apply_wake: Arc::new(Notify::new()),
        pull_wake: Arc::new(Notify::new()),
        run_wake: Arc::new(Notify::new()),
        timetable,
    })
}

/// When a source is synced by itself; none where no schedule is configured.
fn timetable(config: &config::Source) -> Result<Option<Timetable>, StartError> {
    let read = |key: &'static str, expression: &Option<String>| {
        let read = expression.as_deref().map(parse_cron).transpose();
        read.map_err(|problem| StartError::Settings {
            source_name: config.name.clone(),
            source: SettingsError {
                key,
                problem: format!("expected a cron expression with seconds, such as \"0 30 2 * * *\": {problem}"),
            },
        })
    };
    let incremental = read("sync.incremental", &config.sync.incremental)?;
    let full = read("sync.schedule", &config.sync.schedule)?;
    Ok(full.map(|full| Timetable {
        source_name: config.name.clone(),
        full,
        incremental,
        jitter_seconds: config.sync.jitter_seconds,
    }))
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
        paused_by: Set(None),
        probe_at: Set(None),
        probes: Set(0),
        throttled_until: Set(None),
        last_webhook_at: Set(None),
        usual_gap_ms: Set(None),
        first_refusal_at: Set(None),
        last_refusal_at: Set(None),
        last_refusal: Set(None),
        refusals: Set(0),
        last_applied_at: Set(None),
        last_complete_sync_at: Set(None),
        alive_at: Set(None),
        gap_since: Set(None),
        gap_until: Set(None),
        next_run_at: Set(None),
    };
    source_state::Entity::insert(state).on_conflict_do_nothing().exec_without_returning(&transaction).await?;
    transaction.commit().await?;
    Ok(row.id)
}
