//! Asking for runs and plans, and deciding on them.

use super::{Problem, operations};
use crate::config::Role;
use crate::mirror::read::Reader;
use crate::serve::graphql::fault::Answer;
use crate::serve::graphql::global_id::{self, Kind};
use crate::serve::graphql::guard::{Needs, require};
use crate::serve::graphql::query::ProfileRef;
use crate::serve::graphql::run::SyncRun;
use crate::serve::{RunDecision, RunWish};
use ::entity::source;
use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use std::sync::Arc;

/// Longest id that a client may choose for a request, characters.
const MUTATION_ID: usize = 200;

/// Asking for runs and plans, and deciding on them.
#[derive(Default)]
pub(super) struct SyncOperations;

/// What to sync again: all of a source, one of its profile types, or some of its profiles.
#[derive(Clone, Debug, InputObject)]
pub struct ResyncInput {
    /// Name of the source.
    source: String,
    /// Upstream id of the one profile type; all of them where it is left out.
    profile_type: Option<String>,
    /// Only these profiles, each fetched by id; 1 to 1,000, all of this source. Who is not found is a candidate for deletion.
    profiles: Option<Vec<ProfileRef>>,
    /// An id of your own for this request, at most 200 characters. The same one within 24 hours, with the same input, is
    /// answered with the same run, so that a request that may not have arrived can be sent again.
    client_mutation_id: Option<String>,
}

macro_rules! payload {
    ($(#[$meta:meta])* $name:ident, $(#[$run_meta:meta])* run) => {
        $(#[$meta])*
        #[derive(SimpleObject)]
        pub struct $name {
            $(#[$run_meta])*
            run: Option<SyncRun>,
            /// What kept it from being carried out; empty where nothing did.
            problems: Vec<Problem>,
        }

        impl From<Outcome> for $name {
            fn from(outcome: Outcome) -> Self {
                Self { run: outcome.run, problems: outcome.problems }
            }
        }
    };
}

payload!(
    /// What became of `resync` or `applyResync`.
    ResyncPayload,
    /// The run; `syncProgress` follows it. Null where none was begun.
    run
);
payload!(
    /// What became of `planResync`.
    PlanResyncPayload,
    /// The plan; once it is DONE its `plan` tells what it found. Null where none was begun.
    run
);
payload!(
    /// What became of `cancelSync`.
    CancelSyncPayload,
    /// The run as it is now; null where there is none of this id.
    run
);
payload!(
    /// What became of `approveDeletions`.
    ApproveDeletionsPayload,
    /// The run as it is now; null where there is none of this id.
    run
);
payload!(
    /// What became of `rejectDeletions`.
    RejectDeletionsPayload,
    /// The run as it is now; null where there is none of this id.
    run
);

#[Object]
impl SyncOperations {
    /// Asks for a sync: a pass over all lists of a source or of one profile type, or named profiles fetched by id. Only one
    /// runs at a time for each source. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn resync(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to sync again.")] input: ResyncInput,
    ) -> Answer<ResyncPayload> {
        request(ctx, input, false).await.map(Into::into)
    }

    /// Asks what `resync` would change: everything is fetched and compared, and nothing is written. The plan can be carried
    /// out with `applyResync` until another run of the source begins. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn plan_resync(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What would be synced again.")] input: ResyncInput,
    ) -> Answer<PlanResyncPayload> {
        request(ctx, input, true).await.map(Into::into)
    }

    /// Carries a plan out: the very pages that it compared are applied, and what they miss is asked for by id before it is
    /// taken for gone. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn apply_resync(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The plan: a run that is DONE and `isPlan`.")] plan: ID,
    ) -> Answer<ResyncPayload> {
        decide(ctx, "plan", &plan, RunDecision::Apply).await.map(Into::into)
    }

    /// Ends a run or a plan within a page, and a failed run is not tried again. What it has applied or deleted
    /// stays so; nothing more is deleted. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn cancel_sync(&self, ctx: &Context<'_>, #[graphql(desc = "The run.")] run: ID) -> Answer<CancelSyncPayload> {
        decide(ctx, "run", &run, RunDecision::Cancel).await.map(Into::into)
    }

    /// Lets a run delete what it found to be gone, past the brake. Look at its `deletionCandidates` first. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn approve_deletions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The run; it must be WAITING_FOR_APPROVAL.")] run: ID,
    ) -> Answer<ApproveDeletionsPayload> {
        decide(ctx, "run", &run, RunDecision::Approve).await.map(Into::into)
    }

    /// Ends a run without deleting anything: what it took for gone stays. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn reject_deletions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The run; it must be WAITING_FOR_APPROVAL.")] run: ID,
    ) -> Answer<RejectDeletionsPayload> {
        decide(ctx, "run", &run, RunDecision::Reject).await.map(Into::into)
    }
}

