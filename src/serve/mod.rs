//! Answers clients: GraphQL over HTTP, WebSocket and server-sent events, the pages for ops and GraphiQL, and the three
//! health paths.
//!
//! In: requests with an access key, statements of `mirror::read`, feeds of `publish`, and the handle [`Operations`]
//! behind which the other stages stand. Out: one [`router()`].
//! Guaranteed: nothing but the health paths and the two pages, which hold nothing, answers without a key; a document is measured
//! before the parser and again before the validator see it, so that no document costs more than its length allows;
//! every list is a page with a hard maximum; faults of the service leave as a number that the log has, never as
//! text of the database; all streams end when the service stops.
//! Deliberately absent: SQL, and every write but the named operations of other stages.

mod assets;
pub mod auth;
mod console;
mod edge;
mod estimate;
mod graphiql;
pub mod graphql;
mod health;
mod health_watch;
mod operations;
pub mod ops;
mod router;
mod run_watch;

pub use auth::{Access, Viewer};
pub use edge::{Hangup, Registered};
pub use operations::{
    Budget, DeliveryOperation, Operations, Outcome, Refused, RunDecision, RunWish, TouchReach, Touched,
};
pub use router::{ServeState, router};
