//! Profile types whose profiles are to be derived from their fields anew.

use crate::DeliveryKind;
use sea_orm::entity::prelude::*;

/// A profile type whose metadata has changed: what its profiles show of it is carried on in steps. A row is there as long as
/// there is something to do.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "derivation")]
pub struct Model {
    /// The profile type.
    #[sea_orm(primary_key, auto_increment = false)]
    pub profile_type_id: i32,
    /// Its source.
    pub source_id: i32,
    /// Row id of the last profile that is done; 0 before the first.
    pub done_profile_id: i64,
    /// Row id of the last profile that there was when it was asked for: whoever came later follows the metadata already.
    pub last_profile_id: i64,
    /// So many profiles more are told anew even where nothing else has changed: no field was known before.
    pub told_anew: i32,
    /// The delivery that told of the change.
    pub delivery_id: i64,
    /// What kind of delivery it was.
    pub delivery_kind: DeliveryKind,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