/// A run, or what kept it from being begun or changed.
#[derive(Default)]
struct Outcome {
    run: Option<SyncRun>,
    problems: Vec<Problem>,
}

impl From<Problem> for Outcome {
    fn from(problem: Problem) -> Self {
        Self { run: None, problems: vec![problem] }
    }
}

async fn request(ctx: &Context<'_>, input: ResyncInput, is_plan: bool) -> Answer<Outcome> {
    let viewer = require(ctx, Role::Operator)?;
    let Some(source) = ctx.data_unchecked::<Reader>().source_by_name(&input.source).await? else {
        return Ok(Problem::bad_input("input.source", format!("there is no source {:?}", input.source)).into());
    };
    if let Some(problem) = check(ctx, &source, &input).await? {
        return Ok(problem.into());
    }
    let mut profiles = Vec::new();
    for profile in input.profiles.into_iter().flatten() {
        match profile.names() {
            Some((of, external_id)) if of == source.name => profiles.push(external_id),
            Some((of, external_id)) => {
                let message = format!("{external_id} is of source {of:?}: name profiles of {:?} only", source.name);
                return Ok(Problem::bad_input("input.profiles", message).into());
            }
            None => {
                let message = "one of them has no id that a profile can have: is it empty, or no id of a profile?";
                return Ok(Problem::bad_input("input.profiles", message).into());
            }
        }
    }
    let wish = RunWish { profile_type: input.profile_type, profiles, is_plan };
    let asked =
        operations(ctx).request_run(&source.name, &viewer.name, wish, input.client_mutation_id.as_deref()).await;
    match asked {
        Ok(row) => Ok(Outcome { run: Some(SyncRun { row, source }), problems: Vec::new() }),
        Err(refused) => Ok(Problem::of(refused, &source.name)?.into()),
    }
}

/// What is wrong with the input as it stands.
async fn check(ctx: &Context<'_>, source: &source::Model, input: &ResyncInput) -> Answer<Option<Problem>> {
    if let Some(id) = &input.client_mutation_id
        && (id.is_empty() || id.chars().count() > MUTATION_ID || id.contains('\0'))
    {
        let message = format!("expected 1 to {MUTATION_ID} characters");
        return Ok(Some(Problem::bad_input("input.clientMutationId", message)));
    }
    match (&input.profile_type, &input.profiles) {
        (Some(_), Some(_)) => Ok(Some(Problem::bad_input("input", "name a profile type or profiles, not both"))),
        (None, Some(profiles)) if profiles.is_empty() => {
            Ok(Some(Problem::bad_input("input.profiles", "name 1 to 1,000 profiles, or leave it out")))
        }
        (Some(id), None) => {
            let known = match global_id::is_external_id(id) {
                true => ctx.data_unchecked::<Reader>().profile_type_by_key(source.id, id).await?,
                false => None,
            };
            let unknown = || format!("source {} has no profile type {id:?}; profileTypes lists them", source.name);
            Ok(known.is_none().then(|| Problem::bad_input("input.profileType", unknown())))
        }
        _ => Ok(None),
    }
}

async fn decide(ctx: &Context<'_>, field: &'static str, id: &ID, decision: RunDecision) -> Answer<Outcome> {
    let viewer = require(ctx, Role::Operator)?;
    let Some((source, run_id)) = find(ctx, id).await? else {
        return Ok(Problem::bad_input(field, format!("there is no run {:?}", id.0)).into());
    };
    match operations(ctx).decide_run(&source.name, run_id, decision, &viewer.name).await {
        Ok(row) => Ok(Outcome { run: Some(SyncRun { row, source }), problems: Vec::new() }),
        Err(refused) => {
            let problem = Problem::of(refused, &source.name)?;
            let row = ctx.data_unchecked::<Reader>().sync_run(run_id).await?;
            Ok(Outcome { run: row.map(|row| SyncRun { row, source }), problems: vec![problem] })
        }
    }
}

/// Source and number of the run with this id.
async fn find(ctx: &Context<'_>, id: &ID) -> Answer<Option<(Arc<source::Model>, i64)>> {
    let reader = ctx.data_unchecked::<Reader>();
    let Some(id) = global_id::decode(id).filter(|id| id.kind == Kind::Run) else { return Ok(None) };
    let Ok(run_id) = id.external_id.parse() else { return Ok(None) };
    let Some(source) = reader.source_by_name(&id.source).await? else { return Ok(None) };
    let row = reader.sync_run(run_id).await?;
    Ok(row.filter(|row| row.source_id == source.id).map(|_| (source, run_id)))
}
