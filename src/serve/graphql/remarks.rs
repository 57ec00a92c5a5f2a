//! What an answer says of itself beside its data, under `extensions`.

use async_graphql::{Response, Value};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What the resolvers of one request have to say of it. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Remarks(Arc<Mutex<BTreeSet<String>>>);

impl Remarks {
    /// Notes parts of a filter or an order that no index serves.
    pub fn add(&self, unindexed: BTreeSet<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(unindexed);
    }

    /// Puts everything noted into the answer.
    pub fn put_into(&self, response: Response) -> Response {
        let unindexed = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if unindexed.is_empty() {
            return response;
        }
        response.extension("unindexed", Value::List(unindexed.into_iter().map(Value::String).collect()))
    }
}
