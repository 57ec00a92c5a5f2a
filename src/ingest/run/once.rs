//! Requests that clients marked: the same id within a day is the same request, and leads to the same run.

use super::request::{RunRequest, RunRequestError, check, insert_run};
use crate::db::Database;
use entity::{Moment, RunState, client_mutation, sync_run};
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, SqlErr};

/// How long an id is remembered, milliseconds.
const MEMORY_MS: i64 = 86_400_000;

/// The run that this request has led to under an id that the client chose. It is looked for before anything else is
/// asked: what has come in the way since is no answer to whoever lost the first one.
///
/// # Errors
/// [`RunRequestError`]; [`RunRequestError::OtherRequest`] where the id was used for something else.
pub async fn find_run_once(
    db: &Database,
    now: Moment,
    source_id: i32,
    request: &RunRequest,
    mutation_id: &str,
) -> Result<Option<sync_run::Model>, RunRequestError> {
    check(request)?;
    let asked_by = request.requested_by.as_deref().unwrap_or_default();
    find(db, now, source_id, request, asked_by, mutation_id).await
}

/// Asks for a run as [`super::request_run`] does, once for an id that the client chose.
///
/// *Idempotence*: the same id of the same key within 24 hours is answered with the run of the first time.
///
/// # Errors
/// [`RunRequestError`]; [`RunRequestError::OtherRequest`] where the id was used for something else.
pub async fn request_run_once(
    db: &Database,
    now: Moment,
    source_id: i32,
    request: RunRequest,
    mutation_id: &str,
) -> Result<sync_run::Model, RunRequestError> {
    if let Some(run) = find_run_once(db, now, source_id, &request, mutation_id).await? {
        return Ok(run);
    }
    let asked_by = request.requested_by.clone().unwrap_or_default();
    match try_once(db, now, source_id, &request, &asked_by, mutation_id).await {
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
            // Another run goes on, or the same request came twice at once.
            if let Some(run) = find(db, now, source_id, &request, &asked_by, mutation_id).await? {
                return Ok(run);
            }
            let known = sync_run::under_way(source_id).one(db.primary()).await?;
            Err(RunRequestError::UnderWay { run_id: known.map_or(0, |run| run.id) })
        }
        outcome => Ok(outcome?),
    }
}

async fn try_once(
    db: &Database,
    now: Moment,
    source_id: i32,
    request: &RunRequest,
    asked_by: &str,
    mutation_id: &str,
) -> Result<sync_run::Model, DbErr> {
    use client_mutation::Column;
    let transaction = db.begin().await?;
    client_mutation::Entity::delete_many().filter(Column::At.lt(now.plus_ms(-MEMORY_MS))).exec(&transaction).await?;
    let run = insert_run(&transaction, now, source_id, request.clone()).await?;
    let asked = client_mutation::ActiveModel {
        asked_by: Set(asked_by.to_owned()),
        mutation_id: Set(mutation_id.to_owned()),
        run_id: Set(run.id),
        at: Set(now),
    };
    client_mutation::Entity::insert(asked).exec_without_returning(&transaction).await?;
    transaction.commit().await?;
    Ok(run)
}

/// The run that this id has led to.
async fn find(
    db: &Database,
    now: Moment,
    source_id: i32,
    request: &RunRequest,
    asked_by: &str,
    mutation_id: &str,
) -> Result<Option<sync_run::Model>, RunRequestError> {
    let asked = client_mutation::Entity::find_by_id((asked_by.to_owned(), mutation_id.to_owned()))
        .filter(client_mutation::Column::At.gte(now.plus_ms(-MEMORY_MS)))
        .one(db.primary())
        .await?;
    let Some(asked) = asked else { return Ok(None) };
    let run = sync_run::Entity::find_by_id(asked.run_id).one(db.primary()).await?;
    let run = run.ok_or(RunRequestError::Unknown { run_id: asked.run_id })?;
    // A plan that has been carried out is a run now, and still the one that was asked for.
    let was_plan = run.is_plan || run.plan.is_some();
    let is_same = run.source_id == source_id
        && run.kind == request.kind
        && run.profile_type == request.profile_type
        && run.named == request.named_json()
        && was_plan == request.is_plan;
    if is_same { Ok(Some(run)) } else { Err(RunRequestError::OtherRequest { run_id: run.id }) }
}

/// The run of a source whose deletions wait for a person, if there is one.
///
/// # Errors
/// The database's own error.
pub async fn waiting_for_approval(db: &Database, source_id: i32) -> Result<Option<i64>, DbErr> {
    sync_run::Entity::find()
        .filter(sync_run::Column::SourceId.eq(source_id))
        .filter(sync_run::Column::State.eq(RunState::WaitingForApproval))
        .select_only()
        .column(sync_run::Column::Id)
        .into_tuple()
        .one(db.primary())
        .await
}
