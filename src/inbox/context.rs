//! What was asked for when a page or a fetch was requested: kept beside its bytes.

use entity::delivery;
use provider::{Page, Target};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The context of a page or a fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Inbox position of the source when the request started.
    pub started_at: i64,
    /// The fetch request that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<i64>,
    /// What was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Which page this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<Page>,
    /// Upstream said that the record is not there.
    #[serde(default)]
    pub is_missing: bool,
    /// Nothing vouches for it that the record is missing: it was refused, or what it belongs to was not found either, or
    /// nobody knows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unvouched: bool,
    /// The run that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<i64>,
    /// For a page: records of its whole stream, where upstream told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

impl Context {
    /// As kept in the inbox.
    pub fn to_json(&self) -> Value {
        serde_json::json!(self)
    }

    /// From the inbox; `None` for a webhook, or for what an older version wrote differently.
    pub fn from_json(value: Option<&Value>) -> Option<Self> {
        value.and_then(|value| Self::deserialize(value).ok())
    }
}

/// Deliveries that are read at a time.
const READ: usize = 500;

/// The contexts of deliveries by their ids, in no order; what has none is left out.
///
/// # Errors
/// The database's own error.
pub async fn load_contexts(connection: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<Context>, DbErr> {
    let mut contexts = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(READ) {
        let rows: Vec<Option<Value>> = delivery::Entity::find()
            .filter(delivery::Column::Id.is_in(chunk.iter().copied()))
            .select_only()
            .column(delivery::Column::Context)
            .into_tuple()
            .all(connection)
            .await?;
        contexts.extend(rows.iter().filter_map(|row| Context::from_json(row.as_ref())));
    }
    Ok(contexts)
}
