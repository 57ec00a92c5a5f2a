//! Dedupe keys that are filed; SQLite only. The newest are in memory, see the inbox.

use sea_orm::entity::prelude::*;

/// A dedupe key that is filed; SQLite only. The newest are in memory, see the inbox.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "delivery_key")]
pub struct Model {
    /// Half of a SHA-256, over the source and the dedupe key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub digest: Vec<u8>,
    /// The delivery that came first with it. It may be gone: the key stays.
    pub delivery_id: i64,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
