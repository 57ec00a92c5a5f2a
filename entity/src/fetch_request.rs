//! A wish to fetch a record by id; many wishes for one record are one row.

use crate::{FetchState, Moment, Purpose};
use sea_orm::entity::prelude::*;

/// A wish to fetch a record by id; many wishes for one record are one row.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "fetch_request")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The source.
    pub source_id: i32,
    /// Kind and id of the record; unique within the source.
    pub target_key: String,
    /// What to fetch.
    #[sea_orm(column_type = "JsonBinary")]
    pub target: Json,
    /// Where it stands.
    pub state: FetchState,
    /// Inbox position of the newest delivery that asks for it.
    pub wanted_position: i64,
    /// Inbox position when the running or last fetch started.
    pub started_position: i64,
    /// What asked for it first.
    pub reason: String,
    /// Its right to a call: the highest of all that ask for it.
    pub purpose: Purpose,
    /// When it was first asked for.
    pub requested_at: Moment,
    /// Not fetched before then.
    pub not_before: Moment,
    /// The running fetch is given up then.
    pub claimed_until: Moment,
    /// Calls so far that brought no usable answer.
    pub attempts: i32,
    /// Answers in a row that said the record is not there.
    pub misses: i32,
    /// Asked for by a creation: a miss means not visible yet.
    pub is_creation: bool,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
