//! The public schema and its resolvers.
//!
//! In: a measured and parsed request with its viewer. Out: an answer, or a stream of them.
//! Guaranteed: every root field asks for a role; every resolver that reads goes through the request's one loader,
//! so that a list costs a fixed number of statements; every error carries a code.
//! Deliberately absent: limits on the document, which the edge holds before any of this runs, and SQL.

mod candidate;
mod change;
mod delivery;
mod drift;
mod erasure;
mod fault;
mod field;
mod field_list;
mod filter;
mod global_id;
mod guard;
mod lifecycle;
mod loader;
mod node;
mod operations;
mod paging;
mod past;
mod plan;
mod position;
mod profile;
mod profile_connection;
mod profile_type;
mod provenance;
mod query;
mod relationship;
mod remarks;
mod run;
mod scalar;
mod source;
mod subprofile;
mod subscription;
mod validator;
mod verdict;
mod wave;
mod word;

pub use fault::{Code, Fault};
pub use operations::ProblemCode;
pub(crate) use position::{Position, Told};
pub(crate) use validator::Validator;

use crate::clock::SharedClock;
use crate::mirror::read::Reader;
use crate::publish::Publisher;
use crate::serve::Operations;
use crate::serve::health_watch::HealthWatch;
use crate::serve::run_watch::RunWatch;
use async_graphql::{Request, Response, SDLExportOptions, SchemaBuilder};
use futures::Stream;
use remarks::Remarks;
use std::sync::Arc;
use wave::Wave;

type Schema = async_graphql::Schema<query::Query, operations::Mutation, subscription::Subscription>;

/// The schema over a mirror and its change log.
#[derive(Clone)]
pub(crate) struct Api {
    schema: Schema,
    reader: Reader,
}

impl Api {
    /// The schema with everything that its resolvers need.
    pub fn new(
        reader: Reader,
        publisher: Arc<Publisher>,
        clock: SharedClock,
        operations: Arc<dyn Operations>,
        run_watch: Arc<RunWatch>,
        health_watch: Arc<HealthWatch>,
    ) -> Self {
        let schema = builder().data(reader.clone()).data(publisher).data(clock).data(operations);
        let schema = schema.data(run_watch).data(health_watch);
        let schema = schema.finish();
        Self { schema, reader }
    }

    /// Answers a query or a mutation.
    pub async fn execute(&self, request: Request) -> Response {
        let (wave, remarks) = (Wave::default(), Remarks::default());
        let request = request.data(loader::new(self.reader.clone(), wave.clone())).data(remarks.clone());
        remarks.put_into(wave.run(self.schema.execute(request)).await)
    }

    /// Answers a subscription.
    pub fn subscribe(&self, request: Request) -> impl Stream<Item = Response> + Send + use<> {
        let wave = Wave::default();
        let request = request.data(loader::new(self.reader.clone(), wave.clone()));
        wave.stream(self.schema.execute_stream(request))
    }
}

fn builder() -> SchemaBuilder<query::Query, operations::Mutation, subscription::Subscription> {
    async_graphql::Schema::build(query::Query, operations::Mutation::default(), subscription::Subscription)
        .register_output_type::<node::Node>()
        .disable_suggestions()
}

/// The schema in the definition language, sorted.
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .include_specified_by()
        .prefer_single_line_descriptions();
    let mut sdl = builder().finish().sdl_with_options(options).trim().to_owned();
    sdl.push('\n');
    sdl
}

#[cfg(test)]
mod tests;
