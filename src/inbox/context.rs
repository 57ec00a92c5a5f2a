//! What was asked for when a page or a fetch was requested: kept beside its bytes.

use provider::{Page, Target};
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
