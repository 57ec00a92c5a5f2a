//! The public schema and its resolvers.
//!
//! In: a measured and parsed request with its viewer. Out: an answer, or a stream of them.
//! Guaranteed: every root field asks for a role; every resolver that reads goes through the process's one loader,
//! so that a list costs a fixed number of statements; every error carries a code.
//! Deliberately absent: limits on the document, which the edge holds before any of this runs, and SQL.

mod change;
mod delivery;
mod fault;
mod field;
mod filter;
mod global_id;
mod guard;
mod loader;
mod node;
mod paging;
mod profile;
mod profile_type;
mod query;
mod relationship;
mod run;
mod scalar;
mod source;
mod subprofile;
mod subscription;
mod verdict;
mod word;

pub use fault::{Code, Fault};

use crate::clock::SharedClock;
use crate::mirror::read::Reader;
use crate::publish::Publisher;
use async_graphql::{EmptyMutation, SDLExportOptions, SchemaBuilder};
use std::sync::Arc;

/// The schema with everything that its resolvers need.
pub type Schema = async_graphql::Schema<query::Query, EmptyMutation, subscription::Subscription>;

/// The schema over a mirror and its change log.
pub fn schema(reader: Reader, publisher: Arc<Publisher>, clock: SharedClock) -> Schema {
    builder().data(loader::new(reader.clone())).data(reader).data(publisher).data(clock).finish()
}

fn builder() -> SchemaBuilder<query::Query, EmptyMutation, subscription::Subscription> {
    async_graphql::Schema::build(query::Query, EmptyMutation, subscription::Subscription)
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
