//! The root of mutations, put together from one file a topic.
//!
//! Each mutation calls a method of [`crate::serve::Operations`], and answers with what it changed and with the problems
//! that kept it from doing so. A new topic is a file here, its root struct in [`Mutation`], and methods on the handle.

mod deliveries;
mod pause;
mod problem;
mod sync;

use crate::serve::Operations;
use async_graphql::{Context, MergedObject};
use std::sync::Arc;

pub use problem::{Problem, ProblemCode};

/// Where changes to the service start. For operators.
#[derive(Default, MergedObject)]
pub struct Mutation(pause::PauseOperations, sync::SyncOperations, deliveries::DeliveryOperations);

fn operations<'a>(ctx: &Context<'a>) -> &'a Arc<dyn Operations> {
    ctx.data_unchecked::<Arc<dyn Operations>>()
}
