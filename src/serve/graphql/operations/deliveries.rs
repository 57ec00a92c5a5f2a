//! Retrying, discarding and replaying deliveries.

use super::{Problem, ProblemCode, operations};
use crate::config::Role;
use crate::serve::graphql::Code;
use crate::serve::graphql::delivery::DeliveryFilter;
use crate::serve::graphql::fault::Answer;
use crate::serve::graphql::guard::{Needs, require};
use crate::serve::graphql::paging;
use crate::serve::{DeliveryOperation, TouchReach, Touched};
use async_graphql::{Context, InputObject, Object, SimpleObject};

/// Longest reason, characters.
const REASON: usize = 500;
/// What cursors of these answers are made for.
const CURSOR: &str = "touched";

/// Retrying, discarding and replaying deliveries.
#[derive(Default)]
pub(super) struct DeliveryOperations;

/// Which deliveries go through apply once more.
#[derive(Clone, Debug, InputObject)]
pub struct ReplayInput {
    /// Which; it must name a source or ids. Only APPLIED and IGNORED ones are taken whose body is still kept.
    filter: DeliveryFilter,
    /// Go on behind where an answer ended: its `endCursor`.
    after: Option<String>,
    /// Only count them.
    #[graphql(default)]
    dry_run: bool,
}

macro_rules! payload {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(SimpleObject)]
        pub struct $name {
            /// How many deliveries it was, or would be where it only counts; at most 10,000 at once.
            count: u64,
            /// There are more: ask again, `after` this answer's `endCursor`.
            has_more: bool,
            /// Where it ended; null where there was nothing.
            end_cursor: Option<String>,
            /// What kept it from being carried out; empty where nothing did.
            problems: Vec<Problem>,
        }

        impl From<Outcome> for $name {
            fn from(outcome: Outcome) -> Self {
                let Outcome { touched, problems } = outcome;
                let end_cursor = touched.last.map(|last| paging::encode(CURSOR, &last));
                Self { count: touched.count, has_more: touched.has_more, end_cursor, problems }
            }
        }
    };
}

payload!(
    /// What became of `retryDeliveries`.
    RetryDeliveriesPayload
);
payload!(
    /// What became of `discardDeliveries`.
    DiscardDeliveriesPayload
);
payload!(
    /// What became of `replayDeliveries`.
    ReplayPayload
);

#[Object]
impl DeliveryOperations {
    /// Tries parked deliveries again, once the cause is mended. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn retry_deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which of the parked ones; all where it is empty.")] filter: DeliveryFilter,
        #[graphql(desc = "Go on behind where an answer ended: its `endCursor`.")] after: Option<String>,
        #[graphql(desc = "Only count them.", default)] dry_run: bool,
    ) -> Answer<RetryDeliveriesPayload> {
        operate(ctx, filter, DeliveryOperation::Retry, (after, dry_run)).await.map(Into::into)
    }

    /// Gives parked deliveries up: their bodies go for good, and they cannot be retried or replayed. What they told comes back
    /// with the next full sync. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn discard_deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which of the parked ones; it must name a source or ids.")] filter: DeliveryFilter,
        #[graphql(desc = "Why, for those who look later; 1 to 500 characters.")] reason: String,
        #[graphql(desc = "Go on behind where an answer ended: its `endCursor`.")] after: Option<String>,
        #[graphql(desc = "Only count them.", default)] dry_run: bool,
    ) -> Answer<DiscardDeliveriesPayload> {
        require(ctx, Role::Operator)?;
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON || reason.contains('\0') {
            let message = format!("expected 1 to {REASON} characters");
            return Ok(Outcome::from(Problem::bad_input("reason", message)).into());
        }
        let operation = DeliveryOperation::Discard { reason: reason.to_owned() };
        operate(ctx, filter, operation, (after, dry_run)).await.map(Into::into)
    }

    /// Lets deliveries go through apply once more, as after a mended mistake in reading them. What they say is held against
    /// what is stored as ever, so that older news wins over nothing, and doing it twice changes nothing. For operators.
    #[graphql(guard = "Needs(Role::Operator)")]
    async fn replay_deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which deliveries.")] input: ReplayInput,
    ) -> Answer<ReplayPayload> {
        operate(ctx, input.filter, DeliveryOperation::Replay, (input.after, input.dry_run)).await.map(Into::into)
    }
}

/// What was touched, or what kept it from being so.
struct Outcome {
    touched: Touched,
    problems: Vec<Problem>,
}

impl From<Problem> for Outcome {
    fn from(problem: Problem) -> Self {
        Self { touched: Touched { count: 0, has_more: false, last: None }, problems: vec![problem] }
    }
}

async fn operate(
    ctx: &Context<'_>,
    filter: DeliveryFilter,
    operation: DeliveryOperation,
    (after, is_dry_run): (Option<String>, bool),
) -> Answer<Outcome> {
    let viewer = require(ctx, Role::Operator)?;
    let source = filter.source.clone().unwrap_or_default();
    let names_some = filter.source.is_some() || filter.ids.is_some();
    if !names_some && operation != DeliveryOperation::Retry {
        return Ok(Problem::bad_input("filter", "name a source, or deliveries by their ids").into());
    }
    let which = match filter.read(ctx).await {
        Err(fault) if matches!(fault.code, Code::BadUserInput | Code::PageTooLarge) => {
            return Ok(Problem::new(ProblemCode::BadUserInput, fault.message, Some("filter")).into());
        }
        read => read?,
    };
    let Some(which) = which else {
        return Ok(Problem::bad_input("filter", "it names a source that does not exist, or no delivery").into());
    };
    let reach = TouchReach { after: paging::decode(CURSOR, "after", after.as_deref())?.unwrap_or(0), is_dry_run };
    match operations(ctx).operate_deliveries(which, operation, &viewer.name, reach).await {
        Ok(touched) => Ok(Outcome { touched, problems: Vec::new() }),
        Err(refused) => Ok(Problem::of(refused, &source)?.into()),
    }
}
