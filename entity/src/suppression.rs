//! Who was erased, as keyed hashes of source and external id: nothing late brings them back, even where the profile's
//! row is gone.

use crate::Moment;
use sea_orm::entity::prelude::*;

/// Who was erased, as a keyed hash.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "suppression")]
pub struct Model {
    /// HMAC-SHA256 of the source's name and the external id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub digest: Vec<u8>,
    /// When the erasure was committed.
    pub at: Moment,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
