//! Pausing and resuming a source.

use super::{Problem, ProblemCode, operations};
use crate::config::Role;
use crate::mirror::read::Reader;
use crate::serve::Outcome;
use crate::serve::graphql::fault::Answer;
use crate::serve::graphql::guard::{Needs, require};
use crate::serve::graphql::source::Source;
use async_graphql::{Context, Object, SimpleObject};

/// Longest reason, characters.
const REASON: usize = 500;

/// Pausing and resuming a source.
#[derive(Default)]
pub(super) struct PauseOperations;

/// What became of `pauseSource`.
#[derive(SimpleObject)]
pub struct PauseSourcePayload {
    /// The source as it is now; null where there is none of this name.
    source: Option<Source>,
    /// What kept it from being paused; empty where nothing did.
    problems: Vec<Problem>,
}

/// What became of `resumeSource`.
#[derive(SimpleObject)]
pub struct ResumeSourcePayload {
    /// The source as it is now; null where there is none of this name.
    source: Option<Source>,
    /// What kept it from being resumed; empty where nothing did.
    problems: Vec<Problem>,
}

#[Object]
impl PauseOperations {
    /// Lets a source stand still until `resumeSource`: nothing is fetched, and a sync waits at its page. Webhooks are still
    /// kept, and what is kept is applied. A pause of the service's own becomes yours. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn pause_source(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Name of the source.")] source: String,
        #[graphql(desc = "Why, for those who find it paused; 1 to 500 characters.")] reason: String,
    ) -> Answer<PauseSourcePayload> {
        let viewer = require(ctx, Role::Operator)?;
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON || reason.contains('\0') {
            let message = format!("reason: expected 1 to {REASON} characters");
            let problems = vec![Problem::new(ProblemCode::BadUserInput, message, Some("reason"))];
            return Ok(PauseSourcePayload { source: find(ctx, &source).await?, problems });
        }
        let outcome = operations(ctx).pause_source(&source, &viewer.name, reason).await;
        let problems = problems(outcome, &source)?;
        Ok(PauseSourcePayload { source: find(ctx, &source).await?, problems })
    }

    /// Lets a source go on, whoever paused it. One that is not paused stays as it is. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn resume_source(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Name of the source.")] source: String,
    ) -> Answer<ResumeSourcePayload> {
        let viewer = require(ctx, Role::Operator)?;
        let outcome = operations(ctx).resume_source(&source, &viewer.name).await;
        let problems = problems(outcome, &source)?;
        Ok(ResumeSourcePayload { source: find(ctx, &source).await?, problems })
    }
}

fn problems(outcome: Outcome, source: &str) -> Answer<Vec<Problem>> {
    outcome.map_or_else(|refused| Ok(vec![Problem::of(refused, source)?]), |()| Ok(Vec::new()))
}

async fn find(ctx: &Context<'_>, source: &str) -> Answer<Option<Source>> {
    Ok(ctx.data_unchecked::<Reader>().source_by_name(source).await?.map(Source::new))
}
