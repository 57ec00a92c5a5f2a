//! A request that a client marked with an id of its own: sent again, it is answered with the same run.

use crate::Moment;
use sea_orm::entity::prelude::*;

/// A request that a client marked with an id of its own.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "client_mutation")]
pub struct Model {
    /// Name of the access key that asked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub asked_by: String,
    /// The id that the client chose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub mutation_id: String,
    /// The run that it led to.
    pub run_id: i64,
    /// When it was asked for.
    pub at: Moment,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
