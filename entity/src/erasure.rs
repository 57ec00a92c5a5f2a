//! The receipt of an erasure: what was emptied, how many, when and why. One a profile.

use crate::Moment;
use sea_orm::entity::prelude::*;

/// The receipt of an erasure.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "erasure")]
pub struct Model {
    /// Surrogate key.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The source.
    pub source_id: i32,
    /// The profile; its row stays, with nothing in it but its id.
    pub profile_id: i64,
    /// What asked for it: the provider's word for the event, or how the state came that told it.
    pub reason: String,
    /// When it was committed.
    pub at: Moment,
    /// The delivery that told it.
    pub delivery_id: i64,
    /// Interests that were on.
    pub interests: i32,
    /// Subprofiles that held values.
    pub subprofiles: i32,
    /// Relationships that stood.
    pub relationships: i32,
    /// Changes in the log that held values.
    pub changes: i32,
    /// Raw deliveries emptied whole.
    pub deliveries: i32,
    /// Raw deliveries about others that lost what they told of it.
    pub slices: i32,
    /// Deliveries that came later and were emptied as they were settled.
    pub late_deliveries: i32,
    /// When the database's files were cleaned of what the rows had held; none until that is done.
    pub files_cleaned_at: Option<Moment>,
}

/// Joins are written where they are needed; none is declared here.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
